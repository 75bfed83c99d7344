#include "imbalance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROWS (IMBALANCE_SECONDS + 1)

int imbalance_init(struct imbalance *im, unsigned shards)
{
	*im = (struct imbalance){.shards = shards};
	im->samples = calloc((size_t)ROWS * shards, sizeof(*im->samples));
	return im->samples ? 0 : -ENOMEM;
}

void imbalance_fini(struct imbalance *im)
{
	free(im->samples);
	im->samples = NULL;
}

void imbalance_sample(struct imbalance *im, const uint64_t *cpu_ns)
{
	memcpy(&im->samples[(size_t)im->at * im->shards], cpu_ns, im->shards * sizeof(*cpu_ns));
	im->at = (im->at + 1) % ROWS;
	im->len = im->len < ROWS ? im->len + 1 : ROWS;
}

uint64_t imbalance_milli(const struct imbalance *im)
{
	const uint64_t *newest, *oldest;
	uint64_t sum = 0, most = 0;

	if (im->len < 2)
		return 1000;
	newest = &im->samples[(size_t)((im->at + ROWS - 1) % ROWS) * im->shards];
	oldest = &im->samples[(size_t)((im->at + ROWS - im->len) % ROWS) * im->shards];
	for (unsigned i = 0; i < im->shards; i++) {
		uint64_t spent = newest[i] - oldest[i];

		sum += spent;
		most = max_u64(most, spent);
	}
	if (most < (im->len - 1) * NS_PER_S / 100)
		return 1000;
	return most * 1000 / (sum / im->shards);
}

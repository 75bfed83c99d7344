/* A saved limiter: what is malformed is refused, what is not can be used and saved again. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include <ringway/limit/limiter.h>
#include <xxhash.h>

#define NOW_NS  (1000 * NS_PER_S)
#define UNIX_NS (1700000000 * NS_PER_S)

static const struct limiter_size size = {.shards = 2, .keys = 50, .windows = 20};

static int file_of(const uint8_t *data, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, data, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/* Every limit decides, and no key that was loaded has more than its burst. */
static void use(struct limiter *l)
{
	struct limiter_shard *s;

	must(limiter_shard_create(l, 0, &s) == 0);
	for (uint32_t i = 0; i < limiter_limits(l) && i < 16; i++) {
		struct limit_terms terms;
		struct limit_verdict v;
		uint64_t key = limiter_fingerprint(l, i, "k", 1);

		limiter_terms(l, i, &terms);
		limiter_take(s, i, key, SPAN("k"), 1, NOW_NS, &v);
		must(v.remaining <= terms.burst);
		limiter_give(s, i, key, 1, NOW_NS);
		limiter_set(l, i, &terms, NOW_NS);
	}
	limiter_shard_destroy(s);
}

static void try(const uint8_t *data, size_t len)
{
	static const uint8_t seed[16];
	size_t bytes = limiter_bytes(&size);
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = file_of(data, len), again;
	struct limiter *l;
	uint64_t keys, left_out;

	must(memory != MAP_FAILED);
	must(limiter_create(&size, memory, seed, 0, &l) == 0);
	if (limiter_load(l, fd, NOW_NS, UNIX_NS, &keys, &left_out) == 0) {
		use(l);
		again = memfd_create("again", MFD_CLOEXEC);
		must(again >= 0 && limiter_save(l, again, NOW_NS, UNIX_NS) == 0);
		close(again);
	} else {
		must(limiter_limits(l) == 0);
	}
	limiter_destroy(l);
	munmap(memory, bytes);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *summed = malloc(len + sizeof(uint64_t));
	uint64_t check = XXH3_64bits(data, len);

	must(summed);
	try(data, len);
	/* With the sum that it wants, so that the rest of it is looked at. */
	if (len)
		memcpy(summed, data, len);
	memcpy(summed + len, &check, sizeof(check));
	try(summed, len + sizeof(check));
	free(summed);
	return 0;
}

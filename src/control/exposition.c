#include "exposition.h"

#include <errno.h>

/* Of one label set: two names of some hundred bytes. It grows when they are full of quotes. */
#define LABELS_BYTES 1024

void exposition_put(struct exposition *e, const struct exposition_family *f,
		    struct exposition_number number)
{
	exposition_sample(&e->text, f->name, exposition_span(&e->labels), number);
}

void exposition_single(struct exposition *e, const struct exposition_family *f,
		       struct exposition_number number)
{
	exposition_head(&e->text, f);
	exposition_sample(&e->text, f->name, SPAN_NONE, number);
}

/* Microseconds. Near 1, 2.5 and 5 of each decade from 100 us to 10 s, but bounds of our own
 * buckets all of them: each cumulative count is exact, none is shared out. */
static const uint64_t time_bounds[] = {
	96,    256,   512,    1024,   2560,    5120,    10240,   24576,
	49152, 98304, 262144, 524288, 1048576, 2621440, 5242880, 10485760,
};

void exposition_times(struct exposition *e, const struct exposition_family *f,
		      const struct histogram_reading *reading)
{
	exposition_histogram(&e->text, f->name, exposition_span(&e->labels), reading, time_bounds,
			     ARRAY_LEN(time_bounds), 6);
}

/* Powers of four. */
static const uint64_t size_bounds[] = {
	1 << 6,  1 << 8,  1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18,
	1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30,
};

void exposition_sizes(struct exposition *e, const struct exposition_family *f,
		      const struct histogram_reading *reading)
{
	exposition_histogram(&e->text, f->name, exposition_span(&e->labels), reading, size_bounds,
			     ARRAY_LEN(size_bounds), 0);
}

int exposition_write(const struct exposition_sources *from, enum exposition_format format,
		     size_t expected, struct exposition_text *ret_text)
{
	struct exposition e = {.from = from};
	bool failed;

	exposition_text_init(&e.text, format, expected);
	exposition_text_init(&e.labels, format, LABELS_BYTES);
	exposition_process(&e);
	exposition_routes(&e);
	exposition_traffic(&e);
	exposition_targets(&e);
	exposition_limits(&e);
	exposition_shards(&e);
	exposition_end(&e.text);
	failed = e.text.failed || e.labels.failed;
	exposition_text_fini(&e.labels);
	if (failed) {
		exposition_text_fini(&e.text);
		return -ENOMEM;
	}
	*ret_text = e.text;
	return 0;
}

/* All metrics of the process as one text, for GET /metrics.
 *
 * What is read are the public counters (observe/metrics.h), which the data shards write and
 * never wait for, and what the control thread knows besides. The text is made in one go:
 * figures that belong together are a few microseconds apart, and a histogram is told from one
 * reading of its buckets, so that it agrees with itself.
 *
 * Each family is a row of a table in the file of its noun; docs/metrics.md lists them all.
 */
#ifndef RINGWAY_SRC_CONTROL_EXPOSITION_H
#define RINGWAY_SRC_CONTROL_EXPOSITION_H

#include <ringway/observe/metrics.h>

#include "exposition_text.h"
#include "process_figures.h"

/* What is told. */
struct exposition_sources {
	struct metrics_view view;
	const char *wolfssl; /* version of the linked library */
	uint64_t now_ns;
	uint64_t now_unix_us;
	const uint64_t *cpu_ns; /* CPU time of the shards' threads; control's last */
	uint64_t imbalance_milli;
	uint32_t hot_keys;
	struct process_figures process;
	/* Of /metrics itself. */
	uint64_t scrapes, scrapes_refused;
	uint64_t build_ns; /* what making the last text took */
};

struct exposition {
	struct exposition_text text;
	struct exposition_text labels; /* of the sample that is being written */
	const struct exposition_sources *from;
};

/* The text is the caller's to free with exposition_text_fini(). -ENOMEM. */
int exposition_write(const struct exposition_sources *from, enum exposition_format format,
                     size_t expected, struct exposition_text *ret_text);

/* ---- the parts, each all families of its noun ---- */

void exposition_process(struct exposition *e);  /* exposition_process.c */
void exposition_routes(struct exposition *e);   /* exposition_routes.c */
void exposition_traffic(struct exposition *e);  /* exposition_traffic.c: sums over shards */
void exposition_targets(struct exposition *e);  /* exposition_targets.c */
void exposition_limits(struct exposition *e);   /* exposition_limits.c */
void exposition_shards(struct exposition *e);   /* exposition_shards.c */

/* ---- what they share ---- */

/* A family that is a counter in a struct, at that offset. */
struct exposition_figure {
	struct exposition_family family;
	size_t offset;
	uint8_t decimals;
};

static inline uint64_t exposition_counter(const void *of, size_t offset)
{
	return counter_get((const struct counter *)(const void *)((const char *)of + offset));
}

/* A sample with the labels that are set. */
void exposition_put(struct exposition *e, const struct exposition_family *f,
                    struct exposition_number number);
/* A family of a single sample without labels. */
void exposition_single(struct exposition *e, const struct exposition_family *f,
                       struct exposition_number number);

/* With the bounds of times and of sizes that all histograms have. */
void exposition_times(struct exposition *e, const struct exposition_family *f,
                      const struct histogram_reading *reading);
void exposition_sizes(struct exposition *e, const struct exposition_family *f,
                      const struct histogram_reading *reading);

#endif

/* How unevenly the data shards are loaded: the CPU time of the busiest one over the mean of
 * all, of the last five seconds. 1 says even, the number of shards says that one does it all.
 *
 * CPU time of the thread is what counts, not requests: a shard with few expensive connections
 * is as busy as one with many cheap ones.
 */
#ifndef RINGWAY_SRC_CONTROL_IMBALANCE_H
#define RINGWAY_SRC_CONTROL_IMBALANCE_H

#include <ringway/base/base.h>

#define IMBALANCE_SECONDS 5

struct imbalance {
	unsigned shards;
	unsigned len;      /* samples so far, at most IMBALANCE_SECONDS + 1 */
	unsigned at;       /* where the next one goes */
	uint64_t *samples; /* a row of all shards for each */
};

/* -ENOMEM. */
int imbalance_init(struct imbalance *im, unsigned shards);
void imbalance_fini(struct imbalance *im);
/* Once a second: CPU time of each shard's thread. */
void imbalance_sample(struct imbalance *im, const uint64_t *cpu_ns);
/* Thousandths. 1000 as long as the busiest shard has been so for less than 1% of the time:
 * there is no load that could be uneven. */
uint64_t imbalance_milli(const struct imbalance *im);

#endif

/* Many shards that decide by one limiter: on one thread, by a clock and a chance of the
 * test's, each decision written down. */
#ifndef RINGWAY_SIM_LIMIT_WORLD_H
#define RINGWAY_SIM_LIMIT_WORLD_H

#include "limit_log.h"

#define LIMIT_WORLD_SHARDS 64
#define NEVER              UINT64_MAX

struct limit_world_shard {
	struct limiter_shard *shard;
	uint64_t clock_ns; /* what it last read */
	uint64_t upkeep_at_ns;
	uint64_t stalled_until_ns; /* does nothing before */
	uint64_t decisions;
};

enum limit_upkeep {
	LIMIT_UPKEEP_ON_TIME,
	LIMIT_UPKEEP_LATE,    /* by up to a quarter of a second */
	LIMIT_UPKEEP_MISSING, /* on every other shard for ever, late on the rest */
};

struct limit_world {
	struct limiter *limiter;
	void *memory;
	size_t bytes;
	unsigned shards;
	struct limit_world_shard shard[LIMIT_WORLD_SHARDS];
	uint64_t now_ns; /* the true time */
	uint64_t next_tick_ns;
	uint64_t chance;
	uint64_t lag_most_ns;
	enum limit_upkeep upkeep;
	struct limit_log log;
};

void limit_world_open(struct limit_world *w, uint64_t seed, const struct limiter_size *size);
/* Nothing was admitted above the bound, as the limiter sees it itself, and all leases end. */
void limit_world_close(struct limit_world *w);

uint64_t limit_world_chance(struct limit_world *w, uint64_t below); /* 0 to below - 1 */
void limit_world_pass(struct limit_world *w, uint64_t ns);          /* time, upkeep meanwhile */
bool limit_world_stalls(const struct limit_world *w, unsigned shard);
/* The shard looks at its clock. */
uint64_t limit_world_clock(struct limit_world *w, unsigned shard);

uint64_t limit_world_fingerprint(const struct limit_world *w, uint32_t limit, uint32_t key);
/* By the clock that the shard has; what is admitted goes into the log. */
enum limit_outcome limit_world_take(struct limit_world *w, unsigned shard, uint32_t limit,
				    uint32_t key, uint32_t cost, struct limit_verdict *ret_verdict);
void limit_world_give(struct limit_world *w, unsigned shard, uint32_t limit, uint32_t key,
		      uint32_t cost);
void limit_world_reset(struct limit_world *w, uint32_t limit, uint32_t key);
/* `index` of the terms, as the log's check takes them. */
void limit_world_set(struct limit_world *w, uint32_t limit, const struct limit_terms *terms,
		     unsigned index);

uint32_t limit_world_limit(struct limit_world *w, const char *name,
			   const struct limit_terms *terms);
uint64_t limit_world_lease_hits(const struct limit_world *w);
struct limiter_stats limit_world_stats(const struct limit_world *w); /* all shards together */

#endif

/* A shard's leases: tokens of hot keys that it took ahead of need and spends alone.
 *
 * A place holds one key and is one cache line; a key has two places to be in. Only the shard
 * touches them. A lease holds under one state of the limit's terms: when their sequence
 * number differs, what is above the new lease_max goes back before anything is spent.
 */
#ifndef RINGWAY_LIMIT_LEASE_H
#define RINGWAY_LIMIT_LEASE_H

#include "hot.h"

#define LEASE_WAYS   2
#define LEASE_PLACES 512

/* A key that a shard took so often within so long becomes hot there. */
#define HOT_TAKES     32
#define HOT_WITHIN_NS (10 * NS_PER_MS)
/* One that was spent less often since the last upkeep goes back. */
#define LEASE_SPENT_MIN 16
/* A lease is for what is spent in so long. */
#define LEASE_AHEAD_NS (2 * NS_PER_MS)
#define SKETCH_PLACES  1024

struct lease {
	_Alignas(CACHE_LINE) uint64_t key; /* 0: nobody's */
	struct terms_line *line;
	uint32_t seq; /* of the terms it was taken under */
	uint32_t tokens;
	uint32_t owed;     /* of the record's `out`: tokens, and those spent since it was told */
	uint32_t rest;     /* that the record had left when it was last seen */
	uint32_t hits;     /* not yet in the counters */
	uint64_t fresh_ns; /* when the key would have been fresh, seen then */
	uint64_t since_ns; /* the last filling */
	uint32_t filled;   /* tokens at the last upkeep and all that came since */
	uint32_t had;      /* tokens right after the last filling */
	uint32_t counted;  /* tokens as the counters have them */
	uint16_t record;
};

/* How often a key was taken lately. Keys that meet in a place push each other out. */
struct sketch {
	uint32_t tag;
	uint32_t takes;
	uint64_t since_ns;
};

struct leases {
	struct lease places[LEASE_PLACES];
	struct sketch sketch[SKETCH_PLACES];
	unsigned count;
	uint64_t last_now_ns;
	/* Written by the shard alone, read by anybody. */
	_Atomic uint64_t promoted, demoted, leased, unleased, hits, over_admitted, out, upkeep_ns;
};

/* By the one writer: no locked instruction. */
static inline void count_up(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static inline struct lease *lease_find(struct leases *s, uint64_t key)
{
	struct lease *set = &s->places[(key >> 20) % (LEASE_PLACES / LEASE_WAYS) * LEASE_WAYS];

	if (set[0].key == key)
		return &set[0];
	return set[1].key == key ? &set[1] : NULL;
}

/* A decision without the shared state; false: it cannot be had here. */
static inline bool lease_spend(struct leases *s, uint64_t key, uint32_t cost, uint64_t now_ns,
			       struct limit_verdict *verdict)
{
	struct lease *e = lease_find(s, key);

	if (!e || e->tokens < cost || terms_seq(e->line) != e->seq)
		return false;
	e->tokens -= cost;
	e->hits++;
	verdict->outcome = LIMIT_ADMITTED;
	verdict->counted = true;
	verdict->coarse = false;
	verdict->remaining = (uint64_t)e->tokens + e->rest;
	verdict->wait_ns = 0;
	verdict->reset_ns = e->fresh_ns > now_ns ? e->fresh_ns - now_ns : 0;
	return true;
}

/* A key was taken from the shared state; true: it is hot here. */
bool lease_is_wanted(struct leases *s, uint64_t key, uint64_t now_ns);

#endif

/* Where everything lies in the memory that the shards share, and each shard's own part. */
#ifndef RINGWAY_LIMIT_SHARED_H
#define RINGWAY_LIMIT_SHARED_H

#include "bucket.h"
#include "hot.h"
#include "lease.h"
#include "slots.h"
#include "windows.h"

/* A fingerprint is 53 bits of keyed hash above the lane: keys of two limits never meet, and
 * a cell says by itself whose it is. */
#define LANE_BITS    11
#define LANES        (1U << LANE_BITS)
#define LANE_MASK    ((uint64_t)LANES - 1)
#define LANE_RETIRED UINT16_MAX

/* In the hash's place: no key (a free cell), the shared cells of a limit. */
#define MARK_COARSE     ((uint64_t)1 << LANE_BITS)
#define FINGERPRINT_MIN ((uint64_t)2 << LANE_BITS)

/* The table has room for its keys at this load: 16 / 0.85 = 18.8 bytes for each. */
#define SLOTS_PERCENT 85
#define COARSE_CELLS  64

struct limit_name {
	char text[LIMIT_NAME_BYTES];
	/* Release after the text is whole: who finds a name by it reads no half of one. */
	_Atomic bool is_known;
};

struct shared {
	_Atomic uint32_t limits; /* release after the last one is whole */
	uint32_t lanes;          /* used so far; the changing thread's */
	_Atomic int64_t wall_offset_ns;
	_Atomic uint64_t births; /* of shards, so that no two use the same nonces */
	uint64_t seed[2];
	_Alignas(CACHE_LINE) _Atomic uint64_t horizon_ns;
	_Atomic uint16_t lane_limit[LANES]; /* whose a lane is, or LANE_RETIRED */
};

struct limiter {
	struct limiter_size size;
	struct shared *shared;
	struct terms_line *lines; /* by limit */
	struct limit_name *names;
	struct hot_record *hot;
	struct cell *coarse; /* COARSE_CELLS for each limit */
	struct slots slots;
	struct windows windows;
};

struct limiter_shard {
	struct limiter *limiter;
	unsigned number;
	uint64_t next_nonce;
	/* Written by the shard alone, read by anybody. */
	_Atomic uint64_t inserted, evicted, no_room, retries;
	struct leases leases;
};

/* One decision on its way. */
struct taking {
	struct limiter_shard *shard;
	struct terms_line *line;
	struct terms terms;
	struct moment moment;
	uint64_t now_ns;
	uint64_t key;
	uint32_t cost;
};

/* The fingerprint as the tables have it now: a caller may have made it before the limit
 * began anew. */
static inline uint64_t lane_key(const struct terms *t, uint64_t fingerprint)
{
	uint64_t key = (fingerprint & ~LANE_MASK) | t->lane;

	return unlikely(key < FINGERPRINT_MIN) ? key | FINGERPRINT_MIN : key;
}

static inline int64_t wall_offset(const struct limiter *l)
{
	return atomic_load_explicit(&l->shared->wall_offset_ns, memory_order_relaxed);
}

/* Nothing used, as of the latest moment at which any key was forgotten. */
static inline uint64_t unused_since_horizon(const struct limiter *l, const struct terms_line *line,
					    const struct terms *t, uint64_t now_ns)
{
	uint64_t horizon = atomic_load_explicit(&l->shared->horizon_ns, memory_order_acquire);
	struct moment m;

	moment_init(&m, line, t, max_u64(horizon, now_ns), wall_offset(l));
	return state_unused(t, &m);
}

/* For who counts in a shared cell and finds another's mark there. True: refused, since the
 * limit began anew while this one slept. */
bool coarse_is_over(const struct taking *by, struct limit_verdict *verdict);
/* What a shared cell is known by in this life of the limit. */
static inline uint64_t coarse_mark(const struct taking *by)
{
	return MARK_COARSE | by->terms.lane;
}

/* Decides by the record that the key's cell links to. False: it has changed, look again. */
bool hot_take(struct taking *by, uint64_t link, struct limit_verdict *verdict);
/* After a take that left the key's cell with that arrival time. */
void hot_promote(struct taking *by, struct cell *c, uint64_t tat, struct span bytes);
/* False: the record has changed, look again. */
bool hot_give(struct taking *by, uint64_t link);
/* All leases go back. */
void leases_end(struct limiter_shard *s);

#endif

/* Table of cells by fingerprint, shared by all shards, without a lock.
 *
 * A fingerprint may lie in any of 32 cells: two buckets of 16, each four cache lines. It is
 * looked for from the line that it prefers, in an order that depends on it alone; a key that
 * is not there costs all eight lines, so a cell can be freed without a mark.
 *
 *   free      {0, 0}
 *   pending   {key, PENDING | nonce}: somebody wants to insert the key here
 *   live      {key, state}
 *
 * Exactly one live cell for each key, however shards race or sleep between two steps. Who
 * finds none marks one pending, and looks again. Who finds pending cells chooses the lowest
 * (in the key's order), and may make it live only after a scan that *began* when that cell
 * was known to be pending, that found no live one and no lower pending one, and after it has
 * taken each higher pending cell away by a swap. Any shard may do so for any other. The
 * proof: let cells i and j be live at once, i made so by scan I and j by scan J. J did not
 * see i live or pending (pending and lower: J would have chosen it; pending and higher: J
 * took it away, so it was pended anew later, and the same holds from there), so i was pended
 * after J looked there, hence after J began, hence after j was pending. I began after i was
 * pending, so it looked at j when j was pending or live already; live, it would not have
 * gone on; pending, it took j away, which fails or makes J's last swap fail. The nonce never
 * comes back, so no swap mistakes a later pending for the one that it saw.
 *
 * A shard that finds the key live takes its own pending cell away, in case it came too late
 * to be seen.
 *
 * Nobody waits: each failed swap is another shard's step forward, and what a sleeping shard
 * left pending is finished or overwritten by whoever wants the key. `horizon_ns` is the
 * latest clock by which a key was found idle and overwritten: a key that is inserted counts
 * as unused since then, and not only since the clock of the shard that inserts it, which may
 * lag. It is raised before the swap that overwrites, and read after the scan that did not
 * find the key.
 */
#ifndef RINGWAY_LIMIT_SLOTS_H
#define RINGWAY_LIMIT_SLOTS_H

#include <stdatomic.h>

#include "cell.h"

#ifndef SLOTS_BUCKET
#define SLOTS_BUCKET 16
#endif
#define SLOTS_LINE  4 /* cells in a cache line */
#define SLOTS_LINES (SLOTS_BUCKET / SLOTS_LINE)
/* A bucket with fewer free cells than this sends a new key to the other one, if that has
 * more: keys that come back then find room in their first bucket. */
#define SLOTS_SPARE (SLOTS_BUCKET >= 16 ? 3 : 1)

#define SLOT_PENDING ((uint64_t)1 << 63)

struct slots {
	struct cell *cells;
	uint32_t buckets; /* at least 2 */
	_Atomic uint64_t *horizon_ns;
};

/* The cells of a key in its order. */
struct slots_path {
	struct cell *bucket[2];
	unsigned start;
};

static inline size_t slots_first(const struct slots *t, uint64_t key)
{
	return (key >> 32) * t->buckets >> 32;
}

static inline unsigned slots_start(uint64_t key)
{
	return (unsigned)(key >> 11) % SLOTS_LINES * SLOTS_LINE;
}

static inline void slots_path(const struct slots *t, uint64_t key, struct slots_path *p)
{
	uint64_t mixed = (key ^ key >> 29) * 0x9e3779b97f4a7c15;
	uint32_t first = (uint32_t)slots_first(t, key);
	uint32_t second = (uint32_t)((mixed >> 32) * t->buckets >> 32);

	if (second == first)
		second = first + 1 == t->buckets ? 0 : first + 1;
	p->bucket[0] = t->cells + (size_t)first * SLOTS_BUCKET;
	p->bucket[1] = t->cells + (size_t)second * SLOTS_BUCKET;
	p->start = slots_start(key);
}

static inline struct cell *slots_at(const struct slots_path *p, unsigned place)
{
	return p->bucket[place / SLOTS_BUCKET] + (p->start + place) % SLOTS_BUCKET;
}

/* The live cell and its state as it was a moment ago; NULL: none was seen. */
struct cell *slots_find_anywhere(const struct slots *t, uint64_t key, uint64_t *ret_state);

/* The same; most keys lie in the line that they prefer. */
static inline struct cell *slots_find(const struct slots *t, uint64_t key, uint64_t *ret_state)
{
	struct cell *c = t->cells + slots_first(t, key) * SLOTS_BUCKET + slots_start(key);

	for (unsigned i = 0; i < SLOTS_LINE; i++, c++) {
		if (cell_key(c) == key) {
			*ret_state = cell_state(c);
			if (likely(!(*ret_state & SLOT_PENDING)))
				return c;
		}
	}
	return slots_find_anywhere(t, key, ret_state);
}

/* Whether a cell's key may be forgotten at no loss. */
typedef bool slots_idle_fn(const void *asker, uint64_t key, uint64_t state);

/* One insertion on its way. */
struct slots_claim {
	slots_idle_fn *is_idle;
	const void *asker;
	uint64_t now_ns;      /* by which is_idle() judges */
	uint64_t *next_nonce; /* the shard's */
	struct cell *cell;    /* that is known to be pending, or NULL */
	uint64_t state;
	struct cell *mine; /* that this one made pending last */
	uint64_t mine_state;
	bool evicted; /* by the last step */
};

enum slots_step {
	SLOTS_LIVE,  /* *ret_cell is there already, with *ret_state */
	SLOTS_READY, /* *ret_cell may be made live by a swap from {key, *ret_state} */
	SLOTS_AGAIN,
	SLOTS_FULL,
};

enum slots_step slots_claim(struct slots *t, uint64_t key, struct slots_claim *claim,
			    struct cell **ret_cell, uint64_t *ret_state);

/* For who has counted the key elsewhere, for want of room: takes pending cells of it away, so
 * that none becomes live whose maker looked there before. False: one is live. */
bool slots_clear(struct slots *t, uint64_t key);

/* Room for that many keys at `percent` of load, in whole buckets. */
uint32_t slots_buckets(uint32_t keys, unsigned percent);

#endif

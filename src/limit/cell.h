/* Sixteen bytes that change together: what a key is known by and what it has used.
 *
 * Any thread reads and writes a cell, and each write is one compare-and-swap of all sixteen
 * bytes. A reader takes the two halves one after the other and may catch halves of two
 * different times. That harms nobody: who goes on to write does so by a compare-and-swap
 * that fails unless both halves are still there together, and who does not write (a refusal)
 * asks cell_is() first. The swaps are full barriers, the loads acquire, so what a thread
 * wrote before its swap is seen by whoever reads what it swapped in.
 */
#ifndef RINGWAY_LIMIT_CELL_H
#define RINGWAY_LIMIT_CELL_H

#include <ringway/base/base.h>

struct cell {
	_Alignas(16) uint64_t key;
	uint64_t state;
};

/* Between any two of these another thread may be scheduled; a test says when. */
#ifndef CELL_PAUSE
#define CELL_PAUSE() ((void)0)
#endif

static inline uint64_t cell_key(const struct cell *c)
{
	CELL_PAUSE();
	return __atomic_load_n(&c->key, __ATOMIC_ACQUIRE);
}

static inline uint64_t cell_state(const struct cell *c)
{
	CELL_PAUSE();
	return __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);
}

/* Both halves were there at one moment since `key` was read for the first time: the state
 * was, between two looks that found the key. */
static inline bool cell_is(const struct cell *c, uint64_t key, uint64_t state)
{
	return cell_state(c) == state && cell_key(c) == key;
}

static inline bool cell_cas(struct cell *c, uint64_t key, uint64_t state, uint64_t new_key,
			    uint64_t new_state)
{
	unsigned __int128 old = (unsigned __int128)state << 64 | key;
	unsigned __int128 new = (unsigned __int128)new_state << 64 | new_key;

	CELL_PAUSE();
	return __sync_bool_compare_and_swap((unsigned __int128 *)(void *)c, old, new);
}

#endif

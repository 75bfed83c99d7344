/* How many client connections the whole process holds, against its limit.
 *
 * One counter for all shards, touched when a connection begins and ends, never by a
 * request. Relaxed order: it guards no other memory.
 */
#ifndef RINGWAY_NET_GATE_H
#define RINGWAY_NET_GATE_H

#include <stdatomic.h>

#include <ringway/base/base.h>

struct gate {
	_Alignas(CACHE_LINE) _Atomic uint32_t inside;
	_Atomic uint32_t limit; /* the control shard changes it on reload */
};

static inline void gate_init(struct gate *g, uint32_t limit)
{
	atomic_init(&g->inside, 0);
	atomic_init(&g->limit, limit);
}

/* False: full, nothing was counted. */
static inline bool gate_enter(struct gate *g)
{
	uint32_t before = atomic_fetch_add_explicit(&g->inside, 1, memory_order_relaxed);

	if (before < atomic_load_explicit(&g->limit, memory_order_relaxed))
		return true;
	atomic_fetch_sub_explicit(&g->inside, 1, memory_order_relaxed);
	return false;
}

static inline void gate_leave(struct gate *g)
{
	atomic_fetch_sub_explicit(&g->inside, 1, memory_order_relaxed);
}

static inline bool gate_has_room(struct gate *g)
{
	return atomic_load_explicit(&g->inside, memory_order_relaxed) <
	       atomic_load_explicit(&g->limit, memory_order_relaxed);
}

#endif

/* A number that one thread writes and any thread or process reads.
 *
 * The writer alone changes it, with a plain load and a plain store: no locked instruction,
 * no line that two cores fight for. Readers see each number as it was a moment ago and never
 * half of one. Relaxed suffices since no number says that another one may be believed: two
 * counters that are read one after the other may be a few events apart.
 */
#ifndef RINGWAY_OBSERVE_COUNTER_H
#define RINGWAY_OBSERVE_COUNTER_H

#include <stdatomic.h>

#include <ringway/base/base.h>

struct counter {
	_Atomic uint64_t value;
};

static inline uint64_t counter_get(const struct counter *c)
{
	return atomic_load_explicit(&c->value, memory_order_relaxed);
}

/* The writer's only. */
static inline void counter_set(struct counter *c, uint64_t value)
{
	atomic_store_explicit(&c->value, value, memory_order_relaxed);
}

static inline void counter_add(struct counter *c, uint64_t n)
{
	counter_set(c, counter_get(c) + n);
}

/* Of what goes up and down. */
static inline void counter_sub(struct counter *c, uint64_t n)
{
	counter_set(c, counter_get(c) - n);
}

#endif

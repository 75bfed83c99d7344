/* Arithmetic of the states that fit one word: what a key has used, whether it may have
 * more, and what is left then. No memory is touched.
 *
 *   token bucket   theoretical arrival time in ticks of the limit's virtual time (GCRA):
 *                  the moment at which the key is as fresh as can be
 *   fixed window   number of the window << 30 | tokens taken in it; the number only grows
 *   concurrency    how many there are
 *
 * A fresh key has state 0 in all three.
 */
#ifndef RINGWAY_LIMIT_BUCKET_H
#define RINGWAY_LIMIT_BUCKET_H

#include "terms.h"

#define WINDOW_COUNT_BITS 30
#define WINDOW_COUNT_MASK ((1U << WINDOW_COUNT_BITS) - 1)

/* The time of one decision in the limit's own words. */
struct moment {
	uint64_t v;       /* buckets */
	uint64_t window;  /* fixed windows: the number */
	uint64_t wall_ns; /* fixed windows */
};

static inline void moment_init(struct moment *m, const struct terms_line *line,
			       const struct terms *t, uint64_t now_ns, int64_t wall_offset_ns)
{
	m->v = m->window = m->wall_ns = 0;
	if (t->algorithm == LIMIT_TOKEN_BUCKET) {
		m->v = terms_virtual(line, t, now_ns);
	} else if (t->algorithm == LIMIT_FIXED_WINDOW) {
		m->wall_ns = now_ns + (uint64_t)wall_offset_ns;
		m->window = m->wall_ns / t->span_ns;
	}
}

/* What a key is that nobody knows: nothing used, as of that moment. */
static inline uint64_t state_unused(const struct terms *t, const struct moment *m)
{
	if (t->algorithm == LIMIT_TOKEN_BUCKET)
		return m->v;
	return t->algorithm == LIMIT_FIXED_WINDOW ? m->window << WINDOW_COUNT_BITS : 0;
}

/* Equal to that of a fresh key from here on. */
static inline bool state_is_idle(const struct terms *t, const struct moment *m, uint64_t state)
{
	if (t->algorithm == LIMIT_TOKEN_BUCKET)
		return state <= m->v;
	if (t->algorithm == LIMIT_FIXED_WINDOW)
		return state >> WINDOW_COUNT_BITS < m->window || !(state & WINDOW_COUNT_MASK);
	return state == 0;
}

static inline bool bucket_take(const struct terms *t, uint64_t v, uint64_t tat, uint32_t cost,
			       uint64_t *ret_tat, struct limit_verdict *verdict)
{
	uint64_t base = max_u64(tat, v);
	uint64_t next = base + (uint64_t)cost * t->price;
	uint64_t end = v + (uint64_t)t->burst * t->price;

	if (likely(next <= end)) {
		*ret_tat = next;
		verdict->outcome = LIMIT_ADMITTED;
		verdict->remaining = (end - next) / t->price;
		verdict->wait_ns = 0;
		verdict->reset_ns = terms_real_ns(t, next - v);
		return true;
	}
	verdict->outcome = LIMIT_REFUSED;
	verdict->remaining = end > base ? (end - base) / t->price : 0;
	verdict->wait_ns = terms_real_ns(t, next - end);
	verdict->reset_ns = terms_real_ns(t, base - v);
	return false;
}

/* A clock that was set back, or lags, goes on counting in the latest window. */
static inline bool window_take(const struct terms *t, const struct moment *m, uint64_t state,
			       uint32_t cost, uint64_t *ret_state, struct limit_verdict *verdict)
{
	uint64_t window = max_u64(state >> WINDOW_COUNT_BITS, m->window);
	uint64_t used = state >> WINDOW_COUNT_BITS == window ? state & WINDOW_COUNT_MASK : 0;
	uint64_t end_ns = (window + 1) * t->span_ns - m->wall_ns;
	bool admitted = used + cost <= t->burst;

	if (admitted) {
		used += cost;
		*ret_state = window << WINDOW_COUNT_BITS | used;
	}
	verdict->outcome = admitted ? LIMIT_ADMITTED : LIMIT_REFUSED;
	verdict->remaining = used < t->burst ? t->burst - used : 0;
	verdict->wait_ns = admitted ? 0 : end_ns;
	verdict->reset_ns = used ? end_ns : 0;
	return admitted;
}

static inline bool concurrency_take(const struct terms *t, uint64_t state, uint32_t cost,
				    uint64_t *ret_state, struct limit_verdict *verdict)
{
	bool admitted = state + cost <= t->burst;

	if (admitted)
		*ret_state = state += cost;
	verdict->outcome = admitted ? LIMIT_ADMITTED : LIMIT_REFUSED;
	verdict->remaining = state < t->burst ? t->burst - state : 0;
	verdict->wait_ns = verdict->reset_ns = 0;
	return admitted;
}

/* False: refused, and *ret_state is untouched. */
static inline bool state_take(const struct terms *t, const struct moment *m, uint64_t state,
			      uint32_t cost, uint64_t *ret_state, struct limit_verdict *verdict)
{
	if (likely(t->algorithm == LIMIT_TOKEN_BUCKET))
		return bucket_take(t, m->v, state, cost, ret_state, verdict);
	if (t->algorithm == LIMIT_FIXED_WINDOW)
		return window_take(t, m, state, cost, ret_state, verdict);
	return concurrency_take(t, state, cost, ret_state, verdict);
}

/* The state after `cost` came back; the same if it cannot. */
static inline uint64_t state_give(const struct terms *t, const struct moment *m, uint64_t state,
				  uint32_t cost)
{
	uint64_t ticks = (uint64_t)cost * t->price;

	if (t->algorithm == LIMIT_TOKEN_BUCKET) {
		if (state <= m->v)
			return state;
		return state > m->v + ticks ? state - ticks : m->v;
	}
	if (t->algorithm == LIMIT_FIXED_WINDOW) {
		if (state >> WINDOW_COUNT_BITS != m->window)
			return state;
		return state - min_u64(cost, state & WINDOW_COUNT_MASK);
	}
	return state - min_u64(cost, state);
}

#endif

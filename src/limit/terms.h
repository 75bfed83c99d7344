/* What a limit allows at the moment, as all shards see it.
 *
 * A token bucket's time is virtual: it runs in ticks, a token costs a fixed number of them
 * (`price`, for the limit's life) and the rate is how fast they pass. So what a key has used,
 * the ticks that its theoretical arrival time is ahead of the clock, keeps its meaning when
 * the rate changes, and nothing needs to be rewritten.
 *
 * The clock counts whole ticks, so between two readings it may gain up to one. A tick less
 * per token than the price pays for that: with m tokens admitted beyond the burst,
 * m * price <= gained <= m_real * (price - 1) + 1 gives m <= m_real, for m >= 1. Hence never
 * a token too many, at the price of 1/price of the rate (price is at least 2048).
 *
 * A lane is one life of a limit: it begins anew, with fresh keys, when what they have used
 * cannot be carried over (another algorithm, another window, a rate that grew more than
 * TERMS_GROWTH times). A fingerprint carries its lane, so keys of an old life are found by
 * nobody and may be overwritten.
 */
#ifndef RINGWAY_LIMIT_TERMS_H
#define RINGWAY_LIMIT_TERMS_H

#include <stdatomic.h>

#include <ringway/base/base.h>
#include <ringway/limit/limiter.h>

/* At the end of five years at a rate that grew this much, virtual time has 62 bits. */
#define TERMS_GROWTH 1024

/* A copy that belongs together. */
struct terms {
	uint32_t seq;
	uint16_t lane;
	uint8_t algorithm, on_full;
	uint32_t price;     /* buckets: ticks of a token */
	uint32_t burst;     /* the most that one key can have at once: burst or tokens */
	uint32_t lease_max; /* tokens that one shard may hold of one key; 0: no leases */
	uint32_t shift;
	uint64_t v_then, then_ns; /* virtual time was v_then then */
	uint64_t mult;            /* ticks per nanosecond, times 2^shift */
	double ns_per_tick;
	uint64_t span_ns; /* windows: the window, or its eighth */
};

struct terms_fields {
	_Alignas(CACHE_LINE) _Atomic uint32_t seq;
	_Atomic uint16_t lane;
	_Atomic uint8_t algorithm, on_full;
	_Atomic uint32_t price, burst, lease_max, shift;
	_Atomic uint64_t v_then, then_ns, mult, ns_per_tick, span_ns;
};

/* The same in shared memory. Written by the one thread that changes limits, read by all at
 * each decision: one cache line, under a sequence number that is odd while the fields
 * change. The writer's stores release, so who reads a new field also sees the odd number;
 * the reader's loads acquire, so the number is read again only after the fields. No bare
 * fence: the thread sanitizer does not see those. A writer that sleeps half-way holds up
 * nobody: what was before is written to `before` first, and in force until the number is
 * even again. */
struct terms_line {
	struct terms_fields now;
	struct terms_fields before;
	/* For who reads a clock that lags the last change, and for the writer. */
	_Alignas(CACHE_LINE) _Atomic uint64_t lag_speed; /* see terms_virtual_lag() */
	_Atomic uint32_t tokens;
	_Atomic uint64_t period_ns;
	_Atomic uint64_t birth_tokens, birth_period_ns;
};

_Static_assert(sizeof(struct terms_fields) == CACHE_LINE, "one line");

void terms_read_changing(const struct terms_line *line, struct terms *ret_terms);
/* Of one life: begins it, or changes it if `fresh` is false and terms_continue() allowed. */
void terms_write(struct terms_line *line, const struct limit_terms *terms, uint16_t lane,
		 unsigned shards, uint64_t now_ns, bool fresh);
/* Whether the keys' states keep their meaning under the new terms. */
bool terms_continue(const struct terms_line *line, const struct limit_terms *terms);
void terms_public(const struct terms_line *line, struct limit_terms *ret_terms);
/* `lag_speed` is the fastest that the clock has run in the limit's life, in ticks per
 * nanosecond times 2^TERMS_LAG_BITS: one word, so that it is whole whenever it is read. */
#define TERMS_LAG_BITS 40
uint64_t terms_virtual_lag(const struct terms_line *line, const struct terms *t, uint64_t now_ns);
/* What a token costs in a limit that begins with this rate. */
uint32_t terms_price(uint64_t tokens, uint64_t period_ns);

static inline uint32_t terms_seq(const struct terms_line *line)
{
	return atomic_load_explicit(&line->now.seq, memory_order_acquire);
}

/* The lane that is in force, as terms_read() would find it. */
static inline uint16_t terms_lane(const struct terms_line *line)
{
	uint32_t seq;
	uint16_t lane;

	do {
		seq = terms_seq(line);
		lane = atomic_load_explicit(seq & 1 ? &line->before.lane : &line->now.lane,
					    memory_order_acquire);
	} while (unlikely(terms_seq(line) != seq));
	return lane;
}

static inline void terms_copy(const struct terms_fields *from, struct terms *t)
{
	union {
		uint64_t bits;
		double number;
	} ns;

	t->lane = atomic_load_explicit(&from->lane, memory_order_acquire);
	t->algorithm = atomic_load_explicit(&from->algorithm, memory_order_acquire);
	t->on_full = atomic_load_explicit(&from->on_full, memory_order_acquire);
	t->price = atomic_load_explicit(&from->price, memory_order_acquire);
	t->burst = atomic_load_explicit(&from->burst, memory_order_acquire);
	t->lease_max = atomic_load_explicit(&from->lease_max, memory_order_acquire);
	t->shift = atomic_load_explicit(&from->shift, memory_order_acquire);
	t->v_then = atomic_load_explicit(&from->v_then, memory_order_acquire);
	t->then_ns = atomic_load_explicit(&from->then_ns, memory_order_acquire);
	t->mult = atomic_load_explicit(&from->mult, memory_order_acquire);
	ns.bits = atomic_load_explicit(&from->ns_per_tick, memory_order_acquire);
	t->ns_per_tick = ns.number;
	t->span_ns = atomic_load_explicit(&from->span_ns, memory_order_acquire);
}

static inline void terms_read(const struct terms_line *line, struct terms *t)
{
	t->seq = terms_seq(line);
	terms_copy(&line->now, t);
	if (unlikely((t->seq & 1) || terms_seq(line) != t->seq))
		terms_read_changing(line, t);
}

/* Virtual time. A shard whose clock lags the last change counts back with the fastest rate that
 * the limit ever had, since it may lag changes before that one, too: to it the past was no
 * later than to anybody. */
static inline uint64_t terms_virtual(const struct terms_line *line, const struct terms *t,
				     uint64_t now_ns)
{
	if (unlikely(now_ns < t->then_ns))
		return terms_virtual_lag(line, t, now_ns);
	return t->v_then +
	       (uint64_t)((unsigned __int128)(now_ns - t->then_ns) * t->mult >> t->shift);
}

/* Rounded up, and a little more than the error of the multiplication. */
static inline uint64_t terms_real_ns(const struct terms *t, uint64_t ticks)
{
	double ns = (double)(int64_t)ticks * t->ns_per_tick;

	return unlikely(ns > 9e18) ? INT64_MAX : (uint64_t)(int64_t)(ns + ns * 0x1p-50) + 1;
}

#endif

#include "terms.h"

#define WORK_YEARS_S  (5 * 366 * (uint64_t)86400)
#define PRICE_MIN_LOG 11
#define PRICE_MAX_LOG 31

void terms_read_changing(const struct terms_line *line, struct terms *t)
{
	do {
		t->seq = terms_seq(line);
		terms_copy(t->seq & 1 ? &line->before : &line->now, t);
	} while (terms_seq(line) != t->seq);
}

static void store32(_Atomic uint32_t *to, uint32_t value)
{
	atomic_store_explicit(to, value, memory_order_release);
}

static void store64(_Atomic uint64_t *to, uint64_t value)
{
	atomic_store_explicit(to, value, memory_order_release);
}

static uint64_t load64(const _Atomic uint64_t *from)
{
	return atomic_load_explicit(from, memory_order_acquire);
}

/* As fine as virtual time has room for: a rate that grew TERMS_GROWTH times, or to the
 * highest that there is, fills 62 bits in five years. */
uint32_t terms_price(uint64_t per_period, uint64_t period_ns)
{
	unsigned __int128 tokens =
		(unsigned __int128)per_period * TERMS_GROWTH * WORK_YEARS_S * NS_PER_S / period_ns;
	unsigned log = PRICE_MAX_LOG;

	if (tokens > (unsigned __int128)LIMIT_RATE_MAX * WORK_YEARS_S)
		tokens = (unsigned __int128)LIMIT_RATE_MAX * WORK_YEARS_S;
	while (log > PRICE_MIN_LOG && tokens << log >> 62)
		log--;
	return 1U << log;
}

struct speed {
	uint64_t mult;
	uint32_t shift;
};

/* floor(tokens * (price - 1) / period * 2^shift), with as many bits as one word has. */
static struct speed speed_of(const struct limit_terms *terms, uint32_t price)
{
	unsigned __int128 ticks = (unsigned __int128)terms->tokens * (price - 1);
	struct speed s = {.shift = 0};

	while (s.shift < 100 && !(ticks << s.shift >> 126) &&
	       !((ticks << s.shift) / terms->period_ns >> 61))
		s.shift++;
	s.mult = (uint64_t)((ticks << s.shift) / terms->period_ns);
	return s;
}

/* Rounded up. */
static uint64_t lag_speed_of(struct speed s)
{
	unsigned __int128 speed = (unsigned __int128)s.mult << TERMS_LAG_BITS;

	return (uint64_t)(speed >> s.shift) + 1;
}

static double speed_number(struct speed s)
{
	double number = (double)s.mult;

	for (uint32_t i = 0; i < s.shift; i++)
		number /= 2;
	return number;
}

/* a/b > c/d * TERMS_GROWTH */
static bool grew_too_much(const struct limit_terms *terms, uint64_t birth_tokens,
			  uint64_t birth_period_ns)
{
	return (unsigned __int128)terms->tokens * birth_period_ns >
	       (unsigned __int128)birth_tokens * terms->period_ns * TERMS_GROWTH;
}

bool terms_continue(const struct terms_line *line, const struct limit_terms *terms)
{
	struct limit_terms old;

	terms_public(line, &old);
	if (old.algorithm != terms->algorithm)
		return false;
	if (terms->algorithm == LIMIT_TOKEN_BUCKET)
		return line->now.price == 1U << PRICE_MIN_LOG ||
		       !grew_too_much(terms, line->birth_tokens, line->birth_period_ns);
	return terms->algorithm == LIMIT_CONCURRENCY || old.period_ns == terms->period_ns;
}

static void write_clock(struct terms_line *line, const struct limit_terms *terms, uint64_t now_ns,
			bool fresh)
{
	struct speed speed;
	uint32_t price = line->now.price;
	uint64_t v = 0, lag_speed = fresh ? 0 : load64(&line->lag_speed);
	union {
		double number;
		uint64_t bits;
	} ns;

	if (fresh) {
		price = terms_price(terms->tokens, terms->period_ns);
		speed = speed_of(terms, price);
	} else {
		struct terms now;

		now.v_then = line->now.v_then;
		now.then_ns = line->now.then_ns;
		now.mult = line->now.mult;
		now.shift = line->now.shift;
		/* A change that was dated later goes on from there. */
		now_ns = max_u64(now_ns, now.then_ns);
		v = terms_virtual(line, &now, now_ns);
		speed = speed_of(terms, price);
	}
	ns.number = 1 / speed_number(speed);
	store32(&line->now.price, price);
	store64(&line->now.v_then, v);
	store64(&line->now.then_ns, now_ns);
	store64(&line->now.mult, speed.mult);
	store32(&line->now.shift, speed.shift);
	store64(&line->now.ns_per_tick, ns.bits);
	store64(&line->lag_speed, max_u64(lag_speed, lag_speed_of(speed)));
}

static void begin_change(struct terms_line *line, uint32_t seq)
{
	struct terms_fields *to = &line->before, *from = &line->now;

	atomic_store_explicit(&to->lane, from->lane, memory_order_release);
	atomic_store_explicit(&to->algorithm, from->algorithm, memory_order_release);
	atomic_store_explicit(&to->on_full, from->on_full, memory_order_release);
	store32(&to->price, from->price);
	store32(&to->burst, from->burst);
	store32(&to->lease_max, from->lease_max);
	store32(&to->shift, from->shift);
	store64(&to->v_then, from->v_then);
	store64(&to->then_ns, from->then_ns);
	store64(&to->mult, from->mult);
	store64(&to->ns_per_tick, from->ns_per_tick);
	store64(&to->span_ns, from->span_ns);
	/* Release: `before` is whole for who sees the odd number. */
	atomic_store_explicit(&line->now.seq, seq + 1, memory_order_release);
}

void terms_write(struct terms_line *line, const struct limit_terms *terms, uint16_t lane,
		 unsigned shards, uint64_t now_ns, bool fresh)
{
	bool bucket = terms->algorithm == LIMIT_TOKEN_BUCKET;
	bool own_burst = bucket || terms->algorithm == LIMIT_CONCURRENCY;
	uint32_t seq = atomic_load_explicit(&line->now.seq, memory_order_relaxed);
	uint64_t lease_max = bucket ? terms->burst / (2 * (uint64_t)shards) : 0;

	begin_change(line, seq);
	atomic_store_explicit(&line->now.lane, lane, memory_order_release);
	atomic_store_explicit(&line->now.algorithm, terms->algorithm, memory_order_release);
	atomic_store_explicit(&line->now.on_full, terms->on_full, memory_order_release);
	store32(&line->now.burst, (uint32_t)(own_burst ? terms->burst : terms->tokens));
	/* Less is not worth the letters. */
	store32(&line->now.lease_max, lease_max >= 8 ? (uint32_t)lease_max : 0);
	store32(&line->tokens, (uint32_t)terms->tokens);
	store64(&line->period_ns, terms->period_ns);
	/* Eight of them are no less than the window. */
	store64(&line->now.span_ns, terms->algorithm == LIMIT_SLIDING_WINDOW
					    ? (terms->period_ns + 7) / 8
					    : terms->period_ns);
	if (fresh) {
		store64(&line->birth_tokens, terms->tokens);
		store64(&line->birth_period_ns, terms->period_ns);
	}
	if (bucket)
		write_clock(line, terms, now_ns, fresh);
	atomic_store_explicit(&line->now.seq, seq + 2, memory_order_release);
}

void terms_public(const struct terms_line *line, struct limit_terms *ret_terms)
{
	struct terms t;
	uint32_t seq;

	/* For who looks on: a writer that sleeps half-way shows tokens and period of both. */
	do {
		seq = terms_seq(line);
		terms_read(line, &t);
		ret_terms->algorithm = (enum limit_algorithm)t.algorithm;
		ret_terms->on_full = (enum limit_on_full)t.on_full;
		ret_terms->burst = t.burst;
		ret_terms->tokens = atomic_load_explicit(&line->tokens, memory_order_acquire);
		ret_terms->period_ns = load64(&line->period_ns);
	} while (terms_seq(line) != seq);
}

uint64_t terms_virtual_lag(const struct terms_line *line, const struct terms *t, uint64_t now_ns)
{
	unsigned __int128 back =
		(unsigned __int128)(t->then_ns - now_ns) * load64(&line->lag_speed);

	back = (back >> TERMS_LAG_BITS) + 1; /* rounded up */
	return back < t->v_then ? t->v_then - (uint64_t)back : 0;
}

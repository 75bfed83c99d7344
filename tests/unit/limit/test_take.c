/* Decisions, one shard after the other. */
#include "limited.h"

#include <errno.h>
#include <stdio.h>

/* A token bucket in the plainest words, with fractions of a token in 128 bits. */
struct model {
	unsigned __int128 held; /* tokens times period_ns */
	uint64_t at_ns;
	struct limit_terms terms;
};

static bool model_take(struct model *m, uint32_t cost, uint64_t now_ns)
{
	unsigned __int128 full = (unsigned __int128)m->terms.burst * m->terms.period_ns;

	m->held += (unsigned __int128)(now_ns - m->at_ns) * m->terms.tokens;
	if (m->held > full)
		m->held = full;
	m->at_ns = now_ns;
	if (m->held < (unsigned __int128)cost * m->terms.period_ns)
		return false;
	m->held -= (unsigned __int128)cost * m->terms.period_ns;
	return true;
}

static void check_against_model(uint64_t tokens, uint64_t period_ns, uint64_t burst,
				uint64_t pace_ns)
{
	struct limited l;
	struct model m = {.at_ns = BEGIN_NS, .terms = bucket_terms(tokens, period_ns, burst)};
	struct model alone; /* decides for itself */
	uint64_t now_ns = BEGIN_NS, admitted = 0, modelled = 0;
	uint32_t limit;

	limited_init(&l, 1, 100, 0);
	limit = limited_add(&l, "a", m.terms);
	m.held = (unsigned __int128)burst * period_ns;
	alone = m;
	for (int i = 0; i < 20000; i++) {
		uint32_t cost = 1 + (uint32_t)limited_random(&l, burst < 5 ? burst : 5);
		struct limit_verdict v;

		now_ns += limited_random(&l, 2 * pace_ns);
		v = take(&l, 0, limit, 7, cost, now_ns);
		assert_in_range(v.remaining, 0, burst);
		/* The model takes what was admitted, so it may never be short of it. */
		if (v.outcome == LIMIT_ADMITTED) {
			assert_true(model_take(&m, cost, now_ns));
			admitted += cost;
		} else {
			assert_true(v.wait_ns > 0);
		}
		modelled += model_take(&alone, cost, now_ns) ? cost : 0;
	}
	/* Less only by the rounding of the rate, and by how differently large and small ones
	 * fall into what is left. */
	assert_in_range(admitted, modelled - modelled / 20, modelled + modelled / 20);
	assert_true(admitted >= burst);
	limited_fini(&l);
}

static void a_bucket_admits_what_the_plain_model_has(void **state UNUSED)
{
	check_against_model(100, NS_PER_S, 50, 9 * NS_PER_MS);
	check_against_model(3, NS_PER_S, 7, 300 * NS_PER_MS);
	check_against_model(1, 60 * NS_PER_S, 1, 50 * NS_PER_S);
	check_against_model(1000000, NS_PER_S, 20, 900);
	check_against_model(1000000, NS_PER_S / 10, 1000, 90);
	check_against_model(1, 366 * 86400 * NS_PER_S, 1000, 86400 * NS_PER_S);
}

/* From `least` to `most`, each power of two as likely. */
static uint64_t of_any_size(struct limited *l, uint64_t least, uint64_t most)
{
	unsigned low = 63 - (unsigned)__builtin_clzll(least);
	unsigned high = 63 - (unsigned)__builtin_clzll(most);
	uint64_t n;

	do {
		uint64_t power = (uint64_t)1 << (low + limited_random(l, high - low + 1));

		n = power + limited_random(l, power);
	} while (n < least || n > most);
	return n;
}

/* How long until the next one asks: about as fast as tokens come, in bursts after rests as long
 * as the bucket takes to fill, or far too fast. */
static uint64_t gap_of(struct limited *l, int mode, uint64_t token_ns, uint64_t burst)
{
	if (mode == 0)
		return limited_random(l, 2 * token_ns);
	if (mode == 1 && limited_random(l, 40) == 0)
		return token_ns * of_any_size(l, 1, burst);
	return limited_random(l, token_ns / 30 + 2);
}

static void check_terms_of_any_size(uint64_t seed)
{
	const uint64_t day_ns = 86400 * NS_PER_S, years_ns = 5 * 366 * day_ns;
	struct limit_terms terms = bucket_terms(1, 1, 1);
	int mode = (int)(seed % 3);
	struct limiter_stats stats;
	uint64_t now_ns, token_ns;
	struct limited l;
	struct model m;
	uint32_t limit;

	limited_init(&l, 3, 64, 0);
	l.random ^= seed * 0x9e3779b97f4a7c15;
	do {
		terms.tokens = of_any_size(&l, 1, LIMIT_TOKENS_MAX);
		terms.period_ns = of_any_size(&l, 1, 366 * day_ns);
	} while (terms.tokens * NS_PER_S > LIMIT_RATE_MAX * (unsigned __int128)terms.period_ns);
	terms.burst = of_any_size(&l, 1, LIMIT_TOKENS_MAX);
	token_ns = terms.period_ns / terms.tokens + 1;
	limit = limited_add(&l, "a", terms);
	now_ns = of_any_size(&l, 1, years_ns - 366 * day_ns);
	m = (struct model){.held = (unsigned __int128)terms.burst * terms.period_ns,
			   .at_ns = now_ns,
			   .terms = terms};
	for (int i = 0; i < 3000; i++) {
		uint32_t cost = (uint32_t)of_any_size(&l, 1, i % 4 ? 1 : terms.burst);
		unsigned shard = (unsigned)limited_random(&l, 3);
		uint64_t gap_ns = gap_of(&l, mode, token_ns, terms.burst);
		struct limit_verdict v;

		if (now_ns + gap_ns > years_ns)
			break;
		now_ns += gap_ns;
		v = take(&l, shard, limit, 7, cost, now_ns);
		assert_in_range(v.remaining, 0, terms.burst);
		if (v.outcome == LIMIT_ADMITTED)
			assert_true(model_take(&m, cost, now_ns));
		else
			assert_true(v.wait_ns > 0);
		if (i % 20 == 0)
			limiter_upkeep(l.shard[shard], now_ns);
	}
	for (unsigned shard = 0; shard < 3; shard++) {
		limiter_shard_stats(l.shard[shard], &stats);
		assert_int_equal(stats.over_admitted, 0);
	}
	limited_fini(&l);
}

static void no_terms_however_extreme_admit_more_than_the_plain_model(void **state UNUSED)
{
	for (uint64_t seed = 1; seed <= 300; seed++)
		check_terms_of_any_size(seed);
}

static void after_the_wait_it_is_admitted_and_not_long_before(void **state UNUSED)
{
	struct limited l;
	uint32_t limit;
	uint64_t now_ns = BEGIN_NS;

	limited_init(&l, 1, 100, 0);
	limit = limited_add(&l, "a", bucket_terms(100, NS_PER_S, 10));
	assert_int_equal(admitted_of(&l, 0, limit, 1, 20, now_ns), 10);
	for (int i = 0; i < 100; i++) {
		struct limit_verdict v = take(&l, 0, limit, 1, 3, now_ns);

		assert_int_equal(v.outcome, LIMIT_REFUSED);
		assert_false(v.counted);
		assert_int_equal(v.remaining, 0);
		assert_in_range(v.wait_ns, 29 * NS_PER_MS, 31 * NS_PER_MS);
		assert_int_equal(take(&l, 0, limit, 1, 3, now_ns + v.wait_ns - 1000).outcome,
				 LIMIT_REFUSED);
		now_ns += v.wait_ns;
		v = take(&l, 0, limit, 1, 3, now_ns);
		assert_int_equal(v.outcome, LIMIT_ADMITTED);
		assert_true(v.counted);
	}
	limited_fini(&l);
}

static void what_is_above_the_burst_never_comes(void **state UNUSED)
{
	struct limited l;
	uint32_t limit;

	limited_init(&l, 1, 100, 0);
	limit = limited_add(&l, "a", bucket_terms(100, NS_PER_S, 10));
	assert_int_equal(take(&l, 0, limit, 1, 11, BEGIN_NS).wait_ns, UINT64_MAX);
	assert_int_equal(take(&l, 0, limit, 1, 10, BEGIN_NS).outcome, LIMIT_ADMITTED);
	limited_fini(&l);
}

static void what_is_given_back_may_be_taken_again_but_not_more(void **state UNUSED)
{
	struct limited l;
	uint32_t limit;

	limited_init(&l, 1, 100, 0);
	limit = limited_add(&l, "a", bucket_terms(100, NS_PER_S, 10));
	limiter_give(l.shard[0], limit, key_of(&l, limit, 1), 5, BEGIN_NS); /* nobody knows it */
	assert_int_equal(admitted_of(&l, 0, limit, 1, 20, BEGIN_NS), 10);
	limiter_give(l.shard[0], limit, key_of(&l, limit, 1), 4, BEGIN_NS);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 20, BEGIN_NS), 4);
	limiter_give(l.shard[0], limit, key_of(&l, limit, 1), 40, BEGIN_NS);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 20, BEGIN_NS), 10);
	limited_fini(&l);
}

static void a_fixed_window_starts_anew_on_the_wall_clock(void **state UNUSED)
{
	struct limited l;
	struct limit_terms terms = {
		.algorithm = LIMIT_FIXED_WINDOW, .tokens = 5, .period_ns = 60 * NS_PER_S};
	struct limit_verdict v;
	uint32_t limit;
	uint64_t edge_ns = 1020 * NS_PER_S;

	limited_init(&l, 1, 100, 0);
	limit = limited_add(&l, "a", terms);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, edge_ns - 2 * NS_PER_S), 5);
	v = take(&l, 0, limit, 1, 1, edge_ns - 1);
	assert_int_equal(v.outcome, LIMIT_REFUSED);
	assert_int_equal(v.wait_ns, 1);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, edge_ns), 5);
	/* Back in the window before: it counts in the latest. */
	assert_false(admits(&l, 0, limit, 1, edge_ns - 1));
	/* Of a window that is over nothing comes back. */
	limiter_give(l.shard[0], limit, key_of(&l, limit, 1), 3, edge_ns - 1);
	assert_false(admits(&l, 0, limit, 1, edge_ns));
	limiter_give(l.shard[0], limit, key_of(&l, limit, 1), 3, edge_ns);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, edge_ns), 3);
	/* The wall clock jumps ahead: another window. */
	limiter_set_wall_offset(l.limiter, 60 * (int64_t)NS_PER_S);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, edge_ns), 5);
	limiter_set_wall_offset(l.limiter, 0);
	assert_false(admits(&l, 0, limit, 1, edge_ns));
	limited_fini(&l);
}

static void as_many_at_once_as_allowed_each_until_it_ends(void **state UNUSED)
{
	struct limited l;
	struct limit_terms terms = {
		.algorithm = LIMIT_CONCURRENCY, .tokens = 1, .period_ns = NS_PER_S, .burst = 3};
	uint32_t limit;

	limited_init(&l, 2, 100, 0);
	limit = limited_add(&l, "a", terms);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, BEGIN_NS), 3);
	assert_false(admits(&l, 1, limit, 1, BEGIN_NS + 3600 * NS_PER_S));
	limiter_give(l.shard[1], limit, key_of(&l, limit, 1), 1, BEGIN_NS);
	assert_true(admits(&l, 1, limit, 1, BEGIN_NS));
	assert_false(admits(&l, 0, limit, 1, BEGIN_NS));
	limited_fini(&l);
}

static void an_exhausted_key_stays_so_when_the_rate_changes(void **state UNUSED)
{
	struct limited l;
	struct limit_terms terms = bucket_terms(100, NS_PER_S, 50);
	uint64_t now_ns = BEGIN_NS;
	uint32_t limit;

	limited_init(&l, 1, 100, 0);
	limit = limited_add(&l, "a", terms);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 90, now_ns), 50);
	terms.tokens = 10000;
	limiter_set(l.limiter, limit, &terms, now_ns);
	assert_false(admits(&l, 0, limit, 1, now_ns));
	assert_in_range(admitted_of(&l, 0, limit, 1, 90, now_ns + NS_PER_MS), 9, 10);
	now_ns += NS_PER_MS;
	terms.tokens = 1;
	limiter_set(l.limiter, limit, &terms, now_ns);
	/* What was left of the ten, less than one, counts. */
	assert_false(admits(&l, 0, limit, 1, now_ns));
	assert_in_range(admitted_of(&l, 0, limit, 1, 90, now_ns + 2001 * NS_PER_MS), 2, 3);
	/* Another burst gives or takes what it differs by. */
	now_ns += 2001 * NS_PER_MS;
	terms.burst = 60;
	limiter_set(l.limiter, limit, &terms, now_ns);
	assert_in_range(admitted_of(&l, 0, limit, 1, 90, now_ns), 10, 10);
	/* A clock that lags the change gets nothing for it. */
	assert_false(admits(&l, 0, limit, 1, now_ns - 500 * NS_PER_MS));
	limited_fini(&l);
}

static void a_clock_that_lags_several_changes_gains_nothing(void **state UNUSED)
{
	struct limited l;
	struct limit_terms terms = bucket_terms(300, NS_PER_S, 30); /* too small for leases */
	uint32_t limit;

	limited_init(&l, 2, 100, 0);
	limit = limited_add(&l, "a", terms);
	assert_int_equal(admitted_of(&l, 1, limit, 1, 200, BEGIN_NS), 30);
	/* Shard 1 sleeps; it was fast until the first change, which the second one does not say. */
	terms.tokens = 1;
	limiter_set(l.limiter, limit, &terms, BEGIN_NS + 100 * NS_PER_MS);
	terms.tokens = 2;
	limiter_set(l.limiter, limit, &terms, BEGIN_NS + 200 * NS_PER_MS);
	assert_int_equal(admitted_of(&l, 1, limit, 1, 200, BEGIN_NS), 0);
	/* What came in by the clock of the others is there. */
	assert_in_range(admitted_of(&l, 0, limit, 1, 200, BEGIN_NS + 200 * NS_PER_MS), 29, 30);
	limited_fini(&l);
}

static void another_algorithm_makes_every_key_fresh(void **state UNUSED)
{
	struct limited l;
	struct limit_terms terms = bucket_terms(1, NS_PER_S, 5);
	uint64_t before;
	uint32_t limit;

	limited_init(&l, 1, 100, 0);
	limit = limited_add(&l, "a", terms);
	before = key_of(&l, limit, 1);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, BEGIN_NS), 5);
	terms.algorithm = LIMIT_CONCURRENCY;
	limiter_set(l.limiter, limit, &terms, BEGIN_NS);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, BEGIN_NS), 5);
	/* What was taken in the former life goes nowhere. */
	limiter_give(l.shard[0], limit, before, 1, BEGIN_NS);
	assert_false(admits(&l, 0, limit, 1, BEGIN_NS));
	limited_fini(&l);
}

static void every_limit_can_begin_anew_more_often_than_there_are_lanes(void **state UNUSED)
{
	struct limited l;
	struct limit_terms terms = bucket_terms(1, NS_PER_S, 5);
	uint32_t limit;

	limited_init(&l, 1, 100, 0);
	limit = limited_add(&l, "a", terms);
	for (int i = 0; i < 5000; i++) {
		terms.algorithm = terms.algorithm == LIMIT_CONCURRENCY ? LIMIT_TOKEN_BUCKET
								       : LIMIT_CONCURRENCY;
		limiter_set(l.limiter, limit, &terms, BEGIN_NS);
		assert_int_equal(admitted_of(&l, 0, limit, 1, 9, BEGIN_NS), 5);
	}
	limited_fini(&l);
}

static void fill(struct limited *l, uint32_t limit, uint64_t keys, uint64_t now_ns)
{
	for (uint64_t i = 0; i < keys; i++)
		assert_true(take(l, 0, limit, 1000 + i, 1, now_ns).outcome != LIMIT_REFUSED);
}

static void a_full_table_has_its_policy(void **state UNUSED)
{
	struct limit_terms terms = bucket_terms(1, 3600 * NS_PER_S, 5);
	struct limiter_stats stats;
	struct limit_verdict v;
	struct limited l;
	uint32_t fill_limit, open, closed, coarse;

	limited_init(&l, 1, 10, 0); /* two buckets of 16 */
	fill_limit = limited_add(&l, "fill", bucket_terms(1, 60 * NS_PER_S, 100));
	coarse = limited_add(&l, "coarse", terms);
	terms.on_full = LIMIT_FULL_OPEN;
	open = limited_add(&l, "open", terms);
	terms.on_full = LIMIT_FULL_CLOSED;
	closed = limited_add(&l, "closed", terms);
	fill(&l, fill_limit, 32, BEGIN_NS);
	limiter_shard_stats(l.shard[0], &stats);
	assert_int_equal(stats.inserted, 32);
	assert_int_equal(stats.no_room, 0);
	v = take(&l, 0, open, 1, 1, BEGIN_NS);
	assert_int_equal(v.outcome, LIMIT_ADMITTED);
	assert_false(v.counted);
	v = take(&l, 0, closed, 1, 1, BEGIN_NS);
	assert_int_equal(v.outcome, LIMIT_NO_ROOM);
	for (int i = 0; i < 5; i++) {
		v = take(&l, 0, coarse, 1, 1, BEGIN_NS);
		assert_int_equal(v.outcome, LIMIT_ADMITTED);
		assert_true(v.coarse && v.counted);
	}
	assert_int_equal(take(&l, 0, coarse, 1, 1, BEGIN_NS).outcome, LIMIT_REFUSED);
	limiter_give_coarse(l.shard[0], coarse, key_of(&l, coarse, 1), 1, BEGIN_NS);
	assert_true(admits(&l, 0, coarse, 1, BEGIN_NS));
	/* Never more than 64 times the burst for all keys together. */
	assert_in_range(admitted_of(&l, 0, coarse, 2, 9, BEGIN_NS), 0, 5);
	limiter_shard_stats(l.shard[0], &stats);
	assert_int_equal(stats.no_room, 2 + 7 + 9);
	/* As soon as the others are idle there is room. */
	v = take(&l, 0, closed, 1, 1, BEGIN_NS + 61 * NS_PER_S);
	assert_int_equal(v.outcome, LIMIT_ADMITTED);
	limiter_shard_stats(l.shard[0], &stats);
	assert_int_equal(stats.evicted, 1);
	limited_fini(&l);
}

/* Sets the limit's keys going in shared slots, then makes room for them. */
static void what_was_taken_in_a_shared_slot_outlives(enum limit_on_full policy,
						     enum limit_algorithm algorithm)
{
	struct limit_terms terms = bucket_terms(1, 3600 * NS_PER_S, 5);
	uint64_t later_ns = BEGIN_NS + 61 * NS_PER_S;
	struct limit_verdict v;
	struct limited l;
	uint32_t fill_limit, limit;

	terms.algorithm = algorithm;
	limited_init(&l, 1, 10, 0);
	fill_limit = limited_add(&l, "fill", bucket_terms(1, 60 * NS_PER_S, 100));
	limit = limited_add(&l, "a", terms);
	fill(&l, fill_limit, 32, BEGIN_NS);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 5, BEGIN_NS), 5);
	terms.on_full = policy;
	limiter_set(l.limiter, limit, &terms, BEGIN_NS);
	v = take(&l, 0, limit, 1, 1, later_ns);
	assert_int_equal(v.outcome, LIMIT_REFUSED);
	if (algorithm == LIMIT_CONCURRENCY) {
		for (int i = 0; i < 5; i++)
			limiter_give_coarse(l.shard[0], limit, key_of(&l, limit, 1), 1, later_ns);
		assert_int_equal(admitted_of(&l, 0, limit, 1, 9, later_ns), 5);
	}
	limited_fini(&l);
}

static void another_policy_for_full_tables_forgets_nothing(void **state UNUSED)
{
	for (int policy = LIMIT_FULL_COARSE; policy <= LIMIT_FULL_CLOSED; policy++) {
		what_was_taken_in_a_shared_slot_outlives((enum limit_on_full)policy,
							 LIMIT_TOKEN_BUCKET);
		what_was_taken_in_a_shared_slot_outlives((enum limit_on_full)policy,
							 LIMIT_CONCURRENCY);
	}
}

static void a_lane_that_comes_again_finds_no_shared_slots_of_its_former_life(void **state UNUSED)
{
	struct limit_terms terms = bucket_terms(1, 3600 * NS_PER_S, 5);
	struct limited l;
	uint32_t fill_limit, limit;

	limited_init(&l, 1, 10, 0);
	fill_limit = limited_add(&l, "fill", bucket_terms(1, 60 * NS_PER_S, 100));
	limit = limited_add(&l, "a", terms);
	fill(&l, fill_limit, 32, BEGIN_NS);
	for (int i = 0; i < 5000; i++) {
		terms.algorithm = terms.algorithm == LIMIT_CONCURRENCY ? LIMIT_TOKEN_BUCKET
								       : LIMIT_CONCURRENCY;
		limiter_set(l.limiter, limit, &terms, BEGIN_NS);
		/* All lanes but the other limit's were used since the last time. */
		if (i % 2047 == 100)
			assert_int_equal(admitted_of(&l, 0, limit, 1, 9, BEGIN_NS), 5);
	}
	limited_fini(&l);
}

static void only_what_is_idle_is_overwritten(void **state UNUSED)
{
	struct limited l;
	uint32_t strangers, honest;
	struct limit_terms in_flight = {
		.algorithm = LIMIT_CONCURRENCY, .tokens = 1, .period_ns = NS_PER_S, .burst = 1};
	uint32_t cap;
	uint64_t now_ns = BEGIN_NS;

	limited_init(&l, 1, 100, 0);
	strangers = limited_add(&l, "strangers", bucket_terms(100, NS_PER_S, 1));
	honest = limited_add(&l, "honest", bucket_terms(1, 3600 * NS_PER_S, 3));
	cap = limited_add(&l, "cap", in_flight);
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(admitted_of(&l, 0, honest, i, 9, now_ns), 3);
		assert_true(admits(&l, 0, cap, i, now_ns));
	}
	for (uint64_t i = 0; i < 100000; i++)
		take(&l, 0, strangers, 1000 + i, 1, now_ns += 100 * NS_PER_US);
	for (uint64_t i = 0; i < 20; i++) {
		assert_false(admits(&l, 0, honest, i, now_ns));
		assert_false(admits(&l, 0, cap, i, now_ns));
	}
	limited_fini(&l);
}

static void a_lagging_clock_gains_nothing_from_what_was_forgotten(void **state UNUSED)
{
	struct limited l;
	uint32_t limit;
	uint64_t later_ns = BEGIN_NS + 10 * NS_PER_S, admitted;

	limited_init(&l, 2, 10, 0);
	limit = limited_add(&l, "a", bucket_terms(1, NS_PER_S, 5));
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, later_ns - 5 * NS_PER_S), 5);
	/* At `later` the key is idle, and strangers take all cells, by the clock of shard 0. */
	for (uint64_t i = 0; i < 32; i++)
		take(&l, 0, limit, 1000 + i, 1, later_ns + i);
	/* Shard 1 still has a time at which nothing was left. */
	admitted = admitted_of(&l, 1, limit, 1, 9, later_ns - 5 * NS_PER_S);
	assert_int_equal(admitted, 0);
	limited_fini(&l);
}

static void a_look_says_what_is_left_and_a_reset_makes_fresh(void **state UNUSED)
{
	struct limited l;
	struct limit_view view;
	uint32_t limit;
	uint64_t key;

	limited_init(&l, 1, 100, 0);
	limit = limited_add(&l, "a", bucket_terms(1, NS_PER_S, 5));
	key = key_of(&l, limit, 1);
	assert_false(limiter_look(l.limiter, limit, key, BEGIN_NS, &view));
	assert_int_equal(admitted_of(&l, 0, limit, 1, 3, BEGIN_NS), 3);
	assert_true(limiter_look(l.limiter, limit, key, BEGIN_NS, &view));
	assert_int_equal(view.remaining, 2);
	assert_in_range(view.reset_ns, 2999 * NS_PER_MS, 3010 * NS_PER_MS);
	assert_false(view.hot);
	limiter_reset(l.limiter, limit, key, BEGIN_NS);
	assert_false(limiter_look(l.limiter, limit, key, BEGIN_NS, &view));
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, BEGIN_NS), 5);
	limited_fini(&l);
}

static void a_limit_is_known_by_its_name(void **state UNUSED)
{
	struct limit_terms terms = bucket_terms(1, NS_PER_S, 5), got;
	char name[LIMIT_NAME_BYTES + 1];
	struct limited l;
	uint32_t limit;

	limited_init(&l, 1, 100, 0);
	assert_int_equal(limited_add(&l, "a", terms), 0);
	assert_int_equal(limited_add(&l, "b", bucket_terms(2, NS_PER_S, 6)), 1);
	terms.burst = 9;
	assert_int_equal(limited_add(&l, "a", terms), 0);
	limiter_terms(l.limiter, 0, &got);
	assert_int_equal(got.burst, 5);
	assert_int_equal(limiter_find(l.limiter, "c", &limit), -ENOENT);
	memset(name, 'x', LIMIT_NAME_BYTES);
	name[LIMIT_NAME_BYTES] = '\0';
	assert_int_equal(limiter_add(l.limiter, name, &terms, &limit), -ENAMETOOLONG);
	for (int i = 2; i < LIMITS_MAX; i++) {
		snprintf(name, sizeof(name), "limit %d", i);
		assert_int_equal(limited_add(&l, name, terms), i);
	}
	assert_int_equal(limiter_add(l.limiter, "one more", &terms, &limit), -ENOSPC);
	assert_string_equal(limiter_name(l.limiter, 2), "limit 2");
	/* The same key under two limits is two keys. */
	assert_int_equal(admitted_of(&l, 0, 2, 1, 20, BEGIN_NS), 9);
	assert_int_equal(admitted_of(&l, 0, 3, 1, 20, BEGIN_NS), 9);
	limited_fini(&l);
}

static void a_key_takes_at_most_24_bytes(void **state UNUSED)
{
	const struct limiter_size size = {.shards = 4, .keys = 1000000};

	assert_in_range(limiter_bytes(&size), 16000000, 24000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_admits_what_the_plain_model_has),
		cmocka_unit_test(no_terms_however_extreme_admit_more_than_the_plain_model),
		cmocka_unit_test(after_the_wait_it_is_admitted_and_not_long_before),
		cmocka_unit_test(what_is_above_the_burst_never_comes),
		cmocka_unit_test(what_is_given_back_may_be_taken_again_but_not_more),
		cmocka_unit_test(a_fixed_window_starts_anew_on_the_wall_clock),
		cmocka_unit_test(as_many_at_once_as_allowed_each_until_it_ends),
		cmocka_unit_test(an_exhausted_key_stays_so_when_the_rate_changes),
		cmocka_unit_test(a_clock_that_lags_several_changes_gains_nothing),
		cmocka_unit_test(another_algorithm_makes_every_key_fresh),
		cmocka_unit_test(every_limit_can_begin_anew_more_often_than_there_are_lanes),
		cmocka_unit_test(a_full_table_has_its_policy),
		cmocka_unit_test(another_policy_for_full_tables_forgets_nothing),
		cmocka_unit_test(a_lane_that_comes_again_finds_no_shared_slots_of_its_former_life),
		cmocka_unit_test(only_what_is_idle_is_overwritten),
		cmocka_unit_test(a_lagging_clock_gains_nothing_from_what_was_forgotten),
		cmocka_unit_test(a_look_says_what_is_left_and_a_reset_makes_fresh),
		cmocka_unit_test(a_limit_is_known_by_its_name),
		cmocka_unit_test(a_key_takes_at_most_24_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

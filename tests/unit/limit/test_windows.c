/* Sliding windows: never more than the limit in any window, and not much less. */
#include "limited.h"

#include "windows.h"

#define W     (8 * NS_PER_S)
#define SUB   NS_PER_S
#define LIMIT 40

static struct limit_terms sliding(uint64_t tokens, uint64_t period_ns)
{
	return (struct limit_terms){
		.algorithm = LIMIT_SLIDING_WINDOW, .tokens = tokens, .period_ns = period_ns};
}

static void what_was_taken_counts_until_its_eighth_is_past(void **state UNUSED)
{
	struct limited l;
	struct limit_verdict v;
	uint32_t limit;
	uint64_t begin = 1000 * SUB;

	limited_init(&l, 1, 0, 100);
	limit = limited_add(&l, "a", sliding(LIMIT, W));
	assert_int_equal(admitted_of(&l, 0, limit, 1, 30, begin + SUB / 2), 30);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 30, begin + 3 * SUB), 10);
	v = take(&l, 0, limit, 1, 1, begin + 8 * SUB);
	assert_int_equal(v.outcome, LIMIT_REFUSED);
	assert_int_equal(v.remaining, 0);
	assert_int_equal(v.wait_ns, SUB);
	assert_int_equal(v.reset_ns, 4 * SUB);
	/* For 31 the ten must be past as well. */
	v = take(&l, 0, limit, 1, 31, begin + 8 * SUB);
	assert_int_equal(v.wait_ns, 4 * SUB);
	assert_false(admits(&l, 0, limit, 1, begin + 9 * SUB - 1));
	assert_int_equal(admitted_of(&l, 0, limit, 1, 50, begin + 9 * SUB), 30);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 50, begin + 12 * SUB), 10);
	assert_int_equal(take(&l, 0, limit, 1, LIMIT + 1, begin).wait_ns, UINT64_MAX);
	limited_fini(&l);
}

static void a_long_pause_makes_it_fresh(void **state UNUSED)
{
	struct limited l;
	uint32_t limit;

	limited_init(&l, 1, 0, 100);
	limit = limited_add(&l, "a", sliding(LIMIT, W));
	for (uint64_t pause = 9; pause < 40; pause++) {
		uint64_t at = pause * 100000 * SUB;

		assert_int_equal(admitted_of(&l, 0, limit, 1, 50, at), LIMIT);
		assert_int_equal(admitted_of(&l, 0, limit, 1, 50, at + pause * SUB), LIMIT);
	}
	limited_fini(&l);
}

static void what_is_given_back_counts_no_more(void **state UNUSED)
{
	struct limited l;
	uint32_t limit;
	uint64_t at = 1000 * SUB;

	limited_init(&l, 1, 0, 100);
	limit = limited_add(&l, "a", sliding(LIMIT, W));
	assert_int_equal(admitted_of(&l, 0, limit, 1, 50, at), LIMIT);
	limiter_give(l.shard[0], limit, key_of(&l, limit, 1), 7, at);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 5, at + 2 * SUB), 5);
	/* Of a sub-window that is over nothing comes back. */
	limiter_give(l.shard[0], limit, key_of(&l, limit, 1), 7, at);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 50, at + 2 * SUB), 2);
	limited_fini(&l);
}

static int by_time(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Random costs aside: every admission's time is kept, and every window is counted. */
static void check_log(uint64_t *log_ns, size_t n, uint64_t tokens, uint64_t period_ns)
{
	qsort(log_ns, n, sizeof(*log_ns), by_time);
	for (size_t i = tokens; i < n; i++)
		assert_true(log_ns[i] - log_ns[i - tokens] > period_ns);
}

static void run_random(unsigned shards, uint64_t tokens, uint64_t period_ns, uint64_t pace_ns,
		       uint64_t lag_max_ns)
{
	static uint64_t log_ns[100000];
	struct limited l;
	uint64_t now_ns = BEGIN_NS, lag_ns[SHARDS_MAX] = {0};
	size_t n = 0;
	uint32_t limit;

	limited_init(&l, shards, 0, 100);
	limit = limited_add(&l, "a", sliding(tokens, period_ns));
	for (int i = 0; i < 100000; i++) {
		unsigned shard = (unsigned)limited_random(&l, shards);

		if (lag_max_ns && limited_random(&l, 50) == 0)
			lag_ns[shard] = limited_random(&l, lag_max_ns);
		now_ns += limited_random(&l, 2 * pace_ns);
		/* Now and then a pause, short or long. */
		if (limited_random(&l, 2000) == 0)
			now_ns += limited_random(&l, 3 * period_ns);
		if (admits(&l, shard, limit, 1, now_ns - lag_ns[shard]))
			log_ns[n++] = now_ns - lag_ns[shard];
	}
	assert_true(n > 3 * tokens);
	check_log(log_ns, n, tokens, period_ns);
	limited_fini(&l);
}

static void no_window_has_more_than_the_limit(void **state UNUSED)
{
	run_random(1, 40, 8 * NS_PER_S, 20 * NS_PER_MS, 0);
	run_random(1, 1, NS_PER_S, 100 * NS_PER_MS, 0);
	run_random(1, 1000, NS_PER_S + 3, 100 * NS_PER_US, 0);
}

static void clocks_that_lag_admit_no_more(void **state UNUSED)
{
	run_random(4, 40, NS_PER_S, 3 * NS_PER_MS, NS_PER_MS);
	run_random(4, 40, NS_PER_S, 3 * NS_PER_MS, 300 * NS_PER_MS);
	run_random(3, 5, NS_PER_S, 20 * NS_PER_MS, 3 * NS_PER_S);
}

static void a_small_lag_at_an_edge_refuses_nobody(void **state UNUSED)
{
	struct limited l;
	uint32_t limit;

	limited_init(&l, 2, 0, 100);
	limit = limited_add(&l, "a", sliding(LIMIT, W));
	for (uint64_t k = 1000; k < 1100; k++) {
		assert_true(admits(&l, 0, limit, 1, k * SUB));
		assert_true(admits(&l, 1, limit, 1, k * SUB - 1));
	}
	limited_fini(&l);
}

static void a_steady_client_gets_eight_ninths(void **state UNUSED)
{
	struct limited l;
	uint64_t admitted = 0;
	uint32_t limit;

	limited_init(&l, 1, 0, 100);
	limit = limited_add(&l, "a", sliding(900, W));
	for (uint64_t i = 0; i < 200000; i++)
		admitted += admits(&l, 0, limit, 1, BEGIN_NS + i * NS_PER_MS);
	/* 25 windows. */
	assert_in_range(admitted, 25 * 800 - 10, 26 * 900);
	limited_fini(&l);
}

static void only_idle_keys_are_overwritten(void **state UNUSED)
{
	struct limit_terms terms = sliding(2, 3600 * NS_PER_S);
	struct limiter_stats stats;
	struct limited l;
	uint32_t honest, strangers;
	uint64_t now_ns = BEGIN_NS;

	limited_init(&l, 1, 0, 100);
	strangers = limited_add(&l, "strangers", sliding(1, NS_PER_S));
	terms.on_full = LIMIT_FULL_CLOSED;
	honest = limited_add(&l, "honest", terms);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(admitted_of(&l, 0, honest, i, 9, now_ns), 2);
	for (uint64_t i = 0; i < 20000; i++)
		take(&l, 0, strangers, 1000 + i, 1, now_ns += 20 * NS_PER_MS);
	for (uint64_t i = 0; i < 20; i++)
		assert_false(admits(&l, 0, honest, i, now_ns));
	limiter_shard_stats(l.shard[0], &stats);
	assert_true(stats.evicted > 10000);
	assert_in_range(stats.inserted - stats.evicted, 32, 112);
	limited_fini(&l);
}

static void a_full_table_has_its_policy(void **state UNUSED)
{
	struct limit_terms terms = sliding(3, 3600 * NS_PER_S);
	struct limit_verdict v;
	struct limited l;
	uint32_t coarse, closed;

	limited_init(&l, 1, 0, 1);
	coarse = limited_add(&l, "coarse", terms);
	terms.on_full = LIMIT_FULL_CLOSED;
	closed = limited_add(&l, "closed", terms);
	for (uint64_t i = 0; i < 32; i++)
		take(&l, 0, closed, 1000 + i, 1, BEGIN_NS);
	assert_int_equal(take(&l, 0, closed, 1, 1, BEGIN_NS).outcome, LIMIT_NO_ROOM);
	for (int i = 0; i < 3; i++) {
		v = take(&l, 0, coarse, 1, 1, BEGIN_NS);
		assert_true(v.outcome == LIMIT_ADMITTED && v.coarse && v.counted);
	}
	assert_false(admits(&l, 0, coarse, 1, BEGIN_NS));
	limiter_give_coarse(l.shard[0], coarse, key_of(&l, coarse, 1), 1, BEGIN_NS);
	assert_true(admits(&l, 0, coarse, 1, BEGIN_NS));
	limited_fini(&l);
}

static void another_policy_for_full_tables_forgets_nothing(void **state UNUSED)
{
	struct limit_terms terms = sliding(3, 3600 * NS_PER_S);
	uint64_t later_ns = BEGIN_NS + 60 * NS_PER_S;
	struct limited l;
	uint32_t fill, limit;

	limited_init(&l, 1, 0, 1);
	fill = limited_add(&l, "fill", sliding(1, NS_PER_S));
	limit = limited_add(&l, "a", terms);
	for (uint64_t i = 0; i < 32; i++)
		take(&l, 0, fill, 1000 + i, 1, BEGIN_NS);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, BEGIN_NS), 3);
	terms.on_full = LIMIT_FULL_CLOSED;
	limiter_set(l.limiter, limit, &terms, BEGIN_NS);
	/* There is room for it by now. */
	assert_int_equal(take(&l, 0, limit, 1, 1, later_ns).outcome, LIMIT_REFUSED);
	assert_int_equal(admitted_of(&l, 0, limit, 1, 9, later_ns + 2 * 3600 * NS_PER_S), 3);
	limited_fini(&l);
}

static void a_look_sees_it_and_a_reset_makes_it_fresh(void **state UNUSED)
{
	struct limit_view view;
	struct limited l;
	uint32_t limit;
	uint64_t key;

	limited_init(&l, 1, 0, 100);
	limit = limited_add(&l, "a", sliding(LIMIT, W));
	key = key_of(&l, limit, 1);
	assert_false(limiter_look(l.limiter, limit, key, BEGIN_NS, &view));
	admitted_of(&l, 0, limit, 1, 15, BEGIN_NS);
	assert_true(limiter_look(l.limiter, limit, key, BEGIN_NS + 2 * SUB, &view));
	assert_int_equal(view.remaining, LIMIT - 15);
	limiter_reset(l.limiter, limit, key, BEGIN_NS + 2 * SUB);
	assert_false(limiter_look(l.limiter, limit, key, BEGIN_NS + 2 * SUB, &view));
	assert_int_equal(admitted_of(&l, 0, limit, 1, 50, BEGIN_NS + 2 * SUB), LIMIT);
	limited_fini(&l);
}

static void a_key_takes_at_most_64_bytes(void **state UNUSED)
{
	const struct limiter_size size = {.shards = 4, .windows = 1000000};
	const struct limiter_size none = {.shards = 4};

	assert_in_range(limiter_bytes(&size) - limiter_bytes(&none), 50000000, 64000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_taken_counts_until_its_eighth_is_past),
		cmocka_unit_test(a_long_pause_makes_it_fresh),
		cmocka_unit_test(what_is_given_back_counts_no_more),
		cmocka_unit_test(no_window_has_more_than_the_limit),
		cmocka_unit_test(clocks_that_lag_admit_no_more),
		cmocka_unit_test(a_small_lag_at_an_edge_refuses_nobody),
		cmocka_unit_test(a_steady_client_gets_eight_ninths),
		cmocka_unit_test(only_idle_keys_are_overwritten),
		cmocka_unit_test(a_full_table_has_its_policy),
		cmocka_unit_test(another_policy_for_full_tables_forgets_nothing),
		cmocka_unit_test(a_look_sees_it_and_a_reset_makes_it_fresh),
		cmocka_unit_test(a_key_takes_at_most_64_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

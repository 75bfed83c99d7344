/* Fixed and sliding windows and caps of concurrency on 2 to 64 shards: at most as many as
 * the limit says in every window that can be laid over the log, and at any moment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "limit_world.h"
#include "seeds.h"

static const unsigned shard_counts[] = {2, 4, 16, 64};

static struct limit_world w;

static bool is_full(void)
{
	const char *full = getenv("RINGWAY_FULL");

	return full && strcmp(full, "1") == 0;
}

static struct limiter_size size_for(uint64_t seed)
{
	return (struct limiter_size){
		.shards = shard_counts[seed % 4], .keys = 1024, .windows = 1024};
}

static struct limit_terms window_terms(enum limit_algorithm algorithm)
{
	static const uint64_t periods[] = {NS_PER_S, 3 * NS_PER_S, 7 * NS_PER_S + 1, 60 * NS_PER_S},
			      tokens[] = {1, 2, 7, 8, 9, 100, 1001, 20000};

	return (struct limit_terms){
		.algorithm = algorithm,
		.tokens = tokens[limit_world_chance(&w, ARRAY_LEN(tokens))],
		.period_ns = periods[limit_world_chance(&w, ARRAY_LEN(periods))],
	};
}

/* Offers up to six times as much, in clusters now and then, over six to twelve windows. Ends
 * with the number of windows that it went through. */
static uint64_t load(uint32_t limit, const struct limit_terms *terms, uint32_t keys,
		     uint32_t cost_most)
{
	uint64_t windows = 6 + limit_world_chance(&w, 6), begin = w.now_ns;
	uint64_t gap_ns = terms->period_ns / (terms->tokens * keys * 3);
	struct limit_verdict verdict;

	while (w.now_ns - begin < windows * terms->period_ns) {
		unsigned shard = (unsigned)limit_world_chance(&w, w.shards);
		unsigned batch = limit_world_chance(&w, 50) ? 1 : 40;

		limit_world_pass(&w, limit_world_chance(&w, gap_ns * batch) + 1);
		limit_world_clock(&w, shard);
		while (batch--)
			limit_world_take(&w, shard, limit, (uint32_t)limit_world_chance(&w, keys),
					 1 + (uint32_t)limit_world_chance(&w, cost_most), &verdict);
	}
	return windows;
}

/* ---- sliding ---- */

static void run_sliding(uint64_t seed)
{
	const struct limiter_size size = size_for(seed);
	uint32_t keys = seed % 3 ? 1 : 5, cost_most = seed % 5 ? 1 : 3, limit;
	struct limit_terms terms;

	limit_world_open(&w, seed, &size);
	w.lag_most_ns = seed / 4 % 3 == 0 ? 5 * NS_PER_MS : 0;
	terms = window_terms(LIMIT_SLIDING_WINDOW);
	limit = limit_world_limit(&w, "window", &terms);
	load(limit, &terms, keys, cost_most);
	limit_log_check_sliding(&w.log, (uint16_t)limit, &terms, keys, LIMIT_CLOCK_OWN, 0);
	limit_log_check_sliding(&w.log, (uint16_t)limit, &terms, keys, LIMIT_CLOCK_TRUE,
				w.lag_most_ns);
	limit_world_close(&w);
}

static void every_sliding_window_has_at_most_its_tokens(void **state UNUSED)
{
	seeds_run(is_full() ? 1000 : 120, run_sliding);
}

/* Over whole windows: the oldest eighth counts whole, so that the same number comes once in
 * nine eighths of the length. */
static void run_sliding_share(uint64_t seed)
{
	const struct limiter_size size = size_for(seed);
	struct limit_terms terms;
	uint64_t windows, admitted;
	uint32_t limit;

	limit_world_open(&w, seed, &size);
	terms = window_terms(LIMIT_SLIDING_WINDOW);
	limit = limit_world_limit(&w, "window", &terms);
	windows = load(limit, &terms, 1, 1);
	admitted = limit_log_admitted(&w.log, (uint16_t)limit, 0, UINT64_MAX);
	/* With a few tokens, pauses between arrivals cost more than that. */
	assert_true(terms.tokens < 100 || admitted * 8 >= windows * terms.tokens * 7);
	assert_true(admitted > 0);
	limit_world_close(&w);
}

static void a_sliding_window_costs_at_most_an_eighth(void **state UNUSED)
{
	seeds_run(is_full() ? 400 : 60, run_sliding_share);
}

/* ---- fixed ---- */

static void run_fixed(uint64_t seed)
{
	const struct limiter_size size = size_for(seed);
	uint32_t keys = seed % 3 ? 1 : 5, cost_most = seed % 5 ? 1 : 3, limit;
	int64_t offset = (int64_t)(1795255576 * NS_PER_S + seed * 123456789);
	uint64_t windows, begin, first;
	struct limit_terms terms;

	limit_world_open(&w, seed, &size);
	limiter_set_wall_offset(w.limiter, offset);
	w.lag_most_ns = seed / 4 % 3 == 0 ? 5 * NS_PER_MS : 0;
	terms = window_terms(LIMIT_FIXED_WINDOW);
	limit = limit_world_limit(&w, "window", &terms);
	begin = w.now_ns;
	windows = load(limit, &terms, keys, cost_most);
	limit_log_check_fixed(&w.log, (uint16_t)limit, &terms, keys, offset);
	/* All that is allowed, in each window that was seen whole. */
	first = terms.period_ns - (begin + (uint64_t)offset) % terms.period_ns + begin;
	for (uint64_t i = 0; i + 1 < windows && keys == 1 && cost_most == 1 && !w.lag_most_ns; i++)
		if (terms.tokens >= 100)
			assert_int_equal(limit_log_admitted(&w.log, (uint16_t)limit,
							    first + i * terms.period_ns,
							    first + (i + 1) * terms.period_ns),
					 terms.tokens);
	limit_world_close(&w);
}

static void every_calendar_window_has_at_most_its_tokens(void **state UNUSED)
{
	seeds_run(is_full() ? 1000 : 120, run_fixed);
}

/* ---- concurrency ---- */

enum { HELD_MOST = 4096, CAPPED_KEYS = 7 };

struct held {
	uint32_t key, cost;
};

static void run_concurrency(uint64_t seed)
{
	const struct limiter_size size = size_for(seed);
	struct limit_terms terms = {
		.algorithm = LIMIT_CONCURRENCY, .tokens = 1, .period_ns = NS_PER_S};
	static struct held held[HELD_MOST];
	uint64_t in_use[CAPPED_KEYS] = {0};
	struct limit_verdict verdict;
	unsigned count = 0;
	uint32_t limit;

	limit_world_open(&w, seed, &size);
	w.lag_most_ns = seed % 3 ? 0 : 5 * NS_PER_MS;
	terms.burst = 1 + limit_world_chance(&w, seed % 2 ? 4 : 200);
	limit = limit_world_limit(&w, "cap", &terms);
	for (unsigned i = 0; i < 20000; i++) {
		/* Ends on any shard: who gives back need not be who took. */
		unsigned shard = (unsigned)limit_world_chance(&w, w.shards);
		uint32_t key = (uint32_t)limit_world_chance(&w, CAPPED_KEYS);
		uint32_t cost = 1 + (uint32_t)limit_world_chance(&w, seed % 4 ? 1 : 3);
		bool fits = in_use[key] + cost <= terms.burst;

		limit_world_pass(&w, limit_world_chance(&w, 200 * NS_PER_US));
		limit_world_clock(&w, shard);
		if (count && limit_world_chance(&w, i % 4000 < 2000 ? 3 : 2) == 0) {
			unsigned which = (unsigned)limit_world_chance(&w, count);

			limit_world_give(&w, shard, limit, held[which].key, held[which].cost);
			in_use[held[which].key] -= held[which].cost;
			held[which] = held[--count];
			continue;
		}
		if (i % 5000 == 4999) {
			/* Fewer, or more: what is in use stays in use. */
			terms.burst = 1 + limit_world_chance(&w, 200);
			limiter_set(w.limiter, limit, &terms, w.now_ns);
			continue;
		}
		if (count == HELD_MOST)
			continue;
		assert_int_equal(limit_world_take(&w, shard, limit, key, cost, &verdict),
				 fits ? LIMIT_ADMITTED : LIMIT_REFUSED);
		if (!fits)
			continue;
		held[count++] = (struct held){key, cost};
		in_use[key] += cost;
		assert_int_equal(verdict.remaining, terms.burst - in_use[key]);
	}
	while (count--)
		limit_world_give(&w, count % w.shards, limit, held[count].key, held[count].cost);
	for (uint32_t key = 0; key < CAPPED_KEYS; key++)
		assert_int_equal(
			limit_world_take(&w, 0, limit, key, (uint32_t)terms.burst, &verdict),
			LIMIT_ADMITTED);
	limit_world_close(&w);
}

static void a_cap_holds_and_frees_exactly(void **state UNUSED)
{
	seeds_run(is_full() ? 400 : 40, run_concurrency);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(every_sliding_window_has_at_most_its_tokens,
					  seeds_report),
		cmocka_unit_test_teardown(a_sliding_window_costs_at_most_an_eighth, seeds_report),
		cmocka_unit_test_teardown(every_calendar_window_has_at_most_its_tokens,
					  seeds_report),
		cmocka_unit_test_teardown(a_cap_holds_and_frees_exactly, seeds_report),
	};

	return cmocka_run_group_tests_name("limits_windows", tests, NULL, NULL);
}

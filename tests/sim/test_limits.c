/* Token buckets on 2 to 64 shards that share one limiter: whatever the load and whatever
 * goes wrong, no window of any key has more than burst + rate * window in it, exactly; and
 * when nothing goes wrong, nearly as much is admitted as could be.
 *
 * No shard waits for another by construction: a decision is a call that returns. So there are
 * no rings that could be late or full; what corresponds to them is a shard that stands still,
 * for a while or for ever, with a lease in its hands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "limit_world.h"
#include "seeds.h"

static bool is_full(void)
{
	const char *full = getenv("RINGWAY_FULL");

	return full && strcmp(full, "1") == 0;
}

static const unsigned shard_counts[] = {2, 4, 16, 64};

/* ---- anything may happen: the bound ---- */

enum spread {
	SPREAD_EVEN,
	SPREAD_ONE,    /* one shard gets all */
	SPREAD_SKEWED, /* one gets three of four */
	SPREAD_MOVING, /* one gets all, every 10 ms another one */
};

struct plan {
	const char *name;
	enum spread spread;
	uint32_t keys;
	bool is_hot; /* rates and bursts so high that leases must be taken */
	uint32_t cost_most;
	uint32_t batch_most; /* that come at the same instant */
	uint64_t lag_most_ns;
	uint64_t on_ns, off_ns; /* load comes and goes */
	enum limit_upkeep upkeep;
	bool has_tides;           /* below the rate, so that leases are full; none; a flood */
	unsigned changes, resets; /* about so many in a run */
	uint64_t stall_ns;
};

static const struct plan plans[] = {
	{"even load", SPREAD_EVEN, 1, false, 1, 1},
	{"all load on one shard", SPREAD_ONE, 1, false, 1, 1},
	{"a hot key, even load", SPREAD_EVEN, 1, true, 1, 1},
	{"a hot key, all load on one shard", SPREAD_ONE, 1, true, 1, 1},
	{"a hot key, most load on one shard", SPREAD_SKEWED, 1, true, 1, 1},
	{"a hot key, load that moves", SPREAD_MOVING, 1, true, 1, 1},
	{"hot keys", SPREAD_EVEN, 6, true, 1, 1},
	{"bursts", SPREAD_EVEN, 1, false, 1, 300},
	{"a hot key in bursts", SPREAD_EVEN, 1, true, 1, 300},
	{"many keys", SPREAD_EVEN, 900, false, 1, 1},
	{"costs", SPREAD_EVEN, 1, false, 9, 1},
	{"a hot key with costs", SPREAD_EVEN, 1, true, 9, 20},
	{"clocks that lag", SPREAD_EVEN, 2, false, 1, 4, .lag_most_ns = 5 * NS_PER_MS},
	{"a hot key and clocks that lag", SPREAD_EVEN, 1, true, 1, 4, .lag_most_ns = 5 * NS_PER_MS},
	{"a hot key in a storm of promotions", SPREAD_EVEN, 1, true, 1, 1, .on_ns = 15 * NS_PER_MS,
	 .off_ns = 15 * NS_PER_MS},
	{"storms, clocks that lag, load that moves", SPREAD_MOVING, 2, true, 2, 30,
	 .lag_most_ns = 5 * NS_PER_MS, .on_ns = 45 * NS_PER_MS, .off_ns = 25 * NS_PER_MS},
	{"a hot key in tides", SPREAD_EVEN, 1, true, 1, 1, .has_tides = true},
	{"a hot key in tides, clocks that lag", SPREAD_EVEN, 1, true, 1, 1,
	 .lag_most_ns = 5 * NS_PER_MS, .has_tides = true},
	{"a hot key in tides, upkeep that is missing", SPREAD_SKEWED, 1, true, 3, 1,
	 .upkeep = LIMIT_UPKEEP_MISSING, .has_tides = true},
	{"a hot key in tides, other terms meanwhile", SPREAD_EVEN, 1, true, 1, 1, .changes = 8,
	 .has_tides = true},
	{"a hot key in tides, resets", SPREAD_EVEN, 1, true, 1, 1, .resets = 8, .has_tides = true},
	{"upkeep that is late", SPREAD_EVEN, 1, true, 1, 1, .on_ns = 25 * NS_PER_MS,
	 .off_ns = 25 * NS_PER_MS, .upkeep = LIMIT_UPKEEP_LATE},
	{"upkeep that is missing", SPREAD_MOVING, 1, true, 1, 1, .on_ns = 35 * NS_PER_MS,
	 .off_ns = 15 * NS_PER_MS, .upkeep = LIMIT_UPKEEP_MISSING},
	{"other terms meanwhile", SPREAD_EVEN, 3, false, 1, 1, .changes = 5},
	{"other terms meanwhile, hot keys", SPREAD_EVEN, 2, true, 1, 3, .changes = 12},
	{"other terms meanwhile, load that moves", SPREAD_MOVING, 2, true, 4, 30, .changes = 12,
	 .upkeep = LIMIT_UPKEEP_LATE},
	{"resets", SPREAD_EVEN, 3, false, 1, 1, .resets = 9},
	{"resets of hot keys", SPREAD_EVEN, 2, true, 1, 3, .resets = 20, .changes = 4},
	{"a shard that stands still", SPREAD_EVEN, 1, true, 1, 1, .stall_ns = 200 * NS_PER_MS},
	{"a shard that never runs again", SPREAD_EVEN, 1, true, 1, 1, .stall_ns = NEVER},
	{"everything at once", SPREAD_SKEWED, 3, true, 3, 60, .lag_most_ns = 5 * NS_PER_MS,
	 .on_ns = 60 * NS_PER_MS, .off_ns = 20 * NS_PER_MS, .upkeep = LIMIT_UPKEEP_MISSING,
	 .stall_ns = 200 * NS_PER_MS},
};

static const struct plan *plan;
static unsigned runs, runs_with_leases; /* of the plan */
static struct limit_world w;

static struct limit_terms random_terms(bool is_hot, bool refills_soon)
{
	static const struct {
		uint64_t tokens, period_ns;
	} rates[] = {{1, NS_PER_S},          {7, 3 * NS_PER_S},      {50, NS_PER_S},
		     {1000, NS_PER_S},       {60000, 60 * NS_PER_S}, {20000, NS_PER_S},
		     {999983, 7 * NS_PER_S}, {100, 3600 * NS_PER_S}},
	  hot_rates[] = {{20000, NS_PER_S},   {200000, NS_PER_S},       {999983, 3 * NS_PER_S},
			 {1000000, NS_PER_S}, {1000000, NS_PER_S / 10}, {300000, 60 * NS_PER_S}};
	static const uint64_t bursts[] = {1, 2, 10, 63, 500, 5000, 100000},
			      hot_bursts[] = {2000, 20000, 200000, LIMIT_TOKENS_MAX};
	size_t rate = limit_world_chance(&w, is_hot ? ARRAY_LEN(hot_rates) : ARRAY_LEN(rates));

	struct limit_terms terms = {
		.algorithm = LIMIT_TOKEN_BUCKET,
		.tokens = is_hot ? hot_rates[rate].tokens : rates[rate].tokens,
		.period_ns = is_hot ? hot_rates[rate].period_ns : rates[rate].period_ns,
		.burst = is_hot ? hot_bursts[limit_world_chance(&w, ARRAY_LEN(hot_bursts))]
				: bursts[limit_world_chance(&w, ARRAY_LEN(bursts))],
	};

	if (refills_soon) {
		terms.tokens = 100000 + limit_world_chance(&w, 900000);
		terms.period_ns = NS_PER_S;
		terms.burst = terms.tokens / (200 + limit_world_chance(&w, 300)) + 600;
	}
	return terms;
}

static unsigned pick_shard(enum spread spread, uint64_t seed)
{
	switch (spread) {
	case SPREAD_EVEN: break;
	case SPREAD_ONE: return (unsigned)(seed % w.shards);
	case SPREAD_SKEWED:
		if (limit_world_chance(&w, 4))
			return (unsigned)(seed % w.shards);
		break;
	case SPREAD_MOVING: return (unsigned)(w.now_ns / (10 * NS_PER_MS) % w.shards);
	}
	return (unsigned)limit_world_chance(&w, w.shards);
}

static void take_some(uint32_t limit, uint64_t seed)
{
	unsigned batch = 1 + (unsigned)limit_world_chance(&w, plan->batch_most);
	uint32_t key = (uint32_t)limit_world_chance(&w, plan->keys);
	unsigned shard = pick_shard(plan->spread, seed);
	struct limit_verdict verdict;

	if (limit_world_stalls(&w, shard))
		return;
	limit_world_clock(&w, shard);
	while (batch--)
		limit_world_take(&w, shard, limit, key,
				 1 + (uint32_t)limit_world_chance(&w, plan->cost_most), &verdict);
}

static bool is_off(void)
{
	return plan->off_ns && w.now_ns % (plan->on_ns + plan->off_ns) >= plan->on_ns;
}

/* The one load by which a bucket that refills while tokens of it are on lease shows: what is
 * on lease is not spent before the bucket is full again, and then all of both is. */
static uint64_t tide_gap_ns(const struct limit_terms *terms)
{
	uint64_t token_ns = terms->period_ns / terms->tokens, at = w.now_ns % (30 * NS_PER_MS);

	if (at < 20 * NS_PER_MS)
		return token_ns * 5 / 2 * plan->cost_most;
	if (at < 28 * NS_PER_MS)
		limit_world_pass(&w, 28 * NS_PER_MS - at);
	return token_ns / 8 + 1;
}

static void stall_one(void)
{
	unsigned from = (unsigned)limit_world_chance(&w, w.shards), i = from;

	/* One with a lease, if there is any. */
	while (!limiter_shard_has_leases(w.shard[i].shard) && (i + 1) % w.shards != from)
		i = (i + 1) % w.shards;
	w.shard[i].stalled_until_ns = plan->stall_ns == NEVER ? NEVER : w.now_ns + plan->stall_ns;
}

enum { DECISIONS = 60000, CHANGES_MOST = 64 };

/* Offers between half of the rate and twenty times of it. */
static void run_plan(uint64_t seed)
{
	const struct limiter_size size = {.shards = shard_counts[seed % 4], .keys = 4096};
	struct limit_terms terms[CHANGES_MOST];
	unsigned count = 1;
	uint32_t limit;
	uint64_t gap_ns, stall_at;

	limit_world_open(&w, seed, &size);
	w.lag_most_ns = plan->lag_most_ns;
	w.upkeep = plan->upkeep;
	terms[0] = random_terms(plan->is_hot, plan->has_tides);
	limit = limit_world_limit(&w, "limit", terms);
	/* Between two instants, on average; not so slow that all load is a single trickle. */
	gap_ns = terms[0].period_ns * (plan->batch_most / 2 + 1) * (plan->cost_most / 2 + 1) /
		 (terms[0].tokens * plan->keys) / (1 + limit_world_chance(&w, 20)) * 2;
	gap_ns = max_u64(min_u64(gap_ns, 400 * NS_PER_MS), 200);
	stall_at = DECISIONS / plan->batch_most / 4;
	for (uint64_t i = 0; i < DECISIONS / plan->batch_most; i++) {
		if (plan->has_tides)
			gap_ns = tide_gap_ns(&terms[count - 1]);
		limit_world_pass(&w, limit_world_chance(&w, gap_ns));
		while (is_off())
			limit_world_pass(&w, NS_PER_MS);
		if (plan->stall_ns && i == stall_at)
			stall_one();
		if (plan->changes && count < CHANGES_MOST &&
		    limit_world_chance(&w, DECISIONS / plan->batch_most / plan->changes) == 0) {
			terms[count] = random_terms(plan->is_hot, plan->has_tides);
			limit_world_set(&w, limit, &terms[count], count);
			count++;
		}
		if (plan->resets &&
		    limit_world_chance(&w, DECISIONS / plan->batch_most / plan->resets) == 0)
			limit_world_reset(&w, limit, (uint32_t)limit_world_chance(&w, plan->keys));
		take_some(limit, seed);
	}
	runs++;
	runs_with_leases += limit_world_lease_hits(&w) > 0;
	limit_log_check_bucket(&w.log, limit, terms, count, plan->keys, LIMIT_CLOCK_OWN, 0);
	limit_log_check_bucket(&w.log, limit, terms, count, plan->keys, LIMIT_CLOCK_TRUE,
			       plan->lag_most_ns);
	limit_world_close(&w);
}

static void no_window_has_too_much(void **state)
{
	plan = *state;
	runs = runs_with_leases = 0;
	seeds_run(is_full() ? 400 : 24, run_plan);
	/* Where 64 shards share the lowest of the rates, each of them sees too little of it. */
	if (plan->is_hot && runs > 1)
		assert_true(runs_with_leases * 2 > runs);
}

/* ---- all goes well: hardly less than the rate ---- */

struct share {
	uint64_t rate, burst;
	unsigned shards, times; /* the rate, offered */
	bool on_one;
};

static void one_share(const struct share *s)
{
	const struct limiter_size size = {.shards = s->shards, .keys = 64};
	const struct limit_terms terms = {.algorithm = LIMIT_TOKEN_BUCKET,
					  .tokens = s->rate,
					  .period_ns = NS_PER_S,
					  .burst = s->burst};
	const uint64_t gap_ns = NS_PER_S / (s->rate * s->times), run_ns = 10 * NS_PER_S;
	struct limit_ideal ideal = {0};
	struct limit_verdict verdict;
	uint64_t admitted = 0, best = 0, begin;
	uint32_t limit;

	limit_world_open(&w, 1, &size);
	limit = limit_world_limit(&w, "limit", &terms);
	for (begin = w.now_ns; w.now_ns - begin < run_ns;) {
		unsigned shard = s->on_one ? 0 : (unsigned)limit_world_chance(&w, s->shards);

		limit_world_pass(&w, limit_world_chance(&w, 2 * gap_ns + 1));
		limit_world_clock(&w, shard);
		admitted += limit_world_take(&w, shard, limit, 0, 1, &verdict) == LIMIT_ADMITTED;
		best += limit_ideal_take(&ideal, &terms, 1, w.now_ns);
	}
	/* With a burst of a few, a bucket in one place loses as much by chance: arrivals that
	 * come in clusters find it empty, and full after a pause. */
	best = min_u64(best, s->rate * 10);
	if (admitted * 100 < best * 98)
		fail_msg("%llu/s, burst %llu, %u times as much offered on %s%u shards: %llu "
			 "admitted "
			 "of %llu",
			 (unsigned long long)s->rate, (unsigned long long)s->burst, s->times,
			 s->on_one ? "one of " : "", s->shards, (unsigned long long)admitted,
			 (unsigned long long)best);
	if (s->burst >= 50)
		assert_int_equal(best, s->rate * 10);
	limit_log_check_bucket(&w.log, limit, &terms, 1, 1, LIMIT_CLOCK_OWN, 0);
	limit_world_close(&w);
}

static void who_offers_more_than_the_rate_gets_98_percent_of_it(void **state UNUSED)
{
	static const uint64_t rates[] = {50, 1000, 20000, 200000};
	static const unsigned times[] = {2, 10};

	for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
		const uint64_t bursts[] = {1, max_u64(rates[r] / 100, 10),
					   max_u64(rates[r] / 10, 50), rates[r],
					   min_u64(rates[r] * 5, LIMIT_TOKENS_MAX)};

		for (size_t b = 0; b < ARRAY_LEN(bursts); b++)
			for (size_t i = 0; i < 4 * ARRAY_LEN(shard_counts); i++) {
				struct share s = {.rate = rates[r],
						  .burst = bursts[b],
						  .shards = shard_counts[i / 4],
						  .times = times[i / 2 % 2],
						  .on_one = i % 2};

				/* Four minutes, the most of it for the highest rate. */
				if (!is_full() && s.rate > 1000 &&
				    (i + b) % (s.rate > 20000 ? 16 : 4) != 0)
					continue;
				one_share(&s);
			}
	}
}

/* ---- a shard stands still: the others do not notice ---- */

static void run_stall(uint64_t seed)
{
	const struct limiter_size size = {.shards = shard_counts[seed / 3 % 4], .keys = 64};
	/* So much that the key is hot on each. */
	const uint64_t rate = size.shards * (2000 + 2000 * (seed % 3)), stall_ns = 200 * NS_PER_MS;
	const struct limit_terms terms = {
		.algorithm = LIMIT_TOKEN_BUCKET,
		.tokens = rate,
		.period_ns = NS_PER_S,
		.burst = min_u64(rate / (1 + seed % 10), LIMIT_TOKENS_MAX)};
	uint64_t offered = 0, decided = 0, begin, stall_from = 0;
	unsigned stalled = (unsigned)(seed % size.shards);
	struct limit_verdict verdict;
	uint32_t limit;

	limit_world_open(&w, seed, &size);
	limit = limit_world_limit(&w, "limit", &terms);
	/* The burst is long gone when it stalls: what the others get then is the rate. */
	for (begin = w.now_ns; w.now_ns - begin < 1800 * NS_PER_MS;) {
		unsigned shard = (unsigned)limit_world_chance(&w, size.shards);

		limit_world_pass(&w, limit_world_chance(&w, NS_PER_S / (rate * 4) + 1));
		if (!stall_from && w.now_ns - begin > 1300 * NS_PER_MS &&
		    limiter_shard_has_leases(w.shard[stalled].shard)) {
			stall_from = w.now_ns;
			w.shard[stalled].stalled_until_ns = w.now_ns + stall_ns;
		}
		if (limit_world_stalls(&w, shard))
			continue;
		if (limit_world_stalls(&w, stalled)) {
			offered++;
			decided -= w.shard[shard].decisions;
		}
		limit_world_clock(&w, shard);
		limit_world_take(&w, shard, limit, 0, 1, &verdict);
		if (limit_world_stalls(&w, stalled))
			decided += w.shard[shard].decisions;
		assert_int_equal(w.shard[shard].clock_ns, w.now_ns);
	}
	assert_true(stall_from != 0);
	assert_int_equal(decided, offered);
	assert_true(limit_log_admitted(&w.log, (uint16_t)limit, stall_from, stall_from + stall_ns) *
			    100 >=
		    rate / 5 * 95);
	limit_log_check_bucket(&w.log, limit, &terms, 1, 1, LIMIT_CLOCK_OWN, 0);
	limit_world_close(&w);
}

static void a_shard_that_stands_still_delays_nobody(void **state UNUSED)
{
	seeds_run(is_full() ? 120 : 12, run_stall);
}

/* ---- what a client is told ---- */

/* One shard and no lease, so that nothing but time changes what is told. */
static void run_told(uint64_t seed)
{
	const struct limiter_size size = {.shards = 1, .keys = 64};
	struct limit_ideal ideal = {0};
	struct limit_verdict verdict;
	struct limit_terms terms;
	uint32_t limit, cost;

	limit_world_open(&w, seed, &size);
	terms = random_terms(false, false);
	terms.burst = 1 + limit_world_chance(&w, 6);
	limit = limit_world_limit(&w, "limit", &terms);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t left;

		limit_world_pass(&w, limit_world_chance(&w, 2 * terms.period_ns / terms.tokens));
		limit_world_clock(&w, 0);
		cost = 1 + (uint32_t)limit_world_chance(&w, 7);
		limit_world_take(&w, 0, limit, 0, cost, &verdict);
		if (cost > terms.burst) {
			assert_int_equal(verdict.outcome, LIMIT_REFUSED);
			assert_true(verdict.wait_ns == UINT64_MAX);
			continue;
		}
		if (verdict.outcome == LIMIT_REFUSED) {
			uint64_t wait_ns = verdict.wait_ns, early_ns = wait_ns / 1000000 + 100;

			assert_true(wait_ns > 0);
			if (wait_ns > early_ns) {
				limit_world_pass(&w, wait_ns - early_ns);
				limit_world_clock(&w, 0);
				assert_int_equal(limit_world_take(&w, 0, limit, 0, cost, &verdict),
						 LIMIT_REFUSED);
				wait_ns = early_ns;
			}
			limit_world_pass(&w, wait_ns);
			limit_world_clock(&w, 0);
			assert_int_equal(limit_world_take(&w, 0, limit, 0, cost, &verdict),
					 LIMIT_ADMITTED);
		}
		/* What is said to be left can be taken, and not one more. */
		left = verdict.remaining;
		assert_true(left < terms.burst);
		assert_int_equal(limit_world_take(&w, 0, limit, 0, (uint32_t)left + 1, &verdict),
				 LIMIT_REFUSED);
		if (left && limit_world_chance(&w, 2)) {
			assert_int_equal(
				limit_world_take(&w, 0, limit, 0, (uint32_t)left, &verdict),
				LIMIT_ADMITTED);
			assert_int_equal(verdict.remaining, 0);
		}
		if (limit_world_chance(&w, 5) == 0) {
			struct limit_view view;

			limit_world_pass(&w, verdict.reset_ns);
			limit_world_clock(&w, 0);
			if (limiter_look(w.limiter, limit, limit_world_fingerprint(&w, limit, 0),
					 w.now_ns, &view))
				assert_int_equal(view.remaining, terms.burst);
		}
	}
	/* What it admits, the bucket of the book admits. */
	assert_int_equal(limit_world_lease_hits(&w), 0);
	for (size_t i = 0; i < w.log.count; i++)
		assert_true(limit_ideal_take(&ideal, &terms, w.log.entries[i].cost,
					     w.log.entries[i].clock_ns));
	limit_world_close(&w);
}

static void who_waits_as_long_as_told_is_admitted_and_not_sooner(void **state UNUSED)
{
	seeds_run(is_full() ? 2000 : 200, run_told);
}

int main(void)
{
	static struct CMUnitTest tests[ARRAY_LEN(plans) + 8];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(plans); i++)
		tests[count++] = (struct CMUnitTest){.name = plans[i].name,
						     .test_func = no_window_has_too_much,
						     .teardown_func = seeds_report,
						     .initial_state = (void *)(uintptr_t)&plans[i]};
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(
		who_offers_more_than_the_rate_gets_98_percent_of_it);
	tests[count++] = (struct CMUnitTest)cmocka_unit_test_teardown(
		a_shard_that_stands_still_delays_nobody, seeds_report);
	tests[count++] = (struct CMUnitTest)cmocka_unit_test_teardown(
		who_waits_as_long_as_told_is_admitted_and_not_sooner, seeds_report);
	return _cmocka_run_group_tests("limits", tests, count, NULL, NULL);
}

/* Hot keys: how they become hot, what their leases hold, how they end. */
#include "limited.h"

#include "shared.h"

#define RATE  100000 /* a second */
#define BURST 1000

struct hot_world {
	struct limited l;
	uint32_t limit;
	uint64_t now_ns;
};

static void begin(struct hot_world *w, unsigned shards)
{
	limited_init(&w->l, shards, 1000, 0);
	w->limit = limited_add(&w->l, "hot", bucket_terms(RATE, NS_PER_S, BURST));
	w->now_ns = BEGIN_NS;
}

static struct limiter_stats stats_of(struct hot_world *w, unsigned shard)
{
	struct limiter_stats s;

	limiter_shard_stats(w->l.shard[shard], &s);
	return s;
}

static bool is_hot(struct hot_world *w, uint64_t number)
{
	struct limit_view view;

	return limiter_look(w->l.limiter, w->limit, key_of(&w->l, w->limit, number), w->now_ns,
			    &view) &&
	       view.hot;
}

static uint64_t takes(struct hot_world *w, unsigned shard, uint64_t n)
{
	return admitted_of(&w->l, shard, w->limit, 1, n, w->now_ns);
}

static void upkeep(struct hot_world *w)
{
	w->now_ns += LIMITER_UPKEEP_NS;
	for (unsigned i = 0; i < w->l.shards; i++)
		limiter_upkeep(w->l.shard[i], w->now_ns);
}

static void a_key_taken_often_gets_a_lease(void **state UNUSED)
{
	struct hot_world w;
	struct limit_hot hot;
	unsigned index = 0;

	begin(&w, 2);
	/* The first one, which inserts it, does not count. */
	assert_int_equal(takes(&w, 0, HOT_TAKES), HOT_TAKES);
	assert_false(is_hot(&w, 1));
	assert_false(limiter_shard_has_leases(w.l.shard[0]));
	assert_int_equal(takes(&w, 0, 1), 1);
	assert_true(is_hot(&w, 1));
	assert_true(limiter_shard_has_leases(w.l.shard[0]));
	assert_int_equal(takes(&w, 0, 10), 10);
	while (!limiter_hot(w.l.limiter, index, w.now_ns, &hot))
		assert_in_range(++index, 0, LIMITER_HOT_MAX - 1);
	assert_int_equal(hot.limit, w.limit);
	assert_int_equal(hot.fingerprint, key_of(&w.l, w.limit, 1));
	assert_int_equal(hot.key_len, 3);
	assert_memory_equal(hot.key, "key", 3);
	assert_int_equal(hot.shards, 1);
	assert_in_range(hot.may_hold, 1, BURST / 4);
	assert_in_range(hot.remaining, BURST - HOT_TAKES - 11 - BURST / 4, BURST - HOT_TAKES - 1);
	upkeep(&w);
	assert_int_equal(stats_of(&w, 0).promoted, 1);
	assert_true(stats_of(&w, 0).lease_hits > 0);
	limited_fini(&w.l);
}

static void give_under_less(uint64_t spent_before)
{
	struct limit_terms less = bucket_terms(RATE, NS_PER_S, 100);
	struct hot_world w;

	begin(&w, 1);
	assert_int_equal(takes(&w, 0, 300), 300);
	upkeep(&w); /* the burst is there again */
	assert_int_equal(takes(&w, 0, spent_before), spent_before);
	limiter_set(w.l.limiter, w.limit, &less, w.now_ns);
	takes(&w, 0, 1);
	for (int i = 0; i < 400; i++)
		limiter_give(w.l.shard[0], w.limit, key_of(&w.l, w.limit, 1), 1, w.now_ns);
	limiter_upkeep(w.l.shard[0], w.now_ns);
	assert_in_range(stats_of(&w, 0).out_on_lease, 0, 100 / 2);
	limited_fini(&w.l);
}

static void what_is_given_stays_below_what_a_lease_may_hold(void **state UNUSED)
{
	/* Somewhere among these the lease was larger than it may be now, and nearly spent. */
	for (uint64_t spent = 300; spent < 900; spent += 10)
		give_under_less(spent);
}

static void a_slow_key_never_becomes_hot(void **state UNUSED)
{
	struct hot_world w;

	begin(&w, 2);
	for (int i = 0; i < 1000; i++) {
		w.now_ns += NS_PER_MS;
		assert_int_equal(takes(&w, 0, 1), 1);
	}
	assert_false(is_hot(&w, 1));
	limited_fini(&w.l);
}

static void a_small_burst_is_not_worth_a_lease(void **state UNUSED)
{
	struct hot_world w;

	begin(&w, 2);
	w.limit = limited_add(&w.l, "small", bucket_terms(RATE, NS_PER_S, 31));
	for (int i = 0; i < 100; i++) {
		takes(&w, 0, 31);
		w.now_ns += NS_PER_MS;
	}
	assert_false(is_hot(&w, 1));
	limited_fini(&w.l);
}

static void all_shards_together_get_the_burst_and_no_more(void **state UNUSED)
{
	for (unsigned shards = 1; shards <= SHARDS_MAX; shards++) {
		struct hot_world w;
		uint64_t admitted = 0;

		begin(&w, shards);
		for (int i = 0; i < 2000; i++)
			admitted += takes(&w, (unsigned)limited_random(&w.l, shards), 1);
		/* Each lease may strand what it holds, and each beginning one what it caps. */
		assert_in_range(admitted, BURST / 2, BURST);
		for (unsigned i = 0; i < shards; i++)
			assert_int_equal(stats_of(&w, i).over_admitted, 0);
		limited_fini(&w.l);
	}
}

static void idle_leases_go_back_and_the_key_cools(void **state UNUSED)
{
	struct hot_world w;
	struct limiter_stats s;

	begin(&w, 2);
	takes(&w, 0, 60);
	takes(&w, 1, 60);
	assert_true(is_hot(&w, 1));
	upkeep(&w); /* enough was spent in it */
	upkeep(&w);
	w.now_ns += 1;
	for (unsigned i = 0; i < 2; i++) {
		assert_false(limiter_shard_has_leases(w.l.shard[i]));
		s = stats_of(&w, i);
		assert_int_equal(s.promoted, 1);
		assert_int_equal(s.demoted, 1);
		assert_int_equal(s.out_on_lease, 0);
		assert_int_equal(s.upkeep_ns, 0);
	}
	assert_false(is_hot(&w, 1));
	for (unsigned i = 0; i < LIMITER_HOT_MAX; i++)
		assert_int_equal(w.l.limiter->hot[i].pair.state & 3, HOT_FREE);
	assert_in_range(takes(&w, 0, 2000), BURST / 2, BURST);
	limited_fini(&w.l);
}

/* What was taken and not spent comes back whole. */
static void a_lease_that_ends_gives_back_what_it_holds(void **state UNUSED)
{
	struct hot_world w;
	uint64_t admitted;

	begin(&w, 2);
	admitted = takes(&w, 0, 40);
	assert_int_equal(admitted, 40);
	assert_true(is_hot(&w, 1));
	limiter_shard_destroy(w.l.shard[0]);
	w.l.shard[0] = NULL;
	/* Without a lease out the cap of one joining shard is all that may be lost. */
	admitted += takes(&w, 1, 2000);
	assert_in_range(admitted, BURST - BURST / 4, BURST);
	limited_fini(&w.l);
}

static void who_meets_a_frozen_record_thaws_it(void **state UNUSED)
{
	struct hot_world w;
	struct hot_record *r = NULL;
	uint64_t tat, meta;

	begin(&w, 2);
	takes(&w, 0, 40);
	for (unsigned i = 0; i < LIMITER_HOT_MAX; i++) {
		if (hot_state(w.l.limiter->hot[i].pair.state) == HOT_LIVE)
			r = &w.l.limiter->hot[i];
	}
	assert_non_null(r);
	/* The last holder left and fell asleep before it cleaned up. */
	tat = r->pair.key;
	meta = hot_meta(HOT_FROZEN, 0, 0, hot_generation(r->pair.state));
	memset(lease_find(&w.l.shard[0]->leases, key_of(&w.l, w.limit, 1)), 0,
	       sizeof(struct lease));
	r->pair.key = tat;
	r->pair.state = meta;
	assert_true(is_hot(&w, 1));
	assert_int_equal(takes(&w, 1, 1), 1);
	assert_false(is_hot(&w, 1));
	assert_int_equal(hot_state(r->pair.state), HOT_FREE);
	assert_int_equal(hot_generation(r->pair.state), hot_generation(meta) + 1);
	/* It wakes, and harms nobody. */
	hot_thaw(w.l.limiter->hot, &w.l.limiter->slots, (unsigned)(r - w.l.limiter->hot),
		 key_of(&w.l, w.limit, 1), tat, meta);
	assert_int_equal(hot_generation(r->pair.state), hot_generation(meta) + 1);
	limited_fini(&w.l);
}

static void a_lower_burst_is_in_force_for_leases_at_once(void **state UNUSED)
{
	struct hot_world w;
	struct limit_terms terms = bucket_terms(1, NS_PER_S, 100);

	begin(&w, 2);
	takes(&w, 0, 100);
	takes(&w, 1, 100);
	assert_true(is_hot(&w, 1));
	/* 200 of 1000 are used: of 100 nothing is left but what leases may hold. */
	limiter_set(w.l.limiter, w.limit, &terms, w.now_ns);
	assert_in_range(takes(&w, 0, 500) + takes(&w, 1, 500), 0, 2 * (100 / 4));
	limited_fini(&w.l);
}

static void a_limit_without_leases_takes_them_back(void **state UNUSED)
{
	struct hot_world w;
	struct limit_terms terms = bucket_terms(RATE, NS_PER_S, 10);

	begin(&w, 2);
	takes(&w, 0, 40);
	limiter_set(w.l.limiter, w.limit, &terms, w.now_ns);
	takes(&w, 0, 1);
	assert_false(limiter_shard_has_leases(w.l.shard[0]));
	assert_false(is_hot(&w, 1));
	limited_fini(&w.l);
}

static void leases_of_a_former_life_end_with_upkeep(void **state UNUSED)
{
	struct hot_world w;
	struct limit_terms terms = {
		.algorithm = LIMIT_CONCURRENCY, .tokens = 1, .period_ns = NS_PER_S, .burst = 5};

	begin(&w, 2);
	takes(&w, 0, 40);
	limiter_set(w.l.limiter, w.limit, &terms, w.now_ns);
	assert_int_equal(takes(&w, 0, 9), 5);
	upkeep(&w);
	assert_false(limiter_shard_has_leases(w.l.shard[0]));
	for (unsigned i = 0; i < LIMITER_HOT_MAX; i++)
		assert_int_equal(w.l.limiter->hot[i].pair.state & 3, HOT_FREE);
	limited_fini(&w.l);
}

static void a_reset_makes_a_hot_key_fresh_but_for_its_leases(void **state UNUSED)
{
	struct hot_world w;
	uint64_t admitted;

	begin(&w, 2);
	takes(&w, 0, 2000);
	assert_int_equal(takes(&w, 0, 10), 0);
	limiter_reset(w.l.limiter, w.limit, key_of(&w.l, w.limit, 1), w.now_ns);
	admitted = takes(&w, 0, 2000);
	assert_in_range(admitted, BURST / 2, BURST);
	limited_fini(&w.l);
}

/* Becoming hot must not cost a client the burst that it was promised. */
static void a_burst_is_whole_though_its_key_becomes_hot(void **state UNUSED)
{
	struct hot_world w;
	uint64_t admitted = 0;

	begin(&w, 2);
	for (int i = 0; i < 2000; i++)
		admitted += takes(&w, (unsigned)i % 2, 1);
	assert_true(is_hot(&w, 1));
	assert_int_equal(admitted, BURST);
	limited_fini(&w.l);
}

/* The bound itself, over every window between two admissions. */
static void no_window_admits_more_than_burst_and_rate(void **state UNUSED)
{
	static uint64_t log_ns[40000];
	struct hot_world w;
	uint64_t n = 0, lag_ns[4] = {0}, last_ns[4] = {0};

	begin(&w, 4);
	for (int i = 0; i < 120000; i++) {
		unsigned shard = (unsigned)limited_random(&w.l, 4);
		uint64_t shard_now_ns;

		if (limited_random(&w.l, 1000) == 0)
			lag_ns[shard] = limited_random(&w.l, 2000000);
		w.now_ns += limited_random(&w.l, 5000);
		/* It may stand still, and never goes back. */
		shard_now_ns = max_u64(last_ns[shard], w.now_ns - lag_ns[shard]);
		last_ns[shard] = shard_now_ns;
		if (limited_random(&w.l, 3000) == 0)
			limiter_upkeep(w.l.shard[shard], shard_now_ns);
		if (admits(&w.l, shard, w.limit, 1, shard_now_ns) && n < ARRAY_LEN(log_ns))
			log_ns[n++] = shard_now_ns;
	}
	assert_in_range(n, 20000, ARRAY_LEN(log_ns));
	/* By the deciders' clocks, which lag each other: sorted. */
	for (uint64_t i = 1; i < n; i++) {
		uint64_t at = log_ns[i], j = i;

		for (; j && log_ns[j - 1] > at; j--)
			log_ns[j] = log_ns[j - 1];
		log_ns[j] = at;
	}
	/* Greatest excess of count over rate times length, in one pass. */
	__int128 least = INT64_MAX;
	for (uint64_t i = 0; i < n; i++) {
		__int128 at = (__int128)i * NS_PER_S - (__int128)(log_ns[i] - BEGIN_NS) * RATE;

		if (at < least)
			least = at;
		assert_true(at + (__int128)NS_PER_S - least <= (__int128)BURST * NS_PER_S);
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(stats_of(&w, i).over_admitted, 0);
		assert_true(stats_of(&w, i).promoted > 0);
	}
	limited_fini(&w.l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_taken_often_gets_a_lease),
		cmocka_unit_test(what_is_given_stays_below_what_a_lease_may_hold),
		cmocka_unit_test(a_slow_key_never_becomes_hot),
		cmocka_unit_test(a_small_burst_is_not_worth_a_lease),
		cmocka_unit_test(all_shards_together_get_the_burst_and_no_more),
		cmocka_unit_test(idle_leases_go_back_and_the_key_cools),
		cmocka_unit_test(a_lease_that_ends_gives_back_what_it_holds),
		cmocka_unit_test(who_meets_a_frozen_record_thaws_it),
		cmocka_unit_test(a_lower_burst_is_in_force_for_leases_at_once),
		cmocka_unit_test(a_limit_without_leases_takes_them_back),
		cmocka_unit_test(leases_of_a_former_life_end_with_upkeep),
		cmocka_unit_test(a_reset_makes_a_hot_key_fresh_but_for_its_leases),
		cmocka_unit_test(a_burst_is_whole_though_its_key_becomes_hot),
		cmocka_unit_test(no_window_admits_more_than_burst_and_rate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Threads that hammer few keys in tables as small as they come, on the real clock. */
#include "limited.h"

#include <pthread.h>
#include <stdio.h>

#include <ringway/base/clock.h>

#include "shared.h"

#define THREADS   4
#define KEYS      6
#define RUN_NS    (2 * NS_PER_S)
#define STRANGERS 100000

enum { HOT, SMALL, SLIDING, CAP, FLOOD, LIMITS };

struct crew {
	struct limited l;
	uint64_t begin_ns, end_ns;
	_Atomic unsigned at_work[KEYS]; /* of the cap */
	_Atomic unsigned too_many;
	_Atomic unsigned ready;
};

struct worker {
	struct crew *crew;
	unsigned shard;
	uint64_t random;
	uint64_t admitted[LIMITS][KEYS];
};

static uint64_t random_below(struct worker *me, uint64_t below)
{
	me->random ^= me->random << 13;
	me->random ^= me->random >> 7;
	me->random ^= me->random << 17;
	return me->random % below;
}

static struct limit_verdict try(struct worker *me, uint32_t limit, uint64_t number)
{
	struct limited *l = &me->crew->l;
	struct limit_verdict v;

	limiter_take(l->shard[me->shard], limit, key_of(l, limit, number), SPAN("k"), 1,
		     clock_monotonic_ns(), &v);
	return v;
}

/* In and out again; the burst is 2. */
static void work_under_the_cap(struct worker *me, uint64_t number)
{
	struct crew *crew = me->crew;
	struct limited *l = &crew->l;
	struct limit_verdict v = try(me, CAP, number);

	if (!v.counted)
		return;
	if (atomic_fetch_add(&crew->at_work[number], 1) >= 2)
		atomic_fetch_add(&crew->too_many, 1);
	atomic_fetch_sub(&crew->at_work[number], 1);
	if (v.coarse)
		limiter_give_coarse(l->shard[me->shard], CAP, key_of(l, CAP, number), 1,
				    clock_monotonic_ns());
	else
		limiter_give(l->shard[me->shard], CAP, key_of(l, CAP, number), 1,
			     clock_monotonic_ns());
	me->admitted[CAP][number]++;
}

static void *work(void *arg)
{
	struct worker *me = arg;
	struct crew *crew = me->crew;
	uint64_t upkeep_ns = 0;

	atomic_fetch_add(&crew->ready, 1);
	while (atomic_load(&crew->ready) < THREADS)
		;
	while (clock_monotonic_ns() < crew->end_ns) {
		uint64_t now_ns = clock_monotonic_ns();
		uint64_t number = random_below(me, KEYS);

		for (uint32_t limit = HOT; limit <= SLIDING; limit++) {
			uint64_t k = limit == HOT ? number % 2 : number;

			me->admitted[limit][k] += try(me, limit, k).outcome == LIMIT_ADMITTED;
		}
		work_under_the_cap(me, number);
		try(me, FLOOD, 1000 + random_below(me, STRANGERS));
		if (now_ns - upkeep_ns > LIMITER_UPKEEP_NS / 4) {
			limiter_upkeep(crew->l.shard[me->shard], now_ns);
			upkeep_ns = now_ns;
		}
	}
	return NULL;
}

static void add_limits(struct limited *l)
{
	struct limit_terms terms = bucket_terms(20000, NS_PER_S, 400);

	terms.on_full = LIMIT_FULL_CLOSED;
	assert_int_equal(limited_add(l, "hot", terms), HOT);
	terms.tokens = 50;
	terms.burst = 5;
	assert_int_equal(limited_add(l, "small", terms), SMALL);
	terms = (struct limit_terms){.algorithm = LIMIT_SLIDING_WINDOW,
				     .on_full = LIMIT_FULL_CLOSED,
				     .tokens = 100,
				     .period_ns = NS_PER_S};
	assert_int_equal(limited_add(l, "sliding", terms), SLIDING);
	terms = (struct limit_terms){.algorithm = LIMIT_CONCURRENCY,
				     .on_full = LIMIT_FULL_CLOSED,
				     .tokens = 1,
				     .period_ns = NS_PER_S,
				     .burst = 2};
	assert_int_equal(limited_add(l, "cap", terms), CAP);
	terms = bucket_terms(1000, NS_PER_S, 1);
	assert_int_equal(limited_add(l, "flood", terms), FLOOD);
}

static unsigned cells_of(const struct slots *t, uint64_t key)
{
	unsigned n = 0;

	for (size_t i = 0; i < (size_t)t->buckets * SLOTS_BUCKET; i++)
		n += t->cells[i].key == key;
	return n;
}

static void check_admitted(struct crew *crew, const struct worker *workers, uint64_t passed_ns)
{
	for (uint64_t k = 0; k < KEYS; k++) {
		uint64_t sum[LIMITS] = {0};

		for (unsigned w = 0; w < THREADS; w++) {
			for (unsigned i = 0; i < LIMITS; i++)
				sum[i] += workers[w].admitted[i][k];
		}
		assert_in_range(sum[HOT], k < 2 ? 400 : 0, 400 + 20000 * passed_ns / NS_PER_S);
		assert_in_range(sum[SMALL], 5, 5 + 50 * passed_ns / NS_PER_S);
		/* So many windows and a piece. */
		assert_in_range(sum[SLIDING], 90, 100 * (passed_ns / NS_PER_S + 1));
		assert_true(sum[CAP] > 0);
		assert_in_range(cells_of(&crew->l.limiter->slots, key_of(&crew->l, SMALL, k)), 0,
				1);
		assert_in_range(cells_of(&crew->l.limiter->slots, key_of(&crew->l, CAP, k)), 0, 1);
		assert_in_range(cells_of(&crew->l.limiter->slots, key_of(&crew->l, HOT, k)), 0, 1);
		assert_in_range(
			cells_of(&crew->l.limiter->windows.slots, key_of(&crew->l, SLIDING, k)), 0,
			1);
	}
}

static void threads_admit_no_more_than_one_would(void **state UNUSED)
{
	static struct worker workers[THREADS];
	static struct crew crew;
	pthread_t threads[THREADS];
	struct limiter_stats s;
	uint64_t promoted = 0, evicted = 0;
	struct limit_view view;

	limited_init(&crew.l, THREADS, 20, 10);
	add_limits(&crew.l);
	crew.begin_ns = clock_monotonic_ns();
	crew.end_ns = crew.begin_ns + RUN_NS;
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){
			.crew = &crew, .shard = i, .random = 0x9e3779b97f4a7c15 * (i + 1)};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	check_admitted(&crew, workers, clock_monotonic_ns() - crew.begin_ns);
	assert_int_equal(crew.too_many, 0);
	for (unsigned i = 0; i < THREADS; i++) {
		limiter_shard_stats(crew.l.shard[i], &s);
		assert_int_equal(s.over_admitted, 0);
		promoted += s.promoted;
		evicted += s.evicted;
	}
	assert_true(promoted > 0);
	assert_true(evicted > 0);
	/* Nothing is stranded: with the leases back and a pause every key is fresh. */
	limited_end_shards(&crew.l);
	for (uint64_t k = 0; k < KEYS; k++) {
		assert_false(limiter_look(crew.l.limiter, HOT, key_of(&crew.l, HOT, k),
					  crew.end_ns + 60 * NS_PER_S, &view));
		assert_false(limiter_look(crew.l.limiter, CAP, key_of(&crew.l, CAP, k), crew.end_ns,
					  &view));
	}
	for (unsigned i = 0; i < LIMITER_HOT_MAX; i++)
		assert_int_equal(hot_state(crew.l.limiter->hot[i].pair.state), HOT_FREE);
	limited_fini(&crew.l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_admit_no_more_than_one_would),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

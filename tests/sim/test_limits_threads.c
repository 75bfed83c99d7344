/* The limiter under real threads, by a real clock: each writes down what it was admitted,
 * and when all are done their logs are one log that obeys the limit exactly. Meanwhile
 * another thread looks on. For the thread sanitizer above all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ringway/base/clock.h>

#include "limit_log.h"

enum { THREADS = 4, LOG_MOST = 2000000 };

struct worker {
	pthread_t thread;

	unsigned number;
	uint64_t chance;
	struct limiter_shard *shard;
	struct limit_log log;
};

struct limiter_of_threads {
	struct limiter *limiter;
	void *memory;
	size_t bytes;
	struct worker worker[THREADS];
	pthread_barrier_t barrier;
	atomic_bool stop;
	uint32_t limit, keys;
	unsigned clock_times; /* quicker than it is, so that windows pass */
	atomic_uint in_use;
	unsigned cap;
};

static struct limiter_of_threads all;

static uint64_t now(void)
{
	return clock_monotonic_ns() * all.clock_times;
}

static uint64_t chance(struct worker *me, uint64_t below)
{
	uint64_t x = me->chance += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return (x ^ (x >> 31)) % below;
}

/* ---- a limiter, threads on it ---- */

static void open_with(const struct limiter_size *size, const struct limit_terms *terms,
		      uint32_t keys)
{
	static const uint8_t seed[16] = "threads' secret";

	all = (struct limiter_of_threads){.keys = keys, .clock_times = 1};
	all.bytes = limiter_bytes(size);
	all.memory =
		mmap(NULL, all.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(all.memory != MAP_FAILED);
	assert_int_equal(limiter_create(size, all.memory, seed, 0, &all.limiter), 0);
	assert_int_equal(limiter_add(all.limiter, "limit", terms, &all.limit), 0);
	assert_int_equal(pthread_barrier_init(&all.barrier, NULL, THREADS), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		struct worker *me = &all.worker[i];

		me->number = i;
		me->chance = i;
		assert_int_equal(limiter_shard_create(all.limiter, i, &me->shard), 0);
	}
}

static struct limiter_stats stats(void)
{
	struct limiter_stats sum = {0};

	for (unsigned i = 0; i < THREADS; i++) {
		struct limiter_stats s;

		limiter_shard_stats(all.worker[i].shard, &s);
		sum.over_admitted += s.over_admitted;
		sum.lease_hits += s.lease_hits;
		sum.evicted += s.evicted;
		sum.no_room += s.no_room;
		sum.promoted += s.promoted;
		sum.demoted += s.demoted;
	}
	return sum;
}

static uint64_t fingerprint(uint32_t key)
{
	return limiter_fingerprint(all.limiter, all.limit, &key, sizeof(key));
}

static struct span bytes_of(const uint32_t *key)
{
	return span_of((const char *)key, sizeof(*key));
}

/* As an operator's page does. */
static void look_on(void)
{
	struct limiter_stats s = stats();
	struct limit_view view;
	struct limit_hot hot;

	must(s.over_admitted == 0);
	for (uint32_t key = 0; key < min_u64(all.keys, 64); key++)
		limiter_look(all.limiter, all.limit, fingerprint(key), now(), &view);
	for (unsigned i = 0; i < 64; i++)
		if (limiter_hot(all.limiter, i, now(), &hot))
			must(limiter_fingerprint(all.limiter, hot.limit, hot.key, hot.key_len) ==
			     hot.fingerprint);
}

/* Returns when all have ended, `ms` later if it is they who wait for that. */
static void run_workers(void *(*run)(void *), unsigned ms, void (*meanwhile)(void))
{
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&all.worker[i].thread, NULL, run, &all.worker[i]),
				 0);
	for (unsigned i = 0; i < ms; i++) {
		usleep(1000);
		look_on();
		if (meanwhile)
			meanwhile();
	}
	atomic_store(&all.stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(all.worker[i].thread, NULL);
}

static struct limit_log one_log(void)
{
	struct limit_log log = {0};

	for (unsigned i = 0; i < THREADS; i++) {
		for (size_t k = 0; k < all.worker[i].log.count; k++)
			limit_log_add(&log, all.worker[i].log.entries[k]);
		limit_log_fini(&all.worker[i].log);
	}
	return log;
}

static void close_all(void)
{
	assert_int_equal(stats().over_admitted, 0);
	for (unsigned i = 0; i < THREADS; i++)
		limiter_shard_destroy(all.worker[i].shard);
	limiter_destroy(all.limiter);
	munmap(all.memory, all.bytes);
	pthread_barrier_destroy(&all.barrier);
}

static bool take(struct worker *me, uint32_t key, uint32_t cost)
{
	struct limit_verdict verdict;
	uint64_t at = now();

	limiter_take(me->shard, all.limit, fingerprint(key), bytes_of(&key), cost, at, &verdict);
	if (verdict.outcome != LIMIT_ADMITTED)
		return false;
	limit_log_add(&me->log, (struct limit_entry){.clock_ns = at,
						     .true_ns = now(),
						     .key = key,
						     .reset_ns = verdict.reset_ns,
						     .cost = cost,
						     .limit = (uint16_t)all.limit});
	return true;
}

/* As fast as they can, with upkeep, until told to stop. */
static void *hammer(void *arg)
{
	struct worker *me = arg;
	uint64_t upkeep_at = 0;

	pthread_barrier_wait(&all.barrier);
	while (!atomic_load_explicit(&all.stop, memory_order_relaxed) && me->log.count < LOG_MOST) {
		for (unsigned i = 0; i < 64; i++)
			take(me, (uint32_t)chance(me, all.keys), 1);
		if (now() >= upkeep_at) {
			upkeep_at = now() + LIMITER_UPKEEP_NS;
			if (limiter_shard_has_leases(me->shard))
				limiter_upkeep(me->shard, now());
		}
		/* Stands still with what it has, so that others come between its decisions. */
		if (chance(me, 2000) == 0)
			usleep(me->number == 0 ? 30000 : 1000);
	}
	return NULL;
}

static const struct limiter_size small = {.shards = THREADS, .keys = 1024, .windows = 1024};

static void hammer_and_check(const struct limit_terms *terms, unsigned terms_count, uint32_t keys,
			     void (*meanwhile)(void))
{
	struct limit_log log;

	run_workers(hammer, 400, meanwhile);
	log = one_log();
	assert_true(log.count > 0);
	limit_log_check_bucket(&log, (uint16_t)all.limit, terms, terms_count, keys, LIMIT_CLOCK_OWN,
			       0);
	limit_log_fini(&log);
}

/* ---- buckets ---- */

static void one_cold_key_is_one_bucket_for_all_threads(void **state UNUSED)
{
	const struct limit_terms terms = {
		.algorithm = LIMIT_TOKEN_BUCKET, .tokens = 5000, .period_ns = NS_PER_S, .burst = 5};

	open_with(&small, &terms, 1);
	hammer_and_check(&terms, 1, 1, NULL);
	close_all();
}

static void a_hot_key_is_one_bucket_for_all_threads(void **state UNUSED)
{
	const struct limit_terms terms = {.algorithm = LIMIT_TOKEN_BUCKET,
					  .tokens = 200000,
					  .period_ns = NS_PER_S,
					  .burst = 20000};

	open_with(&small, &terms, 1);
	hammer_and_check(&terms, 1, 1, NULL);
	assert_true(stats().lease_hits > 0);
	close_all();
}

static void hot_keys_are_promoted_and_demoted_under_the_eyes_of_all(void **state UNUSED)
{
	const struct limit_terms terms = {.algorithm = LIMIT_TOKEN_BUCKET,
					  .tokens = 1000000,
					  .period_ns = NS_PER_S,
					  .burst = 4000};

	open_with(&small, &terms, 3);
	hammer_and_check(&terms, 1, 3, NULL);
	assert_true(stats().promoted > 0);
	close_all();
}

static const struct limit_terms changing[] = {
	{.algorithm = LIMIT_TOKEN_BUCKET, .tokens = 100000, .period_ns = NS_PER_S, .burst = 30000},
	{.algorithm = LIMIT_TOKEN_BUCKET, .tokens = 20000, .period_ns = NS_PER_S, .burst = 1000},
	{.algorithm = LIMIT_TOKEN_BUCKET, .tokens = 700, .period_ns = 3 * NS_PER_S, .burst = 3},
};

static void change(void)
{
	static unsigned turn;

	limiter_set(all.limiter, all.limit, &changing[++turn % ARRAY_LEN(changing)], now());
}

static void other_terms_at_any_moment_give_nobody_a_fresh_start(void **state UNUSED)
{
	open_with(&small, &changing[0], 2);
	hammer_and_check(changing, 1, 2, change);
	close_all();
}

/* Each key is idle again soon, and there are eight times as many as there is room for: slots
 * change hands all the time. A key with two slots would be admitted twice in a period. */
static const struct limiter_size tiny = {.shards = THREADS, .keys = 64, .windows = 64};

static void hammer_a_full_table(enum limit_on_full on_full)
{
	const struct limit_terms terms = {.algorithm = LIMIT_TOKEN_BUCKET,
					  .on_full = on_full,
					  .tokens = 20000,
					  .period_ns = NS_PER_S,
					  .burst = 1};

	open_with(&tiny, &terms, 512);
	hammer_and_check(&terms, 1, 512, NULL);
	assert_true(stats().evicted > 0);
	assert_true(stats().no_room > 0);
	close_all();
}

static void a_key_never_has_two_slots(void **state UNUSED)
{
	hammer_a_full_table(LIMIT_FULL_CLOSED);
}

static void a_key_in_a_shared_slot_has_none_of_its_own_besides(void **state UNUSED)
{
	hammer_a_full_table(LIMIT_FULL_COARSE);
}

enum { RACED_KEYS = 20000 };

static void *race(void *arg)
{
	struct worker *me = arg;

	for (uint32_t key = 0; key < RACED_KEYS; key++) {
		/* A barrier for each would cost a second: a start together now and then does. */
		if (key % 256 == 0)
			pthread_barrier_wait(&all.barrier);
		take(me, key, 1);
	}
	return NULL;
}

static void the_first_use_of_a_key_is_raced_for_and_won_once(void **state UNUSED)
{
	const struct limiter_size size = {.shards = THREADS, .keys = RACED_KEYS * 4 / 3};
	const struct limit_terms terms = {.algorithm = LIMIT_TOKEN_BUCKET,
					  .tokens = 1,
					  .period_ns = 3600 * NS_PER_S,
					  .burst = 1};
	static uint8_t wins[RACED_KEYS];
	struct limit_log log;

	open_with(&size, &terms, RACED_KEYS);
	run_workers(race, 0, NULL);
	log = one_log();
	memset(wins, 0, sizeof(wins));
	for (size_t i = 0; i < log.count; i++)
		wins[log.entries[i].key]++;
	if (stats().no_room == 0)
		assert_int_equal(log.count, RACED_KEYS);
	for (uint32_t key = 0; key < RACED_KEYS; key++)
		assert_in_range(wins[key], stats().no_room == 0, 1);
	assert_int_equal(stats().no_room, 0);
	limit_log_fini(&log);
	close_all();
}

/* ---- windows ---- */

static void hammer_window(const struct limiter_size *size, enum limit_algorithm algorithm,
			  uint64_t tokens, uint32_t keys)
{
	const struct limit_terms terms = {
		.algorithm = algorithm, .tokens = tokens, .period_ns = NS_PER_S};
	struct limit_log log;

	open_with(size, &terms, keys);
	all.clock_times = 40; /* a window in 25 ms */
	run_workers(hammer, 250, NULL);
	log = one_log();
	assert_true(log.count > 0);
	if (algorithm == LIMIT_SLIDING_WINDOW)
		limit_log_check_sliding(&log, (uint16_t)all.limit, &terms, keys, LIMIT_CLOCK_OWN,
					0);
	else
		limit_log_check_fixed(&log, (uint16_t)all.limit, &terms, keys, 0);
	limit_log_fini(&log);
	close_all();
}

static void sliding_windows_hold_for_all_threads(void **state UNUSED)
{
	hammer_window(&small, LIMIT_SLIDING_WINDOW, 900, 1);
	hammer_window(&small, LIMIT_SLIDING_WINDOW, 9, 50);
}

static void fixed_windows_hold_for_all_threads(void **state UNUSED)
{
	hammer_window(&small, LIMIT_FIXED_WINDOW, 900, 1);
	hammer_window(&small, LIMIT_FIXED_WINDOW, 9, 50);
}

static void windows_in_shared_slots_hold_for_all_threads(void **state UNUSED)
{
	hammer_window(&tiny, LIMIT_SLIDING_WINDOW, 9, 500);
	hammer_window(&tiny, LIMIT_FIXED_WINDOW, 9, 500);
}

/* ---- concurrency ---- */

static void *hold(void *arg)
{
	struct worker *me = arg;

	pthread_barrier_wait(&all.barrier);
	while (!atomic_load_explicit(&all.stop, memory_order_relaxed)) {
		struct limit_verdict verdict;

		limiter_take(me->shard, all.limit, fingerprint(0), SPAN("\0\0\0\0"), 1, now(),
			     &verdict);
		if (verdict.outcome != LIMIT_ADMITTED)
			continue;
		must(atomic_fetch_add(&all.in_use, 1) < all.cap);
		for (uint64_t spin = chance(me, 50); spin--;)
			atomic_load(&all.in_use);
		atomic_fetch_sub(&all.in_use, 1);
		limiter_give(me->shard, all.limit, fingerprint(0), 1, now());
	}
	return NULL;
}

static void a_cap_is_never_exceeded_at_any_time(void **state UNUSED)
{
	for (unsigned cap = 1; cap <= 3; cap++) {
		const struct limit_terms terms = {.algorithm = LIMIT_CONCURRENCY,
						  .tokens = 1,
						  .period_ns = NS_PER_S,
						  .burst = cap};
		struct limit_verdict verdict;

		open_with(&small, &terms, 1);
		all.cap = cap;
		run_workers(hold, 150, NULL);
		/* All of it is there again, and no more. */
		limiter_take(all.worker[0].shard, all.limit, fingerprint(0), SPAN("\0\0\0\0"), cap,
			     now(), &verdict);
		assert_int_equal(verdict.outcome, LIMIT_ADMITTED);
		limiter_take(all.worker[1].shard, all.limit, fingerprint(0), SPAN("\0\0\0\0"), 1,
			     now(), &verdict);
		assert_int_equal(verdict.outcome, LIMIT_REFUSED);
		close_all();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_cold_key_is_one_bucket_for_all_threads),
		cmocka_unit_test(a_hot_key_is_one_bucket_for_all_threads),
		cmocka_unit_test(hot_keys_are_promoted_and_demoted_under_the_eyes_of_all),
		cmocka_unit_test(other_terms_at_any_moment_give_nobody_a_fresh_start),
		cmocka_unit_test(a_key_never_has_two_slots),
		cmocka_unit_test(a_key_in_a_shared_slot_has_none_of_its_own_besides),
		cmocka_unit_test(the_first_use_of_a_key_is_raced_for_and_won_once),
		cmocka_unit_test(sliding_windows_hold_for_all_threads),
		cmocka_unit_test(fixed_windows_hold_for_all_threads),
		cmocka_unit_test(windows_in_shared_slots_hold_for_all_threads),
		cmocka_unit_test(a_cap_is_never_exceeded_at_any_time),
	};

	return cmocka_run_group_tests_name("limits_threads", tests, NULL, NULL);
}

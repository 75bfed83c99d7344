/* A table that is thrown many more keys at than it has room for: its memory stays what it
 * was, the policy applies and is counted, and keys that were there go on being counted.
 * RINGWAY_FULL=1: 20 million random keys against a table of one million.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "limit_world.h"

enum { HONEST = 1000, SHARDS = 2 };

static struct limit_world w;

static bool is_full(void)
{
	const char *full = getenv("RINGWAY_FULL");

	return full && strcmp(full, "1") == 0;
}

static uint32_t table_keys(void)
{
	return is_full() ? 1000000 : 50000;
}

static uint64_t resident_bytes(void)
{
	unsigned long long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llu %llu", &size, &resident), 2);
	fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The kernel gives pages when they are first written to; after this it has given all. */
static void touch(volatile char *memory, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 4096)
		memory[i] = memory[i];
}

struct tally {
	uint64_t admitted, counted, refused, no_room, coarse;
};

static void tally(struct tally *t, const struct limit_verdict *v)
{
	t->admitted += v->outcome == LIMIT_ADMITTED;
	t->counted += v->outcome == LIMIT_ADMITTED && v->counted;
	t->refused += v->outcome == LIMIT_REFUSED;
	t->no_room += v->outcome == LIMIT_NO_ROOM;
	t->coarse += v->coarse;
}

/* One an hour: a key that came once is not idle again before the test is over, so its slot
 * is nobody else's. */
static struct limit_terms slow_terms(enum limit_on_full on_full)
{
	return (struct limit_terms){.algorithm = LIMIT_TOKEN_BUCKET,
				    .on_full = on_full,
				    .tokens = 1,
				    .period_ns = 3600 * NS_PER_S,
				    .burst = 3};
}

/* Twenty keys for each that there is room for. The honest ones came first, and come once
 * more at a third and at two thirds: their third and last token, then nothing. */
static struct tally flood(const struct limit_terms *terms)
{
	const struct limiter_size size = {
		.shards = SHARDS, .keys = table_keys(), .windows = table_keys()};
	uint32_t keys = 20 * table_keys(), limit;
	struct tally strangers = {0}, honest;
	struct limit_verdict verdict;
	uint64_t resident;

	limit_world_open(&w, 7, &size);
	limit = limit_world_limit(&w, "limit", terms);
	for (unsigned turn = 0; turn < 2; turn++)
		for (uint32_t key = 0; key < HONEST; key++)
			assert_int_equal(limit_world_take(&w, turn, limit, key, 1, &verdict),
					 LIMIT_ADMITTED);
	limit_log_fini(&w.log);
	touch(w.memory, w.bytes);
	resident = resident_bytes();
	for (uint32_t i = 0; i < keys; i++) {
		char key[8];
		uint64_t random = limit_world_chance(&w, UINT64_MAX);

		memcpy(key, &random, sizeof(key));
		limiter_take(w.shard[i % SHARDS].shard, limit,
			     limiter_fingerprint(w.limiter, limit, key, sizeof(key)),
			     span_of(key, sizeof(key)), 1, w.now_ns, &verdict);
		tally(&strangers, &verdict);
		limit_world_pass(&w, NS_PER_US);
		if (i != keys / 3 && i != keys / 3 * 2)
			continue;
		honest = (struct tally){0};
		for (uint32_t h = 0; h < HONEST; h++) {
			limit_world_take(&w, i % SHARDS, limit, h, 1, &verdict);
			tally(&honest, &verdict);
			assert_false(verdict.coarse);
		}
		assert_int_equal(honest.admitted, i == keys / 3 ? HONEST : 0);
		assert_int_equal(honest.counted, honest.admitted);
		assert_int_equal(honest.refused, i == keys / 3 ? 0 : HONEST);
	}
	assert_true(resident_bytes() < resident + 2 * MIB);
	return strangers;
}

static void check_slots(uint64_t no_room)
{
	struct limiter_stats stats = limit_world_stats(&w);

	assert_int_equal(stats.no_room, no_room);
	/* What was asked for fits, and nobody idle was there to be thrown out. */
	assert_true(stats.inserted - stats.evicted >= table_keys());
	assert_int_equal(stats.evicted, 0);
}

static void a_full_table_that_says_closed_refuses_strangers(void **state UNUSED)
{
	struct limit_terms terms = slow_terms(LIMIT_FULL_CLOSED);
	struct tally strangers = flood(&terms);

	assert_int_equal(strangers.admitted + strangers.no_room, 20 * (uint64_t)table_keys());
	assert_int_equal(strangers.refused, 0);
	assert_int_equal(strangers.counted, strangers.admitted);
	assert_true(strangers.no_room > 18 * (uint64_t)table_keys());
	check_slots(strangers.no_room);
	limit_world_close(&w);
}

static void a_full_table_that_says_open_admits_strangers_uncounted(void **state UNUSED)
{
	struct limit_terms terms = slow_terms(LIMIT_FULL_OPEN);
	struct tally strangers = flood(&terms);

	assert_int_equal(strangers.admitted, 20 * (uint64_t)table_keys());
	check_slots(strangers.admitted - strangers.counted);
	assert_true(strangers.counted < 2 * (uint64_t)table_keys());
	limit_world_close(&w);
}

static void a_full_table_that_says_coarse_has_strangers_share(void **state UNUSED)
{
	struct limit_terms terms = slow_terms(LIMIT_FULL_COARSE);
	struct tally strangers = flood(&terms);

	assert_int_equal(strangers.admitted + strangers.refused, 20 * (uint64_t)table_keys());
	assert_int_equal(strangers.counted, strangers.admitted);
	assert_true(strangers.coarse > 18 * (uint64_t)table_keys());
	/* A shared slot admits what one key may have: hardly anybody, here. */
	assert_true(strangers.admitted < 2 * (uint64_t)table_keys());
	check_slots(strangers.coarse);
	limit_world_close(&w);
}

static void sliding_windows_in_a_full_table_keep_their_counts(void **state UNUSED)
{
	struct limit_terms terms = {.algorithm = LIMIT_SLIDING_WINDOW,
				    .on_full = LIMIT_FULL_CLOSED,
				    .tokens = 3,
				    .period_ns = 3600 * NS_PER_S};
	struct tally strangers = flood(&terms);

	assert_int_equal(strangers.admitted + strangers.no_room, 20 * (uint64_t)table_keys());
	check_slots(strangers.no_room);
	limit_world_close(&w);
}

static void what_a_key_takes_is_what_was_promised(void **state UNUSED)
{
	struct limiter_size none = {.shards = 2}, keys = {.shards = 2, .keys = 1000000},
			    windows = {.shards = 2, .windows = 1000000};

	/* Room for each at 85 % load included. */
	assert_true(limiter_bytes(&keys) - limiter_bytes(&none) <= 24 * (uint64_t)keys.keys);
	assert_true(limiter_bytes(&windows) - limiter_bytes(&none) <=
		    64 * (uint64_t)windows.windows);
}

/* Keys that are idle again make room for others, and nobody loses by it: twenty times as
 * many keys as there is room for, but never more than half at a time. */
static void idle_keys_make_room_for_others(void **state UNUSED)
{
	const struct limiter_size size = {.shards = SHARDS, .keys = 2000};
	const struct limit_terms terms = {.algorithm = LIMIT_TOKEN_BUCKET,
					  .on_full = LIMIT_FULL_CLOSED,
					  .tokens = 10,
					  .period_ns = NS_PER_S,
					  .burst = 2};
	struct limit_verdict verdict;
	uint32_t limit;

	limit_world_open(&w, 9, &size);
	limit = limit_world_limit(&w, "limit", &terms);
	for (uint32_t key = 0; key < 40000; key++) {
		/* Idle 200 ms later: 800 keys. */
		for (unsigned i = 0; i < 4; i++) {
			limit_world_pass(&w, NS_PER_MS / 16);
			limit_world_clock(&w, i % SHARDS);
			assert_int_equal(limit_world_take(&w, i % SHARDS, limit, key, 1, &verdict),
					 i < 2 ? LIMIT_ADMITTED : LIMIT_REFUSED);
		}
	}
	assert_true(limit_world_stats(&w).evicted >= 40000 - 2 * size.keys);
	assert_int_equal(limit_world_stats(&w).no_room, 0);
	limit_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_key_takes_is_what_was_promised),
		cmocka_unit_test(a_full_table_that_says_closed_refuses_strangers),
		cmocka_unit_test(a_full_table_that_says_open_admits_strangers_uncounted),
		cmocka_unit_test(a_full_table_that_says_coarse_has_strangers_share),
		cmocka_unit_test(sliding_windows_in_a_full_table_keep_their_counts),
		cmocka_unit_test(idle_keys_make_room_for_others),
	};

	return cmocka_run_group_tests_name("limits_table", tests, NULL, NULL);
}

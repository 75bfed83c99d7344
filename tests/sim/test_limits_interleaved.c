/* Shards that interrupt each other between any two accesses to shared cells, in an order that
 * follows a seed: what threads do once in a million times happens here all the time, and
 * again with the same seed. Each shard is a fiber; the limiter is built with a pause before
 * each access (limit_pause.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <ucontext.h>

#include "limit_pause.h"
#include "limit_world.h"
#include "seeds.h"

enum { FIBERS_MOST = 8, STACK_BYTES = 256 * 1024, OPERATIONS = 600 };

struct plan {
	const char *name;
	uint32_t table, keys;
	struct limit_terms terms;
	uint64_t gap_ns; /* about so much passes between two turns of fibers */
	unsigned one_in; /* pauses that interrupt */
	bool changes, gives, upkeeps;
};

struct fiber {
	ucontext_t context;
	bool is_over;
};

static const struct plan *plan;
static struct limit_world w;
static struct fiber fibers[FIBERS_MOST];
static char *stacks[FIBERS_MOST];
static ucontext_t scheduler;
static int running = -1;
static uint32_t limit;
static struct limit_terms terms[2];
static uint64_t give_after_ns; /* the longest between taking and giving back */

void limit_pause(void)
{
	if (running >= 0 && limit_world_chance(&w, plan->one_in) == 0)
		swapcontext(&fibers[running].context, &scheduler);
}

/* ---- what a fiber does ---- */

static void take(unsigned shard, uint32_t key)
{
	struct limit_verdict verdict;
	uint64_t taken_ns;

	limit_world_clock(&w, shard);
	taken_ns = w.shard[shard].clock_ns;
	limit_world_take(&w, shard, limit, key, 1, &verdict);
	if (plan->terms.burst == 1 && verdict.outcome == LIMIT_REFUSED)
		assert_true(verdict.wait_ns > 0);
	if (plan->gives && verdict.outcome == LIMIT_ADMITTED && limit_world_chance(&w, 3) == 0) {
		size_t entry = w.log.count - 1;

		limit_pause();
		limit_world_give(&w, shard, limit, key, 1);
		give_after_ns = max_u64(give_after_ns, w.now_ns - taken_ns);
		w.log.entries[entry].cost = 0;
	}
}

static void run_shard(int shard)
{
	for (unsigned i = 0; i < OPERATIONS; i++) {
		limit_pause();
		take((unsigned)shard, (uint32_t)limit_world_chance(&w, plan->keys));
		if (plan->upkeeps && limit_world_chance(&w, 40) == 0) {
			limit_world_clock(&w, (unsigned)shard);
			limiter_upkeep(w.shard[shard].shard, w.shard[shard].clock_ns);
		}
		if (plan->changes && shard == 0 && limit_world_chance(&w, 50) == 0)
			limiter_set(w.limiter, limit, &terms[i % 2], w.now_ns);
		if (limit_world_chance(&w, 60) == 0) {
			struct limit_view view;
			struct limit_hot hot;

			limiter_look(w.limiter, limit, limit_world_fingerprint(&w, limit, 0),
				     w.now_ns, &view);
			limiter_hot(w.limiter, 0, w.now_ns, &hot);
		}
	}
	fibers[shard].is_over = true;
}

/* ---- the scheduler ---- */

static void start_fibers(void (*body)(int shard))
{
	for (unsigned i = 0; i < w.shards; i++) {
		struct fiber *f = &fibers[i];

		f->is_over = false;
		must(getcontext(&f->context) == 0);
		if (!stacks[i])
			stacks[i] = malloc(STACK_BYTES);
		must(stacks[i]);
		f->context.uc_stack.ss_sp = stacks[i];
		f->context.uc_stack.ss_size = STACK_BYTES;
		f->context.uc_link = &scheduler;
		makecontext(&f->context, (void (*)(void))body, 1, (int)i);
	}
}

static bool all_over(void)
{
	for (unsigned i = 0; i < w.shards; i++)
		if (!fibers[i].is_over)
			return false;
	return true;
}

static void run_fibers(void (*body)(int shard))
{
	start_fibers(body);
	while (!all_over()) {
		running = (int)limit_world_chance(&w, w.shards);
		if (fibers[running].is_over)
			continue;
		/* Not limit_world_pass(): its upkeep would be on nobody's stack. */
		w.now_ns += limit_world_chance(&w, plan->gap_ns + 1);
		swapcontext(&scheduler, &fibers[running].context);
	}
	running = -1;
}

static void run_plan(uint64_t seed)
{
	const struct limiter_size size = {.shards = (unsigned[]){2, 3, 4, 8}[seed % 4],
					  .keys = plan->table,
					  .windows = plan->table};

	running = -1;
	give_after_ns = 0;
	limit_world_open(&w, seed, &size);
	terms[0] = terms[1] = plan->terms;
	terms[1].burst = terms[1].burst / 2 + 1;
	terms[1].tokens = terms[1].tokens / 3 + 1;
	limit = limit_world_limit(&w, "limit", &terms[0]);
	run_fibers(run_shard);
	assert_true(w.log.count > 0);
	if (plan->terms.algorithm == LIMIT_SLIDING_WINDOW)
		limit_log_check_sliding(&w.log, (uint16_t)limit, terms, plan->keys, LIMIT_CLOCK_OWN,
					0);
	else if (plan->terms.algorithm == LIMIT_FIXED_WINDOW)
		limit_log_check_fixed(&w.log, (uint16_t)limit, terms, plan->keys, 0);
	else
		/* Terms that change at any moment: the larger ones hold always. What is given back
		 * leaves the bucket as if it had been asked that much earlier: with d between
		 * taking and giving, a window has at most burst + rate * (window + d). */
		limit_log_check_bucket(&w.log, (uint16_t)limit, terms, 1, plan->keys,
				       LIMIT_CLOCK_OWN, give_after_ns);
	limit_world_close(&w);
}

#define BUCKET(rate, most)                                                                         \
	{                                                                                          \
		.algorithm = LIMIT_TOKEN_BUCKET, .tokens = (rate), .period_ns = NS_PER_S,          \
		.burst = (most)                                                                    \
	}

static const struct plan plans[] = {
	{"one key, a small burst", 64, 1, BUCKET(1000, 3), 20 * NS_PER_US, 3},
	{"one key, a burst of one", 64, 1, BUCKET(100, 1), 20 * NS_PER_US, 3},
	{"a hot key", 64, 1, BUCKET(200000, 400), 2 * NS_PER_US, 3, .upkeeps = true},
	{"a hot key, exhausted", 64, 1, BUCKET(20000, 200), NS_PER_US, 3, .upkeeps = true},
	{"hot keys that cool down", 64, 2, BUCKET(100000, 900), 60 * NS_PER_US, 3, .upkeeps = true},
	{"hot keys, other terms meanwhile", 64, 2, BUCKET(100000, 900), 10 * NS_PER_US, 3,
	 .changes = true, .upkeeps = true},
	{"a key that is given back to", 64, 1, BUCKET(1000, 3), 20 * NS_PER_US, 3, .gives = true},
	{"a hot key that is given back to", 64, 1, BUCKET(200000, 400), 2 * NS_PER_US, 3,
	 .gives = true, .upkeeps = true},
	{"slots that change hands", 16, 200, BUCKET(20000, 1), 4 * NS_PER_US, 2},
	{"slots that change hands, hot ones among them", 16, 60, BUCKET(50000, 100), 10 * NS_PER_US,
	 2, .upkeeps = true},
	{"a sliding window",
	 16,
	 1,
	 {.algorithm = LIMIT_SLIDING_WINDOW, .tokens = 40, .period_ns = NS_PER_S},
	 2 * NS_PER_MS,
	 3},
	{"sliding windows that change hands",
	 16,
	 60,
	 {.algorithm = LIMIT_SLIDING_WINDOW, .tokens = 1, .period_ns = NS_PER_S},
	 30 * NS_PER_MS,
	 2},
	{"a fixed window",
	 16,
	 1,
	 {.algorithm = LIMIT_FIXED_WINDOW, .tokens = 40, .period_ns = NS_PER_S},
	 2 * NS_PER_MS,
	 3},
	{"fixed windows that change hands",
	 16,
	 60,
	 {.algorithm = LIMIT_FIXED_WINDOW, .tokens = 1, .period_ns = NS_PER_S},
	 30 * NS_PER_MS,
	 2},
};

static void no_order_of_accesses_admits_too_much(void **state)
{
	const char *full = getenv("RINGWAY_FULL");

	plan = *state;
	seeds_run(full && strcmp(full, "1") == 0 ? 1500 : 24, run_plan);
}

/* ---- the first use ---- */

enum { FIRST_KEYS = 200 };

static void run_first(int shard)
{
	for (uint32_t key = 0; key < FIRST_KEYS; key++) {
		limit_pause();
		take((unsigned)shard, key);
	}
	fibers[shard].is_over = true;
}

static void run_race(uint64_t seed)
{
	static const struct plan once = {.terms = {.burst = 1}, .gap_ns = 10, .one_in = 2};
	const struct limit_terms hourly = {.algorithm = LIMIT_TOKEN_BUCKET,
					   .tokens = 1,
					   .period_ns = 3600 * NS_PER_S,
					   .burst = 1};
	const struct limiter_size size = {.shards = 4, .keys = FIRST_KEYS};
	uint8_t wins[FIRST_KEYS] = {0};

	plan = &once;
	limit_world_open(&w, seed, &size);
	limit = limit_world_limit(&w, "limit", &hourly);
	run_fibers(run_first);
	for (size_t i = 0; i < w.log.count; i++)
		wins[w.log.entries[i].key]++;
	for (uint32_t key = 0; key < FIRST_KEYS; key++)
		assert_int_equal(wins[key], 1);
	limit_world_close(&w);
}

static void the_first_use_of_a_key_is_won_once(void **state UNUSED)
{
	seeds_run(60, run_race);
}

/* ---- concurrency ---- */

enum { CAPPED_KEYS = 30 };

static unsigned in_use[CAPPED_KEYS];

static void run_holder(int shard)
{
	for (unsigned i = 0; i < OPERATIONS; i++) {
		uint32_t key = (uint32_t)limit_world_chance(&w, CAPPED_KEYS);
		struct limit_verdict verdict;

		limit_pause();
		limit_world_clock(&w, (unsigned)shard);
		limit_world_take(&w, (unsigned)shard, limit, key, 1, &verdict);
		if (verdict.outcome != LIMIT_ADMITTED || !verdict.counted)
			continue;
		in_use[key]++;
		assert_true(in_use[key] <= 2);
		limit_pause();
		in_use[key]--;
		limit_world_give(&w, (unsigned)shard, limit, key, 1);
	}
	fibers[shard].is_over = true;
}

static void run_caps(uint64_t seed)
{
	static const struct plan often = {.gap_ns = 1000, .one_in = 2};
	const struct limit_terms cap = {.algorithm = LIMIT_CONCURRENCY,
					.on_full = seed % 2 ? LIMIT_FULL_CLOSED : LIMIT_FULL_COARSE,
					.tokens = 1,
					.period_ns = NS_PER_S,
					.burst = 2};
	const struct limiter_size size = {.shards = 8, .keys = 16};

	plan = &often;
	memset(in_use, 0, sizeof(in_use));
	limit_world_open(&w, seed, &size);
	limit = limit_world_limit(&w, "cap", &cap);
	run_fibers(run_holder);
	for (uint32_t key = 0; key < CAPPED_KEYS; key++) {
		struct limit_verdict verdict;

		assert_int_equal(limit_world_take(&w, 0, limit, key, 2, &verdict), LIMIT_ADMITTED);
		limit_world_give(&w, 0, limit, key, 2);
	}
	limit_world_close(&w);
}

static void a_cap_holds_in_every_order_of_accesses(void **state UNUSED)
{
	seeds_run(24, run_caps);
}

/* ---- a limit that begins anew while its keys share slots ---- */

enum { LIVES = 40, SHARING_KEYS = 3 };

static unsigned used_up[SHARING_KEYS][LIVES];

/* Each life has its own window, all of them the first: its length tells which life it is. */
static struct limit_terms life_terms(unsigned life)
{
	return (struct limit_terms){.algorithm = LIMIT_FIXED_WINDOW,
				    .tokens = 1,
				    .period_ns = (36000 + (uint64_t)life) * NS_PER_S};
}

static void run_life(int shard)
{
	for (unsigned i = 0, life = 0; i < OPERATIONS; i++) {
		uint32_t key = (uint32_t)limit_world_chance(&w, SHARING_KEYS);
		struct limit_verdict verdict;

		limit_pause();
		limit_world_clock(&w, (unsigned)shard);
		limit_world_take(&w, (unsigned)shard, limit, key, 1, &verdict);
		if (verdict.outcome == LIMIT_ADMITTED) {
			uint64_t end_ns = w.shard[shard].clock_ns + verdict.reset_ns;

			assert_true(verdict.coarse && end_ns % NS_PER_S == 0);
			assert_int_equal(used_up[key][end_ns / NS_PER_S - 36000]++, 0);
		}
		if (shard == 0 && i % 15 == 0 && ++life < LIVES) {
			const struct limit_terms terms_now = life_terms(life);

			limiter_set(w.limiter, limit, &terms_now, w.now_ns);
		}
	}
	fibers[shard].is_over = true;
}

static void run_lives(uint64_t seed)
{
	static const struct plan often = {.gap_ns = 1000, .one_in = 2};
	const struct limit_terms hourly = {.algorithm = LIMIT_TOKEN_BUCKET,
					   .tokens = 1,
					   .period_ns = 3600 * NS_PER_S,
					   .burst = 1};
	const struct limit_terms first = life_terms(0);
	const struct limiter_size size = {.shards = 4, .keys = 16};
	struct limit_verdict verdict;
	uint32_t others;

	plan = &often;
	memset(used_up, 0, sizeof(used_up));
	limit_world_open(&w, seed, &size);
	others = limit_world_limit(&w, "others", &hourly);
	limit = limit_world_limit(&w, "limit", &first);
	for (uint32_t key = 0; key < 200; key++)
		limit_world_take(&w, 0, others, key, 1, &verdict);
	run_fibers(run_life);
	limit_world_close(&w);
}

static void a_sleeper_of_a_former_life_forgets_nothing_of_this_one(void **state UNUSED)
{
	seeds_run(24, run_lives);
}

int main(void)
{
	static struct CMUnitTest tests[ARRAY_LEN(plans) + 3];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(plans); i++)
		tests[count++] =
			(struct CMUnitTest){.name = plans[i].name,
					    .test_func = no_order_of_accesses_admits_too_much,
					    .teardown_func = seeds_report,
					    .initial_state = (void *)(uintptr_t)&plans[i]};
	tests[count++] = (struct CMUnitTest)cmocka_unit_test_teardown(
		the_first_use_of_a_key_is_won_once, seeds_report);
	tests[count++] = (struct CMUnitTest)cmocka_unit_test_teardown(
		a_cap_holds_in_every_order_of_accesses, seeds_report);
	tests[count++] = (struct CMUnitTest)cmocka_unit_test_teardown(
		a_sleeper_of_a_former_life_forgets_nothing_of_this_one, seeds_report);
	return _cmocka_run_group_tests("limits_interleaved", tests, count, NULL, NULL);
}

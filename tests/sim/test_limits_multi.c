/* Requests that need tokens of several limits: all or nothing, in one order, and given back
 * after a refusal. Shards interleave between one take and the next.
 *
 * The best order. Let x_k be how many requests of kind k are admitted and C_l = burst + rate *
 * time what limit l can issue. Whatever order requests are decided in, x_k is at most what was
 * offered and the sum of x_k over the kinds that need l at most C_l; so the maximum of the sum
 * of x_k under these constraints (a linear program) is at least the best order. The kinds here
 * are such that its optimum is known without a solver: `best` below says how. Where admitted
 * is within 1% of it, it is within 1% of the best order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "limit_world.h"
#include "seeds.h"

enum { LIMITS = 4, KINDS_MOST = 3 };

static struct limit_world w;

static bool is_full(void)
{
	const char *full = getenv("RINGWAY_FULL");

	return full && strcmp(full, "1") == 0;
}

/* Which limits a request needs, in the order in which they are taken. */
struct kind {
	unsigned needs[LIMITS], count;
};

struct crossing {
	const char *name;
	struct kind kinds[KINDS_MOST];
	unsigned kinds_count;
	bool each_shard_its_kind;
	/* Rates as parts of a unit. */
	unsigned rate[LIMITS];
	/* Of the linear program, in twelfths of a unit. */
	unsigned best_twelfths;
};

static const struct crossing crossings[] = {
	/* x_1 + x_2 <= b, and a and c alone would allow more: b. */
	{"what is shared is scarce", {{{0, 1}, 2}, {{1, 2}, 2}}, 2, true, {1, 1, 1, 0}, 12},
	{"what is shared is scarce, any shard",
	 {{{0, 1}, 2}, {{1, 2}, 2}},
	 2,
	 false,
	 {1, 1, 1, 0},
	 12},
	/* x_1 <= a, x_2 <= c, and b allows both: a + c. */
	{"what is shared is plenty", {{{0, 1}, 2}, {{1, 2}, 2}}, 2, true, {1, 3, 1, 0}, 24},
	/* The three constraints summed: 2 (x_1 + x_2 + x_3) <= a + b + c; equal x reach it. */
	{"a triangle", {{{0, 1}, 2}, {{1, 2}, 2}, {{0, 2}, 2}}, 3, false, {1, 1, 1, 0}, 18},
	/* x_1 + x_2 <= d, the last and narrowest of both. */
	{"the last one is scarce", {{{0, 3}, 2}, {{0, 1, 3}, 3}}, 2, true, {4, 4, 0, 1}, 12},
	{"the first one is scarce", {{{0, 1, 2}, 3}, {{0, 2, 3}, 3}}, 2, true, {1, 4, 4, 4}, 12},
};

/* A request between two takes. */
struct request {
	const struct kind *kind;
	unsigned taken;
	size_t logged[LIMITS];
};

static const struct crossing *crossing;
static uint32_t limits[LIMITS];

/* What was given back was not admitted. */
static void unlog(size_t entry)
{
	w.log.entries[entry].cost = 0;
}

/* One step: a take, or after a refusal all of the giving. True: the request is over. */
static bool step(struct request *r, unsigned shard, uint64_t *admitted)
{
	struct limit_verdict verdict;
	uint32_t limit = limits[r->kind->needs[r->taken]];

	if (limit_world_take(&w, shard, limit, 0, 1, &verdict) == LIMIT_ADMITTED) {
		r->logged[r->taken++] = w.log.count - 1;
		if (r->taken < r->kind->count)
			return false;
		++*admitted;
		return true;
	}
	while (r->taken--) {
		limit_world_give(&w, shard, limits[r->kind->needs[r->taken]], 0, 1);
		unlog(r->logged[r->taken]);
	}
	return true;
}

static void start(struct request *r, unsigned shard)
{
	unsigned kind = crossing->each_shard_its_kind
				? shard % crossing->kinds_count
				: (unsigned)limit_world_chance(&w, crossing->kinds_count);

	limit_world_clock(&w, shard);
	*r = (struct request){.kind = &crossing->kinds[kind]};
}

/* All decide at the same instant, in turns of one step by chance. */
static void decide_together(uint64_t *admitted)
{
	struct request requests[LIMIT_WORLD_SHARDS];
	bool is_over[LIMIT_WORLD_SHARDS] = {false};
	unsigned left = w.shards;

	for (unsigned i = 0; i < w.shards; i++)
		start(&requests[i], i);
	while (left) {
		unsigned i = (unsigned)limit_world_chance(&w, w.shards);

		if (is_over[i] || !step(&requests[i], i, admitted))
			continue;
		is_over[i] = true;
		left--;
	}
}

static void run_crossing(uint64_t seed)
{
	static const uint64_t units[] = {200, 5000, 20000};
	const struct limiter_size size = {.shards = seed % 4 ? 2 : 4, .keys = 64};
	const uint64_t unit = units[seed % 3], run_ns = 10 * NS_PER_S;
	struct limit_terms terms[LIMITS];
	uint64_t admitted = 0, best, begin, gap_ns;

	limit_world_open(&w, seed, &size);
	for (unsigned i = 0; i < LIMITS; i++) {
		static const char *const names[LIMITS] = {"a", "b", "c", "d"};

		terms[i] = (struct limit_terms){.algorithm = LIMIT_TOKEN_BUCKET,
						.tokens = max_u64(crossing->rate[i], 1) * unit,
						.period_ns = NS_PER_S};
		terms[i].burst = max_u64(terms[i].tokens / (2 + seed % 7), 10);
		limits[i] = limit_world_limit(&w, names[i], &terms[i]);
	}
	/* Each kind is offered six times the unit. */
	gap_ns = NS_PER_S * size.shards / (unit * crossing->kinds_count * 6);
	for (begin = w.now_ns; w.now_ns - begin < run_ns;) {
		limit_world_pass(&w, limit_world_chance(&w, 2 * gap_ns + 1));
		decide_together(&admitted);
	}
	/* Without the bursts: they come once, and which of them is spent depends on the first
	 * instants. */
	best = unit * crossing->best_twelfths / 12 * 10;
	if (admitted * 100 < best * 99)
		fail_msg("%s: %llu admitted, the best is %llu", crossing->name,
			 (unsigned long long)admitted, (unsigned long long)best);
	for (unsigned i = 0; i < LIMITS; i++)
		limit_log_check_bucket(&w.log, (uint16_t)limits[i], &terms[i], 1, 1,
				       LIMIT_CLOCK_OWN, 0);
	limit_world_close(&w);
}

static void as_many_as_in_the_best_order(void **state)
{
	crossing = *state;
	seeds_run(is_full() ? 48 : 6, run_crossing);
}

/* ---- give-back, whatever the load ---- */

/* Requests decided one after another, on clocks that lag: what is kept obeys each limit. */
static void run_given_back(uint64_t seed)
{
	const struct limiter_size size = {.shards = (unsigned[]){2, 4, 16, 64}[seed % 4],
					  .keys = 512};
	struct limit_terms terms[3];
	uint32_t keys[3] = {50, 6, 1};
	uint64_t admitted = 0;

	limit_world_open(&w, seed, &size);
	w.lag_most_ns = seed / 4 % 2 ? 5 * NS_PER_MS : 0;
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = {"narrow", "wider", "all"};
		static const uint64_t rates[] = {50, 2000, 20000};

		terms[i] = (struct limit_terms){.algorithm = LIMIT_TOKEN_BUCKET,
						.tokens = rates[limit_world_chance(&w, 3)],
						.period_ns = NS_PER_S,
						.burst = 1 + limit_world_chance(&w, 3000)};
		limits[i] = limit_world_limit(&w, names[i], &terms[i]);
	}
	for (unsigned n = 0; n < 50000; n++) {
		unsigned shard = (unsigned)limit_world_chance(&w, w.shards), i;
		uint32_t cost = 1 + (uint32_t)limit_world_chance(&w, seed % 3 ? 1 : 4);
		struct limit_verdict verdict;
		size_t logged[3];
		uint32_t key[3];

		limit_world_pass(&w, limit_world_chance(&w, 60 * NS_PER_US));
		limit_world_clock(&w, shard);
		for (i = 0; i < 3; i++) {
			key[i] = (uint32_t)limit_world_chance(&w, keys[i]);
			if (limit_world_take(&w, shard, limits[i], key[i], cost, &verdict) !=
			    LIMIT_ADMITTED)
				break;
			logged[i] = w.log.count - 1;
		}
		admitted += i == 3;
		for (bool kept = i == 3; !kept && i--;) {
			limit_world_give(&w, shard, limits[i], key[i], cost);
			unlog(logged[i]);
		}
	}
	assert_true(admitted > 0);
	for (unsigned i = 0; i < 3; i++)
		limit_log_check_bucket(&w.log, (uint16_t)limits[i], &terms[i], 1, keys[i],
				       LIMIT_CLOCK_OWN, 0);
	limit_world_close(&w);
}

static void what_is_given_back_is_not_counted_and_nothing_else_is_gained(void **state UNUSED)
{
	seeds_run(is_full() ? 400 : 32, run_given_back);
}

int main(void)
{
	static struct CMUnitTest tests[ARRAY_LEN(crossings) + 1];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(crossings); i++)
		tests[count++] =
			(struct CMUnitTest){.name = crossings[i].name,
					    .test_func = as_many_as_in_the_best_order,
					    .teardown_func = seeds_report,
					    .initial_state = (void *)(uintptr_t)&crossings[i]};
	tests[count++] = (struct CMUnitTest)cmocka_unit_test_teardown(
		what_is_given_back_is_not_counted_and_nothing_else_is_gained, seeds_report);
	return _cmocka_run_group_tests("limits_multi", tests, count, NULL, NULL);
}

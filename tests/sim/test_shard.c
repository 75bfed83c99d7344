/* The loop of a shard, turn by turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include <ringway/shard/shard.h>

#include "fake_ring.h"

struct work {
	struct runnable runnable;
	struct timer timer;
	struct shard *shard;
	unsigned runs, dues;
	uint64_t at_ns;
};

static void run(struct runnable *r)
{
	struct work *w = container_of(r, struct work, runnable);

	w->runs++;
	w->at_ns = w->shard->now_ns;
}

static void due(struct timer *t)
{
	struct work *w = container_of(t, struct work, timer);

	w->dues++;
	w->at_ns = w->shard->now_ns;
	shard_mark(w->shard, &w->runnable);
}

static void mark_by_letter(void *to, const struct mail *mail UNUSED)
{
	struct work *w = to;

	shard_mark(w->shard, &w->runnable);
}

static struct shard s;
static struct work w;

static int setup(void **state UNUSED)
{
	struct fake_plan plan = fake_plan_of(1);
	struct ring *ring;

	if (shard_init(&s, 0, 4, 1) != 0 || fake_ring_create(&s.blocks, &plan, &ring) != 0)
		return -1;
	shard_open(&s, ring, fake_now(ring));
	memset(&w, 0, sizeof(w));
	w.shard = &s;
	runnable_init(&w.runnable, run);
	timer_init(&w.timer, due);
	return 0;
}

static int teardown(void **state UNUSED)
{
	shard_fini(&s);
	return 0;
}

static void work_marked_before_the_first_turn_does_not_wait_for_news(void **state UNUSED)
{
	uint64_t before = s.now_ns;

	shard_mark(&s, &w.runnable);
	shard_mark(&s, &w.runnable);
	shard_turn(&s, UINT64_MAX);
	assert_int_equal(w.runs, 1);
	assert_true(w.at_ns - before < NS_PER_MS);
}

static void work_that_is_stopped_does_not_run(void **state UNUSED)
{
	shard_mark(&s, &w.runnable);
	runnable_stop(&w.runnable);
	runnable_stop(&w.runnable);
	shard_turn(&s, 0);
	assert_int_equal(w.runs, 0);
	shard_mark(&s, &w.runnable);
	shard_turn(&s, 0);
	assert_int_equal(w.runs, 1);
}

static void a_turn_waits_for_the_next_timer(void **state UNUSED)
{
	uint64_t start = s.now_ns;

	timer_set(&s.timers, &w.timer, start + 300 * NS_PER_MS);
	while (!w.dues)
		shard_turn(&s, UINT64_MAX);
	assert_in_range(w.at_ns - start, 300 * NS_PER_MS, 301 * NS_PER_MS);
	/* What a timer marks runs in the same turn. */
	assert_int_equal(w.runs, 1);
	assert_true(s.turns < 10);
}

static void letters_are_read_before_a_wait(void **state UNUSED)
{
	struct mail mail = {.deliver = mark_by_letter, .to = &w};
	uint64_t before = s.now_ns;

	assert_true(mailbox_post(&s.mailbox, 0, &mail));
	shard_turn(&s, UINT64_MAX);
	assert_int_equal(w.runs, 1);
	assert_true(w.at_ns - before < NS_PER_MS);
}

static void post(void *arg UNUSED)
{
	struct mail mail = {.deliver = mark_by_letter, .to = &w};

	assert_true(mailbox_post(&s.mailbox, 0, &mail));
}

static void a_letter_ends_a_wait(void **state UNUSED)
{
	uint64_t at_ns = s.now_ns + 123 * NS_PER_MS;

	fake_at(s.ring, at_ns, post, NULL);
	while (!w.runs)
		shard_turn(&s, UINT64_MAX);
	assert_int_equal(w.at_ns, at_ns);
}

static void stop(void *arg UNUSED)
{
	shard_stop(&s);
	ring_wake(s.ring);
}

static void a_stop_ends_the_run(void **state UNUSED)
{
	fake_at(s.ring, s.now_ns + 10 * NS_PER_S, stop, NULL);
	shard_run(&s);
	assert_in_range(s.now_ns, 10 * NS_PER_S, 12 * NS_PER_S);
}

#define turned(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		turned(work_marked_before_the_first_turn_does_not_wait_for_news),
		turned(work_that_is_stopped_does_not_run),
		turned(a_turn_waits_for_the_next_timer),
		turned(letters_are_read_before_a_wait),
		turned(a_letter_ends_a_wait),
		turned(a_stop_ends_the_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

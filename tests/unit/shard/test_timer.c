#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <ringway/shard/timer.h>

#define START (5 * NS_PER_S + 123456)

struct alarm {
	struct timer timer;
	struct timers *ts;
	uint64_t fired_at;
	unsigned fired;
};

static uint64_t now_ns; /* what timers_run() was called with */

static void ring_the_alarm(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	a->fired++;
	a->fired_at = now_ns;
}

static void run_to(struct timers *ts, uint64_t to_ns)
{
	now_ns = to_ns;
	timers_run(ts, to_ns);
}

/* As the loop does: wakes when it is told to and at no other time. */
static void turn_until(struct timers *ts, uint64_t until_ns)
{
	for (;;) {
		uint64_t next = timers_next_ns(ts);

		if (next > until_ns)
			break;
		if (next > now_ns)
			now_ns = next;
		run_to(ts, now_ns);
	}
	run_to(ts, until_ns);
}

static void each_timer_fires_within_a_grain(void **state UNUSED)
{
	/* Both sides of each level's edge. */
	static const uint64_t after_ms[] = {
		1,        2,          62,         63,         64,         65,
		127,      128,        4030,       4031,       4032,       4033,
		4094,     4095,       4096,       4097,       8191,       8192,
		262143,   262144,     262145,     262208,     16777215,   16777216,
		16777217, 1073741823, 1073741824, 1073741825, 3000000000,
	};
	static const uint64_t starts[] = {
		NS_PER_MS,
		START,
		63 * NS_PER_MS,
		64 * NS_PER_MS,
		4095 * NS_PER_MS,
		4096 * NS_PER_MS,
		262143 * NS_PER_MS + 999999,
		16777215 * NS_PER_MS,
		1073741823 * NS_PER_MS,
		1073741824 * NS_PER_MS,
	};

	for (size_t s = 0; s < ARRAY_LEN(starts); s++) {
		for (size_t i = 0; i < ARRAY_LEN(after_ms); i++) {
			uint64_t due = starts[s] + after_ms[i] * NS_PER_MS;
			struct timers ts;
			struct alarm a = {.fired = 0};

			now_ns = starts[s];
			timers_init(&ts, now_ns);
			timer_init(&a.timer, ring_the_alarm);
			timer_set(&ts, &a.timer, due);
			turn_until(&ts, due - 1);
			assert_int_equal(a.fired, 0);
			turn_until(&ts, due + NS_PER_MS);
			assert_int_equal(a.fired, 1);
			assert_in_range(a.fired_at, due, due + NS_PER_MS - 1);
			assert_int_equal(a.timer.due_ns, 0);
			turn_until(&ts, due + 10 * NS_PER_MS);
			assert_int_equal(a.fired, 1);
		}
	}
}

static void one_long_jump_fires_everything(void **state UNUSED)
{
	struct timers ts;
	struct alarm a[60];

	now_ns = START;
	timers_init(&ts, START);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		a[i].fired = 0;
		timer_init(&a[i].timer, ring_the_alarm);
		timer_set(&ts, &a[i].timer, START + ((uint64_t)1 << i));
	}
	run_to(&ts, START + ((uint64_t)1 << 59));
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		assert_int_equal(a[i].fired, 1);
	assert_int_equal(timers_next_ns(&ts), UINT64_MAX);
}

static void a_time_that_has_passed_fires_next(void **state UNUSED)
{
	struct timers ts;
	struct alarm a = {.fired = 0};

	now_ns = START;
	timers_init(&ts, START);
	timer_init(&a.timer, ring_the_alarm);
	timer_set(&ts, &a.timer, 1);
	assert_int_equal(a.fired, 0);
	turn_until(&ts, START + NS_PER_MS);
	assert_int_equal(a.fired, 1);
}

static void a_time_that_never_comes_costs_no_turns(void **state UNUSED)
{
	struct timers ts;
	struct alarm a = {.fired = 0};

	now_ns = START;
	timers_init(&ts, START);
	timer_init(&a.timer, ring_the_alarm);
	timer_set(&ts, &a.timer, UINT64_MAX);
	assert_true(timers_next_ns(&ts) > START + 3600 * NS_PER_S);
	run_to(&ts, START + 1000 * 3600 * NS_PER_S);
	assert_int_equal(a.fired, 0);
}

static void put_off_is_put_off(void **state UNUSED)
{
	struct timers ts;
	struct alarm a = {.fired = 0};

	now_ns = START;
	timers_init(&ts, START);
	timer_init(&a.timer, ring_the_alarm);
	/* The idle timeout of a busy connection. */
	for (uint64_t t = START; t < START + 60 * NS_PER_S; t += 7 * NS_PER_MS) {
		turn_until(&ts, t);
		timer_set(&ts, &a.timer, t + 100 * NS_PER_MS);
	}
	assert_int_equal(a.fired, 0);
	timer_set(&ts, &a.timer, 0);
	turn_until(&ts, START + 200 * NS_PER_S);
	assert_int_equal(a.fired, 0);
	timer_set(&ts, &a.timer, START + 201 * NS_PER_S);
	timer_set(&ts, &a.timer, START + 200 * NS_PER_S + 5 * NS_PER_MS);
	turn_until(&ts, START + 200 * NS_PER_S + 6 * NS_PER_MS);
	assert_int_equal(a.fired, 1);
	turn_until(&ts, START + 202 * NS_PER_S);
	assert_int_equal(a.fired, 1);
}

static struct alarm *victims[2];

static void stop_the_others(struct timer *t)
{
	ring_the_alarm(t);
	for (int i = 0; i < 2; i++)
		if (&victims[i]->timer != t)
			timer_stop(&victims[i]->timer);
}

static void timers_of_one_slot_can_stop_each_other(void **state UNUSED)
{
	/* In the finest level and in one that is emptied first. */
	static const uint64_t after_ms[] = {5, 5000, 300000};

	for (size_t i = 0; i < ARRAY_LEN(after_ms); i++) {
		struct timers ts;
		struct alarm *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));

		victims[0] = a;
		victims[1] = b;
		now_ns = START;
		timers_init(&ts, START);
		a->fired = b->fired = 0;
		timer_init(&a->timer, stop_the_others);
		timer_init(&b->timer, stop_the_others);
		timer_set(&ts, &a->timer, START + after_ms[i] * NS_PER_MS);
		timer_set(&ts, &b->timer, START + after_ms[i] * NS_PER_MS);
		run_to(&ts, START + 2 * after_ms[i] * NS_PER_MS);
		assert_int_equal(a->fired + b->fired, 1);
		timer_stop(&a->timer);
		timer_stop(&b->timer);
		/* Nothing in the wheel may point at them. */
		free(a);
		free(b);
		turn_until(&ts, START + 4 * after_ms[i] * NS_PER_MS);
	}
}

static void set_again(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	ring_the_alarm(t);
	timer_set(a->ts, t, now_ns + 10 * NS_PER_MS);
}

static void a_timer_can_set_itself_again(void **state UNUSED)
{
	struct timers ts;
	struct alarm a = {.ts = &ts};

	now_ns = START;
	timers_init(&ts, START);
	timer_init(&a.timer, set_again);
	timer_set(&ts, &a.timer, START + 10 * NS_PER_MS);
	turn_until(&ts, START + 10 * NS_PER_S);
	assert_in_range(a.fired, 900, 1000);
	/* A loop that stood still for long does not make up for what it missed. */
	a.fired = 0;
	run_to(&ts, START + 20 * NS_PER_S);
	assert_int_equal(a.fired, 1);
}

/* ---- against a model ---- */

#define TIMERS 40

struct model {
	struct timers ts;
	struct alarm alarms[TIMERS];
	uint64_t due[TIMERS]; /* what each should do; 0: off */
	uint64_t random;
};

static struct model m;

static uint64_t below(uint64_t n)
{
	m.random = m.random * 6364136223846793005u + 1442695040888963407u;
	return (m.random >> 33) % n;
}

static uint64_t some_delay(void)
{
	static const uint64_t most_ms[] = {2, 70, 5000, 300000, 20000000, 2000000000};

	return below(most_ms[below(ARRAY_LEN(most_ms))] * 1000) * NS_PER_US;
}

static void change_one(void)
{
	size_t i = below(TIMERS);

	switch (below(6)) {
	case 0:
		timer_stop(&m.alarms[i].timer);
		m.due[i] = 0;
		break;
	case 1:
		timer_set(&m.ts, &m.alarms[i].timer, 0);
		m.due[i] = 0;
		break;
	case 2: /* a bit later */
		if (!m.due[i])
			break;
		m.due[i] += below(200) * NS_PER_MS;
		timer_set(&m.ts, &m.alarms[i].timer, m.due[i]);
		break;
	default:
		m.due[i] = now_ns + some_delay();
		timer_set(&m.ts, &m.alarms[i].timer, m.due[i]);
		break;
	}
}

static void model_fires(struct timer *t)
{
	size_t i = (size_t)(container_of(t, struct alarm, timer) - m.alarms);

	assert_int_not_equal(m.due[i], 0);
	assert_true(now_ns >= m.due[i]);
	m.due[i] = 0;
	for (uint64_t n = below(4); n; n--)
		change_one();
}

static void any_order_of_calls_agrees_with_a_plain_list(void **state UNUSED)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		m.random = seed;
		now_ns = 1 + below(1 << 30) * (below(2) ? 1 : 1000000);
		timers_init(&m.ts, now_ns);
		for (size_t i = 0; i < TIMERS; i++) {
			timer_init(&m.alarms[i].timer, model_fires);
			m.due[i] = 0;
		}
		for (int step = 0; step < 3000; step++) {
			uint64_t next, first = UINT64_MAX;

			for (uint64_t n = below(5); n; n--)
				change_one();
			next = timers_next_ns(&m.ts);
			for (size_t i = 0; i < TIMERS; i++)
				if (m.due[i])
					first = min_u64(first, m.due[i]);
			/* Never later than the first that is due, but for the grain. */
			if (first != UINT64_MAX)
				assert_true(next < max_u64(first, now_ns) + 2 * NS_PER_MS);
			if (below(3) == 0 || next == UINT64_MAX)
				now_ns += some_delay();
			else
				now_ns = max_u64(now_ns, next);
			timers_run(&m.ts, now_ns);
			for (size_t i = 0; i < TIMERS; i++)
				if (m.due[i] && m.due[i] + 2 * NS_PER_MS <= now_ns)
					fail_msg("seed %d step %d: timer %zu is late", (int)seed,
						 step, i);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_timer_fires_within_a_grain),
		cmocka_unit_test(one_long_jump_fires_everything),
		cmocka_unit_test(a_time_that_has_passed_fires_next),
		cmocka_unit_test(a_time_that_never_comes_costs_no_turns),
		cmocka_unit_test(put_off_is_put_off),
		cmocka_unit_test(timers_of_one_slot_can_stop_each_other),
		cmocka_unit_test(a_timer_can_set_itself_again),
		cmocka_unit_test(any_order_of_calls_agrees_with_a_plain_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

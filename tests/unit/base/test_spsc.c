#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include <ringway/base/spsc.h>

struct item {
	uint64_t number;
	uint64_t check;
	char odd; /* a size that is no power of two */
};

static struct item items[64];

static struct item item_of(uint64_t number)
{
	return (struct item){.number = number, .check = ~number * 31, .odd = (char)number};
}

static void assert_item(const struct item *i, uint64_t number)
{
	assert_int_equal(i->number, number);
	assert_int_equal(i->check, ~number * 31);
	assert_int_equal(i->odd, (char)number);
}

static void items_come_out_in_the_order_they_went_in(void **state UNUSED)
{
	struct spsc s;
	struct item out;
	uint64_t in = 0, next = 0;

	spsc_init(&s, items, sizeof(struct item), 8);
	assert_false(spsc_pop(&s, &out));
	for (int round = 1; round <= 8; round++) {
		for (int i = 0; i < round; i++) {
			struct item it = item_of(in++);

			assert_true(spsc_push(&s, &it));
		}
		for (int i = 0; i < round; i++) {
			assert_true(spsc_pop(&s, &out));
			assert_item(&out, next++);
		}
		assert_false(spsc_pop(&s, &out));
	}
}

static void a_full_ring_refuses_and_keeps_what_it_has(void **state UNUSED)
{
	struct spsc s;
	struct item it, out;

	spsc_init(&s, items, sizeof(struct item), 4);
	for (uint64_t i = 0; i < 4; i++) {
		it = item_of(i);
		assert_true(spsc_push(&s, &it));
	}
	it = item_of(99);
	assert_false(spsc_push(&s, &it));
	assert_true(spsc_pop(&s, &out));
	assert_item(&out, 0);
	assert_true(spsc_push(&s, &it));
	assert_false(spsc_push(&s, &it));
	for (uint64_t i = 1; i < 4; i++) {
		assert_true(spsc_pop(&s, &out));
		assert_item(&out, i);
	}
	assert_true(spsc_pop(&s, &out));
	assert_item(&out, 99);
	assert_false(spsc_pop(&s, &out));
}

static void the_indexes_may_wrap_around(void **state UNUSED)
{
	struct spsc s;
	struct item it, out;

	spsc_init(&s, items, sizeof(struct item), 4);
	s.head = s.tail = s.head_seen = s.tail_seen = UINT32_MAX - 1;
	for (uint64_t round = 0; round < 10; round += 4) {
		for (uint64_t i = 0; i < 4; i++) {
			it = item_of(round + i);
			assert_true(spsc_push(&s, &it));
		}
		assert_false(spsc_push(&s, &it));
		for (uint64_t i = 0; i < 4; i++) {
			assert_true(spsc_pop(&s, &out));
			assert_item(&out, round + i);
		}
		assert_false(spsc_pop(&s, &out));
	}
}

#define MANY 200000

static void *write_many(void *arg)
{
	for (uint64_t i = 0; i < MANY; i++) {
		struct item it = item_of(i);

		while (!spsc_push(arg, &it))
			sched_yield();
	}
	return NULL;
}

static void two_threads_lose_and_tear_nothing(void **state UNUSED)
{
	struct spsc s;
	struct item out;
	pthread_t writer;

	spsc_init(&s, items, sizeof(struct item), 64);
	assert_int_equal(pthread_create(&writer, NULL, write_many, &s), 0);
	for (uint64_t i = 0; i < MANY; i++) {
		while (!spsc_pop(&s, &out))
			sched_yield();
		if (out.number != i || out.check != ~i * 31 || out.odd != (char)i)
			fail_msg("item %d differs", (int)i);
	}
	pthread_join(writer, NULL);
	assert_false(spsc_pop(&s, &out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_come_out_in_the_order_they_went_in),
		cmocka_unit_test(a_full_ring_refuses_and_keeps_what_it_has),
		cmocka_unit_test(the_indexes_may_wrap_around),
		cmocka_unit_test(two_threads_lose_and_tear_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ringway/base/list.h>

struct item {
	int value;
	struct list link;
};

static void expect(const struct list *head, const int *values, size_t len)
{
	size_t i = 0;

	list_for_each (it, head) {
		assert_true(i < len);
		assert_int_equal(list_entry(it, struct item, link)->value, values[i++]);
		assert_ptr_equal(it->next->prev, it);
	}
	assert_int_equal(i, len);
}

static void members_stand_in_the_order_they_were_put(void **state UNUSED)
{
	struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
	struct list head;

	list_init(&head);
	assert_true(list_is_empty(&head));
	list_push_back(&head, &items[1].link);
	list_push_back(&head, &items[3].link);
	list_push_front(&head, &items[0].link);
	list_insert_after(&items[1].link, &items[2].link);
	assert_false(list_is_empty(&head));
	expect(&head, (const int[]){0, 1, 2, 3}, 4);
}

static void a_member_leaves_without_its_head_and_may_leave_again(void **state UNUSED)
{
	struct item items[3] = {{.value = 0}, {.value = 1}, {.value = 2}};
	struct list head;

	list_init(&head);
	for (int i = 0; i < 3; i++)
		list_push_back(&head, &items[i].link);
	list_remove(&items[1].link);
	assert_true(list_is_alone(&items[1].link));
	list_remove(&items[1].link);
	expect(&head, (const int[]){0, 2}, 2);
	list_remove(&items[0].link);
	list_remove(&items[2].link);
	assert_true(list_is_empty(&head));
}

static void members_are_popped_from_the_front(void **state UNUSED)
{
	struct item a = {.value = 0}, b = {.value = 1};
	struct list head;

	list_init(&head);
	assert_null(list_pop_front(&head));
	list_push_back(&head, &a.link);
	list_push_back(&head, &b.link);
	assert_ptr_equal(list_pop_front(&head), &a.link);
	assert_true(list_is_alone(&a.link));
	assert_ptr_equal(list_pop_front(&head), &b.link);
	assert_null(list_pop_front(&head));
}

static void each_member_may_leave_while_it_is_looked_at(void **state UNUSED)
{
	struct item items[5];
	struct list head;

	list_init(&head);
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		list_push_back(&head, &items[i].link);
	}
	list_for_each_safe (it, &head)
		if (list_entry(it, struct item, link)->value % 2 == 0)
			list_remove(it);
	expect(&head, (const int[]){1, 3}, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_stand_in_the_order_they_were_put),
		cmocka_unit_test(a_member_leaves_without_its_head_and_may_leave_again),
		cmocka_unit_test(members_are_popped_from_the_front),
		cmocka_unit_test(each_member_may_leave_while_it_is_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "text_map.h"

static void an_empty_map_has_neither_texts_nor_lengths(void **state UNUSED)
{
	struct text_map m = {0};
	size_t length = 5000;

	assert_null(text_map_find(&m, SPAN("a")));
	assert_null(text_map_find(&m, SPAN_NONE));
	assert_false(text_map_shorter(&m, &length));
	assert_int_equal(length, 5000);
}

static void a_text_keeps_its_value_while_others_come(void **state UNUSED)
{
	enum { TEXTS = 5000 };
	struct text_map m = {0};
	struct arena arena;
	struct span text;
	void **value;

	arena_init(&arena, NULL, 0, &arena_malloc_source);
	for (uintptr_t i = 0; i < TEXTS; i++) {
		text = arena_printf(&arena, "text %zu", (size_t)i);
		assert_null(text_map_find(&m, text));
		value = text_map_add(&m, &arena, text);
		assert_non_null(value);
		assert_null(*value);
		*value = (void *)(i + 1);
	}
	assert_int_equal(m.texts_len, TEXTS);
	for (uintptr_t i = 0; i < TEXTS; i++) {
		text = arena_printf(&arena, "text %zu", (size_t)i);
		assert_ptr_equal(text_map_find(&m, text), (void *)(i + 1));
		assert_ptr_equal(*text_map_add(&m, &arena, text), (void *)(i + 1));
	}
	assert_int_equal(m.texts_len, TEXTS);
	assert_null(text_map_find(&m, SPAN("text 5000")));
	assert_null(text_map_find(&m, SPAN("text")));
	arena_reset(&arena);
}

static void texts_are_told_apart_by_every_byte(void **state UNUSED)
{
	struct text_map m = {0};
	struct arena arena;
	int there = 0;

	arena_init(&arena, NULL, 0, &arena_malloc_source);
	*text_map_add(&m, &arena, SPAN("")) = &there;
	*text_map_add(&m, &arena, SPAN("a\0b")) = &there;
	assert_ptr_equal(text_map_find(&m, SPAN("")), &there);
	assert_ptr_equal(text_map_find(&m, SPAN("a\0b")), &there);
	assert_null(text_map_find(&m, SPAN("a\0c")));
	assert_null(text_map_find(&m, SPAN("A\0b")));
	assert_null(text_map_find(&m, SPAN("a")));
	arena_reset(&arena);
}

static void lengths_come_in_falling_order(void **state UNUSED)
{
	static const size_t lengths[] = {0, 1, 63, 64, 65, 127, 128, 191, 300, 301, 4096};
	static const char text[4096];
	struct text_map m = {0};
	struct arena arena;

	arena_init(&arena, NULL, 0, &arena_malloc_source);
	/* Neither rising nor falling, so that the set grows and is filled below as well. */
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		*text_map_add(&m, &arena, span_of(text, lengths[i * 7 % ARRAY_LEN(lengths)])) = &m;

	for (size_t from = 0; from < 9000; from++) {
		size_t length = from, expected = ARRAY_LEN(lengths);

		while (expected && lengths[expected - 1] >= from)
			expected--;
		while (text_map_shorter(&m, &length)) {
			assert_true(expected > 0);
			assert_int_equal(length, lengths[--expected]);
		}
		assert_int_equal(expected, 0);
	}
	arena_reset(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_map_has_neither_texts_nor_lengths),
		cmocka_unit_test(a_text_keeps_its_value_while_others_come),
		cmocka_unit_test(texts_are_told_apart_by_every_byte),
		cmocka_unit_test(lengths_come_in_falling_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

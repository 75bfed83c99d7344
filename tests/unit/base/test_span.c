#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ringway/base/base.h>
#include <ringway/base/span.h>

static void spans_are_equal_by_their_bytes(void **state UNUSED)
{
	assert_true(span_eq(SPAN("abc"), span_of("abcd", 3)));
	assert_false(span_eq(SPAN("abc"), SPAN("abd")));
	assert_false(span_eq(SPAN("abc"), SPAN("ab")));
	assert_false(span_eq(SPAN("abc"), SPAN("Abc")));
	assert_true(span_eq(SPAN_NONE, SPAN("")));
	assert_true(span_eq(span_of("a\0b", 3), SPAN("a\0b")));
	assert_false(span_eq(span_of("a\0b", 3), SPAN("a\0c")));
}

static void case_is_ignored_for_ascii_letters_only(void **state UNUSED)
{
	assert_true(span_ieq(SPAN("Content-Length"), SPAN("cONTENT-lENGTH")));
	assert_true(span_ieq(SPAN_NONE, SPAN("")));
	assert_false(span_ieq(SPAN("a"), SPAN("ab")));
	/* The same but for the bit that makes a letter small. */
	assert_false(span_ieq(SPAN("@["), SPAN("`{")));
	assert_false(span_ieq(SPAN("\xc4"), SPAN("\xe4")));
	assert_false(span_ieq(SPAN("\r"), SPAN("-")));
}

static void beginnings_and_ends_are_found(void **state UNUSED)
{
	assert_true(span_starts_with(SPAN("/api/v1"), SPAN("/api")));
	assert_false(span_starts_with(SPAN("/ap"), SPAN("/api")));
	assert_false(span_starts_with(SPAN("x/api"), SPAN("/api")));
	assert_true(span_starts_with(SPAN("x"), SPAN_NONE));
	assert_true(span_starts_with(SPAN_NONE, SPAN_NONE));
	assert_true(span_ends_with(SPAN("a.example.org"), SPAN(".example.org")));
	assert_false(span_ends_with(SPAN("example.org"), SPAN(".example.org")));
	assert_false(span_ends_with(SPAN("a.example.org."), SPAN(".example.org")));
	assert_true(span_ends_with(SPAN("x"), SPAN_NONE));
	assert_true(span_ends_with(SPAN_NONE, SPAN_NONE));
}

static void trimming_takes_spaces_and_tabs_at_both_ends(void **state UNUSED)
{
	assert_true(span_eq(span_trim(SPAN(" \t a b\t ")), SPAN("a b")));
	assert_true(span_eq(span_trim(SPAN(" \t ")), SPAN("")));
	assert_true(span_eq(span_trim(SPAN("\r\n")), SPAN("\r\n")));
	assert_int_equal(span_trim(SPAN_NONE).len, 0);
}

static void lists_are_taken_apart_at_commas(void **state UNUSED)
{
	static const struct {
		const char *list;
		const char *tokens[4];
	} table[] = {
		{"a", {"a"}},
		{"a,b", {"a", "b"}},
		{" a , b\t,c ", {"a", "b", "c"}},
		{",, a ,, ,b,", {"a", "b"}},
		{"", {NULL}},
		{" , ,", {NULL}},
		{"keep-alive, Upgrade", {"keep-alive", "Upgrade"}},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct span list = span_str(table[i].list), token;

		for (size_t j = 0; table[i].tokens[j]; j++) {
			assert_true(span_next_token(&list, &token));
			assert_true(span_eq(token, span_str(table[i].tokens[j])));
		}
		assert_false(span_next_token(&list, &token));
	}
}

static void numbers_are_digits_and_nothing_else(void **state UNUSED)
{
	static const char *const wrong[] = {
		"",
		"-1",
		"+1",
		" 1",
		"1 ",
		"0x1",
		"1.0",
		"1e3",
		"18446744073709551616",
		"99999999999999999999999",
		"/",
		":",
	};
	uint64_t value = 7;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (span_to_u64(span_str(wrong[i]), &value))
			fail_msg("taken: \"%s\"", wrong[i]);
	assert_int_equal(value, 7);
	assert_true(span_to_u64(SPAN("0"), &value));
	assert_int_equal(value, 0);
	assert_true(span_to_u64(SPAN("18446744073709551615"), &value));
	assert_true(value == UINT64_MAX);
	assert_true(span_to_u64(span_of("0012345", 5), &value));
	assert_int_equal(value, 123);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_are_equal_by_their_bytes),
		cmocka_unit_test(case_is_ignored_for_ascii_letters_only),
		cmocka_unit_test(beginnings_and_ends_are_found),
		cmocka_unit_test(trimming_takes_spaces_and_tabs_at_both_ends),
		cmocka_unit_test(lists_are_taken_apart_at_commas),
		cmocka_unit_test(numbers_are_digits_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

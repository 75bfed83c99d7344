#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ringway/config/template.h>

static struct arena arena;

static int fresh_arena(void **state UNUSED)
{
	arena_init(&arena, NULL, 0, &arena_malloc_source);
	return 0;
}

static int empty_arena(void **state UNUSED)
{
	arena_reset(&arena);
	return 0;
}

static void literals_and_attributes_alternate(void **state UNUSED)
{
	struct template t;
	const char *error;
	size_t at;

	assert_true(template_parse(&arena, SPAN("https://{host}/new{path}?{header:X-A}"), &t, &error,
	                           &at));
	assert_int_equal(t.parts_len, 6);
	assert_int_equal(t.parts[0].attribute, ATTRIBUTE_LITERAL);
	assert_true(span_eq(t.parts[0].argument, SPAN("https://")));
	assert_int_equal(t.parts[1].attribute, ATTRIBUTE_HOST);
	assert_true(span_eq(t.parts[2].argument, SPAN("/new")));
	assert_int_equal(t.parts[3].attribute, ATTRIBUTE_PATH);
	assert_int_equal(t.parts[5].attribute, ATTRIBUTE_HEADER);
	assert_true(span_eq(t.parts[5].argument, SPAN("X-A")));
}

static void every_attribute_is_known_by_its_name(void **state UNUSED)
{
	for (enum attribute a = ATTRIBUTE_LITERAL + 1; a < ATTRIBUTES; a++) {
		const char *argument = attribute_has_argument(a) ? ":x" : "";
		struct span text = arena_printf(&arena, "{%s%s}", attribute_name(a), argument);
		struct template t;
		const char *error;
		size_t at;

		assert_true(template_parse(&arena, text, &t, &error, &at));
		assert_int_equal(t.parts_len, 1);
		assert_int_equal(t.parts[0].attribute, a);
	}
}

static void doubled_braces_are_braces(void **state UNUSED)
{
	struct template t;
	const char *error;
	size_t at;

	assert_true(template_parse(&arena, SPAN("{{a}}"), &t, &error, &at));
	assert_int_equal(t.parts_len, 3);
	assert_true(span_eq(t.parts[0].argument, SPAN("{")));
	assert_true(span_eq(t.parts[1].argument, SPAN("a")));
	assert_true(span_eq(t.parts[2].argument, SPAN("}")));
}

static void nothing_is_a_template_without_parts(void **state UNUSED)
{
	struct template t = {NULL, 7};
	const char *error;
	size_t at;

	assert_true(template_parse(&arena, SPAN(""), &t, &error, &at));
	assert_int_equal(t.parts_len, 0);
}

static void the_text_may_go_away(void **state UNUSED)
{
	char text[] = "abc{header:X}";
	struct template t;
	const char *error;
	size_t at;

	assert_true(template_parse(&arena, span_str(text), &t, &error, &at));
	memset(text, '#', sizeof(text));
	assert_true(span_eq(t.parts[0].argument, SPAN("abc")));
	assert_true(span_eq(t.parts[1].argument, SPAN("X")));
}

static void what_is_wrong_is_said_with_its_offset(void **state UNUSED)
{
	static const struct {
		const char *text, *error;
		size_t at;
	} table[] = {
		{"a{pth}", "no such attribute", 1},
		{"{}", "no such attribute", 0},
		{"ab{path", "this brace is not closed; write {{ for the brace itself", 2},
		{"ab}c", "a closing brace alone; write }} for the brace itself", 2},
		{"{path:x}", "this attribute takes no argument", 0},
		{"{header}", "a name is missing: {header:NAME} or {cookie:NAME}", 0},
		{"{header:}", "this is no name of a header field or cookie", 0},
		{"{cookie:a b}", "this is no name of a header field or cookie", 0},
		{"{:x}", "no such attribute", 0},
		{"{path}{", "this brace is not closed; write {{ for the brace itself", 6},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct template t = {NULL, 7};
		const char *error = NULL;
		size_t at = 99;

		assert_false(template_parse(&arena, span_str(table[i].text), &t, &error, &at));
		assert_string_equal(error, table[i].error);
		assert_int_equal(at, table[i].at);
		assert_int_equal(t.parts_len, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_and_attributes_alternate),
		cmocka_unit_test(every_attribute_is_known_by_its_name),
		cmocka_unit_test(doubled_braces_are_braces),
		cmocka_unit_test(nothing_is_a_template_without_parts),
		cmocka_unit_test(the_text_may_go_away),
		cmocka_unit_test(what_is_wrong_is_said_with_its_offset),
	};

	return cmocka_run_group_tests(tests, fresh_arena, empty_arena);
}

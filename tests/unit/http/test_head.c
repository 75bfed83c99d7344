#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include <ringway/http/head.h>

static void methods_are_known_by_their_exact_text(void **state UNUSED)
{
	static const struct {
		const char *text;
		enum http_method method;
		bool idempotent;
	} cases[] = {
		{"GET", HTTP_METHOD_GET, true},          {"HEAD", HTTP_METHOD_HEAD, true},
		{"POST", HTTP_METHOD_POST, false},       {"PUT", HTTP_METHOD_PUT, true},
		{"DELETE", HTTP_METHOD_DELETE, true},    {"PATCH", HTTP_METHOD_PATCH, false},
		{"OPTIONS", HTTP_METHOD_OPTIONS, true},  {"TRACE", HTTP_METHOD_TRACE, true},
		{"CONNECT", HTTP_METHOD_CONNECT, false}, {"get", HTTP_METHOD_OTHER, false},
		{"GETT", HTTP_METHOD_OTHER, false},      {"G", HTTP_METHOD_OTHER, false},
		{"PROPFIND", HTTP_METHOD_OTHER, false},  {"", HTTP_METHOD_OTHER, false},
		{"PUR", HTTP_METHOD_OTHER, false},       {"DELETF", HTTP_METHOD_OTHER, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum http_method m = http_method_of(span_str(cases[i].text));

		assert_int_equal(m, cases[i].method);
		assert_int_equal(http_method_is_idempotent(m), cases[i].idempotent);
	}
}

static void statuses_have_their_phrase(void **state UNUSED)
{
	assert_true(span_eq(http_status_reason(200), SPAN("OK")));
	assert_true(span_eq(http_status_reason(431), SPAN("Request Header Fields Too Large")));
	assert_true(span_eq(http_status_reason(799), SPAN("Unknown")));
}

static struct span in_heap(const char *text)
{
	return span_of(strdup(text), strlen(text));
}

/* Bytes of three kinds: in the raw head, in a literal, in other memory. */
static void a_copy_stands_when_everything_else_is_gone(void **state UNUSED)
{
	struct span raw = in_heap("GET /path?query HTTP/1.1\r\nA: value\r\n\r\n");
	struct span other = in_heap("elsewhere");
	struct http_field fields[2] = {
		{.name = span_of(raw.ptr + 26, 1),
		 .value = span_of(raw.ptr + 29, 5),
		 .id = HTTP_FIELD_OTHER},
		{.name = SPAN("Via"), .value = other, .id = HTTP_FIELD_VIA},
	};
	struct http_head head = {
		.method = HTTP_METHOD_GET,
		.method_text = span_of(raw.ptr, 3),
		.target = span_of(raw.ptr + 4, 11),
		.scheme = SPAN("https"),
		.authority = SPAN("literal"),
		.host = other,
		.path = span_of(raw.ptr + 4, 5),
		.query = span_of(raw.ptr + 10, 5),
		.raw = raw,
		.minor = 1,
		.framing = HTTP_FRAMING_LENGTH,
		.content_length = 7,
		.fields = {.at = fields,
			   .len = 2,
			   .cap = 2,
			   .present = HTTP_FIELD_BIT(HTTP_FIELD_OTHER) |
				      HTTP_FIELD_BIT(HTTP_FIELD_VIA)},
	};
	struct arena arena;
	char mem[1024];
	struct http_head copy;

	arena_init(&arena, mem, sizeof(mem), NULL);
	assert_true(http_head_copy(&head, &arena, 1, &copy));
	memset((char *)(uintptr_t)raw.ptr, 'x', raw.len);
	free((char *)(uintptr_t)raw.ptr);
	memset((char *)(uintptr_t)other.ptr, 'x', other.len);
	free((char *)(uintptr_t)other.ptr);
	memset(fields, 0, sizeof(fields));

	assert_true(span_eq(copy.method_text, SPAN("GET")));
	assert_true(span_eq(copy.target, SPAN("/path?query")));
	assert_true(span_eq(copy.scheme, SPAN("https")));
	assert_true(span_eq(copy.authority, SPAN("literal")));
	assert_true(span_eq(copy.host, SPAN("elsewhere")));
	assert_true(span_eq(copy.path, SPAN("/path")));
	assert_true(span_eq(copy.query, SPAN("query")));
	assert_null(copy.reason.ptr);
	assert_int_equal(copy.content_length, 7);
	assert_int_equal(copy.fields.len, 2);
	assert_true(span_eq(copy.fields.at[0].name, SPAN("A")));
	assert_true(span_eq(copy.fields.at[0].value, SPAN("value")));
	assert_true(span_eq(copy.fields.at[1].value, SPAN("elsewhere")));
	assert_true(http_fields_add(&copy.fields, HTTP_FIELD_DATE, SPAN("Date"), SPAN("1")));
	assert_false(http_fields_add(&copy.fields, HTTP_FIELD_DATE, SPAN("Date"), SPAN("1")));
	assert_true(copy.raw.ptr >= mem && copy.raw.ptr < mem + sizeof(mem));
}

static void a_query_that_is_empty_is_not_one_that_is_missing(void **state UNUSED)
{
	struct span raw = SPAN("/?");
	struct http_head head = {.raw = raw, .query = span_of(raw.ptr + 2, 0)};
	struct http_head copy;
	struct arena arena;
	char mem[256];

	arena_init(&arena, mem, sizeof(mem), NULL);
	assert_true(http_head_copy(&head, &arena, 0, &copy));
	assert_non_null(copy.query.ptr);
	assert_int_equal(copy.query.len, 0);
	head.query = SPAN_NONE;
	assert_true(http_head_copy(&head, &arena, 0, &copy));
	assert_null(copy.query.ptr);
}

static void an_exhausted_arena_leaves_the_target_alone(void **state UNUSED)
{
	struct http_field field = {.name = SPAN("A"), .value = SPAN("b")};
	struct http_head head = {.raw = SPAN("0123456789"),
				 .authority = SPAN("x"),
				 .fields = {.at = &field, .len = 1, .cap = 1}};

	for (size_t room = 0;; room++) {
		char *mem = malloc(room + 8);
		struct http_head copy = {.status = 999};
		struct arena arena;
		bool copied;

		arena_init(&arena, mem, room, NULL);
		copied = http_head_copy(&head, &arena, 0, &copy);
		free(mem);
		if (copied) {
			assert_in_range(room, sizeof(field) + 13, sizeof(field) + 20);
			break;
		}
		assert_int_equal(copy.status, 999);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods_are_known_by_their_exact_text),
		cmocka_unit_test(statuses_have_their_phrase),
		cmocka_unit_test(a_copy_stands_when_everything_else_is_gone),
		cmocka_unit_test(a_query_that_is_empty_is_not_one_that_is_missing),
		cmocka_unit_test(an_exhausted_arena_leaves_the_target_alone),
	};

	return cmocka_run_group_tests_name("http: head", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdlib.h>

#include <ringway/http/field.h>

static void every_known_name_is_found_in_any_case_and_none_that_differs(void **state UNUSED)
{
	for (unsigned id = 1; id < HTTP_FIELD_IDS; id++) {
		struct span name = http_field_name(id);
		/* Memory that ends with the name. */
		char *text = malloc(name.len);

		memcpy(text, name.ptr, name.len);
		assert_int_equal(http_field_id(span_of(text, name.len)), id);
		for (size_t at = 0; at < name.len; at++) {
			for (int c = 0; c < 256; c++) {
				bool same = tolower(c) == tolower((unsigned char)name.ptr[at]);

				text[at] = (char)c;
				assert_int_equal(http_field_id(span_of(text, name.len)) == id,
						 same);
			}
			text[at] = (char)toupper((unsigned char)name.ptr[at]);
		}
		assert_int_equal(http_field_id(span_of(text, name.len)), id);
		assert_int_not_equal(http_field_id(span_of(text, name.len - 1)), id);
		free(text);
	}
	assert_int_equal(http_field_id(SPAN("")), HTTP_FIELD_OTHER);
	assert_int_equal(http_field_id(SPAN("x")), HTTP_FIELD_OTHER);
	assert_int_equal(http_field_id(SPAN("Content_Length")), HTTP_FIELD_OTHER);
	assert_int_equal(http_field_id(SPAN("x-a-name-that-is-longer-than-any")), HTTP_FIELD_OTHER);
}

static void a_list_finds_and_adds_until_it_is_full(void **state UNUSED)
{
	struct http_field at[3];
	struct http_fields f = {.at = at, .cap = 3};

	assert_null(http_fields_find(&f, HTTP_FIELD_HOST));
	assert_true(http_fields_add(&f, HTTP_FIELD_OTHER, SPAN("X-A"), SPAN("1")));
	assert_true(http_fields_add(&f, HTTP_FIELD_HOST, SPAN("Host"), SPAN("2")));
	assert_true(http_fields_add(&f, HTTP_FIELD_HOST, SPAN("Host"), SPAN("3")));
	assert_false(http_fields_add(&f, HTTP_FIELD_DATE, SPAN("Date"), SPAN("4")));
	assert_ptr_equal(http_fields_find(&f, HTTP_FIELD_HOST), &at[1]);
	assert_ptr_equal(http_fields_find_name(&f, SPAN("hOST")), &at[1]);
	assert_ptr_equal(http_fields_find_name(&f, SPAN("x-a")), &at[0]);
	assert_null(http_fields_find_name(&f, SPAN("x-b")));
	assert_null(http_fields_find(&f, HTTP_FIELD_DATE));
	assert_false(http_fields_have(&f, HTTP_FIELD_DATE));
}

static void fields_are_removed_by_id_and_the_others_keep_their_order(void **state UNUSED)
{
	struct http_field at[4];
	struct http_fields f = {.at = at, .cap = 4};

	http_fields_add(&f, HTTP_FIELD_HOST, SPAN("Host"), SPAN("1"));
	http_fields_add(&f, HTTP_FIELD_OTHER, SPAN("A"), SPAN("2"));
	http_fields_add(&f, HTTP_FIELD_HOST, SPAN("Host"), SPAN("3"));
	http_fields_add(&f, HTTP_FIELD_DATE, SPAN("Date"), SPAN("4"));
	http_fields_remove(&f, HTTP_FIELD_BIT(HTTP_FIELD_VIA));
	assert_int_equal(f.len, 4);
	http_fields_remove(&f, HTTP_FIELD_BIT(HTTP_FIELD_HOST));
	assert_int_equal(f.len, 2);
	assert_true(span_eq(at[0].value, SPAN("2")));
	assert_true(span_eq(at[1].value, SPAN("4")));
	assert_int_equal(f.present,
			 HTTP_FIELD_BIT(HTTP_FIELD_OTHER) | HTTP_FIELD_BIT(HTTP_FIELD_DATE));
}

static void tokens_are_told_from_other_text(void **state UNUSED)
{
	assert_true(http_is_token(SPAN("a")));
	assert_true(http_is_token(SPAN("!#$%&'*+-.^_`|~019azAZ")));
	assert_false(http_is_token(SPAN("")));
	assert_false(http_is_token(SPAN("a b")));
	assert_false(http_is_token(SPAN("a:")));
	assert_false(http_is_token(SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x80")));
}

static void trailers_may_hold_metadata_only(void **state UNUSED)
{
	static const char *const allowed[] = {"Grpc-Status", "Server-Timing", "Digest",
					      "Date",        "ETag",          "X-Checksum"};
	static const char *const barred[] = {"Content-Length",
					     "Transfer-Encoding",
					     "Host",
					     "Trailer",
					     "TE",
					     "Cache-Control",
					     "Max-Forwards",
					     "Authorization",
					     "Set-Cookie",
					     "Content-Encoding",
					     "Content-Type",
					     "Content-Range",
					     "Connection",
					     "Expect",
					     "X-Forwarded-For",
					     "Client-Cert",
					     "if-match",
					     "RANGE",
					     "WWW-Authenticate",
					     "Vary",
					     "Retry-After",
					     "Location",
					     "Via"};

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		assert_true(http_field_allowed_in_trailer(http_field_id(span_str(allowed[i])),
							  span_str(allowed[i])));
	for (size_t i = 0; i < ARRAY_LEN(barred); i++)
		assert_false(http_field_allowed_in_trailer(http_field_id(span_str(barred[i])),
							   span_str(barred[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_known_name_is_found_in_any_case_and_none_that_differs),
		cmocka_unit_test(a_list_finds_and_adds_until_it_is_full),
		cmocka_unit_test(fields_are_removed_by_id_and_the_others_keep_their_order),
		cmocka_unit_test(tokens_are_told_from_other_text),
		cmocka_unit_test(trailers_may_hold_metadata_only),
	};

	return cmocka_run_group_tests_name("http: field", tests, NULL, NULL);
}

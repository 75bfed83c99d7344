#include "heads.h"

struct row {
	const char *section; /* of RFC 9112, unless it says otherwise */
	struct span raw;
	enum h1_error error; /* NONE: taken, with what follows */
	enum http_framing framing;
	bool keep_alive;
	enum http_method method; /* of the request */
};

#define OK(section, framing, keep, raw)                                                            \
	{                                                                                          \
		section, SPAN(raw), H1_ERROR_NONE, HTTP_FRAMING_##framing, keep, HTTP_METHOD_GET   \
	}
#define TO_HEAD(section, framing, keep, raw)                                                       \
	{                                                                                          \
		section, SPAN(raw), H1_ERROR_NONE, HTTP_FRAMING_##framing, keep, HTTP_METHOD_HEAD  \
	}
#define NO(section, why, raw)                                                                      \
	{                                                                                          \
		section, SPAN(raw), H1_ERROR_##why, 0, false, HTTP_METHOD_GET                      \
	}
#define L   "HTTP/1.1 200 OK\r\n"
#define L0  "HTTP/1.0 200 OK\r\n"
#define CL  "Content-Length: 5\r\n"
#define TE  "Transfer-Encoding: chunked\r\n"
#define END "\r\n"

static const struct row rows[] = {
	/* Status line. */
	OK("4", LENGTH, true, L CL END),
	OK("4 no reason", LENGTH, true, "HTTP/1.1 200 \r\n" CL END),
	OK("4 nor its space", LENGTH, true, "HTTP/1.1 200\r\n" CL END),
	OK("4 reason with tab and obs-text", LENGTH, true, "HTTP/1.1 200 a\tb \xe9\r\n" CL END),
	OK("RFC 9110 15", LENGTH, true, "HTTP/1.1 999 x\r\n" CL END),
	OK("RFC 9110 2.5", LENGTH, true, "HTTP/1.3 200 OK\r\n" CL END),
	NO("2.3", VERSION, "HTTP/2.0 200 OK\r\n" CL END),
	NO("2.3", VERSION, "HTTP/0.9 200 OK\r\n" CL END),
	NO("2.3", SYNTAX, "http/1.1 200 OK\r\n" CL END),
	NO("4", SYNTAX, "ICY 200 OK\r\n" CL END),
	NO("4", SYNTAX, "HTTP/1.1  200 OK\r\n" CL END),
	NO("4", SYNTAX, "HTTP/1.1\t200 OK\r\n" CL END),
	NO("4", SYNTAX, "HTTP/1.1 20 OK\r\n" CL END),
	NO("4", SYNTAX, "HTTP/1.1 2000 OK\r\n" CL END),
	NO("4", SYNTAX, "HTTP/1.1 099 OK\r\n" CL END),
	NO("4", SYNTAX, "HTTP/1.1 2x0 OK\r\n" CL END),
	NO("4", SYNTAX, "HTTP/1.1 -20 OK\r\n" CL END),
	NO("4", SYNTAX, "HTTP/1.1\r\n" CL END),
	NO("4 control in the reason", SYNTAX, "HTTP/1.1 200 O\x01K\r\n" CL END),
	NO("4 NUL in the reason", SYNTAX, "HTTP/1.1 200 O\0K\r\n" CL END),
	NO("2.2 bare LF", SYNTAX, "HTTP/1.1 200 OK\n" CL END),
	NO("2.2 bare CR", SYNTAX, "HTTP/1.1 200 OK\r" CL END),
	NO("2.2 CR CR LF", SYNTAX, "HTTP/1.1 200 OK\r\r\n" CL END),
	NO("4 nothing before it", SYNTAX, "\r\n" L CL END),
	NO("4 space before it", SYNTAX, " " L CL END),
	/* Field lines. */
	OK("5", LENGTH, true, L CL "X:\r\nSet-Cookie: a=\x80\r\nSet-Cookie: b\r\n" END),
	NO("5.1", SYNTAX, L "Content-Length : 5\r\n" END),
	NO("5.2", SYNTAX, L CL "X: a\r\n b\r\n" END),
	NO("5", SYNTAX, L CL "nonsense\r\n" END),
	NO("5", SYNTAX, L CL ": x\r\n" END),
	NO("RFC 9110 5.5", SYNTAX, L CL "X: \0\r\n" END),
	NO("2.2", SYNTAX, L CL "X: a\nY: b\r\n" END),
	NO("2.2", SYNTAX, L CL "X: a\rY: b\r\n" END),
	/* Framing. */
	OK("6.3 (8)", CLOSE, false, L END),
	OK("6.3 (8)", CLOSE, false, L "Connection: keep-alive\r\n" END),
	OK("6.3 (4)", CHUNKED, true, L TE END),
	OK("6.3 (6)", LENGTH, true, L "Content-Length: 0\r\n" END),
	TO_HEAD("6.3 (1)", NONE, true, L CL END),
	TO_HEAD("6.3 (1)", NONE, true, L TE END),
	TO_HEAD("6.3 (1)", NONE, true, L END),
	OK("6.3 (1)", NONE, true, "HTTP/1.1 304 Not Modified\r\n" CL END),
	OK("6.3 (1)", NONE, true, "HTTP/1.1 204 No Content\r\n" END),
	OK("6.2 length in 204", NONE, true, "HTTP/1.1 204 No Content\r\n" CL END),
	OK("6.1 coding in 204", NONE, true, "HTTP/1.1 204 No Content\r\n" TE END),
	OK("6.3 (1)", NONE, true, "HTTP/1.1 100 Continue\r\n" END),
	OK("6.3 (1)", NONE, true, "HTTP/1.1 103 Early Hints\r\n" CL END),
	NO("6.3 (3) both", FRAMING, L CL TE END),
	NO("6.3 (3) both in 204", FRAMING, "HTTP/1.1 204 No Content\r\n" CL TE END),
	NO("6.3 (5)", FRAMING, L CL CL END),
	NO("6.3 (5)", FRAMING, L CL "Content-Length: 6\r\n" END),
	NO("6.3 (5)", FRAMING, L "Content-Length: 5, 5\r\n" END),
	NO("6.3 (5)", FRAMING, L "Content-Length: 5x\r\n" END),
	NO("6.3 (5)", FRAMING, L "Content-Length:\r\n" END),
	NO("6.3 (5)", FRAMING, L "Content-Length: 9223372036854775808\r\n" END),
	NO("6.1", FRAMING, L "Transfer-Encoding: gzip\r\n" END),
	NO("6.1", FRAMING, L "Transfer-Encoding: gzip, chunked\r\n" END),
	NO("6.1", FRAMING, L "Transfer-Encoding: chunked, chunked\r\n" END),
	NO("6.1", FRAMING, L "Transfer-Encoding: identity\r\n" END),
	NO("6.1", FRAMING, L "Transfer-Encoding:\r\n" END),
	NO("6.1 in 1.0", FRAMING, L0 TE END),
	/* Reuse. */
	OK("9.3", LENGTH, false, L CL "Connection: close\r\n" END),
	OK("9.3", LENGTH, false, L0 CL END),
	OK("9.3", LENGTH, true, L0 CL "Connection: keep-alive\r\n" END),
	OK("9.3 not understood", LENGTH, false, L CL "Connection: clo se\r\n" END),
	OK("RFC 9110 7.6.1 end-to-end name", LENGTH, true, L CL "Connection: Set-Cookie\r\n" END),
	OK("requests only", LENGTH, true, L CL "Host: a\r\nHost: b\r\nExpect: x\r\n" END),
};

static void each_response_gets_the_verdict_of_its_section(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct heads_result r;

		heads_parse_every_way(&r, row->raw, false, row->method, &heads_limits);
		if (r.parse != (row->error ? H1_PARSE_BAD : H1_PARSE_DONE) || r.error != row->error)
			fail_msg("%s: parse %d error %d (%s), not %d: %.*s", row->section, r.parse,
				 r.error, r.detail ? r.detail : "", row->error, SPAN_FMT(row->raw));
		if (row->error == H1_ERROR_NONE &&
		    (r.head.framing != row->framing || r.head.keep_alive != row->keep_alive))
			fail_msg("%s: framing %d keep-alive %d: %.*s", row->section, r.head.framing,
				 r.head.keep_alive, SPAN_FMT(row->raw));
		heads_free(&r);
	}
}

static void a_head_is_taken_apart(void **state UNUSED)
{
	struct heads_result r;

	heads_parse_every_way(&r, SPAN("HTTP/1.1 404 Not Found\r\nServer: x\r\n" CL "\r\nhello"),
			      false, HTTP_METHOD_GET, &heads_limits);
	assert_int_equal(r.parse, H1_PARSE_DONE);
	assert_int_equal(r.head.status, 404);
	assert_true(span_eq(r.head.reason, SPAN("Not Found")));
	assert_int_equal(r.head.content_length, 5);
	assert_true(r.head.has_content_length);
	assert_int_equal(r.head.fields.len, 2);
	assert_true(span_eq(r.head.fields.at[0].value, SPAN("x")));
	assert_int_equal(r.used, r.head.raw.len);
	heads_free(&r);
}

static void length_of_what_was_not_sent_is_kept_as_news(void **state UNUSED)
{
	struct heads_result r;

	heads_parse_every_way(&r, SPAN(L CL END), false, HTTP_METHOD_HEAD, &heads_limits);
	assert_true(r.head.has_content_length);
	assert_int_equal(r.head.content_length, 5);
	heads_free(&r);
}

static void framing_fields_of_204_are_dropped(void **state UNUSED)
{
	struct heads_result r;

	heads_parse_every_way(&r, SPAN("HTTP/1.1 204 x\r\nA: b\r\n" CL "C: d\r\n" END), false,
			      HTTP_METHOD_GET, &heads_limits);
	assert_false(r.head.has_content_length);
	assert_int_equal(r.head.fields.len, 2);
	assert_null(http_fields_find(&r.head.fields, HTTP_FIELD_CONTENT_LENGTH));
	assert_true(span_eq(r.head.fields.at[1].name, SPAN("C")));
	heads_free(&r);
}

static void long_status_lines_and_heads_are_refused(void **state UNUSED)
{
	const struct h1_limits limits = {
		.max_line_bytes = 20, .max_head_bytes = 40, .max_fields = 1};
	static const struct {
		struct span raw;
		enum h1_error error;
	} cases[] = {
		{SPAN("HTTP/1.1 200 1234567\r\n\r\n"), H1_ERROR_NONE},
		{SPAN("HTTP/1.1 200 12345678\r\n\r\n"), H1_ERROR_LINE_TOO_LONG},
		{SPAN("HTTP/1.1 200 12345678901234567890"), H1_ERROR_LINE_TOO_LONG},
		{SPAN(L "X: 12345678901234567\r\n\r\n"), H1_ERROR_HEAD_TOO_LARGE},
		{SPAN(L "X: 123456789012345\r\n\r\n"), H1_ERROR_NONE},
		{SPAN(L "X: 1\r\nY: 2\r\n\r\n"), H1_ERROR_TOO_MANY_FIELDS},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct heads_result r;

		heads_parse_every_way(&r, cases[i].raw, false, HTTP_METHOD_GET, &limits);
		assert_int_equal(r.error, cases[i].error);
		heads_free(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_response_gets_the_verdict_of_its_section),
		cmocka_unit_test(a_head_is_taken_apart),
		cmocka_unit_test(length_of_what_was_not_sent_is_kept_as_news),
		cmocka_unit_test(framing_fields_of_204_are_dropped),
		cmocka_unit_test(long_status_lines_and_heads_are_refused),
	};

	return cmocka_run_group_tests_name("http1: response", tests, NULL, NULL);
}

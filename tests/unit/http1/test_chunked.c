#include "heads.h"

#include <ringway/http1/chunked.h>

struct row {
	const char *section; /* of RFC 9112 */
	struct span raw;
	enum h1_parse parse;
	struct span data; /* on DONE */
	struct span rest; /* on DONE: trailer section and beyond */
};

#define OK(section, raw, data, rest)                                                               \
	{                                                                                          \
		section, SPAN(raw), H1_PARSE_DONE, SPAN(data), SPAN(rest)                          \
	}
#define NO(section, raw)                                                                           \
	{                                                                                          \
		section, SPAN(raw), H1_PARSE_BAD, SPAN_NONE, SPAN_NONE                             \
	}

static const struct row rows[] = {
	OK("7.1", "5\r\nhello\r\n0\r\n\r\n", "hello", "\r\n"),
	OK("7.1", "0\r\n\r\nnext", "", "\r\nnext"),
	OK("7.1", "000\r\nA: b\r\n\r\n", "", "A: b\r\n\r\n"),
	OK("7.1", "1\r\na\r\n00002\r\nbc\r\n0\r\n", "abc", ""),
	OK("7.1", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n", "01234567890123456789", ""),
	OK("7.1 data looks like framing", "7\r\n0\r\n\r\n5\r\r\n0\r\n\r\n", "0\r\n\r\n5\r", "\r\n"),
	OK("7.1.1", "1;a\r\nx\r\n0;b=c;d=\"e;f\"\r\n\r\n", "x", "\r\n"),
	OK("7.1.1 blanks before ;", "1 \t;a\r\nx\r\n0\r\n", "x", ""),
	OK("7.1.1 obs-text", "1;a=\"\x80\"\r\nx\r\n0\r\n", "x", ""),
	NO("7.1", "\r\n"),
	NO("7.1", "g\r\n"),
	NO("7.1", "-1\r\n"),
	NO("7.1", "+1\r\n"),
	NO("7.1", "0x1\r\n"),
	NO("7.1 space before", " 1\r\n"),
	NO("7.1 space behind", "1 \r\n"),
	NO("7.1", "1 2\r\n"),
	NO("7.1", "1,\r\n"),
	NO("7.1", ";a\r\n"),
	NO("7.1 NUL", "1\0\r\n"),
	NO("7.1 more than 63 bits", "8000000000000000\r\n"),
	NO("7.1 more than 64 bits", "10000000000000005\r\n"),
	NO("7.1 more than 16 digits", "00000000000000005\r\n"),
	NO("2.2 bare LF behind a size", "1\nx\r\n0\r\n"),
	NO("2.2 bare CR behind a size", "1\rx\r\n0\r\n"),
	NO("2.2 CR CR LF", "1\r\r\nx"),
	NO("2.2 bare LF behind data", "1\r\nx\n0\r\n"),
	NO("2.2 bare CR behind data", "1\r\nx\r0\r\n"),
	NO("7.1 too much data", "1\r\nxy\r\n0\r\n"),
	NO("7.1.1 LF in an extension", "1;a\nb\r\nx"),
	NO("7.1.1 CR in an extension", "1;a\rb\r\nx"),
	NO("7.1.1 NUL in an extension", "1;a\0\r\nx"),
	NO("7.1.1 control in an extension", "1;a=\"\x01\"\r\nx"),
};

struct result {
	enum h1_parse parse;
	char data[4096];
	size_t data_len;
	size_t used;
};

/* In pieces of `step` bytes, each decoded in place in memory of its own. */
static void decode(struct result *r, struct span raw, size_t step)
{
	struct chunked_decoder d;

	chunked_decoder_init(&d);
	r->parse = H1_PARSE_MORE;
	r->data_len = 0;
	r->used = 0;
	while (r->parse == H1_PARSE_MORE && r->used < raw.len) {
		size_t len = min_u64(step, raw.len - r->used), data = 0, used = 0;
		char *piece = malloc(len);

		memcpy(piece, raw.ptr + r->used, len);
		r->parse = chunked_decode(&d, piece, len, &data, &used);
		if (r->parse != H1_PARSE_BAD) {
			assert_true(data <= used && used <= len);
			assert_true(r->parse == H1_PARSE_DONE || used == len);
			assert_true(r->data_len + data <= sizeof(r->data));
			memcpy(r->data + r->data_len, piece, data);
			r->data_len += data;
			r->used += used;
		}
		free(piece);
	}
}

static void each_body_gets_the_verdict_of_its_section_in_pieces_of_any_size(void **state UNUSED)
{
	static struct result r;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];

		for (size_t step = 1; step <= row->raw.len; step++) {
			decode(&r, row->raw, step);
			if (r.parse != row->parse)
				fail_msg("%s: %d in steps of %zu: %.*s", row->section, r.parse,
					 step, SPAN_FMT(row->raw));
			if (r.parse == H1_PARSE_BAD)
				continue;
			assert_true(span_eq(span_of(r.data, r.data_len), row->data));
			assert_true(span_eq(span_of(row->raw.ptr + r.used, row->raw.len - r.used),
					    row->rest));
		}
	}
}

static void a_size_line_has_an_end(void **state UNUSED)
{
	static struct result r;
	char line[300];

	memset(line, 'x', sizeof(line));
	memcpy(line, "1;", 2);
	memcpy(line + 255, "\r\n", 2); /* 256 bytes with the CR */
	decode(&r, span_of(line, 257), 7);
	assert_int_equal(r.parse, H1_PARSE_MORE);
	memcpy(line + 255, "x\r\n", 3);
	decode(&r, span_of(line, 258), 7);
	assert_int_equal(r.parse, H1_PARSE_BAD);
}

/* One-byte chunks under 200 bytes of extension would make us read 200 times what we
 * pass on. The same extension on chunks of a fair size is nobody's attack. */
static void bodies_made_of_extensions_are_refused(void **state UNUSED)
{
	char chunk[2048];
	struct chunked_decoder d;
	size_t data, used, chunks = 0;
	enum h1_parse parse = H1_PARSE_MORE;

	chunked_decoder_init(&d);
	for (; parse == H1_PARSE_MORE && chunks < 1000; chunks++) {
		int len = snprintf(chunk, sizeof(chunk), "1;%0200d\r\nx\r\n", 0);

		parse = chunked_decode(&d, chunk, (size_t)len, &data, &used);
	}
	assert_int_equal(parse, H1_PARSE_BAD);
	assert_in_range(chunks, 80, 100);

	chunked_decoder_init(&d);
	for (chunks = 0; chunks < 1000; chunks++) {
		int len = snprintf(chunk, sizeof(chunk), "400;%0200d\r\n%01024d\r\n", 0, 0);

		assert_int_equal(chunked_decode(&d, chunk, (size_t)len, &data, &used),
				 H1_PARSE_MORE);
		assert_int_equal(data, 1024);
	}
}

static void trailers(struct h1_parser *p, struct http_field *fields, struct span raw,
		     enum h1_parse expected, struct http_fields *ret, size_t *ret_used)
{
	enum h1_parse parse = H1_PARSE_MORE;

	h1_parser_init(p, &heads_limits, fields);
	for (size_t len = 1; parse == H1_PARSE_MORE && len <= raw.len; len++)
		parse = h1_parse_trailers(p, span_of(raw.ptr, len), ret, ret_used);
	assert_int_equal(parse, expected);
	if (parse == H1_PARSE_MORE)
		return;
	h1_parser_init(p, &heads_limits, fields);
	assert_int_equal(h1_parse_trailers(p, raw, ret, ret_used), expected);
}

static void trailers_follow_the_rules_of_fields(void **state UNUSED)
{
	struct http_field fields[HEADS_FIELDS_MAX];
	struct http_fields got;
	struct h1_parser p;
	size_t used;

	trailers(&p, fields, SPAN("\r\nGET"), H1_PARSE_DONE, &got, &used);
	assert_int_equal(got.len, 0);
	assert_int_equal(used, 2);
	trailers(&p, fields, SPAN("A: b\r\nC:d\r\n\r\nx"), H1_PARSE_DONE, &got, &used);
	assert_int_equal(got.len, 2);
	assert_int_equal(used, 13);
	assert_true(span_eq(got.at[1].value, SPAN("d")));
	trailers(&p, fields, SPAN("A: b\r\n"), H1_PARSE_MORE, &got, &used);
	trailers(&p, fields, SPAN("A : b\r\n\r\n"), H1_PARSE_BAD, &got, &used);
	trailers(&p, fields, SPAN("A: b\r\n c\r\n\r\n"), H1_PARSE_BAD, &got, &used);
	trailers(&p, fields, SPAN("A: b\n\r\n"), H1_PARSE_BAD, &got, &used);
	assert_int_equal(p.error, H1_ERROR_SYNTAX);
}

/* RFC 9110 section 6.5.1. */
static void trailers_cannot_bring_framing_routing_or_identity(void **state UNUSED)
{
	struct http_field fields[HEADS_FIELDS_MAX];
	struct http_fields got;
	struct h1_parser p;
	size_t used;

	trailers(&p, fields,
		 SPAN("Content-Length: 5\r\nA: b\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
		      "Authorization: x\r\nX-Forwarded-For: y\r\nIf-Match: x\r\nGrpc-Status: 0\r\n"
		      "Set-Cookie: a\r\n\r\n"),
		 H1_PARSE_DONE, &got, &used);
	assert_int_equal(got.len, 2);
	assert_true(span_eq(got.at[0].name, SPAN("A")));
	assert_true(span_eq(got.at[1].name, SPAN("Grpc-Status")));
	assert_int_equal(got.present, HTTP_FIELD_BIT(HTTP_FIELD_OTHER));
}

static void sizes_are_written_without_leading_zeros(void **state UNUSED)
{
	static const struct {
		uint64_t size;
		const char *text;
	} cases[] = {
		{0, "0\r\n"},
		{1, "1\r\n"},
		{15, "f\r\n"},
		{16, "10\r\n"},
		{0x1a2b, "1a2b\r\n"},
		{0x10000, "10000\r\n"},
		{UINT64_MAX, "ffffffffffffffff\r\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[18];
		size_t len = chunked_write_size(out, cases[i].size);

		assert_true(span_eq(span_of(out, len), span_str(cases[i].text)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_body_gets_the_verdict_of_its_section_in_pieces_of_any_size),
		cmocka_unit_test(a_size_line_has_an_end),
		cmocka_unit_test(bodies_made_of_extensions_are_refused),
		cmocka_unit_test(trailers_follow_the_rules_of_fields),
		cmocka_unit_test(trailers_cannot_bring_framing_routing_or_identity),
		cmocka_unit_test(sizes_are_written_without_leading_zeros),
	};

	return cmocka_run_group_tests_name("http1: chunked", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jansson.h>

#include "access_format.h"

static char bytes[ACCESS_LINE_BYTES_MAX];

/* One line without its newline; the rest of it holds no other control character. */
static struct span formatted(void (*format)(const struct access_view *, struct line *),
			     const struct access_view *view)
{
	struct line l = {bytes, bytes + sizeof(bytes)};
	size_t len;

	format(view, &l);
	len = (size_t)(l.at - bytes);
	assert_true(len > 0 && bytes[len - 1] == '\n');
	for (size_t i = 0; i < len - 1; i++)
		assert_true((uint8_t)bytes[i] >= 0x20 && bytes[i] != 0x7f);
	return span_of(bytes, len - 1);
}

static void assert_line(struct span line, const char *expected)
{
	if (!span_eq(line, span_str(expected)))
		fail_msg("\n got: %.*s\nwant: %s", SPAN_FMT(line), expected);
}

static struct access_view usual(void)
{
	return (struct access_view){.record = {
					    .started_unix_us = 1795222923123456,
					    .request_id = SPAN("0af7651916cd43dd"),
					    .client = SPAN("192.0.2.7"),
					    .method = SPAN("GET"),
					    .host = SPAN("api.example.com"),
					    .path = SPAN("/items/7?a=b"),
					    .route = SPAN("list-items"),
					    .service = SPAN("api"),
					    .target = SPAN("http://10.0.0.5:8000"),
					    .status = 200,
					    .shard = 3,
					    .http_minor = 1,
					    .attempts = 1,
					    .bytes_in = 321,
					    .bytes_out = INT64_MAX,
					    .head_us = 1,
					    .policy_us = 2,
					    .connect_us = 3,
					    .first_byte_us = 4,
					    .total_us = 4294967295,
				    }};
}

static void a_usual_request_as_json(void **state UNUSED)
{
	struct access_view view = usual();

	assert_line(formatted(access_format_json, &view),
		    "{\"time\":\"2026-11-21T01:02:03.123456Z\",\"id\":\"0af7651916cd43dd\","
		    "\"client\":\"192.0.2.7\",\"method\":\"GET\",\"host\":\"api.example.com\","
		    "\"path\":\"/items/7?a=b\",\"route\":\"list-items\",\"service\":\"api\","
		    "\"target\":\"http://10.0.0.5:8000\",\"status\":200,\"bytes_in\":321,"
		    "\"bytes_out\":9223372036854775807,\"head_us\":1,\"policy_us\":2,"
		    "\"connect_us\":3,\"first_byte_us\":4,\"total_us\":4294967295,\"shard\":3,"
		    "\"attempts\":1,\"protocol\":\"HTTP/1.1\"}");
}

static void a_usual_request_as_text(void **state UNUSED)
{
	struct access_view view = usual();

	assert_line(formatted(access_format_text, &view),
		    "192.0.2.7 - - [21/Nov/2026:01:02:03 +0000] \"GET /items/7?a=b HTTP/1.1\" 200 "
		    "9223372036854775807 id=0af7651916cd43dd host=api.example.com "
		    "route=list-items service=api target=http://10.0.0.5:8000 bytes_in=321 "
		    "head_us=1 policy_us=2 connect_us=3 first_byte_us=4 total_us=4294967295 "
		    "shard=3 attempts=1");
}

static void a_failed_request_with_fields_as_json(void **state UNUSED)
{
	struct access_view view = {
		.record = {.cause = ACCESS_UPSTREAM_CONNECT_REFUSED, .status = 503},
		.extras = {{SPAN("user \"agent\""), SPAN("a\tb")}, {SPAN("b"), SPAN_NONE}},
		.clipped = true,
	};

	view.record.extras = view.extras;
	view.record.extras_len = 2;
	assert_line(formatted(access_format_json, &view),
		    "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"id\":\"\",\"client\":\"\","
		    "\"method\":\"\",\"host\":\"\",\"path\":\"\",\"route\":\"\",\"service\":\"\","
		    "\"target\":\"\",\"status\":503,\"bytes_in\":0,\"bytes_out\":0,\"head_us\":0,"
		    "\"policy_us\":0,\"connect_us\":0,\"first_byte_us\":0,\"total_us\":0,"
		    "\"shard\":0,\"attempts\":0,\"protocol\":\"HTTP/1.0\","
		    "\"cause\":\"upstream_connect_refused\","
		    "\"fields\":{\"user \\\"agent\\\"\":\"a\\u0009b\",\"b\":\"\"},"
		    "\"clipped\":true}");
}

static void a_failed_request_with_fields_as_text(void **state UNUSED)
{
	struct access_view view = {
		.record = {.cause = ACCESS_NO_ROUTE,
			   .status = 404,
			   .method = SPAN("GET"),
			   .path = SPAN("/\"\\\xff\n\xc3\xa4")},
		.extras = {{SPAN("agent"), SPAN("a \"b\"\n")}, {SPAN("b"), SPAN_NONE}},
		.clipped = true,
	};

	view.record.extras = view.extras;
	view.record.extras_len = 2;
	assert_line(
		formatted(access_format_text, &view),
		"- - - [01/Jan/1970:00:00:00 +0000] \"GET /\\\"\\\\\\xff\\x0a\xc3\xa4 HTTP/1.0\" "
		"404 0 id=- host=- route=- service=- target=- bytes_in=0 head_us=0 policy_us=0 "
		"connect_us=0 first_byte_us=0 total_us=0 shard=0 attempts=0 cause=no_route "
		"agent=\"a \\\"b\\\"\\x0a\" b=- clipped=true");
}

static struct access_tls usual_tls(void)
{
	return (struct access_tls){
		.version = SPAN("TLSv1.3"),
		.suite = SPAN("TLS_AES_128_GCM_SHA256"),
		.group = SPAN("X25519"),
		.server_name = SPAN("api.example.com"),
		.alpn = SPAN("http/1.1"),
		.handshake_us = 812,
	};
}

static void tls_is_an_object_of_its_own(void **state UNUSED)
{
	struct access_tls tls = usual_tls();
	struct access_view view = {.record = {.tls = &tls, .cause = ACCESS_NO_ROUTE}};
	static const char front[] =
		"{\"time\":\"1970-01-01T00:00:00.000000Z\",\"id\":\"\",\"client\":\"\","
		"\"method\":\"\",\"host\":\"\",\"path\":\"\",\"route\":\"\",\"service\":\"\","
		"\"target\":\"\",\"status\":0,\"bytes_in\":0,\"bytes_out\":0,\"head_us\":0,"
		"\"policy_us\":0,\"connect_us\":0,\"first_byte_us\":0,\"total_us\":0,"
		"\"shard\":0,\"attempts\":0,\"protocol\":\"HTTP/1.0\",";
	char expected[1024];

	snprintf(expected, sizeof(expected),
		 "%s\"tls\":{\"version\":\"TLSv1.3\",\"suite\":\"TLS_AES_128_GCM_SHA256\","
		 "\"group\":\"X25519\",\"server_name\":\"api.example.com\","
		 "\"alpn\":\"http/1.1\",\"resumed\":false,\"handshake_us\":812},"
		 "\"cause\":\"no_route\"}",
		 front);
	assert_line(formatted(access_format_json, &view), expected);

	tls.resumed = true;
	tls.client_subject = SPAN("CN=\"a\"");
	tls.client_fingerprint = SPAN("0f1e");
	snprintf(expected, sizeof(expected),
		 "%s\"tls\":{\"version\":\"TLSv1.3\",\"suite\":\"TLS_AES_128_GCM_SHA256\","
		 "\"group\":\"X25519\",\"server_name\":\"api.example.com\","
		 "\"alpn\":\"http/1.1\",\"resumed\":true,\"handshake_us\":812,"
		 "\"client_subject\":\"CN=\\\"a\\\"\",\"client_fingerprint\":\"0f1e\"},"
		 "\"cause\":\"no_route\"}",
		 front);
	assert_line(formatted(access_format_json, &view), expected);
}

static void tls_as_text(void **state UNUSED)
{
	struct access_tls tls = usual_tls();
	struct access_view view = {.record = {.tls = &tls}};
	static const char front[] =
		"- - - [01/Jan/1970:00:00:00 +0000] \"  HTTP/1.0\" 0 0 id=- host=- route=- "
		"service=- target=- bytes_in=0 head_us=0 policy_us=0 connect_us=0 "
		"first_byte_us=0 total_us=0 shard=0 attempts=0 tls_version=TLSv1.3 "
		"tls_suite=TLS_AES_128_GCM_SHA256 tls_group=X25519";
	char expected[1024];

	tls.alpn = SPAN_NONE;
	snprintf(expected, sizeof(expected),
		 "%s tls_server_name=api.example.com tls_alpn=- tls_resumed=false "
		 "tls_handshake_us=812", front);
	assert_line(formatted(access_format_text, &view), expected);

	tls.resumed = true;
	tls.client_subject = SPAN("CN=a b");
	tls.client_fingerprint = SPAN("0f1e");
	snprintf(expected, sizeof(expected),
		 "%s tls_server_name=api.example.com tls_alpn=- tls_resumed=true "
		 "tls_handshake_us=812 client_cert_subject=\"CN=a b\" "
		 "client_cert_fingerprint=0f1e", front);
	assert_line(formatted(access_format_text, &view), expected);
}

/* One behind the other, so that texts of one would show in the next. */
static void tls_comes_through_the_ring_with_the_records_that_have_it(void **state UNUSED)
{
	static char long_subject[2000];
	struct access_tls tls = usual_tls();
	struct access_record with = usual().record, without = usual().record;
	struct access_ring ring;
	struct access_view view;

	memset(long_subject, 'x', sizeof(long_subject));
	assert_int_equal(access_ring_init(&ring, 32 * KIB), 0);
	with.tls = &tls;
	tls.resumed = true;
	tls.client_subject = SPAN("CN=a");
	tls.client_fingerprint = SPAN("0f1e");
	assert_true(access_ring_put(&ring, &without));
	assert_true(access_ring_put(&ring, &with));
	tls.client_subject = span_of(long_subject, sizeof(long_subject));
	assert_true(access_ring_put(&ring, &with));

	assert_true(access_ring_peek(&ring, &view));
	assert_null(view.record.tls);
	access_ring_take(&ring, &view);

	assert_true(access_ring_peek(&ring, &view));
	assert_non_null(view.record.tls);
	assert_true(span_eq(view.record.target, with.target));
	assert_true(span_eq(view.record.tls->version, tls.version));
	assert_true(span_eq(view.record.tls->suite, tls.suite));
	assert_true(span_eq(view.record.tls->group, tls.group));
	assert_true(span_eq(view.record.tls->server_name, tls.server_name));
	assert_true(span_eq(view.record.tls->alpn, tls.alpn));
	assert_true(span_eq(view.record.tls->client_subject, SPAN("CN=a")));
	assert_true(span_eq(view.record.tls->client_fingerprint, SPAN("0f1e")));
	assert_int_equal(view.record.tls->handshake_us, 812);
	assert_true(view.record.tls->resumed);
	assert_false(view.clipped);
	access_ring_take(&ring, &view);

	assert_true(access_ring_peek(&ring, &view));
	assert_int_equal(view.record.tls->client_subject.len, 1024);
	assert_true(span_eq(view.record.tls->client_fingerprint, SPAN("0f1e")));
	assert_true(view.clipped);
	access_ring_take(&ring, &view);
	access_ring_fini(&ring);
}

static void every_cause_is_documented(void **state UNUSED)
{
	static char page[64 * KIB];
	FILE *f = fopen(LOG_PAGE, "r");

	assert_non_null(f);
	page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
	fclose(f);
	for (int i = ACCESS_OK + 1; i < ACCESS_CAUSES; i++) {
		char row[64];

		snprintf(row, sizeof(row), "\n| `%s` |", access_cause_text((enum access_cause)i));
		if (!strstr(page, row))
			fail_msg("docs/log.md lacks %s", row);
	}
}

static void escapes_follow_utf8_exactly(void **state UNUSED)
{
	static const struct {
		const char *input, *json;
	} table[] = {
		{"plain", "plain"},
		{"\"\\/", "\\\"\\\\/"},
		{"\x01\x1f\x7f", "\\u0001\\u001f\\u007f"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xc0\x80", "\\u00c0\\u0080"},
		{"\xc1\xbf", "\\u00c1\\u00bf"},
		{"\xc2\x9b"
		 "31m",
		 "\\u00c2\\u009b31m"},
		{"\xc2\xa0", "\xc2\xa0"},
		{"\xe0\x9f\xbf", "\\u00e0\\u009f\\u00bf"},
		{"\xe0\xa0\x80", "\xe0\xa0\x80"},
		{"\xed\x9f\xbf", "\xed\x9f\xbf"},
		{"\xed\xa0\x80", "\\u00ed\\u00a0\\u0080"},
		{"\xef\xbf\xbf", "\xef\xbf\xbf"},
		{"\xf0\x8f\xbf\xbf", "\\u00f0\\u008f\\u00bf\\u00bf"},
		{"\xf0\x90\x80\x80", "\xf0\x90\x80\x80"},
		{"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
		{"\xf4\x90\x80\x80", "\\u00f4\\u0090\\u0080\\u0080"},
		{"\xf5\x80\x80\x80", "\\u00f5\\u0080\\u0080\\u0080"},
		{"\x80", "\\u0080"},
		{"a\xe2\x82", "a\\u00e2\\u0082"},
		{"\xe2\x82x", "\\u00e2\\u0082x"},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct line l = {bytes, bytes + sizeof(bytes)};

		line_put_escaped(&l, span_str(table[i].input), LINE_JSON);
		assert_line(span_of(bytes, (size_t)(l.at - bytes)), table[i].json);
	}
}

/* What a reader gets back for a text: itself where it is UTF-8, else the code point
 * of the byte's value, by jansson's own judgement of the line. */
static void any_bytes_make_valid_json(void **state UNUSED)
{
	char text[64];

	srandom(1);
	for (int round = 0; round < 20000; round++) {
		struct access_view view = usual();
		struct span line;
		json_t *json;
		json_error_t error;

		for (size_t i = 0; i < sizeof(text); i++)
			/* Every other round mostly bytes of UTF-8 sequences. */
			text[i] = (char)(round % 2 ? random() : random() | 0x80);
		view.record.path = span_of(text, (size_t)random() % sizeof(text));
		view.record.host = span_of(text + 1, sizeof(text) - 1);
		view.extras[0] = (struct access_extra){SPAN("\xff\"\n"), span_of(text + 9, 30)};
		view.record.extras = view.extras;
		view.record.extras_len = 1;
		line = formatted(access_format_json, &view);
		json = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
				  &error);
		if (!json)
			fail_msg("%s: %.*s", error.text, SPAN_FMT(line));
		assert_int_equal(json_object_size(json), 21);
		assert_int_equal(json_object_size(json_object_get(json, "fields")), 1);
		json_decref(json);
		formatted(access_format_text, &view);
	}
}

static void every_byte_can_be_read_back_from_json(void **state UNUSED)
{
	for (int byte = 0; byte < 256; byte++) {
		struct access_view view = usual();
		char path[1] = {(char)byte};
		struct span line;
		const char *back;
		json_t *json;

		view.record.path = span_of(path, 1);
		line = formatted(access_format_json, &view);
		json = json_loadb(line.ptr, line.len, JSON_ALLOW_NUL, NULL);
		assert_non_null(json);
		back = json_string_value(json_object_get(json, "path"));
		if (byte < 0x80) {
			assert_int_equal((uint8_t)back[0], byte);
		} else {
			assert_int_equal((uint8_t)back[0], 0xc0 | byte >> 6);
			assert_int_equal((uint8_t)back[1], 0x80 | (byte & 0x3f));
		}
		json_decref(json);
	}
}

static void the_longest_record_has_room(void **state UNUSED)
{
	static char much[70000];
	struct access_extra extras[ACCESS_EXTRAS_MAX + 1];
	struct access_record record = {.extras = extras, .cause = ACCESS_UPSTREAM_NAME_UNRESOLVED};
	struct access_ring ring;
	struct access_view view;

	memset(much, '\x01', sizeof(much));
	record.request_id = record.client = record.method = record.host = record.path =
		record.route = record.service = record.target = span_of(much, sizeof(much));
	assert_int_equal(access_ring_init(&ring, 32 * KIB), 0);
	for (size_t len = 1; len <= ARRAY_LEN(extras); len += ACCESS_EXTRAS_MAX / 4) {
		for (size_t i = 0; i < len; i++) {
			extras[i].name = span_of(much, 150);
			extras[i].value = span_of(much, len == 1 ? sizeof(much) : 20);
		}
		record.extras_len = len;
		assert_true(access_ring_put(&ring, &record));
		assert_true(access_ring_peek(&ring, &view));
		assert_true(view.clipped);
		assert_true(view.record.extras_len <= ACCESS_EXTRAS_MAX);
		assert_int_equal(view.record.path.len, 4096);
		formatted(access_format_json, &view);
		formatted(access_format_text, &view);
		access_ring_take(&ring, &view);
	}
	access_ring_fini(&ring);
}

static void a_record_comes_out_of_the_ring_as_it_went_in(void **state UNUSED)
{
	struct access_view in = usual(), out;
	struct access_ring ring;
	char first[2048];
	struct span line;

	in.extras[0] = (struct access_extra){SPAN("a"), SPAN("1")};
	in.extras[1] = (struct access_extra){SPAN_NONE, SPAN_NONE};
	in.record.extras = in.extras;
	in.record.extras_len = 2;
	in.record.cause = ACCESS_TOTAL_TIMEOUT;
	line = formatted(access_format_json, &in);
	memcpy(first, line.ptr, line.len);
	assert_int_equal(access_ring_init(&ring, 32 * KIB), 0);
	assert_true(access_ring_is_empty(&ring));
	assert_true(access_ring_put(&ring, &in.record));
	assert_false(access_ring_is_empty(&ring));
	assert_true(access_ring_peek(&ring, &out));
	assert_true(span_eq(formatted(access_format_json, &out), span_of(first, line.len)));
	access_ring_take(&ring, &out);
	assert_true(access_ring_is_empty(&ring));
	assert_false(access_ring_peek(&ring, &out));
	access_ring_fini(&ring);
}

static void a_full_ring_drops_counts_and_goes_on(void **state UNUSED)
{
	static char much[4096];
	struct access_record record = {.path = span_of(much, sizeof(much))};
	struct access_ring ring;
	struct access_view view;
	uint32_t put = 0, taken = 0;

	assert_int_equal(access_ring_init(&ring, 32 * KIB), 0);
	/* Many times around, with sizes that end at every distance from the edge. */
	for (uint32_t round = 0; round < 3000; round++) {
		uint64_t dropped = ring.dropped;

		record.path.len = round * 37 % sizeof(much);
		record.total_us = put;
		while (access_ring_put(&ring, &record)) {
			record.total_us = ++put;
			record.path.len = put * 41 % sizeof(much);
		}
		assert_int_equal(ring.dropped, dropped + 1);
		assert_true(access_ring_is_half_full(&ring));
		for (uint32_t i = 0; i < 1 + round % 5 && access_ring_peek(&ring, &view); i++) {
			assert_int_equal(view.record.total_us, taken++);
			access_ring_take(&ring, &view);
		}
	}
	while (access_ring_peek(&ring, &view)) {
		assert_int_equal(view.record.total_us, taken++);
		access_ring_take(&ring, &view);
	}
	assert_int_equal(put, taken);
	assert_true(put > 3000);
	assert_false(access_ring_is_half_full(&ring));
	access_ring_fini(&ring);
}

static void every_cause_has_its_word(void **state UNUSED)
{
	assert_string_equal(access_cause_text(ACCESS_OK), "");
	for (int i = 1; i < ACCESS_CAUSES; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(access_cause_text(i), access_cause_text(j));
	assert_string_equal(access_cause_text(ACCESS_OUT_OF_MEMORY), "out_of_memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_usual_request_as_json),
		cmocka_unit_test(a_usual_request_as_text),
		cmocka_unit_test(a_failed_request_with_fields_as_json),
		cmocka_unit_test(a_failed_request_with_fields_as_text),
		cmocka_unit_test(tls_is_an_object_of_its_own),
		cmocka_unit_test(tls_as_text),
		cmocka_unit_test(tls_comes_through_the_ring_with_the_records_that_have_it),
		cmocka_unit_test(every_cause_is_documented),
		cmocka_unit_test(escapes_follow_utf8_exactly),
		cmocka_unit_test(any_bytes_make_valid_json),
		cmocka_unit_test(every_byte_can_be_read_back_from_json),
		cmocka_unit_test(the_longest_record_has_room),
		cmocka_unit_test(a_record_comes_out_of_the_ring_as_it_went_in),
		cmocka_unit_test(a_full_ring_drops_counts_and_goes_on),
		cmocka_unit_test(every_cause_has_its_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

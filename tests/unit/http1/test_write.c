#include "heads.h"

#include <ringway/base/arena.h>
#include <ringway/http1/write.h>

static void check_written(const struct http_head *head, const char *expected)
{
	size_t bound = h1_head_bytes(head);
	char *out = malloc(bound);
	size_t len = h1_write_head(head, out);

	if (!span_eq(span_of(out, len), span_str(expected)))
		fail_msg("%.*s, not %s", (int)len, out, expected);
	assert_int_equal(len, bound);
	free(out);
}

struct exchange {
	struct h1_parser p;
	struct http_field fields[HEADS_FIELDS_MAX];
	struct http_head head;
};

static struct http_head *request(struct exchange *e, const char *raw)
{
	size_t used;

	h1_parser_init(&e->p, &heads_limits, e->fields);
	assert_int_equal(h1_parse_request(&e->p, span_str(raw), &e->head, &used), H1_PARSE_DONE);
	return &e->head;
}

static struct http_head *response(struct exchange *e, const char *raw, enum http_method method)
{
	size_t used;

	h1_parser_init(&e->p, &heads_limits, e->fields);
	assert_int_equal(h1_parse_response(&e->p, span_str(raw), method, &e->head, &used),
			 H1_PARSE_DONE);
	return &e->head;
}

static void requests_are_written_host_first(void **state UNUSED)
{
	struct exchange e;

	check_written(request(&e, "GET /a?b HTTP/1.1\r\nA: 1\r\nHOST: x:1\r\nB:2\r\n\r\n"),
		      "GET /a?b HTTP/1.1\r\nHost: x:1\r\nA: 1\r\nB: 2\r\n\r\n");
	check_written(request(&e, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
		      "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
	check_written(request(&e, "FOO http://x/? HTTP/1.1\r\nHost: x\r\nEmpty:\r\n\r\n"),
		      "FOO /? HTTP/1.1\r\nHost: x\r\nEmpty: \r\n\r\n");
}

static void lines_are_written_alike_however_they_came(void **state UNUSED)
{
	struct exchange e;

	check_written(request(&e,
			      "GET / HTTP/1.1\r\nHost: x\r\n"
			      "One: 1\r\nTwo: 2\r\nNarrow:3\r\nFour: 4\r\nWide:  5\r\nTab:\t6\r\n"
			      "Seven: 7\r\nBehind: 8 \r\nNine: 9\r\nUpgrade: gone\r\nEmpty:\r\n"
			      "A-Name-Of-Seventeen: 0123456789abcdef0\r\nEnd: 10\r\n\r\n"),
		      "GET / HTTP/1.1\r\nHost: x\r\n"
		      "One: 1\r\nTwo: 2\r\nNarrow: 3\r\nFour: 4\r\nWide: 5\r\nTab: 6\r\n"
		      "Seven: 7\r\nBehind: 8\r\nNine: 9\r\nEmpty: \r\n"
		      "A-Name-Of-Seventeen: 0123456789abcdef0\r\nEnd: 10\r\n\r\n");
}

/* Around the lengths that the writer treats differently. */
static void fields_of_any_length_are_written_whole(void **state UNUSED)
{
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char expected[256];
	struct http_field field = {.id = HTTP_FIELD_OTHER};
	struct http_head head = {
		.status = 200,
		.reason = SPAN("OK"),
		.minor = 1,
		.keep_alive = true,
		.fields = {.at = &field, .len = 1, .cap = 1},
	};

	for (size_t len = 1; len < 34; len++) {
		field.name = span_of(text, len);
		field.value = span_of(text + 1, len);
		snprintf(expected, sizeof(expected), "HTTP/1.1 200 OK\r\n%.*s: %.*s\r\n\r\n",
			 (int)len, text, (int)len, text + 1);
		check_written(&head, expected);
	}
}

static void one_framing_field_says_what_the_head_means(void **state UNUSED)
{
	struct exchange e;
	struct http_head *head;

	check_written(request(&e, "POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 0018\r\n\r\n"),
		      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n");
	check_written(request(&e, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
		      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	head = request(&e, "POST / HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\nHost: x\r\n\r\n");
	check_written(head, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	head->framing = HTTP_FRAMING_LENGTH;
	head->content_length = UINT64_MAX;
	check_written(head,
		      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n");
	head->framing = HTTP_FRAMING_NONE;
	check_written(head, "POST / HTTP/1.1\r\nHost: x\r\n\r\n");
}

static void fields_of_one_hop_are_never_copied_from_a_list(void **state UNUSED)
{
	struct exchange e;

	check_written(request(&e, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close, x\r\n"
				  "Keep-Alive: 5\r\nProxy-Connection: a\r\nUpgrade: h2c\r\n"
				  "TE: gzip\r\nX: y\r\n\r\n"),
		      "GET / HTTP/1.1\r\nHost: x\r\nX: y\r\nConnection: close\r\n\r\n");
	check_written(request(&e, "GET / HTTP/1.1\r\nHost: x\r\nTE: trailers, gzip\r\n\r\n"),
		      "GET / HTTP/1.1\r\nHost: x\r\nConnection: TE\r\nTE: trailers\r\n\r\n");
	check_written(request(&e, "GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n"
				  "Connection: close\r\n\r\n"),
		      "GET / HTTP/1.1\r\nHost: x\r\nConnection: close, TE\r\nTE: trailers\r\n\r\n");
}

static void responses_are_written(void **state UNUSED)
{
	struct exchange e;
	struct http_head *head;

	check_written(response(&e, "HTTP/1.0 404 Not Found\r\nA: b\r\nContent-Length: 3\r\n\r\n",
			       HTTP_METHOD_GET),
		      "HTTP/1.1 404 Not Found\r\nA: b\r\nContent-Length: 3\r\n"
		      "Connection: close\r\n\r\n");
	check_written(response(&e, "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n", HTTP_METHOD_HEAD),
		      "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n");
	check_written(response(&e, "HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\n", HTTP_METHOD_GET),
		      "HTTP/1.1 204 x\r\n\r\n");
	check_written(response(&e, "HTTP/1.1 304 x\r\nContent-Length: 3\r\nETag: \"a\"\r\n\r\n",
			       HTTP_METHOD_GET),
		      "HTTP/1.1 304 x\r\nETag: \"a\"\r\nContent-Length: 3\r\n\r\n");
	head = response(&e, "HTTP/1.1 200 x\r\n\r\n", HTTP_METHOD_GET);
	check_written(head, "HTTP/1.1 200 x\r\nConnection: close\r\n\r\n");
	head->framing = HTTP_FRAMING_CHUNKED;
	head->keep_alive = true;
	check_written(head, "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n");
	head->framing = HTTP_FRAMING_LENGTH;
	head->minor = 0;
	check_written(head,
		      "HTTP/1.1 200 x\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
}

/* What was read, written and read again means the same. */
static void heads_survive_the_round_trip(void **state UNUSED)
{
	static const char *const raws[] = {
		"GET /a/b?c HTTP/1.1\r\nHost: x:8\r\nUser-Agent: y\r\nAccept: z\r\n\r\n",
		"PUT http://x/ HTTP/1.1\r\nhost: X\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST /%7e/../ HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 7\r\nTE: "
		"trailers\r\n\r\n",
		"OPTIONS http://x HTTP/1.1\r\nConnection: close, y\r\nHost: x\r\nY: z\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(raws); i++) {
		struct exchange first, second;
		struct http_head *a = request(&first, raws[i]), *b;
		char text[512];

		h1_remove_hop_by_hop(&a->fields);
		text[h1_write_head(a, text)] = '\0';
		b = request(&second, text);
		h1_remove_hop_by_hop(&b->fields);
		assert_int_equal(a->method, b->method);
		assert_true(span_eq(a->path, b->path));
		assert_true(span_eq(a->query, b->query));
		assert_true(span_eq(a->authority, b->authority));
		assert_int_equal(a->framing, b->framing);
		assert_int_equal(a->content_length, b->content_length);
		assert_int_equal(a->keep_alive, b->keep_alive);
		assert_int_equal(a->te_trailers, b->te_trailers);
		check_written(b, text);
	}
}

static void a_finished_head_writes_the_normal_path(void **state UNUSED)
{
	struct exchange e;
	struct http_head *head = request(&e, "GET /a/../%62 HTTP/1.1\r\nHost: EX\r\n\r\n");
	struct arena arena;
	char mem[64];

	arena_init(&arena, mem, sizeof(mem), NULL);
	assert_true(h1_request_finish(head, &arena));
	check_written(head, "GET /b HTTP/1.1\r\nHost: EX\r\n\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_written_host_first),
		cmocka_unit_test(lines_are_written_alike_however_they_came),
		cmocka_unit_test(fields_of_any_length_are_written_whole),
		cmocka_unit_test(one_framing_field_says_what_the_head_means),
		cmocka_unit_test(fields_of_one_hop_are_never_copied_from_a_list),
		cmocka_unit_test(responses_are_written),
		cmocka_unit_test(heads_survive_the_round_trip),
		cmocka_unit_test(a_finished_head_writes_the_normal_path),
	};

	return cmocka_run_group_tests_name("http1: write", tests, NULL, NULL);
}

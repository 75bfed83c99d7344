#include "heads.h"

/* Names of the fields that stay, each behind a space. */
static void check(const char *lines, const char *expected)
{
	struct h1_parser p;
	struct http_field fields[HEADS_FIELDS_MAX];
	struct http_head head;
	char raw[1024], names[512] = "";
	int len = snprintf(raw, sizeof(raw), "HTTP/1.1 200 OK\r\n%s\r\n", lines);
	http_field_set present = 0;
	size_t used;

	h1_parser_init(&p, &heads_limits, fields);
	assert_int_equal(
		h1_parse_response(&p, span_of(raw, (size_t)len), HTTP_METHOD_GET, &head, &used),
		H1_PARSE_DONE);
	h1_remove_hop_by_hop(&head.fields);
	for (uint32_t i = 0; i < head.fields.len; i++) {
		size_t at = strlen(names);

		snprintf(names + at, sizeof(names) - at, " %.*s", SPAN_FMT(head.fields.at[i].name));
		present |= HTTP_FIELD_BIT(head.fields.at[i].id);
	}
	assert_string_equal(names, expected);
	assert_int_equal(head.fields.present, present);
}

static void the_fixed_set_is_removed(void **state UNUSED)
{
	check("A: 1\r\nConnection: close\r\nB: 1\r\nKeep-Alive: x\r\nProxy-Connection: x\r\n"
	      "TE: trailers\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\nC: 1\r\n"
	      "Proxy-Authenticate: x\r\nProxy-Authorization: x\r\nTrailer: x\r\n",
	      " A B C Trailer");
	check("keep-alive: x\r\n", "");
	check("", "");
	check("A: 1\r\nB: 2\r\n", " A B");
}

static void what_connection_names_is_removed_in_any_case_and_number(void **state UNUSED)
{
	check("Connection: x-a, CLOSE,X-B\r\nX-A: 1\r\nx-a: 2\r\nX-C: 3\r\nX-b: 4\r\n", " X-C");
	check("X-A: 1\r\nConnection: x-a\r\nX-B: 1\r\nConnection: x-b\r\nX-C: 1\r\n", " X-C");
	check("Connection: user-agent\r\nUser-Agent: x\r\nServer: x\r\n", " Server");
	check("Connection: ,, x-a ,\t\r\nX-A: 1\r\n", "");
}

static void what_a_message_cannot_do_without_stays(void **state UNUSED)
{
	check("Connection: Host, Set-Cookie, X-Forwarded-Foo, X-A\r\nHost: a\r\nSet-Cookie: b\r\n"
	      "X-Forwarded-Foo: c\r\nX-A: d\r\n",
	      " Host Set-Cookie X-Forwarded-Foo");
	check("Content-Length: 5\r\nConnection: content-length, date\r\nDate: x\r\n",
	      " Content-Length Date");
	check("Connection: client-cert, client-cert-chain\r\nClient-Cert: x\r\n"
	      "Client-Cert-Chain: x\r\n",
	      " Client-Cert Client-Cert-Chain");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fixed_set_is_removed),
		cmocka_unit_test(what_connection_names_is_removed_in_any_case_and_number),
		cmocka_unit_test(what_a_message_cannot_do_without_stays),
	};

	return cmocka_run_group_tests_name("http1: connection", tests, NULL, NULL);
}

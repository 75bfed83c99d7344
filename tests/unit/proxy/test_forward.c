#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ringway/tls/peer.h>

#include "forward.h"

/* One request on its way, as the exchange holds it. */
struct scene {
	char memory[64 * KIB];
	struct config config;
	struct snapshot snapshot;
	struct client client;
	struct exchange x;
	struct http_field fields[8];
	struct http_head out;
};
static struct scene s;

static void begin(bool is_trusted, const struct tls_peer *peer)
{
	memset(&s, 0, sizeof(s));
	s.snapshot.config = &s.config;
	s.client.is_trusted = is_trusted;
	s.client.peer = peer;
	s.x.snapshot = &s.snapshot;
	s.x.conn = &s.client;
	s.x.request.minor = 1;
	s.x.request.fields = (struct http_fields){.at = s.fields, .cap = ARRAY_LEN(s.fields)};
	s.x.attributes.client = SPAN("192.0.2.7");
	arena_init(&s.x.arena, s.memory, sizeof(s.memory), NULL);
}

static void receive(const char *name, const char *value)
{
	struct span text = span_str(name);

	http_fields_add(&s.x.request.fields, http_field_id(text), text, span_str(value));
}

/* The one value of that field; ptr NULL when there is none. */
static struct span passed_on(enum http_field_id id)
{
	struct span value = SPAN_NONE;
	unsigned count = 0;

	for (uint32_t i = 0; i < s.out.fields.len; i++) {
		if (s.out.fields.at[i].id != id)
			continue;
		value = s.out.fields.at[i].value;
		count++;
	}
	assert_true(count <= 1);
	return value;
}

static void what_is_said_of_a_certificate_is_taken_out(void **state UNUSED)
{
	for (int is_trusted = 0; is_trusted < 2; is_trusted++) {
		begin(is_trusted, NULL);
		receive("CLIENT-cert", ":AAAA:");
		receive("Client-Cert", ":BBBB:");
		receive("Client-Cert-Chain", ":AAAA:");
		receive("Client_Cert", ":AAAA:");
		receive("X-A", "1");
		assert_true(forward_request(&s.x, &s.out));
		assert_null(passed_on(HTTP_FIELD_CLIENT_CERT).ptr);
		assert_null(passed_on(HTTP_FIELD_CLIENT_CERT_CHAIN).ptr);
		assert_true(span_eq(passed_on(HTTP_FIELD_OTHER), SPAN("1")));
	}
}

static void a_verified_client_is_told_to_the_upstream(void **state UNUSED)
{
	struct tls_peer peer = {.leaf_der = SPAN("leaf")};

	begin(false, &peer);
	receive("Client-Cert", ":AAAA:");
	receive("Client-Cert-Chain", ":AAAA:");
	assert_true(forward_request(&s.x, &s.out));
	assert_true(span_eq(passed_on(HTTP_FIELD_CLIENT_CERT), SPAN(":bGVhZg==:")));
	assert_null(passed_on(HTTP_FIELD_CLIENT_CERT_CHAIN).ptr);

	peer.chain[0] = SPAN("one");
	peer.chain[1] = SPAN("two++");
	peer.chain_len = 2;
	begin(true, &peer);
	receive("Client-Cert", ":AAAA:");
	assert_true(forward_request(&s.x, &s.out));
	assert_true(span_eq(passed_on(HTTP_FIELD_CLIENT_CERT), SPAN(":bGVhZg==:")));
	assert_true(span_eq(passed_on(HTTP_FIELD_CLIENT_CERT_CHAIN),
			    SPAN(":b25l:, :dHdvKys=:")));
}

static void without_room_for_the_certificate_nothing_is_sent(void **state UNUSED)
{
	struct tls_peer peer = {.leaf_der = span_of(s.memory, 48 * KIB)};

	begin(false, &peer);
	assert_false(forward_request(&s.x, &s.out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_of_a_certificate_is_taken_out),
		cmocka_unit_test(a_verified_client_is_told_to_the_upstream),
		cmocka_unit_test(without_room_for_the_certificate_nothing_is_sent),
	};

	return cmocka_run_group_tests_name("proxy: forward", tests, NULL, NULL);
}

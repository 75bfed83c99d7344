#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "file.h"
#include "staple.h"

static char directory[] = "/tmp/ringway-ocsp-XXXXXX";
static char *chain, *lone;
static struct span chain_pem, lone_pem;

#define DAY ((int64_t)24 * 60 * 60)

static struct tls_staple *staple_of(const char *path)
{
	struct tls_staple *s = NULL;
	const char *detail = "";

	if (tls_staple_load(path, chain_pem, time(NULL), &s, &detail) != 0)
		fail_msg("%s: %s", path, detail);
	return s;
}

/* ---- parsing ---- */

static void a_good_response_becomes_a_staple_with_its_times(void **state UNUSED)
{
	static const char *const good[] = {"good.ocsp", "delegated.ocsp"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct tls_staple *s = staple_of(good[i]);
		int64_t now = time(NULL);

		assert_true(s->this_update_s <= now && s->this_update_s > now - 300);
		assert_int_equal(s->next_update_s, s->this_update_s + 7 * DAY);
		assert_true(s->len > 100);
		tls_staple_destroy(s);
	}
}

static void what_is_not_stapled_is_said(void **state UNUSED)
{
	static const struct {
		const char *path;
		int64_t later_s;
		const char *detail;
	} cases[] = {
		{"good.ocsp", 8 * DAY, "its time is over"},
		{"good.ocsp", -DAY, "its time has not begun"},
		{"revoked.ocsp", 0, "it says that the certificate is revoked"},
		{"unknown.ocsp", 0, "it says that the certificate is unknown"},
		{"endless.ocsp", 0, "it has no end"},
		{"other.ocsp", 0, "it is about another certificate"},
		{"foreign.ocsp", 0, "it is not signed for the issuer"},
		{"undelegated.ocsp", 0, "it is not signed for the issuer"},
		{"later.ocsp", 0, "the responder refused"},
		{"server.pem", 0, "it is no OCSP response"},
		{"large.ocsp", 0, "it is larger than 16 KiB"},
		{"missing.ocsp", 0, "it cannot be read"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_staple *s = NULL;
		const char *detail = "nothing";

		if (tls_staple_load(cases[i].path, chain_pem, time(NULL) + cases[i].later_s, &s,
				    &detail) == 0 ||
		    strncmp(detail, cases[i].detail, strlen(cases[i].detail)) != 0)
			fail_msg("%s: %s", cases[i].path, detail);
		assert_null(s);
	}
}

static void an_identity_without_its_issuer_has_no_staple(void **state UNUSED)
{
	struct tls_staple *s = NULL;
	const char *detail = "";

	assert_int_not_equal(tls_staple_load("good.ocsp", lone_pem, time(NULL), &s, &detail), 0);
	assert_non_null(strstr(detail, "issuer"));
}

/* Every response that is cut, and every one with one bit turned over, is refused: there is
 * nothing in it that the signature does not cover but the outer lengths and the
 * certificates that come along. */
static void a_damaged_response_is_never_taken_for_another(void **state UNUSED)
{
	struct tls_staple *good = staple_of("good.ocsp");
	uint8_t *copy = malloc(good->len);

	for (size_t len = 0; len < good->len; len++) {
		struct tls_staple *s;
		const char *detail;
		/* Memory that ends with the response. */
		char *cut = malloc(len + 1);

		memcpy(cut, good->der, len);
		assert_int_not_equal(tls_staple_parse(span_of(cut, len), chain_pem, time(NULL),
						      &s, &detail), 0);
		free(cut);
	}
	for (size_t at = 0; at < good->len; at++) {
		struct tls_staple *s = NULL;
		const char *detail;

		memcpy(copy, good->der, good->len);
		copy[at] ^= 1;
		if (tls_staple_parse(span_of((char *)copy, good->len), chain_pem, time(NULL), &s,
				     &detail) == 0) {
			assert_int_equal(s->this_update_s, good->this_update_s);
			assert_int_equal(s->next_update_s, good->next_update_s);
		}
		tls_staple_destroy(s);
	}
	free(copy);
	tls_staple_destroy(good);
}

/* ---- handshakes: two ends in memory ---- */

struct pipe {
	char bytes[64 * KIB];
	size_t len;
	size_t at;
};
static struct pipe to_server, to_client;

static int pipe_read(WOLFSSL *ssl UNUSED, char *out, int size, void *owner)
{
	struct pipe *p = owner;
	size_t len = p->len - p->at;

	if (!len)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	if (len > (size_t)size)
		len = (size_t)size;
	memcpy(out, p->bytes + p->at, len);
	p->at += len;
	return (int)len;
}

static int pipe_write(WOLFSSL *ssl UNUSED, char *from, int size, void *owner)
{
	struct pipe *p = owner;

	assert_true((size_t)size <= sizeof(p->bytes) - p->len);
	memcpy(p->bytes + p->len, from, (size_t)size);
	p->len += (size_t)size;
	return size;
}

enum client { ASKS_NOT, ASKS, INSISTS };

/* Whether the client comes through; it verifies what is stapled. */
static bool shakes(WOLFSSL_CTX *server_ctx, enum client kind, bool tls13)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(tls13 ? wolfTLSv1_3_client_method()
						 : wolfTLSv1_2_client_method());
	bool client_done = false, server_done = false;
	WOLFSSL *client, *server;

	assert_int_equal(wolfSSL_CTX_load_verify_locations(ctx, "root.pem", NULL),
			 WOLFSSL_SUCCESS);
	if (kind != ASKS_NOT)
		assert_int_equal(wolfSSL_CTX_EnableOCSPStapling(ctx), WOLFSSL_SUCCESS);
	if (kind == INSISTS)
		assert_int_equal(wolfSSL_CTX_EnableOCSPMustStaple(ctx), WOLFSSL_SUCCESS);
	wolfSSL_CTX_SetIORecv(ctx, pipe_read);
	wolfSSL_CTX_SetIOSend(ctx, pipe_write);
	memset(&to_server, 0, sizeof(to_server));
	memset(&to_client, 0, sizeof(to_client));
	client = wolfSSL_new(ctx);
	server = wolfSSL_new(server_ctx);
	assert_non_null(client);
	assert_non_null(server);
	if (kind != ASKS_NOT)
		assert_int_equal(wolfSSL_UseOCSPStapling(client, WOLFSSL_CSR_OCSP, 0),
				 WOLFSSL_SUCCESS);
	wolfSSL_SetIOReadCtx(client, &to_client);
	wolfSSL_SetIOWriteCtx(client, &to_server);
	wolfSSL_SetIOReadCtx(server, &to_server);
	wolfSSL_SetIOWriteCtx(server, &to_client);
	for (int turn = 0; turn < 10 && !(client_done && server_done); turn++) {
		if (!client_done)
			client_done = wolfSSL_connect(client) == WOLFSSL_SUCCESS;
		if (!server_done)
			server_done = wolfSSL_accept(server) == WOLFSSL_SUCCESS;
	}
	wolfSSL_free(client);
	wolfSSL_free(server);
	wolfSSL_CTX_free(ctx);
	return client_done && server_done;
}

static WOLFSSL_CTX *server_new(struct tls_staple_slot *slot)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfSSLv23_server_method());
	struct config_tls config = {.client_auth = CONFIG_CLIENT_AUTH_NONE};
	const char *detail = "";

	assert_int_equal(wolfSSL_CTX_use_certificate_chain_file(ctx, "server-chain.pem"),
			 WOLFSSL_SUCCESS);
	assert_int_equal(wolfSSL_CTX_use_PrivateKey_file(ctx, "server.key", WOLFSSL_FILETYPE_PEM),
			 WOLFSSL_SUCCESS);
	wolfSSL_CTX_SetIORecv(ctx, pipe_read);
	wolfSSL_CTX_SetIOSend(ctx, pipe_write);
	if (tls_staple_apply(ctx, &config, chain_pem, slot, &detail) != 0)
		fail_msg("%s", detail);
	return ctx;
}

static bool was_sent(const struct tls_staple *s)
{
	return memmem(to_client.bytes, to_client.len, s->der, s->len) != NULL;
}

static void a_client_that_asks_gets_the_staple(void **state UNUSED)
{
	struct tls_staple *s = staple_of("good.ocsp");
	struct tls_staple_slot slot = {s};

	for (int tls13 = 0; tls13 < 2; tls13++) {
		WOLFSSL_CTX *ctx = server_new(&slot);

		assert_true(shakes(ctx, INSISTS, tls13));
		if (!tls13)
			assert_true(was_sent(s));
		assert_true(shakes(ctx, INSISTS, tls13));
		assert_true(shakes(ctx, ASKS_NOT, tls13));
		assert_false(was_sent(s));
		wolfSSL_CTX_free(ctx);
	}
	tls_staple_destroy(s);
}

static void without_a_staple_handshakes_go_on(void **state UNUSED)
{
	struct tls_staple *s = staple_of("good.ocsp");

	for (int tls13 = 0; tls13 < 2; tls13++) {
		struct tls_staple_slot slot = {NULL};
		WOLFSSL_CTX *ctx = server_new(&slot);

		assert_true(shakes(ctx, ASKS_NOT, tls13));
		/* RFC 6066 section 8 lets a server send none; the client of 5.5 does not take
		 * that well. */
		if (LIBWOLFSSL_VERSION_HEX >= 0x05007002)
			assert_true(shakes(ctx, ASKS, tls13));
		/* This is also what shows that INSISTS tells one from the other. */
		assert_false(shakes(ctx, INSISTS, tls13));
		slot.current = s; /* it came while connections ran */
		assert_true(shakes(ctx, INSISTS, tls13));
		wolfSSL_CTX_free(ctx);
	}
	tls_staple_destroy(s);
}

static void a_staple_whose_time_is_over_is_not_shown(void **state UNUSED)
{
	struct tls_staple *s = staple_of("good.ocsp");
	struct tls_staple_slot slot = {s};
	WOLFSSL_CTX *ctx = server_new(&slot);

	s->next_update_s = time(NULL) - 1;
	assert_false(shakes(ctx, INSISTS, false));
	assert_false(was_sent(s));
	assert_true(shakes(ctx, ASKS_NOT, false));
	wolfSSL_CTX_free(ctx);
	tls_staple_destroy(s);
}

static void a_listener_that_asks_for_certificates_staples_nothing(void **state UNUSED)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfSSLv23_server_method());
	struct config_tls config = {.client_auth = CONFIG_CLIENT_AUTH_REQUEST};
	struct tls_staple_slot slot = {NULL};
	const char *detail = "";

	assert_int_not_equal(tls_staple_apply(ctx, &config, chain_pem, &slot, &detail), 0);
	assert_non_null(strstr(detail, "client_auth"));
	wolfSSL_CTX_free(ctx);
}

static int make_files(void **state UNUSED)
{
	char command[512];
	size_t len;

	if (!mkdtemp(directory) || chdir(directory) != 0)
		return -1;
	snprintf(command, sizeof(command), "sh '%s'", SCRIPT);
	if (system(command) != 0 || wolfSSL_Init() != WOLFSSL_SUCCESS) {
		print_message("%s/openssl.log says why\n", directory);
		return -1;
	}
	if (file_read("server-chain.pem", 64 * KIB, &chain, &len) != 0)
		return -1;
	chain_pem = span_of(chain, len);
	if (file_read("server.pem", 64 * KIB, &lone, &len) != 0)
		return -1;
	lone_pem = span_of(lone, len);
	return 0;
}

static int remove_files(void **state UNUSED)
{
	char command[64];

	free(chain);
	free(lone);
	wolfSSL_Cleanup();
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_response_becomes_a_staple_with_its_times),
		cmocka_unit_test(what_is_not_stapled_is_said),
		cmocka_unit_test(an_identity_without_its_issuer_has_no_staple),
		cmocka_unit_test(a_damaged_response_is_never_taken_for_another),
		cmocka_unit_test(a_client_that_asks_gets_the_staple),
		cmocka_unit_test(without_a_staple_handshakes_go_on),
		cmocka_unit_test(a_staple_whose_time_is_over_is_not_shown),
		cmocka_unit_test(a_listener_that_asks_for_certificates_staples_nothing),
	};

	return cmocka_run_group_tests_name("tls: ocsp", tests, make_files, remove_files);
}

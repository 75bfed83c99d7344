#include <errno.h>
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

#include <wolfssl/options.h>
#include <wolfssl/version.h>

#include <ringway/tls/identity.h>

#include "file.h"
#include "staple.h"

static char directory[] = "/tmp/ringway-ocsp-XXXXXX";
static char *chain, *lone, *asked;
static struct span chain_pem, lone_pem, other_pem;

#define DAY ((int64_t)24 * 60 * 60)

static int parse(const char *path, struct span pem, int64_t now_s, struct tls_staple **ret,
		 const char **ret_detail)
{
	char *der;
	size_t len;
	int err;

	assert_int_equal(file_read(path, 64 * KIB, &der, &len), 0);
	err = tls_staple_parse(span_of(der, len), pem, now_s, ret, ret_detail);
	free(der);
	return err;
}

static struct tls_staple *staple_of(const char *path)
{
	struct tls_staple *s = NULL;
	const char *detail = "";

	if (parse(path, chain_pem, time(NULL), &s, &detail) != 0)
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
		int err;
	} cases[] = {
		{"good.ocsp", 8 * DAY, "its time is over", -EINVAL},
		{"good.ocsp", -DAY, "its time has not begun", -EINVAL},
		{"revoked.ocsp", 0, "it says that the certificate is revoked", -EKEYREVOKED},
		{"revoked-foreign.ocsp", 0, "it is not signed for the issuer", -EINVAL},
		{"unknown.ocsp", 0, "it says that the certificate is unknown", -EINVAL},
		{"endless.ocsp", 0, "it has no end", -EINVAL},
		{"other.ocsp", 0, "it is about another certificate", -ESRCH},
		{"foreign.ocsp", 0, "it is not signed for the issuer", -EINVAL},
		{"undelegated.ocsp", 0, "it is not signed for the issuer", -EINVAL},
		{"later.ocsp", 0, "the responder refused", -EINVAL},
		{"server.pem", 0, "it is no OCSP response", -EINVAL},
		{"large.ocsp", 0, "it is larger than 16 KiB", -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_staple *s = NULL;
		const char *detail = "nothing";

		if (parse(cases[i].path, chain_pem, time(NULL) + cases[i].later_s, &s, &detail) !=
			    cases[i].err ||
		    strncmp(detail, cases[i].detail, strlen(cases[i].detail)) != 0)
			fail_msg("%s: %s", cases[i].path, detail);
		assert_null(s);
	}
}

static void an_identity_without_its_issuer_has_no_staple(void **state UNUSED)
{
	struct tls_staple *s = NULL;
	const char *detail = "";

	assert_int_equal(parse("good.ocsp", lone_pem, time(NULL), &s, &detail), -ENOKEY);
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

/* ---- files ---- */

struct record {
	struct tls_findings findings;
	char text[512];
};

static void say(struct tls_findings *f, enum config_severity severity, const struct config_file *file,
		const char *path, const char *message)
{
	struct record *r = container_of(f, struct record, findings);

	snprintf(r->text, sizeof(r->text), "%d %s %s: %s", severity == CONFIG_ERROR, path,
		 file->path, message);
}

static void the_certificate_that_a_file_is_about_is_found(void **state UNUSED)
{
	static const struct config_certificate config = {.cert = {.path = "s.pem"}};
	struct tls_identity whole = {.config = &config, .chain_pem = chain_pem};
	struct tls_identity alone = {.config = &config, .chain_pem = lone_pem};
	struct tls_identity other = {.config = &config, .chain_pem = other_pem};
	struct tls_identity *lists[][3] = {
		{&whole, &other, &alone}, {&alone, &other, &whole}, {&other, &other, &other},
		{&other, &alone, &other},
	};
	static const struct {
		size_t list;
		const char *file;
		size_t index;
		int err;
		const char *said;
	} cases[] = {
		{0, "good.ocsp", 0, 0, ""},
		{1, "good.ocsp", 2, 0, ""},
		{2, "good.ocsp", 0, -ESRCH, "1 p good.ocsp: it is about no certificate of the listener"},
		{3, "good.ocsp", 0, -ESRCH,
		 "1 p good.ocsp: it is about no certificate of the listener whose issuer is known: in "
		 "`s.pem` that one's certificate must stand behind the other"},
		{1, "revoked.ocsp", 0, -EKEYREVOKED,
		 "1 p revoked.ocsp: it says that the certificate is revoked"},
		{1, "later.ocsp", 0, -EINVAL, "1 p later.ocsp: the responder refused to answer"},
		{1, "missing.ocsp", 0, -ENOENT,
		 "1 p missing.ocsp: cannot be read: No such file or directory"},
		{1, "large.ocsp", 0, -EFBIG,
		 "1 p large.ocsp: is bigger than 16 KiB: it is another file than it should be"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config_file file = {.path = cases[i].file};
		struct record r = {.findings = {say}};
		struct tls_staple *s = NULL;
		size_t index = 9;

		assert_int_equal(tls_staple_choose(&file, "p", lists[cases[i].list], 3, time(NULL),
						   &r.findings, &s, &index),
				 cases[i].err);
		assert_string_equal(r.text, cases[i].said);
		if (!cases[i].err)
			assert_int_equal(index, cases[i].index);
		else
			assert_null(s);
		tls_staple_destroy(s);
	}
}

/* ---- requests ---- */

/* Byte by byte what openssl asks, whose responder knows such a request (RFC 5019). */
static void a_request_is_what_openssl_asks(void **state UNUSED)
{
	struct tls_staple_request r;
	const char *detail = "";
	char *pem, *expected;
	size_t pem_len, len;

	for (int i = 0; i < 2; i++) {
		char path[32];

		snprintf(path, sizeof(path), "asked%d-chain.pem", i);
		assert_int_equal(file_read(path, 64 * KIB, &pem, &pem_len), 0);
		snprintf(path, sizeof(path), "asked%d.request", i);
		assert_int_equal(file_read(path, 64 * KIB, &expected, &len), 0);
		if (tls_staple_request(span_of(pem, pem_len), &r, &detail) != 0)
			fail_msg("%s", detail);
		assert_int_equal(r.len, len);
		assert_memory_equal(r.der, expected, len);
		assert_string_equal(r.url, i ? "https://ocsp.test/b?c=d" : "http://127.0.0.1:80/");
		free(pem);
		free(expected);
	}
}

static void who_cannot_be_asked_is_said(void **state UNUSED)
{
	static const struct {
		const char *chain;
		int err;
		const char *detail;
	} cases[] = {
		{"server-chain.pem", -EINVAL, "the certificate names no OCSP responder"},
		{"server.pem", -ENOKEY,
		 "the certificate's file lacks that of the issuer, behind it"},
		{"ldap-chain.pem", -EINVAL,
		 "the address of its OCSP responder is none of http:// or https://"},
		{"issuers-chain.pem", -EINVAL, "the certificate names no OCSP responder"},
		{"spaced-chain.pem", -EINVAL,
		 "the address of its OCSP responder is none of http:// or https://"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_staple_request r;
		const char *detail = "nothing";
		char *pem;
		size_t len;

		assert_int_equal(file_read(cases[i].chain, 64 * KIB, &pem, &len), 0);
		assert_int_equal(tls_staple_request(span_of(pem, len), &r, &detail), cases[i].err);
		assert_string_equal(detail, cases[i].detail);
		free(pem);
	}
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

static WOLFSSL_CTX *server_new(const struct tls_staple *s)
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
	if (tls_staple_apply(ctx, &config, chain_pem, s, &detail) != 0)
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

	for (int tls13 = 0; tls13 < 2; tls13++) {
		WOLFSSL_CTX *ctx = server_new(s);

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

/* As when nobody has brought a newer one. */
static void a_staple_whose_time_is_over_is_not_shown_and_handshakes_go_on(void **state UNUSED)
{
	struct tls_staple *s = staple_of("good.ocsp");

	s->next_update_s = time(NULL) - 1;
	for (int tls13 = 0; tls13 < 2; tls13++) {
		WOLFSSL_CTX *ctx = server_new(s);

		assert_true(shakes(ctx, ASKS_NOT, tls13));
		/* RFC 6066 section 8 lets a server send none; the client of 5.5 does not take
		 * that well. */
		if (LIBWOLFSSL_VERSION_HEX >= 0x05007002)
			assert_true(shakes(ctx, ASKS, tls13));
		/* This is also what shows that INSISTS tells one from the other. */
		assert_false(shakes(ctx, INSISTS, tls13));
		assert_false(was_sent(s));
		wolfSSL_CTX_free(ctx);
	}
	tls_staple_destroy(s);
}

static void a_listener_that_asks_for_certificates_staples_nothing(void **state UNUSED)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfSSLv23_server_method());
	struct config_tls config = {.client_auth = CONFIG_CLIENT_AUTH_REQUEST};
	struct tls_staple s = {0};
	const char *detail = "";

	assert_int_not_equal(tls_staple_apply(ctx, &config, chain_pem, &s, &detail), 0);
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
	if (file_read("asked0-chain.pem", 64 * KIB, &asked, &len) != 0)
		return -1;
	other_pem = span_of(asked, len);
	return 0;
}

static int remove_files(void **state UNUSED)
{
	char command[64];

	free(chain);
	free(lone);
	free(asked);
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
		cmocka_unit_test(the_certificate_that_a_file_is_about_is_found),
		cmocka_unit_test(a_request_is_what_openssl_asks),
		cmocka_unit_test(who_cannot_be_asked_is_said),
		cmocka_unit_test(a_damaged_response_is_never_taken_for_another),
		cmocka_unit_test(a_client_that_asks_gets_the_staple),
		cmocka_unit_test(a_staple_whose_time_is_over_is_not_shown_and_handshakes_go_on),
		cmocka_unit_test(a_listener_that_asks_for_certificates_staples_nothing),
	};

	return cmocka_run_group_tests_name("tls: ocsp", tests, make_files, remove_files);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <wolfssl/options.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "peer_verify.h"
#include "x509.h"

static char directory[] = "/tmp/ringway-peer-XXXXXX";

/* ---- two ends in memory ---- */

struct pipe {
	char bytes[64 * KIB];
	size_t len;
	size_t at;
};
static struct pipe to_server, to_client;

static int pipe_read(struct pipe *p, char *out, int size)
{
	size_t len = p->len - p->at;

	if (!len)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	if (len > (size_t)size)
		len = (size_t)size;
	memcpy(out, p->bytes + p->at, len);
	p->at += len;
	return (int)len;
}

static int pipe_write(struct pipe *p, const char *from, int size)
{
	assert_true((size_t)size <= sizeof(p->bytes) - p->len);
	memcpy(p->bytes + p->len, from, (size_t)size);
	p->len += (size_t)size;
	return size;
}

static int client_read(WOLFSSL *ssl UNUSED, char *out, int size, void *owner UNUSED)
{
	return pipe_read(&to_client, out, size);
}
static int client_write(WOLFSSL *ssl UNUSED, char *from, int size, void *owner UNUSED)
{
	return pipe_write(&to_server, from, size);
}
static int server_read(WOLFSSL *ssl UNUSED, char *out, int size, void *owner UNUSED)
{
	return pipe_read(&to_server, out, size);
}
static int server_write(WOLFSSL *ssl UNUSED, char *from, int size, void *owner UNUSED)
{
	return pipe_write(&to_client, from, size);
}

static WOLFSSL_CTX *server_new(const struct config_tls *config)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfSSLv23_server_method());
	const struct config_file *file;
	const char *detail = "";

	assert_non_null(ctx);
	assert_int_equal(wolfSSL_CTX_use_certificate_chain_file(ctx, "server.pem"), WOLFSSL_SUCCESS);
	assert_int_equal(wolfSSL_CTX_use_PrivateKey_file(ctx, "server.key", WOLFSSL_FILETYPE_PEM),
			 WOLFSSL_SUCCESS);
	wolfSSL_CTX_SetIORecv(ctx, server_read);
	wolfSSL_CTX_SetIOSend(ctx, server_write);
	if (tls_peer_setup(ctx, config, &file, &detail) != 0)
		fail_msg("%s", detail);
	return ctx;
}

static WOLFSSL_CTX *client_new(bool tls13, const char *certificate)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(tls13 ? wolfTLSv1_3_client_method()
						 : wolfTLSv1_2_client_method());
	char path[64];

	assert_non_null(ctx);
	wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
	wolfSSL_CTX_SetIORecv(ctx, client_read);
	wolfSSL_CTX_SetIOSend(ctx, client_write);
	if (certificate) {
		snprintf(path, sizeof(path), "%s.pem", certificate);
		assert_int_equal(wolfSSL_CTX_use_certificate_chain_file(ctx, path),
				 WOLFSSL_SUCCESS);
		snprintf(path, sizeof(path), "%s.key", certificate);
		assert_int_equal(wolfSSL_CTX_use_PrivateKey_file(ctx, path, WOLFSSL_FILETYPE_PEM),
				 WOLFSSL_SUCCESS);
	}
	return ctx;
}

/* What the server makes of it: 0 or wolfSSL's error. The peer is the caller's. */
static int shake(WOLFSSL_CTX *server_ctx, const char *certificate, bool tls13, uint32_t depth,
		 struct tls_peer **ret_peer)
{
	WOLFSSL_CTX *client_ctx = client_new(tls13, certificate);
	WOLFSSL *server = wolfSSL_new(server_ctx), *client = wolfSSL_new(client_ctx);
	bool server_done = false, client_done = false;
	int error = 0;

	memset(&to_server, 0, sizeof(to_server));
	memset(&to_client, 0, sizeof(to_client));
	assert_non_null(server);
	assert_non_null(client);
	assert_int_equal(tls_peer_attach(server, depth, ret_peer), 0);
	for (int turn = 0; turn < 10 && !server_done; turn++) {
		int ret;

		if (!client_done)
			client_done = wolfSSL_connect(client) == WOLFSSL_SUCCESS;
		ret = wolfSSL_accept(server);
		server_done = ret == WOLFSSL_SUCCESS;
		error = server_done ? 0 : wolfSSL_get_error(server, ret);
		if (error && error != WOLFSSL_ERROR_WANT_READ)
			break;
	}
	assert_int_not_equal(error, WOLFSSL_ERROR_WANT_READ);
	wolfSSL_free(server);
	wolfSSL_free(client);
	wolfSSL_CTX_free(client_ctx);
	return error;
}

/* ---- tests ---- */

static void clients_are_let_in_or_refused_for_the_recorded_cause(void **state UNUSED)
{
	enum { REQUEST = CONFIG_CLIENT_AUTH_REQUEST, REQUIRE = CONFIG_CLIENT_AUTH_REQUIRE };
	static const struct {
		const char *certificate;
		int auth;
		uint32_t depth;
		const char *crl;
		enum access_cause cause; /* ACCESS_OK: comes in */
		bool is_anonymous;
	} cases[] = {
		{"good", REQUIRE, 0, NULL, ACCESS_OK},
		{"good", REQUEST, 0, NULL, ACCESS_OK},
		{"plain", REQUIRE, 0, NULL, ACCESS_OK},
		{"any", REQUIRE, 0, NULL, ACCESS_OK},
		{NULL, REQUEST, 0, NULL, ACCESS_OK, .is_anonymous = true},
		{NULL, REQUEST, 0, "root.crl", ACCESS_OK, .is_anonymous = true},
		{NULL, REQUIRE, 0, NULL, ACCESS_TLS_NO_CERTIFICATE},
		{"expired", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_EXPIRED},
		{"expired", REQUEST, 0, NULL, ACCESS_TLS_CERTIFICATE_EXPIRED},
		{"early", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_EXPIRED},
		{"alien", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_UNTRUSTED},
		{"alien", REQUEST, 0, NULL, ACCESS_TLS_CERTIFICATE_UNTRUSTED},
		{"twins", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_UNTRUSTED},
		{"self", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_UNTRUSTED},
		{"below-one", REQUIRE, 8, NULL, ACCESS_TLS_CERTIFICATE_UNTRUSTED},
		{"no-eku", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		{"no-eku", REQUEST, 0, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		{"no-sign", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		{"large", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		{"sha1", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		{"sha1", REQUEST, 0, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		{"rsa2048", REQUIRE, 0, NULL, ACCESS_OK},
		{"rsa1024", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		/* The authority between may vouch for servers only. */
		{"with-of-servers", REQUIRE, 1, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		{"with-root", REQUIRE, 0, NULL, ACCESS_OK},
		{"with-one", REQUIRE, 1, NULL, ACCESS_OK},
		{"with-one", REQUIRE, 0, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		{"with-two", REQUIRE, 2, NULL, ACCESS_OK},
		{"with-all", REQUIRE, 2, NULL, ACCESS_OK},
		{"with-two", REQUIRE, 1, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		{"with-all", REQUIRE, 1, NULL, ACCESS_TLS_CERTIFICATE_BAD},
		{"good", REQUIRE, 0, "root.crl", ACCESS_OK},
		{"with-root", REQUIRE, 0, "root.crl", ACCESS_OK},
		{"revoked", REQUIRE, 0, NULL, ACCESS_OK},
		{"revoked", REQUIRE, 0, "root.crl", ACCESS_TLS_CERTIFICATE_REVOKED},
		{"revoked", REQUEST, 0, "root.crl", ACCESS_TLS_CERTIFICATE_REVOKED},
		/* The file has no CRL of the issuer. */
		{"with-one", REQUIRE, 1, "root.crl", ACCESS_TLS_CERTIFICATE_REVOKED},
		{"with-one", REQUIRE, 1, "both.crl", ACCESS_OK},
		{"with-one", REQUIRE, 1, "one-revoked.crl", ACCESS_TLS_CERTIFICATE_REVOKED},
		{"alien", REQUIRE, 0, "root.crl", ACCESS_TLS_CERTIFICATE_UNTRUSTED},
	};

	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		bool tls13 = i % 2;
		const char *name = cases[i / 2].certificate ? cases[i / 2].certificate : "none";
		struct config_tls config = {
			.client_auth = (enum config_client_auth)cases[i / 2].auth,
			/* CRLs of others than the roots need their issuers. */
			.client_ca.path = cases[i / 2].crl ? "root-and-one.pem" : "root.pem",
			.crl.path = cases[i / 2].crl,
		};
		enum access_cause expected = cases[i / 2].cause, cause;
		WOLFSSL_CTX *ctx = server_new(&config);
		struct tls_peer *p;
		int error = shake(ctx, cases[i / 2].certificate, tls13, cases[i / 2].depth, &p);

		cause = tls_peer_cause(error, p);
		if ((error == 0) != (expected == ACCESS_OK) || cause != expected)
			fail_msg("%s, case %zu, TLS 1.%d: error %d, cause \"%s\"", name, i / 2,
				 tls13 ? 3 : 2, error, access_cause_text(cause));
		if (tls_peer_is_verified(p) != (!error && !cases[i / 2].is_anonymous))
			fail_msg("%s, case %zu: verified or not", name, i / 2);
		tls_peer_destroy(p);
		wolfSSL_CTX_free(ctx);
	}
}

/* Before 5.7 the library cannot forget intermediates, see tls_peer_attach(). */
#if LIBWOLFSSL_VERSION_HEX >= 0x05007002
static void the_chain_of_another_client_helps_nobody(void **state UNUSED)
{
	struct config_tls config = {
		.client_auth = CONFIG_CLIENT_AUTH_REQUIRE,
		.client_ca.path = "root.pem",
	};
	WOLFSSL_CTX *ctx = server_new(&config);
	struct tls_peer *p;

	assert_int_equal(shake(ctx, "with-two", true, 2, &p), 0);
	tls_peer_destroy(p);
	assert_int_not_equal(shake(ctx, "without-one", true, 2, &p), 0);
	assert_int_equal(p->cause, ACCESS_TLS_CERTIFICATE_UNTRUSTED);
	tls_peer_destroy(p);
	assert_int_equal(shake(ctx, "with-two", true, 2, &p), 0);
	tls_peer_destroy(p);
	wolfSSL_CTX_free(ctx);
}
#endif

static struct tls_peer *peer_of(const char *certificate)
{
	struct config_tls config = {
		.client_auth = CONFIG_CLIENT_AUTH_REQUIRE,
		.client_ca.path = "root.pem",
	};
	WOLFSSL_CTX *ctx = server_new(&config);
	struct tls_peer *p;

	assert_int_equal(shake(ctx, certificate, true, 8, &p), 0);
	assert_true(tls_peer_is_verified(p));
	wolfSSL_CTX_free(ctx);
	return p;
}

static void output_of(const char *command, char *out, size_t size)
{
	FILE *f = popen(command, "r");
	size_t len;

	assert_non_null(f);
	len = fread(out, 1, size - 1, f);
	assert_int_equal(pclose(f), 0);
	out[len] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static void what_is_recorded_is_what_openssl_reads(void **state UNUSED)
{
	struct tls_peer *p = peer_of("good");
	char expected[4096], field[4096];
	size_t len;

	output_of("openssl x509 -in good.pem -outform DER | sha256sum | cut -c1-64", expected,
		  sizeof(expected));
	assert_string_equal(p->fingerprint, expected);
	output_of("echo :$(openssl x509 -in good.pem -outform DER | base64 -w0):", expected,
		  sizeof(expected));
	assert_true(tls_peer_client_cert_field(p, field, sizeof(field), &len));
	assert_true(span_eq(span_of(field, len), span_str(expected)));
	assert_false(tls_peer_client_cert_field(p, field, len - 1, &len));
	assert_true(tls_peer_client_cert_field(p, field, len, &len));
	assert_true(tls_peer_client_cert_chain_field(p, field, sizeof(field), &len));
	assert_int_equal(len, 0);
	assert_true(span_eq(p->subject, SPAN("emailAddress=a@b.c,CN=caf\xc3\xa9,OU=\\ a#b\\ ,"
					     "O=Ex\\, Ample,C=DE")));
	tls_peer_destroy(p);
}

static void the_names_of_the_certificate_are_recorded(void **state UNUSED)
{
	struct tls_peer *p = peer_of("good");
	const struct tls_peer_name expected[] = {
		{TLS_PEER_DNS, SPAN("a.test")},
		{TLS_PEER_EMAIL, SPAN("a@b.c")},
		{TLS_PEER_URI, SPAN("spiffe://a.test/x")},
		{TLS_PEER_IP, SPAN("\xc0\x00\x02\x07")},
		{TLS_PEER_IP, SPAN("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01")},
	};

	assert_int_equal(p->names_len, ARRAY_LEN(expected));
	for (size_t i = 0; i < p->names_len; i++) {
		assert_int_equal(p->names[i].kind, expected[i].kind);
		assert_true(span_eq(p->names[i].value, expected[i].value));
	}
	tls_peer_destroy(p);
}

static void the_chain_goes_without_what_is_trusted_anyway(void **state UNUSED)
{
	struct tls_peer *p = peer_of("with-all");
	char expected[8192], field[8192];
	size_t len;

	assert_int_equal(p->chain_len, 2);
	output_of("echo :$(openssl x509 -in two.pem -outform DER | base64 -w0):, "
		  ":$(openssl x509 -in one.pem -outform DER | base64 -w0):",
		  expected, sizeof(expected));
	assert_true(tls_peer_client_cert_chain_field(p, field, sizeof(field), &len));
	assert_true(span_eq(span_of(field, len), span_str(expected)));
	assert_false(tls_peer_client_cert_chain_field(p, field, len - 1, &len));
	tls_peer_destroy(p);
}

static void files_that_cannot_be_used_are_refused_and_named(void **state UNUSED)
{
	static const struct {
		const char *ca, *crl, *named;
	} cases[] = {
		{"missing.pem", NULL, "client_ca"},
		{"good.key", NULL, "client_ca"},
		{"expired.pem", NULL, "client_ca"},
		{"root.pem", "missing.crl", "crl"},
		{"root.pem", "root.pem", "crl"},
		{"root.pem", "foreign.crl", "crl"},
		{"root.pem", "over.crl", "crl"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config_tls config = {
			.client_auth = CONFIG_CLIENT_AUTH_REQUIRE,
			.client_ca.path = cases[i].ca,
			.crl.path = cases[i].crl,
		};
		WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfSSLv23_server_method());
		const struct config_file *file = NULL;
		const char *detail = "none";

		if (tls_peer_setup(ctx, &config, &file, &detail) == 0)
			fail_msg("%s with %s is taken", cases[i].ca, cases[i].crl);
		assert_int_equal(strncmp(detail, cases[i].named, strlen(cases[i].named)), 0);
		assert_ptr_equal(file, cases[i].crl ? &config.crl : &config.client_ca);
		wolfSSL_CTX_free(ctx);
	}
}

static void errors_of_an_upstreams_certificate_have_causes(void **state UNUSED)
{
	assert_int_equal(tls_peer_upstream_cause(ASN_AFTER_DATE_E),
			 ACCESS_UPSTREAM_CERTIFICATE_EXPIRED);
	assert_int_equal(tls_peer_upstream_cause(ASN_NO_SIGNER_E),
			 ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED);
	assert_int_equal(tls_peer_upstream_cause(NOT_CA_ERROR),
			 ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED);
	assert_int_equal(tls_peer_upstream_cause(CRL_CERT_REVOKED),
			 ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED);
	assert_int_equal(tls_peer_upstream_cause(DOMAIN_NAME_MISMATCH),
			 ACCESS_UPSTREAM_CERTIFICATE_NAME);
	assert_int_equal(tls_peer_upstream_cause(SOCKET_ERROR_E), ACCESS_OK);
	assert_int_equal(tls_peer_cause(SOCKET_ERROR_E, NULL), ACCESS_OK);
}

static void names_become_text_by_rfc_4514(void **state UNUSED)
{
	static const struct {
		struct span der;
		const char *text;
	} cases[] = {
		{SPAN("\x30\x00"), ""},
		/* Two attributes in one set. */
		{SPAN("\x30\x15\x31\x13\x30\x08\x06\x03\x55\x04\x03\x0c\x01" "a"
		      "\x30\x07\x06\x03\x55\x04\x0a\x0c\x00"), "CN=a+O="},
		{SPAN("\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05" "#\"\0\n "),
		 "CN=\\#\\\"\\00\\0a\\ "},
		{SPAN("\x30\x0b\x31\x09\x30\x07\x06\x03\x55\x04\x2a\x0c\x00"), "2.5.4.42=#0c00"},
		{SPAN("\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x1e\x02" "\0a"),
		 "CN=#1e020061"},
		/* Cut off, and without a value. */
		{SPAN("\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x1e\x02" "\0"), ""},
		{SPAN("\x30\x09\x31\x07\x30\x05\x06\x03\x55\x04\x03"), ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[64];
		size_t len = x509_name_text(cases[i].der, out, sizeof(out));

		assert_true(span_eq(span_of(out, len), span_str(cases[i].text)));
		assert_int_equal(x509_name_text(cases[i].der, NULL, 0), len);
	}
}

static int make_files(void **state UNUSED)
{
	char command[512];

	if (!mkdtemp(directory) || chdir(directory) != 0)
		return -1;
	snprintf(command, sizeof(command), "sh '%s'", SCRIPT);
	if (system(command) != 0 || wolfSSL_Init() != WOLFSSL_SUCCESS) {
		print_message("%s/openssl.log says why\n", directory);
		return -1;
	}
	return 0;
}

static int remove_files(void **state UNUSED)
{
	char command[64];

	wolfSSL_Cleanup();
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_are_let_in_or_refused_for_the_recorded_cause),
#if LIBWOLFSSL_VERSION_HEX >= 0x05007002
		cmocka_unit_test(the_chain_of_another_client_helps_nobody),
#endif
		cmocka_unit_test(what_is_recorded_is_what_openssl_reads),
		cmocka_unit_test(the_names_of_the_certificate_are_recorded),
		cmocka_unit_test(the_chain_goes_without_what_is_trusted_anyway),
		cmocka_unit_test(files_that_cannot_be_used_are_refused_and_named),
		cmocka_unit_test(errors_of_an_upstreams_certificate_have_causes),
		cmocka_unit_test(names_become_text_by_rfc_4514),
	};

	return cmocka_run_group_tests_name("tls: peer", tests, make_files, remove_files);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <ringway/tls/file_check.h>
#include <ringway/tls/identity.h>

#include "certificate.h"
#include "identity_check.h"
#include "pem.h"

/* 2026-06-01 12:00 UTC; the certificates are good from 2026-01-01 to 2026-12-31. */
#define NOW_S  ((int64_t)1780315200)
#define DAY_S  ((int64_t)86400)
#define YEAR_S (365 * DAY_S)

static char directory[] = "/tmp/ringway-identities-XXXXXX";

static int make_files(void **state UNUSED)
{
	if (!mkdtemp(directory) || chdir(directory))
		return -1;
	return system("sh " SCRIPT);
}

static int remove_files(void **state UNUSED)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return chdir("/") || system(command);
}

/* ---- what is said ---- */

struct record {
	struct tls_findings findings;
	char text[4096];
	size_t len;
	unsigned errors;
};

static void say(struct tls_findings *f, enum config_severity severity,
		const struct config_file *file, const char *path, const char *message)
{
	struct record *r = container_of(f, struct record, findings);

	assert_non_null(file->path);
	r->errors += severity == CONFIG_ERROR;
	r->len += (size_t)snprintf(r->text + r->len, sizeof(r->text) - r->len, "%s %s: %s\n",
				   severity == CONFIG_ERROR ? "error" : "warning", path, message);
	assert_true(r->len < sizeof(r->text));
}

static struct tls_identity *load_at(const char *cert, const char *key, int64_t now_s,
				    struct record *r)
{
	struct config_certificate c = {.cert = {.path = cert}, .key = {.path = key}};
	struct tls_identity *id = NULL;
	int err;

	*r = (struct record){.findings = {say}};
	err = tls_identity_load(&c, "p", now_s, &r->findings, &id);
	assert_int_equal(err != 0, r->errors != 0);
	assert_int_equal(err != 0, id == NULL);
	assert_true(err <= 0);
	return id;
}

static const struct finding_case {
	const char *cert;
	const char *key;
	int64_t now_s; /* 0: NOW_S */
	const char *said;
} cases[] = {
	/* Nothing to say. */
	{"p256.pem", "p256.key", 0, ""},
	{"p384.pem", "p384.key", 0, ""},
	{"rsa.pem", "rsa.key", 0, ""},
	{"ed.pem", "ed.key", 0, ""},
	{"chain.pem", "p256.key", 0, ""},
	{"p256.pem", "sec1.key", 0, ""},
	{"p256.pem", "parameters.key", 0, ""},
	{"rsa.pem", "pkcs1.key", 0, ""},
	{"both.pem", "both.pem", 0, ""},
	{"cn.pem", "p256.key", 0, ""},
	{"address.pem", "p256.key", 0, ""},
	{"bare.pem", "p256.key", 0, ""},
	/* Files. */
	{"missing.pem", "p256.key", 0, "error p.cert: cannot be read: No such file or directory\n"},
	{"p256.pem", "missing.key", 0, "error p.key: cannot be read: No such file or directory\n"},
	{"missing.pem", "missing.key", 0,
	 "error p.cert: cannot be read: No such file or directory\n"
	 "error p.key: cannot be read: No such file or directory\n"},
	{"directory.pem", "p256.key", 0, "error p.cert: is a directory\n"},
	{"fifo.pem", "p256.key", 0, "error p.cert: is not a regular file\n"},
	{"p256.pem", "fifo.pem", 0, "error p.key: is not a regular file\n"},
	{"empty.pem", "p256.key", 0, "error p.cert: is empty\n"},
	{"p256.pem", "empty.pem", 0, "error p.key: is empty\n"},
	{"big.pem", "p256.key", 0,
	 "error p.cert: is bigger than 256 KiB: it is another file than it should be\n"},
	{"p256.pem", "open.key", 0,
	 "warning p.key: every user of this machine can read the key (mode 0644): chmod o-r\n"},
	/* Forms. */
	{"text.pem", "p256.key", 0,
	 "error p.cert: has no certificate: it has no line that starts with -----BEGIN\n"},
	{"p256.der", "p256.key", 0,
	 "error p.cert: has no certificate: it is DER, not PEM: convert it with openssl\n"},
	{"parameters.key", "p256.key", 0,
	 "error p.cert: has no certificate: found `EC PARAMETERS`, `EC PRIVATE KEY`\n"},
	{"p256.pem", "chain.pem", 0,
	 "error p.key: has no private key: found `CERTIFICATE`, `CERTIFICATE`\n"},
	{"cut.pem", "p256.key", 0, "error p.cert: the block that begins in line 1 has no end\n"},
	{"p256.pem", "cut.key", 0, "error p.key: the block that begins in line 1 has no end\n"},
	{"not_base64.pem", "p256.key", 0,
	 "error p.cert: the certificate in line 1 is malformed: it is not base64\n"},
	{"damaged.pem", "p256.key", 0,
	 "error p.cert: the certificate in line 1 is malformed: ASN parsing error, invalid "
	 "input\n"},
	{"long.pem", "root.key", 0,
	 "error p.cert: has more than 10 certificates: it is a bundle of authorities, not the "
	 "chain of one certificate\n"},
	{"p256.pem", "encrypted.key", 0,
	 "error p.key: the key is encrypted, which is not supported: decrypt it with `openssl pkey "
	 "-in FILE -out NEW` and make it readable for this user only\n"},
	{"p256.pem", "encrypted_old.key", 0,
	 "error p.key: the key is encrypted, which is not supported: decrypt it with `openssl pkey "
	 "-in FILE -out NEW` and make it readable for this user only\n"},
	{"p256.pem", "damaged.key", 0,
	 "error p.key: the key is malformed or of a kind that is not supported: use ECDSA (P-256, "
	 "P-384), RSA or Ed25519\n"},
	{"p256.pem", "two.key", 0, "error p.key: has 2 private keys: which one is meant?\n"},
	/* Pairs. */
	{"cn.pem", "root.key", 0,
	 "error p.key: the key does not match the certificate (/CN=Cn.Example.org)\n"},
	{"p256.pem", "p384.key", 0,
	 "error p.key: the key does not match the certificate (/CN=not-a-name-then)\n"},
	{"p256.pem", "rsa.key", 0,
	 "error p.key: the key does not match the certificate: this one is RSA, the certificate's "
	 "ECDSA\n"},
	{"rsa.pem", "ed.key", 0,
	 "error p.key: the key does not match the certificate: this one is Ed25519, the "
	 "certificate's RSA\n"},
	{"ed.pem", "p256.key", 0,
	 "error p.key: the key does not match the certificate: this one is ECDSA, the "
	 "certificate's Ed25519\n"},
	/* Dates. */
	{"p256.pem", "p256.key", NOW_S + YEAR_S,
	 "error p.cert: the certificate has expired on 2026-12-31 23:59 UTC\n"},
	{"chain.pem", "p256.key", NOW_S + YEAR_S,
	 "error p.cert: certificate 1 of the file has expired on 2026-12-31 23:59 UTC\n"
	 "warning p.cert: certificate 2 of the file has expired on 2026-12-31 23:59 UTC\n"},
	{"late.pem", "p256.key", 0,
	 "error p.cert: the certificate is not valid before 2050-01-01 00:00 UTC\n"},
	{"p256.pem", "p256.key", 1798761599 - 13 * DAY_S,
	 "warning p.cert: the certificate expires in 13 days, on 2026-12-31 23:59 UTC\n"},
	{"p256.pem", "p256.key", 1798761599 - DAY_S,
	 "warning p.cert: the certificate expires in 1 day, on 2026-12-31 23:59 UTC\n"},
	{"p256.pem", "p256.key", 1798761599,
	 "warning p.cert: the certificate expires within a day, on 2026-12-31 23:59 UTC\n"},
	{"p256.pem", "p256.key", 1798761600,
	 "error p.cert: the certificate has expired on 2026-12-31 23:59 UTC\n"},
	{"p256.pem", "p256.key", 1798761599 - 14 * DAY_S, ""},
	{"old_chain.pem", "p256.key", 0,
	 "warning p.cert: certificate 2 of the file expires in 1 day, on 2026-06-02 12:00 UTC\n"},
	/* Strength. */
	{"rsa1024.pem", "rsa1024.key", 0,
	 "error p.cert: the certificate has an RSA key of 1024 bits, which is too weak: use 2048 "
	 "bits or ECDSA with P-256\n"},
	{"sha1.pem", "p256.key", 0,
	 "warning p.cert: the certificate is signed with SHA-1, which clients refuse\n"},
	{"k1.pem", "k1.key", 0,
	 "error p.cert: the certificate in line 1 has a key on a curve that is not supported: use "
	 "P-256 or P-384\n"},
	{"rsa4096.pem", "rsa4096.key", 0, ""},
	{"ed448.pem", "p256.key", 0,
	 "error p.cert: the certificate in line 1 has an algorithm that is not supported: use ECDSA, "
	 "RSA or Ed25519\n"},
	{"p256.pem", "ed448.key", 0,
	 "error p.key: the key is malformed or of a kind that is not supported: use ECDSA (P-256, "
	 "P-384), RSA or Ed25519\n"},
	{"pss.pem", "pss.key", 0,
	 "error p.cert: the certificate has a key of a kind that is not supported: use ECDSA, RSA "
	 "or Ed25519\n"},
	/* Chains. */
	{"gap.pem", "p256.key", 0,
	 "warning p.cert: certificate 1 (/CN=not-a-name-then) is not issued by certificate 2 "
	 "(/O=Ringway Test/CN=Root): the chain has a gap\n"
	 "warning p.cert: certificate 2 (/O=Ringway Test/CN=Root) is a root: clients have it or do "
	 "not trust it, leave it out\n"},
	{"shuffled.pem", "p256.key", 0,
	 "warning p.cert: certificate 1 (/CN=not-a-name-then) is not issued by certificate 2 "
	 "(/O=Ringway Test/CN=Root): the chain is out of order\n"
	 "warning p.cert: certificate 2 (/O=Ringway Test/CN=Root) is not issued by certificate 3 "
	 "(/O=Ringway Test/CN=Middle): it is a root, which ends a chain\n"},
	{"with_root.pem", "p256.key", 0,
	 "warning p.cert: certificate 3 (/O=Ringway Test/CN=Root) is a root: clients have it or do "
	 "not trust it, leave it out\n"},
	{"twins.pem", "p256.key", 0,
	 "warning p.cert: certificate 1 (/CN=not-a-name-then) is signed with another key than that "
	 "of certificate 2 (/O=Ringway Test/CN=Middle)\n"},
	{"past_root.pem", "p256.key", 0,
	 "warning p.cert: certificate 1 (/CN=bare.example.org) is not issued by certificate 2 "
	 "(/O=Ringway Test/CN=Middle): it is a root, which ends a chain\n"},
	{"reversed.pem", "p256.key", 0,
	 "warning p.cert: certificate 1 (/O=Ringway Test/CN=Middle) is not issued by certificate 2 "
	 "(/CN=not-a-name-then): the chain has a gap\n"
	 "error p.key: the key belongs to certificate 2 of the file: it must stand first\n"},
	/* Names. */
	{"nameless.pem", "p256.key", 0,
	 "error p.cert: the certificate has no names: neither a subjectAltName nor a common name "
	 "that is a host name\n"},
	{"spaces.pem", "p256.key", 0,
	 "warning p.cert: its name `acme corporation` is no host name and matches nothing\n"
	 "error p.cert: the certificate has no names: neither a subjectAltName nor a common name "
	 "that is a host name\n"},
	{"odd.pem", "p256.key", 0,
	 "warning p.cert: its name `f*.example.org` is no host name and matches nothing\n"},
	{"client.pem", "p256.key", 0,
	 "warning p.cert: the certificate is not for TLS servers, says its extended key usage\n"},
};

static void every_fault_of_a_pair_is_said(void **state UNUSED)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct finding_case *c = &cases[i];
		struct record r;

		tls_identity_destroy(load_at(c->cert, c->key, c->now_s ? c->now_s : NOW_S, &r));
		if (strcmp(r.text, c->said) == 0)
			continue;
		print_error("%s, %s:\n%swanted:\n%s", c->cert, c->key, r.text, c->said);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void a_client_needs_no_names_but_leave_to_be_one(void **state UNUSED)
{
	static const struct {
		const char *cert;
		const char *said;
	} clients[] = {
		{"client.pem", ""},
		{"nameless.pem", ""},
		{"missing.pem", "error p.client_cert: cannot be read: No such file or directory\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		struct config_certificate c = {{.path = clients[i].cert}, {.path = "p256.key"}};
		struct record r = {.findings = {say}};
		struct tls_identity *id = NULL;

		tls_identity_load_client(&c, "p", NOW_S, &r.findings, &id);
		assert_string_equal(r.text, clients[i].said);
		tls_identity_destroy(id);
	}
}

static struct tls_identity *load(const char *cert, const char *key)
{
	struct record r;
	struct tls_identity *id = load_at(cert, key, NOW_S, &r);

	if (!id)
		fail_msg("%s", r.text);
	return id;
}

static void what_is_in_a_certificate_is_read(void **state UNUSED)
{
	struct tls_identity *id = load("with_root.pem", "p256.key");
	char fingerprint[65] = "", wanted[65] = "";
	FILE *openssl;

	assert_int_equal(id->kind, TLS_KEY_ECDSA);
	assert_int_equal(id->key_bits, 256);
	assert_int_equal(id->names_len, 2);
	assert_string_equal(id->names[0], "*.example.org");
	assert_string_equal(id->names[1], "api.example.org");
	assert_int_equal(id->not_before_s, 1767225600);
	assert_int_equal(id->not_after_s, 1798761599);
	for (size_t i = 0; i < 32; i++)
		sprintf(fingerprint + 2 * i, "%02x", id->fingerprint[i]);
	openssl = popen("openssl x509 -in p256.pem -outform der | sha256sum", "r");
	assert_non_null(fgets(wanted, sizeof(wanted), openssl));
	pclose(openssl);
	assert_string_equal(fingerprint, wanted);
	tls_identity_destroy(id);
}

static void each_kind_of_key_is_told(void **state UNUSED)
{
	static const struct {
		const char *cert, *key;
		enum tls_key_kind kind;
		unsigned bits;
	} kinds[] = {
		{"p256.pem", "p256.key", TLS_KEY_ECDSA, 256},
		{"p384.pem", "p384.key", TLS_KEY_ECDSA, 384},
		{"rsa.pem", "rsa.key", TLS_KEY_RSA, 2048},
		{"ed.pem", "ed.key", TLS_KEY_ED25519, 256},
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct tls_identity *id = load(kinds[i].cert, kinds[i].key);

		assert_int_equal(id->kind, kinds[i].kind);
		assert_int_equal(id->key_bits, kinds[i].bits);
		tls_identity_destroy(id);
	}
}

static void a_common_name_stands_in_only_without_other_names(void **state UNUSED)
{
	struct tls_identity *id = load("cn.pem", "p256.key");

	assert_int_equal(id->names_len, 1);
	assert_string_equal(id->names[0], "cn.example.org");
	tls_identity_destroy(id);
	id = load("address.pem", "p256.key");
	assert_int_equal(id->names_len, 0);
	tls_identity_destroy(id);
	id = load("odd.pem", "p256.key");
	assert_int_equal(id->names_len, 1);
	assert_string_equal(id->names[0], "good.example.org");
	tls_identity_destroy(id);
}

/* One file may hold both: nothing of the key may be sent or shown as a certificate. */
static void certificates_and_key_are_kept_apart(void **state UNUSED)
{
	struct tls_identity *id = load("both.pem", "both.pem");

	assert_null(memmem(id->chain_pem.ptr, id->chain_pem.len, "PRIVATE", 7));
	assert_true(span_starts_with(id->chain_pem, SPAN("-----BEGIN CERTIFICATE-----\n")));
	assert_true(span_ends_with(id->chain_pem, SPAN("-----END CERTIFICATE-----\n")));
	assert_true(span_starts_with(id->key_pem, SPAN("-----BEGIN PRIVATE KEY-----\n")));
	assert_true(span_ends_with(id->key_pem, SPAN("-----END PRIVATE KEY-----")));
	tls_identity_destroy(id);
}

static void a_wildcard_is_one_whole_label(void **state UNUSED)
{
	static const struct {
		const char *pattern, *name;
		bool matches;
	} names[] = {
		{"example.org", "example.org", true},
		{"example.org", "EXAMPLE.org", true},
		{"example.org", "www.example.org", false},
		{"example.org", "xexample.org", false},
		{"*.example.org", "www.example.org", true},
		{"*.example.org", "WWW.Example.ORG", true},
		{"*.example.org", "*.example.org", true},
		{"*.example.org", "example.org", false},
		{"*.example.org", ".example.org", false},
		{"*.example.org", "a.b.example.org", false},
		{"*.example.org", "www.example.org.evil.test", false},
		{"*.example.org", "www.example.com", false},
		{"www.*.org", "www.example.org", false},
		{"w*.example.org", "www.example.org", false},
		{"*", "localhost", false},
		{"*.", "localhost.", false},
		{"*.0.0.1", "127.0.0.1", false},
		{"*.org", "example.org", true},
		{"*.example.org", "", false},
		{"", "example.org", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (tls_name_matches(names[i].pattern, names[i].name) != names[i].matches)
			fail_msg("%s, %s", names[i].pattern, names[i].name);
}

static void an_identity_covers_its_names(void **state UNUSED)
{
	struct tls_identity *id = load("p256.pem", "p256.key");

	assert_true(tls_identity_covers(id, "api.example.org"));
	assert_true(tls_identity_covers(id, "other.example.org"));
	assert_false(tls_identity_covers(id, "not-a-name-then"));
	assert_false(tls_identity_covers(id, "example.org"));
	tls_identity_destroy(id);
}

static void only_times_in_the_form_of_rfc_5280_are_taken(void **state UNUSED)
{
	static const struct {
		struct span der;
		bool good;
		int64_t unix_s;
	} times[] = {
		{SPAN("\x17\x0d"
		      "700101000000Z"),
		 true, 0},
		{SPAN("\x17\x0d"
		      "260601120000Z"),
		 true, NOW_S},
		{SPAN("\x17\x0d"
		      "491231235959Z"),
		 true, 2524607999},
		{SPAN("\x17\x0d"
		      "500101000000Z"),
		 true, -631152000},
		{SPAN("\x17\x0d"
		      "240229000000Z"),
		 true, 1709164800},
		{SPAN("\x18\x0f"
		      "20500101000000Z"),
		 true, 2524608000},
		{SPAN("\x18\x0f"
		      "99991231235959Z"),
		 true, 253402300799},
		{SPAN("\x17\x0d"
		      "250229000000Z"),
		 false, 0},
		{SPAN("\x17\x0d"
		      "260631000000Z"),
		 false, 0},
		{SPAN("\x17\x0d"
		      "260001000000Z"),
		 false, 0},
		{SPAN("\x17\x0d"
		      "261301000000Z"),
		 false, 0},
		{SPAN("\x17\x0d"
		      "260100000000Z"),
		 false, 0},
		{SPAN("\x17\x0d"
		      "260101240000Z"),
		 false, 0},
		{SPAN("\x17\x0d"
		      "260101006000Z"),
		 false, 0},
		{SPAN("\x17\x0d"
		      "260101000060Z"),
		 false, 0},
		{SPAN("\x17\x0d"
		      "2601010000+0Z"),
		 false, 0},
		{SPAN("\x17\x0d"
		      "260101000000z"),
		 false, 0},
		{SPAN("\x17\x0b"
		      "2601010000Z"),
		 false, 0},
		{SPAN("\x17\x11"
		      "260101000000+0000"),
		 false, 0},
		{SPAN("\x18\x11"
		      "20500101000000.0Z"),
		 false, 0},
		{SPAN("\x18\x0d"
		      "260101000000Z"),
		 false, 0},
		{SPAN("\x17\x0c"
		      "260101000000Z"),
		 false, 0},
		{SPAN("\x17\x0d"
		      "26010100000"),
		 false, 0},
		{SPAN(""), false, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		int64_t unix_s = 0;

		if (certificate_time(times[i].der, &unix_s) != times[i].good)
			fail_msg("%zu: %.*s", i, SPAN_FMT(times[i].der));
		assert_true(unix_s == times[i].unix_s);
	}
}

static void other_files_are_checked(void **state UNUSED)
{
	enum kind { CA, CRL };
	static const struct {
		enum kind kind;
		const char *path;
		const char *said;
	} files[] = {
		{CA, "root.pem", ""},
		{CA, "chain.pem",
		 "warning p: the certificate in line 1 (/CN=not-a-name-then) is not an "
		 "authority's: it vouches for nobody\n"},
		{CA, "missing.pem", "error p: cannot be read: No such file or directory\n"},
		{CA, "p256.key", "error p: has no certificate: found `PRIVATE KEY`\n"},
		{CA, "damaged.pem",
		 "error p: the certificate in line 1 is malformed: ASN parsing error, invalid "
		 "input\n"},
		{CA, "cut.pem",
		 "error p: the certificate in line 1 is malformed: it is not base64\n"},
		{CA, "old.pem",
		 "warning p: the certificate in line 1 expires in 1 day, on 2026-06-02 12:00 "
		 "UTC\n"},
		{CRL, "crl.pem", ""},
		{CRL, "missing.pem", "error p: cannot be read: No such file or directory\n"},
		{CRL, "root.pem", "error p: has no revocation list: found `CERTIFICATE`\n"},
		{CRL, "damaged_crl.pem", "error p: the revocation list in line 1 is malformed\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct config_file file = {.path = files[i].path};
		struct record r = {.findings = {say}};

		if (files[i].kind == CA)
			tls_check_ca_file(&file, "p", NOW_S, &r.findings);
		else
			tls_check_crl_file(&file, "p", &r.findings);
		assert_string_equal(r.text, files[i].said);
	}
}

/* Damage in any byte of a certificate is found or harmless, and never more than that. */
static void damaged_certificates_do_no_harm(void **state UNUSED)
{
	struct record r = {.findings = {say}};
	struct config_file file = {.path = "p256.pem"};
	struct voice v = {.findings = &r.findings, .file = &file, .path = "p"};
	struct pem_file text;
	struct pem_cursor c;
	struct pem_block block;
	unsigned refused = 0;
	uint8_t *der;
	size_t len;

	assert_int_equal(pem_file_read(&v, PEM_FILE_MAX, &text), 0);
	c = pem_begin(text.text);
	assert_true(pem_next(&c, &block));
	der = pem_decode(&block, &len);
	assert_non_null(der);
	for (size_t i = 0; i < len; i++) {
		for (unsigned flip = 1; flip < 256; flip *= 2) {
			struct certificate certificate;
			struct arena arena;

			arena_init(&arena, NULL, 0, &arena_malloc_source);
			der[i] ^= (uint8_t)flip;
			refused += !!certificate_parse(&arena, span_of((char *)der, len),
						       &certificate);
			der[i] ^= (uint8_t)flip;
			arena_reset(&arena);
		}
	}
	assert_true(refused > len);
	for (size_t i = 0; i < len; i++) {
		struct certificate certificate;
		struct arena arena;

		arena_init(&arena, NULL, 0, &arena_malloc_source);
		assert_non_null(certificate_parse(&arena, span_of((char *)der, i), &certificate));
		arena_reset(&arena);
	}
	free(der);
	pem_file_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fault_of_a_pair_is_said),
		cmocka_unit_test(a_client_needs_no_names_but_leave_to_be_one),
		cmocka_unit_test(what_is_in_a_certificate_is_read),
		cmocka_unit_test(each_kind_of_key_is_told),
		cmocka_unit_test(a_common_name_stands_in_only_without_other_names),
		cmocka_unit_test(certificates_and_key_are_kept_apart),
		cmocka_unit_test(a_wildcard_is_one_whole_label),
		cmocka_unit_test(an_identity_covers_its_names),
		cmocka_unit_test(only_times_in_the_form_of_rfc_5280_are_taken),
		cmocka_unit_test(other_files_are_checked),
		cmocka_unit_test(damaged_certificates_do_no_harm),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}

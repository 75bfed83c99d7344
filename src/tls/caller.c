#include "caller.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wolfssl/wolfcrypt/sha256.h>

#include <ringway/base/address.h>
#include <ringway/tls/identity.h>
#include <ringway/tls/peer.h>

#include "certificate.h"
#include "pem.h"
#include "session_io.h"
#include "settings.h"
#include "x509.h"

/* For how long a session may be resumed, unless the server says less. What was verified at
 * its beginning is not looked at again. */
#define SESSION_S 7200
/* The library takes nine. */
#define CHAIN_MAX 16

struct tls_callers {
	struct tls_caller *callers; /* by settings, then shard */
	size_t callers_len;         /* settings */
	size_t *by_service;         /* 1 + index of settings; 0: plain */
	size_t services_len;
	unsigned shards;
	struct pem_file system; /* read when the first service asks for it */
};

/* ---- names ---- */

static bool is_same_address(struct span bytes, const struct address *a)
{
	if (a->sa.sa_family == AF_INET)
		return bytes.len == 4 && memcmp(bytes.ptr, &a->in.sin_addr, 4) == 0;
	return bytes.len == 16 && memcmp(bytes.ptr, &a->in6.sin6_addr, 16) == 0;
}

/* No authority may sell a name for all of a top-level domain, and no other client takes it. */
static bool is_too_wide(const char *pattern)
{
	return pattern[0] == '*' && pattern[1] == '.' && !strchr(pattern + 2, '.');
}

static bool is_same_name(struct span pattern, const char *name)
{
	char text[256]; /* longer ones are no host names (RFC 1035 section 2.3.4) */

	if (pattern.len >= sizeof(text) || memchr(pattern.ptr, '\0', pattern.len))
		return false;
	memcpy(text, pattern.ptr, pattern.len);
	text[pattern.len] = '\0';
	return !is_too_wide(text) && tls_name_matches(text, name);
}

bool tls_certificate_is_for(struct span leaf, const char *name)
{
	static const struct span alternative = SPAN("\x55\x1d\x11"); /* 2.5.29.17 */
	struct address address;
	bool is_address = address_from_ip(span_str(name), 0, &address);
	struct x509 c;
	struct span rest;
	struct der e;

	if (!x509_open(leaf, &c) || !x509_extension(&c, alternative, &rest) ||
	    !der_take(&rest, DER_SEQUENCE, &e))
		return false;
	rest = e.value;
	while (der_next(&rest, &e)) {
		if (is_address ? e.tag == DER_CONTEXT(7) && is_same_address(e.value, &address)
			       : e.tag == DER_CONTEXT(2) && is_same_name(e.value, name))
			return true;
	}
	return false;
}

/* ---- verdicts ---- */

/* Intermediates that are wrong first, the server's own certificate last, that one always
 * (WOLFSSL_ALWAYS_VERIFY_CB); a handshake without that is refused in its end. */
static int on_verdict(int good, WOLFSSL_X509_STORE_CTX *store)
{
	struct tls_caller_check *check = store->userCtx;
	struct span chain[CHAIN_MAX];
	size_t len = (size_t)store->totalCerts;

	must(check);
	if (!good) {
		if (check->cause == ACCESS_OK)
			check->cause = tls_peer_upstream_cause(store->error);
		if (check->cause == ACCESS_OK)
			check->cause = ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED;
		return 0;
	}
	if (check->cause != ACCESS_OK)
		return 0;
	if (store->error_depth != 0 || store->totalCerts < 1)
		return 1;
	for (size_t i = 0; i < len && i < CHAIN_MAX; i++)
		chain[i] = span_of((const char *)store->certs[i].buffer, store->certs[i].length);
	if (len > CHAIN_MAX || !x509_chain_is_good(chain, len, X509_FOR_SERVERS)) {
		check->cause = ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED;
		return 0;
	}
	check->passed = tls_certificate_is_for(chain[0], check->name);
	if (!check->passed)
		check->cause = ACCESS_UPSTREAM_CERTIFICATE_NAME;
	return check->passed;
}

bool tls_caller_prepare(const struct tls_caller *a, WOLFSSL *ssl, struct tls_caller_check *check)
{
	char protocols[] = "http/1.1"; /* the library's signature wants it writable */
	struct address address;

	wolfSSL_SetCertCbCtx(ssl, check);
	/* See tls_peer_attach(): nobody's chain is to hold by what another has shown. */
#if LIBWOLFSSL_VERSION_HEX >= 0x05007002
	if (a->verify)
		wolfSSL_CertManagerUnloadIntermediateCerts(wolfSSL_CTX_GetCertManager(a->ctx));
#else
	(void)a;
#endif
	if (!address_from_ip(span_str(check->name), 0, &address) &&
	    wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, check->name,
			   (unsigned short)strlen(check->name)) != WOLFSSL_SUCCESS)
		return false;
	return wolfSSL_UseALPN(ssl, protocols, sizeof(protocols) - 1,
			       WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS;
}

/* ---- files ---- */

/* Where systems keep all authorities in one file: Debian and Alpine, Fedora and RHEL, SUSE. */
static const char *const system_files[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static int read_system(struct tls_callers *c, struct voice *v)
{
	struct config_file file = {.place = v->file->place};
	const struct config_file *asked = v->file;
	int err;

	if (c->system.text.ptr)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(system_files) && !file.path; i++)
		if (access(system_files[i], F_OK) == 0)
			file.path = system_files[i];
	if (!file.path) {
		voice_say(v, CONFIG_ERROR,
			  "this system has no bundle of authorities (package ca-certificates): "
			  "say which are to be trusted by `ca`");
		return -EINVAL;
	}
	v->file = &file;
	err = pem_file_read(v, PEM_BUNDLE_MAX, &c->system);
	v->file = asked;
	return err;
}

/* Each on its own: one that the library does not take does not keep the others out. */
static int load_authorities(struct voice *v, WOLFSSL_CTX *ctx, struct span text, bool is_own,
			    bool say)
{
	struct pem_cursor cursor = pem_begin(text);
	struct pem_block block;
	size_t len = 0;

	while (pem_next(&cursor, &block)) {
		if (!span_eq(block.label, SPAN("CERTIFICATE")))
			continue;
		/* The system has looked after its own. */
		if ((!is_own || certificate_is_authority(&block)) &&
		    wolfSSL_CTX_load_verify_buffer(ctx, (const byte *)block.text.ptr,
						   (long)block.text.len,
						   WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS)
			len++;
		else if (say)
			voice_say(v, CONFIG_WARNING,
				  "the certificate in line %u is not used: it is malformed, "
				  "expired, or not an authority's",
				  block.line);
	}
	if (len)
		return 0;
	voice_say(v, CONFIG_ERROR, "has no certificate of an authority that can be used");
	return -EINVAL;
}

/* ---- settings ---- */

/* What a service's connections are made by. */
struct wanted {
	const struct config_upstream_tls *config;
	struct config_file nowhere; /* of the authorities, when they are the system's */
	struct pem_file own;        /* `ca` */
	struct span authorities;    /* empty: nothing is verified */
	struct tls_identity *identity; /* NULL: none */
	struct voice voice;
	char path[128];
};

static void hash_span(wc_Sha256 *sha, struct span s)
{
	uint32_t prefix = (uint32_t)s.len;

	wc_Sha256Update(sha, (const byte *)&prefix, sizeof(prefix));
	if (s.len)
		wc_Sha256Update(sha, (const byte *)s.ptr, prefix);
}

static int hash_settings(const struct wanted *w, uint8_t out[static TLS_SETTINGS_BYTES])
{
	uint8_t verify = w->config->verify;
	wc_Sha256 sha;

	if (wc_InitSha256(&sha) != 0)
		return -ENOMEM;
	wc_Sha256Update(&sha, &verify, 1);
	hash_span(&sha, w->authorities);
	hash_span(&sha, w->identity ? w->identity->chain_pem : SPAN_NONE);
	return wc_Sha256Final(&sha, out) == 0 ? 0 : -ENOMEM;
}

static int read_authorities(struct tls_callers *c, struct wanted *w)
{
	int err;

	if (!w->config->verify)
		return 0;
	if (!w->config->ca.path) {
		err = read_system(c, &w->voice);
		w->authorities = c->system.text;
		return err;
	}
	err = pem_file_read(&w->voice, PEM_BUNDLE_MAX, &w->own);
	w->authorities = w->own.text;
	return err;
}

static const char *set_up(struct tls_caller *a, const struct wanted *w)
{
	/* The first one is what we send a key share for, and servers that lack the hybrid
	 * would ask for another one: a round trip more. */
	static const uint16_t groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1,
					  WOLFSSL_ECC_SECP384R1, TLS_GROUP_X25519MLKEM768};
	const struct tls_identity *id = w->identity;

	a->verify = w->config->verify;
	a->ctx = wolfSSL_CTX_new(wolfSSLv23_client_method());
	if (!a->ctx)
		return "out of memory";
	tls_session_set_io(a->ctx);
	wolfSSL_CTX_set_group_messages(a->ctx);
	wolfSSL_CTX_set_session_cache_mode(a->ctx, WOLFSSL_SESS_CACHE_OFF);
	wolfSSL_CTX_set_verify(a->ctx, a->verify ? WOLFSSL_VERIFY_PEER : WOLFSSL_VERIFY_NONE,
			       a->verify ? on_verdict : NULL);
	if (wolfSSL_CTX_SetMinVersion(a->ctx, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_set_timeout(a->ctx, SESSION_S) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_UseSessionTicket(a->ctx) != WOLFSSL_SUCCESS)
		return "the TLS library refuses the settings";
	if (!tls_set_suites(a->ctx, NULL, 0))
		return "the TLS library has none of the suites";
	if (!tls_set_groups(a->ctx, groups, ARRAY_LEN(groups)))
		return "the TLS library has none of the groups";
	if (!id)
		return NULL;
	if (wolfSSL_CTX_use_certificate_chain_buffer(a->ctx, (const byte *)id->chain_pem.ptr,
						     (long)id->chain_pem.len) != WOLFSSL_SUCCESS)
		return "the TLS library refuses client_cert";
	if (wolfSSL_CTX_use_PrivateKey_buffer(a->ctx, (const byte *)id->key_pem.ptr,
					      (long)id->key_pem.len,
					      WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
		return "the TLS library refuses client_key";
	return NULL;
}

static struct tls_caller *caller_at(const struct tls_callers *c, size_t settings, unsigned shard)
{
	return &c->callers[settings * c->shards + shard];
}

static int add_callers(struct tls_callers *c, struct wanted *w,
		       const uint8_t settings[static TLS_SETTINGS_BYTES])
{
	/* Counted at once, so that what is half built goes with the rest. */
	size_t index = c->callers_len++;
	int err = 0;

	for (unsigned shard = 0; shard < c->shards && !err; shard++) {
		struct tls_caller *a = caller_at(c, index, shard);
		const char *detail = set_up(a, w);

		memcpy(a->settings, settings, TLS_SETTINGS_BYTES);
		if (detail) {
			voice_say(&w->voice, CONFIG_ERROR, "%s", detail);
			err = -EINVAL;
		} else if (a->verify) {
			err = load_authorities(&w->voice, a->ctx, w->authorities,
					       w->own.text.ptr, shard == 0 && w->own.text.ptr);
			/* Of others: how long a root's key may be is for who trusts it. */
			must(wolfSSL_CTX_SetMinRsaKey_Sz(a->ctx, X509_RSA_LEAST) ==
			     WOLFSSL_SUCCESS);
		}
	}
	return err;
}

static int find_callers(struct tls_callers *c, struct wanted *w, size_t *ret_index)
{
	uint8_t settings[TLS_SETTINGS_BYTES];
	int err = hash_settings(w, settings);

	for (size_t i = 0; i < c->callers_len && !err; i++) {
		if (memcmp(caller_at(c, i, 0)->settings, settings, sizeof(settings)) == 0) {
			*ret_index = i;
			return 0;
		}
	}
	*ret_index = c->callers_len;
	return err ? err : add_callers(c, w, settings);
}

static int add_service(struct tls_callers *c, const struct config_service *s, size_t index,
		       int64_t now_s, struct tls_findings *findings)
{
	const struct config_certificate pair = {s->tls.client_cert, s->tls.client_key};
	struct wanted w = {.config = &s->tls, .nowhere = {.place = s->tls.place}};
	size_t settings = 0;
	int err, other = 0;

	snprintf(w.path, sizeof(w.path), "services.%s.tls", s->id);
	if (!w.nowhere.place.line)
		w.nowhere.place = s->place;
	w.voice = (struct voice){.findings = findings, .path = w.path,
				 .file = s->tls.ca.path ? &s->tls.ca : &w.nowhere};
	err = read_authorities(c, &w);
	if (pair.cert.path && pair.key.path)
		other = tls_identity_load_client(&pair, w.path, now_s, findings, &w.identity);
	err = err ? err : other;
	if (!err)
		err = find_callers(c, &w, &settings);
	if (!err)
		c->by_service[index] = settings + 1;
	tls_identity_destroy(w.identity);
	pem_file_fini(&w.own);
	return err;
}

/* ---- all of them ---- */

static bool speaks_tls(const struct config_service *s)
{
	for (size_t i = 0; i < s->targets_len; i++)
		if (s->targets[i].tls)
			return true;
	return false;
}

int tls_callers_create(const struct config *config, unsigned shards, int64_t now_s,
		       struct tls_findings *findings, struct tls_callers **ret_callers)
{
	struct tls_callers *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	if (!c)
		return err;
	c->shards = shards;
	c->services_len = config->services_len;
	c->by_service = calloc(c->services_len + 1, sizeof(*c->by_service));
	c->callers = calloc((c->services_len + 1) * shards, sizeof(*c->callers));
	if (!c->by_service || !c->callers)
		goto fail;
	err = 0;
	for (size_t i = 0; i < c->services_len; i++) {
		int one = 0;

		/* All of them, so that every error is told. */
		if (speaks_tls(&config->services[i]))
			one = add_service(c, &config->services[i], i, now_s, findings);
		if (one)
			err = one;
	}
	pem_file_fini(&c->system);
	c->system = (struct pem_file){0};
	if (err)
		goto fail;
	*ret_callers = c;
	return 0;
fail:
	tls_callers_destroy(c);
	return err;
}

void tls_callers_destroy(struct tls_callers *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->callers_len * c->shards; i++)
		wolfSSL_CTX_free(c->callers[i].ctx);
	free(c->callers);
	free(c->by_service);
	free(c);
}

const struct tls_caller *tls_callers_at(const struct tls_callers *c, size_t service, unsigned shard)
{
	return c->by_service[service] ? caller_at(c, c->by_service[service] - 1, shard) : NULL;
}

const uint8_t *tls_caller_settings(const struct tls_caller *a)
{
	return a->settings;
}

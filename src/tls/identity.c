#include <ringway/tls/identity.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "certificate.h"
#include "identity_check.h"
#include "pem.h"

/* ---- the certificates ---- */

/* Appends a block to the text that wolfSSL will read. */
static bool keep_block(struct arena *arena, struct span *text, struct span block)
{
	struct span joined = arena_printf(arena, "%.*s%.*s\n", SPAN_FMT(*text), SPAN_FMT(block));

	if (joined.ptr)
		*text = joined;
	return joined.ptr;
}

static void add_certificate(struct voice *v, struct tls_identity *id, struct chain *chain,
			    const struct pem_block *block)
{
	size_t len;
	uint8_t *der = pem_decode(block, &len);
	const char *error = "is malformed: it is not base64";

	if (der)
		error = certificate_parse(&id->arena, span_of((const char *)der, len),
					  &chain->certificates[chain->len]);
	free(der);
	if (error)
		voice_say(v, CONFIG_ERROR, "the certificate in line %u %s", block->line, error);
	else if (!keep_block(&id->arena, &id->chain_pem, block->text))
		voice_say(v, CONFIG_ERROR, "out of memory");
	else
		chain->len++;
}

static void read_chain(struct voice *v, struct tls_identity *id, struct span text,
		       struct chain *chain)
{
	struct pem_cursor c = pem_begin(text);
	char found[PEM_FOUND_BYTES];
	struct pem_block block;

	id->chain_pem = SPAN("");
	while (pem_next(&c, &block)) {
		if (block.is_cut) {
			voice_say(v, CONFIG_ERROR, "the block that begins in line %u has no end",
				  block.line);
			return;
		}
		if (!span_eq(block.label, SPAN("CERTIFICATE")))
			continue;
		if (chain->len == CHAIN_MAX) {
			voice_say(v, CONFIG_ERROR,
				  "has more than %d certificates: it is a bundle of authorities, "
				  "not the chain of one certificate",
				  CHAIN_MAX);
			return;
		}
		add_certificate(v, id, chain, &block);
	}
	if (!chain->len && !v->errors)
		voice_say(v, CONFIG_ERROR, "has no certificate: %s", pem_found(text, found));
}

/* ---- the key ---- */

static bool is_private_key(struct span label)
{
	return span_eq(label, SPAN("PRIVATE KEY")) || span_eq(label, SPAN("EC PRIVATE KEY")) ||
	       span_eq(label, SPAN("RSA PRIVATE KEY"));
}

static bool is_encrypted(const struct pem_block *b)
{
	/* RFC 1421's way, which OpenSSL still knows, or that of PKCS #8. */
	return span_eq(b->label, SPAN("ENCRYPTED PRIVATE KEY")) ||
	       memmem(b->text.ptr, b->text.len, "Proc-Type: 4,ENCRYPTED", 22);
}

/* The only private key of a file; false: there is none that we can use, which was said. */
static bool find_key(struct voice *v, struct span text, struct pem_block *ret_block)
{
	struct pem_cursor c = pem_begin(text);
	char found[PEM_FOUND_BYTES];
	struct pem_block block;
	size_t keys = 0;

	while (pem_next(&c, &block)) {
		if (is_encrypted(&block)) {
			voice_say(v, CONFIG_ERROR,
				  "the key is encrypted, which is not supported: decrypt it with "
				  "`openssl pkey -in FILE -out NEW` and make it readable for this "
				  "user only");
			return false;
		}
		if (!is_private_key(block.label))
			continue;
		if (block.is_cut) {
			voice_say(v, CONFIG_ERROR, "the block that begins in line %u has no end",
				  block.line);
			return false;
		}
		*ret_block = block;
		keys++;
	}
	if (keys > 1)
		voice_say(v, CONFIG_ERROR, "has %zu private keys: which one is meant?", keys);
	else if (!keys)
		voice_say(v, CONFIG_ERROR, "has no private key: %s", pem_found(text, found));
	return keys == 1;
}

/* A certificate further down that the key belongs to; 0: none. */
static size_t fitting_certificate(const struct chain *chain, struct span der)
{
	enum tls_key_kind kind;

	for (size_t i = 1; i < chain->len; i++)
		if (certificate_check_key(&chain->certificates[i], der, &kind) ==
		    CERTIFICATE_KEY_FITS)
			return i;
	return 0;
}

static void check_pair(struct voice *v, const struct chain *chain, struct span der)
{
	const struct certificate *leaf = &chain->certificates[0];
	enum tls_key_kind kind = TLS_KEY_ECDSA;
	enum certificate_key answer;
	size_t other;

	/* What is wrong with the leaf's key was said, and is so of this one. */
	if (chain->len && !leaf->key_is_known)
		return;
	answer = certificate_check_key(leaf, der, &kind);
	if (answer == CERTIFICATE_KEY_BAD) {
		voice_say(v, CONFIG_ERROR,
			  "the key is malformed or of a kind that is not supported: use ECDSA "
			  "(P-256, P-384), RSA or Ed25519");
		return;
	}
	if (answer == CERTIFICATE_KEY_FITS || !chain->len)
		return;
	other = fitting_certificate(chain, der);
	if (other)
		voice_say(v, CONFIG_ERROR,
			  "the key belongs to certificate %zu of the file: it must stand first",
			  other + 1);
	else if (kind != leaf->kind)
		voice_say(v, CONFIG_ERROR,
			  "the key does not match the certificate: this one is %s, the "
			  "certificate's %s",
			  tls_key_kind_name(kind), tls_key_kind_name(leaf->kind));
	else
		voice_say(v, CONFIG_ERROR, "the key does not match the certificate (%s)",
			  leaf->subject);
}

static void read_key(struct voice *v, struct tls_identity *id, const struct pem_file *file,
		     const struct chain *chain)
{
	struct pem_block block;
	uint8_t *der;
	size_t len;

	if (!find_key(v, file->text, &block))
		return;
	if (file->mode & 0004)
		voice_say(v, CONFIG_WARNING,
			  "every user of this machine can read the key (mode %04o): chmod o-r",
			  file->mode);
	der = pem_decode(&block, &len);
	if (!der) {
		voice_say(v, CONFIG_ERROR, "the key in line %u is not base64", block.line);
		return;
	}
	check_pair(v, chain, span_of((const char *)der, len));
	explicit_bzero(der, block.text.len);
	free(der);
	id->key_pem = arena_span(&id->arena, block.text);
	if (!id->key_pem.ptr)
		voice_say(v, CONFIG_ERROR, "out of memory");
}

/* ---- both ---- */

static int load_chain(struct voice *v, struct tls_identity *id, struct chain *chain, bool is_server,
		      int64_t now_s)
{
	struct pem_file file;
	int err = pem_file_read(v, PEM_FILE_MAX, &file);

	if (err)
		return err;
	read_chain(v, id, file.text, chain);
	pem_file_fini(&file);
	if (chain->len && !v->errors) {
		check_leaf(v, chain, is_server, now_s);
		check_chain(v, chain, now_s);
		if (is_server)
			check_names(v, &chain->certificates[0]);
	}
	return v->errors ? -EINVAL : 0;
}

static int load_key(struct voice *v, struct tls_identity *id, const struct chain *chain)
{
	struct pem_file file;
	int err = pem_file_read(v, PEM_FILE_MAX, &file);

	if (err)
		return err;
	read_key(v, id, &file, chain);
	pem_file_fini(&file);
	return v->errors ? -EINVAL : 0;
}

static int take_leaf(struct tls_identity *id, const struct certificate *leaf)
{
	id->kind = leaf->kind;
	id->key_bits = leaf->key_bits;
	id->names = leaf->names;
	id->names_len = leaf->names_len;
	id->not_before_s = leaf->not_before_s;
	id->not_after_s = leaf->not_after_s;
	if (wc_Sha256Hash((const byte *)leaf->der.ptr, (word32)leaf->der.len, id->fingerprint) != 0)
		return -ENOMEM;
	return 0;
}

static int load(const struct config_certificate *c, const char *path, bool is_server, int64_t now_s,
		struct tls_findings *f, struct tls_identity **ret)
{
	struct tls_identity *id = calloc(1, sizeof(*id));
	struct chain *chain = calloc(1, sizeof(*chain));
	struct voice cert = {.findings = f, .file = &c->cert},
		     key = {.findings = f, .file = &c->key};
	char cert_path[256], key_path[256];
	int err = -ENOMEM, key_err;

	must(c->cert.path && c->key.path);
	snprintf(cert_path, sizeof(cert_path), "%s.%s", path, is_server ? "cert" : "client_cert");
	snprintf(key_path, sizeof(key_path), "%s.%s", path, is_server ? "key" : "client_key");
	cert.path = cert_path;
	key.path = key_path;
	if (id && chain) {
		arena_init(&id->arena, NULL, 0, &arena_malloc_source);
		id->config = c;
		err = load_chain(&cert, id, chain, is_server, now_s);
		key_err = load_key(&key, id, chain);
		err = err ? err : key_err;
		if (!err)
			err = take_leaf(id, &chain->certificates[0]);
	}
	if (err && !cert.errors && !key.errors)
		voice_say(&cert, CONFIG_ERROR, "out of memory");
	free(chain);
	if (err)
		tls_identity_destroy(id);
	else
		*ret = id;
	return err;
}

int tls_identity_load(const struct config_certificate *c, const char *path, int64_t now_s,
		      struct tls_findings *f, struct tls_identity **ret)
{
	return load(c, path, true, now_s, f, ret);
}

int tls_identity_load_client(const struct config_certificate *c, const char *path, int64_t now_s,
			     struct tls_findings *f, struct tls_identity **ret)
{
	return load(c, path, false, now_s, f, ret);
}

void tls_identity_destroy(struct tls_identity *i)
{
	if (!i)
		return;
	if (i->key_pem.ptr)
		explicit_bzero((char *)(uintptr_t)i->key_pem.ptr, i->key_pem.len);
	arena_reset(&i->arena);
	free(i);
}

/* ---- names ---- */

bool tls_name_matches(const char *pattern, const char *name)
{
	const char *rest = strchr(name, '.'), *last = strrchr(name, '.');

	if (span_ieq(span_str(pattern), span_str(name)))
		return true;
	if (pattern[0] != '*' || pattern[1] != '.' || !rest || rest == name)
		return false;
	/* An address has no labels; no top-level domain begins with a digit. */
	if (!last[1] || (last[1] >= '0' && last[1] <= '9'))
		return false;
	return span_ieq(span_str(pattern + 1), span_str(rest));
}

bool tls_identity_covers(const struct tls_identity *i, const char *host)
{
	for (size_t n = 0; n < i->names_len; n++)
		if (tls_name_matches(i->names[n], host))
			return true;
	return false;
}

const char *tls_key_kind_name(enum tls_key_kind kind)
{
	switch (kind) {
	case TLS_KEY_ECDSA: return "ECDSA";
	case TLS_KEY_RSA: return "RSA";
	case TLS_KEY_ED25519: return "Ed25519";
	}
	return "";
}

/* Who we are to a peer: a certificate with its chain and its private key.
 *
 * Loading reads two PEM files and says everything that is wrong with them, so that
 * `check`, the start, a reload and a replaced file all judge alike. What is loaded is
 * good to be used at the time it was asked for: the key belongs to the leaf, which is
 * in its days, and both are as strong as TLS clients ask for.
 */
#ifndef RINGWAY_TLS_IDENTITY_H
#define RINGWAY_TLS_IDENTITY_H

#include <ringway/base/arena.h>
#include <ringway/tls/findings.h>

enum tls_key_kind { TLS_KEY_ECDSA, TLS_KEY_RSA, TLS_KEY_ED25519 };

/* Immutable; any thread may read it. */
struct tls_identity {
	const struct config_certificate *config; /* where it is from; the caller's, lives longer */
	struct span chain_pem; /* the certificates alone, the leaf first, as they stand in the file */
	struct span key_pem;   /* the key alone; wiped at the end */
	enum tls_key_kind kind;
	unsigned key_bits; /* of the curve or the modulus */
	/* dNSNames of the leaf, lower case and sorted, "*.example.org" as it stands; without
	 * a subjectAltName its common name. */
	const char *const *names;
	size_t names_len;
	int64_t not_before_s; /* of the leaf, Unix time */
	int64_t not_after_s;  /* the last second in which it is good */
	uint8_t fingerprint[32]; /* SHA-256 of the leaf's DER */
	struct arena arena;      /* all of the above */
};

/* Of a listener. `path` is the pair's in the configuration, ".cert" and ".key" are put
 * behind it. 0, or -errno with at least one error said. */
int tls_identity_load(const struct config_certificate *c, const char *path, int64_t now_s,
                      struct tls_findings *f, struct tls_identity **ret);
/* What we show to an upstream; it need not have names. `path` is that of the `tls` of the
 * service, ".client_cert" and ".client_key" are put behind it. */
int tls_identity_load_client(const struct config_certificate *c, const char *path, int64_t now_s,
                             struct tls_findings *f, struct tls_identity **ret);
void tls_identity_destroy(struct tls_identity *i); /* takes NULL */

/* RFC 9525 section 6.3: a wildcard is the whole left-most label and stands for exactly one.
 * A pattern also matches itself. Letters match in either case. */
bool tls_name_matches(const char *pattern, const char *name);
bool tls_identity_covers(const struct tls_identity *i, const char *host);

/* "ECDSA", "RSA", "Ed25519". */
const char *tls_key_kind_name(enum tls_key_kind kind);

#endif

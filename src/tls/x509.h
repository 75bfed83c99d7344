/* Where the parts of a certificate lie (RFC 5280 section 4.1).
 *
 * For certificates that wolfSSL has parsed and verified: it tells less than it knows, and
 * tells it otherwise in each version. Spans point into the certificate.
 */
#ifndef RINGWAY_SRC_TLS_X509_H
#define RINGWAY_SRC_TLS_X509_H

#include "der.h"

struct x509 {
	struct span serial;     /* the integer's bytes */
	struct span issuer;     /* the Name, tag and length included */
	struct span subject;    /* likewise */
	struct span key;        /* SubjectPublicKeyInfo, likewise */
	struct span key_bits;   /* its BIT STRING without the byte that counts unused bits */
	struct span extensions; /* one after the other; empty when there are none */
	struct span signature;  /* the object identifier of the algorithm it is signed with */
};

/* False: it is none. */
bool x509_open(struct span der, struct x509 *ret);
/* The value of the first extension with that object identifier (its bytes). */
bool x509_extension(const struct x509 *c, struct span oid, struct span *ret_value);

/* Good for TLS clients: no key usage, or one that has digitalSignature, and no extended key
 * usage, or one that has clientAuth or any (RFC 5280 sections 4.2.1.3 and 4.2.1.12). False,
 * too, when one of them cannot be read. */
bool x509_is_for_clients(const struct x509 *c);

/* What an authority may vouch for: no extended key usage, or one that has it or any. RFC 5280
 * leaves open what the extension says in an authority's certificate; OpenSSL and browsers
 * take it as a limit, and authorities are made that rely on it. */
enum x509_purpose { X509_FOR_SERVERS, X509_FOR_CLIENTS };
bool x509_has_purpose(const struct x509 *c, enum x509_purpose purpose);

/* With MD5 or SHA-1, of which forgeries can be bought. */
bool x509_is_weakly_signed(const struct x509 *c);

/* What wolfSSL lets pass in the chain that a peer has sent, its own certificate first: those
 * that are not self-issued, and so not trusted by themselves, are signed well, and the
 * authorities may vouch for that purpose. */
bool x509_chain_is_good(const struct span *chain, size_t len, enum x509_purpose purpose);

/* Which RSA keys of peers and their authorities are taken, in bits; roots aside. */
#define X509_RSA_LEAST 2048

/* A Name as text (RFC 4514). Returns how many bytes it has and writes as many as fit.
 * What has no text form of that RFC stands as #hexadecimal. 0: malformed, or empty. */
size_t x509_name_text(struct span name, char *out, size_t size);

#endif

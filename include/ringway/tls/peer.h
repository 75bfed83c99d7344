/* The client behind a TLS connection, as its certificate says.
 *
 * Filled in by the verify callback while the certificate is verified, so nothing here was
 * said by anybody but the certificate's issuer; but only a handshake that has ended well
 * proves that the client has the key, too. Until then this is a claim.
 *
 * Lives as long as the TLS session.
 */
#ifndef RINGWAY_TLS_PEER_H
#define RINGWAY_TLS_PEER_H

#include <ringway/base/base.h>
#include <ringway/observe/access.h>

/* wolfSSL takes nine certificates in one chain, the client's own included. */
#define TLS_PEER_CHAIN_MAX 8
/* Names beyond these are left out, so whoever looks for one does not find it. */
#define TLS_PEER_NAMES_MAX 32
/* All certificates of one client, DER. They go into the head of every request; half of
 * what upstreams take (see front.c) is left for the rest of it. */
#define TLS_PEER_DER_MAX (12 * KIB)

enum tls_peer_name_kind { TLS_PEER_DNS, TLS_PEER_EMAIL, TLS_PEER_URI, TLS_PEER_IP };

/* Of the subjectAltName. Text without zero bytes; an IP address is its 4 or 16 bytes. */
struct tls_peer_name {
	enum tls_peer_name_kind kind;
	struct span value;
};

struct tls_peer {
	uint32_t depth; /* certificates that may stand between the client's and a trusted one */
	enum access_cause cause; /* why it was refused; ACCESS_OK otherwise */
	struct span leaf_der;    /* empty: none was shown */
	struct span chain[TLS_PEER_CHAIN_MAX]; /* DER: the others, without self-signed ones */
	size_t chain_len;
	struct span subject; /* RFC 4514 */
	struct tls_peer_name names[TLS_PEER_NAMES_MAX];
	size_t names_len;
	char fingerprint[64 + 1]; /* SHA-256 of leaf_der, lower-case hexadecimal */
	char *memory;             /* of all spans */
};

static inline bool tls_peer_is_verified(const struct tls_peer *p)
{
	return p->leaf_der.len && p->cause == ACCESS_OK;
}

/* NULL: out of memory. */
struct tls_peer *tls_peer_create(uint32_t depth);
void tls_peer_destroy(struct tls_peer *p); /* takes NULL */

/* From a chain that has been verified, the client's certificate first. ACCESS_OK, or why it
 * is refused, which is p->cause, too: too many certificates or bytes, a certificate that
 * cannot be read, one that is not for TLS clients. At most once. */
enum access_cause tls_peer_record(struct tls_peer *p, const struct span *chain, size_t chain_len);

/* What an error of wolfSSL says of the client's certificate; ACCESS_OK: nothing. What was
 * recorded goes first. `p` may be NULL. */
enum access_cause tls_peer_cause(int wolfssl_error, const struct tls_peer *p);
/* The same of an upstream's certificate. */
enum access_cause tls_peer_upstream_cause(int wolfssl_error);

/* Values of the fields of RFC 9440: the client's certificate; the others, comma-separated.
 * False, *ret_len is what is needed: `size` is too small. An empty chain has an empty
 * value, and no such field is sent. */
bool tls_peer_client_cert_field(const struct tls_peer *p, char *out, size_t size,
                                size_t *ret_len);
bool tls_peer_client_cert_chain_field(const struct tls_peer *p, char *out, size_t size,
                                      size_t *ret_len);

#endif

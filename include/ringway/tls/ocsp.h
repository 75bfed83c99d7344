/* An OCSP response (RFC 6960) that may be stapled to handshakes: who is shown it knows from
 * us, and without asking anybody, that our certificate has not been revoked.
 *
 * There is a staple only of what was good when it was parsed: about this certificate,
 * signed for its issuer, in its time, and saying that all is well. Anything else is not
 * stapled, and the caller says why.
 */
#ifndef RINGWAY_TLS_OCSP_H
#define RINGWAY_TLS_OCSP_H

#include <ringway/base/base.h>
#include <ringway/base/span.h>
#include <ringway/tls/findings.h>

struct tls_identity;

/* Responses have one to three KiB; this one goes into each full handshake. */
#define TLS_STAPLE_MAX (16 * KIB)

/* Immutable; any thread may read it. */
struct tls_staple {
	int64_t this_update_s; /* Unix time */
	int64_t next_update_s; /* it is stapled up to then */
	size_t len;
	uint8_t der[];
};

/* `chain_pem` is the identity's: the certificate and behind it that of its issuer. -EINVAL and
 * what is wrong, a constant; told apart from that -ESRCH: it is about another certificate,
 * -EKEYREVOKED: the issuer says that this one is revoked, -ENOKEY: the issuer's certificate
 * is not there; -ENOMEM. */
int tls_staple_parse(struct span der, struct span chain_pem, int64_t now_s,
                     struct tls_staple **ret_staple, const char **ret_detail);
struct tls_staple *tls_staple_copy(const struct tls_staple *s); /* NULL: no memory */
void tls_staple_destroy(struct tls_staple *s); /* takes NULL */

/* Of ocsp.file: the response, and the index of the one among a listener's certificates that
 * it is about. -errno with an error said; `path` is where in the configuration. */
int tls_staple_choose(const struct config_file *file, const char *path,
                      struct tls_identity *const *identities, size_t identities_len,
                      int64_t now_s, struct tls_findings *f, struct tls_staple **ret_staple,
                      size_t *ret_index);

#define TLS_STAPLE_URL_MAX     1024
#define TLS_STAPLE_REQUEST_MAX 128

/* What a responder is asked about a certificate (RFC 6960 section 4.1), and where. */
struct tls_staple_request {
	char url[TLS_STAPLE_URL_MAX]; /* http:// or https://, no spaces or control characters */
	size_t len;
	uint8_t der[TLS_STAPLE_REQUEST_MAX];
};

/* As tls_staple_parse(). -EINVAL, too: the certificate names no responder. */
int tls_staple_request(struct span chain_pem, struct tls_staple_request *ret,
                       const char **ret_detail);

/* Of ocsp.fetch: whoever fetches responses. */
struct tls_staples {
	/* This identity is to be stapled. What there is now, a copy for the caller; NULL:
	 * nothing yet. */
	struct tls_staple *(*on_wanted)(struct tls_staples *s, const struct tls_identity *identity,
	                                const struct tls_staple_request *request);
};

#endif

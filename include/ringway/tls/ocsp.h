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
 * what is wrong, a constant; -ENOMEM. */
int tls_staple_parse(struct span der, struct span chain_pem, int64_t now_s,
                     struct tls_staple **ret_staple, const char **ret_detail);
/* From a file; also -errno of reading it. */
int tls_staple_load(const char *path, struct span chain_pem, int64_t now_s,
                    struct tls_staple **ret_staple, const char **ret_detail);
void tls_staple_destroy(struct tls_staple *s); /* takes NULL */

#endif

/* Stapling in wolfSSL's handshakes.
 *
 * wolfSSL as a server asks for the response when a handshake needs it, by a callback that
 * is meant to go to the responder. Ours hands out the staple of the context, so it never
 * waits. wolfSSL then checks it again and keeps it until its time is over; from then on
 * our callback has nothing, and handshakes go on without one. A newer staple comes with a
 * new context.
 *
 * For that check it takes the issuer into the context as an authority, who could then
 * vouch for clients, too. So this is refused for listeners that ask clients for
 * certificates.
 */
#ifndef RINGWAY_SRC_TLS_STAPLE_H
#define RINGWAY_SRC_TLS_STAPLE_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <ringway/config/config.h>
#include <ringway/tls/ocsp.h>

/* The staple outlives the context. 0, or -errno and what is wrong, a constant. -ENOTSUP: on
 * such a listener, or in this wolfSSL, nothing can be stapled. */
int tls_staple_apply(WOLFSSL_CTX *ctx, const struct config_tls *config, struct span chain_pem,
                     const struct tls_staple *staple, const char **ret_detail);

/* ---- parts of tls_staple_parse() ---- */

/* The certificate and that of its issuer, DER. */
struct staple_pair {
	uint8_t *leaf, *issuer; /* malloc */
	size_t leaf_len, issuer_len;
};
/* NULL, or what is wrong. */
const char *staple_pair_read(struct span chain_pem, struct staple_pair *ret);
void staple_pair_fini(struct staple_pair *p);

struct staple_answer {
	struct span status; /* tag and length included; never empty */
	int64_t this_update_s;
	int64_t next_update_s;
};
/* The one in the response that is about the certificate; who has signed it, and whether it is
 * good, is not looked at. NULL, or what is wrong. */
const char *staple_answer_find(struct span der, const struct staple_pair *p,
                               struct staple_answer *ret);

#endif

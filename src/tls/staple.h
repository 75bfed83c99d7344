/* Stapling in wolfSSL's handshakes.
 *
 * wolfSSL as a server asks for the response when a handshake needs it, by a callback that
 * is meant to go to the responder. Ours hands out what is in the slot, so it never waits.
 * wolfSSL then checks the response again and keeps it until its time is over; a newer one
 * is asked for after that.
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

/* Belongs to the shard of the context, outlives the context, and is written between two
 * turns; the staple that it had may go at once. */
struct tls_staple_slot {
	const struct tls_staple *current; /* NULL: nothing is stapled */
};

/* 0, or -errno and what is wrong, a constant. -ENOTSUP: on such a listener, or in this
 * wolfSSL, nothing can be stapled. */
int tls_staple_apply(WOLFSSL_CTX *ctx, const struct config_tls *config, struct span chain_pem,
                     struct tls_staple_slot *slot, const char **ret_detail);

#endif

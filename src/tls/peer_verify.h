/* How a client's certificate is verified.
 *
 * wolfSSL builds the chain, checks signatures, dates and revocation; its verify callback
 * then records what it found in the session's struct tls_peer, or refuses for a reason of
 * our own. The callback never overrides a verdict of wolfSSL's.
 *
 * With a CRL file, each certificate below the trusted one must have a CRL of its issuer in
 * it that is in force; where there is none, nobody knows whether the certificate still
 * holds, and it is refused as revoked.
 */
#ifndef RINGWAY_SRC_TLS_PEER_VERIFY_H
#define RINGWAY_SRC_TLS_PEER_VERIFY_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <ringway/config/config.h>
#include <ringway/tls/peer.h>

/* For handshakes of this context, by client_auth, client_ca and crl; verify_depth comes
 * with each session. 0, or -errno and what is wrong, a constant, with which file of `config`.
 * Sessions of the context must be attached before they begin. */
int tls_peer_setup(WOLFSSL_CTX *ctx, const struct config_tls *config,
		   const struct config_file **ret_file, const char **ret_detail);

/* *ret_peer is the caller's and must outlive the session. -ENOMEM. Not while a handshake of
 * the same context is inside of a call to wolfSSL. */
int tls_peer_attach(WOLFSSL *ssl, uint32_t depth, struct tls_peer **ret_peer);

#endif

/* One listener's TLS on one shard.
 */
#ifndef RINGWAY_SRC_TLS_ACCEPTOR_H
#define RINGWAY_SRC_TLS_ACCEPTOR_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <ringway/tls/credentials.h>
#include <ringway/tls/hello.h>
#include <ringway/tls/identity.h>

/* A certificate, ready for handshakes. */
struct tls_door {
	WOLFSSL_CTX *ctx;
	const struct tls_identity *identity;
	const struct tls_staple *staple; /* NULL: nothing is stapled */
	const struct tls_acceptor *acceptor;
	uint8_t binding[32]; /* of its tickets, see ticket_keys.h */
};

struct tls_acceptor {
	struct tls_door *doors; /* by certificate, as configured */
	size_t doors_len;
	struct tls_ticket_keys *keys;
	uint32_t ticket_lifetime_s; /* 0: no tickets */
	uint32_t ticket_rotate_s;
	enum config_client_auth client_auth;
	uint32_t verify_depth;
	uint16_t min_version;
	uint8_t groups; /* bits, see hello.h */
	bool strict_sni;
};

/* The certificate for this client; NULL: none may be shown to it (strict SNI). */
const struct tls_door *tls_acceptor_choose(const struct tls_acceptor *a,
                                           const struct tls_hello *hello);

#endif

/* Where wolfSSL's bytes come from and go to: see session.c.
 */
#ifndef RINGWAY_SRC_TLS_SESSION_IO_H
#define RINGWAY_SRC_TLS_SESSION_IO_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

/* Sessions of this context read and write through their connections. */
void tls_session_set_io(WOLFSSL_CTX *ctx);

/* How many tickets lie between the last full handshake and this connection's: 0 when it is
 * a full one. Of a server's session. */
uint8_t *tls_session_ticket_age(WOLFSSL *ssl);

#endif

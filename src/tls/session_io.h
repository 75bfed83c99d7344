/* Where wolfSSL's bytes come from and go to: see session.c.
 */
#ifndef RINGWAY_SRC_TLS_SESSION_IO_H
#define RINGWAY_SRC_TLS_SESSION_IO_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

/* Sessions of this context read and write through their connections. */
void tls_session_set_io(WOLFSSL_CTX *ctx);

#endif

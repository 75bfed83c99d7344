/* Suites and groups in wolfSSL's words.
 */
#ifndef RINGWAY_SRC_TLS_SETTINGS_H
#define RINGWAY_SRC_TLS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define TLS_GROUP_X25519MLKEM768 0x11ec

/* By their numbers, best first; len 0: all that we support. False: the library has none of
 * them. */
bool tls_set_suites(WOLFSSL_CTX *ctx, const uint16_t *numbers, size_t len);
/* Those that the library lacks are left out. False: it has none. */
bool tls_set_groups(WOLFSSL_CTX *ctx, const uint16_t *numbers, size_t len);

/* The same groups as bits (hello.h). */
uint8_t tls_group_bits(const uint16_t *numbers, size_t len);

#endif

/* What handshakes need, of listeners: certificates, client CAs, settings, and of services
 * with https:// targets: authorities, our certificate, settings. For each shard
 * wolfSSL contexts of its own, so that a handshake shares nothing with another core.
 *
 * Immutable, a part of a snapshot: a handshake keeps the snapshot that it began with; an
 * established session needs it no more.
 */
#ifndef RINGWAY_TLS_CREDENTIALS_H
#define RINGWAY_TLS_CREDENTIALS_H

#include <ringway/config/config.h>

struct tls_acceptor;
struct tls_caller;
struct tls_credentials;
struct tls_findings;
struct tls_identity;
struct tls_staples;
struct tls_ticket_keys;

/* Once, before anything else of TLS, on any thread. -ENOMEM. */
int tls_init(void);

/* Nothing to do for listeners without TLS and services without https:// targets. Reads the
 * files; every finding is said. `keys` outlive it; the config may go. `staples` is asked
 * meanwhile for what listeners with ocsp.fetch staple; NULL: there is nobody to fetch it.
 * -EINVAL when there were errors, -ENOMEM. */
int tls_credentials_create(const struct config *config, unsigned shards,
                           struct tls_ticket_keys *keys, struct tls_staples *staples,
                           struct tls_findings *findings,
                           struct tls_credentials **ret_credentials);
void tls_credentials_destroy(struct tls_credentials *c); /* takes NULL */

/* NULL: that listener is plain. */
const struct tls_acceptor *tls_credentials_acceptor(const struct tls_credentials *c,
                                                    size_t listener, unsigned shard);
/* By the service's number in the configuration; NULL: none of its targets is https://. */
const struct tls_caller *tls_credentials_caller(const struct tls_credentials *c, size_t service,
                                                unsigned shard);

#endif

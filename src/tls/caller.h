/* How a server is verified, and what it is shown.
 *
 * wolfSSL builds the chain, checks signatures, dates and what the certificate is for; the
 * name is looked for by our verify callback, in the subjectAltName only (RFC 9525 section
 * 6.1): the library's own way differs by version, falls back to the common name, and knows
 * no addresses before 5.9. The callback never overrides a verdict of wolfSSL's.
 */
#ifndef RINGWAY_SRC_TLS_CALLER_H
#define RINGWAY_SRC_TLS_CALLER_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <ringway/base/span.h>
#include <ringway/config/config.h>
#include <ringway/observe/access.h>
#include <ringway/tls/caller.h>
#include <ringway/tls/findings.h>

struct tls_caller {
	WOLFSSL_CTX *ctx;
	bool verify;
	uint8_t settings[TLS_SETTINGS_BYTES];
};

/* One handshake's. */
struct tls_caller_check {
	const char *name; /* a host name without the last dot, or an IP address */
	bool passed;
	enum access_cause cause; /* why it was refused */
};

/* Those of all services with https:// targets. Services with the same settings share them:
 * the system's authorities alone take some hundred KiB. */
struct tls_callers;

/* Every finding is said. -EINVAL when there were errors, -ENOMEM. */
int tls_callers_create(const struct config *config, unsigned shards, int64_t now_s,
                       struct tls_findings *findings, struct tls_callers **ret_callers);
void tls_callers_destroy(struct tls_callers *c); /* takes NULL */
/* NULL: no target of that service is https://. */
const struct tls_caller *tls_callers_at(const struct tls_callers *c, size_t service,
                                        unsigned shard);

/* Before the handshake; the check must stay until its end. False: out of memory. */
bool tls_caller_prepare(const struct tls_caller *a, WOLFSSL *ssl, struct tls_caller_check *check);

/* Whether a certificate (DER) is for that name or address. */
bool tls_certificate_is_for(struct span leaf, const char *name);

#endif

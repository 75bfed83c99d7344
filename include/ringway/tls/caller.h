/* TLS towards upstreams: what one service's settings come to on one shard, and the session
 * that a later connection goes on with.
 */
#ifndef RINGWAY_TLS_CALLER_H
#define RINGWAY_TLS_CALLER_H

#include <stdint.h>

#define TLS_SETTINGS_BYTES 32

/* Belongs to its credentials. A session that has begun needs it no more. */
struct tls_caller;

/* TLS_SETTINGS_BYTES of hash: of the authorities, of our certificate and of whether anything
 * is verified, the files' contents included. Where they differ, no connection and no session
 * may be shared. */
const uint8_t *tls_caller_settings(const struct tls_caller *a);

/* What one server has given us to resume by; all zero: nothing. Belongs to one shard. */
struct tls_saved {
	void *session; /* the library's */
	uint8_t settings[TLS_SETTINGS_BYTES]; /* that it was made under */
};

void tls_saved_forget(struct tls_saved *s);

#endif

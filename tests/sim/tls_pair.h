/* A TLS session of ours as a server, on the fake ring, and a client of the library itself at
 * the far end, with somebody between them who changes what the client sends.
 *
 * The client sends so many bytes, reads as many of the server's and says close_notify. What
 * must hold whatever happens between: the server's owner gets a beginning of what the client
 * wrote, all of it when nothing was changed, a clean end only behind all of it; and when both
 * have gone nothing is left. What does not hold aborts.
 */
#ifndef RINGWAY_SIM_TLS_PAIR_H
#define RINGWAY_SIM_TLS_PAIR_H

#include "fake_ring.h"

enum tls_edit_kind {
	TLS_EDIT_FLIP,   /* `value` into the next byte */
	TLS_EDIT_DROP,   /* the next value + 1 bytes */
	TLS_EDIT_INSERT, /* value + 1 bytes */
	TLS_EDIT_END,    /* nothing comes from here on: the stream's end */
	TLS_EDIT_RESET,
	TLS_EDITS
};

/* After so many bytes of the client's, counted from the edit before it. */
struct tls_edit {
	uint32_t after;
	enum tls_edit_kind kind;
	uint8_t value;
};

struct tls_pair_plan {
	struct fake_plan network;
	const struct tls_edit *edits;
	size_t edits_len;
	uint32_t client_bytes, server_bytes;
	bool tls12;
	bool client_auth; /* `request` */
};

/* Once per process. */
void tls_pair_init(void);
void tls_pair_run(const struct tls_pair_plan *plan);

#endif

/* Keys of session tickets, shared by all shards of a process.
 *
 * Time is cut into epochs of `rotate_s` seconds. Each period in use has a slot with two
 * random secrets, of the current and of the previous epoch; whichever shard first seals
 * or opens in a new epoch draws a new secret and overwrites the oldest. So a ticket
 * opens in its epoch and in the next, and after two rotations nothing in this process
 * can open it any more. No timer turns the slots: when nobody shakes hands, the old
 * secrets stay until somebody does, though the tickets open no longer.
 *
 *   secret of an epoch --HMAC-SHA256(secret, label || binding)--> AES-256 key, name
 *
 * The name is half of another HMAC, so a ticket of another binding bears a name that is
 * not known here, and is no ticket at all. On the wire: name 16, iv 16 (nonce 12, issue
 * time in unix seconds 4, big-endian), the ticket, tag 32 (AES-GCM's 16, then zeros).
 * Name and iv are authenticated with it. Nonces are random and keys are never made
 * twice, so a clock that is set back repeats nothing; one key may seal 2^32 tickets
 * (NIST SP 800-38D section 8.3) before two nonces are likely enough to matter, which is
 * 1.2 million a second in an hour.
 *
 * What wolfSSL's SessionTicketEncCb (5.5, 5.7 and 5.9 alike) shall return for it:
 *
 *   tls_ticket_seal   true               WOLFSSL_TICKET_RET_OK, *outLen = inLen
 *                     false              WOLFSSL_TICKET_RET_FATAL; anything but OK breaks
 *                                        the connection, not just the ticket
 *   tls_ticket_open   TLS_TICKET_OPEN    WOLFSSL_TICKET_RET_OK, *outLen = inLen
 *               TLS_TICKET_OPEN_RENEW    TLS 1.2: WOLFSSL_TICKET_RET_CREATE, *outLen = inLen
 *                                        TLS 1.3: WOLFSSL_TICKET_RET_OK. CREATE means a
 *                                        full handshake there in 5.7 and 5.9, and a new
 *                                        ticket follows every handshake anyway
 *                  TLS_TICKET_UNKNOWN    WOLFSSL_TICKET_RET_REJECT: full handshake
 *
 * The tag goes where the callback has `mac`, and inLen does not change: nothing is padded.
 */
#ifndef RINGWAY_TLS_TICKET_KEYS_H
#define RINGWAY_TLS_TICKET_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_TICKET_NAME_BYTES    16
#define TLS_TICKET_IV_BYTES      16
#define TLS_TICKET_TAG_BYTES     32
#define TLS_TICKET_BINDING_BYTES 32
#define TLS_TICKET_PERIODS_MAX   16 /* different values of rotate_s at a time */
#define TLS_TICKET_SKEW_S        60 /* how far ahead another shard's clock may be */

struct tls_ticket_keys;

enum tls_ticket_verdict {
	TLS_TICKET_OPEN,       /* sealed in this epoch */
	TLS_TICKET_OPEN_RENEW, /* sealed in the one before: give the client a new one */
	TLS_TICKET_UNKNOWN,    /* foreign, too old, from the future, forged */
};

size_t tls_ticket_keys_bytes(void);
/* Fresh secrets in tls_ticket_keys_bytes() of zeroed memory at a page's beginning, which
 * stays the caller's: it is left out of core dumps and locked where RLIMIT_MEMLOCK allows.
 * Processes that share the memory share the keys. */
struct tls_ticket_keys *tls_ticket_keys_init(void *memory);
/* Wipes all. No other thread may be using it; NULL is taken. */
void tls_ticket_keys_fini(struct tls_ticket_keys *k);

/* `binding` is a SHA-256 that the caller makes over all that a ticket is tied to: name
 * of the listener, client_auth, bytes of the client CA, fingerprint of the certificate.
 * `now_s` is unix time; `rotate_s` the listener's, not 0.
 * Both work in place, from any thread, and wait for nobody.
 *
 * While another shard turns the slot, or when all slots serve other periods, the ticket
 * is sealed with a key that is thrown away: it is a ticket like others, that nobody will
 * open. False when the kernel gives no random bytes or wolfCrypt fails. */
bool tls_ticket_seal(struct tls_ticket_keys *k, const uint8_t binding[TLS_TICKET_BINDING_BYTES],
		     uint64_t now_s, uint32_t rotate_s, uint8_t name[TLS_TICKET_NAME_BYTES],
		     uint8_t iv[TLS_TICKET_IV_BYTES], uint8_t tag[TLS_TICKET_TAG_BYTES],
		     uint8_t *ticket, uint32_t len);
/* `ticket` holds rubbish when it turns out to be forged. Issued more than `lifetime_s`
 * ago or more than TLS_TICKET_SKEW_S ahead is unknown. */
enum tls_ticket_verdict
tls_ticket_open(struct tls_ticket_keys *k, const uint8_t binding[TLS_TICKET_BINDING_BYTES],
		uint64_t now_s, uint32_t rotate_s, uint32_t lifetime_s,
		const uint8_t name[TLS_TICKET_NAME_BYTES], const uint8_t iv[TLS_TICKET_IV_BYTES],
		const uint8_t tag[TLS_TICKET_TAG_BYTES], uint8_t *ticket, uint32_t len);

#endif

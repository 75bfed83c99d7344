/* TLS on one connection, as a server or as a client: first the handshake, then a codec.
 *
 *   CREATED --shake--> ... --shake says DONE--> start: the connection's codec
 *      \------------------ failure: destroy ---------/
 *
 * While it shakes hands the session reads what is in conn->rx and queues its flights by
 * conn_send(), each as one send. From tls_session_start() on, who uses the connection sees
 * plain bytes, and the session lives as long as the connection.
 *
 * wolfSSL takes records from the received block and hands plain bytes out into the next
 * one; what it sends is appended to one block until the flight is complete. Records begin
 * small, so that the first bytes of an answer can be read when the first segments are
 * there, and grow with the transfer.
 */
#ifndef RINGWAY_TLS_SESSION_H
#define RINGWAY_TLS_SESSION_H

#include <ringway/net/conn.h>
#include <ringway/observe/access.h>

struct tls_acceptor;
struct tls_caller;
struct tls_hello;
struct tls_peer;
struct tls_saved;
struct tls_session;

/* What an established session keeps in its shard's arena, nearly all of it the library's:
 * 4.6 KiB with TLS 1.3, 5.0 with 1.2. tests/flows/test_tls_status.py measures it. */
#define TLS_SESSION_IDLE_BYTES 4900

enum tls_step {
	TLS_STEP_MORE, /* the peer's turn */
	TLS_STEP_DONE,
	TLS_STEP_FAILED, /* an alert is queued where there is one to send */
};

/* Queues a fatal alert (RFC 8446 section 6) for a handshake that has not begun; 0: nothing. */
void tls_send_alert(struct conn *c, uint8_t alert);

/* For a connection whose hello has been read, but not taken from conn->rx. NULL and a cause:
 * no certificate for this client, or no memory; an alert is queued. */
struct tls_session *tls_session_accept(const struct tls_acceptor *a, const struct tls_hello *hello,
                                       struct conn *c, enum access_cause *ret_cause);
/* Ten times as slow as ECDSA. */
bool tls_session_signs_with_rsa(const struct tls_session *t);

/* For a connection that has just been made. The name is for SNI and for the certificate; an
 * IP address is looked for as such. What is saved of an earlier connection is offered if it
 * was made under the same settings; `saved` outlives the session. NULL: out of memory. */
struct tls_session *tls_session_connect(const struct tls_caller *a, struct conn *c,
                                        const char *server_name, struct tls_saved *saved);
/* A client's, after some bytes have come behind the handshake, as a ticket of TLS 1.3 would
 * have: what the next connection may resume by is saved. Once; later calls do nothing.
 * Nothing before wolfSSL 5.7. */
void tls_session_keep(struct tls_session *t);
/* Whether a client's handshake has offered a saved session; another one, after a failure,
 * would not. */
bool tls_session_is_resuming(const struct tls_session *t);

/* Goes on with what is in conn->rx; a client's first step is with nothing. */
enum tls_step tls_session_shake(struct tls_session *t, enum access_cause *ret_cause);
/* After DONE, once: the connection's bytes are plain from here on. */
void tls_session_start(struct tls_session *t);
/* Before tls_session_start() only; takes NULL. */
void tls_session_destroy(struct tls_session *t);

/* What the log says of it; complete after DONE. Lives as long as the session. */
const struct access_tls *tls_session_facts(const struct tls_session *t);
/* The verified client, NULL when there is none. */
const struct tls_peer *tls_session_peer(const struct tls_session *t);

#endif

/* HTTP/1 towards an upstream: one connection, one request at a time.
 *
 *   CONNECTING --> SHAKING --> BUSY <--> IDLE --> closed
 *        \-------(plain)-------^ \--------------> closed (not reusable)
 *
 * An idle connection keeps a receive on the socket, which costs nothing since the next
 * answer needs one anyway: a close by the upstream is seen before the connection is
 * taken again. Bytes that nobody asked for end it.
 *
 * With TLS the connection is SHAKING hands until it counts as connected. An answer that
 * ends with the connection is whole only if the upstream said so (close_notify, RFC 9112
 * section 9.8).
 */
#ifndef RINGWAY_HTTP1_CLIENT_H
#define RINGWAY_HTTP1_CLIENT_H

#include <ringway/http1/body.h>

struct h1_client;
struct tls_caller;
struct tls_saved;
struct tls_session;

struct h1_client_events {
	/* It can take the next request. */
	void (*on_idle)(struct h1_client *c);
	/* It will never be idle again; if it was, it is not any more. */
	void (*on_ended)(struct h1_client *c);
	void (*on_gone)(struct h1_client *c);
};

struct h1_client_timeouts {
	uint64_t connect_ns; /* 0: no limit, for all of them; TCP and TLS have it each */
	uint64_t first_byte_ns; /* from the end of the request to the answer's head */
	uint64_t idle_ns;       /* between two pieces of a body, either way */
	uint64_t keepalive_ns;  /* between two requests */
};

/* How a connection speaks TLS. */
struct h1_client_tls {
	const struct tls_caller *caller;
	const char *server_name; /* for SNI and the certificate */
	struct tls_saved *saved; /* what to resume by; outlives the connection */
};

enum h1_client_state { H1_CLIENT_CONNECTING, H1_CLIENT_SHAKING, H1_CLIENT_IDLE, H1_CLIENT_BUSY,
	               H1_CLIENT_ENDED };

struct h1_client {
	struct conn conn;
	struct http_stream stream;
	const struct h1_client_events *events;
	const struct h1_limits *limits; /* of answers; hold as long as the shard */
	struct h1_parser *parser;       /* the shard's: holds within one call */
	struct h1_client_timeouts timeouts;
	struct h1_client_tls tls;    /* caller NULL: plain; caller, name: until it is connected */
	struct tls_session *session; /* ours up to the end of the handshake */
	struct h1_body body;
	uint64_t requests; /* that it has carried, with the present one */
	enum h1_client_state state;
	enum http_method method;
	uint8_t interim_answers; /* to the present request */
	bool connected;
	bool resuming;     /* a TLS session of before was offered */
	bool reused;       /* the present request is not its first */
	bool answered;     /* the final head has come */
	bool any_bytes;    /* of the answer */
	bool chunked_out;
	bool pulling;
	bool keep;         /* the answer lets us use it again */
	bool write_failed; /* it takes no more of the request */
};

void h1_client_init(struct h1_client *c, struct shard *shard,
                    const struct h1_client_events *events, const struct h1_limits *limits,
                    struct h1_parser *parser);
/* Connects; the stream may be used at once and is told of a failure. `tls` NULL: plain; it
 * is copied. -errno when not even a socket could be had: nothing began. */
int h1_client_connect(struct h1_client *c, const struct address *to,
                      const struct h1_client_tls *tls,
                      const struct h1_client_timeouts *timeouts);
/* The next request on an idle one. */
void h1_client_begin(struct h1_client *c, const struct h1_client_timeouts *timeouts);
/* An idle one. */
void h1_client_close(struct h1_client *c);
/* When the shard does not run any more: whatever state it is in, what TLS has of it goes
 * back. */
void h1_client_fini(struct h1_client *c);

#endif

/* HTTP/1 towards a client: heads in, answers out, one request after the other.
 *
 *            bytes           head whole                  released, all was read
 *   IDLE ------------> HEAD ------------> REQUEST ------------------------> IDLE
 *    |  keepalive       |  head_time, bad     |  released otherwise
 *    +------> closed    +------> REQUEST      +------> finished with a linger
 *                        (with an error to answer)
 *
 * Requests in a pipeline wait, unread or in rx, until the one before is answered. While
 * a request runs, one receive is kept on the connection as long as nothing lies unread:
 * it brings the next request, the end, or the reset of a client that has gone.
 */
#ifndef RINGWAY_HTTP1_SERVER_H
#define RINGWAY_HTTP1_SERVER_H

#include <ringway/http1/body.h>

struct h1_server;

/* The same for all connections of a shard; may change from one request to the next. */
struct h1_server_settings {
	struct h1_limits limits;
	uint64_t head_time_ns;
	uint64_t body_idle_ns;
	uint64_t write_idle_ns;
	uint64_t keepalive_ns;
	bool draining; /* each answer is the connection's last */
};

struct h1_server_events {
	/* A request. The head holds until the callback returns, which makes the stream
	 * somebody's (stream.owner). The settings hold until it is released. */
	void (*on_request)(struct h1_server *s, const struct http_head *head);
	/* What came is no request that can be answered on its merits: it is to be
	 * answered with this status, and the connection ends. `head` is NULL unless
	 * its start line could be read. As above otherwise. */
	void (*on_refused)(struct h1_server *s, uint16_t status, const char *detail,
	                   enum access_cause cause);
	/* Whether it waits for a request, so that it can be closed for want of room. */
	void (*on_idle)(struct h1_server *s, bool idle);
	void (*on_gone)(struct h1_server *s);
};

enum h1_server_state { H1_SERVER_IDLE, H1_SERVER_HEAD, H1_SERVER_REQUEST, H1_SERVER_ENDED };

struct h1_server {
	struct conn conn;
	struct http_stream stream;
	const struct h1_server_events *events;
	const struct h1_server_settings *settings;
	struct h1_parser *parser; /* the shard's: holds within one call */
	struct h1_body body;
	uint64_t head_began_ns; /* first byte of the request's head */
	uint64_t bytes_in_before;  /* counters of the connection at the request's start */
	uint64_t bytes_out_before;
	uint32_t head_read;     /* bytes of rx that were looked at for an end of line */
	enum h1_server_state state;
	bool keep_alive;        /* what the request says */
	bool client_is_1_0;
	bool head_sent;         /* a final one */
	bool closes;            /* the answer said, or means, that it is the last one */
	bool chunked_out;
	bool pulling;
	bool awaits_continue;   /* the client holds its body back until it is asked for it */
	bool half_closed;       /* the client will send no more */
	bool refused;           /* what is in the connection is no request */
	bool dead;              /* nothing can be sent any more */
};

/* An accepted socket; -errno: it is still the caller's. What precedes HTTP may use the
 * connection, with events of its own, until one of the next two is called. */
int h1_server_open(struct h1_server *s, struct shard *shard, int fd,
                   const struct h1_server_events *events,
                   const struct h1_server_settings *settings, struct h1_parser *parser);
/* Requests from here on. */
void h1_server_start(struct h1_server *s);
/* What came was no HTTP: it is answered with this status, see on_refused. */
void h1_server_refuse(struct h1_server *s, uint16_t status, const char *detail,
                      enum access_cause cause);
/* Between two requests only: closes if it is idle, else after the answer. */
void h1_server_drain(struct h1_server *s);
/* Whatever it does. on_gone follows; a stream that is somebody's gets a fault first. */
void h1_server_close(struct h1_server *s);

#endif

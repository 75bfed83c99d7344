/* One message out and one in: how a protocol and the exchange meet.
 *
 * A protocol (HTTP/1 today) embeds a stream in its side of a connection. The exchange
 * that owns it asks through `ops`; the protocol stores news in the struct and calls
 * on_news, which only marks the owner runnable. Nothing completes inside a call.
 *
 * Towards a client the message in is the request (its head comes before there is an
 * owner) and the message out the answer; towards an upstream it is the other way round.
 *
 * Bodies move one block at a time: `pull` asks for the next piece, and the owner asks
 * again only when it has passed the last one on. That is the back-pressure.
 */
#ifndef RINGWAY_HTTP_STREAM_H
#define RINGWAY_HTTP_STREAM_H

#include <ringway/http/head.h>
#include <ringway/observe/access.h>
#include <ringway/shard/block.h>

struct http_stream;

struct http_stream_ops {
	/* Sends the head (if any), then the piece (if any, the stream's from now on),
	 * then the end of the message if `last`, with trailers if there are any. What
	 * head and trailers point at stays until the call returns. Sets `sending`. */
	void (*send)(struct http_stream *s, const struct http_head *head, struct block *piece,
		     bool last, const struct http_fields *trailers);
	/* Asks for the next piece or the end of the message in; for an upstream first
	 * of all for the head. Nothing when it was asked already. */
	void (*pull)(struct http_stream *s);
	/* Both messages are through, or the owner wants no more of this one: the
	 * connection is kept if it can be, else closed. The stream is the protocol's
	 * again, no news comes. */
	void (*release)(struct http_stream *s);
	/* Ends the connection at once, in a way that the peer cannot take for the end of
	 * the message. As after release. */
	void (*abort)(struct http_stream *s);
};

struct http_stream {
	const struct http_stream_ops *ops;
	void (*on_news)(void *owner);
	void *owner; /* NULL: nobody, no news is told */
	struct arena *arena; /* the owner's: heads and trailers that come in are put there */

	/* The message in. */
	struct http_head *head; /* upstream: answer or interim answer, for the owner to take */
	struct block *piece;    /* of the body, for the owner to take */
	bool in_ended;          /* nothing follows `piece`; trailers are complete */
	struct http_fields trailers;

	/* The message out. */
	bool sending;   /* until the kernel has taken it */
	bool out_ended; /* `last` was asked for */

	enum access_cause fault; /* the connection is of no use any more, and why */
};

static inline void http_stream_tell(struct http_stream *s)
{
	if (s->owner)
		s->on_news(s->owner);
}

static inline struct block *http_stream_take_piece(struct http_stream *s)
{
	struct block *b = s->piece;

	s->piece = NULL;
	return b;
}

/* Forgets the messages, for the next ones; the connection's side stays. */
static inline void http_stream_clear(struct http_stream *s)
{
	s->owner = NULL;
	s->arena = NULL;
	s->head = NULL;
	s->piece = NULL;
	s->in_ended = false;
	s->trailers = (struct http_fields){NULL, 0, 0, 0};
	s->sending = false;
	s->out_ended = false;
	s->fault = ACCESS_OK;
}

#endif

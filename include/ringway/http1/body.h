/* The body of an HTTP/1 message, off a connection and onto one: what server and
 * client role share.
 */
#ifndef RINGWAY_HTTP1_BODY_H
#define RINGWAY_HTTP1_BODY_H

#include <ringway/http/stream.h>
#include <ringway/http1/chunked.h>
#include <ringway/net/conn.h>

/* The message in. */
struct h1_body {
	enum http_framing framing;
	uint64_t left; /* LENGTH: bytes to come */
	struct chunked_decoder chunked;
};

void h1_body_begin(struct h1_body *b, const struct http_head *head);

/* Takes the next piece out of conn->rx into stream->piece and sets in_ended when the
 * message is whole, all as far as the bytes that are there reach. Bytes behind the end
 * of the message stay in conn->rx. False when the body is malformed, or when there is no
 * memory (then stream->fault is set). Trailers go to the stream's arena, or nowhere
 * when it has none. */
bool h1_body_take(struct h1_body *b, struct conn *c, struct http_stream *s,
                  struct h1_parser *trailer_parser);
/* The connection has ended: true when that is the end of the message, too. */
bool h1_body_ends_with_connection(const struct h1_body *b);

/* Queues head, piece and end on the connection, in as few sends as possible: a head is
 * written right in front of the piece. `chunked` says how the body is framed. False when
 * there is no block left: nothing was queued, the piece is given back. */
bool h1_message_send(struct conn *c, const struct http_head *head, struct block *piece, bool last,
                     const struct http_fields *trailers, bool chunked);

#endif

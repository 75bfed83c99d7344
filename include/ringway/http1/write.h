/* HTTP/1 heads onto the wire: one framing, re-serialised from the neutral head.
 */
#ifndef RINGWAY_HTTP1_WRITE_H
#define RINGWAY_HTTP1_WRITE_H

#include <ringway/http/head.h>

/* Exactly what h1_write_head() writes for this head. */
size_t h1_head_bytes(const struct http_head *head);

/* Request line or status line (status is not 0), always HTTP/1.1; Host first in
 * requests; the fields in order; then the framing field that head->framing asks for;
 * then "Connection: close" when !keep_alive (or "Connection: keep-alive" to an HTTP/1.0
 * client, head->minor == 0 of a response, that asked), and in requests "TE: trailers"
 * with its option when te_trailers; then the empty line. Returns the length.
 * Host, Content-Length, Transfer-Encoding, Connection, Keep-Alive, Proxy-Connection, TE
 * and Upgrade of the list are left out: they come from the head or not at all. Answers
 * of framing NONE keep a Content-Length that has_content_length announces (to HEAD, 304);
 * requests of framing NONE write none. */
size_t h1_write_head(const struct http_head *head, char *out);

#endif

/* HTTP/1 heads onto the wire: one framing, re-serialised from the neutral head.
 */
#ifndef RINGWAY_HTTP1_WRITE_H
#define RINGWAY_HTTP1_WRITE_H

#include <ringway/http/head.h>

/* Upper bound of what h1_write_head() writes for this head, exact enough to reserve by. */
size_t h1_head_bytes(const struct http_head *head);

/* Request line or status line (status is not 0), Host first in requests, the fields
 * in order without Host, Content-Length, Transfer-Encoding and Connection, then the
 * framing field that head->framing asks for, then "Connection: close" when !keep_alive
 * (or "Connection: keep-alive" to an HTTP/1.0 client, head->minor == 0, that asked),
 * then the empty line. Returns the length. Heads of
 * framing NONE keep a Content-Length that has_content_length announces (answers to
 * HEAD, 304); requests of framing NONE write none. */
size_t h1_write_head(const struct http_head *head, char *out);

#endif

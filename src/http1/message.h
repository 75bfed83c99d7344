/* What the lines of a complete head mean together: target, host, framing, reuse.
 */
#ifndef RINGWAY_HTTP1_MESSAGE_H
#define RINGWAY_HTTP1_MESSAGE_H

#include <ringway/http1/parse.h>

/* DONE, or BAD with the verdict in p. *ret_head is written on DONE only. */
enum h1_parse h1_request_meaning(struct h1_parser *p, struct span in, struct http_head *ret_head);
enum h1_parse h1_response_meaning(struct h1_parser *p, struct span in, enum http_method method,
				  struct http_head *ret_head);

#endif

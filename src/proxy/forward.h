/* Heads on their way through the proxy: what is taken out and what is put in. */
#ifndef RINGWAY_PROXY_FORWARD_H
#define RINGWAY_PROXY_FORWARD_H

#include <ringway/proxy/exchange.h>

/* The head for the upstream, in the exchange's arena. False: out of memory. */
bool forward_request(struct exchange *x, struct http_head *ret_head);
/* Edits an upstream's head in place for the client. */
bool forward_response(struct exchange *x, struct http_head *head);
/* Trailers that may go on, in place. */
void forward_trailers(struct http_fields *trailers);

#endif

/* Answers that are there as a whole: of services without upstream, and errors. */
#ifndef RINGWAY_PROXY_ANSWER_H
#define RINGWAY_PROXY_ANSWER_H

#include <ringway/proxy/exchange.h>

extern const struct source source_respond;
extern const struct source source_redirect;

/* application/problem+json (RFC 9457) with the request id, and these fields more. */
void answer_problem(struct exchange *x, uint16_t status, const char *detail,
                    const struct http_field *fields, uint32_t fields_len);

/* The Date field's value (RFC 9110 section 6.6.1); holds until the next call on the shard. */
struct span answer_date(const struct exchange *x);

#endif

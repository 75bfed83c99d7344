/* Answers that are there as a whole: of services without upstream, and errors. */
#ifndef RINGWAY_PROXY_ANSWER_H
#define RINGWAY_PROXY_ANSWER_H

#include <ringway/proxy/exchange.h>

extern const struct source source_respond;
extern const struct source source_redirect;

/* application/problem+json (RFC 9457). Everything is JSON already: nothing is escaped. */
struct problem {
	uint16_t status;
	const char *type;    /* NULL: about:blank */
	const char *title;   /* NULL: the status' phrase */
	const char *detail;
	struct span members; /* more of them, without the comma in front; may be empty */
};
/* With the request id, and at most two fields more. */
void answer_with_problem(struct exchange *x, const struct problem *problem,
                         const struct http_field *fields, uint32_t fields_len);
void answer_problem(struct exchange *x, uint16_t status, const char *detail,
                    const struct http_field *fields, uint32_t fields_len);

/* The Date field's value (RFC 9110 section 6.6.1); holds until the next call on the shard. */
struct span answer_date(const struct exchange *x);

#endif

/* Request attributes: the one table that templates (redirect targets, log fields), and
 * later limit keys, hash keys and rules look into.
 */
#ifndef RINGWAY_POLICY_ATTRIBUTE_H
#define RINGWAY_POLICY_ATTRIBUTE_H

#include <ringway/config/template.h>
#include <ringway/http/head.h>
#include <ringway/observe/access.h>

/* What a request is made of, as far as it is known. Spans hold as long as the exchange. */
struct attributes {
	const struct http_head *request; /* as received; NULL when it was no request */
	struct span client;
	/* Whom limits count: the client, or whom a trusted peer says it speaks for; 16 bytes,
	 * IPv4 in mapped form; NULL: no address is known (a unix socket). */
	const uint8_t *counted_ip;
	struct span request_id;
	struct span route;
	struct span service;
	const struct access_tls *tls; /* of the connection; NULL: plain */
};

/* The value, empty when the request has none. */
struct span attribute_get(const struct attributes *a, enum attribute attribute,
                          struct span argument);
/* The template with its values put in; ptr NULL when the arena is exhausted. */
struct span attribute_expand(const struct attributes *a, const struct template *t,
                             struct arena *arena);

#endif

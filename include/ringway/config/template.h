/* Text with {attribute}s in it: redirect targets, extra log fields.
 *
 * One table of request attributes serves every template. Here are their names and
 * the parsed form; policy/attribute.h says what each one is in a request.
 */
#ifndef RINGWAY_CONFIG_TEMPLATE_H
#define RINGWAY_CONFIG_TEMPLATE_H

#include <ringway/base/arena.h>

enum attribute {
	ATTRIBUTE_LITERAL, /* no attribute: the argument is the text */
	ATTRIBUTE_CLIENT,     /* {client}: IP address of the peer */
	ATTRIBUTE_METHOD,     /* {method} */
	ATTRIBUTE_SCHEME,     /* {scheme} */
	ATTRIBUTE_HOST,       /* {host}: lower case, without port */
	ATTRIBUTE_AUTHORITY,  /* {authority}: as sent, with port */
	ATTRIBUTE_PATH,       /* {path}: normalised, without query */
	ATTRIBUTE_QUERY,      /* {query}: without the question mark, empty when there is none */
	ATTRIBUTE_REQUEST_ID, /* {request_id} */
	ATTRIBUTE_ROUTE,      /* {route}: its name */
	ATTRIBUTE_SERVICE,    /* {service}: its id */
	ATTRIBUTE_TLS_VERSION,     /* {tls_version}: TLSv1.3; these five are empty without TLS */
	ATTRIBUTE_TLS_SUITE,       /* {tls_suite}: IANA's name */
	ATTRIBUTE_TLS_SERVER_NAME, /* {tls_server_name}: SNI */
	ATTRIBUTE_CLIENT_CERT_SUBJECT,     /* {client_cert_subject}: RFC 4514; of a verified one */
	ATTRIBUTE_CLIENT_CERT_FINGERPRINT, /* {client_cert_fingerprint}: SHA-256, hexadecimal */
	ATTRIBUTE_HEADER,     /* {header:NAME}: first value, empty when absent */
	ATTRIBUTE_COOKIE,     /* {cookie:NAME} */
	ATTRIBUTES
};

/* "client", "header", ... ; what CONFIG writes between the braces. */
const char *attribute_name(enum attribute attribute);
/* True for those that are written with a colon and an argument. */
bool attribute_has_argument(enum attribute attribute);

struct template_part {
	enum attribute attribute;
	struct span argument; /* literal text, or what stands behind the colon */
};

struct template {
	const struct template_part *parts;
	size_t parts_len;
};

/* "{{" and "}}" are the braces themselves. False on an unknown attribute, a missing
 * argument or an unclosed brace: *ret_error says which, *ret_at is its offset. */
bool template_parse(struct arena *arena, struct span text, struct template *ret_template,
                    const char **ret_error, size_t *ret_at);

#endif

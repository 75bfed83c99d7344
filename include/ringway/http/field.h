/* Header and trailer fields, and the names that the proxy itself knows.
 */
#ifndef RINGWAY_HTTP_FIELD_H
#define RINGWAY_HTTP_FIELD_H

#include <ringway/base/arena.h>

/* Fields that some part of the proxy acts on; all others are OTHER. The values stay
 * below 64 so that a set of them is one word. */
enum http_field_id {
	HTTP_FIELD_OTHER,
	HTTP_FIELD_ACCEPT_ENCODING,
	HTTP_FIELD_AUTHORIZATION,
	HTTP_FIELD_CACHE_CONTROL,
	HTTP_FIELD_CLIENT_CERT,
	HTTP_FIELD_CLIENT_CERT_CHAIN,
	HTTP_FIELD_CONNECTION,
	HTTP_FIELD_CONTENT_ENCODING,
	HTTP_FIELD_CONTENT_LENGTH,
	HTTP_FIELD_CONTENT_RANGE,
	HTTP_FIELD_CONTENT_TYPE,
	HTTP_FIELD_COOKIE,
	HTTP_FIELD_DATE,
	HTTP_FIELD_EXPECT,
	HTTP_FIELD_FORWARDED,
	HTTP_FIELD_HOST,
	HTTP_FIELD_KEEP_ALIVE,
	HTTP_FIELD_LOCATION,
	HTTP_FIELD_MAX_FORWARDS,
	HTTP_FIELD_PROXY_AUTHENTICATE,
	HTTP_FIELD_PROXY_AUTHORIZATION,
	HTTP_FIELD_PROXY_CONNECTION,
	HTTP_FIELD_SERVER,
	HTTP_FIELD_SET_COOKIE,
	HTTP_FIELD_TE,
	HTTP_FIELD_TRAILER,
	HTTP_FIELD_TRANSFER_ENCODING,
	HTTP_FIELD_UPGRADE,
	HTTP_FIELD_USER_AGENT,
	HTTP_FIELD_VIA,
	HTTP_FIELD_X_FORWARDED_FOR,
	HTTP_FIELD_X_FORWARDED_HOST,
	HTTP_FIELD_X_FORWARDED_PORT,
	HTTP_FIELD_X_FORWARDED_PROTO,
	HTTP_FIELD_X_REAL_IP,
	HTTP_FIELD_X_REQUEST_ID,
	HTTP_FIELD_IDS
};

typedef uint64_t http_field_set; /* bit n: enum http_field_id n */
#define HTTP_FIELD_BIT(id) ((http_field_set)1 << (id))

struct http_field {
	struct span name;  /* as sent */
	struct span value; /* without surrounding whitespace */
	enum http_field_id id;
};

/* A list in wire order. The array is the owner's. */
struct http_fields {
	struct http_field *at;
	uint32_t len;
	uint32_t cap;
	http_field_set present; /* ids that occur; OTHER when any other name does */
};

/* Case does not matter. */
enum http_field_id http_field_id(struct span name);
/* Sets the ids of `len` fields whose names are set. Ids that occur are added to *present,
 * those that occurred before also to *repeated. */
void http_fields_identify(struct http_field *at, uint32_t len, http_field_set *present,
			  http_field_set *repeated);
/* The name in its usual spelling, "Content-Length". */
struct span http_field_name(enum http_field_id id);

static inline bool http_fields_have(const struct http_fields *f, enum http_field_id id)
{
	return f->present & HTTP_FIELD_BIT(id);
}

/* First field with the id, NULL when there is none. Not for OTHER. */
const struct http_field *http_fields_find(const struct http_fields *f, enum http_field_id id);
/* By name, any case; NULL when there is none. */
const struct http_field *http_fields_find_name(const struct http_fields *f, struct span name);
/* False when the array is full. Bytes stay the caller's. */
static inline bool http_fields_add(struct http_fields *f, enum http_field_id id, struct span name,
				   struct span value)
{
	if (f->len >= f->cap)
		return false;
	f->at[f->len++] = (struct http_field){.name = name, .value = value, .id = id};
	f->present |= HTTP_FIELD_BIT(id);
	return true;
}

/* Takes every field with one of the ids out of the list; the order stays. */
void http_fields_remove(struct http_fields *f, http_field_set ids);

/* Token characters of RFC 9110 section 5.6.2, at least one. */
bool http_is_token(struct span s);
/* Whether a field may stand in a trailer section that is passed on: not framing,
 * routing, authentication, request modifiers or payload processing
 * (RFC 9110 section 6.5.1). */
bool http_field_allowed_in_trailer(enum http_field_id id, struct span name);

#endif

#include "connection.h"

#include <ringway/http1/parse.h>

/* Gone at every hop, named or not. Trailer is not among them: it speaks of the
 * trailer section, which we pass on. Proxy authentication is between a client and
 * its next proxy, us, who ask for none. */
#define HOP_BY_HOP                                                                                 \
	(HTTP_FIELD_BIT(HTTP_FIELD_CONNECTION) | HTTP_FIELD_BIT(HTTP_FIELD_KEEP_ALIVE) |           \
	 HTTP_FIELD_BIT(HTTP_FIELD_PROXY_AUTHENTICATE) |                                           \
	 HTTP_FIELD_BIT(HTTP_FIELD_PROXY_AUTHORIZATION) |                                          \
	 HTTP_FIELD_BIT(HTTP_FIELD_PROXY_CONNECTION) | HTTP_FIELD_BIT(HTTP_FIELD_TE) |             \
	 HTTP_FIELD_BIT(HTTP_FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(HTTP_FIELD_UPGRADE))

/* What would change a message's meaning if a client could have it removed on the
 * way: framing, routing, identity, who asked. */
#define END_TO_END                                                                                 \
	(HTTP_FIELD_BIT(HTTP_FIELD_AUTHORIZATION) | HTTP_FIELD_BIT(HTTP_FIELD_CACHE_CONTROL) |     \
	 HTTP_FIELD_BIT(HTTP_FIELD_CLIENT_CERT) | HTTP_FIELD_BIT(HTTP_FIELD_CLIENT_CERT_CHAIN) |   \
	 HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_ENCODING) | HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_LENGTH) | \
	 HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_RANGE) | HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_TYPE) |      \
	 HTTP_FIELD_BIT(HTTP_FIELD_COOKIE) | HTTP_FIELD_BIT(HTTP_FIELD_DATE) |                     \
	 HTTP_FIELD_BIT(HTTP_FIELD_EXPECT) | HTTP_FIELD_BIT(HTTP_FIELD_FORWARDED) |                \
	 HTTP_FIELD_BIT(HTTP_FIELD_HOST) | HTTP_FIELD_BIT(HTTP_FIELD_LOCATION) |                   \
	 HTTP_FIELD_BIT(HTTP_FIELD_SET_COOKIE) | HTTP_FIELD_BIT(HTTP_FIELD_VIA) |                  \
	 HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_FOR) |                                              \
	 HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_HOST) |                                             \
	 HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_PORT) |                                             \
	 HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_PROTO) | HTTP_FIELD_BIT(HTTP_FIELD_X_REAL_IP) |     \
	 HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_ID))

static bool is_end_to_end(enum http_field_id id, struct span name)
{
	const struct span family = SPAN("X-Forwarded-");

	if (id != HTTP_FIELD_OTHER)
		return END_TO_END & HTTP_FIELD_BIT(id);
	return name.len > family.len && span_ieq(span_of(name.ptr, family.len), family);
}

/* Nearly all there is, told by two or three compares of constant length. */
static inline bool is_keep_alive_alone(struct span value)
{
	return value.len == 10 && (memcmp(value.ptr, "keep-alive", 10) == 0 ||
				   memcmp(value.ptr, "Keep-Alive", 10) == 0);
}

static inline bool is_close_alone(struct span value)
{
	return value.len == 5 && memcmp(value.ptr, "close", 5) == 0;
}

void h1_connection_read(struct h1_connection *c, struct span value, unsigned *options)
{
	struct span option;

	if (is_keep_alive_alone(value)) {
		c->keep_alive = true;
		return;
	}
	while (span_next_token(&value, &option)) {
		if (++*options > H1_CONNECTION_OPTIONS_MAX || !http_is_token(option)) {
			c->malformed = true;
			return;
		}
		if (span_ieq(option, SPAN("close")))
			c->close = true;
		else if (span_ieq(option, SPAN("keep-alive")))
			c->keep_alive = true;
		else if (is_end_to_end(http_field_id(option), option))
			c->names_end_to_end = true;
	}
}

/* A field without a name is one that was taken out. */
static bool take_out(struct http_fields *f, enum http_field_id id, struct span name)
{
	bool any = false;

	for (uint32_t i = 0; i < f->len; i++) {
		if (f->at[i].id == id && span_ieq(f->at[i].name, name)) {
			f->at[i].name.len = 0;
			any = true;
		}
	}
	return any;
}

static bool take_out_named(struct http_fields *f, struct span connection)
{
	struct span option;
	unsigned options = 0;
	bool any = false;

	if (is_keep_alive_alone(connection) || is_close_alone(connection))
		return false;
	while (options++ < H1_CONNECTION_OPTIONS_MAX && span_next_token(&connection, &option)) {
		enum http_field_id id = http_field_id(option);

		if (HTTP_FIELD_BIT(id) & HOP_BY_HOP)
			continue; /* goes anyway */
		if ((f->present & HTTP_FIELD_BIT(id)) && !is_end_to_end(id, option))
			any |= take_out(f, id, option);
	}
	return any;
}

/* Keeps what stays of the fields from `from` on. */
static void close_gaps(struct http_fields *f, uint32_t from)
{
	uint32_t kept = from;

	for (uint32_t i = from; i < f->len; i++)
		if (!(HOP_BY_HOP & HTTP_FIELD_BIT(f->at[i].id)) && f->at[i].name.len)
			f->at[kept++] = f->at[i];
	f->len = kept;
}

void h1_remove_hop_by_hop(struct http_fields *fields)
{
	uint32_t first = 0;
	bool named = false;

	if (!(fields->present & HOP_BY_HOP))
		return;
	while (first < fields->len && !(HOP_BY_HOP & HTTP_FIELD_BIT(fields->at[first].id)))
		first++;
	for (uint32_t i = first; i < fields->len; i++)
		if (fields->at[i].id == HTTP_FIELD_CONNECTION)
			named |= take_out_named(fields, fields->at[i].value);
	fields->present &= ~HOP_BY_HOP;
	if (likely(!named)) {
		close_gaps(fields, first);
		return;
	}
	/* What was named may have stood in front, and may have been the only one. */
	close_gaps(fields, 0);
	fields->present = 0;
	for (uint32_t i = 0; i < fields->len; i++)
		fields->present |= HTTP_FIELD_BIT(fields->at[i].id);
}

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
static void take_out(struct http_fields *f, enum http_field_id id, struct span name)
{
	for (uint32_t i = 0; i < f->len; i++)
		if (f->at[i].id == id && span_ieq(f->at[i].name, name))
			f->at[i].name.len = 0;
}

static void take_out_named(struct http_fields *f, struct span connection)
{
	struct span option;
	unsigned options = 0;

	if (is_keep_alive_alone(connection) || is_close_alone(connection))
		return;
	while (options++ < H1_CONNECTION_OPTIONS_MAX && span_next_token(&connection, &option)) {
		enum http_field_id id = http_field_id(option);

		if (HTTP_FIELD_BIT(id) & HOP_BY_HOP)
			continue; /* goes anyway */
		if ((f->present & HTTP_FIELD_BIT(id)) && !is_end_to_end(id, option))
			take_out(f, id, option);
	}
}

void h1_remove_hop_by_hop(struct http_fields *fields)
{
	http_field_set present = 0;
	uint32_t kept = 0;

	if (!(fields->present & HOP_BY_HOP))
		return;
	if (http_fields_have(fields, HTTP_FIELD_CONNECTION))
		for (uint32_t i = 0; i < fields->len; i++)
			if (fields->at[i].id == HTTP_FIELD_CONNECTION)
				take_out_named(fields, fields->at[i].value);
	for (uint32_t i = 0; i < fields->len; i++) {
		const struct http_field *f = &fields->at[i];

		if ((HOP_BY_HOP & HTTP_FIELD_BIT(f->id)) || !f->name.len)
			continue;
		present |= HTTP_FIELD_BIT(f->id);
		if (kept != i)
			fields->at[kept] = *f;
		kept++;
	}
	fields->len = kept;
	fields->present = present;
}

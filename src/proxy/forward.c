#include "forward.h"

#include <ringway/http1/parse.h>
#include <ringway/proxy/answer.h>
#include <ringway/tls/peer.h>

#include "admission.h"

/* Fields in which a client could claim to be somebody: only peers that the operator
 * trusts are believed. */
#define CLAIMS                                                                                     \
	(HTTP_FIELD_BIT(HTTP_FIELD_FORWARDED) | HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_FOR) |       \
	 HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_HOST) |                                             \
	 HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_PORT) |                                             \
	 HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_PROTO) | HTTP_FIELD_BIT(HTTP_FIELD_X_REAL_IP) |     \
	 HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_ID))

/* Who a client is, by a certificate that we have verified: what is said of another
 * handshake is not passed on from anybody (RFC 9440 section 2.4 leaves it to us whether a
 * trusted proxy may; an address that is trusted is less than an identity that is proved). */
#define IDENTITY                                                                                   \
	(HTTP_FIELD_BIT(HTTP_FIELD_CLIENT_CERT) | HTTP_FIELD_BIT(HTTP_FIELD_CLIENT_CERT_CHAIN))

/* What forward_request() adds at most. */
#define ADDED_FIELDS 8

static void add(struct http_fields *fields, enum http_field_id id, struct span value)
{
	http_fields_add(fields, id, http_field_name(id), value);
}

/* What earlier proxies said, and the peer behind it (the de-facto list syntax). */
static struct span forwarded_for(struct exchange *x)
{
	const struct http_fields *fields = &x->request.fields;
	struct span client = x->attributes.client;
	size_t len = client.len;
	char *text, *at;

	if (!x->conn->is_trusted || !http_fields_have(fields, HTTP_FIELD_X_FORWARDED_FOR))
		return client;
	for (uint32_t i = 0; i < fields->len; i++)
		if (fields->at[i].id == HTTP_FIELD_X_FORWARDED_FOR)
			len += fields->at[i].value.len + 2;
	text = arena_text(&x->arena, len);
	if (!text)
		return client;
	at = text;
	for (uint32_t i = 0; i < fields->len; i++) {
		if (fields->at[i].id != HTTP_FIELD_X_FORWARDED_FOR || !fields->at[i].value.len)
			continue;
		memcpy(at, fields->at[i].value.ptr, fields->at[i].value.len);
		at += fields->at[i].value.len;
		memcpy(at, ", ", 2);
		at += 2;
	}
	memcpy(at, client.ptr, client.len);
	return span_of(text, (size_t)(at + client.len - text));
}

/* RFC 7239 section 4: an IPv6 address is quoted and in brackets, a host is quoted since
 * it may carry a port. */
static struct span forwarded(struct exchange *x)
{
	struct span client = x->attributes.client;
	bool v6 = memchr(client.ptr, ':', client.len) != NULL;

	return arena_printf(&x->arena, "for=%s%.*s%s;proto=%.*s;host=\"%.*s\"", v6 ? "\"[" : "",
			    SPAN_FMT(client), v6 ? "]\"" : "", SPAN_FMT(x->request.scheme),
			    SPAN_FMT(x->request.authority));
}

static struct span trusted_or(struct exchange *x, enum http_field_id id, struct span ours)
{
	const struct http_field *f = NULL;

	if (x->conn->is_trusted)
		f = http_fields_find(&x->request.fields, id);
	return f && f->value.len ? f->value : ours;
}

/* The fields of RFC 9440; the second one only where it says something. */
static bool add_identity(struct exchange *x, struct http_fields *fields)
{
	static const struct {
		enum http_field_id id;
		bool (*value)(const struct tls_peer *p, char *out, size_t size, size_t *ret_len);
	} all[] = {
		{HTTP_FIELD_CLIENT_CERT, tls_peer_client_cert_field},
		{HTTP_FIELD_CLIENT_CERT_CHAIN, tls_peer_client_cert_chain_field},
	};
	const struct tls_peer *peer = x->conn->peer;

	for (size_t i = 0; peer && i < ARRAY_LEN(all); i++) {
		size_t len;
		char *text;

		if (all[i].value(peer, NULL, 0, &len)) /* nothing needs no room */
			continue;
		text = arena_text(&x->arena, len);
		if (!text)
			return false;
		must(all[i].value(peer, text, len, &len));
		add(fields, all[i].id, span_of(text, len));
	}
	return true;
}

static http_field_set not_forwarded(const struct exchange *x)
{
	http_field_set set = CLAIMS | IDENTITY;

	/* A trusted peer's Forwarded list goes on with our element behind it. */
	if (x->conn->is_trusted)
		set &= ~(HTTP_FIELD_BIT(HTTP_FIELD_FORWARDED) |
			 HTTP_FIELD_BIT(HTTP_FIELD_X_FORWARDED_PORT) |
			 HTTP_FIELD_BIT(HTTP_FIELD_X_REAL_IP));
	/* It announces trailers, which only chunks can have (RFC 9110 section 6.6.2). */
	if (x->request.framing != HTTP_FRAMING_CHUNKED)
		set |= HTTP_FIELD_BIT(HTTP_FIELD_TRAILER);
	/* HTTP/1.0 does not know it (RFC 9110 section 10.1.1). */
	if (x->request.minor == 0)
		set |= HTTP_FIELD_BIT(HTTP_FIELD_EXPECT);
	return set;
}

static void drop(struct http_fields *fields, http_field_set set)
{
	uint32_t len = 0;

	if (!(fields->present & set))
		return;
	for (uint32_t i = 0; i < fields->len; i++)
		if (!(HTTP_FIELD_BIT(fields->at[i].id) & set))
			fields->at[len++] = fields->at[i];
	fields->len = len;
	fields->present &= ~set;
}

/* The longest name that an upstream could read as one that we know. */
#define ALIAS_BYTES 32

/* Servers that hand fields on as variables (CGI, WSGI) read X_Forwarded_For as
 * X-Forwarded-For, and Content_Length as the length. */
static bool is_alias(struct span name)
{
	char dashed[ALIAS_BYTES];

	if (name.len > sizeof(dashed) || !memchr(name.ptr, '_', name.len))
		return false;
	for (size_t i = 0; i < name.len; i++)
		dashed[i] = name.ptr[i] == '_' ? '-' : name.ptr[i];
	return http_field_id(span_of(dashed, name.len)) != HTTP_FIELD_OTHER;
}

/* X-Forwarded-Prefix, -Server, -Ssl and whatever else is claimed in that family. */
static bool is_further_claim(struct span name)
{
	static const struct span family = {"x-forwarded-", 12};

	return name.len > family.len && span_ieq(span_of(name.ptr, family.len), family);
}

/* Fields whose names we do not know, but an upstream might take for ones that we do. */
static void drop_disguised(struct http_fields *fields, bool is_trusted)
{
	uint32_t len = 0;

	if (!http_fields_have(fields, HTTP_FIELD_OTHER))
		return;
	for (uint32_t i = 0; i < fields->len; i++) {
		const struct http_field *f = &fields->at[i];

		if (f->id == HTTP_FIELD_OTHER &&
		    (is_alias(f->name) || (!is_trusted && is_further_claim(f->name))))
			continue;
		fields->at[len++] = *f;
	}
	fields->len = len;
}

/* One hop fewer is left (RFC 9110 section 7.6.2). */
static bool count_hop(struct exchange *x, struct http_fields *fields)
{
	uint64_t hops;
	struct span value;

	if (!admission_max_forwards(&x->request, &hops))
		return true;
	value = arena_printf(&x->arena, "%llu", (unsigned long long)hops - 1);
	for (uint32_t i = 0; i < fields->len; i++)
		if (fields->at[i].id == HTTP_FIELD_MAX_FORWARDS)
			fields->at[i].value = value;
	return value.ptr != NULL;
}

bool forward_request(struct exchange *x, struct http_head *ret_head)
{
	const struct http_head *from = &x->request;
	struct http_head *head = ret_head;
	struct http_fields kept = {.cap = from->fields.len + ADDED_FIELDS};

	kept.at = arena_alloc(&x->arena, kept.cap * sizeof(*kept.at));
	if (!kept.at)
		return false;
	*head = *from;
	/* Hop-by-hop fields go first, so that a client cannot have ours removed by naming
	 * them in Connection (RFC 9110 section 7.6.1). */
	memcpy(kept.at, from->fields.at, from->fields.len * sizeof(*kept.at));
	kept.len = from->fields.len;
	kept.present = from->fields.present;
	h1_remove_hop_by_hop(&kept);
	drop(&kept, not_forwarded(x));
	drop_disguised(&kept, x->conn->is_trusted);
	if (!count_hop(x, &kept))
		return false;
	add(&kept, HTTP_FIELD_X_FORWARDED_FOR, forwarded_for(x));
	add(&kept, HTTP_FIELD_X_FORWARDED_PROTO,
	    trusted_or(x, HTTP_FIELD_X_FORWARDED_PROTO, from->scheme));
	add(&kept, HTTP_FIELD_X_FORWARDED_HOST,
	    trusted_or(x, HTTP_FIELD_X_FORWARDED_HOST, from->authority));
	if (x->snapshot->config->forwarded)
		add(&kept, HTTP_FIELD_FORWARDED, forwarded(x));
	if (!add_identity(x, &kept))
		return false;
	add(&kept, HTTP_FIELD_X_REQUEST_ID, x->attributes.request_id);
	add(&kept, HTTP_FIELD_VIA, from->minor ? SPAN("1.1 ringway") : SPAN("1.0 ringway"));
	head->fields = kept;
	head->minor = 1;
	head->keep_alive = true;
	return true;
}

bool forward_response(struct exchange *x, struct http_head *head)
{
	h1_remove_hop_by_hop(&head->fields);
	if (head->status < 200)
		return true;
	/* RFC 9110 section 6.6.1: a recipient with a clock adds what is missing. */
	if (!http_fields_have(&head->fields, HTTP_FIELD_DATE)) {
		struct span date = answer_date(x);

		if (!date.ptr)
			return false;
		add(&head->fields, HTTP_FIELD_DATE, date);
	}
	add(&head->fields, HTTP_FIELD_VIA, head->minor ? SPAN("1.1 ringway") : SPAN("1.0 ringway"));
	return true;
}

void forward_trailers(struct http_fields *trailers)
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < trailers->len; i++)
		if (http_field_allowed_in_trailer(trailers->at[i].id, trailers->at[i].name))
			trailers->at[len++] = trailers->at[i];
	trailers->len = len;
}

#include <ringway/policy/attribute.h>

static struct span header(const struct http_head *request, struct span name)
{
	const struct http_field *f = http_fields_find_name(&request->fields, name);

	return f ? f->value : SPAN_NONE;
}

/* The first cookie of that name (RFC 6265 section 4.2); quotes stay. */
static struct span cookie(const struct http_head *request, struct span name)
{
	for (uint32_t i = 0; i < request->fields.len; i++) {
		struct span rest = request->fields.at[i].value;

		if (request->fields.at[i].id != HTTP_FIELD_COOKIE)
			continue;
		while (rest.len) {
			const char *semicolon = memchr(rest.ptr, ';', rest.len);
			size_t len = semicolon ? (size_t)(semicolon - rest.ptr) : rest.len;
			struct span pair = span_trim(span_of(rest.ptr, len));

			if (pair.len > name.len && pair.ptr[name.len] == '=' &&
			    memcmp(pair.ptr, name.ptr, name.len) == 0)
				return span_of(pair.ptr + name.len + 1, pair.len - name.len - 1);
			len += semicolon != NULL;
			rest = span_of(rest.ptr + len, rest.len - len);
		}
	}
	return SPAN_NONE;
}

static struct span of_request(const struct http_head *request, enum attribute attribute,
			      struct span argument)
{
	switch (attribute) {
	case ATTRIBUTE_METHOD: return request->method_text;
	case ATTRIBUTE_SCHEME: return request->scheme;
	case ATTRIBUTE_HOST: return request->host;
	case ATTRIBUTE_AUTHORITY: return request->authority;
	case ATTRIBUTE_PATH: return request->path;
	case ATTRIBUTE_QUERY: return request->query;
	case ATTRIBUTE_HEADER: return header(request, argument);
	case ATTRIBUTE_COOKIE: return cookie(request, argument);
	default: return SPAN_NONE;
	}
}

static struct span of_tls(const struct access_tls *tls, enum attribute attribute)
{
	switch (attribute) {
	case ATTRIBUTE_TLS_VERSION: return tls->version;
	case ATTRIBUTE_TLS_SUITE: return tls->suite;
	case ATTRIBUTE_TLS_SERVER_NAME: return tls->server_name;
	case ATTRIBUTE_CLIENT_CERT_SUBJECT: return tls->client_subject;
	case ATTRIBUTE_CLIENT_CERT_FINGERPRINT: return tls->client_fingerprint;
	default: return SPAN_NONE;
	}
}

struct span attribute_get(const struct attributes *a, enum attribute attribute,
			  struct span argument)
{
	switch (attribute) {
	case ATTRIBUTE_LITERAL: return argument;
	case ATTRIBUTE_CLIENT: return a->client;
	case ATTRIBUTE_REQUEST_ID: return a->request_id;
	case ATTRIBUTE_ROUTE: return a->route;
	case ATTRIBUTE_SERVICE: return a->service;
	case ATTRIBUTE_TLS_VERSION:
	case ATTRIBUTE_TLS_SUITE:
	case ATTRIBUTE_TLS_SERVER_NAME:
	case ATTRIBUTE_CLIENT_CERT_SUBJECT:
	case ATTRIBUTE_CLIENT_CERT_FINGERPRINT:
		return a->tls ? of_tls(a->tls, attribute) : SPAN_NONE;
	default: return a->request ? of_request(a->request, attribute, argument) : SPAN_NONE;
	}
}

struct span attribute_expand(const struct attributes *a, const struct template *t,
			     struct arena *arena)
{
	size_t len = 0;
	char *text, *at;

	for (size_t i = 0; i < t->parts_len; i++)
		len += attribute_get(a, t->parts[i].attribute, t->parts[i].argument).len;
	text = arena_text(arena, len);
	if (!text)
		return SPAN_NONE;
	at = text;
	for (size_t i = 0; i < t->parts_len; i++) {
		struct span s = attribute_get(a, t->parts[i].attribute, t->parts[i].argument);

		if (s.len)
			memcpy(at, s.ptr, s.len);
		at += s.len;
	}
	return span_of(text, len);
}

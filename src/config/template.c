#include <ringway/config/template.h>

static const struct {
	struct span name;
	bool has_argument;
} attributes[ATTRIBUTES] = {
	[ATTRIBUTE_LITERAL] = {{"", 0}, false},
	[ATTRIBUTE_CLIENT] = {{"client", 6}, false},
	[ATTRIBUTE_METHOD] = {{"method", 6}, false},
	[ATTRIBUTE_SCHEME] = {{"scheme", 6}, false},
	[ATTRIBUTE_HOST] = {{"host", 4}, false},
	[ATTRIBUTE_AUTHORITY] = {{"authority", 9}, false},
	[ATTRIBUTE_PATH] = {{"path", 4}, false},
	[ATTRIBUTE_QUERY] = {{"query", 5}, false},
	[ATTRIBUTE_REQUEST_ID] = {{"request_id", 10}, false},
	[ATTRIBUTE_ROUTE] = {{"route", 5}, false},
	[ATTRIBUTE_SERVICE] = {{"service", 7}, false},
	[ATTRIBUTE_TLS_VERSION] = {{"tls_version", 11}, false},
	[ATTRIBUTE_TLS_SUITE] = {{"tls_suite", 9}, false},
	[ATTRIBUTE_TLS_SERVER_NAME] = {{"tls_server_name", 15}, false},
	[ATTRIBUTE_CLIENT_CERT_SUBJECT] = {{"client_cert_subject", 19}, false},
	[ATTRIBUTE_CLIENT_CERT_FINGERPRINT] = {{"client_cert_fingerprint", 23}, false},
	[ATTRIBUTE_HEADER] = {{"header", 6}, true},
	[ATTRIBUTE_COOKIE] = {{"cookie", 6}, true},
};

const char *attribute_name(enum attribute attribute)
{
	must(attribute < ATTRIBUTES);
	return attributes[attribute].name.ptr;
}

bool attribute_has_argument(enum attribute attribute)
{
	must(attribute < ATTRIBUTES);
	return attributes[attribute].has_argument;
}

/* Field and cookie names are both tokens (RFC 9110 section 5.6.2, RFC 6265
 * section 4.1.1). */
static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = ascii_lower(s.ptr[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) &&
		    (!c || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.len > 0;
}

/* What stands between the braces. NULL, or what is wrong with it. */
static const char *attribute_parse(struct span text, struct template_part *ret_part)
{
	const char *colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;
	struct span name = text;

	if (colon)
		name.len = (size_t)(colon - text.ptr);
	for (enum attribute a = ATTRIBUTE_LITERAL + 1; a < ATTRIBUTES; a++) {
		struct span argument = SPAN_NONE;

		if (!span_eq(name, attributes[a].name))
			continue;
		if (colon && !attributes[a].has_argument)
			return "this attribute takes no argument";
		if (attributes[a].has_argument) {
			if (!colon)
				return "a name is missing: {header:NAME} or {cookie:NAME}";
			argument = span_of(colon + 1, text.len - name.len - 1);
			if (!is_token(argument))
				return "this is no name of a header field or cookie";
		}
		*ret_part = (struct template_part){a, argument};
		return NULL;
	}
	return "no such attribute";
}

/* One part from the front of `rest`; NULL, or what is wrong at rest->ptr. */
static const char *part_parse(struct span *rest, struct template_part *ret_part)
{
	const char *brace = rest->ptr;
	size_t len = 0;

	while (len < rest->len && brace[len] != '{' && brace[len] != '}')
		len++;
	if (len) {
		*ret_part = (struct template_part){ATTRIBUTE_LITERAL, span_of(brace, len)};
	} else if (rest->len >= 2 && brace[1] == brace[0]) {
		*ret_part = (struct template_part){ATTRIBUTE_LITERAL, span_of(brace, 1)};
		len = 2;
	} else if (brace[0] == '}') {
		return "a closing brace alone; write }} for the brace itself";
	} else {
		const char *close = memchr(brace, '}', rest->len);
		const char *error;

		if (!close)
			return "this brace is not closed; write {{ for the brace itself";
		len = (size_t)(close - brace) + 1;
		error = attribute_parse(span_of(brace + 1, len - 2), ret_part);
		if (error)
			return error;
	}
	rest->ptr += len;
	rest->len -= len;
	return NULL;
}

bool template_parse(struct arena *arena, struct span text, struct template *ret_template,
		    const char **ret_error, size_t *ret_at)
{
	struct template_part *parts, part;
	size_t len = 0;

	/* First count and check, so that nothing is kept of a bad one. */
	for (struct span rest = text; rest.len; len++) {
		const char *error = part_parse(&rest, &part);

		if (error) {
			*ret_error = error;
			*ret_at = (size_t)(rest.ptr - text.ptr);
			return false;
		}
	}
	parts = arena_alloc(arena, len * sizeof(*parts) + 1);
	text = arena_span(arena, text);
	if (!parts || (len && !text.ptr)) {
		*ret_error = "out of memory";
		*ret_at = 0;
		return false;
	}
	for (size_t i = 0; i < len; i++)
		must(!part_parse(&text, &parts[i]));
	*ret_template = (struct template){parts, len};
	return true;
}

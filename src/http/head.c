#include <ringway/http/head.h>

/* Of a method's text the four first bytes and the length decide where to look. */
enum http_method http_method_of(struct span text)
{
	switch (text.len) {
	case 3:
		if (memcmp(text.ptr, "GET", 3) == 0)
			return HTTP_METHOD_GET;
		return memcmp(text.ptr, "PUT", 3) == 0 ? HTTP_METHOD_PUT : HTTP_METHOD_OTHER;
	case 4:
		if (memcmp(text.ptr, "POST", 4) == 0)
			return HTTP_METHOD_POST;
		return memcmp(text.ptr, "HEAD", 4) == 0 ? HTTP_METHOD_HEAD : HTTP_METHOD_OTHER;
	case 5:
		if (memcmp(text.ptr, "PATCH", 5) == 0)
			return HTTP_METHOD_PATCH;
		return memcmp(text.ptr, "TRACE", 5) == 0 ? HTTP_METHOD_TRACE : HTTP_METHOD_OTHER;
	case 6: return memcmp(text.ptr, "DELETE", 6) == 0 ? HTTP_METHOD_DELETE : HTTP_METHOD_OTHER;
	case 7:
		if (memcmp(text.ptr, "OPTIONS", 7) == 0)
			return HTTP_METHOD_OPTIONS;
		return memcmp(text.ptr, "CONNECT", 7) == 0 ? HTTP_METHOD_CONNECT
							   : HTTP_METHOD_OTHER;
	default: return HTTP_METHOD_OTHER;
	}
}

bool http_method_is_idempotent(enum http_method m)
{
	switch (m) {
	case HTTP_METHOD_GET:
	case HTTP_METHOD_HEAD:
	case HTTP_METHOD_PUT:
	case HTTP_METHOD_DELETE:
	case HTTP_METHOD_OPTIONS:
	case HTTP_METHOD_TRACE: return true;
	case HTTP_METHOD_OTHER:
	case HTTP_METHOD_POST:
	case HTTP_METHOD_PATCH:
	case HTTP_METHOD_CONNECT: return false;
	}
	return false;
}

struct span http_status_reason(uint16_t status)
{
	switch (status) {
	case 100: return SPAN("Continue");
	case 101: return SPAN("Switching Protocols");
	case 102: return SPAN("Processing");
	case 103: return SPAN("Early Hints");
	case 200: return SPAN("OK");
	case 201: return SPAN("Created");
	case 202: return SPAN("Accepted");
	case 203: return SPAN("Non-Authoritative Information");
	case 204: return SPAN("No Content");
	case 205: return SPAN("Reset Content");
	case 206: return SPAN("Partial Content");
	case 207: return SPAN("Multi-Status");
	case 208: return SPAN("Already Reported");
	case 226: return SPAN("IM Used");
	case 300: return SPAN("Multiple Choices");
	case 301: return SPAN("Moved Permanently");
	case 302: return SPAN("Found");
	case 303: return SPAN("See Other");
	case 304: return SPAN("Not Modified");
	case 305: return SPAN("Use Proxy");
	case 307: return SPAN("Temporary Redirect");
	case 308: return SPAN("Permanent Redirect");
	case 400: return SPAN("Bad Request");
	case 401: return SPAN("Unauthorized");
	case 402: return SPAN("Payment Required");
	case 403: return SPAN("Forbidden");
	case 404: return SPAN("Not Found");
	case 405: return SPAN("Method Not Allowed");
	case 406: return SPAN("Not Acceptable");
	case 407: return SPAN("Proxy Authentication Required");
	case 408: return SPAN("Request Timeout");
	case 409: return SPAN("Conflict");
	case 410: return SPAN("Gone");
	case 411: return SPAN("Length Required");
	case 412: return SPAN("Precondition Failed");
	case 413: return SPAN("Content Too Large");
	case 414: return SPAN("URI Too Long");
	case 415: return SPAN("Unsupported Media Type");
	case 416: return SPAN("Range Not Satisfiable");
	case 417: return SPAN("Expectation Failed");
	case 421: return SPAN("Misdirected Request");
	case 422: return SPAN("Unprocessable Content");
	case 423: return SPAN("Locked");
	case 424: return SPAN("Failed Dependency");
	case 425: return SPAN("Too Early");
	case 426: return SPAN("Upgrade Required");
	case 428: return SPAN("Precondition Required");
	case 429: return SPAN("Too Many Requests");
	case 431: return SPAN("Request Header Fields Too Large");
	case 451: return SPAN("Unavailable For Legal Reasons");
	case 500: return SPAN("Internal Server Error");
	case 501: return SPAN("Not Implemented");
	case 502: return SPAN("Bad Gateway");
	case 503: return SPAN("Service Unavailable");
	case 504: return SPAN("Gateway Timeout");
	case 505: return SPAN("HTTP Version Not Supported");
	case 506: return SPAN("Variant Also Negotiates");
	case 507: return SPAN("Insufficient Storage");
	case 508: return SPAN("Loop Detected");
	case 511: return SPAN("Network Authentication Required");
	default: return SPAN("Unknown");
	}
}

/* Where the bytes of a head went. */
struct move {
	struct span raw; /* copied as a whole */
	char *copy;
	struct arena *arena;
	bool *failed;
};

static struct span move_elsewhere(struct arena *arena, struct span s, bool *failed)
{
	struct span copy;

	if (!s.ptr)
		return s;
	copy = arena_span(arena, s);
	*failed |= !copy.ptr;
	return copy;
}

/* By value and inline: runs for each span of each request. Compared as numbers, since
 * the span may point anywhere. */
static inline __attribute__((always_inline)) struct span move_span(struct move m, struct span s)
{
	uintptr_t offset = (uintptr_t)s.ptr - (uintptr_t)m.raw.ptr;

	if (likely(offset <= m.raw.len && s.len <= m.raw.len - offset))
		return span_of(m.copy + offset, s.len);
	return move_elsewhere(m.arena, s, m.failed);
}

bool http_head_copy(const struct http_head *from, struct arena *arena, uint32_t spare,
		    struct http_head *ret_head)
{
	bool failed = false;
	struct move m = {.raw = from->raw, .arena = arena, .failed = &failed};
	struct span method_text, target, authority, host, path, query, reason;
	struct http_field *fields;

	fields = arena_alloc(arena, ((size_t)from->fields.len + spare) * sizeof(*fields));
	m.copy = arena_text(arena, from->raw.len);
	if (!fields || !m.copy)
		return false;
	if (from->raw.len)
		memcpy(m.copy, from->raw.ptr, from->raw.len);
	else
		m.raw.ptr = m.copy; /* where nothing lies yet, not even a span of NULL */

	method_text = move_span(m, from->method_text);
	target = move_span(m, from->target);
	authority = move_span(m, from->authority);
	host = move_span(m, from->host);
	path = move_span(m, from->path);
	query = from->query.ptr ? move_span(m, from->query) : SPAN_NONE;
	reason = from->reason.ptr ? move_span(m, from->reason) : SPAN_NONE;
	for (uint32_t i = 0; i < from->fields.len; i++) {
		const struct http_field *f = &from->fields.at[i];

		fields[i].name = move_span(m, f->name);
		fields[i].value = move_span(m, f->value);
		fields[i].id = f->id;
	}
	if (failed)
		return false;

	*ret_head = *from;
	ret_head->raw = span_of(m.copy, from->raw.len);
	/* One of two words: no bytes of their own. */
	if (from->scheme.ptr)
		ret_head->scheme = from->scheme.len == 5 ? SPAN("https") : SPAN("http");
	ret_head->method_text = method_text;
	ret_head->target = target;
	ret_head->authority = authority;
	ret_head->host = host;
	ret_head->path = path;
	ret_head->query = query;
	ret_head->reason = reason;
	ret_head->fields.at = fields;
	ret_head->fields.cap = from->fields.len + spare;
	return true;
}

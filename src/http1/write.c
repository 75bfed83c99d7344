#include <ringway/http1/write.h>

/* Fields that this file writes itself, or that belong to one hop: of a list they are
 * left out, even when nobody took them out before. */
#define NOT_FROM_LIST                                                                              \
	(HTTP_FIELD_BIT(HTTP_FIELD_CONNECTION) | HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_LENGTH) |       \
	 HTTP_FIELD_BIT(HTTP_FIELD_HOST) | HTTP_FIELD_BIT(HTTP_FIELD_KEEP_ALIVE) |                 \
	 HTTP_FIELD_BIT(HTTP_FIELD_PROXY_CONNECTION) | HTTP_FIELD_BIT(HTTP_FIELD_TE) |             \
	 HTTP_FIELD_BIT(HTTP_FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(HTTP_FIELD_UPGRADE))

#define VERSION_TEXT     "HTTP/1.1"
#define CHUNKED_FIELD    "Transfer-Encoding: chunked\r\n"
#define LENGTH_FIELD     "Content-Length: "
#define TE_FIELD         "TE: trailers\r\n"
#define CLOSE_FIELD      "Connection: close\r\n"
#define CLOSE_TE_FIELD   "Connection: close, TE\r\n"
#define TE_OPTION_FIELD  "Connection: TE\r\n"
#define KEEP_ALIVE_FIELD "Connection: keep-alive\r\n"

static inline char *put(char *to, struct span s)
{
	/* Names and values of a request are mostly this long, and then a call costs more
	 * than the copy: the first and the last eight bytes, which may overlap. */
	if (s.len >= 8 && s.len <= 16) {
		uint64_t first, last;

		memcpy(&first, s.ptr, 8);
		memcpy(&last, s.ptr + s.len - 8, 8);
		memcpy(to, &first, 8);
		memcpy(to + s.len - 8, &last, 8);
	} else if (s.len) { /* a span of no bytes may have no address */
		memcpy(to, s.ptr, s.len);
	}
	return to + s.len;
}

#define PUT(to, literal) put(to, SPAN(literal))

static unsigned digits_of(uint64_t n)
{
	unsigned digits = 1;

	for (; n >= 10; n /= 10)
		digits++;
	return digits;
}

static bool announces_length(const struct http_head *head)
{
	if (head->framing == HTTP_FRAMING_LENGTH)
		return true;
	return head->framing == HTTP_FRAMING_NONE && head->status && head->has_content_length;
}

/* RFC 9110 section 10.1.4: who sends TE says so in Connection. */
static struct span connection_field(const struct http_head *head)
{
	bool te = !head->status && head->te_trailers;

	if (!head->keep_alive)
		return te ? SPAN(CLOSE_TE_FIELD TE_FIELD) : SPAN(CLOSE_FIELD);
	if (te)
		return SPAN(TE_OPTION_FIELD TE_FIELD);
	return head->status && head->minor == 0 ? SPAN(KEEP_ALIVE_FIELD) : SPAN_NONE;
}

static bool is_from_list(const struct http_field *f)
{
	return likely(!(NOT_FROM_LIST & HTTP_FIELD_BIT(f->id)));
}

size_t h1_head_bytes(const struct http_head *head)
{
	size_t bytes;

	if (head->status)
		bytes = sizeof(VERSION_TEXT " 200 \r\n") - 1 + head->reason.len;
	else
		bytes = head->method_text.len + head->path.len +
			(head->query.ptr ? 1 + head->query.len : 0) +
			sizeof("  " VERSION_TEXT "\r\nHost: \r\n") - 1 + head->authority.len;
	for (uint32_t i = 0; i < head->fields.len; i++) {
		const struct http_field *f = &head->fields.at[i];

		if (is_from_list(f))
			bytes += f->name.len + f->value.len + 4;
	}
	if (head->framing == HTTP_FRAMING_CHUNKED)
		bytes += sizeof(CHUNKED_FIELD) - 1;
	else if (announces_length(head))
		bytes += sizeof(LENGTH_FIELD "\r\n") - 1 + digits_of(head->content_length);
	return bytes + connection_field(head).len + 2;
}

/* Lines that came as "Name: value" CRLF lie behind each other in the copy of their head
 * and go out as one piece, several in one copy. The bytes themselves are asked, so it
 * does not matter where else a field may come from. */
static bool is_whole_line(const struct http_field *f)
{
	const char *colon = f->name.ptr + f->name.len;

	return f->value.ptr == colon + 2 && memcmp(colon, ": ", 2) == 0;
}

static bool is_next_line(const struct http_field *before, const struct http_field *f)
{
	const char *end = before->value.ptr + before->value.len;

	return f->name.ptr == end + 2 && memcmp(end, "\r\n", 2) == 0 && is_whole_line(f);
}

static char *put_fields(char *to, const struct http_fields *fields)
{
	const struct http_field *f = fields->at, *end = f + fields->len;

	while (f < end) {
		const struct http_field *first = f++;

		if (!is_from_list(first))
			continue;
		if (is_whole_line(first)) {
			while (f < end && is_from_list(f) && is_next_line(f - 1, f))
				f++;
			const struct span last = f[-1].value;
			to = put(to, span_of(first->name.ptr,
					     (size_t)(last.ptr + last.len - first->name.ptr)));
		} else {
			to = put(to, first->name);
			to = PUT(to, ": ");
			to = put(to, first->value);
		}
		to = PUT(to, "\r\n");
	}
	return to;
}

static char *put_number(char *to, uint64_t n)
{
	unsigned digits = digits_of(n);

	for (char *at = to + digits; at > to; n /= 10)
		*--at = (char)('0' + n % 10);
	return to + digits;
}

static char *put_start_line(char *to, const struct http_head *head)
{
	if (head->status) {
		to = PUT(to, VERSION_TEXT " ");
		to = put_number(to, head->status);
		*to++ = ' ';
		to = put(to, head->reason);
		return PUT(to, "\r\n");
	}
	to = put(to, head->method_text);
	*to++ = ' ';
	to = put(to, head->path);
	if (head->query.ptr) {
		*to++ = '?';
		to = put(to, head->query);
	}
	to = PUT(to, " " VERSION_TEXT "\r\nHost: ");
	to = put(to, head->authority);
	return PUT(to, "\r\n");
}

size_t h1_write_head(const struct http_head *head, char *out)
{
	char *to;

	must(head->status == 0 || (head->status >= 100 && head->status <= 999));
	to = put_start_line(out, head);
	to = put_fields(to, &head->fields);
	if (head->framing == HTTP_FRAMING_CHUNKED) {
		to = PUT(to, CHUNKED_FIELD);
	} else if (announces_length(head)) {
		to = PUT(to, LENGTH_FIELD);
		to = put_number(to, head->content_length);
		to = PUT(to, "\r\n");
	}
	to = put(to, connection_field(head));
	return (size_t)(PUT(to, "\r\n") - out);
}

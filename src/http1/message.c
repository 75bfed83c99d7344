#include "message.h"

#include "connection.h"
#include "scan.h"

#include <ringway/http/uri.h>

/* Ids whose values are read here. */
#define READ                                                                                       \
	(HTTP_FIELD_BIT(HTTP_FIELD_CONNECTION) | HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_LENGTH) |       \
	 HTTP_FIELD_BIT(HTTP_FIELD_EXPECT) | HTTP_FIELD_BIT(HTTP_FIELD_HOST) |                     \
	 HTTP_FIELD_BIT(HTTP_FIELD_TE) | HTTP_FIELD_BIT(HTTP_FIELD_TRANSFER_ENCODING))

/* What the fields of one message say, before it is weighed. */
struct said {
	struct span host; /* ptr NULL: no Host */
	uint64_t content_length;
	struct h1_connection connection;
	unsigned connection_options;
	unsigned codings_chunked;
	bool coding_unknown;
	bool coding_malformed;
	bool ends_in_chunked;
	bool length_malformed;
	bool expects_continue;
	bool expects_other;
	bool te_trailers;
};

/* One Transfer-Encoding value. Stricter than RFC 9110's lists: an empty element is
 * malformed, since implementations differ in what they make of it. */
static void read_codings(struct said *s, struct span value)
{
	do {
		const char *comma = memchr(value.ptr, ',', value.len);
		size_t len = comma ? (size_t)(comma - value.ptr) : value.len;
		struct span coding = span_trim(span_of(value.ptr, len));
		const char *semicolon = memchr(coding.ptr, ';', coding.len);
		struct span name = coding;

		if (semicolon)
			name = span_trim(span_of(coding.ptr, (size_t)(semicolon - coding.ptr)));
		s->ends_in_chunked = span_ieq(name, SPAN("chunked"));
		if (s->ends_in_chunked) {
			s->codings_chunked++;
			/* RFC 9112 section 7.1: chunked has no parameters. */
			s->coding_malformed |= semicolon != NULL;
		} else if (http_is_token(name)) {
			s->coding_unknown = true;
		} else {
			s->coding_malformed = true;
		}
		len += comma != NULL;
		value = span_of(value.ptr + len, value.len - len);
		s->coding_malformed |= comma && !value.len;
	} while (value.len);
}

static bool names_trailers(struct span te)
{
	struct span element;

	while (span_next_token(&te, &element))
		if (span_ieq(element, SPAN("trailers")))
			return true;
	return false;
}

static void read_fields(const struct h1_parser *p, struct said *s)
{
	*s = (struct said){.host = SPAN_NONE};
	if (!(p->present & READ))
		return;
	for (uint32_t i = 0; i < p->fields_len; i++) {
		const struct http_field *f = &p->fields[i];

		if (!(HTTP_FIELD_BIT(f->id) & READ))
			continue;
		switch (f->id) {
		case HTTP_FIELD_HOST: s->host = f->value; break;
		case HTTP_FIELD_CONNECTION:
			h1_connection_read(&s->connection, f->value, &s->connection_options);
			break;
		case HTTP_FIELD_CONTENT_LENGTH:
			if (!span_to_u64(f->value, &s->content_length) ||
			    s->content_length > INT64_MAX)
				s->length_malformed = true;
			break;
		case HTTP_FIELD_TRANSFER_ENCODING: read_codings(s, f->value); break;
		case HTTP_FIELD_EXPECT:
			if (span_ieq(f->value, SPAN("100-continue")))
				s->expects_continue = true;
			else
				s->expects_other = true;
			break;
		case HTTP_FIELD_TE: s->te_trailers |= names_trailers(f->value); break;
		default: break;
		}
	}
}

static bool has(const struct h1_parser *p, enum http_field_id id)
{
	return p->present & HTTP_FIELD_BIT(id);
}

/* Whether Content-Length and Transfer-Encoding leave one reading. Two ways to find the
 * end of one body is how requests get smuggled. RFC 9112 section 6.3 lets us drop
 * Content-Length and go on; we refuse, since nobody honest sends both. */
static enum h1_parse check_framing(struct h1_parser *p, const struct said *s, bool is_request)
{
	bool coded = has(p, HTTP_FIELD_TRANSFER_ENCODING);
	bool measured = has(p, HTTP_FIELD_CONTENT_LENGTH);

	if (likely(!coded && !measured))
		return H1_PARSE_DONE;
	if (coded && measured)
		return h1_refuse(p, H1_ERROR_FRAMING,
				 "Content-Length together with Transfer-Encoding");
	if (measured) {
		if (p->repeated & HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_LENGTH))
			return h1_refuse(p, H1_ERROR_FRAMING, "more than one Content-Length");
		if (s->length_malformed)
			return h1_refuse(p, H1_ERROR_FRAMING,
					 "a Content-Length that is no plain number");
		return H1_PARSE_DONE;
	}
	if (p->minor == 0)
		return h1_refuse(p, H1_ERROR_FRAMING, "Transfer-Encoding in HTTP/1.0");
	if (s->coding_malformed)
		return h1_refuse(p, H1_ERROR_FRAMING, "a malformed Transfer-Encoding");
	if (!s->ends_in_chunked)
		return h1_refuse(p, H1_ERROR_FRAMING, "the last transfer coding is not chunked");
	if (s->codings_chunked > 1)
		return h1_refuse(p, H1_ERROR_FRAMING, "chunked more than once");
	if (s->coding_unknown)
		return h1_refuse(p, is_request ? H1_ERROR_CODING : H1_ERROR_FRAMING,
				 "a transfer coding that is not supported");
	return H1_PARSE_DONE;
}

/* RFC 9112 section 9.3. Above HTTP/1.0 a connection is kept unless someone says close. */
static bool keeps_alive(const struct h1_parser *p, const struct said *s)
{
	if (s->connection.close)
		return false;
	return p->minor > 0 || s->connection.keep_alive;
}

static struct http_fields fields_of(const struct h1_parser *p)
{
	return (struct http_fields){.at = p->fields,
				    .len = p->fields_len,
				    .cap = p->limits->max_fields,
				    .present = p->present};
}

/* ---- requests ---- */

/* Path and query out of what follows an authority, or of the whole target. */
static bool read_path(struct span rest, struct http_head *head)
{
	const char *mark = memchr(rest.ptr, '?', rest.len);

	head->path = rest;
	if (mark) {
		head->path.len = (size_t)(mark - rest.ptr);
		head->query = span_of(mark + 1, rest.len - head->path.len - 1);
		if (!uri_query_check(head->query))
			return false;
	}
	return true;
}

static bool check_path(struct http_head *head)
{
	enum uri_path_verdict verdict = uri_path_check(head->path);

	head->path_dirty = verdict == URI_PATH_DIRTY;
	return verdict != URI_PATH_BAD;
}

/* RFC 9112 section 3.2. authority is set when the target names one. */
static bool read_target(struct http_head *head)
{
	struct span rest;

	if (likely(head->target.ptr[0] == '/'))
		return read_path(head->target, head) && check_path(head);
	if (head->target.ptr[0] == '*') {
		head->path = head->target;
		return head->target.len == 1 && head->method == HTTP_METHOD_OPTIONS;
	}
	if (!uri_absolute_parse(head->target, &head->scheme, &head->authority, &rest) ||
	    !read_path(rest, head))
		return false;
	if (!head->path.len) {
		/* Section 3.2.4 on OPTIONS, RFC 9110 section 4.2.3 on the others. */
		bool is_asterisk = head->method == HTTP_METHOD_OPTIONS && !head->query.ptr;

		head->path = is_asterisk ? SPAN("*") : SPAN("/");
		return true;
	}
	return check_path(head);
}

/* RFC 9112 section 3.2 and 3.2.2. */
static enum h1_parse read_host(struct h1_parser *p, const struct said *s, struct http_head *head)
{
	if (p->repeated & HTTP_FIELD_BIT(HTTP_FIELD_HOST))
		return h1_refuse(p, H1_ERROR_HOST, "more than one Host");
	if (!s->host.ptr && (p->minor > 0 || !head->authority.ptr))
		return h1_refuse(p, H1_ERROR_HOST, "no Host");
	if (s->host.ptr) {
		if (head->authority.ptr && !span_ieq(head->authority, s->host))
			return h1_refuse(p, H1_ERROR_HOST, "Host is not that of the target");
		head->authority = s->host;
	}
	if (!uri_authority_parse(head->authority, &head->host, &head->port))
		return h1_refuse(p, H1_ERROR_HOST, "a malformed Host");
	return H1_PARSE_DONE;
}

enum h1_parse h1_request_meaning(struct h1_parser *p, struct span in, struct http_head *ret_head)
{
	struct http_head head = {
		.method_text = span_of(in.ptr + p->method_at, p->method_len),
		.target = span_of(in.ptr + p->target_at, p->target_len),
		.raw = span_of(in.ptr, p->line_at),
		.minor = p->minor,
		.fields = fields_of(p),
	};
	struct said said;
	enum h1_parse verdict;

	head.method = http_method_of(head.method_text);
	if (head.method == HTTP_METHOD_CONNECT)
		return h1_refuse(p, H1_ERROR_METHOD, "CONNECT");
	if (!read_target(&head))
		return h1_refuse(p, H1_ERROR_TARGET, "a malformed request target");
	read_fields(p, &said);
	verdict = read_host(p, &said, &head);
	if (verdict != H1_PARSE_DONE)
		return verdict;
	verdict = check_framing(p, &said, true);
	if (verdict != H1_PARSE_DONE)
		return verdict;
	if (said.connection.malformed)
		return h1_refuse(p, H1_ERROR_CONNECTION_OPTION,
				 "a Connection option that is no token, or too many of them");
	if (said.connection.names_end_to_end)
		return h1_refuse(p, H1_ERROR_CONNECTION_OPTION,
				 "Connection names a field that is not hop-by-hop");
	/* RFC 9110 section 10.1.1: an expectation of HTTP/1.0 is ignored. What we pass on
	 * says HTTP/1.1, so there it would be heard. */
	if (p->minor == 0)
		http_fields_remove(&head.fields, HTTP_FIELD_BIT(HTTP_FIELD_EXPECT));
	else if (said.expects_other)
		return h1_refuse(p, H1_ERROR_EXPECT, "an expectation other than 100-continue");
	else
		head.expects_continue = said.expects_continue;
	head.keep_alive = keeps_alive(p, &said);
	head.te_trailers = said.te_trailers;
	if (has(p, HTTP_FIELD_TRANSFER_ENCODING)) {
		head.framing = HTTP_FRAMING_CHUNKED;
	} else if (has(p, HTTP_FIELD_CONTENT_LENGTH)) {
		head.framing = HTTP_FRAMING_LENGTH;
		head.content_length = said.content_length;
		head.has_content_length = true;
	}
	*ret_head = head;
	return H1_PARSE_DONE;
}

static bool has_upper(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z')
			return true;
	return false;
}

bool h1_request_finish(struct http_head *head, struct arena *arena)
{
	char *text;

	if (has_upper(head->host)) {
		text = arena_text(arena, head->host.len);
		if (!text)
			return false;
		for (size_t i = 0; i < head->host.len; i++)
			text[i] = ascii_lower(head->host.ptr[i]);
		head->host.ptr = text;
	}
	if (head->path_dirty) {
		text = arena_text(arena, head->path.len);
		if (!text)
			return false;
		head->path = span_of(text, uri_path_normalise(head->path, text));
		head->path_dirty = false;
	}
	return true;
}

/* ---- responses ---- */

/* RFC 9112 section 6.3. Answers to CONNECT never come here: we send none. */
static void frame_response(const struct h1_parser *p, const struct said *s, enum http_method method,
			   struct http_head *head)
{
	bool measured = has(p, HTTP_FIELD_CONTENT_LENGTH);

	if (head->status < 200 || head->status == 204) {
		/* Sections 6.1 and 6.2 forbid both fields here; passing one on would only
		 * mislead whoever reads it. */
		http_fields_remove(&head->fields,
				   HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_LENGTH) |
					   HTTP_FIELD_BIT(HTTP_FIELD_TRANSFER_ENCODING));
		head->framing = HTTP_FRAMING_NONE;
		return;
	}
	if (measured) {
		head->content_length = s->content_length;
		head->has_content_length = true;
	}
	if (method == HTTP_METHOD_HEAD || head->status == 304)
		head->framing = HTTP_FRAMING_NONE;
	else if (has(p, HTTP_FIELD_TRANSFER_ENCODING))
		head->framing = HTTP_FRAMING_CHUNKED;
	else
		head->framing = measured ? HTTP_FRAMING_LENGTH : HTTP_FRAMING_CLOSE;
}

enum h1_parse h1_response_meaning(struct h1_parser *p, struct span in, enum http_method method,
				  struct http_head *ret_head)
{
	struct http_head head = {
		.status = p->status,
		.raw = span_of(in.ptr, p->line_at),
		.minor = p->minor,
		.fields = fields_of(p),
	};
	struct said said;
	enum h1_parse verdict;

	read_fields(p, &said);
	verdict = check_framing(p, &said, false);
	if (verdict != H1_PARSE_DONE)
		return verdict;
	head.reason = span_of(in.ptr + p->reason_at, p->reason_len);
	frame_response(p, &said, method, &head);
	/* What cannot be understood may have said close; and a body that ends with its
	 * connection leaves none to keep. */
	head.keep_alive = keeps_alive(p, &said) && !said.connection.malformed &&
			  head.framing != HTTP_FRAMING_CLOSE;
	*ret_head = head;
	return H1_PARSE_DONE;
}

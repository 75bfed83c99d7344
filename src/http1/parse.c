/* How a head comes together from its lines.
 *
 * The input is always looked at through a window that ends where the limits end, so
 * that a verdict depends on the bytes alone and not on how many of them came at once:
 * what lies behind a limit is never judged.
 */
#include "message.h"
#include "scan.h"

#include <ringway/http1/chunked.h>
#include <ringway/http/charset.h>

enum h1_parser_state {
	H1_BEFORE,     /* nothing was read; a request may begin with one empty line */
	H1_START_LINE, /* at the start line */
	H1_FIELDS,     /* behind it */
	H1_OVER        /* DONE or BAD was said */
};

void h1_parser_init(struct h1_parser *p, const struct h1_limits *limits, struct http_field *fields)
{
	p->limits = limits;
	p->fields = fields;
	p->error = H1_ERROR_NONE;
	p->detail = NULL;
	p->input = NULL;
	p->present = 0;
	p->repeated = 0;
	p->fields_len = 0;
	p->line_at = 0;
	p->state = H1_BEFORE;
}

enum h1_parse h1_refuse(struct h1_parser *p, enum h1_error error, const char *detail)
{
	p->error = error;
	p->detail = detail;
	p->state = H1_OVER;
	return H1_PARSE_BAD;
}

enum h1_parse h1_refuse_name(struct h1_parser *p, const char *at, const char *stop)
{
	const char *detail = "a character that no field name has";

	if (stop == at) {
		if (*stop == ' ' || *stop == '\t')
			detail = "a folded field, or white space before a field";
		else if (*stop == ':')
			detail = "a field without a name";
		else if (*stop == '\n')
			detail = "LF without CR";
	} else if (*stop == ' ' || *stop == '\t') {
		detail = "white space between a field name and its colon";
	} else if (*stop == '\r' || *stop == '\n') {
		detail = "a field line without a colon";
	}
	return h1_refuse(p, H1_ERROR_SYNTAX, detail);
}

enum h1_parse h1_refuse_value(struct h1_parser *p, char stop)
{
	const char *detail = "a control character in a field value";

	if (stop == '\n')
		detail = "LF without CR";
	else if (stop == '\r')
		detail = "CR without LF";
	else if (stop == '\0')
		detail = "NUL in a field value";
	return h1_refuse(p, H1_ERROR_SYNTAX, detail);
}

enum h1_parse h1_version(struct h1_parser *p, const char *at, const char *end, uint8_t *ret_minor)
{
	static const char form[] = "HTTP/1.x";

	if (likely(end - at >= 8 && memcmp(at, form, 7) == 0 && at[7] >= '0' && at[7] <= '9')) {
		*ret_minor = (uint8_t)(at[7] - '0');
		return H1_PARSE_DONE;
	}
	/* What is wrong with it, or what is missing. */
	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		bool is_digit;

		if (at + i == end)
			return H1_PARSE_MORE;
		is_digit = at[i] >= '0' && at[i] <= '9';
		if (form[i] == '1' && is_digit && at[i] != '1')
			return h1_refuse(p, H1_ERROR_VERSION, "a major version other than 1");
		if (form[i] == 'x' ? !is_digit : at[i] != form[i])
			return h1_refuse(p, H1_ERROR_SYNTAX, "no HTTP version where one belongs");
	}
	*ret_minor = (uint8_t)(at[7] - '0');
	return H1_PARSE_DONE;
}

static enum h1_parse too_large(struct h1_parser *p)
{
	return h1_refuse(p, H1_ERROR_HEAD_TOO_LARGE, "the head is larger than max_head_bytes");
}

/* The fields so far point into the previous input. */
static void follow_input(struct h1_parser *p, const char *input)
{
	if (p->input != input)
		for (uint32_t i = 0; i < p->fields_len; i++) {
			struct http_field *f = &p->fields[i];

			f->name.ptr = input + (f->name.ptr - p->input);
			f->value.ptr = input + (f->value.ptr - p->input);
		}
	p->input = input;
}

/* How far the start line at line_at may reach: to its limit, and over a CRLF that
 * stands exactly there. */
static const char *start_line_window(const struct h1_parser *p, const char *begin, const char *end)
{
	const char *line = begin + p->line_at;
	size_t limit = p->limits->max_line_bytes;

	if ((size_t)(end - line) <= limit)
		return end;
	if (line[limit] != '\r')
		return line + limit + 1;
	return (size_t)(end - line) <= limit + 2 ? end : line + limit + 2;
}

/* RFC 9112 section 4. Nothing may stand before it. The reason may be missing, and
 * then some servers leave out the space before it, too. */
static enum h1_parse status_line(struct h1_parser *p, const char *begin, const char *end)
{
	const char *line = begin + p->line_at, *at, *stop;
	enum h1_parse verdict;
	uint8_t minor;

	verdict = h1_version(p, line, end, &minor);
	if (verdict != H1_PARSE_DONE)
		return verdict;
	for (size_t i = 8; i < 12; i++) {
		if (line + i == end)
			return H1_PARSE_MORE;
		if (i == 8 ? line[i] != ' ' : line[i] < (i == 9 ? '1' : '0') || line[i] > '9')
			return h1_refuse(p, H1_ERROR_SYNTAX, "no status of three digits");
	}
	at = line + 12;
	if (at == end)
		return H1_PARSE_MORE;
	if (*at != ' ' && *at != '\r')
		return h1_refuse(p, H1_ERROR_SYNTAX, "no status of three digits");
	at += *at == ' ';
	stop = charset_run_scalar(&charset_ctl, false, begin, at, end);
	if (stop == end)
		return H1_PARSE_MORE;
	if (*stop != '\r')
		return h1_refuse(p, H1_ERROR_SYNTAX, "a control character in the status line");
	if (end - stop < 2)
		return H1_PARSE_MORE;
	if (stop[1] != '\n')
		return h1_refuse(p, H1_ERROR_SYNTAX, "CR without LF in the status line");
	p->minor = minor;
	p->status = (uint16_t)((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
	p->reason_at = (uint32_t)(at - begin);
	p->reason_len = (uint32_t)(stop - at);
	p->line_at = (uint32_t)(stop + 2 - begin);
	return H1_PARSE_DONE;
}

/* RFC 9112 section 2.2 asks for patience with at least one empty line, which old
 * clients send behind a body. */
static enum h1_parse skip_empty_line(struct h1_parser *p, const char *begin, const char *end)
{
	if (begin == end)
		return H1_PARSE_MORE;
	if (*begin != '\r')
		return H1_PARSE_DONE;
	if (end - begin < 2)
		return H1_PARSE_MORE;
	if (begin[1] != '\n')
		return h1_refuse(p, H1_ERROR_SYNTAX, "CR without LF before the request line");
	p->line_at = 2;
	return H1_PARSE_DONE;
}

typedef enum h1_parse start_line_fn(struct h1_parser *p, const char *begin, const char *end);

/* Lines of the head from where the last call stopped. */
static enum h1_parse head_lines(struct h1_parser *p, const char *begin, const char *end,
				start_line_fn *start_line, bool empty_line_allowed)
{
	enum h1_parse verdict;
	uint32_t known;

	if (p->state == H1_BEFORE) {
		if (empty_line_allowed) {
			verdict = skip_empty_line(p, begin, end);
			if (verdict != H1_PARSE_DONE)
				return verdict;
		}
		p->state = H1_START_LINE;
	}
	if (p->state == H1_START_LINE) {
		const char *window = start_line_window(p, begin, end);

		verdict = start_line(p, begin, window);
		if (verdict == H1_PARSE_MORE &&
		    (size_t)(window - begin) - p->line_at > p->limits->max_line_bytes &&
		    begin[p->line_at + p->limits->max_line_bytes] != '\r')
			return h1_refuse(p, H1_ERROR_LINE_TOO_LONG,
					 "the start line is longer than max_line_bytes");
		if (verdict != H1_PARSE_DONE)
			return verdict;
		p->state = H1_FIELDS;
	}
	known = p->fields_len;
	verdict = h1_scan->field_lines(p, begin, end);
	/* Apart from the scan, whose loop keeps its tables in vector registers. */
	http_fields_identify(p->fields + known, p->fields_len - known, &p->present, &p->repeated);
	return verdict;
}

static enum h1_parse head_read(struct h1_parser *p, struct span in, start_line_fn *start_line,
			       bool empty_line_allowed)
{
	size_t window = min_u64(in.len, p->limits->max_head_bytes);
	enum h1_parse verdict;

	must(p->state != H1_OVER);
	if (!in.len)
		return H1_PARSE_MORE;
	follow_input(p, in.ptr);
	verdict = head_lines(p, in.ptr, in.ptr + window, start_line, empty_line_allowed);
	if (verdict == H1_PARSE_MORE && window == p->limits->max_head_bytes)
		return too_large(p);
	return verdict;
}

enum h1_parse h1_parse_request(struct h1_parser *p, struct span in, struct http_head *ret_head,
			       size_t *ret_used)
{
	enum h1_parse verdict = head_read(p, in, h1_scan->request_line, true);

	if (verdict != H1_PARSE_DONE)
		return verdict;
	p->state = H1_OVER;
	verdict = h1_request_meaning(p, in, ret_head);
	if (verdict == H1_PARSE_DONE)
		*ret_used = p->line_at;
	return verdict;
}

enum h1_parse h1_parse_response(struct h1_parser *p, struct span in, enum http_method method,
				struct http_head *ret_head, size_t *ret_used)
{
	enum h1_parse verdict = head_read(p, in, status_line, false);

	if (verdict != H1_PARSE_DONE)
		return verdict;
	p->state = H1_OVER;
	verdict = h1_response_meaning(p, in, method, ret_head);
	if (verdict == H1_PARSE_DONE)
		*ret_used = p->line_at;
	return verdict;
}

static enum h1_parse no_start_line(struct h1_parser *p UNUSED, const char *begin UNUSED,
				   const char *end UNUSED)
{
	return H1_PARSE_DONE;
}

enum h1_parse h1_parse_trailers(struct h1_parser *p, struct span in,
				struct http_fields *ret_trailers, size_t *ret_used)
{
	enum h1_parse verdict = head_read(p, in, no_start_line, false);
	struct http_fields trailers = {.at = p->fields, .cap = p->limits->max_fields};

	if (verdict != H1_PARSE_DONE)
		return verdict;
	p->state = H1_OVER;
	for (uint32_t i = 0; i < p->fields_len; i++) {
		const struct http_field f = p->fields[i];

		if (http_field_allowed_in_trailer(f.id, f.name))
			http_fields_add(&trailers, f.id, f.name, f.value);
	}
	*ret_trailers = trailers;
	*ret_used = p->line_at;
	return H1_PARSE_DONE;
}

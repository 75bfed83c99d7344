/* Template of one variant of the scans. The including file defines
 *   SCAN_TARGET                      function attribute with the instruction set
 *   SCAN_RUN(set, member, begin, at, end)   charset_run_*() of that set
 *   SCAN_VARIANT, SCAN_TEXT          name of the struct h1_scan and of the variant
 */
#include "scan.h"

#include <ringway/http/charset.h>

SCAN_TARGET static enum h1_parse request_line(struct h1_parser *p, const char *begin,
					      const char *end)
{
	const char *method = begin + p->line_at, *target, *version;
	enum h1_parse verdict;
	uint8_t minor;

	target = SCAN_RUN(&charset_token, true, begin, method, end);
	if (target == end)
		return H1_PARSE_MORE;
	if (*target != ' ' || target == method)
		return h1_refuse(p, H1_ERROR_SYNTAX,
				 "the request line does not begin with a method");
	target++;
	version = SCAN_RUN(&charset_target, true, begin, target, end);
	if (version == end)
		return H1_PARSE_MORE;
	if (*version == '\r' || *version == '\n' || version == target)
		return h1_refuse(p, H1_ERROR_SYNTAX,
				 "the request line is not method, target and version");
	if (*version != ' ')
		return h1_refuse(p, H1_ERROR_TARGET, "a character that no request target has");
	version++;
	if (likely(end - version >= 10 && memcmp(version, "HTTP/1.1\r\n", 10) == 0)) {
		minor = 1;
	} else {
		verdict = h1_version(p, version, end, &minor);
		if (verdict != H1_PARSE_DONE)
			return verdict;
		if (end - version > 8 && version[8] != '\r')
			return h1_refuse(p, H1_ERROR_SYNTAX,
					 "something follows the version in the request line");
		if (end - version > 9 && version[9] != '\n')
			return h1_refuse(p, H1_ERROR_SYNTAX, "CR without LF in the request line");
		if (end - version < 10)
			return H1_PARSE_MORE;
	}
	p->method_at = p->line_at;
	p->method_len = (uint32_t)(target - 1 - method);
	p->target_at = (uint32_t)(target - begin);
	p->target_len = (uint32_t)(version - 1 - target);
	p->minor = minor;
	p->line_at = (uint32_t)(version + 10 - begin);
	return H1_PARSE_DONE;
}

SCAN_TARGET static enum h1_parse field_lines(struct h1_parser *p, const char *begin,
					     const char *end)
{
	const char *at = begin + p->line_at;
	struct http_field *field = p->fields + p->fields_len;
	struct http_field *const fields_end = p->fields + p->limits->max_fields;
	enum h1_parse verdict = H1_PARSE_MORE;

	while (at < end) {
		const char *colon, *value, *stop, *value_end;

		if (*at == '\r') {
			if (end - at < 2)
				break;
			if (at[1] == '\n') {
				at += 2;
				verdict = H1_PARSE_DONE;
			} else {
				verdict = h1_refuse(p, H1_ERROR_SYNTAX,
						    "CR without LF where a field begins");
			}
			break;
		}
		if (unlikely(field == fields_end)) {
			verdict = h1_refuse(p, H1_ERROR_TOO_MANY_FIELDS, "too many fields");
			break;
		}
		colon = SCAN_RUN(&charset_token, true, begin, at, end);
		if (colon == end)
			break;
		if (unlikely(*colon != ':' || colon == at)) {
			verdict = h1_refuse_name(p, at, colon);
			break;
		}
		value = colon + 1;
		/* One space is what everyone sends. */
		if (likely(end - value >= 2 && value[0] == ' ' && value[1] > ' '))
			value++;
		else
			while (value < end && (*value == ' ' || *value == '\t'))
				value++;
		stop = SCAN_RUN(&charset_ctl, false, begin, value, end);
		if (stop == end)
			break;
		if (unlikely(*stop != '\r')) {
			verdict = h1_refuse_value(p, *stop);
			break;
		}
		if (end - stop < 2)
			break;
		if (unlikely(stop[1] != '\n')) {
			verdict = h1_refuse_value(p, '\r');
			break;
		}
		for (value_end = stop;
		     value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t');
		     value_end--)
			;
		field->name = span_of(at, (size_t)(colon - at));
		field->value = span_of(value, (size_t)(value_end - value));
		field++;
		at = stop + 2;
	}
	p->fields_len = (uint32_t)(field - p->fields);
	p->line_at = (uint32_t)(at - begin);
	return verdict;
}

const struct h1_scan SCAN_VARIANT = {
	.name = SCAN_TEXT,
	.request_line = request_line,
	.field_lines = field_lines,
};

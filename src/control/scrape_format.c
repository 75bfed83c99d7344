#include <ringway/http/field.h>

#include "scrapes.h"

/* Weights in thousandths; what is no weight counts as the most (RFC 9110 section 12.4.2). */
#define WEIGHT_MAX 1000

static unsigned read_weight(struct span s)
{
	unsigned weight = 0, unit = WEIGHT_MAX;

	for (size_t i = 0; i < s.len; i++) {
		if (i == 1 && s.ptr[i] == '.')
			continue;
		if (s.ptr[i] < '0' || s.ptr[i] > '9' || i > 4)
			return WEIGHT_MAX;
		weight += (unsigned)(s.ptr[i] - '0') * unit;
		unit /= 10;
	}
	return s.len && weight <= WEIGHT_MAX ? weight : WEIGHT_MAX;
}

struct range {
	struct span type;
	struct span version; /* ptr NULL: none was named */
	unsigned weight;
};

/* The next part of a range, up to a semicolon. */
static struct span next_part(struct span *rest)
{
	const char *end = rest->len ? memchr(rest->ptr, ';', rest->len) : NULL;
	struct span part = span_of(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
	size_t skip = part.len + (end ? 1 : 0);

	*rest = span_of(rest->ptr + skip, rest->len - skip);
	return span_trim(part);
}

static struct range read_range(struct span text)
{
	struct range r = {.type = next_part(&text), .weight = WEIGHT_MAX};

	while (text.len) {
		struct span part = next_part(&text);
		const char *equals = part.len ? memchr(part.ptr, '=', part.len) : NULL;
		struct span name, value;

		if (!equals)
			continue;
		name = span_of(part.ptr, (size_t)(equals - part.ptr));
		value = span_of(equals + 1, part.len - name.len - 1);
		if (span_ieq(name, SPAN("q")))
			r.weight = read_weight(value);
		else if (span_ieq(name, SPAN("version")))
			r.version = value;
	}
	return r;
}

static bool is_openmetrics(const struct range *r)
{
	return span_ieq(r->type, SPAN("application/openmetrics-text")) &&
	       (!r->version.ptr || span_eq(r->version, SPAN("1.0.0")));
}

static bool is_plain(const struct range *r)
{
	return span_ieq(r->type, SPAN("text/plain"));
}

enum exposition_format scrape_format(const struct http_fields *fields)
{
	unsigned open = 0, plain = 0;

	for (uint32_t i = 0; i < fields->len; i++) {
		struct span list = fields->at[i].value, text;

		if (!span_ieq(fields->at[i].name, SPAN("Accept")))
			continue;
		/* Ranges that we care about have no quoted strings in them. */
		while (span_next_token(&list, &text)) {
			struct range r = read_range(text);

			if (is_openmetrics(&r) && r.weight > open)
				open = r.weight;
			else if (is_plain(&r) && r.weight > plain)
				plain = r.weight;
		}
	}
	return open && open >= plain ? EXPOSITION_OPENMETRICS : EXPOSITION_PROMETHEUS;
}

#include "exposition_text.h"

#include <stdlib.h>

/* Of a number of 64 bits with a point, and of what stands around it. */
#define NUMBER_BYTES 32

/* ---- bytes ---- */

void exposition_text_init(struct exposition_text *t, enum exposition_format format, size_t expected)
{
	*t = (struct exposition_text){.format = format};
	t->at = malloc(expected);
	t->cap = t->at ? expected : 0;
	t->failed = !t->at;
}

void exposition_text_fini(struct exposition_text *t)
{
	free(t->at);
	*t = (struct exposition_text){0};
}

/* Where so many bytes may be written; NULL: no memory. */
static char *room(struct exposition_text *t, size_t bytes)
{
	size_t cap;
	char *at;

	if (likely(t->len + bytes <= t->cap))
		return t->at + t->len;
	if (t->failed)
		return NULL;
	cap = (t->cap + bytes) * 2;
	at = realloc(t->at, cap);
	if (!at) {
		t->failed = true;
		t->cap = t->len;
		return NULL;
	}
	t->at = at;
	t->cap = cap;
	return at + t->len;
}

static char *copy(char *to, struct span s)
{
	if (s.len)
		memcpy(to, s.ptr, s.len);
	return to + s.len;
}

static void put(struct exposition_text *t, struct span s)
{
	char *at = room(t, s.len);

	if (at) {
		copy(at, s);
		t->len += s.len;
	}
}

static void put_str(struct exposition_text *t, const char *s)
{
	put(t, span_str(s));
}

/* ---- numbers ---- */

/* Decimal, at least so many digits; returns the end. */
static char *write_digits(char *to, uint64_t value, unsigned at_least)
{
	char digits[20];
	unsigned len = 0;

	do {
		digits[len++] = (char)('0' + value % 10);
		value /= 10;
	} while (value || len < at_least);
	while (len)
		*to++ = digits[--len];
	return to;
}

static char *write_number(char *to, struct exposition_number n)
{
	uint64_t one = 1, rest;

	for (unsigned i = 0; i < n.decimals; i++)
		one *= 10;
	rest = n.value % one;
	to = write_digits(to, n.value / one, 1);
	if (!rest)
		return to;
	*to++ = '.';
	to = write_digits(to, rest, n.decimals);
	while (to[-1] == '0')
		to--;
	return to;
}

/* ---- families ---- */

static const char *const type_texts[][2] = {
	[EXPOSITION_COUNTER] = {"counter", "counter"},
	[EXPOSITION_GAUGE] = {"gauge", "gauge"},
	[EXPOSITION_HISTOGRAM] = {"histogram", "histogram"},
	[EXPOSITION_INFO] = {"gauge", "info"}, /* which 0.0.4 does not know */
};

/* The family's name in OpenMetrics. */
static struct span without_suffix(const struct exposition_family *f)
{
	struct span name = span_str(f->name);
	struct span suffix = f->type == EXPOSITION_COUNTER ? SPAN("_total")
			     : f->type == EXPOSITION_INFO  ? SPAN("_info")
							   : SPAN("");

	must(span_ends_with(name, suffix));
	name.len -= suffix.len;
	return name;
}

static struct span unit_of(struct span name)
{
	static const struct span units[] = {SPAN("_seconds"), SPAN("_bytes"), SPAN("_ratio")};

	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (span_ends_with(name, units[i]))
			return span_of(units[i].ptr + 1, units[i].len - 1);
	return SPAN_NONE;
}

static void put_line(struct exposition_text *t, const char *keyword, struct span name,
		     struct span text)
{
	put_str(t, keyword);
	put(t, name);
	put_str(t, " ");
	put(t, text);
	put_str(t, "\n");
}

void exposition_head(struct exposition_text *t, const struct exposition_family *f)
{
	bool is_open = t->format == EXPOSITION_OPENMETRICS;
	struct span name = is_open ? without_suffix(f) : span_str(f->name);
	struct span unit = is_open ? unit_of(name) : SPAN_NONE;

	put_line(t, "# HELP ", name, span_str(f->help));
	put_line(t, "# TYPE ", name, span_str(type_texts[f->type][is_open]));
	if (unit.len)
		put_line(t, "# UNIT ", name, unit);
}

static void put_sample(struct exposition_text *t, const char *name, const char *suffix,
		       struct span labels, struct span more_labels, struct exposition_number number)
{
	struct span parts[] = {span_str(name), span_str(suffix)};
	char *at =
		room(t, parts[0].len + parts[1].len + labels.len + more_labels.len + NUMBER_BYTES);

	if (!at)
		return;
	at = copy(copy(at, parts[0]), parts[1]);
	if (labels.len || more_labels.len) {
		*at++ = '{';
		at = copy(at, labels);
		if (labels.len && more_labels.len)
			*at++ = ',';
		at = copy(at, more_labels);
		*at++ = '}';
	}
	*at++ = ' ';
	at = write_number(at, number);
	*at++ = '\n';
	t->len = (size_t)(at - t->at);
}

void exposition_sample(struct exposition_text *t, const char *name, struct span labels,
		       struct exposition_number number)
{
	put_sample(t, name, "", labels, SPAN_NONE, number);
}

/* le="0.000096"; whole numbers with a point, which OpenMetrics wants and 0.0.4 allows, so that
 * a bucket is the same series in both. */
static struct span bound_label(char *out, struct exposition_number bound)
{
	char *at = copy(out, SPAN("le=\"")), *number = at;

	at = write_number(at, bound);
	if (!memchr(number, '.', (size_t)(at - number)))
		at = copy(at, SPAN(".0"));
	*at++ = '"';
	return span_of(out, (size_t)(at - out));
}

void exposition_histogram(struct exposition_text *t, const char *name, struct span labels,
			  const struct histogram_reading *reading, const uint64_t *bounds,
			  size_t bounds_len, uint8_t decimals)
{
	char le[NUMBER_BYTES + sizeof("le=\"\".0")];
	struct exposition_number n = {0};
	unsigned bucket = 0;

	for (size_t i = 0; i < bounds_len; i++) {
		struct exposition_number bound = {bounds[i], decimals};

		while (histogram_bound(reading->shape, bucket) < bounds[i])
			n.value += reading->buckets[bucket++];
		must(histogram_bound(reading->shape, bucket) == bounds[i]);
		n.value += reading->buckets[bucket++];
		put_sample(t, name, "_bucket", labels, bound_label(le, bound), n);
	}
	n.value = reading->count;
	put_sample(t, name, "_bucket", labels, SPAN("le=\"+Inf\""), n);
	put_sample(t, name, "_count", labels, SPAN_NONE, n);
	put_sample(t, name, "_sum", labels, SPAN_NONE,
		   (struct exposition_number){reading->sum, decimals});
}

void exposition_end(struct exposition_text *t)
{
	if (t->format == EXPOSITION_OPENMETRICS)
		put_str(t, "# EOF\n");
}

/* ---- labels ---- */

/* Bytes of the UTF-8 character at `s`; 0: it is none (RFC 3629 section 4). */
static unsigned character_len(const unsigned char *s)
{
	unsigned low = 0x80, high = 0xbf, len;

	if (s[0] < 0x80)
		return 1;
	len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	/* Neither too long a form, nor a surrogate, nor above U+10FFFF. */
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	/* The text ends with NUL, which is no byte of a character. */
	for (unsigned i = 2; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static struct span escape_of(char c)
{
	switch (c) {
	case '\\': return SPAN("\\\\");
	case '"': return SPAN("\\\"");
	case '\n': return SPAN("\\n");
	default: return SPAN_NONE;
	}
}

/* What needs no change goes in one piece. */
static void put_escaped(struct exposition_text *t, const char *value)
{
	const char *plain = value;

	while (*value) {
		unsigned len = character_len((const unsigned char *)value);
		struct span escape = len ? escape_of(*value) : SPAN("\xef\xbf\xbd");

		if (escape.len) {
			put(t, span_of(plain, (size_t)(value - plain)));
			put(t, escape);
			plain = value + 1;
		}
		value += len ? len : 1;
	}
	put(t, span_of(plain, (size_t)(value - plain)));
}

static void begin_label(struct exposition_text *labels, const char *name)
{
	if (labels->len)
		put_str(labels, ",");
	put_str(labels, name);
	put_str(labels, "=\"");
}

void exposition_label(struct exposition_text *labels, const char *name, const char *value)
{
	begin_label(labels, name);
	put_escaped(labels, value);
	put_str(labels, "\"");
}

void exposition_label_number(struct exposition_text *labels, const char *name, uint64_t value)
{
	char digits[20];

	begin_label(labels, name);
	put(labels, span_of(digits, (size_t)(write_digits(digits, value, 1) - digits)));
	put_str(labels, "\"");
}

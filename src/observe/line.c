#include "line.h"

#include <time.h>

void line_put_u64(struct line *l, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	line_put(l, span_of(digits + at, sizeof(digits) - at));
}

void line_put_digits(struct line *l, uint64_t value, unsigned digits)
{
	must(digits <= (size_t)(l->end - l->at));
	for (unsigned i = digits; i-- > 0; value /= 10)
		l->at[i] = (char)('0' + value % 10);
	l->at += digits;
}

/* Bytes of the UTF-8 character that s begins with, 0 when it begins with none; s
 * begins with no ASCII. RFC 3629 section 4: no overlong form, no surrogate, nothing above U+10FFFF.
 * The control characters U+0080 to U+009F count as none: terminals obey them. */
static size_t utf8_len(struct span s)
{
	const uint8_t *b = (const uint8_t *)s.ptr;
	uint8_t low = 0x80, high = 0xbf;
	size_t len;

	if (b[0] >= 0xc2 && b[0] <= 0xdf) {
		len = 2;
		if (b[0] == 0xc2)
			low = 0xa0;
	} else if (b[0] >= 0xe0 && b[0] <= 0xef) {
		len = 3;
		if (b[0] == 0xe0)
			low = 0xa0;
		if (b[0] == 0xed)
			high = 0x9f;
	} else if (b[0] >= 0xf0 && b[0] <= 0xf4) {
		len = 4;
		if (b[0] == 0xf0)
			low = 0x90;
		if (b[0] == 0xf4)
			high = 0x8f;
	} else {
		return 0;
	}
	if (s.len < len || b[1] < low || b[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (b[i] < 0x80 || b[i] > 0xbf)
			return 0;
	return len;
}

/* What a byte may need, looked up because most bytes need nothing. */
enum { CONTROL = 1, QUOTE = 2, NOT_ASCII = 4 };
static const uint8_t classes[256] = {
	[0 ... 0x1f] = CONTROL,      [0x7f] = CONTROL, ['"'] = QUOTE, ['\\'] = QUOTE,
	[0x80 ... 0xff] = NOT_ASCII,
};

/* Length of the longest beginning that needs no escape. */
static size_t plain_len(struct span s, enum line_escape escape)
{
	size_t at = 0;

	for (;;) {
		size_t len = 0;

		while (at < s.len && !classes[(uint8_t)s.ptr[at]])
			at++;
		if (at == s.len)
			return at;
		if (classes[(uint8_t)s.ptr[at]] == NOT_ASCII)
			len = utf8_len(span_of(s.ptr + at, s.len - at));
		else if (classes[(uint8_t)s.ptr[at]] == QUOTE && escape == LINE_PLAIN)
			len = 1;
		if (!len)
			return at;
		at += len;
	}
}

static void put_escaped_byte(struct line *l, uint8_t byte, enum line_escape escape)
{
	static const char hex[] = "0123456789abcdef";

	*l->at++ = '\\';
	if (byte == '"' || byte == '\\') {
		*l->at++ = (char)byte;
		return;
	}
	if (escape == LINE_JSON) {
		memcpy(l->at, "u00", 3);
		l->at += 3;
	} else {
		*l->at++ = 'x';
	}
	*l->at++ = hex[byte >> 4];
	*l->at++ = hex[byte & 15];
}

void line_put_escaped(struct line *l, struct span s, enum line_escape escape)
{
	must(s.len <= (size_t)(l->end - l->at) / LINE_ESCAPED_BYTES);
	while (s.len) {
		size_t len = plain_len(s, escape);

		memcpy(l->at, s.ptr, len);
		l->at += len;
		if (len < s.len)
			put_escaped_byte(l, (uint8_t)s.ptr[len++], escape);
		s = span_of(s.ptr + len, s.len - len);
	}
}

void line_put_time(struct line *l, uint64_t unix_us, bool with_us)
{
	time_t seconds = (time_t)(unix_us / 1000000);
	struct tm tm;

	must(gmtime_r(&seconds, &tm));
	line_put_digits(l, (uint64_t)tm.tm_year + 1900, 4);
	line_put_literal(l, "-");
	line_put_digits(l, (uint64_t)tm.tm_mon + 1, 2);
	line_put_literal(l, "-");
	line_put_digits(l, (uint64_t)tm.tm_mday, 2);
	line_put_literal(l, "T");
	line_put_digits(l, (uint64_t)tm.tm_hour, 2);
	line_put_literal(l, ":");
	line_put_digits(l, (uint64_t)tm.tm_min, 2);
	line_put_literal(l, ":");
	line_put_digits(l, (uint64_t)tm.tm_sec, 2);
	if (with_us) {
		line_put_literal(l, ".");
		line_put_digits(l, unix_us % 1000000, 6);
	}
	line_put_literal(l, "Z");
}

/* A line of a log while it is being put together: bytes that came from anywhere
 * become text that stays on one line.
 *
 * The caller gives as much room as its longest line needs; running out of it is a
 * bug and aborts.
 */
#ifndef RINGWAY_OBSERVE_LINE_H
#define RINGWAY_OBSERVE_LINE_H

#include <ringway/base/base.h>
#include <ringway/base/span.h>

/* What one byte of input can become at most: \u00XX. */
#define LINE_ESCAPED_BYTES 6

struct line {
	char *at;
	char *end;
};

enum line_escape {
	LINE_JSON,  /* inside of a JSON string: "\n", "\u00ff" for a byte that is no UTF-8 */
	LINE_QUOTE, /* inside of quotes: \" and \\, other bytes as \x0a */
	LINE_PLAIN, /* for reading only: quotes and backslashes stay, other bytes as \x0a */
};

/* As it is. Inline, so that literals become a few stores: lines are mostly literals. */
static inline void line_put(struct line *l, struct span s)
{
	must(s.len <= (size_t)(l->end - l->at));
	if (s.len)
		memcpy(l->at, s.ptr, s.len);
	l->at += s.len;
}

void line_put_u64(struct line *l, uint64_t value);
/* Control characters and whatever is not UTF-8 (RFC 3629) never come out as they
 * are, so a reader sees one line and a terminal is not taken over. */
void line_put_escaped(struct line *l, struct span s, enum line_escape escape);
/* With leading zeros; for dates. */
void line_put_digits(struct line *l, uint64_t value, unsigned digits);
/* "2026-11-21T01:02:03Z", or with ".123456" before the Z. */
void line_put_time(struct line *l, uint64_t unix_us, bool with_us);

#define line_put_literal(l, literal) line_put((l), SPAN(literal))

#endif

/* Borrowed bytes: a pointer and a length, never owned, never NUL-terminated.
 * Whoever hands one out says how long it holds.
 */
#ifndef RINGWAY_BASE_SPAN_H
#define RINGWAY_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *ptr;
	size_t len;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
#define SPAN_NONE ((struct span){NULL, 0})
/* For printf("%.*s"). */
#define SPAN_FMT(s) (int)(s).len, (s).ptr

static inline struct span span_of(const char *ptr, size_t len)
{
	return (struct span){ptr, len};
}

static inline struct span span_str(const char *str)
{
	return (struct span){str, str ? strlen(str) : 0};
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Of a hexadecimal digit; -1 when it is none. */
static inline int ascii_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Equal but for the case of ASCII letters. */
bool span_ieq(struct span a, struct span b);

bool span_starts_with(struct span s, struct span prefix);
bool span_ends_with(struct span s, struct span suffix);

/* Without spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3). */
struct span span_trim(struct span s);

/* Takes the next element of a comma-separated list (RFC 9110 section 5.6.1),
 * trimmed; empty elements are skipped. False at the end. Quoted strings are not
 * understood: for lists of tokens only. */
bool span_next_token(struct span *list, struct span *ret_token);

/* Decimal digits only, the whole span, no sign; false when empty or too big. */
bool span_to_u64(struct span s, uint64_t *ret_value);

#endif

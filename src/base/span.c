#include <ringway/base/span.h>

bool span_ieq(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
			return false;
	return true;
}

bool span_starts_with(struct span s, struct span prefix)
{
	return s.len >= prefix.len && span_eq(span_of(s.ptr, prefix.len), prefix);
}

bool span_ends_with(struct span s, struct span suffix)
{
	if (suffix.len == 0) /* s.ptr may be NULL, and NULL + 0 is undefined */
		return true;
	return s.len >= suffix.len &&
	       span_eq(span_of(s.ptr + s.len - suffix.len, suffix.len), suffix);
}

struct span span_trim(struct span s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
		s.ptr++;
		s.len--;
	}
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

bool span_next_token(struct span *list, struct span *ret_token)
{
	while (list->len) {
		const char *comma = memchr(list->ptr, ',', list->len);
		size_t len = comma ? (size_t)(comma - list->ptr) : list->len;
		struct span token = span_trim(span_of(list->ptr, len));

		list->ptr += len;
		list->len -= len;
		if (comma) {
			list->ptr++;
			list->len--;
		}
		if (token.len) {
			*ret_token = token;
			return true;
		}
	}
	return false;
}

bool span_to_u64(struct span s, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.ptr[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	*ret_value = value;
	return true;
}

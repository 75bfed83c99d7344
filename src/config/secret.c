#include "secret.h"

#include <ringway/base/base.h>

static const struct span secret_keys[] = {
	{"jwt_secret", 10}, {"secret", 6}, {"token", 5}, {"password", 8}, {"hash", 4},
};

static bool is_word(char c)
{
	char l = ascii_lower(c);

	return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'';
}

/* Length of a secret key at the start, 0 when there is none. */
static size_t key_at(struct span s)
{
	for (size_t i = 0; i < ARRAY_LEN(secret_keys); i++)
		if (span_starts_with(s, secret_keys[i]) &&
		    (s.len == secret_keys[i].len || !is_word(s.ptr[secret_keys[i].len])))
			return secret_keys[i].len;
	return 0;
}

/* Where a value that starts at `from` ends. */
static size_t value_end(const char *line, size_t from, size_t len)
{
	size_t at = from;

	if (at < len && is_quote(line[at])) {
		at++;
		while (at < len && line[at] != line[from])
			at += line[at] == '\\' && line[from] == '"' ? 2 : 1;
		return at < len ? at : len;
	}
	if (at + 1 < len && line[at] == '$' && line[at + 1] == '{') {
		while (at < len && line[at] != '}')
			at++;
		if (at < len)
			at++;
	}
	while (at < len && line[at] != ',' && line[at] != '}' && line[at] != ' ')
		at++;
	return at;
}

static bool only_names_its_secret(struct span value)
{
	return value.len > 3 && span_starts_with(value, SPAN("${")) &&
	       memchr(value.ptr, '}', value.len) == value.ptr + value.len - 1 &&
	       !memmem(value.ptr, value.len, ":-", 2) && !memmem(value.ptr, value.len, "://", 3);
}

/* Returns where the value ends. */
static size_t mask_value(char *line, size_t from, size_t len)
{
	size_t end = value_end(line, from, len);

	if (from < len && is_quote(line[from]))
		from++;
	if (end > from && !only_names_its_secret(span_of(line + from, end - from)))
		memset(line + from, '*', end - from);
	return end;
}

/* The password of "scheme://user:password@host". */
static void mask_url(char *line, size_t from, size_t len)
{
	size_t end = from, colon = 0;

	while (end < len && !strchr("/@ \t\"'", line[end])) {
		if (line[end] == ':' && !colon)
			colon = end;
		end++;
	}
	if (end < len && line[end] == '@' && colon)
		memset(line + colon + 1, '*', end - colon - 1);
}

void secret_mask(char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		size_t key = i && is_word(line[i - 1]) ? 0 : key_at(span_of(line + i, len - i));
		size_t at = i + key;

		if (len - i > 3 && memcmp(line + i, "://", 3) == 0)
			mask_url(line, i + 3, len);
		if (!key)
			continue;
		if (at < len && is_quote(line[at]))
			at++;
		if (at >= len || line[at] != ':')
			continue;
		at++;
		while (at < len && (line[at] == ' ' || line[at] == '\t'))
			at++;
		at = mask_value(line, at, len);
		/* What is left readable names its secret, and holds none. */
		i = at > i ? at - 1 : i;
	}
}

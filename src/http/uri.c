#include <ringway/http/charset.h>
#include <ringway/http/uri.h>

#include <arpa/inet.h>

/* The byte that "%XX" at `at` stands for, -1 when it is not one. */
static int percent_value(const char *at, const char *end)
{
	int high, low;

	if (end - at < 3)
		return -1;
	high = ascii_hex(at[1]);
	low = ascii_hex(at[2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* RFC 3986 section 2.3; the set of the same characters serves for hosts. */
static bool is_unreserved(int byte)
{
	return byte < 0x80 && charset_has(&charset_host, (char)byte);
}

static bool is_ipv6_literal(struct span s)
{
	struct in6_addr ignored;
	char text[INET6_ADDRSTRLEN];

	if (s.len >= sizeof(text) || memchr(s.ptr, 0, s.len))
		return false;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	return inet_pton(AF_INET6, text, &ignored) == 1;
}

/* At least one digit and 1..65535. Leading zeros are taken as long as they are few. */
static bool port_parse(const char *at, const char *end, uint16_t *ret_port)
{
	unsigned port = 0;

	if (at == end || end - at > 8)
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return false;
		port = port * 10 + (unsigned)(*at - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

/* charset_host as a table of its own: hosts are short, and each request has one. */
static const bool host_char[256] = {
	['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true,
	['.'] = true,         ['_'] = true,         ['~'] = true,
};

bool uri_authority_parse(struct span authority, struct span *ret_host, uint16_t *ret_port)
{
	const char *begin = authority.ptr, *end = begin + authority.len, *host_end;
	uint16_t port = 0;

	if (!authority.len)
		return false;
	if (*begin == '[') {
		host_end = memchr(begin, ']', authority.len);
		if (!host_end ||
		    !is_ipv6_literal(span_of(begin + 1, (size_t)(host_end - begin - 1))))
			return false;
		host_end++;
	} else {
		for (host_end = begin; host_end < end && host_char[(uint8_t)*host_end]; host_end++)
			;
		if (host_end == begin)
			return false;
	}
	if (host_end < end && (*host_end != ':' || !port_parse(host_end + 1, end, &port)))
		return false;
	*ret_host = span_of(begin, (size_t)(host_end - begin));
	*ret_port = port;
	return true;
}

bool uri_absolute_parse(struct span target, struct span *ret_scheme, struct span *ret_authority,
			struct span *ret_rest)
{
	const char *end = target.ptr + target.len, *at = memchr(target.ptr, ':', target.len);
	const char *authority;
	struct span scheme, ignored_host;
	uint16_t ignored_port;

	if (!at || end - at < 3 || at[1] != '/' || at[2] != '/')
		return false;
	scheme = span_of(target.ptr, (size_t)(at - target.ptr));
	if (span_ieq(scheme, SPAN("http")))
		scheme = SPAN("http");
	else if (span_ieq(scheme, SPAN("https")))
		scheme = SPAN("https");
	else
		return false;
	authority = at + 3;
	for (at = authority; at < end && *at != '/' && *at != '?'; at++)
		;
	if (!uri_authority_parse(span_of(authority, (size_t)(at - authority)), &ignored_host,
				 &ignored_port))
		return false;
	*ret_scheme = scheme;
	*ret_authority = span_of(authority, (size_t)(at - authority));
	*ret_rest = span_of(at, (size_t)(end - at));
	return true;
}

/* A path is its own normal form when it has only characters that stand for
 * themselves and no segment begins with a dot. That is nearly every path. */
static bool is_plain_scalar(const char *at, const char *end)
{
	char before = 0;

	for (; at < end; before = *at++)
		if (!charset_has(&charset_path, *at) || (*at == '.' && before == '/'))
			return false;
	return true;
}

#if CHARSET_X86
CHARSET_SSE42 static bool is_plain_sse42(const char *at, const char *end)
{
	const __m128i dot = _mm_set1_epi8('.'), slash = _mm_set1_epi8('/');

	/* Each step looks at 16 characters and at the 15 pairs that they form; one
	 * character of overlap covers the pair between two steps. */
	for (;;) {
		__m128i text = _mm_loadu_si128((const __m128i *)at);
		uint32_t dots = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(text, dot));
		uint32_t slashes = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(text, slash));

		if (charset_ends16(&charset_path, true, at) | (dots & slashes << 1))
			return false;
		if (end - at == 16)
			return true;
		at = end - at >= 31 ? at + 15 : end - 16;
	}
}
#endif

static bool is_plain(struct span path)
{
	const char *end = path.ptr + path.len;

#if CHARSET_X86
	if (path.len >= 16 && __builtin_cpu_supports("sse4.2"))
		return is_plain_sse42(path.ptr, end);
#endif
	return is_plain_scalar(path.ptr, end);
}

enum segment { SEGMENT_NAME, SEGMENT_DOT, SEGMENT_DOT_DOT };

/* Of decoded text without slash. */
static enum segment segment_of(const char *at, size_t len)
{
	if (len == 1 && at[0] == '.')
		return SEGMENT_DOT;
	return len == 2 && at[0] == '.' && at[1] == '.' ? SEGMENT_DOT_DOT : SEGMENT_NAME;
}

enum uri_path_verdict uri_path_check(struct span path)
{
	const char *at = path.ptr, *end = at + path.len;
	enum uri_path_verdict verdict = URI_PATH_CLEAN;
	size_t depth = 0;

	if (!path.len || *at != '/')
		return URI_PATH_BAD;
	if (is_plain(path))
		return URI_PATH_CLEAN;
	while (at < end) {
		char first[3]; /* of the segment, decoded: enough to know "." and ".." */
		size_t len = 0;

		for (at++; at < end && *at != '/'; len++) {
			char c = *at;
			int byte;

			if (c != '%') {
				if (!charset_has(&charset_path, c))
					return URI_PATH_BAD;
				at++;
			} else {
				byte = percent_value(at, end);
				if (byte <= 0)
					return URI_PATH_BAD;
				if (is_unreserved(byte) || (at[1] >= 'a') || (at[2] >= 'a'))
					verdict = URI_PATH_DIRTY;
				c = is_unreserved(byte) ? (char)byte : '%';
				at += 3;
			}
			if (len < sizeof(first))
				first[len] = c;
		}
		switch (segment_of(first, len)) {
		case SEGMENT_NAME: depth++; break;
		case SEGMENT_DOT: verdict = URI_PATH_DIRTY; break;
		case SEGMENT_DOT_DOT:
			if (!depth)
				return URI_PATH_BAD;
			depth--;
			verdict = URI_PATH_DIRTY;
			break;
		}
	}
	return verdict;
}

/* Decodes one segment from `at` on, up to its slash, and returns where that is. */
static const char *segment_decode(const char *at, const char *end, char **out)
{
	static const char upper[] = "0123456789ABCDEF";
	char *to = *out;

	while (at < end && *at != '/') {
		int byte = *at == '%' ? percent_value(at, end) : -1;

		if (byte < 0) {
			*to++ = *at++;
			continue;
		}
		if (is_unreserved(byte)) {
			*to++ = (char)byte;
		} else {
			*to++ = '%';
			*to++ = upper[byte >> 4];
			*to++ = upper[byte & 15];
		}
		at += 3;
	}
	*out = to;
	return at;
}

size_t uri_path_normalise(struct span path, char *out)
{
	const char *at = path.ptr, *end = at + path.len;
	char *to = out;

	/* Each turn takes "/segment". A dot segment goes away with the slash before it,
	 * but at the very end it leaves that slash behind. */
	while (at < end) {
		char *slash = to, *segment;

		*to++ = '/';
		segment = to;
		at = segment_decode(at + 1, end, &to);
		switch (segment_of(segment, (size_t)(to - segment))) {
		case SEGMENT_NAME: continue;
		case SEGMENT_DOT: to = slash; break;
		case SEGMENT_DOT_DOT:
			if (slash == out)
				return 0;
			for (to = slash - 1; *to != '/'; to--)
				;
			break;
		}
		if (at == end)
			*to++ = '/';
	}
	return (size_t)(to - out);
}

bool uri_query_check(struct span query)
{
	const char *at = query.ptr, *end = at + query.len;

	if (charset_all(&charset_query, query))
		return true;
	for (; at < end; at++) {
		if (charset_has(&charset_query, *at))
			continue;
		if (*at != '%' || percent_value(at, end) < 0)
			return false;
		at += 2;
	}
	return true;
}

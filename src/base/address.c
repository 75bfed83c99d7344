#include <ringway/base/address.h>

#include <arpa/inet.h>
#include <stdio.h>

#include <ringway/base/base.h>

#define UNIX_PREFIX     "unix:"
#define UNIX_PATH_BYTES sizeof(((struct sockaddr_un *)NULL)->sun_path)
#define MAPPED_BITS     96

_Static_assert(sizeof(UNIX_PREFIX) + UNIX_PATH_BYTES <= ADDRESS_TEXT_BYTES, "a path must fit");
_Static_assert(INET6_ADDRSTRLEN + sizeof("[]:65535") <= ADDRESS_TEXT_BYTES, "an address must fit");

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* inet_pton() takes text with a NUL behind it. */
static bool parse_ip(int family, struct span text, void *out)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	return inet_pton(family, copy, out) == 1;
}

static void set_ipv4(struct address *a, struct in_addr ip, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	a->in.sin_family = AF_INET;
	a->in.sin_addr = ip;
	a->in.sin_port = htons(port);
	a->len = sizeof(a->in);
}

static void set_ipv6(struct address *a, struct in6_addr ip, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_addr = ip;
	a->in6.sin6_port = htons(port);
	a->len = sizeof(a->in6);
}

bool address_from_ip(struct span text, uint16_t port, struct address *ret_address)
{
	struct in_addr ipv4;
	struct in6_addr ipv6;

	if (parse_ip(AF_INET, text, &ipv4)) {
		set_ipv4(ret_address, ipv4, port);
		return true;
	}
	if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
		text = span_of(text.ptr + 1, text.len - 2);
	if (!parse_ip(AF_INET6, text, &ipv6))
		return false;
	set_ipv6(ret_address, ipv6, port);
	return true;
}

static bool unix_from_path(struct span path, struct address *ret_address)
{
	if (path.len == 0 || path.ptr[0] != '/' || path.len >= UNIX_PATH_BYTES ||
	    memchr(path.ptr, '\0', path.len))
		return false;
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->un.sun_family = AF_UNIX;
	memcpy(ret_address->un.sun_path, path.ptr, path.len);
	ret_address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
	return true;
}

bool address_from_text(struct span text, struct address *ret_address)
{
	struct span prefix = SPAN(UNIX_PREFIX);
	const char *colon;
	struct span host;
	uint64_t port;

	if (!text.len)
		return false;
	if (span_starts_with(text, prefix))
		return unix_from_path(span_of(text.ptr + prefix.len, text.len - prefix.len),
				      ret_address);
	colon = memrchr(text.ptr, ':', text.len);
	if (!colon)
		return false;
	host = span_of(text.ptr, (size_t)(colon - text.ptr));
	if (!span_to_u64(span_of(colon + 1, text.len - host.len - 1), &port) || port > UINT16_MAX)
		return false;
	if (host.len == 0)
		host = SPAN("0.0.0.0");
	/* Without brackets "::1:80" could be read in two ways. */
	else if (host.ptr[0] != '[' && memchr(host.ptr, ':', host.len))
		return false;
	return address_from_ip(host, (uint16_t)port, ret_address);
}

/* The path as the kernel counts it: it need not end in a NUL. */
static struct span unix_path(const struct address *a)
{
	size_t room = a->len - offsetof(struct sockaddr_un, sun_path);

	if (room > UNIX_PATH_BYTES)
		room = UNIX_PATH_BYTES;
	return span_of(a->un.sun_path, strnlen(a->un.sun_path, room));
}

bool address_eq(const struct address *a, const struct address *b)
{
	if (a->len == 0 || b->len == 0)
		return a->len == b->len;
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	switch (a->sa.sa_family) {
	case AF_INET:
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr &&
		       a->in.sin_port == b->in.sin_port;
	case AF_INET6:
		return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr) &&
		       a->in6.sin6_port == b->in6.sin6_port &&
		       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
	case AF_UNIX: return span_eq(unix_path(a), unix_path(b));
	default: return false;
	}
}

uint16_t address_port(const struct address *a)
{
	if (a->len == 0)
		return 0;
	switch (a->sa.sa_family) {
	case AF_INET: return ntohs(a->in.sin_port);
	case AF_INET6: return ntohs(a->in6.sin6_port);
	default: return 0;
	}
}

void address_set_port(struct address *a, uint16_t port)
{
	if (a->len == 0)
		return;
	switch (a->sa.sa_family) {
	case AF_INET: a->in.sin_port = htons(port); break;
	case AF_INET6: a->in6.sin6_port = htons(port); break;
	default: break;
	}
}

/* By hand: it runs once per connection, and inet_ntop() goes through sprintf(). */
static size_t ipv4_text(const uint8_t octets[4], char *out)
{
	char *at = out;

	for (int i = 0; i < 4; i++) {
		unsigned octet = octets[i];

		if (octet >= 100)
			*at++ = (char)('0' + octet / 100);
		if (octet >= 10)
			*at++ = (char)('0' + octet / 10 % 10);
		*at++ = (char)('0' + octet % 10);
		*at++ = '.';
	}
	*--at = '\0';
	return (size_t)(at - out);
}

static size_t ipv6_text(const struct address *a, char *out)
{
	must(inet_ntop(AF_INET6, &a->in6.sin6_addr, out, INET6_ADDRSTRLEN));
	return strlen(out);
}

size_t address_ip_text(const struct address *a, char out[static ADDRESS_TEXT_BYTES])
{
	out[0] = '\0';
	if (a->len == 0)
		return 0;
	switch (a->sa.sa_family) {
	case AF_INET: return ipv4_text((const uint8_t *)&a->in.sin_addr, out);
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
			return ipv4_text(a->in6.sin6_addr.s6_addr + sizeof(mapped_prefix), out);
		return ipv6_text(a, out);
	case AF_UNIX: memcpy(out, "unix", sizeof("unix")); return strlen("unix");
	default: return 0;
	}
}

static size_t append_port(const struct address *a, char *out, size_t len)
{
	return len + (size_t)snprintf(out + len, sizeof(":65535"), ":%u", address_port(a));
}

size_t address_text(const struct address *a, char out[static ADDRESS_TEXT_BYTES])
{
	struct span path;
	size_t len;

	out[0] = '\0';
	if (a->len == 0)
		return 0;
	switch (a->sa.sa_family) {
	case AF_INET: return append_port(a, out, ipv4_text((const uint8_t *)&a->in.sin_addr, out));
	case AF_INET6:
		out[0] = '[';
		len = 1 + ipv6_text(a, out + 1);
		out[len++] = ']';
		return append_port(a, out, len);
	case AF_UNIX:
		path = unix_path(a);
		len = strlen(UNIX_PREFIX);
		memcpy(out, UNIX_PREFIX, len);
		memcpy(out + len, path.ptr, path.len);
		out[len + path.len] = '\0';
		return len + path.len;
	default: return 0;
	}
}

bool address_mapped_bytes(const struct address *a, uint8_t out[16])
{
	if (a->len == 0)
		return false;
	switch (a->sa.sa_family) {
	case AF_INET:
		memcpy(out, mapped_prefix, sizeof(mapped_prefix));
		memcpy(out + sizeof(mapped_prefix), &a->in.sin_addr, 4);
		return true;
	case AF_INET6: memcpy(out, &a->in6.sin6_addr, 16); return true;
	default: return false;
	}
}

bool address_is_mapped(const uint8_t bytes[16])
{
	return memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static bool prefix_eq(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 && (!rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

static bool bits_behind(const uint8_t bytes[16], unsigned bits)
{
	for (unsigned i = bits; i < 128; i++)
		if (bytes[i / 8] & (0x80 >> i % 8))
			return true;
	return false;
}

bool cidr_from_text(struct span text, struct cidr *ret_cidr)
{
	const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
	struct span ip = slash ? span_of(text.ptr, (size_t)(slash - text.ptr)) : text;
	struct address address;
	uint64_t bits, most;
	struct cidr c;

	if (ip.len && ip.ptr[0] == '[')
		return false;
	if (!address_from_ip(ip, 0, &address) || !address_mapped_bytes(&address, c.bytes))
		return false;
	bits = most = address.sa.sa_family == AF_INET ? 32 : 128;
	if (slash &&
	    (!span_to_u64(span_of(slash + 1, text.len - ip.len - 1), &bits) || bits > most))
		return false;
	c.bits = (uint8_t)(bits + 128 - most);
	if (bits_behind(c.bytes, c.bits))
		return false;
	*ret_cidr = c;
	return true;
}

bool cidr_contains(const struct cidr *c, const struct address *a)
{
	uint8_t bytes[16];

	if (!address_mapped_bytes(a, bytes))
		return false;
	/* "::/0" is every IPv6 address; whoever means IPv4 as well writes it. */
	if (c->bits < MAPPED_BITS && address_is_mapped(bytes))
		return false;
	return prefix_eq(bytes, c->bytes, c->bits);
}

#include <ringway/net/proxy_header.h>

#include <ringway/base/base.h>

#define V2_FIXED_BYTES 16 /* signature, version and command, family and protocol, length */

static const struct span v1_signature = SPAN("PROXY ");
static const struct span v2_signature = SPAN("\r\n\r\n\0\r\nQUIT\n");

/* Section 2.2, as they lie in the 13th and 14th byte. */
enum { V2_VERSION = 2, V2_LOCAL = 0, V2_PROXY = 1 };
enum { V2_UNSPEC = 0, V2_INET = 1, V2_INET6 = 2, V2_UNIX = 3 };
enum { V2_STREAM = 1, V2_DGRAM = 2 };

#define V2_INET_BYTES      (2 * (4 + 2))
#define V2_INET6_BYTES     (2 * (16 + 2))
#define V2_UNIX_PATH_BYTES 108
#define V2_UNIX_BYTES      (2 * V2_UNIX_PATH_BYTES)

#define TLV_HEADER_BYTES 3
#define TLV_CRC32C       3
#define CRC32C_BYTES     4

_Static_assert(sizeof(((struct sockaddr_un *)NULL)->sun_path) == V2_UNIX_PATH_BYTES,
	       "a path of the header is a path of ours");

static enum proxy_header_result bad(const char **ret_detail, const char *detail)
{
	*ret_detail = detail;
	return PROXY_HEADER_BAD;
}

/* ---- version 1 ---- */

/* The next of the words that are divided by exactly one space each: two in a row make an
 * empty one, which nothing accepts. False behind the last. */
static bool next_word(struct span *line, struct span *ret_word)
{
	const char *space;

	if (!line->ptr)
		return false;
	space = memchr(line->ptr, ' ', line->len);
	if (!space) {
		*ret_word = *line;
		*line = SPAN_NONE;
		return true;
	}
	*ret_word = span_of(line->ptr, (size_t)(space - line->ptr));
	*line = span_of(space + 1, line->len - ret_word->len - 1);
	return true;
}

/* No leading zeros: elsewhere they mean octal. */
static bool port_from(struct span word, uint16_t *ret_port)
{
	uint64_t port;

	if (!span_to_u64(word, &port) || port > UINT16_MAX || (word.len > 1 && *word.ptr == '0'))
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

/* Of this family, and without the brackets of a URI. */
static bool address_from(struct span word, int family, struct address *ret_address)
{
	return word.len && *word.ptr != '[' && address_from_ip(word, 0, ret_address) &&
	       ret_address->sa.sa_family == family;
}

/* What stands behind "PROXY " and before CRLF. NULL, or what is wrong. */
static const char *read_v1_words(struct span line, struct proxy_header *header)
{
	struct span word, source, destination, source_port, destination_port;
	uint16_t port;
	int family;

	next_word(&line, &word);
	if (span_eq(word, SPAN("UNKNOWN"))) {
		/* What follows must be ignored. */
		header->is_local = true;
		return NULL;
	}
	if (span_eq(word, SPAN("TCP4")))
		family = AF_INET;
	else if (span_eq(word, SPAN("TCP6")))
		family = AF_INET6;
	else
		return "its protocol is none of TCP4, TCP6 and UNKNOWN";
	if (!next_word(&line, &source) || !next_word(&line, &destination) ||
	    !next_word(&line, &source_port) || !next_word(&line, &destination_port) || line.ptr)
		return "it has not two addresses and two ports, divided by single spaces";
	if (!address_from(source, family, &header->source) ||
	    !address_from(destination, family, &header->destination))
		return "an address is not one of its protocol's";
	if (!port_from(source_port, &port))
		return "the source port is not a plain decimal number up to 65535";
	address_set_port(&header->source, port);
	if (!port_from(destination_port, &port))
		return "the destination port is not a plain decimal number up to 65535";
	address_set_port(&header->destination, port);
	return NULL;
}

static enum proxy_header_result read_v1(struct span bytes, struct proxy_header *header,
					size_t *ret_used, const char **ret_detail)
{
	size_t room = min_u64(bytes.len, PROXY_HEADER_V1_MAX), len;
	const char *lf = memchr(bytes.ptr, '\n', room);
	const char *detail;
	struct span line;

	if (!lf && room < PROXY_HEADER_V1_MAX)
		return PROXY_HEADER_MORE;
	if (!lf)
		return bad(ret_detail, "its line has no end within 107 bytes");
	len = (size_t)(lf - bytes.ptr) + 1;
	if (lf[-1] != '\r')
		return bad(ret_detail, "its line ends in a bare LF");
	line = span_of(bytes.ptr + v1_signature.len, len - 2 - v1_signature.len);
	/* Nor may one of the two end it for another reader, even where the rest is ignored. */
	if (memchr(line.ptr, '\r', line.len))
		return bad(ret_detail, "a bare CR is in its line");
	detail = read_v1_words(line, header);
	if (detail)
		return bad(ret_detail, detail);
	*ret_used = len;
	return PROXY_HEADER_DONE;
}

/* ---- version 2 ---- */

static size_t number16(const uint8_t *at)
{
	return (size_t)at[0] << 8 | at[1];
}

/* Castagnoli's polynomial, reflected (RFC 4960 appendix B), four bits at a time: a table of
 * 64 bytes for something that is rare and short. */
static uint32_t crc32c_add(uint32_t crc, const uint8_t *at, size_t len)
{
	static const uint32_t step[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	while (len--) {
		crc ^= *at++;
		crc = crc >> 4 ^ step[crc & 15];
		crc = crc >> 4 ^ step[crc & 15];
	}
	return crc;
}

/* Of the whole header, its own field taken for zeros (section 2.2.3). */
static bool crc32c_holds(const uint8_t *header, size_t len, const uint8_t *field)
{
	static const uint8_t zeros[CRC32C_BYTES];
	const uint8_t *behind = field + CRC32C_BYTES;
	uint32_t sent = (uint32_t)(number16(field) << 16 | number16(field + 2));
	uint32_t crc = UINT32_MAX;

	crc = crc32c_add(crc, header, (size_t)(field - header));
	crc = crc32c_add(crc, zeros, sizeof(zeros));
	crc = crc32c_add(crc, behind, (size_t)(header + len - behind));
	return ~crc == sent;
}

/* Type, length, value behind the addresses. Only the checksum means something to us; the
 * others must fit. NULL, or what is wrong. */
static const char *check_extras(const uint8_t *header, size_t len, size_t addresses)
{
	const uint8_t *at = header + V2_FIXED_BYTES + addresses, *end = header + len;
	const uint8_t *crc = NULL;

	while (at < end) {
		size_t value;

		if (end - at < TLV_HEADER_BYTES)
			return "it ends inside an extra field";
		value = number16(at + 1);
		if (value > (size_t)(end - at - TLV_HEADER_BYTES))
			return "an extra field reaches beyond its end";
		if (*at == TLV_CRC32C) {
			if (value != CRC32C_BYTES || crc)
				return "its checksum has not four bytes, or comes twice";
			crc = at + TLV_HEADER_BYTES;
		}
		at += TLV_HEADER_BYTES + value;
	}
	return crc && !crc32c_holds(header, len, crc) ? "its checksum is wrong" : NULL;
}

static void set_inet(struct address *a, const uint8_t *ip, const uint8_t *port)
{
	*a = (struct address){.in.sin_family = AF_INET, .len = sizeof(a->in)};
	memcpy(&a->in.sin_addr, ip, 4);
	memcpy(&a->in.sin_port, port, 2);
}

static void set_inet6(struct address *a, const uint8_t *ip, const uint8_t *port)
{
	*a = (struct address){.in6.sin6_family = AF_INET6, .len = sizeof(a->in6)};
	memcpy(&a->in6.sin6_addr, ip, 16);
	memcpy(&a->in6.sin6_port, port, 2);
}

/* The path ends at its first NUL or at its 108th byte. One that begins with a NUL is no
 * path: unbound when nothing follows, else of Linux' abstract names. */
static void set_unix(struct address *a, const uint8_t *path)
{
	size_t len = strnlen((const char *)path, V2_UNIX_PATH_BYTES);

	*a = (struct address){.un.sun_family = AF_UNIX};
	memcpy(a->un.sun_path, path, V2_UNIX_PATH_BYTES);
	if (len)
		len = min_u64(len + 1, V2_UNIX_PATH_BYTES);
	else
		for (size_t i = 0; i < V2_UNIX_PATH_BYTES; i++)
			len = path[i] ? V2_UNIX_PATH_BYTES : len;
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static void set_addresses(struct proxy_header *header, unsigned family, const uint8_t *at)
{
	switch (family) {
	case V2_INET:
		set_inet(&header->source, at, at + 8);
		set_inet(&header->destination, at + 4, at + 10);
		break;
	case V2_INET6:
		set_inet6(&header->source, at, at + 32);
		set_inet6(&header->destination, at + 16, at + 34);
		break;
	case V2_UNIX:
		set_unix(&header->source, at);
		set_unix(&header->destination, at + V2_UNIX_PATH_BYTES);
		break;
	}
}

static size_t address_bytes(unsigned family)
{
	switch (family) {
	case V2_INET: return V2_INET_BYTES;
	case V2_INET6: return V2_INET6_BYTES;
	case V2_UNIX: return V2_UNIX_BYTES;
	default: return 0;
	}
}

static enum proxy_header_result read_v2(struct span bytes, struct proxy_header *header,
					size_t *ret_used, const char **ret_detail)
{
	const uint8_t *at = (const uint8_t *)bytes.ptr;
	unsigned command, family, protocol;
	const char *detail;
	size_t len;

	if (bytes.len > 12 && at[12] >> 4 != V2_VERSION)
		return bad(ret_detail, "it is binary and of an unknown version");
	if (bytes.len > 12 && (at[12] & 15) > V2_PROXY)
		return bad(ret_detail, "its command is neither LOCAL nor PROXY");
	if (bytes.len < 14)
		return PROXY_HEADER_MORE;
	command = at[12] & 15;
	family = at[13] >> 4;
	protocol = at[13] & 15;
	if (command == V2_PROXY && (family > V2_UNIX || protocol > V2_DGRAM))
		return bad(ret_detail, "its address family or transport is unknown");
	if (bytes.len < V2_FIXED_BYTES)
		return PROXY_HEADER_MORE;
	len = V2_FIXED_BYTES + number16(at + 14);
	if (len > PROXY_HEADER_V2_MAX)
		return bad(ret_detail, "it is longer than 4096 bytes");
	/* LOCAL: the family is ignored, the block skipped unread. Unspecified, the size of
	 * the addresses is not known, so neither where the extras begin. */
	header->is_local = command == V2_LOCAL || family == V2_UNSPEC || protocol == 0;
	if (!header->is_local && len < V2_FIXED_BYTES + address_bytes(family))
		return bad(ret_detail, "it is too short for its addresses");
	if (bytes.len < len)
		return PROXY_HEADER_MORE;
	if (!header->is_local) {
		detail = check_extras(at, len, address_bytes(family));
		if (detail)
			return bad(ret_detail, detail);
		/* Datagrams count as well: whoever sent them is not the peer. */
		set_addresses(header, family, at + V2_FIXED_BYTES);
	}
	*ret_used = len;
	return PROXY_HEADER_DONE;
}

enum proxy_header_result proxy_header_read(struct span bytes, unsigned versions,
					   struct proxy_header *ret, size_t *ret_used,
					   const char **ret_detail)
{
	struct proxy_header header = {.is_local = false};
	enum proxy_header_result result;

	must(versions && !(versions & ~(unsigned)(PROXY_HEADER_V1 | PROXY_HEADER_V2)));
	if (span_starts_with(bytes, v1_signature)) {
		if (!(versions & PROXY_HEADER_V1))
			return bad(ret_detail, "it is of version 1, which is not taken here");
		result = read_v1(bytes, &header, ret_used, ret_detail);
	} else if (span_starts_with(bytes, v2_signature)) {
		if (!(versions & PROXY_HEADER_V2))
			return bad(ret_detail, "it is of version 2, which is not taken here");
		result = read_v2(bytes, &header, ret_used, ret_detail);
	} else if (bytes.len == 0 || span_starts_with(v1_signature, bytes) ||
		   span_starts_with(v2_signature, bytes)) {
		return PROXY_HEADER_MORE;
	} else {
		return bad(ret_detail, "there is none");
	}
	if (result == PROXY_HEADER_DONE)
		*ret = header;
	return result;
}

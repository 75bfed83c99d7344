#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <ringway/base/base.h>
#include <ringway/net/proxy_header.h>

#define V1  PROXY_HEADER_V1
#define V2  PROXY_HEADER_V2
#define ANY (PROXY_HEADER_V1 | PROXY_HEADER_V2)

struct outcome {
	enum proxy_header_result result;
	struct proxy_header header;
	size_t used;
	const char *detail;
	size_t settled_at; /* bytes when the verdict came */
};

/* A copy that ends where its memory ends, and garbage in what may be written. */
static void read_copy(struct outcome *o, struct span in, size_t len, unsigned versions)
{
	char *copy = malloc(len ? len : 1);
	struct outcome before;

	assert_non_null(copy);
	if (len)
		memcpy(copy, in.ptr, len);
	memset(o, 0xa5, sizeof(*o));
	before = *o;
	o->result =
		proxy_header_read(span_of(copy, len), versions, &o->header, &o->used, &o->detail);
	if (o->result != PROXY_HEADER_DONE) {
		assert_memory_equal(&o->header, &before.header, sizeof(o->header));
		assert_int_equal(o->used, before.used);
	}
	if (o->result != PROXY_HEADER_BAD)
		assert_ptr_equal(o->detail, before.detail);
	free(copy);
}

/* Over the whole, and over each beginning: MORE until the verdict, and that one ever after. */
static void read_every_way(struct outcome *o, struct span in, unsigned versions)
{
	enum proxy_header_result last = PROXY_HEADER_MORE;
	size_t settled_at = 0;

	read_copy(o, in, in.len, versions);
	for (size_t len = 0; len <= in.len; len++) {
		struct outcome piece;

		read_copy(&piece, in, len, versions);
		if (last == PROXY_HEADER_MORE)
			settled_at = len;
		else
			assert_int_equal(piece.result, last);
		last = piece.result;
		if (last == PROXY_HEADER_MORE)
			continue;
		assert_int_equal(last, o->result);
		if (last == PROXY_HEADER_BAD) {
			assert_string_equal(piece.detail, o->detail);
			continue;
		}
		assert_int_equal(piece.used, o->used);
		assert_int_equal(piece.header.is_local, o->header.is_local);
		assert_true(address_eq(&piece.header.source, &o->header.source));
		assert_true(address_eq(&piece.header.destination, &o->header.destination));
	}
	assert_int_equal(last, o->result);
	o->settled_at = settled_at;
}

struct row {
	const char *section;
	struct span raw;
	const char *detail; /* NULL: taken, or more is wanted */
	/* When taken; NULL: it is local. */
	const char *source;
	const char *destination;
	size_t used; /* 0: more is wanted */
	unsigned versions;
};

#define LOCAL(where, raw_, used_)                                                                  \
	{                                                                                          \
		where, SPAN(raw_), .used = used_, .versions = ANY                                  \
	}
#define OK(where, raw_, used_, source_, destination_)                                              \
	{                                                                                          \
		where, SPAN(raw_), NULL, source_, destination_, used_, ANY                         \
	}
#define MORE(where, raw_)                                                                          \
	{                                                                                          \
		where, SPAN(raw_), .versions = ANY                                                 \
	}
#define NO(where, raw_, detail_)                                                                   \
	{                                                                                          \
		where, SPAN(raw_), detail_, .versions = ANY                                        \
	}
#define NOT_HERE(where, versions_, raw_, detail_)                                                  \
	{                                                                                          \
		where, SPAN(raw_), detail_, .versions = versions_                                  \
	}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define IPV4                                                                                       \
	"\xc0\0\x02\x01"                                                                           \
	"\xc6\x33\x64\x02"                                                                         \
	"\x82\x35"                                                                                 \
	"\x01\xbb"
#define IPV6                                                                                       \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                                               \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"                                               \
	"\0\x50"                                                                                   \
	"\xff\xff"
#define NUL9   "\0\0\0\0\0\0\0\0\0"
#define NUL108 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9
#define TEXT50 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee"

/* Reckoned bit by bit from RFC 4960 appendix B. */
#define CRC_ALONE   "\x87\x98\x12\x5c"
#define CRC_BETWEEN "\xbb\x24\x41\xf2"

#define NONE      "there is none"
#define PROTOCOL  "its protocol is none of TCP4, TCP6 and UNKNOWN"
#define WORDS     "it has not two addresses and two ports, divided by single spaces"
#define ADDRESS   "an address is not one of its protocol's"
#define SOURCE    "the source port is not a plain decimal number up to 65535"
#define TARGET    "the destination port is not a plain decimal number up to 65535"
#define NO_END    "its line has no end within 107 bytes"
#define BARE_LF   "its line ends in a bare LF"
#define BARE_CR   "a bare CR is in its line"
#define VERSION   "it is binary and of an unknown version"
#define COMMAND   "its command is neither LOCAL nor PROXY"
#define FAMILY    "its address family or transport is unknown"
#define TOO_LONG  "it is longer than 4096 bytes"
#define TOO_SHORT "it is too short for its addresses"
#define INSIDE    "it ends inside an extra field"
#define BEYOND    "an extra field reaches beyond its end"
#define CRC_FORM  "its checksum has not four bytes, or comes twice"
#define CRC_WRONG "its checksum is wrong"

static const struct row rows[] = {
	/* Version 1. */
	OK("2.1", "PROXY TCP4 192.0.2.1 198.51.100.2 33333 443\r\nGET /", 45, "192.0.2.1:33333",
	   "198.51.100.2:443"),
	OK("2.1 longest of TCP4", "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", 56,
	   "255.255.255.255:65535", "255.255.255.255:65535"),
	OK("2.1 port 0", "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", 32, "0.0.0.0:0", "0.0.0.0:0"),
	OK("2.1", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n", 32, "[2001:db8::1]:1", "[::1]:2"),
	OK("2.1 longest of TCP6",
	   "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	   "FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF 65535 65535\r\n",
	   104, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	   "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
	OK("2.1 mapped", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", 37, "[::ffff:192.0.2.1]:1",
	   "[::1]:2"),
	LOCAL("2.1 short form", "PROXY UNKNOWN\r\n", 15),
	LOCAL("2.1 long form",
	      "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
	      107),
	LOCAL("2.1 the rest is ignored", "PROXY UNKNOWN  \0\xff x\r\nrest", 21),
	MORE("2.1", "PROXY TCP4 192.0.2.1 198.51.100.2 33333 443\r"),
	MORE("2.1", "PROXY"),
	MORE("2.1", ""),
	NO("2.1 unknown protocol", "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", PROTOCOL),
	NO("2.1 no protocol", "PROXY \r\n", PROTOCOL),
	NO("2.1 case matters", "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", PROTOCOL),
	NO("2.1 longer word", "PROXY UNKNOWNS\r\n", PROTOCOL),
	NO("2.1 two spaces before it", "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", PROTOCOL),
	NO("2.1 case matters", "Proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", NONE),
	NO("2.1 space before", " PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", NONE),
	NO("2.1 tab", "PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n", NONE),
	NO("2.1 one word less", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", WORDS),
	NO("2.1 one word more", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", WORDS),
	NO("2.1 one address", "PROXY TCP4 192.0.2.1\r\n", WORDS),
	NO("2.1 no ports", "PROXY TCP4 192.0.2.1 192.0.2.2\r\n", WORDS),
	NO("2.1 only the protocol", "PROXY TCP4\r\n", WORDS),
	NO("2.1 space at the end", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", WORDS),
	NO("2.1 two spaces", "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", WORDS),
	NO("2.1 two spaces for a word", "PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n", SOURCE),
	NO("2.1 tab as separator", "PROXY TCP4 192.0.2.1\t192.0.2.2 1 2 3\r\n", ADDRESS),
	NO("2.1 family", "PROXY TCP4 ::1 192.0.2.2 1 2\r\n", ADDRESS),
	NO("2.1 family", "PROXY TCP4 192.0.2.1 ::1 1 2\r\n", ADDRESS),
	NO("2.1 family", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", ADDRESS),
	NO("2.1 leading zero", "PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n", ADDRESS),
	NO("2.1 three numbers", "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n", ADDRESS),
	NO("2.1 256", "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", ADDRESS),
	NO("2.1 NUL", "PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n", ADDRESS),
	NO("2.1 a name", "PROXY TCP4 localhost 192.0.2.2 1 2\r\n", ADDRESS),
	NO("2.1 brackets", "PROXY TCP6 [::1] ::1 1 2\r\n", ADDRESS),
	NO("2.1 zone", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", ADDRESS),
	NO("2.1 two double colons", "PROXY TCP6 1::2::3 ::1 1 2\r\n", ADDRESS),
	NO("2.1 128 bits", "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n", ADDRESS),
	NO("2.1 65536", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", SOURCE),
	NO("2.1 sign", "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", SOURCE),
	NO("2.1 sign", "PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n", TARGET),
	NO("2.1 leading zero", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", SOURCE),
	NO("2.1 leading zero", "PROXY TCP4 192.0.2.1 192.0.2.2 1 00\r\n", TARGET),
	NO("2.1 hexadecimal", "PROXY TCP4 192.0.2.1 192.0.2.2 1 0x2\r\n", TARGET),
	NO("2.1 bare LF", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", BARE_LF),
	NO("2.1 bare LF", "PROXY UNKNOWN a\nb\r\n", BARE_LF),
	NO("2.1 bare CR", "PROXY UNKNOWN a\rb\r\n", BARE_CR),
	NO("2.1 two CR", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n", BARE_CR),
	NO("2.1 108 bytes",
	   "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 655350\r\n",
	   NO_END),
	/* Neither. */
	NO("2.2 HTTP", "GET / HTTP/1.1\r\n", NONE),
	NO("2.2 its method begins alike", "PRI * HTTP/2.0\r\n\r\n", NONE),
	NO("2.2 TLS", "\x16\x03\x01\x02\0\x01", NONE),
	NO("2.2 other signature", "\r\n\r\n\0\r\nQUIT\r", NONE),
	NO("2.2 signature without its NUL", "\r\n\r\n\r\nQUIT\n", NONE),
	/* Version 2. */
	OK("2.2", SIGNATURE "\x21\x11\0\x0c" IPV4 "GET /", 28, "192.0.2.1:33333",
	   "198.51.100.2:443"),
	OK("2.2", SIGNATURE "\x21\x21\0\x24" IPV6, 52, "[2001:db8::1]:80", "[2001:db8::2]:65535"),
	OK("2.2 datagrams", SIGNATURE "\x21\x12\0\x0c" IPV4, 28, "192.0.2.1:33333",
	   "198.51.100.2:443"),
	OK("2.2 datagrams", SIGNATURE "\x21\x22\0\x24" IPV6, 52, "[2001:db8::1]:80",
	   "[2001:db8::2]:65535"),
	OK("2.2 unix, unbound client",
	   SIGNATURE "\x21\x31\0\xd8" NUL108
		     "/run/x" NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 NUL9 "\0\0\0",
	   232, "unix:", "unix:/run/x"),
	OK("2.2 unix, path of 108 bytes",
	   SIGNATURE "\x21\x32\0\xd8"
		     "/" TEXT50 TEXT50 "1234567" NUL108,
	   232, "unix:/" TEXT50 TEXT50 "1234567", "unix:"),
	OK("2.2 unix, abstract name",
	   SIGNATURE "\x21\x31\0\xd8"
		     "\0" TEXT50 TEXT50 "1234567" NUL108,
	   232, "unix:", "unix:"),
	LOCAL("2.2 LOCAL",
	      SIGNATURE "\x20\0\0\0"
			"rest",
	      16),
	LOCAL("2.2 LOCAL with addresses", SIGNATURE "\x20\x11\0\x0c" IPV4, 28),
	LOCAL("2.2 LOCAL, its family ignored",
	      SIGNATURE "\x20\xff\0\x03"
			"abc",
	      19),
	LOCAL("2.2 LOCAL, its block unread",
	      SIGNATURE "\x20\x11\0\x01"
			"a",
	      17),
	LOCAL("2.2 unspecified", SIGNATURE "\x21\0\0\0", 16),
	LOCAL("2.2 unspecified with bytes",
	      SIGNATURE "\x21\0\0\x05"
			"abcde",
	      21),
	LOCAL("2.2 unspecified transport",
	      SIGNATURE "\x21\x10\0\x08"
			"abcdefgh",
	      24),
	LOCAL("2.2 unspecified family", SIGNATURE "\x21\x01\0\0", 16),
	MORE("2.2", SIGNATURE "\x21\x11\0\x0c"
			      "\xc0\0\x02\x01"
			      "\xc6\x33\x64\x02"
			      "\x82\x35\x01"),
	MORE("2.2", SIGNATURE),
	MORE("2.2", "\r"),
	NO("2.2 version 1", SIGNATURE "\x11\x11\0\x0c" IPV4, VERSION),
	NO("2.2 version 3", SIGNATURE "\x31\x11\0\x0c" IPV4, VERSION),
	NO("2.2 command 2", SIGNATURE "\x22\x11\0\x0c" IPV4, COMMAND),
	NO("2.2 command 15", SIGNATURE "\x2f\x11\0\x0c" IPV4, COMMAND),
	NO("2.2 family 4", SIGNATURE "\x21\x41\0\x0c" IPV4, FAMILY),
	NO("2.2 transport 3", SIGNATURE "\x21\x13\0\x0c" IPV4, FAMILY),
	NO("2.2 IPv4 in 11 bytes", SIGNATURE "\x21\x11\0\x0b" IPV4, TOO_SHORT),
	NO("2.2 IPv6 in 35 bytes", SIGNATURE "\x21\x21\0\x23" IPV6, TOO_SHORT),
	NO("2.2 unix in 215 bytes", SIGNATURE "\x21\x31\0\xd7" NUL108 NUL108, TOO_SHORT),
	NO("2.2 our limit", SIGNATURE "\x21\x11\x0f\xf1" IPV4, TOO_LONG),
	NO("2.2 our limit for LOCAL", SIGNATURE "\x20\0\xff\xff", TOO_LONG),
	MORE("2.2 our limit kept", SIGNATURE "\x21\x11\x0f\xf0" IPV4),
	/* Extra fields. */
	OK("2.2 fields of many kinds",
	   SIGNATURE "\x21\x11\0\x1e" IPV4 "\x04\0\0"
		     "\x01\0\x02h2"
		     "\xe0\0\x04"
		     "abcd"
		     "\x20\0\0",
	   46, "192.0.2.1:33333", "198.51.100.2:443"),
	NO("2.2 one byte", SIGNATURE "\x21\x11\0\x0d" IPV4 "\x04", INSIDE),
	NO("2.2 two bytes", SIGNATURE "\x21\x11\0\x0e" IPV4 "\x04\0", INSIDE),
	NO("2.2 too long",
	   SIGNATURE "\x21\x11\0\x10" IPV4 "\x04\0\x02"
		     "a",
	   BEYOND),
	NO("2.2 much too long",
	   SIGNATURE "\x21\x11\0\x10" IPV4 "\x04\xff\xff"
		     "a",
	   BEYOND),
	NO("2.2 the second too long",
	   SIGNATURE "\x21\x11\0\x12" IPV4 "\x04\0\0"
		     "\x05\0\x01",
	   BEYOND),
	OK("2.2.3 checksum", SIGNATURE "\x21\x11\0\x13" IPV4 "\x03\0\x04" CRC_ALONE, 35,
	   "192.0.2.1:33333", "198.51.100.2:443"),
	OK("2.2.3 between others",
	   SIGNATURE "\x21\x11\0\x1c" IPV4 "\x04\0\x01"
		     "x"
		     "\x03\0\x04" CRC_BETWEEN "\x02\0\x02"
		     "ab",
	   44, "192.0.2.1:33333", "198.51.100.2:443"),
	NO("2.2.3 wrong",
	   SIGNATURE "\x21\x11\0\x13" IPV4 "\x03\0\x04"
		     "\0\0\0\0",
	   CRC_WRONG),
	NO("2.2.3 of three bytes",
	   SIGNATURE "\x21\x11\0\x12" IPV4 "\x03\0\x03"
		     "abc",
	   CRC_FORM),
	NO("2.2.3 of five bytes",
	   SIGNATURE "\x21\x11\0\x14" IPV4 "\x03\0\x05"
		     "abcde",
	   CRC_FORM),
	NO("2.2.3 twice",
	   SIGNATURE "\x21\x11\0\x1a" IPV4 "\x03\0\x04" CRC_ALONE "\x03\0\x04" CRC_ALONE, CRC_FORM),
	/* Versions that are not taken. */
	NOT_HERE("2 v1 where v2 is wanted", V2, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
		 "it is of version 1, which is not taken here"),
	NOT_HERE("2 v1 where v2 is wanted", V2, "PROXY ",
		 "it is of version 1, which is not taken here"),
	NOT_HERE("2 v2 where v1 is wanted", V1, SIGNATURE,
		 "it is of version 2, which is not taken here"),
	NOT_HERE("2 v2 where v1 is wanted", V1, SIGNATURE "\x21\x11\0\x0c" IPV4,
		 "it is of version 2, which is not taken here"),
	NOT_HERE("2 neither", V1, "QUIT\n", NONE),
	NOT_HERE("2 neither", V2, "EHLO a\r\n", NONE),
};

static void assert_reads(const struct row *row, const struct address *a, const char *wanted)
{
	char text[ADDRESS_TEXT_BYTES];

	address_text(a, text);
	if (strcmp(text, wanted ? wanted : "") != 0)
		fail_msg("%s: %s, not %s", row->section, text, wanted);
}

static void check_row(const struct row *row, unsigned versions)
{
	enum proxy_header_result wanted = row->detail ? PROXY_HEADER_BAD
					  : row->used ? PROXY_HEADER_DONE
						      : PROXY_HEADER_MORE;
	struct outcome o;

	read_every_way(&o, row->raw, versions);
	if (o.result != wanted)
		fail_msg("%s: result %d (%s), not %d: %.*s", row->section, o.result,
			 o.result == PROXY_HEADER_BAD ? o.detail : "", wanted, SPAN_FMT(row->raw));
	if (wanted == PROXY_HEADER_BAD && strcmp(o.detail, row->detail) != 0)
		fail_msg("%s: %s, not: %s", row->section, o.detail, row->detail);
	if (wanted != PROXY_HEADER_DONE)
		return;
	assert_int_equal(o.used, row->used);
	assert_int_equal(o.settled_at, row->used);
	assert_int_equal(o.header.is_local, !row->source);
	assert_reads(row, &o.header.source, row->source);
	assert_reads(row, &o.header.destination, row->destination);
	assert_int_equal(!o.header.source.len, !row->source);
	assert_int_equal(!o.header.destination.len, !row->destination);
}

static void each_header_gets_the_verdict_of_its_section(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		check_row(&rows[i], rows[i].versions);
		if (rows[i].used)
			check_row(&rows[i], *rows[i].raw.ptr == 'P' ? V1 : V2);
	}
}

static void a_bad_header_is_refused_at_its_first_bad_byte(void **state UNUSED)
{
	static const struct {
		struct span raw;
		size_t bytes;
	} garbage[] = {
		{SPAN("GET / HTTP/1.1"), 1},
		{SPAN("PUT / HTTP/1.1"), 2},
		{SPAN("\r\n\r\nGET"), 5},
		{SPAN(SIGNATURE "\x31\x11\0\x0c"), 13},
		{SPAN(SIGNATURE "\x22\x11\0\x0c"), 13},
		{SPAN(SIGNATURE "\x21\x51\0\x0c"), 14},
		{SPAN(SIGNATURE "\x21\x11\xff\xff"), 16},
		{SPAN(SIGNATURE "\x21\x11\0\x01"), 16},
		{SPAN("PROXY TCP4 x\nyz"), 13},
	};

	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		struct outcome o;

		read_every_way(&o, garbage[i].raw, ANY);
		assert_int_equal(o.result, PROXY_HEADER_BAD);
		assert_int_equal(o.settled_at, garbage[i].bytes);
	}
}

static void the_longest_header_is_taken(void **state UNUSED)
{
	static const struct span begin = SPAN(SIGNATURE "\x21\x11\x0f\xf0" IPV4 "\x04\x0f\xe1");
	char raw[PROXY_HEADER_V2_MAX + 1] = {0};
	struct outcome o;

	memcpy(raw, begin.ptr, begin.len);
	read_every_way(&o, span_of(raw, sizeof(raw)), V2);
	assert_int_equal(o.result, PROXY_HEADER_DONE);
	assert_int_equal(o.used, PROXY_HEADER_V2_MAX);
}

/* An unbound client's socket is an address, though no path: nobody may take the proxy's
 * own for it. */
static void a_client_without_a_name_is_no_proxy(void **state UNUSED)
{
	static const struct span raw = SPAN(SIGNATURE "\x21\x31\0\xd8" NUL108 NUL108);
	char text[ADDRESS_TEXT_BYTES];
	struct outcome o;

	read_every_way(&o, raw, V2);
	assert_int_equal(o.result, PROXY_HEADER_DONE);
	assert_false(o.header.is_local);
	assert_int_equal(o.header.source.sa.sa_family, AF_UNIX);
	assert_int_equal(o.header.source.len, offsetof(struct sockaddr_un, sun_path));
	address_ip_text(&o.header.source, text);
	assert_string_equal(text, "unix");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_header_gets_the_verdict_of_its_section),
		cmocka_unit_test(a_bad_header_is_refused_at_its_first_bad_byte),
		cmocka_unit_test(the_longest_header_is_taken),
		cmocka_unit_test(a_client_without_a_name_is_no_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <ringway/base/base.h>
#include <ringway/tls/hello.h>

/* What a hello says of itself, as bits. */
enum {
	T13 = 1,
	T12 = 2,
	OLD = 4,
	ECDSA = 8,
	RSA = 16,
	ALPN = 32,
	H11 = 64,
	H2 = 128,
	RESUME = 256,
};

static unsigned bits_of(const struct tls_hello *h)
{
	return (h->offers_tls13 ? T13 : 0u) | (h->offers_tls12 ? T12 : 0u) |
	       (h->offers_older ? OLD : 0u) | (h->accepts_ecdsa ? ECDSA : 0u) |
	       (h->accepts_rsa ? RSA : 0u) | (h->has_alpn ? ALPN : 0u) |
	       (h->alpn_http11 ? H11 : 0u) | (h->alpn_h2 ? H2 : 0u) |
	       (h->has_ticket_or_psk ? RESUME : 0u);
}

/* ---- reading in every way ---- */

/* A copy that ends where its memory ends, and garbage in what must be written. */
static enum tls_hello_result read_copy(struct span in, size_t len, struct tls_hello *ret)
{
	char *copy = malloc(len ? len : 1);
	enum tls_hello_result result;
	struct tls_hello before;

	assert_non_null(copy);
	if (len)
		memcpy(copy, in.ptr, len);
	memset(ret, 0xa5, sizeof(*ret));
	before = *ret;
	result = tls_hello_read(span_of(copy, len), ret);
	if (result == TLS_HELLO_MORE)
		assert_memory_equal(ret, &before, sizeof(before));
	free(copy);
	return result;
}

static void assert_same(const struct tls_hello *a, const struct tls_hello *b)
{
	assert_int_equal(a->cause, b->cause);
	assert_int_equal(a->alert, b->alert);
	assert_int_equal(bits_of(a), bits_of(b));
	assert_string_equal(a->server_name, b->server_name);
}

/* Over the whole, and over each beginning: MORE until the verdict, and that one ever after.
 * Returns the bytes that settled it in *ret_at. */
static enum tls_hello_result read_every_way(struct span in, struct tls_hello *ret, size_t *ret_at)
{
	enum tls_hello_result result = read_copy(in, in.len, ret), piece = TLS_HELLO_MORE;
	struct tls_hello hello;
	size_t at = 0;

	for (size_t len = 0; len <= in.len; len++) {
		enum tls_hello_result now = read_copy(in, len, &hello);

		if (piece == TLS_HELLO_MORE)
			at = len;
		else
			assert_int_equal(now, piece);
		piece = now;
		if (now != TLS_HELLO_MORE)
			assert_same(&hello, ret);
	}
	assert_int_equal(piece, result);
	if (ret_at)
		*ret_at = at;
	return result;
}

/* ---- writing ---- */

struct bytes {
	size_t len;
	char at[40000];
};

static void put(struct bytes *b, struct span s)
{
	must(b->len + s.len <= sizeof(b->at));
	if (s.len)
		memcpy(b->at + b->len, s.ptr, s.len);
	b->len += s.len;
}

static void put_number(struct bytes *b, size_t bytes, size_t value)
{
	while (bytes--) {
		char byte = (char)(value >> 8 * bytes);

		put(b, span_of(&byte, 1));
	}
}

static void put_vector(struct bytes *b, size_t length_bytes, struct span s)
{
	put_number(b, length_bytes, s.len);
	put(b, s);
}

static void put_records(struct bytes *b, struct span message, size_t payload)
{
	for (size_t at = 0; at < message.len; at += payload) {
		put(b, SPAN("\x16\x03\x01"));
		put_vector(b, 2, span_of(message.ptr + at, min_u64(payload, message.len - at)));
	}
}

#define EXTENSIONS 5
#define RANDOM     "0123456789abcdefghijklmnopqrstuv"

struct extension {
	uint16_t type;
	struct span data;
};

struct row {
	const char *section; /* of RFC 8446, unless it says otherwise */
	uint16_t version;    /* 0: 0x0303 */
	struct span session_id;
	struct span suites;       /* none: two of 1.3, GCM with ECDSA and with RSA */
	struct span compressions; /* none: "null" */
	struct extension extensions[EXTENSIONS];
	bool is_bad;
	uint8_t alert;
	const char *name;
	unsigned bits;
	bool has_no_suites;
	bool has_no_compressions;
};

static void put_message(struct bytes *b, const struct row *row)
{
	static struct bytes body, extensions;

	body.len = extensions.len = 0;
	put_number(&body, 2, row->version ? row->version : 0x0303);
	put(&body, SPAN(RANDOM));
	put_vector(&body, 1, row->session_id);
	put_vector(&body, 2,
		   row->suites.len || row->has_no_suites
			   ? row->suites
			   : SPAN("\x13\x01\x13\x02\xc0\x2b\xc0\x2f"));
	put_vector(&body, 1,
		   row->compressions.len || row->has_no_compressions ? row->compressions
								     : SPAN("\0"));
	for (size_t i = 0; i < EXTENSIONS && row->extensions[i].data.ptr; i++) {
		put_number(&extensions, 2, row->extensions[i].type);
		put_vector(&extensions, 2, row->extensions[i].data);
	}
	if (extensions.len)
		put_vector(&body, 2, span_of(extensions.at, extensions.len));
	b->len = 0;
	put(b, SPAN("\x01"));
	put_vector(b, 3, span_of(body.at, body.len));
}

/* ---- messages ---- */

#define OK(where, name_, bits_, ...)                                                               \
	{                                                                                          \
		.section = where, .name = name_, .bits = bits_, __VA_ARGS__                        \
	}
#define NO(where, alert_, ...)                                                                     \
	{                                                                                          \
		.section = where, .is_bad = true, .alert = alert_, __VA_ARGS__                     \
	}
#define EXT(...) .extensions = {__VA_ARGS__}
#define NAME(raw)                                                                                  \
	{                                                                                          \
		0, SPAN(raw)                                                                       \
	}
#define SIGS(raw)                                                                                  \
	{                                                                                          \
		13, SPAN(raw)                                                                      \
	}
#define PROTOCOLS(raw)                                                                             \
	{                                                                                          \
		16, SPAN(raw)                                                                      \
	}
#define VERSIONS(raw)                                                                              \
	{                                                                                          \
		43, SPAN(raw)                                                                      \
	}
#define BOTH    VERSIONS("\x04\x03\x04\x03\x03")
#define ONLY13  VERSIONS("\x02\x03\x04")
#define ANYSIGS SIGS("\0\x04\x04\x03\x08\x04")

#define DECODE  50
#define ILLEGAL 47
#define VERSION 70
#define L63     "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"
#define NAME_253                                                                                   \
	L63 "." L63 "." L63 "."                                                                    \
	    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg"
#define ALL (T13 | T12 | ECDSA | RSA)

static const struct row rows[] = {
	/* The message itself. */
	OK("RFC 5246 7.4.1.2 no extensions", "", T12 | ECDSA | RSA),
	OK("RFC 5246 7.4.1.2 session to resume", "", T12 | ECDSA | RSA, .session_id = SPAN(RANDOM)),
	NO("4.1.2 session id of 33", DECODE, .session_id = SPAN(RANDOM "x")),
	NO("4.1.2 no suites", DECODE, .has_no_suites = true),
	NO("4.1.2 odd suites", DECODE, .suites = SPAN("\x13\x01\x13")),
	NO("4.1.2 no compressions", DECODE, .has_no_compressions = true),
	NO("RFC 5246 7.4.1.2 without null", ILLEGAL, .compressions = SPAN("\x01")),
	OK("RFC 5246 7.4.1.2 null and deflate", "", T12 | ECDSA | RSA,
	   .compressions = SPAN("\x01\0")),
	NO("4.1.2 but not with 1.3", ILLEGAL, .compressions = SPAN("\x01\0"), EXT(BOTH)),
	NO("4.1.2 null twice is not one null", ILLEGAL, .compressions = SPAN("\0\0"), EXT(BOTH)),
	/* Versions. */
	OK("4.2.1", "", T12 | ECDSA | RSA, .version = 0x0303),
	OK("4.2.1 1.1 by legacy_version", "", OLD, .version = 0x0302),
	OK("4.2.1 1.0 by legacy_version", "", OLD, .version = 0x0301),
	OK("4.2.1 not 1.3 by legacy_version", "", T12 | ECDSA | RSA, .version = 0x0304),
	OK("RFC 5246 E.1 the future", "", T12 | ECDSA | RSA, .version = 0x7f7f),
	NO("D.5 SSL 3.0", VERSION, .version = 0x0300),
	NO("D.5 even with a list", VERSION, .version = 0x0300, EXT(BOTH)),
	NO("D.5 SSL 2.0", VERSION, .version = 0x0002),
	OK("4.2.1", "", ALL, EXT(BOTH, ANYSIGS)),
	OK("4.2.1 the list alone counts", "", T13 | ECDSA | RSA, EXT(ONLY13, ANYSIGS)),
	OK("4.2.1 the list alone counts", "", T13 | ECDSA | RSA, .version = 0x0301,
	   EXT(ONLY13, ANYSIGS)),
	OK("4.2.1 1.1 and 1.2", "", T12 | OLD | ECDSA | RSA, EXT(VERSIONS("\x04\x03\x02\x03\x03"))),
	OK("RFC 8701 3.1 GREASE", "", T13 | ECDSA | RSA,
	   EXT(VERSIONS("\x06\x7a\x7a\x03\x04\x7f\x1c"), ANYSIGS)),
	OK("4.2.1 none that exists", "", 0, EXT(VERSIONS("\x02\x9a\x9a"))),
	NO("4.2.1 empty list", DECODE, EXT(VERSIONS("\0"))),
	NO("4.2.1 odd list", DECODE, EXT(VERSIONS("\x03\x03\x04\x03"))),
	NO("4.2.1 no list", DECODE, EXT(VERSIONS(""))),
	NO("4.2.1 list too long", DECODE, EXT(VERSIONS("\x04\x03\x04"))),
	NO("4.2.1 bytes behind the list", DECODE, EXT(VERSIONS("\x02\x03\x04\0"))),
	/* server_name. */
	OK("RFC 6066 3", "a.test", T12 | ECDSA | RSA,
	   EXT(NAME("\0\x09\0\0\x06"
		    "a.test"))),
	OK("RFC 6066 3 case", "a-b_9.test", T12 | ECDSA | RSA,
	   EXT(NAME("\0\x0d\0\0\x0a"
		    "A-b_9.TEST"))),
	OK("RFC 6066 3 one label", "localhost", T12 | ECDSA | RSA,
	   EXT(NAME("\0\x0c\0\0\x09"
		    "localhost"))),
	OK("RFC 1035 2.3.4 253 bytes", NAME_253, T12 | ECDSA | RSA,
	   EXT(NAME("\x01\0\0\0\xfd" NAME_253))),
	NO("RFC 1035 2.3.4 254 bytes", ILLEGAL, EXT(NAME("\x01\x01\0\0\xfe" NAME_253 "a"))),
	NO("RFC 1035 2.3.4 label of 64", ILLEGAL, EXT(NAME("\0\x43\0\0\x40" L63 "a"))),
	NO("RFC 6066 3 no list", DECODE, EXT(NAME(""))),
	NO("RFC 6066 3 empty list", DECODE, EXT(NAME("\0\0"))),
	NO("RFC 6066 3 empty name", DECODE, EXT(NAME("\0\x03\0\0\0"))),
	NO("RFC 6066 3 name too long", DECODE,
	   EXT(NAME("\0\x09\0\0\x07"
		    "a.test"))),
	NO("RFC 6066 3 bytes behind the list", DECODE,
	   EXT(NAME("\0\x09\0\0\x06"
		    "a.testx"))),
	NO("RFC 6066 3 bytes behind the name", DECODE,
	   EXT(NAME("\0\x0a\0\0\x06"
		    "a.testx"))),
	NO("RFC 6066 3 two names", ILLEGAL,
	   EXT(NAME("\0\x08\0\0\x01"
		    "a\0\0\x01"
		    "b"))),
	NO("RFC 6066 3 the same twice", ILLEGAL,
	   EXT(NAME("\0\x08\0\0\x01"
		    "a\0\0\x01"
		    "a"))),
	OK("RFC 6066 3 other type passed", "a", T12 | ECDSA | RSA,
	   EXT(NAME("\0\x0a\x07\0\x03"
		    "\xff\0b\0\0\x01"
		    "a"))),
	OK("RFC 6066 3 only another type", "", T12 | ECDSA | RSA, EXT(NAME("\0\x03\x01\0\0"))),
	NO("RFC 6066 3 other type twice", ILLEGAL, EXT(NAME("\0\x06\x01\0\0\x01\0\0"))),
	NO("RFC 6066 3 other type too long", DECODE,
	   EXT(NAME("\0\x04\x01\0\x02"
		    "a"))),
	NO("RFC 6066 3 trailing dot", ILLEGAL,
	   EXT(NAME("\0\x0a\0\0\x07"
		    "a.test."))),
	NO("RFC 6066 3 leading dot", ILLEGAL,
	   EXT(NAME("\0\x05\0\0\x02"
		    ".a"))),
	NO("RFC 6066 3 only a dot", ILLEGAL,
	   EXT(NAME("\0\x04\0\0\x01"
		    "."))),
	NO("RFC 6066 3 empty label", ILLEGAL,
	   EXT(NAME("\0\x07\0\0\x04"
		    "a..b"))),
	NO("RFC 6066 3 NUL", ILLEGAL,
	   EXT(NAME("\0\x06\0\0\x03"
		    "a\0b"))),
	NO("RFC 6066 3 space", ILLEGAL,
	   EXT(NAME("\0\x06\0\0\x03"
		    "a b"))),
	NO("RFC 6066 3 wildcard", ILLEGAL,
	   EXT(NAME("\0\x06\0\0\x03"
		    "*.b"))),
	NO("RFC 6066 3 slash", ILLEGAL,
	   EXT(NAME("\0\x06\0\0\x03"
		    "a/b"))),
	NO("RFC 6066 3 port", ILLEGAL,
	   EXT(NAME("\0\x07\0\0\x04"
		    "a:80"))),
	NO("RFC 6066 3 UTF-8", ILLEGAL,
	   EXT(NAME("\0\x05\0\0\x02"
		    "\xc3\xa9"))),
	OK("RFC 6066 3 IPv4 is no name", "", T12 | ECDSA | RSA,
	   EXT(NAME("\0\x0c\0\0\x09"
		    "192.0.2.1"))),
	OK("RFC 6066 3 IPv6 is no name", "", T12 | ECDSA | RSA,
	   EXT(NAME("\0\x0e\0\0\x0b"
		    "2001:db8::1"))),
	OK("RFC 6066 3 nor in brackets", "", T12 | ECDSA | RSA,
	   EXT(NAME("\0\x08\0\0\x05"
		    "[::1]"))),
	OK("RFC 6066 3 not quite IPv4", "192.0.2.256", T12 | ECDSA | RSA,
	   EXT(NAME("\0\x0e\0\0\x0b"
		    "192.0.2.256"))),
	/* Kinds of key. */
	OK("4.2.3 ECDSA only", "", T13 | T12 | ECDSA, EXT(BOTH, SIGS("\0\x02\x05\x03"))),
	OK("4.2.3 PSS serves 1.3 and 1.2", "", T13 | RSA, EXT(ONLY13, SIGS("\0\x02\x08\x06"))),
	OK("4.2.3 PSS serves 1.3 and 1.2", "", T12 | RSA, EXT(SIGS("\0\x02\x08\x05"))),
	OK("4.2.3 PKCS #1 signs no 1.3", "", T13, EXT(ONLY13, SIGS("\0\x02\x04\x01"))),
	OK("4.2.3 PKCS #1 signs 1.2", "", T12 | RSA, EXT(SIGS("\0\x04\x06\x01\x05\x01"))),
	OK("4.2.3 keys for PSS only are not ours", "", T13 | T12,
	   EXT(BOTH, SIGS("\0\x02\x08\x09"))),
	OK("RFC 9155 SHA-1 does not count", "", T12, EXT(SIGS("\0\x04\x02\x01\x02\x03"))),
	OK("4.2.3 EdDSA and GREASE are neither", "", T13 | T12,
	   EXT(BOTH, SIGS("\0\x06\x08\x07\x08\x08\xda\xda"))),
	OK("4.2.3 without it no key of 1.3", "", T13, EXT(ONLY13)),
	NO("4.2.3 no list", DECODE, EXT(SIGS(""))),
	NO("4.2.3 empty list", DECODE, EXT(SIGS("\0\0"))),
	NO("4.2.3 odd list", DECODE, EXT(SIGS("\0\x03\x04\x03\x08"))),
	NO("4.2.3 bytes behind the list", DECODE, EXT(SIGS("\0\x02\x04\x03\0"))),
	OK("RFC 8422 2.2 ECDSA suites", "", T12 | ECDSA, .suites = SPAN("\xc0\x2c\xcc\xa9"),
	   EXT(ANYSIGS)),
	OK("RFC 5289 3.2 RSA suites", "", T12 | RSA, .suites = SPAN("\xc0\x30\xcc\xa8"),
	   EXT(ANYSIGS)),
	OK("RFC 5289 3.1 CBC is not ours", "", T12 | RSA, .suites = SPAN("\xc0\x23\xc0\x2f"),
	   EXT(ANYSIGS)),
	OK("RFC 5288 3 nor without ECDHE", "", T12, .suites = SPAN("\0\x9c\0\x9e"), EXT(ANYSIGS)),
	OK("B.4 suites of 1.3 name no key", "", ALL, .suites = SPAN("\x13\x03"),
	   EXT(BOTH, ANYSIGS)),
	OK("B.4 1.3 without a suite of 1.3", "", T13 | T12 | RSA, .suites = SPAN("\xc0\x2f"),
	   EXT(BOTH, ANYSIGS)),
	OK("RFC 8701 3.1 GREASE suites", "", T12 | RSA, .suites = SPAN("\x0a\x0a\xc0\x2f")),
	/* ALPN. */
	OK("RFC 7301 3.1", "", T12 | ECDSA | RSA | ALPN | H11,
	   EXT(PROTOCOLS("\0\x09\x08http/1.1"))),
	OK("RFC 7301 3.1", "", T12 | ECDSA | RSA | ALPN | H11 | H2,
	   EXT(PROTOCOLS("\0\x0c\x02h2\x08http/1.1"))),
	OK("RFC 7301 3.1 case matters", "", T12 | ECDSA | RSA | ALPN,
	   EXT(PROTOCOLS("\0\x0c\x02H2\x08HTTP/1.1"))),
	OK("RFC 8701 3.1 GREASE", "", T12 | ECDSA | RSA | ALPN | H2,
	   EXT(PROTOCOLS("\0\x06\x02\x2a\x2a\x02h2"))),
	NO("RFC 7301 3.1 no list", DECODE, EXT(PROTOCOLS(""))),
	NO("RFC 7301 3.1 empty list", DECODE, EXT(PROTOCOLS("\0\0"))),
	NO("RFC 7301 3.1 empty name", DECODE, EXT(PROTOCOLS("\0\x04\0\x02h2"))),
	NO("RFC 7301 3.1 name too long", DECODE, EXT(PROTOCOLS("\0\x03\x03h2"))),
	NO("RFC 7301 3.1 bytes behind the list", DECODE, EXT(PROTOCOLS("\0\x03\x02h2\0"))),
	/* Resumption. */
	OK("RFC 5077 3.2 asks for a ticket", "", T12 | ECDSA | RSA, EXT({35, SPAN("")})),
	OK("RFC 5077 3.2 has one", "", T12 | ECDSA | RSA | RESUME, EXT({35, SPAN("abc")})),
	OK("4.2.11 a key", "", T13 | ECDSA | RSA | RESUME, EXT(ONLY13, ANYSIGS, {41, SPAN("x")})),
	NO("4.2.11 a key that is not last", ILLEGAL, EXT({41, SPAN("x")}, ONLY13, ANYSIGS)),
	/* Extensions as such. */
	OK("4.2 unknown ones", "", T12 | ECDSA | RSA, EXT({0x1a1a, SPAN("")}, {999, SPAN("abc")})),
	NO("4.2 the same twice", ILLEGAL, EXT(ANYSIGS, ANYSIGS)),
	NO("4.2 unknown ones, too", ILLEGAL, EXT({999, SPAN("")}, ANYSIGS, {999, SPAN("")})),
	NO("RFC 8701 3.1 GREASE, too", ILLEGAL, EXT({0x2a2a, SPAN("")}, {0x2a2a, SPAN("")})),
};

static void check_row(const struct row *row, struct span records, size_t payload)
{
	enum tls_hello_result wanted = row->is_bad ? TLS_HELLO_BAD : TLS_HELLO_DONE, result;
	struct tls_hello hello;
	size_t at;

	result = read_every_way(records, &hello, &at);
	if (result != wanted || hello.alert != row->alert)
		fail_msg("%s, records of %zu: result %d alert %d, not %d and %d", row->section,
			 payload, result, hello.alert, wanted, row->alert);
	/* What the message says is known at its last byte, not before. */
	assert_int_equal(at, records.len);
	if (row->is_bad) {
		assert_int_equal(hello.cause,
				 row->alert == VERSION ? ACCESS_TLS_VERSION : ACCESS_TLS_BAD_HELLO);
		return;
	}
	assert_int_equal(hello.cause, ACCESS_OK);
	if (bits_of(&hello) != row->bits || strcmp(hello.server_name, row->name) != 0)
		fail_msg("%s, records of %zu: bits %#x name '%s', not %#x '%s'", row->section,
			 payload, bits_of(&hello), hello.server_name, row->bits, row->name);
}

static void each_message_gets_the_verdict_of_its_section(void **state UNUSED)
{
	static const size_t payloads[] = {16384, 1, 3, 4, 100};
	static struct bytes message, records;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		put_message(&message, &rows[i]);
		for (size_t p = 0; p < ARRAY_LEN(payloads); p++) {
			records.len = 0;
			put_records(&records, span_of(message.at, message.len), payloads[p]);
			check_row(&rows[i], span_of(records.at, records.len), payloads[p]);
		}
	}
}

/* Its inner lengths say more or less than there is. */
static void a_message_that_does_not_add_up_is_refused(void **state UNUSED)
{
	static const struct row row = OK("", "", 0,
					 EXT(NAME("\0\x04\0\0\x01"
						  "a"),
					     BOTH));
	static struct bytes message, records;
	struct tls_hello hello;

	put_message(&message, &row);
	for (size_t len = 4; len < message.len; len++) {
		/* The 41 bytes up to the compressions are a hello without extensions, but
		 * for the suites, of which there are six more. */
		bool is_whole = len == 4 + 41 + 6;

		records.len = 0;
		put(&records, SPAN("\x16\x03\x01"));
		put_number(&records, 2, len);
		put(&records, SPAN("\x01"));
		put_number(&records, 3, len - 4);
		put(&records, span_of(message.at + 4, len - 4));
		assert_int_equal(read_every_way(span_of(records.at, records.len), &hello, NULL),
				 is_whole ? TLS_HELLO_DONE : TLS_HELLO_BAD);
		assert_int_equal(hello.alert, is_whole ? 0 : DECODE);
	}
	/* One byte behind the extensions. */
	put(&message, SPAN("x"));
	message.at[3]++;
	records.len = 0;
	put_records(&records, span_of(message.at, message.len), 16384);
	assert_int_equal(read_every_way(span_of(records.at, records.len), &hello, NULL),
			 TLS_HELLO_BAD);
	assert_int_equal(hello.alert, DECODE);
}

/* ---- bytes ---- */

/* The smallest hello: of 45 bytes, 41 without its header. */
#define SMALL_BODY "\x03\x03" RANDOM "\0\0\x02\xc0\x2f\x01\0"
#define SMALL      "\x01\0\0\x29" SMALL_BODY

enum { OVERFLOW = 22, UNEXPECTED = 10 };

static const struct {
	const char *section; /* of RFC 8446, unless it says otherwise */
	struct span raw;
	enum access_cause cause; /* ACCESS_OK: taken */
	uint8_t alert;
	size_t settled_at;
} raws[] = {
	/* Records. */
	{"5.1", SPAN("\x16\x03\x01\0\x2d" SMALL), ACCESS_OK, 0, 50},
	{"5.1 minor version is ignored", SPAN("\x16\x03\0\0\x2d" SMALL), ACCESS_OK, 0, 50},
	{"5.1 minor version is ignored", SPAN("\x16\x03\xff\0\x2d" SMALL), ACCESS_OK, 0, 50},
	{"5.1 in two records", SPAN("\x16\x03\x01\0\x02\x01\0\x16\x03\x03\0\x2b\0\x29" SMALL_BODY),
	 ACCESS_OK, 0, 55},
	{"5.1 a record behind it", SPAN("\x16\x03\x01\0\x2d" SMALL "\x14\x03\x03\0\x01\x01"),
	 ACCESS_OK, 0, 50},
	{"4.2.10 early data behind it", SPAN("\x16\x03\x01\0\x2d" SMALL "\x17\x03\x03\xff\xff"),
	 ACCESS_OK, 0, 50},
	{"5.1 another message in its record", SPAN("\x16\x03\x01\0\x2e" SMALL "\x01"),
	 ACCESS_TLS_BAD_HELLO, UNEXPECTED, 9},
	{"5.1 the same, in its second record",
	 SPAN("\x16\x03\x01\0\x04\x01\0\0\x29\x16\x03\x01\0\x2a" SMALL_BODY "x"),
	 ACCESS_TLS_BAD_HELLO, UNEXPECTED, 14},
	{"5.1 empty record", SPAN("\x16\x03\x01\0\0\x16\x03\x01\0\x2d" SMALL), ACCESS_TLS_BAD_HELLO,
	 UNEXPECTED, 5},
	{"5.1 empty record in between", SPAN("\x16\x03\x01\0\x01\x01\x16\x03\x01\0\0"),
	 ACCESS_TLS_BAD_HELLO, UNEXPECTED, 11},
	{"5.1 2^14 bytes are promised", SPAN("\x16\x03\x01\x40\0\x01\0\x3f\xfc\x03"), ACCESS_OK, 0,
	 SIZE_MAX},
	{"5.1 2^14 + 1", SPAN("\x16\x03\x01\x40\x01\x01"), ACCESS_TLS_BAD_HELLO, OVERFLOW, 5},
	{"5.1 alert in between", SPAN("\x16\x03\x01\0\x01\x01\x15\x03\x01\0\x02\x02\x28"),
	 ACCESS_TLS_BAD_HELLO, UNEXPECTED, 8},
	{"5.1 garbage in between", SPAN("\x16\x03\x01\0\x01\x01xyz"), ACCESS_TLS_GARBAGE, 0, 7},
	{"5 change_cipher_spec first", SPAN("\x14\x03\x01\0\x01\x01"), ACCESS_TLS_BAD_HELLO,
	 UNEXPECTED, 2},
	{"5 alert first", SPAN("\x15\x03\x01\0\x02\x02\x28"), ACCESS_TLS_BAD_HELLO, UNEXPECTED, 2},
	{"5 data first", SPAN("\x17\x03\x03\0\x01x"), ACCESS_TLS_BAD_HELLO, UNEXPECTED, 2},
	{"RFC 6520 4 heartbeat first", SPAN("\x18\x03\x02\0\x03\x01\x40\0"), ACCESS_TLS_BAD_HELLO,
	 UNEXPECTED, 2},
	{"5.1 unknown type", SPAN("\x13\x03\x01\0\x01x"), ACCESS_TLS_GARBAGE, 0, 1},
	{"5.1 unknown type", SPAN("\x19\x03\x01\0\x01x"), ACCESS_TLS_GARBAGE, 0, 1},
	{"D.5 version below 3.0", SPAN("\x16\x02\0\0\x2d" SMALL), ACCESS_TLS_VERSION, VERSION, 2},
	{"5.1 and of another type", SPAN("\x17\x02\0\0\x01x"), ACCESS_TLS_GARBAGE, 0, 2},
	{"5.1 version above 3", SPAN("\x16\x04\x01\0\x2d" SMALL), ACCESS_TLS_GARBAGE, 0, 2},
	{"RFC 9147 4 DTLS", SPAN("\x16\xfe\xfd\0\0\0\0"), ACCESS_TLS_GARBAGE, 0, 2},
	/* Messages. */
	{"4 not a hello", SPAN("\x16\x03\x01\0\x04\x10\0\0\0"), ACCESS_TLS_BAD_HELLO, UNEXPECTED,
	 6},
	{"4 a server's hello", SPAN("\x16\x03\x01\0\x2d\x02\0\0\x29" SMALL_BODY),
	 ACCESS_TLS_BAD_HELLO, UNEXPECTED, 6},
	{"4.1.2 empty", SPAN("\x16\x03\x01\0\x04\x01\0\0\0"), ACCESS_TLS_BAD_HELLO, DECODE, 9},
	{"4 TLS_HELLO_MAX and 1", SPAN("\x16\x03\x01\0\x10\x01\0\x3f\xfd"), ACCESS_TLS_BAD_HELLO,
	 ILLEGAL, 9},
	{"4 as long as can be", SPAN("\x16\x03\x01\x40\0\x01\xff\xff\xff"), ACCESS_TLS_BAD_HELLO,
	 ILLEGAL, 9},
	{"4 not there yet",
	 SPAN("\x16\x03\x01\0\x2d"
	      "\x01\0\0\x29"
	      "\x03"),
	 ACCESS_OK, 0, SIZE_MAX},
	{"4.2 half a type", SPAN("\x16\x03\x01\0\x30\x01\0\0\x2c" SMALL_BODY "\0\x01\0"),
	 ACCESS_TLS_BAD_HELLO, DECODE, 53},
	{"4.2 no length", SPAN("\x16\x03\x01\0\x31\x01\0\0\x2d" SMALL_BODY "\0\x02\0\0"),
	 ACCESS_TLS_BAD_HELLO, DECODE, 54},
	{"4.2 too long", SPAN("\x16\x03\x01\0\x34\x01\0\0\x30" SMALL_BODY "\0\x05\0\0\0\x02x"),
	 ACCESS_TLS_BAD_HELLO, DECODE, 57},
	/* SSL 2.0. */
	{"D.5 SSL 2.0", SPAN("\x80\x2e\x01\0\x02\0\x15\0\0\0\x10"), ACCESS_TLS_VERSION, 0, 5},
	{"D.5 SSL 2.0 hello of 1.0", SPAN("\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10"),
	 ACCESS_TLS_VERSION, VERSION, 5},
	{"D.5 SSL 2.0 hello of SSL 3.0", SPAN("\x80\x2e\x01\x03\0\0\x15\0\0\0\x10"),
	 ACCESS_TLS_VERSION, VERSION, 5},
	{"D.5 not there yet", SPAN("\x80\x2e\x01\x03"), ACCESS_OK, 0, SIZE_MAX},
	{"D.5 no hello", SPAN("\x80\x2e\x04\0\x02"), ACCESS_TLS_GARBAGE, 0, 3},
	{"D.5 no version", SPAN("\x80\x2e\x01\x02\x02"), ACCESS_TLS_GARBAGE, 0, 4},
	{"D.5 no version", SPAN("\x80\x2e\x01\0\x03"), ACCESS_TLS_GARBAGE, 0, 5},
	/* HTTP. */
	{"RFC 9110 9.3.1", SPAN("GET / HTTP/1.1\r\n"), ACCESS_TLS_PLAIN_HTTP, 0, 4},
	{"RFC 9110 9.3.2", SPAN("HEAD / HTTP/1.1\r\n"), ACCESS_TLS_PLAIN_HTTP, 0, 5},
	{"RFC 9110 9.3.3", SPAN("POST / HTTP/1.1\r\n"), ACCESS_TLS_PLAIN_HTTP, 0, 5},
	{"RFC 9110 9.3.4", SPAN("PUT / HTTP/1.1\r\n"), ACCESS_TLS_PLAIN_HTTP, 0, 4},
	{"RFC 9110 9.3.5", SPAN("DELETE / HTTP/1.1\r\n"), ACCESS_TLS_PLAIN_HTTP, 0, 7},
	{"RFC 9110 9.3.6", SPAN("CONNECT a:443 HTTP/1.1\r\n"), ACCESS_TLS_PLAIN_HTTP, 0, 8},
	{"RFC 9110 9.3.7", SPAN("OPTIONS * HTTP/1.1\r\n"), ACCESS_TLS_PLAIN_HTTP, 0, 8},
	{"RFC 9110 9.3.8", SPAN("TRACE / HTTP/1.1\r\n"), ACCESS_TLS_PLAIN_HTTP, 0, 6},
	{"RFC 5789 2", SPAN("PATCH / HTTP/1.1\r\n"), ACCESS_TLS_PLAIN_HTTP, 0, 6},
	{"RFC 9113 3.4", SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ACCESS_TLS_PLAIN_HTTP, 0, 4},
	{"RFC 9110 9.1 not sure yet", SPAN("OPTION"), ACCESS_OK, 0, SIZE_MAX},
	{"RFC 9110 9.1 case matters", SPAN("get / HTTP/1.1\r\n"), ACCESS_TLS_GARBAGE, 0, 1},
	{"RFC 9110 9.1 no space", SPAN("GETS / HTTP/1.1\r\n"), ACCESS_TLS_GARBAGE, 0, 4},
	{"a PROXY header where none is read", SPAN("PROXY TCP4 192.0.2.1"), ACCESS_TLS_GARBAGE, 0,
	 3},
	/* Others. */
	{"nothing", SPAN(""), ACCESS_OK, 0, SIZE_MAX},
	{"RFC 4253 4.2 SSH", SPAN("SSH-2.0-x\r\n"), ACCESS_TLS_GARBAGE, 0, 1},
	{"NUL", SPAN("\0\0\0\0"), ACCESS_TLS_GARBAGE, 0, 1},
	{"a binary PROXY header", SPAN("\r\n\r\n\0\r\nQUIT\n"), ACCESS_TLS_GARBAGE, 0, 1},
};

static void each_beginning_gets_the_verdict_of_its_section(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(raws); i++) {
		enum tls_hello_result result;
		struct tls_hello hello;
		size_t at;

		result = read_every_way(raws[i].raw, &hello, &at);
		if (raws[i].settled_at == SIZE_MAX) {
			if (result != TLS_HELLO_MORE)
				fail_msg("%s: not MORE", raws[i].section);
			continue;
		}
		if (result == TLS_HELLO_MORE || hello.cause != raws[i].cause ||
		    hello.alert != raws[i].alert || at != raws[i].settled_at)
			fail_msg("row %zu, %s: result %d cause %d alert %d at %zu", i,
				 raws[i].section, result, hello.cause, hello.alert, at);
		assert_int_equal(result, raws[i].cause ? TLS_HELLO_BAD : TLS_HELLO_DONE);
	}
}

/* ---- limits ---- */

/* A message of `size` bytes, header and all, filled up by one extension (RFC 7685). */
static void put_padded(struct bytes *message, size_t size)
{
	static char zeros[TLS_HELLO_MAX];
	const size_t others = 4 + 41 + 6 + 2 + 4;
	struct row row = OK("", "", 0, EXT({21, {zeros, size - others}}));

	put_message(message, &row);
	assert_int_equal(message->len, size);
}

static void the_longest_message_is_taken_in_any_pieces(void **state UNUSED)
{
	static struct bytes message, records;
	struct tls_hello hello;

	put_padded(&message, TLS_HELLO_MAX);
	for (size_t payload = 16; payload <= TLS_HELLO_MAX; payload *= 32) {
		records.len = 0;
		put_records(&records, span_of(message.at, message.len), payload);
		for (size_t len = 0; len < records.len; len++)
			assert_int_equal(tls_hello_read(span_of(records.at, len), &hello),
					 TLS_HELLO_MORE);
		assert_int_equal(tls_hello_read(span_of(records.at, records.len), &hello),
				 TLS_HELLO_DONE);
	}
}

static void a_longer_message_is_refused_at_its_header(void **state UNUSED)
{
	static struct bytes message, records;
	struct tls_hello hello;
	size_t at;

	put_padded(&message, TLS_HELLO_MAX + 1);
	records.len = 0;
	put_records(&records, span_of(message.at, message.len), 1000);
	assert_int_equal(read_every_way(span_of(records.at, 2000), &hello, &at), TLS_HELLO_BAD);
	assert_int_equal(at, 9);
	assert_int_equal(hello.alert, ILLEGAL);
}

static void so_many_records_and_no_more_are_read(void **state UNUSED)
{
	static struct bytes message, records;
	struct tls_hello hello;
	size_t at;

	put_padded(&message, TLS_HELLO_RECORDS_MAX);
	records.len = 0;
	put_records(&records, span_of(message.at, message.len), 1);
	assert_int_equal(read_every_way(span_of(records.at, records.len), &hello, NULL),
			 TLS_HELLO_DONE);
	put_padded(&message, TLS_HELLO_RECORDS_MAX + 1);
	records.len = 0;
	put_records(&records, span_of(message.at, message.len), 1);
	assert_int_equal(read_every_way(span_of(records.at, records.len), &hello, &at),
			 TLS_HELLO_BAD);
	assert_int_equal(hello.cause, ACCESS_TLS_BAD_HELLO);
	assert_int_equal(hello.alert, ILLEGAL);
	assert_int_equal(at, TLS_HELLO_RECORDS_MAX * 6 + 5);
}

/* ---- real clients ---- */

static const struct {
	const char *file; /* of the fuzz corpus, as the client sent it */
	const char *name;
	unsigned bits;
} captures[] = {
	{"openssl_tls13", "www.example.com", T13 | ECDSA | RSA},
	{"openssl_any_noname", "", ALL | OLD},
	{"openssl_tls12_alpn", "api.example.com", T12 | ECDSA | RSA | ALPN | H11 | H2},
	{"openssl_tls12_noname", "", T12 | ECDSA | RSA | ALPN | H11},
	{"openssl_tls12_rsa", "", T12 | RSA},
	{"openssl_ecdsa_only", "a.test", T13 | T12 | OLD | ECDSA},
	{"openssl_tls11", "a.test", OLD},
	{"curl_h2", "example.com", ALL | OLD | ALPN | H11 | H2},
	{"curl_http11_ip", "", ALL | OLD | ALPN | H11},
	{"gnutls_any", "gnutls.example", ALL | OLD},
	{"gnutls_tls12_alpn", "localhost", T12 | ECDSA | RSA | ALPN | H11},
	{"gnutls_noname", "", ALL | OLD | ALPN | H2},
};

static void what_real_clients_send_is_understood(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(captures); i++) {
		enum tls_hello_result result;
		struct tls_hello hello;
		char path[4096], raw[4096];
		FILE *file;
		size_t len, at;

		snprintf(path, sizeof(path), "%s/%s", HELLO_CORPUS, captures[i].file);
		file = fopen(path, "rb");
		if (!file)
			fail_msg("%s is not there", path);
		len = fread(raw, 1, sizeof(raw), file);
		fclose(file);
		result = read_every_way(span_of(raw, len), &hello, &at);
		if (result != TLS_HELLO_DONE || bits_of(&hello) != captures[i].bits ||
		    strcmp(hello.server_name, captures[i].name) != 0 || at != len)
			fail_msg("%s: result %d alert %d bits %#x name '%s'", captures[i].file,
				 result, hello.alert, bits_of(&hello), hello.server_name);
	}
}

/* ---- groups ---- */

static void groups_are_known_by_their_numbers(void **state UNUSED)
{
	static const struct {
		struct span list;
		bool is_bad;
		uint8_t groups;
	} cases[] = {
		{SPAN("\0\x02\0\x17"), false, TLS_HELLO_P256},
		{SPAN("\0\x08\0\x1d\0\x17\0\x18\x11\xec"), false,
		 TLS_HELLO_X25519 | TLS_HELLO_P256 | TLS_HELLO_P384 | TLS_HELLO_X25519MLKEM768},
		/* P-521, GREASE, a finite field. */
		{SPAN("\0\x06\0\x19\x1a\x1a\x01\0"), false, 0},
		{SPAN("\0\0"), true, 0},
		{SPAN("\0\x03\0\x17\0"), true, 0},
		{SPAN("\0\x04\0\x17"), true, 0},
		{SPAN("\0\x02\0\x17\0"), true, 0},
	};
	static struct bytes message, records;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct row row = OK("4.2.7", "", 0, EXT(BOTH, ANYSIGS));
		struct tls_hello hello;

		row.extensions[2] = (struct extension){10, cases[i].list};
		put_message(&message, &row);
		records.len = 0;
		put_records(&records, span_of(message.at, message.len), 16384);
		assert_int_equal(read_every_way(span_of(records.at, records.len), &hello, NULL),
				 cases[i].is_bad ? TLS_HELLO_BAD : TLS_HELLO_DONE);
		if (cases[i].is_bad) {
			assert_int_equal(hello.alert, DECODE);
		} else {
			assert_true(hello.has_groups);
			assert_int_equal(hello.groups, cases[i].groups);
		}
	}
}

static void a_hello_without_groups_is_told_from_one_with_none_of_ours(void **state UNUSED)
{
	static const struct row row = OK("4.2.7", "", 0, EXT(BOTH, ANYSIGS));
	static struct bytes message, records;
	struct tls_hello hello;

	put_message(&message, &row);
	records.len = 0;
	put_records(&records, span_of(message.at, message.len), 16384);
	assert_int_equal(read_every_way(span_of(records.at, records.len), &hello, NULL),
			 TLS_HELLO_DONE);
	assert_false(hello.has_groups);
}

/* ---- one record of many ---- */

static void records_are_joined_and_what_follows_stays(void **state UNUSED)
{
	static const size_t payloads[] = {16384, 1, 2, 3, 4, 100, 333};
	static const struct span after[] = {SPAN(""), SPAN("\x14\x03\x03\0\x01\x01 and more")};
	static const size_t sizes[] = {100, 517, TLS_HELLO_RECORDS_MAX};
	static struct bytes message, records, whole;

	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		put_padded(&message, sizes[s]);
		for (size_t p = 0; p < ARRAY_LEN(payloads) * ARRAY_LEN(after); p++) {
			struct span tail = after[p % ARRAY_LEN(after)];

			whole.len = records.len = 0;
			put_records(&whole, span_of(message.at, message.len), 16384);
			put(&whole, tail);
			put_records(&records, span_of(message.at, message.len),
				    payloads[p / ARRAY_LEN(after)]);
			put(&records, tail);
			assert_int_equal(tls_hello_join(records.at, records.len), whole.len);
			assert_memory_equal(records.at, whole.at, whole.len);
		}
	}
}

static void the_longest_message_is_joined(void **state UNUSED)
{
	static struct bytes message, records, whole;

	put_padded(&message, TLS_HELLO_MAX);
	whole.len = records.len = 0;
	put_records(&whole, span_of(message.at, message.len), 16384);
	put_records(&records, span_of(message.at, message.len), 16);
	assert_int_equal(tls_hello_join(records.at, records.len), whole.len);
	assert_memory_equal(records.at, whole.at, whole.len);
}

static void an_alert_is_one_fatal_record(void **state UNUSED)
{
	uint8_t record[7];

	tls_alert_record(VERSION, record);
	assert_memory_equal(record, "\x15\x03\x03\0\x02\x02\x46", sizeof(record));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_message_gets_the_verdict_of_its_section),
		cmocka_unit_test(a_message_that_does_not_add_up_is_refused),
		cmocka_unit_test(each_beginning_gets_the_verdict_of_its_section),
		cmocka_unit_test(the_longest_message_is_taken_in_any_pieces),
		cmocka_unit_test(a_longer_message_is_refused_at_its_header),
		cmocka_unit_test(so_many_records_and_no_more_are_read),
		cmocka_unit_test(what_real_clients_send_is_understood),
		cmocka_unit_test(groups_are_known_by_their_numbers),
		cmocka_unit_test(a_hello_without_groups_is_told_from_one_with_none_of_ours),
		cmocka_unit_test(records_are_joined_and_what_follows_stays),
		cmocka_unit_test(the_longest_message_is_joined),
		cmocka_unit_test(an_alert_is_one_fatal_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

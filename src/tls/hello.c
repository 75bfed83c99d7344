/* A hello is read in two steps that never mix: records are walked until the message is
 * whole, in the order of their bytes, so that a verdict does not depend on how they arrived;
 * then the message is read, once.
 *
 * Which alert: decode_error where a length does not add up or a list is shorter than its
 * syntax allows, illegal_parameter where the syntax holds and the content does not (RFC 8446
 * section 6). The latter also for our own limits on the message: its length is in the range
 * of its field, so it decodes; we refuse the value.
 */
#include <ringway/tls/hello.h>

#include <ringway/base/address.h>
#include <ringway/base/base.h>

/* RFC 8446 section 6. */
enum {
	ALERT_NONE = 0,
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_RECORD_OVERFLOW = 22,
	ALERT_ILLEGAL_PARAMETER = 47,
	ALERT_DECODE_ERROR = 50,
	ALERT_PROTOCOL_VERSION = 70,
};

/* Section 5.1 and Appendix B.1. */
enum {
	RECORD_CHANGE_CIPHER_SPEC = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_HEARTBEAT = 24, /* RFC 6520 */
	RECORD_HEADER_BYTES = 5,
	RECORD_BYTES_MAX = 1 << 14,
};

enum { MESSAGE_CLIENT_HELLO = 1, MESSAGE_HEADER_BYTES = 4 };

/* Section 4.2. */
enum {
	EXTENSION_SERVER_NAME = 0,
	EXTENSION_SUPPORTED_GROUPS = 10,
	EXTENSION_SIGNATURE_ALGORITHMS = 13,
	EXTENSION_ALPN = 16,
	EXTENSION_SESSION_TICKET = 35, /* RFC 5077 */
	EXTENSION_PRE_SHARED_KEY = 41,
	EXTENSION_SUPPORTED_VERSIONS = 43,
};

enum { SSL2 = 0x0002, SSL3 = 0x0300, TLS12 = 0x0303, TLS13 = 0x0304 };

#define HOST_NAME_MAX_BYTES  253 /* 255 on the wire of RFC 1035 section 2.3.4, as text */
#define HOST_LABEL_MAX_BYTES 63

/* ---- before it is TLS ---- */

static enum tls_hello_result bad(struct tls_hello *ret_hello, enum access_cause cause,
				 uint8_t alert)
{
	*ret_hello = (struct tls_hello){.cause = cause, .alert = alert};
	return TLS_HELLO_BAD;
}

static enum tls_hello_result garbage(struct tls_hello *ret_hello)
{
	return bad(ret_hello, ACCESS_TLS_GARBAGE, ALERT_NONE);
}

/* A version-2 hello: two bytes of length with the top bit set, type 1, a version. RFC 8446
 * appendix D.5 lets no server take it, whichever version it asks for. Clients that ask for
 * 3.x with it understand an alert, real SSL 2.0 knows no such record. */
static enum tls_hello_result read_ssl2(struct span bytes, struct tls_hello *ret_hello)
{
	const uint8_t *at = (const uint8_t *)bytes.ptr;

	if (bytes.len > 2 && at[2] != MESSAGE_CLIENT_HELLO)
		return garbage(ret_hello);
	if (bytes.len > 3 && at[3] != SSL2 >> 8 && at[3] != SSL3 >> 8)
		return garbage(ret_hello);
	if (bytes.len < 5)
		return TLS_HELLO_MORE;
	if (at[3] == SSL3 >> 8)
		return bad(ret_hello, ACCESS_TLS_VERSION, ALERT_PROTOCOL_VERSION);
	if (at[4] == SSL2)
		return bad(ret_hello, ACCESS_TLS_VERSION, ALERT_NONE);
	return garbage(ret_hello);
}

static enum tls_hello_result read_stranger(struct span bytes, struct tls_hello *ret_hello)
{
	/* RFC 9110 section 9.3, RFC 5789, and the preface of RFC 9113 section 3.4. */
	static const struct span methods[] = {
		SPAN("GET "),     SPAN("POST "),  SPAN("HEAD "),    SPAN("PUT "),   SPAN("DELETE "),
		SPAN("OPTIONS "), SPAN("PATCH "), SPAN("CONNECT "), SPAN("TRACE "), SPAN("PRI "),
	};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (span_starts_with(bytes, methods[i]))
			return bad(ret_hello, ACCESS_TLS_PLAIN_HTTP, ALERT_NONE);
		if (span_starts_with(methods[i], bytes))
			return TLS_HELLO_MORE;
	}
	if (*bytes.ptr & 0x80)
		return read_ssl2(bytes, ret_hello);
	return garbage(ret_hello);
}

/* ---- records ---- */

/* What is known of the message; its bytes lie in the payloads of the records. */
struct message {
	uint8_t header[MESSAGE_HEADER_BYTES];
	size_t header_len;
	size_t bytes;    /* in the records so far, as their headers say */
	size_t size;     /* with the header; 0 until that is there */
	size_t payloads; /* records */
};

static size_t number(const uint8_t *at, size_t bytes)
{
	size_t value = 0;

	while (bytes--)
		value = value << 8 | *at++;
	return value;
}

/* As many bytes of a record's header as there are. Only the major version counts: the minor
 * one must be ignored (RFC 8446 section 5.1), also when it is that of SSL 3.0 (RFC 5246
 * appendix E.1). */
static enum tls_hello_result check_record(const uint8_t *at, size_t len,
					  struct tls_hello *ret_hello)
{
	size_t payload;

	if (len > 0 && (at[0] < RECORD_CHANGE_CIPHER_SPEC || at[0] > RECORD_HEARTBEAT))
		return garbage(ret_hello);
	if (len > 1 && at[1] > SSL3 >> 8)
		return garbage(ret_hello);
	/* Appendix D.5: no record with less than 3.0 is taken. */
	if (len > 1 && at[1] < SSL3 >> 8)
		return at[0] == RECORD_HANDSHAKE
			       ? bad(ret_hello, ACCESS_TLS_VERSION, ALERT_PROTOCOL_VERSION)
			       : garbage(ret_hello);
	/* Section 5: nothing comes before the hello. Section 5.1: nor between its pieces. */
	if (len > 1 && at[0] != RECORD_HANDSHAKE)
		return bad(ret_hello, ACCESS_TLS_BAD_HELLO, ALERT_UNEXPECTED_MESSAGE);
	if (len < RECORD_HEADER_BYTES)
		return TLS_HELLO_MORE;
	payload = number(at + 3, 2);
	if (payload > RECORD_BYTES_MAX)
		return bad(ret_hello, ACCESS_TLS_BAD_HELLO, ALERT_RECORD_OVERFLOW);
	/* Section 5.1 forbids empty ones, and 5.4 names the alert. */
	if (payload == 0)
		return bad(ret_hello, ACCESS_TLS_BAD_HELLO, ALERT_UNEXPECTED_MESSAGE);
	return TLS_HELLO_DONE;
}

/* The first `len` bytes are there of a payload of `payload`. DONE: no objection. */
static enum tls_hello_result check_message(struct message *m, const uint8_t *at, size_t len,
					   size_t payload, struct tls_hello *ret_hello)
{
	while (len-- && m->header_len < MESSAGE_HEADER_BYTES)
		m->header[m->header_len++] = *at++;
	m->bytes += payload;
	m->payloads++;
	if (m->header_len && m->header[0] != MESSAGE_CLIENT_HELLO)
		return bad(ret_hello, ACCESS_TLS_BAD_HELLO, ALERT_UNEXPECTED_MESSAGE);
	if (m->header_len < MESSAGE_HEADER_BYTES)
		return TLS_HELLO_DONE;
	m->size = MESSAGE_HEADER_BYTES + number(m->header + 1, 3);
	if (m->size > TLS_HELLO_MAX)
		return bad(ret_hello, ACCESS_TLS_BAD_HELLO, ALERT_ILLEGAL_PARAMETER);
	/* Section 5.1: a hello ends where its record ends. No version has a client go on
	 * talking before the server has said something. */
	if (m->bytes > m->size)
		return bad(ret_hello, ACCESS_TLS_BAD_HELLO, ALERT_UNEXPECTED_MESSAGE);
	return TLS_HELLO_DONE;
}

/* DONE: the message is whole and its records are sound. */
static enum tls_hello_result walk_records(struct span bytes, struct message *m,
					  struct tls_hello *ret_hello)
{
	const uint8_t *at = (const uint8_t *)bytes.ptr;
	size_t left = bytes.len;

	for (;;) {
		enum tls_hello_result result = check_record(at, left, ret_hello);
		size_t payload, there;

		if (result != TLS_HELLO_DONE)
			return result;
		if (m->payloads == TLS_HELLO_RECORDS_MAX)
			return bad(ret_hello, ACCESS_TLS_BAD_HELLO, ALERT_ILLEGAL_PARAMETER);
		payload = number(at + 3, 2);
		at += RECORD_HEADER_BYTES;
		left -= RECORD_HEADER_BYTES;
		there = min_u64(left, payload);
		result = check_message(m, at, there, payload, ret_hello);
		if (result != TLS_HELLO_DONE)
			return result;
		if (there < payload)
			return TLS_HELLO_MORE;
		if (m->size && m->bytes == m->size)
			return TLS_HELLO_DONE;
		at += payload;
		left -= payload;
	}
}

static void join_payloads(struct span bytes, const struct message *m, uint8_t *out)
{
	const uint8_t *at = (const uint8_t *)bytes.ptr;

	for (size_t i = 0; i < m->payloads; i++) {
		size_t payload = number(at + 3, 2);

		memcpy(out, at + RECORD_HEADER_BYTES, payload);
		out += payload;
		at += RECORD_HEADER_BYTES + payload;
	}
}

size_t tls_hello_join(char *bytes, size_t len)
{
	struct message m = {.size = 0};
	struct tls_hello ignored;
	uint8_t *to, *from, *end;

	must(walk_records(span_of(bytes, len), &m, &ignored) == TLS_HELLO_DONE);
	from = (uint8_t *)bytes;
	end = from + len;
	to = from + RECORD_HEADER_BYTES;
	for (size_t i = 0; i < m.payloads; i++) {
		size_t payload = number(from + 3, 2);

		memmove(to, from + RECORD_HEADER_BYTES, payload);
		to += payload;
		from += RECORD_HEADER_BYTES + payload;
	}
	memmove(to, from, (size_t)(end - from));
	bytes[3] = (char)(m.size >> 8);
	bytes[4] = (char)m.size;
	return len - (size_t)(from - to);
}

/* ---- fields ---- */

/* Bytes that are still to be read. */
struct rest {
	const uint8_t *at;
	size_t len;
};

static bool take(struct rest *r, size_t bytes, struct rest *ret_taken)
{
	if (r->len < bytes)
		return false;
	*ret_taken = (struct rest){r->at, bytes};
	r->at += bytes;
	r->len -= bytes;
	return true;
}

static bool take_number(struct rest *r, size_t bytes, size_t *ret_value)
{
	struct rest taken;

	if (!take(r, bytes, &taken))
		return false;
	*ret_value = number(taken.at, bytes);
	return true;
}

/* A vector of section 3.4: so many bytes of length, then at least `min` bytes. */
static bool take_vector(struct rest *r, size_t length_bytes, size_t min, struct rest *ret_taken)
{
	size_t len;

	return take_number(r, length_bytes, &len) && len >= min && take(r, len, ret_taken);
}

/* The same as the only content of an extension. */
static bool take_only_vector(struct rest *r, size_t length_bytes, size_t min,
			     struct rest *ret_taken)
{
	return take_vector(r, length_bytes, min, ret_taken) && r->len == 0;
}

/* ---- the message ---- */

/* Kinds of key, and what was found of each in the two lists. */
struct reader {
	struct tls_hello *hello;
	bool has_versions;
	bool has_signatures;
	bool signs_ecdsa;
	bool signs_rsa;     /* RSASSA-PSS with a common RSA key: every version */
	bool signs_rsa_old; /* PKCS #1 1.5: for TLS 1.2 only (section 4.2.3) */
	bool suites_tls13;
	bool suites_ecdsa;
	bool suites_rsa;
};

static void read_suites(struct reader *r, struct rest suites)
{
	size_t suite;

	/* Those that we have, and no others: a client whose ECDSA suites are all CBC gets
	 * the RSA certificate that it can use. */
	while (take_number(&suites, 2, &suite)) {
		switch (suite) {
		case 0x1301: /* TLS_AES_128_GCM_SHA256 */
		case 0x1302: /* TLS_AES_256_GCM_SHA384 */
		case 0x1303: /* TLS_CHACHA20_POLY1305_SHA256 */ r->suites_tls13 = true; break;
		case 0xc02b: /* TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 */
		case 0xc02c: /* TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 */
		case 0xcca9: /* TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 */
			r->suites_ecdsa = true;
			break;
		case 0xc02f: /* TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 */
		case 0xc030: /* TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 */
		case 0xcca8: /* TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 */
			r->suites_rsa = true;
			break;
		}
	}
}

/* Section 4.2.3. */
static uint8_t read_signatures(struct reader *r, struct rest data)
{
	struct rest schemes;
	size_t scheme;

	if (!take_only_vector(&data, 2, 2, &schemes) || schemes.len % 2)
		return ALERT_DECODE_ERROR;
	r->has_signatures = true;
	while (take_number(&schemes, 2, &scheme)) {
		switch (scheme) {
		case 0x0403: /* ecdsa_secp256r1_sha256 */
		case 0x0503: /* ecdsa_secp384r1_sha384 */
		case 0x0603: /* ecdsa_secp521r1_sha512 */ r->signs_ecdsa = true; break;
		case 0x0804: /* rsa_pss_rsae_sha256 */
		case 0x0805: /* rsa_pss_rsae_sha384 */
		case 0x0806: /* rsa_pss_rsae_sha512 */ r->signs_rsa = true; break;
		case 0x0401: /* rsa_pkcs1_sha256 */
		case 0x0501: /* rsa_pkcs1_sha384 */
		case 0x0601: /* rsa_pkcs1_sha512 */ r->signs_rsa_old = true; break;
		}
	}
	return ALERT_NONE;
}

uint8_t tls_hello_group(size_t number)
{
	switch (number) {
	case 0x0017: return TLS_HELLO_P256;
	case 0x0018: return TLS_HELLO_P384;
	case 0x001d: return TLS_HELLO_X25519;
	case 0x11ec: return TLS_HELLO_X25519MLKEM768;
	default: return 0;
	}
}

/* Section 4.2.7. */
static uint8_t read_groups(struct reader *r, struct rest data)
{
	struct rest groups;
	size_t group;

	if (!take_only_vector(&data, 2, 2, &groups) || groups.len % 2)
		return ALERT_DECODE_ERROR;
	r->hello->has_groups = true;
	while (take_number(&groups, 2, &group))
		r->hello->groups |= tls_hello_group(group);
	return ALERT_NONE;
}

static void offer(struct tls_hello *hello, size_t version)
{
	if (version == TLS13)
		hello->offers_tls13 = true;
	else if (version == TLS12)
		hello->offers_tls12 = true;
	else if (version >= SSL3 && version < TLS12)
		hello->offers_older = true;
}

/* Section 4.2.1. Other values are GREASE (RFC 8701), drafts or the future. */
static uint8_t read_versions(struct reader *r, struct rest data)
{
	struct rest versions;
	size_t version;

	if (!take_only_vector(&data, 1, 2, &versions) || versions.len % 2)
		return ALERT_DECODE_ERROR;
	r->has_versions = true;
	while (take_number(&versions, 2, &version))
		offer(r->hello, version);
	return ALERT_NONE;
}

/* RFC 7301 section 3.1. */
static uint8_t read_alpn(struct reader *r, struct rest data)
{
	struct rest protocols, protocol;

	if (!take_only_vector(&data, 2, 2, &protocols))
		return ALERT_DECODE_ERROR;
	while (protocols.len) {
		struct span name;

		if (!take_vector(&protocols, 1, 1, &protocol))
			return ALERT_DECODE_ERROR;
		name = span_of((const char *)protocol.at, protocol.len);
		if (span_eq(name, SPAN("http/1.1")))
			r->hello->alpn_http11 = true;
		else if (span_eq(name, SPAN("h2")))
			r->hello->alpn_h2 = true;
	}
	r->hello->has_alpn = true;
	return ALERT_NONE;
}

static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Lower case into `out`, with a NUL. False when the bytes have not the form of a host name. */
static bool copy_host_name(struct rest name, char *out)
{
	size_t label = 0;

	if (name.len > HOST_NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		out[i] = ascii_lower((char)name.at[i]);
		if (out[i] == '.' ? label == 0 : !is_host_char(out[i]))
			return false;
		label = out[i] == '.' ? 0 : label + 1;
		if (label > HOST_LABEL_MAX_BYTES)
			return false;
	}
	out[name.len] = '\0';
	return label > 0;
}

/* RFC 6066 section 3: at most one name of a type; names of other types than 0, host_name,
 * begin with a length as well, which lets us pass them. */
static uint8_t read_server_name(struct reader *r, struct rest data)
{
	bool seen[256] = {false};
	struct rest names, name;
	struct address ignored;
	size_t type;

	if (!take_only_vector(&data, 2, 1, &names))
		return ALERT_DECODE_ERROR;
	while (take_number(&names, 1, &type)) {
		char text[sizeof(r->hello->server_name)];

		if (!take_vector(&names, 2, type == 0, &name))
			return ALERT_DECODE_ERROR;
		if (seen[type])
			return ALERT_ILLEGAL_PARAMETER;
		seen[type] = true;
		if (type != 0 ||
		    address_from_ip(span_of((const char *)name.at, name.len), 0, &ignored))
			continue;
		if (!copy_host_name(name, text))
			return ALERT_ILLEGAL_PARAMETER;
		memcpy(r->hello->server_name, text, name.len + 1);
	}
	return ALERT_NONE;
}

static uint8_t read_extension(struct reader *r, size_t type, struct rest data, bool is_last)
{
	switch (type) {
	case EXTENSION_SERVER_NAME: return read_server_name(r, data);
	case EXTENSION_SUPPORTED_GROUPS: return read_groups(r, data);
	case EXTENSION_SIGNATURE_ALGORITHMS: return read_signatures(r, data);
	case EXTENSION_ALPN: return read_alpn(r, data);
	case EXTENSION_SUPPORTED_VERSIONS: return read_versions(r, data);
	case EXTENSION_SESSION_TICKET:
		/* Empty, it asks for one (RFC 5077 section 3.2). */
		if (data.len)
			r->hello->has_ticket_or_psk = true;
		return ALERT_NONE;
	case EXTENSION_PRE_SHARED_KEY:
		/* Section 4.2.11: the binders cover all before them, so it is the last. */
		if (!is_last)
			return ALERT_ILLEGAL_PARAMETER;
		r->hello->has_ticket_or_psk = true;
		return ALERT_NONE;
	default: return ALERT_NONE;
	}
}

static uint8_t read_extensions(struct reader *r, struct rest extensions)
{
	/* A bit for each type. Section 4.2 forbids to repeat any, known or not: two readers
	 * that pick different copies is how a filter is passed. */
	uint64_t seen[(UINT16_MAX + 1) / 64] = {0};

	while (extensions.len) {
		struct rest data;
		uint8_t alert;
		size_t type;

		if (!take_number(&extensions, 2, &type) || !take_vector(&extensions, 2, 0, &data))
			return ALERT_DECODE_ERROR;
		if (seen[type / 64] >> type % 64 & 1)
			return ALERT_ILLEGAL_PARAMETER;
		seen[type / 64] |= (uint64_t)1 << type % 64;
		alert = read_extension(r, type, data, extensions.len == 0);
		if (alert)
			return alert;
	}
	return ALERT_NONE;
}

/* Which kinds of key can sign, in either version. */
static void judge_keys(const struct reader *r)
{
	struct tls_hello *hello = r->hello;
	bool tls13 = hello->offers_tls13 && r->suites_tls13;
	bool tls12 = hello->offers_tls12, any = !r->has_signatures;

	hello->accepts_ecdsa =
		(tls13 && r->signs_ecdsa) || (tls12 && r->suites_ecdsa && (any || r->signs_ecdsa));
	hello->accepts_rsa = (tls13 && r->signs_rsa) ||
			     (tls12 && r->suites_rsa && (any || r->signs_rsa || r->signs_rsa_old));
}

/* Section 4.1.2, RFC 5246 section 7.4.1.2. The alert, or ALERT_NONE. */
static uint8_t read_body(struct reader *r, struct rest body)
{
	struct rest random, session_id, suites, compressions, extensions;
	size_t version;
	uint8_t alert;

	if (!take_number(&body, 2, &version))
		return ALERT_DECODE_ERROR;
	/* Appendix D.5, before the rest: what follows may not have our form. */
	if (version <= SSL3)
		return ALERT_PROTOCOL_VERSION;
	if (!take(&body, 32, &random) || !take_vector(&body, 1, 0, &session_id) ||
	    session_id.len > 32 || !take_vector(&body, 2, 2, &suites) || suites.len % 2 ||
	    !take_vector(&body, 1, 1, &compressions))
		return ALERT_DECODE_ERROR;
	/* Every version wants "null" among the methods. */
	if (!memchr(compressions.at, 0, compressions.len))
		return ALERT_ILLEGAL_PARAMETER;
	read_suites(r, suites);
	if (body.len) {
		if (!take_only_vector(&body, 2, 0, &extensions))
			return ALERT_DECODE_ERROR;
		alert = read_extensions(r, extensions);
		if (alert)
			return alert;
	}
	/* Whatever lies above 1.2 in this field means 1.2 (section 4.2.1). */
	if (!r->has_versions)
		offer(r->hello, min_u64(version, TLS12));
	/* Section 4.1.2: with 1.3, nothing but "null". */
	if (r->hello->offers_tls13 && compressions.len != 1)
		return ALERT_ILLEGAL_PARAMETER;
	judge_keys(r);
	return ALERT_NONE;
}

enum tls_hello_result tls_hello_read(struct span bytes, struct tls_hello *ret_hello)
{
	struct tls_hello hello = {.cause = ACCESS_OK};
	struct reader reader = {.hello = &hello};
	struct message message = {.size = 0};
	uint8_t joined[TLS_HELLO_MAX];
	const uint8_t *whole = joined;
	enum tls_hello_result result;
	uint8_t alert;

	if (!bytes.len)
		return TLS_HELLO_MORE;
	if ((uint8_t)*bytes.ptr < RECORD_CHANGE_CIPHER_SPEC ||
	    (uint8_t)*bytes.ptr > RECORD_HEARTBEAT)
		return read_stranger(bytes, ret_hello);
	result = walk_records(bytes, &message, ret_hello);
	if (result != TLS_HELLO_DONE)
		return result;
	if (message.payloads == 1)
		whole = (const uint8_t *)bytes.ptr + RECORD_HEADER_BYTES;
	else
		join_payloads(bytes, &message, joined);
	alert = read_body(&reader, (struct rest){whole + MESSAGE_HEADER_BYTES,
						 message.size - MESSAGE_HEADER_BYTES});
	if (alert)
		return bad(ret_hello,
			   alert == ALERT_PROTOCOL_VERSION ? ACCESS_TLS_VERSION
							   : ACCESS_TLS_BAD_HELLO,
			   alert);
	*ret_hello = hello;
	return TLS_HELLO_DONE;
}

void tls_alert_record(uint8_t alert, uint8_t out[static 7])
{
	const uint8_t record[] = {
		RECORD_ALERT, TLS12 >> 8, TLS12 & 0xff, 0, 2, /* level: fatal */ 2, alert,
	};

	memcpy(out, record, sizeof(record));
}

#include "x509.h"

bool x509_open(struct span der, struct x509 *ret)
{
	struct x509 c = {0};
	struct span rest = der, tbs, behind, key;
	struct der e, skipped;

	if (!der_take(&rest, DER_SEQUENCE, &e) || rest.len)
		return false;
	rest = e.value;
	if (!der_take(&rest, DER_SEQUENCE, &e))
		return false;
	tbs = e.value;
	behind = rest;
	der_take(&tbs, DER_EXPLICIT(0), &skipped); /* version */
	if (!der_take(&tbs, DER_INTEGER, &e))
		return false;
	c.serial = e.value;
	if (!der_take(&tbs, DER_SEQUENCE, &skipped) || /* signature */
	    !der_take(&tbs, DER_SEQUENCE, &e))
		return false;
	c.issuer = e.whole;
	if (!der_take(&tbs, DER_SEQUENCE, &skipped) || /* validity */
	    !der_take(&tbs, DER_SEQUENCE, &e))
		return false;
	c.subject = e.whole;
	if (!der_take(&tbs, DER_SEQUENCE, &e))
		return false;
	c.key = e.whole;
	key = e.value;
	if (!der_take(&key, DER_SEQUENCE, &skipped) || !der_take(&key, DER_BIT_STRING, &e) ||
	    e.value.len < 1)
		return false;
	c.key_bits = span_of(e.value.ptr + 1, e.value.len - 1);
	der_take(&tbs, DER_CONTEXT(1), &skipped); /* unique identifiers */
	der_take(&tbs, DER_CONTEXT(2), &skipped);
	if (der_take(&tbs, DER_EXPLICIT(3), &e)) {
		rest = e.value;
		if (!der_take(&rest, DER_SEQUENCE, &e) || rest.len)
			return false;
		c.extensions = e.value;
	}
	if (tbs.len)
		return false;
	/* The same stands inside, which wolfSSL has compared. */
	if (!der_take(&behind, DER_SEQUENCE, &e) || !der_take(&e.value, DER_OID, &e))
		return false;
	c.signature = e.value;
	*ret = c;
	return true;
}

bool x509_extension(const struct x509 *c, struct span oid, struct span *ret_value)
{
	struct span rest = c->extensions;
	struct der extension, id, critical, value;

	while (der_take(&rest, DER_SEQUENCE, &extension)) {
		struct span parts = extension.value;

		if (!der_take(&parts, DER_OID, &id))
			return false;
		der_take(&parts, DER_BOOLEAN, &critical);
		if (!der_take(&parts, DER_OCTET_STRING, &value))
			return false;
		if (span_eq(id.value, oid)) {
			*ret_value = value.value;
			return true;
		}
	}
	return false;
}

/* RFC 5280 section 4.2.1.3: the first bit, in a BIT STRING behind the count of unused ones. */
static bool may_sign(const struct x509 *c)
{
	static const struct span usage = SPAN("\x55\x1d\x0f"); /* 2.5.29.15 */
	struct span value;
	struct der e;

	if (!x509_extension(c, usage, &value))
		return true;
	return der_take(&value, DER_BIT_STRING, &e) && e.value.len >= 2 &&
	       (uint8_t)e.value.ptr[1] & 0x80;
}

bool x509_has_purpose(const struct x509 *c, enum x509_purpose purpose)
{
	static const struct span usage = SPAN("\x55\x1d\x25");   /* 2.5.29.37 */
	static const struct span any = SPAN("\x55\x1d\x25\x00"); /* 2.5.29.37.0 */
	static const struct span purposes[] = {
		[X509_FOR_SERVERS] = SPAN("\x2b\x06\x01\x05\x05\x07\x03\x01"),
		[X509_FOR_CLIENTS] = SPAN("\x2b\x06\x01\x05\x05\x07\x03\x02"),
	};
	struct span value;
	struct der e;

	if (!x509_extension(c, usage, &value))
		return true;
	if (!der_take(&value, DER_SEQUENCE, &e))
		return false;
	value = e.value;
	while (der_take(&value, DER_OID, &e))
		if (span_eq(e.value, any) || span_eq(e.value, purposes[purpose]))
			return true;
	return false;
}

bool x509_is_for_clients(const struct x509 *c)
{
	return may_sign(c) && x509_has_purpose(c, X509_FOR_CLIENTS);
}

bool x509_is_weakly_signed(const struct x509 *c)
{
	static const struct span weak[] = {
		SPAN("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04"), /* MD5 with RSA */
		SPAN("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"), /* SHA-1 with RSA */
		SPAN("\x2a\x86\x48\xce\x3d\x04\x01"),         /* SHA-1 with ECDSA */
	};

	for (size_t i = 0; i < ARRAY_LEN(weak); i++)
		if (span_eq(c->signature, weak[i]))
			return true;
	return false;
}

bool x509_chain_is_good(const struct span *chain, size_t len, enum x509_purpose purpose)
{
	for (size_t i = 0; i < len; i++) {
		struct x509 c;

		if (!x509_open(chain[i], &c))
			return false;
		if (span_eq(c.issuer, c.subject))
			continue;
		if (x509_is_weakly_signed(&c) || (i && !x509_has_purpose(&c, purpose)))
			return false;
	}
	return true;
}

/* ---- names ---- */

struct text {
	char *out;
	size_t size;
	size_t len;
};

static void put(struct text *t, char c)
{
	if (t->len < t->size)
		t->out[t->len] = c;
	t->len++;
}

static void put_all(struct text *t, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		put(t, s.ptr[i]);
}

static void put_hex(struct text *t, uint8_t byte)
{
	static const char digits[] = "0123456789abcdef";

	put(t, digits[byte >> 4]);
	put(t, digits[byte & 15]);
}

static void put_decimal(struct text *t, uint64_t n)
{
	char digits[20];
	size_t len = 0;

	do
		digits[len++] = (char)('0' + n % 10);
	while (n /= 10);
	while (len)
		put(t, digits[--len]);
}

static void put_oid(struct text *t, struct span oid)
{
	uint64_t arc = 0;
	bool first = true;

	for (size_t i = 0; i < oid.len; i++) {
		uint8_t byte = (uint8_t)oid.ptr[i];

		/* Longer ones than fit keep their low bits: it is text, nobody decides by it
		 * whose name this is. */
		arc = arc << 7 | (byte & 0x7f);
		if (byte & 0x80)
			continue;
		if (first) {
			uint64_t top = arc < 80 ? arc / 40 : 2;

			put_decimal(t, top);
			arc -= top * 40;
		}
		first = false;
		put(t, '.');
		put_decimal(t, arc);
		arc = 0;
	}
}

/* RFC 4514 section 3, and two of RFC 4519 and RFC 2985 that certificates often have. */
static const struct {
	struct span oid;
	struct span name;
} attributes[] = {
	{SPAN("\x55\x04\x03"), SPAN("CN")},
	{SPAN("\x55\x04\x05"), SPAN("serialNumber")},
	{SPAN("\x55\x04\x06"), SPAN("C")},
	{SPAN("\x55\x04\x07"), SPAN("L")},
	{SPAN("\x55\x04\x08"), SPAN("ST")},
	{SPAN("\x55\x04\x09"), SPAN("STREET")},
	{SPAN("\x55\x04\x0a"), SPAN("O")},
	{SPAN("\x55\x04\x0b"), SPAN("OU")},
	{SPAN("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01"), SPAN("UID")},
	{SPAN("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"), SPAN("DC")},
	{SPAN("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"), SPAN("emailAddress")},
};

/* Section 2.4: what would end the value or be taken off it is escaped; control characters
 * may be, and are, since this goes to logs. */
static void put_value(struct text *t, struct span value)
{
	for (size_t i = 0; i < value.len; i++) {
		uint8_t byte = (uint8_t)value.ptr[i];
		bool is_end = i == 0 || i == value.len - 1;

		if (byte < ' ' || byte == 0x7f) {
			put(t, '\\');
			put_hex(t, byte);
		} else {
			if (strchr("\"+,;<>\\", byte) || (byte == ' ' && is_end) ||
			    (byte == '#' && i == 0))
				put(t, '\\');
			put(t, (char)byte);
		}
	}
}

static bool has_text(uint8_t tag)
{
	return tag == DER_UTF8_STRING || tag == DER_PRINTABLE_STRING || tag == DER_IA5_STRING ||
	       tag == DER_NUMERIC_STRING || tag == DER_VISIBLE_STRING;
}

static bool put_attribute(struct text *t, struct span attribute)
{
	struct der type, value;
	struct span name = SPAN_NONE;

	if (!der_take(&attribute, DER_OID, &type) || !der_next(&attribute, &value))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
		if (span_eq(type.value, attributes[i].oid))
			name = attributes[i].name;
	if (name.len)
		put_all(t, name);
	else
		put_oid(t, type.value);
	put(t, '=');
	if (name.len && has_text(value.tag)) {
		put_value(t, value.value);
		return true;
	}
	put(t, '#');
	for (size_t i = 0; i < value.whole.len; i++)
		put_hex(t, (uint8_t)value.whole.ptr[i]);
	return true;
}

/* More are in no certificate that was meant seriously. */
#define RDNS_MAX 64

size_t x509_name_text(struct span name, char *out, size_t size)
{
	struct text t = {.out = out, .size = size};
	struct span rdns[RDNS_MAX], rest = name;
	size_t len = 0;
	struct der e;

	if (!der_take(&rest, DER_SEQUENCE, &e))
		return 0;
	for (rest = e.value; rest.len; rdns[len++] = e.value)
		if (len == RDNS_MAX || !der_take(&rest, DER_SET, &e))
			return 0;
	/* Section 2.1: the last one first. */
	while (len) {
		bool more = false;

		rest = rdns[--len];
		while (der_take(&rest, DER_SEQUENCE, &e)) {
			if (more)
				put(&t, '+');
			more = true;
			if (!put_attribute(&t, e.value))
				return 0;
		}
		if (rest.len)
			return 0;
		if (len)
			put(&t, ',');
	}
	return t.len;
}

/* DER (X.690) as it stands in certificates and OCSP: one element at a time, by bounds.
 *
 * Indefinite lengths, tags of more than one byte and lengths above 2^24 are no elements;
 * none of what we read has them.
 */
#ifndef RINGWAY_SRC_TLS_DER_H
#define RINGWAY_SRC_TLS_DER_H

#include <ringway/base/base.h>
#include <ringway/base/span.h>

enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_OID = 0x06,
	DER_ENUMERATED = 0x0a,
	DER_UTF8_STRING = 0x0c,
	DER_NUMERIC_STRING = 0x12,
	DER_PRINTABLE_STRING = 0x13,
	DER_IA5_STRING = 0x16,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_VISIBLE_STRING = 0x1a,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
};
/* [n], primitive and constructed. */
#define DER_CONTEXT(n)  (0x80 | (n))
#define DER_EXPLICIT(n) (0xa0 | (n))

struct der {
	uint8_t tag;
	struct span value;
	struct span whole; /* tag and length included */
};

/* Takes the first element of *rest. False, *rest as it was: there is no whole one. */
static inline bool der_next(struct span *rest, struct der *ret)
{
	const uint8_t *at = (const uint8_t *)rest->ptr;
	size_t head = 2, len;

	if (rest->len < 2 || (at[0] & 0x1f) == 0x1f)
		return false;
	len = at[1];
	if (len >= 0x80) {
		size_t more = len & 0x7f;

		if (more < 1 || more > 3 || rest->len < 2 + more)
			return false;
		len = 0;
		for (size_t i = 0; i < more; i++)
			len = len << 8 | at[2 + i];
		head += more;
	}
	if (len > rest->len - head)
		return false;
	/* First *rest, which may be the value of what *ret still is: one step down. */
	rest->ptr += head + len;
	rest->len -= head + len;
	ret->tag = at[0];
	ret->value = span_of((const char *)at + head, len);
	ret->whole = span_of((const char *)at, head + len);
	return true;
}

/* The same, for one of that tag only. */
static inline bool der_take(struct span *rest, unsigned tag, struct der *ret)
{
	return rest->len && (uint8_t)rest->ptr[0] == tag && der_next(rest, ret);
}

#endif

#include "identity_check.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_S      ((int64_t)24 * 60 * 60)
#define DATE_BYTES 32

static const char *date(int64_t unix_s, char out[static DATE_BYTES])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, DATE_BYTES, "%Y-%m-%d %H:%M UTC", &tm))
		snprintf(out, DATE_BYTES, "an unknown date");
	return out;
}

const char *certificate_text(const struct chain *c, size_t index,
			     char out[static CERTIFICATE_TEXT_BYTES])
{
	if (c->len == 1)
		snprintf(out, CERTIFICATE_TEXT_BYTES, "the certificate");
	else
		snprintf(out, CERTIFICATE_TEXT_BYTES, "certificate %zu of the file", index + 1);
	return out;
}

void check_dates(struct voice *v, enum config_severity severity, const char *what,
		 const struct certificate *c, int64_t now_s)
{
	char text[DATE_BYTES];
	int64_t left_s = c->not_after_s - now_s;

	if (now_s < c->not_before_s)
		voice_say(v, severity, "%s is not valid before %s", what,
			  date(c->not_before_s, text));
	else if (left_s < 0)
		voice_say(v, severity, "%s has expired on %s", what, date(c->not_after_s, text));
	else if (left_s < DAY_S)
		voice_say(v, CONFIG_WARNING, "%s expires within a day, on %s", what,
			  date(c->not_after_s, text));
	else if (left_s < EXPIRES_SOON_S)
		voice_say(v, CONFIG_WARNING, "%s expires in %lld day%s, on %s", what,
			  (long long)(left_s / DAY_S), left_s < 2 * DAY_S ? "" : "s",
			  date(c->not_after_s, text));
}

static bool is_weak_rsa(const struct certificate *c)
{
	/* What the CA/Browser Forum and every client ask for. */
	return c->key_is_known && c->kind == TLS_KEY_RSA && c->key_bits < 2048;
}

static void check_strength(struct voice *v, const char *what, const struct certificate *c)
{
	if (!c->key_is_known)
		voice_say(v, CONFIG_ERROR,
			  "%s has a key of a kind that is not supported: use ECDSA, RSA or Ed25519",
			  what);
	else if (is_weak_rsa(c))
		voice_say(v, CONFIG_ERROR,
			  "%s has an RSA key of %u bits, which is too weak: use 2048 bits or "
			  "ECDSA with P-256",
			  what, c->key_bits);
}

static void check_signature(struct voice *v, const char *what, const struct certificate *c)
{
	/* Nobody looks at the signature of one that signed itself. */
	if (c->weak_signature && !c->is_self_issued)
		voice_say(v, CONFIG_WARNING, "%s is signed with %s, which clients refuse", what,
			  c->weak_signature);
}

void check_leaf(struct voice *v, const struct chain *c, bool is_server, int64_t now_s)
{
	const struct certificate *leaf = &c->certificates[0];
	char what[CERTIFICATE_TEXT_BYTES];

	certificate_text(c, 0, what);
	check_dates(v, CONFIG_ERROR, what, leaf, now_s);
	check_strength(v, what, leaf);
	check_signature(v, what, leaf);
	if (is_server ? !leaf->is_for_servers : !leaf->is_for_clients)
		voice_say(v, CONFIG_WARNING, "%s is not for TLS %s, says its extended key usage",
			  what, is_server ? "servers" : "clients");
}

static bool issued(const struct certificate *issuer, const struct certificate *c)
{
	return memcmp(c->issuer_hash, issuer->subject_hash, sizeof(c->issuer_hash)) == 0;
}

/* An authority with a new key keeps its name. */
static bool signed_with_key_of(const struct certificate *issuer, const struct certificate *c)
{
	return !c->has_authority_key_id || !issuer->has_subject_key_id ||
	       memcmp(c->authority_key_id, issuer->subject_key_id, sizeof(c->authority_key_id)) ==
		       0;
}

static bool issuer_is_elsewhere(const struct chain *c, size_t index)
{
	for (size_t i = 0; i < c->len; i++)
		if (i != index && issued(&c->certificates[i], &c->certificates[index]))
			return true;
	return false;
}

static void check_link(struct voice *v, const struct chain *c, size_t index)
{
	const struct certificate *one = &c->certificates[index], *next = one + 1;

	if (!issued(next, one))
		voice_say(v, CONFIG_WARNING,
			  "certificate %zu (%s) is not issued by certificate %zu (%s): %s",
			  index + 1, one->subject, index + 2, next->subject,
			  one->is_self_issued             ? "it is a root, which ends a chain"
			  : issuer_is_elsewhere(c, index) ? "the chain is out of order"
							  : "the chain has a gap");
	else if (!signed_with_key_of(next, one))
		voice_say(v, CONFIG_WARNING,
			  "certificate %zu (%s) is signed with another key than that of "
			  "certificate %zu (%s)",
			  index + 1, one->subject, index + 2, next->subject);
}

void check_chain(struct voice *v, const struct chain *c, int64_t now_s)
{
	const struct certificate *last = &c->certificates[c->len - 1];
	char what[CERTIFICATE_TEXT_BYTES];

	for (size_t i = 0; i + 1 < c->len; i++)
		check_link(v, c, i);
	for (size_t i = 1; i < c->len; i++) {
		certificate_text(c, i, what);
		/* A client may know another way to a root. */
		check_dates(v, CONFIG_WARNING, what, &c->certificates[i], now_s);
		check_signature(v, what, &c->certificates[i]);
		if (is_weak_rsa(&c->certificates[i]))
			voice_say(v, CONFIG_WARNING,
				  "%s has an RSA key of %u bits, which clients refuse", what,
				  c->certificates[i].key_bits);
	}
	if (c->len > 1 && last->is_self_issued)
		voice_say(v, CONFIG_WARNING,
			  "certificate %zu (%s) is a root: clients have it or do not trust it, "
			  "leave it out",
			  c->len, last->subject);
}

/* A host name or "*." and one, lower case. Underscores occur. */
static bool is_host_pattern(const char *name)
{
	size_t len = 0;

	if (name[0] == '*' && name[1] == '.')
		name += 2;
	if (!*name || strlen(name) > 253)
		return false;
	for (; *name; name++) {
		if (*name == '.'
			    ? !len
			    : !((*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9') ||
				*name == '-' || *name == '_'))
			return false;
		len = *name == '.' ? 0 : len + 1;
		if (len > 63)
			return false;
	}
	return len > 0;
}

void check_names(struct voice *v, struct certificate *c)
{
	size_t len = 0;

	for (size_t i = 0; i < c->names_len; i++) {
		if (is_host_pattern(c->names[i]))
			c->names[len++] = c->names[i];
		else
			voice_say(v, CONFIG_WARNING,
				  "its name `%.100s` is no host name and matches nothing",
				  c->names[i]);
	}
	c->names_len = len;
	/* One for an address is found as the default only, which is what it is for. */
	if (!len && !c->has_other_names)
		voice_say(v, CONFIG_ERROR,
			  "the certificate has no names: neither a subjectAltName nor a common "
			  "name that is a host name");
}

/* What is in one certificate, as plain data.
 *
 * wolfSSL's own form of a parsed certificate differs from version to version and
 * points into buffers of its own; it goes no further than certificate.c.
 */
#ifndef RINGWAY_SRC_TLS_CERTIFICATE_H
#define RINGWAY_SRC_TLS_CERTIFICATE_H

#include <ringway/base/arena.h>
#include <ringway/tls/identity.h>

#define CERTIFICATE_KEY_ID_BYTES 20

/* All memory is the arena's. */
struct certificate {
	struct span der;
	const char *subject; /* "/O=Example/CN=example.org" */
	const char *issuer;
	uint8_t subject_hash[CERTIFICATE_KEY_ID_BYTES];
	uint8_t issuer_hash[CERTIFICATE_KEY_ID_BYTES];
	bool has_subject_key_id;
	bool has_authority_key_id;
	uint8_t subject_key_id[CERTIFICATE_KEY_ID_BYTES];
	uint8_t authority_key_id[CERTIFICATE_KEY_ID_BYTES];
	bool is_self_issued; /* subject and issuer are one */
	bool is_ca;
	bool is_for_servers; /* no extended key usage, or one that says so */
	bool is_for_clients;
	bool has_other_names; /* none below, but addresses or others in its subjectAltName */
	const char **names;   /* see struct tls_identity; whatever stands there, maybe no name */
	size_t names_len;
	bool key_is_known; /* false: the next three say nothing */
	enum tls_key_kind kind;
	unsigned key_bits;
	struct span public_key; /* in the form that wolfCrypt decodes */
	const char *weak_signature; /* "SHA-1", "MD5", "MD2"; NULL: it is not weak */
	int64_t not_before_s;
	int64_t not_after_s;
};

/* NULL, or what is wrong: "is malformed: ...", a constant or in the arena. Looks at no date
 * and verifies no signature. */
const char *certificate_parse(struct arena *arena, struct span der,
                              struct certificate *ret_certificate);

/* The value of a UTCTime or GeneralizedTime, tag and length in front, in the forms of RFC
 * 5280 section 4.1.2.5 only. */
bool certificate_time(struct span der, int64_t *ret_unix_s);

struct pem_block;

/* wolfSSL takes each certificate that it is given for an authority: whoever has the key of a
 * server's or a client's own could then vouch for every name. So what is given is asked. */
bool certificate_is_authority(const struct pem_block *block);

enum certificate_key { CERTIFICATE_KEY_FITS, CERTIFICATE_KEY_OTHER, CERTIFICATE_KEY_BAD };
/* Whether a private key (PKCS #8, or RFC 8017's or RFC 5915's own form) is that of the
 * certificate. With OTHER, *ret_kind says what it is. */
enum certificate_key certificate_check_key(const struct certificate *c, struct span der,
                                           enum tls_key_kind *ret_kind);

#endif

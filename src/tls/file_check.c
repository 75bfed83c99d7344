#include <ringway/tls/file_check.h>

#include <stdio.h>
#include <stdlib.h>

#include "certificate.h"
#include "identity_check.h"
#include "pem.h"

/* Whether it can be used. */
static bool check_authority(struct voice *v, const struct pem_block *block, int64_t now_s)
{
	bool is_good = false;
	struct arena arena;
	struct certificate c;
	size_t len;
	uint8_t *der = pem_decode(block, &len);
	const char *error = "is malformed: it is not base64";
	char what[64];

	arena_init(&arena, NULL, 0, &arena_malloc_source);
	snprintf(what, sizeof(what), "the certificate in line %u", block->line);
	if (der)
		error = certificate_parse(&arena, span_of((const char *)der, len), &c);
	free(der);
	if (error)
		voice_say(v, CONFIG_ERROR, "%s %s", what, error);
	else if (!c.is_ca)
		voice_say(v, CONFIG_WARNING, "%s (%s) is not an authority's: it vouches for nobody",
			  what, c.subject);
	else {
		/* Others of the file may be good. */
		check_dates(v, CONFIG_WARNING, what, &c, now_s);
		is_good = now_s >= c.not_before_s && now_s <= c.not_after_s;
	}
	arena_reset(&arena);
	return is_good;
}

void tls_check_ca_file(const struct config_file *file, const char *path, int64_t now_s,
		       struct tls_findings *f)
{
	struct voice v = {.findings = f, .file = file, .path = path};
	char found[PEM_FOUND_BYTES];
	struct pem_cursor c;
	struct pem_block block;
	struct pem_file text;
	size_t len = 0, good = 0;

	if (pem_file_read(&v, PEM_BUNDLE_MAX, &text))
		return;
	c = pem_begin(text.text);
	while (pem_next(&c, &block)) {
		if (!span_eq(block.label, SPAN("CERTIFICATE")))
			continue;
		len++;
		good += check_authority(&v, &block, now_s);
	}
	if (!len)
		voice_say(&v, CONFIG_ERROR, "has no certificate: %s", pem_found(text.text, found));
	else if (!good && !v.errors)
		voice_say(&v, CONFIG_ERROR, "has no certificate of an authority that can be used");
	pem_file_fini(&text);
}

/* One DER SEQUENCE that fills the bytes: a list that was cut is none. */
static bool is_der_sequence(const uint8_t *der, size_t len)
{
	size_t at = 2, length, bytes;

	if (len < 2 || der[0] != 0x30)
		return false;
	length = der[1];
	if (length & 0x80) {
		bytes = length & 0x7f;
		if (!bytes || bytes > 4 || len < 2 + bytes)
			return false;
		for (length = 0; at < 2 + bytes; at++)
			length = length << 8 | der[at];
	}
	return length == len - at;
}

void tls_check_crl_file(const struct config_file *file, const char *path, struct tls_findings *f)
{
	struct voice v = {.findings = f, .file = file, .path = path};
	char found[PEM_FOUND_BYTES];
	struct pem_cursor c;
	struct pem_block block;
	struct pem_file text;
	size_t len = 0, der_len = 0;

	if (pem_file_read(&v, PEM_BUNDLE_MAX, &text))
		return;
	c = pem_begin(text.text);
	while (pem_next(&c, &block)) {
		uint8_t *der;

		if (!span_eq(block.label, SPAN("X509 CRL")))
			continue;
		len++;
		der = pem_decode(&block, &der_len);
		if (!der || !is_der_sequence(der, der_len))
			voice_say(&v, CONFIG_ERROR, "the revocation list in line %u is malformed",
				  block.line);
		free(der);
	}
	if (!len)
		voice_say(&v, CONFIG_ERROR, "has no revocation list: %s",
			  pem_found(text.text, found));
	pem_file_fini(&text);
}

#include "fuzz.h"

#include "certificate.h"
#include "pem.h"

/* Blocks lie in the file one behind the other, and what is read of a certificate is whole. */
static void try_certificate(struct arena *arena, struct span der, struct certificate *ret)
{
	if (certificate_parse(arena, der, ret))
		return;
	must(ret->subject && ret->issuer && ret->der.len == der.len);
	for (size_t i = 0; i < ret->names_len; i++)
		must(ret->names[i]);
	must(!ret->key_is_known || ret->key_bits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy((const char *)data, size);
	char found[PEM_FOUND_BYTES];
	const char *end = text;
	struct pem_cursor c = pem_begin(span_of(text, size));
	struct certificate certificate = {.names = NULL};
	enum tls_key_kind kind;
	struct pem_block b;
	struct arena arena;
	unsigned line = 0;

	arena_init(&arena, NULL, 0, &arena_malloc_source);
	must(strlen(pem_found(span_of(text, size), found)) < PEM_FOUND_BYTES);
	while (pem_next(&c, &b)) {
		size_t len = 0;
		uint8_t *der = pem_decode(&b, &len);

		must(b.text.ptr >= end && b.line > line);
		end = b.text.ptr + b.text.len;
		line = b.line;
		must(end <= text + size && (!der || (len && len <= b.text.len)));
		if (der) {
			try_certificate(&arena, span_of((char *)der, len), &certificate);
			certificate_check_key(&certificate, span_of((char *)der, len), &kind);
		}
		free(der);
	}
	arena_reset(&arena);
	free(text);
	return 0;
}

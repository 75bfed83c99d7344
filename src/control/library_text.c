#include "library_text.h"

#include <string.h>

static const char *yes(bool is)
{
	return is ? "yes" : "NO";
}

void library_print(const struct tls_library *l, FILE *out)
{
	fprintf(out, "%s; assembler: AES %s, hashes %s, keys %s", l->version, yes(l->has_aes_asm),
		yes(l->has_hash_asm), yes(l->has_key_asm));
}

void library_print_warnings(const struct tls_library *l, const char *indent, FILE *out)
{
	if (strcmp(l->version, l->header_version) != 0)
		fprintf(out,
			"%sWARNING: compiled for wolfSSL %s and linked with %s, which does not "
			"fit: "
			"build again\n",
			indent, l->header_version, l->version);
	if (!l->has_aes_asm || !l->has_key_asm)
		fprintf(out,
			"%sWARNING: a slow wolfSSL without assembler for %s: TLS costs many times "
			"what it should; `bash tuning/setup.sh` builds the fast one\n",
			indent,
			l->has_aes_asm   ? "keys"
			: l->has_key_asm ? "AES"
					 : "AES and keys");
	if (l->has_aes_asm && !l->cpu_has_aes)
		fprintf(out,
			"%sWARNING: this CPU has no AES instructions: prefer the ChaCha20 suites\n",
			indent);
}

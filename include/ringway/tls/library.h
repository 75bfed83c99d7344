/* Which wolfSSL is linked, and what it was built with.
 *
 * A wolfSSL without its assembler works and is up to twenty times slower; one with
 * OpenSSL compatibility works and triples the memory of a connection. Neither shows
 * by itself, so `ringway version` says it.
 */
#ifndef RINGWAY_TLS_LIBRARY_H
#define RINGWAY_TLS_LIBRARY_H

#include <stdbool.h>

/* All pointers are to constants of the program. */
struct tls_library {
	const char *version;         /* of the library that is linked, "5.9.2" */
	const char *header_version;  /* that we were compiled with; another one is a broken build */
	bool has_aes_asm;            /* AES-NI on x86-64, the AES instructions on arm */
	bool has_hash_asm;           /* AVX or NEON code for ChaCha20, Poly1305 and the SHAs */
	bool has_key_asm;            /* assembler for RSA and the NIST curves ("SP") */
	bool cpu_has_aes;            /* this CPU runs that AES code; else C code runs */
	const char *const *features; /* "tls1.3", "alpn", ...; NULL ends the list */
	const char *const *burdens;  /* what costs memory per connection; empty in our build */
};

struct tls_library tls_library(void);

#endif

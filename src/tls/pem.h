/* A file of PEM blocks (RFC 7468), and what is said about it.
 *
 * wolfSSL turns a block into DER, but it looks for the first block of a kind and says
 * only that there was none. Which blocks a file has, and in what order, is read here.
 */
#ifndef RINGWAY_SRC_TLS_PEM_H
#define RINGWAY_SRC_TLS_PEM_H

#include <ringway/tls/findings.h>

/* Ten certificates with the longest keys in use, their text forms beside them, are below
 * half of it; what is bigger is a wrong file (a bundle of all authorities is for `ca`). */
#define PEM_FILE_MAX (256 * KIB)
/* A bundle of all authorities that a system trusts is some 250 KiB. */
#define PEM_BUNDLE_MAX (4 * MIB)

/* Findings about one file. */
struct voice {
	struct tls_findings *findings;
	const struct config_file *file;
	const char *path;
	unsigned errors;
};

void voice_say(struct voice *v, enum config_severity severity, const char *message, ...)
	PRINTF(3, 4);

struct pem_file {
	struct span text; /* malloc */
	unsigned mode;    /* permission bits */
};

/* 0, or -errno, which was said. An empty file is an error. */
int pem_file_read(struct voice *v, size_t max, struct pem_file *ret_file);
/* Wipes it. Takes one that was never read, all zero. */
void pem_file_fini(struct pem_file *f);

struct pem_block {
	struct span label; /* "CERTIFICATE" */
	struct span text;  /* from its BEGIN to the end of its END line */
	unsigned line;     /* from 1 */
	bool is_cut;       /* it has no END line; the text goes up to the end of the file */
};

struct pem_cursor {
	struct span file;
	size_t at;
	unsigned line;
};

struct pem_cursor pem_begin(struct span file);
/* False: there is none any more. */
bool pem_next(struct pem_cursor *c, struct pem_block *ret_block);

/* The base64 of a block as bytes. malloc, the caller's; NULL: it is not base64. The size of
 * the text is room enough. */
uint8_t *pem_decode(const struct pem_block *b, size_t *ret_len);

/* What is in a file that was expected to hold something else: "found `EC PRIVATE KEY`",
 * "it is DER, not PEM", ... */
#define PEM_FOUND_BYTES 200
const char *pem_found(struct span file, char out[static PEM_FOUND_BYTES]);

#endif

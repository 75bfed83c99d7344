/* The linked wolfSSL in a line, and what is wrong with it in lines of their own.
 */
#ifndef RINGWAY_SRC_CONTROL_LIBRARY_TEXT_H
#define RINGWAY_SRC_CONTROL_LIBRARY_TEXT_H

#include <stdio.h>

#include <ringway/tls/library.h>

/* "5.9.2; assembler: AES yes, hashes yes, keys yes", without a line end. */
void library_print(const struct tls_library *l, FILE *out);
/* A line each, `indent` before it; nothing when all is well. */
void library_print_warnings(const struct tls_library *l, const char *indent, FILE *out);

#endif

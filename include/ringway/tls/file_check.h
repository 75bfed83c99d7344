/* The other files that TLS is configured with, checked without being used.
 */
#ifndef RINGWAY_TLS_FILE_CHECK_H
#define RINGWAY_TLS_FILE_CHECK_H

#include <ringway/tls/findings.h>

/* PEM certificates of authorities: readable, well-formed, good to sign with, in their days. */
void tls_check_ca_file(const struct config_file *file, const char *path, int64_t now_s,
                       struct tls_findings *f);
/* PEM revocation lists, at least one, each a well-formed one. */
void tls_check_crl_file(const struct config_file *file, const char *path, struct tls_findings *f);

#endif

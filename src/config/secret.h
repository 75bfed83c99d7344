/* Secrets in a line that is about to be shown.
 */
#ifndef RINGWAY_CONFIG_SECRET_H
#define RINGWAY_CONFIG_SECRET_H

#include <ringway/base/span.h>

/* Writes '*' over the values of keys that hold secrets (jwt_secret, token, ...) and
 * over passwords in URLs, as long as they are, so that columns stay. A value that
 * only names its secret (${VAR}, ${file:...}) stays readable. Works on text, not on
 * a parsed tree: a file that does not parse has secrets as well. */
void secret_mask(char *line, size_t len);

#endif

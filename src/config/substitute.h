/* ${VAR}, ${VAR:-default}, ${file:/path} and $$ in values.
 */
#ifndef RINGWAY_CONFIG_SUBSTITUTE_H
#define RINGWAY_CONFIG_SUBSTITUTE_H

#include "loader.h"

/* Secrets and certificates fit; whoever names a device or a log is told. */
#define SUBSTITUTE_FILE_MAX (64 * KIB)

/* The text of a scalar with everything put in, NUL-terminated in scratch. False, and
 * errors at each `$` that is wrong. What is put in is not looked at again. */
bool substitute(struct loader *l, const struct yaml_node *n, struct span *ret_text);

/* Relative to the directory of the file that names it; in scratch. */
const char *path_beside(struct loader *l, const struct source *beside, struct span path);
/* The whole file, in the arena. 0, -EFBIG above max, or what open and read say. */
int read_file(struct arena *arena, const char *path, size_t max, struct span *ret_text);

#endif

/* A whole file, when it is not too large. */
#ifndef RINGWAY_SRC_TLS_FILE_H
#define RINGWAY_SRC_TLS_FILE_H

#include <stddef.h>
#include <stdint.h>

/* *ret_text is malloc, the caller's. -EFBIG: more than `max` bytes; else -errno. */
int file_read(const char *path, size_t max, char **ret_text, size_t *ret_len);

#endif

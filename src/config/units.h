/* Durations and sizes as an operator writes them.
 */
#ifndef RINGWAY_CONFIG_UNITS_H
#define RINGWAY_CONFIG_UNITS_H

#include <ringway/base/span.h>

/* Long enough for every timeout, and far from where nanoseconds overflow. */
#define DURATION_MAX_DAYS ((uint64_t)36500)

/* "500ms", "1h30m", "90" (seconds). Units us ms s m h d w, each at most once, the
 * bigger ones first. False when it is none, or above DURATION_MAX_DAYS. */
bool duration_parse(struct span text, uint64_t *ret_ns);
/* "64KiB", "10MB", "512" or "512B" (bytes). False when it is none or does not fit. */
bool size_parse(struct span text, uint64_t *ret_bytes);

#endif

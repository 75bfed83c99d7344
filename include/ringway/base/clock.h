/* The two clocks. A shard reads them once a turn; everything on it takes the time
 * as an argument or from the shard, so that tests can have a clock of their own.
 */
#ifndef RINGWAY_BASE_CLOCK_H
#define RINGWAY_BASE_CLOCK_H

#include <ringway/base/base.h>

uint64_t clock_monotonic_ns(void);
uint64_t clock_unix_us(void);
/* Wall clock minus monotonic clock, for turning one into the other. */
int64_t clock_wall_offset_ns(void);

#endif

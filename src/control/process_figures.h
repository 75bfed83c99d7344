/* What the kernel says of this process as a whole.
 */
#ifndef RINGWAY_SRC_CONTROL_PROCESS_FIGURES_H
#define RINGWAY_SRC_CONTROL_PROCESS_FIGURES_H

#include <ringway/base/base.h>

struct process_figures {
	uint64_t cpu_us; /* user and kernel, all threads */
	uint64_t resident_bytes;
	uint64_t virtual_bytes;
	uint64_t descriptors;
	uint64_t descriptors_max;
	uint64_t counted_ns; /* when `descriptors` was */
};

/* What cannot be read stays 0. `was` is the last reading, or zeroed: where the kernel does not
 * count descriptors itself (before Linux 6.2), those of a large process are counted once a
 * minute. */
void process_figures_read(const struct process_figures *was, uint64_t now_ns,
                          struct process_figures *ret_figures);

#endif

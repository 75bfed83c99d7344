/* What the control groups of this process say about CPUs and memory.
 *
 * Both versions may be mounted at once, each with some of the controllers; a group
 * may lie below others, each with limits of its own. What lies above the root of
 * our mount (a container's view) cannot be seen and is not looked for.
 */
#ifndef RINGWAY_CONTROL_CGROUP_H
#define RINGWAY_CONTROL_CGROUP_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

struct cgroup_cpu {
	double quota;       /* CPUs' worth of time, the smallest on the way up; 0: none */
	const char *source; /* where it stands: "cgroup v2 cpu.max"; "" for none */
	bool has_cpuset;
	cpu_set_t cpuset;
};

/* `root` stands before every path that is read. What cannot be read says nothing. */
void cgroup_read_cpu(const char *root, struct cgroup_cpu *ret_cpu);
/* The smallest limit on the way up; UINT64_MAX: none. */
uint64_t cgroup_memory_max_bytes(const char *root);

#endif

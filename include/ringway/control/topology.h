/* Which CPUs this process may use, and how many shards follow from that.
 *
 * The smallest of three wins: the affinity mask, the cpuset, and the CPU quota of
 * the control group (v1 or v2, every level up to the root that is visible), rounded
 * up; at least one.
 *
 * `pin: auto` gives each shard a CPU of its own when there are at least two usable
 * CPUs, no more shards than CPUs, and no quota below the number of usable CPUs:
 * under a quota others run on our CPUs too, and a shard that cannot move away from
 * them waits. `pin: true` pins always, shards that are more than CPUs in turn.
 * Shards that are not pinned still stay on runtime.cpus when it is given.
 *
 * Control and workers get the usable CPUs that no shard has, and all usable ones
 * when none is left.
 */
#ifndef RINGWAY_CONTROL_TOPOLOGY_H
#define RINGWAY_CONTROL_TOPOLOGY_H

#include <sched.h>

#include <ringway/config/config.h>

#define TOPOLOGY_SHARDS_MAX 256 /* more data shards than this need a wider mailbox bitmap */

struct topology {
	unsigned online;          /* CPUs of the host */
	unsigned affinity;        /* in our mask */
	unsigned cpuset;          /* in the cpuset; equals affinity where none is visible */
	double quota;             /* CPUs' worth of time; 0: none */
	const char *quota_source; /* "cgroup v2 cpu.max", "cgroup v1 cpu.cfs_quota_us", "" */
	cpu_set_t usable;         /* affinity and cpuset; never empty */

	unsigned shards;
	bool pinned;
	int shard_cpus[TOPOLOGY_SHARDS_MAX]; /* -1: not pinned */
	cpu_set_t shard_mask;                /* where shards may run that are not pinned */
	cpu_set_t others;                    /* for the control shard and workers */
	char why[256];                       /* for the banner: "2 shards: affinity 2 < host 64" */
};

/* `root` is "" in life and a captured tree in tests (root + "/proc/self/cgroup", ...).
 * `affinity` NULL: the calling thread's own mask. -EINVAL with the reason in
 * ret->why when runtime.cpus or runtime.shards ask for what is not possible; more
 * shards than CPUs are possible, and ret->why says that they are. */
int topology_plan(const struct config_runtime *runtime, const char *root, const cpu_set_t *affinity,
		  struct topology *ret_topology);
/* "0-3,7" to a set; false on a malformed or empty list and on CPUs past CPU_SETSIZE. */
bool topology_parse_cpus(const char *list, cpu_set_t *ret_set);
/* A set to "0-3,7", cut where the room ends; returns the length. */
size_t topology_cpus_text(const cpu_set_t *set, char *out, size_t room);

#endif

#include <ringway/control/topology.h>

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include <ringway/base/base.h>

#include "cgroup.h"

static bool parse_number(struct span *rest, unsigned *ret_number)
{
	uint64_t number;
	size_t len = 0;

	while (len < rest->len && rest->ptr[len] >= '0' && rest->ptr[len] <= '9')
		len++;
	if (!span_to_u64(span_of(rest->ptr, len), &number) || number >= CPU_SETSIZE)
		return false;
	*rest = span_of(rest->ptr + len, rest->len - len);
	*ret_number = (unsigned)number;
	return true;
}

bool topology_parse_cpus(const char *list, cpu_set_t *ret_set)
{
	struct span rest = span_trim(span_str(list));
	cpu_set_t set;

	CPU_ZERO(&set);
	do {
		unsigned first, last;

		if (!parse_number(&rest, &first))
			return false;
		last = first;
		if (rest.len && rest.ptr[0] == '-') {
			rest = span_of(rest.ptr + 1, rest.len - 1);
			if (!parse_number(&rest, &last) || last < first)
				return false;
		}
		for (unsigned cpu = first; cpu <= last; cpu++)
			CPU_SET(cpu, &set);
		rest = span_trim(rest);
		if (!rest.len) {
			*ret_set = set;
			return true;
		}
		if (rest.ptr[0] != ',')
			return false;
		rest = span_trim(span_of(rest.ptr + 1, rest.len - 1));
	} while (true);
}

PRINTF(4, 5)
static void append(char *out, size_t room, size_t *len, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(out + *len, room - *len, fmt, args);
	va_end(args);
	if (n > 0)
		*len = (size_t)min_u64(*len + (size_t)n, room - 1);
}

size_t topology_cpus_text(const cpu_set_t *set, char *out, size_t room)
{
	size_t len = 0;

	must(room);
	out[0] = '\0';
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		int first = cpu;

		if (!CPU_ISSET(cpu, set))
			continue;
		while (cpu + 1 < CPU_SETSIZE && CPU_ISSET(cpu + 1, set))
			cpu++;
		append(out, room, &len, "%s%d", len ? "," : "", first);
		if (cpu > first)
			append(out, room, &len, "-%d", cpu);
	}
	return len;
}

static unsigned read_online(const char *root, unsigned fallback)
{
	char path[PATH_MAX], line[8 * KIB];
	unsigned online = fallback;
	cpu_set_t set;
	FILE *in;

	snprintf(path, sizeof(path), "%s/sys/devices/system/cpu/online", root);
	in = fopen(path, "re");
	if (!in)
		return fallback;
	if (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		if (topology_parse_cpus(line, &set))
			online = (unsigned)CPU_COUNT(&set);
	}
	fclose(in);
	return online;
}

/* Affinity, cpuset, quota and what is usable. -errno when the mask cannot be read
 * (more CPUs than CPU_SETSIZE). */
static int look(const char *root, const cpu_set_t *affinity, struct topology *t)
{
	struct cgroup_cpu cgroup;
	cpu_set_t mask;

	if (affinity)
		mask = *affinity;
	else if (sched_getaffinity(0, sizeof(mask), &mask) < 0)
		return -errno;
	cgroup_read_cpu(root, &cgroup);
	if (!cgroup.has_cpuset)
		cgroup.cpuset = mask;
	CPU_AND(&t->usable, &mask, &cgroup.cpuset);
	/* A cpuset that is not ours to see (a host's file in a container) may have
	 * nothing in common with the mask, and the mask is what the kernel obeys. */
	if (CPU_COUNT(&t->usable) == 0)
		t->usable = mask;
	t->affinity = (unsigned)CPU_COUNT(&mask);
	t->cpuset = (unsigned)CPU_COUNT(&cgroup.cpuset);
	t->online = read_online(root, t->affinity);
	t->quota = cgroup.quota;
	t->quota_source = cgroup.source;
	return 0;
}

/* The CPUs that the operator gave to the shards, or all that are usable. */
static int choose_mask(const struct config_runtime *runtime, struct topology *t)
{
	char wrong[96], usable[96];
	cpu_set_t asked, missing;

	t->shard_mask = t->usable;
	if (!runtime->cpus)
		return 0;
	if (!topology_parse_cpus(runtime->cpus, &asked)) {
		snprintf(t->why, sizeof(t->why), "runtime.cpus is no list of CPUs like \"2-7,10\"");
		return -EINVAL;
	}
	CPU_AND(&missing, &asked, &t->usable);
	CPU_XOR(&missing, &missing, &asked);
	if (CPU_COUNT(&missing)) {
		topology_cpus_text(&missing, wrong, sizeof(wrong));
		topology_cpus_text(&t->usable, usable, sizeof(usable));
		snprintf(t->why, sizeof(t->why), "runtime.cpus: not usable: %s (usable: %s)", wrong,
			 usable);
		return -EINVAL;
	}
	t->shard_mask = asked;
	return 0;
}

/* "quota 1.5 (cgroup v2 cpu.max) < affinity 16 < host 64": each bound that is
 * narrower than the next wider one. */
static void explain_bounds(const struct config_runtime *runtime, struct topology *t, size_t len)
{
	struct {
		const char *name;
		double cpus;
		const char *source;
	} bounds[] = {
		{"host", t->online, NULL},
		{"quota", t->quota, t->quota_source},
		{"runtime.cpus", runtime->cpus ? CPU_COUNT(&t->shard_mask) : 0, NULL},
		{"affinity", t->affinity, NULL},
		{"cpuset", t->cpuset, NULL},
	};
	double narrowest = 0;

	if (CPU_COUNT(&t->shard_mask) >= (int)t->online &&
	    (t->quota <= 0 || t->quota >= t->online)) {
		append(t->why, sizeof(t->why), &len,
		       t->online == 1 ? "the one CPU of the host" : "all %u CPUs of the host",
		       t->online);
		return;
	}
	for (;;) {
		size_t next = ARRAY_LEN(bounds);

		/* The next wider one; of equals the first. */
		for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
			if (bounds[i].cpus > narrowest &&
			    (next == ARRAY_LEN(bounds) || bounds[i].cpus < bounds[next].cpus))
				next = i;
		if (next == ARRAY_LEN(bounds))
			return;
		append(t->why, sizeof(t->why), &len, "%s%s %.4g", narrowest > 0 ? " < " : "",
		       bounds[next].name, bounds[next].cpus);
		if (bounds[next].source)
			append(t->why, sizeof(t->why), &len, " (%s)", bounds[next].source);
		narrowest = bounds[next].cpus;
		if (strcmp(bounds[next].name, "host") == 0)
			return;
	}
}

/* A part of a CPU is worth a shard. */
static unsigned round_up(double quota)
{
	unsigned whole = (unsigned)min_u64((uint64_t)quota, UINT32_MAX - 1);

	return whole + (quota > whole);
}

static int count_shards(const struct config_runtime *runtime, struct topology *t)
{
	unsigned cpus = (unsigned)CPU_COUNT(&t->shard_mask);
	size_t len = 0;

	if (runtime->shards > TOPOLOGY_SHARDS_MAX) {
		snprintf(t->why, sizeof(t->why), "runtime.shards: %u is more than %u",
			 runtime->shards, TOPOLOGY_SHARDS_MAX);
		return -EINVAL;
	}
	t->shards = runtime->shards;
	if (!t->shards) {
		t->shards = cpus;
		if (t->quota > 0)
			t->shards = (unsigned)min_u64(cpus, round_up(t->quota));
		t->shards = (unsigned)min_u64(t->shards, TOPOLOGY_SHARDS_MAX);
	}
	append(t->why, sizeof(t->why), &len, "%u %s: ", t->shards,
	       t->shards == 1 ? "shard" : "shards");
	if (runtime->shards) {
		append(t->why, sizeof(t->why), &len, "runtime.shards%s; ",
		       runtime->shards > cpus ||
				       (t->quota > 0 && runtime->shards > round_up(t->quota))
			       ? ", more than there are CPUs for"
			       : "");
	}
	explain_bounds(runtime, t, len);
	return 0;
}

static bool decide_pinning(const struct config_runtime *runtime, const struct topology *t)
{
	unsigned usable = (unsigned)CPU_COUNT(&t->usable);

	switch (runtime->pin) {
	case CONFIG_PIN_YES: return true;
	case CONFIG_PIN_NO: return false;
	case CONFIG_PIN_AUTO: break;
	}
	return usable >= 2 && t->shards <= (unsigned)CPU_COUNT(&t->shard_mask) &&
	       (t->quota <= 0 || t->quota >= usable);
}

static int next_cpu(const cpu_set_t *set, int cpu)
{
	do
		cpu = (cpu + 1) % CPU_SETSIZE;
	while (!CPU_ISSET(cpu, set));
	return cpu;
}

/* Gives the shards their CPUs, and what no shard has to the others. */
static void place(const struct config_runtime *runtime, struct topology *t)
{
	cpu_set_t taken;
	int cpu = -1;

	CPU_ZERO(&taken);
	t->pinned = decide_pinning(runtime, t);
	for (unsigned i = 0; i < TOPOLOGY_SHARDS_MAX; i++) {
		t->shard_cpus[i] = -1;
		if (t->pinned && i < t->shards) {
			cpu = next_cpu(&t->shard_mask, cpu);
			t->shard_cpus[i] = cpu;
			CPU_SET(cpu, &taken);
		}
	}
	if (!t->pinned && runtime->cpus)
		taken = t->shard_mask;
	CPU_AND(&taken, &taken, &t->usable);
	CPU_XOR(&t->others, &t->usable, &taken);
	if (CPU_COUNT(&t->others) == 0)
		t->others = t->usable;
}

int topology_plan(const struct config_runtime *runtime, const char *root, const cpu_set_t *affinity,
		  struct topology *ret_topology)
{
	struct topology *t = ret_topology;
	int err;

	memset(t, 0, sizeof(*t));
	err = look(root, affinity, t);
	if (err) {
		snprintf(t->why, sizeof(t->why), "the affinity mask cannot be read");
		return err;
	}
	err = choose_mask(runtime, t);
	if (err)
		return err;
	err = count_shards(runtime, t);
	if (err)
		return err;
	place(runtime, t);
	return 0;
}

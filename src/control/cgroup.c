#include "cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/base/base.h>
#include <ringway/base/span.h>
#include <ringway/control/topology.h>

/* One mounted hierarchy and our group in it. */
struct hierarchy {
	char mount[PATH_MAX]; /* with the root before it; empty: not mounted */
	char group[PATH_MAX]; /* below the mount: "" or "/a/b" */
};

/* First line without its newline. */
static bool read_line(const char *dir, const char *file, char *out, size_t room)
{
	char path[PATH_MAX + 64];
	FILE *in;
	bool ok;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, file) >= sizeof(path))
		return false;
	in = fopen(path, "re");
	if (!in)
		return false;
	ok = fgets(out, (int)room, in);
	fclose(in);
	if (ok)
		out[strcspn(out, "\n")] = '\0';
	return ok;
}

static bool list_has(const char *list, const char *word)
{
	struct span rest = span_str(list), token;

	while (span_next_token(&rest, &token))
		if (span_eq(token, span_str(word)))
			return true;
	return false;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *text)
{
	char *out = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
					(text[3] - '0'));
			text += 3;
		} else {
			*out++ = *text;
		}
	}
	*out = '\0';
}

/* Where a controller's hierarchy is mounted, and which group its mount shows as its
 * root. `controller` NULL: version 2. Lines: proc_pid_mountinfo(5). */
static bool find_mount(const char *root, const char *controller, char ret_mount[static PATH_MAX],
		       char ret_shown[static PATH_MAX])
{
	char path[PATH_MAX], *line = NULL;
	bool found = false;
	size_t room = 0;
	FILE *in;

	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", root);
	in = fopen(path, "re");
	if (!in)
		return false;
	while (!found && getline(&line, &room, in) > 0) {
		char *saved, *shown, *mount, *type, *options = strstr(line, " - ");

		if (!options)
			continue;
		*options = '\0';
		type = strtok_r(options + 3, " \n", &saved);
		strtok_r(NULL, " \n", &saved); /* source */
		options = strtok_r(NULL, " \n", &saved);
		if (!type || strcmp(type, controller ? "cgroup" : "cgroup2") != 0 ||
		    (controller && (!options || !list_has(options, controller))))
			continue;
		strtok_r(line, " ", &saved); /* id, parent, device */
		strtok_r(NULL, " ", &saved);
		strtok_r(NULL, " ", &saved);
		shown = strtok_r(NULL, " ", &saved);
		mount = strtok_r(NULL, " ", &saved);
		if (!mount)
			continue;
		unescape(shown);
		unescape(mount);
		found = (size_t)snprintf(ret_mount, PATH_MAX, "%s%s", root, mount) < PATH_MAX &&
			(size_t)snprintf(ret_shown, PATH_MAX, "%s", shown) < PATH_MAX;
	}
	free(line);
	fclose(in);
	return found;
}

/* Our group's path in the hierarchy, from lines "ID:CONTROLLERS:PATH" (cgroups(7)).
 * The path may have colons itself. */
static bool find_group(const char *root, const char *controller, char ret_path[static PATH_MAX])
{
	char path[PATH_MAX], *line = NULL;
	bool found = false;
	size_t room = 0;
	FILE *in;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	in = fopen(path, "re");
	if (!in)
		return false;
	while (!found && getline(&line, &room, in) > 0) {
		char *controllers = strchr(line, ':'), *group;

		if (!controllers)
			continue;
		group = strchr(++controllers, ':');
		if (!group)
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		if (controller ? list_has(controllers, controller) : *controllers == '\0')
			found = (size_t)snprintf(ret_path, PATH_MAX, "%s", group) < PATH_MAX;
	}
	free(line);
	fclose(in);
	return found;
}

/* The part of the group's path below the one that the mount shows. A group outside
 * of it ("/../x" in a namespace) is seen from the mount's root upwards only. */
static const char *below(const char *group, const char *shown)
{
	size_t len = strcmp(shown, "/") == 0 ? 0 : strlen(shown);

	if (strncmp(group, shown, len) != 0 || (group[len] != '/' && group[len] != '\0'))
		return "";
	if (strcmp(group + len, "/") == 0 || strstr(group, "/.."))
		return "";
	return group + len;
}

static void find_hierarchy(const char *root, const char *controller, struct hierarchy *ret_h)
{
	char shown[PATH_MAX], group[PATH_MAX];

	ret_h->mount[0] = '\0';
	ret_h->group[0] = '\0';
	if (!find_group(root, controller, group) ||
	    !find_mount(root, controller, ret_h->mount, shown))
		ret_h->mount[0] = '\0';
	else
		snprintf(ret_h->group, sizeof(ret_h->group), "%s", below(group, shown));
}

/* Starts at our group and goes up a level a call; false past the mount's root. */
static bool next_level(struct hierarchy *h, bool *started, char dir[static 2 * PATH_MAX])
{
	if (!h->mount[0])
		return false;
	if (*started) {
		char *slash = strrchr(h->group, '/');

		if (!slash)
			return false;
		*slash = '\0';
	}
	*started = true;
	snprintf(dir, 2 * PATH_MAX, "%s%s", h->mount, h->group);
	return true;
}

static void take_quota(struct cgroup_cpu *cpu, double quota, double period, const char *source)
{
	if (quota <= 0 || period <= 0)
		return;
	if (cpu->quota > 0 && cpu->quota <= quota / period)
		return;
	cpu->quota = quota / period;
	cpu->source = source;
}

static void read_quota_v2(const char *root, struct cgroup_cpu *cpu)
{
	char dir[2 * PATH_MAX], line[64];
	struct hierarchy h;
	bool started = false;

	find_hierarchy(root, NULL, &h);
	while (next_level(&h, &started, dir)) {
		double quota, period;

		/* "max 100000" has no number first and is no limit. */
		if (read_line(dir, "cpu.max", line, sizeof(line)) &&
		    sscanf(line, "%lf %lf", &quota, &period) == 2)
			take_quota(cpu, quota, period, "cgroup v2 cpu.max");
	}
}

static void read_quota_v1(const char *root, struct cgroup_cpu *cpu)
{
	char dir[2 * PATH_MAX], quota[64], period[64];
	struct hierarchy h;
	bool started = false;

	find_hierarchy(root, "cpu", &h);
	while (next_level(&h, &started, dir))
		if (read_line(dir, "cpu.cfs_quota_us", quota, sizeof(quota)) &&
		    read_line(dir, "cpu.cfs_period_us", period, sizeof(period)))
			take_quota(cpu, strtod(quota, NULL), strtod(period, NULL),
				   "cgroup v1 cpu.cfs_quota_us");
}

/* The nearest level that has the file says it all: it is the effective set. */
static bool read_cpuset(const char *root, const char *controller, const char *file,
			cpu_set_t *ret_set)
{
	char dir[2 * PATH_MAX], line[8 * KIB];
	struct hierarchy h;
	bool started = false;

	find_hierarchy(root, controller, &h);
	while (next_level(&h, &started, dir))
		if (read_line(dir, file, line, sizeof(line)) && topology_parse_cpus(line, ret_set))
			return true;
	return false;
}

void cgroup_read_cpu(const char *root, struct cgroup_cpu *ret_cpu)
{
	*ret_cpu = (struct cgroup_cpu){.source = ""};
	read_quota_v2(root, ret_cpu);
	read_quota_v1(root, ret_cpu);
	ret_cpu->has_cpuset =
		read_cpuset(root, NULL, "cpuset.cpus.effective", &ret_cpu->cpuset) ||
		read_cpuset(root, "cpuset", "cpuset.effective_cpus", &ret_cpu->cpuset) ||
		read_cpuset(root, "cpuset", "cpuset.cpus", &ret_cpu->cpuset);
}

static uint64_t smallest(const char *root, const char *controller, const char *file)
{
	char dir[2 * PATH_MAX], line[64];
	uint64_t least = UINT64_MAX, bytes;
	struct hierarchy h;
	bool started = false;

	find_hierarchy(root, controller, &h);
	/* "max" is no number and no limit. */
	while (next_level(&h, &started, dir))
		if (read_line(dir, file, line, sizeof(line)) && span_to_u64(span_str(line), &bytes))
			least = min_u64(least, bytes);
	return least;
}

uint64_t cgroup_memory_max_bytes(const char *root)
{
	return min_u64(smallest(root, NULL, "memory.max"),
		       smallest(root, "memory", "memory.limit_in_bytes"));
}

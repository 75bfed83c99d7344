#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <ringway/base/base.h>
#include <ringway/control/topology.h>

#include "cgroup.h"

/* A host as its files show it. */
static char root[PATH_MAX];

static int make_root(void **state UNUSED)
{
	snprintf(root, sizeof(root), "/tmp/ringway-topology-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED,
		      struct FTW *at UNUSED)
{
	return remove(path);
}

static int remove_root(void **state UNUSED)
{
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *content)
{
	char full[2 * PATH_MAX];
	FILE *out;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	out = fopen(full, "w");
	assert_non_null(out);
	fputs(content, out);
	assert_int_equal(fclose(out), 0);
}

static cpu_set_t cpus(const char *list)
{
	cpu_set_t set;

	assert_true(topology_parse_cpus(list, &set));
	return set;
}

static void assert_cpus(const cpu_set_t *set, const char *expected)
{
	char text[256];

	topology_cpus_text(set, text, sizeof(text));
	assert_string_equal(text, expected);
}

static const char mounts_v2[] =
	"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
	"30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
static const char mounts_v1[] =
	"22 1 254:0 / / rw - ext4 /dev/vda rw\n"
	"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	"34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
	"41 31 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

static struct topology plan(struct config_runtime runtime, const char *affinity)
{
	cpu_set_t mask = cpus(affinity);
	struct topology t;

	assert_int_equal(topology_plan(&runtime, root, &mask, &t), 0);
	return t;
}

static void host(const char *online)
{
	put("/sys/devices/system/cpu/online", online);
}

static void a_host_of_our_own_is_used_whole(void **state UNUSED)
{
	struct topology t;

	host("0-3\n");
	t = plan((struct config_runtime){0}, "0-3");
	assert_int_equal(t.shards, 4);
	assert_true(t.pinned);
	for (int i = 0; i < 4; i++)
		assert_int_equal(t.shard_cpus[i], i);
	assert_int_equal(t.shard_cpus[4], -1);
	assert_cpus(&t.others, "0-3");
	assert_true(t.quota == 0);
	assert_string_equal(t.quota_source, "");
	assert_string_equal(t.why, "4 shards: all 4 CPUs of the host");
}

static void one_cpu_is_not_pinned(void **state UNUSED)
{
	struct topology t;

	host("0\n");
	t = plan((struct config_runtime){0}, "0");
	assert_int_equal(t.shards, 1);
	assert_false(t.pinned);
	assert_int_equal(t.shard_cpus[0], -1);
	assert_cpus(&t.shard_mask, "0");
	assert_string_equal(t.why, "1 shard: the one CPU of the host");
}

static void the_affinity_mask_bounds(void **state UNUSED)
{
	struct topology t;

	host("0-63\n");
	t = plan((struct config_runtime){0}, "5,9");
	assert_int_equal(t.shards, 2);
	assert_int_equal(t.shard_cpus[0], 5);
	assert_int_equal(t.shard_cpus[1], 9);
	assert_string_equal(t.why, "2 shards: affinity 2 < host 64");
}

static void the_cpuset_bounds_in_version_2(void **state UNUSED)
{
	struct topology t;

	host("0-63\n");
	put("/proc/self/mountinfo", mounts_v2);
	put("/proc/self/cgroup", "0::/a.slice/b.scope\n");
	/* The group itself has no cpuset controller: its parent's set holds. */
	put("/sys/fs/cgroup/a.slice/cpuset.cpus.effective", "2-5\n");
	put("/sys/fs/cgroup/cpuset.cpus.effective", "0-63\n");
	t = plan((struct config_runtime){0}, "0-15");
	assert_int_equal(t.affinity, 16);
	assert_int_equal(t.cpuset, 4);
	assert_cpus(&t.usable, "2-5");
	assert_int_equal(t.shards, 4);
	assert_int_equal(t.shard_cpus[0], 2);
	assert_string_equal(t.why, "4 shards: cpuset 4 < affinity 16 < host 64");
}

static void the_cpuset_bounds_in_version_1(void **state UNUSED)
{
	struct topology t;

	host("0-7\n");
	put("/proc/self/mountinfo", mounts_v1);
	put("/proc/self/cgroup", "4:cpu,cpuacct:/\n3:cpuset:/docker/abc\n0::/\n");
	put("/sys/fs/cgroup/cpuset/docker/abc/cpuset.cpus", "1,3\n");
	put("/sys/fs/cgroup/cpuset/cpuset.cpus", "0-7\n");
	t = plan((struct config_runtime){0}, "0-7");
	assert_cpus(&t.usable, "1,3");
	assert_int_equal(t.shards, 2);
}

static void the_smallest_memory_limit_on_the_way_up_counts(void **state UNUSED)
{
	host("0-7\n");
	put("/proc/self/mountinfo", mounts_v2);
	put("/proc/self/cgroup", "0::/a.slice/b.scope\n");
	put("/sys/fs/cgroup/a.slice/b.scope/memory.max", "max\n");
	assert_true(cgroup_memory_max_bytes(root) == UINT64_MAX);
	put("/sys/fs/cgroup/a.slice/memory.max", "1073741824\n");
	assert_true(cgroup_memory_max_bytes(root) == 1073741824);
	put("/sys/fs/cgroup/a.slice/b.scope/memory.max", "67108864\n");
	assert_true(cgroup_memory_max_bytes(root) == 67108864);
}

static void an_empty_cpuset_of_version_1_says_nothing(void **state UNUSED)
{
	struct topology t;

	host("0-7\n");
	put("/proc/self/mountinfo", mounts_v1);
	put("/proc/self/cgroup", "3:cpuset:/x\n");
	put("/sys/fs/cgroup/cpuset/x/cpuset.cpus", "\n");
	put("/sys/fs/cgroup/cpuset/cpuset.cpus", "0-3\n");
	t = plan((struct config_runtime){0}, "0-7");
	assert_cpus(&t.usable, "0-3");
}

static void a_foreign_cpuset_does_not_take_every_cpu(void **state UNUSED)
{
	struct topology t;

	host("0-7\n");
	put("/proc/self/mountinfo", mounts_v2);
	put("/proc/self/cgroup", "0::/\n");
	put("/sys/fs/cgroup/cpuset.cpus.effective", "4-7\n");
	t = plan((struct config_runtime){0}, "0-1");
	assert_cpus(&t.usable, "0-1");
	assert_int_equal(t.shards, 2);
}

static void the_quota_bounds_in_version_2_and_is_rounded_up(void **state UNUSED)
{
	struct topology t;

	host("0-63\n");
	put("/proc/self/mountinfo", mounts_v2);
	put("/proc/self/cgroup", "0::/pod\n");
	put("/sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
	t = plan((struct config_runtime){0}, "0-15");
	assert_true(t.quota > 1.49 && t.quota < 1.51);
	assert_int_equal(t.shards, 2);
	assert_false(t.pinned);
	assert_int_equal(t.shard_cpus[0], -1);
	assert_cpus(&t.others, "0-15");
	assert_cpus(&t.shard_mask, "0-15");
	assert_string_equal(t.why,
			    "2 shards: quota 1.5 (cgroup v2 cpu.max) < affinity 16 < host 64");
}

static void the_smallest_quota_on_the_way_up_wins(void **state UNUSED)
{
	static const struct {
		const char *leaf, *middle, *top;
		unsigned shards;
	} table[] = {
		{"max 100000\n", "max 100000\n", "max 100000\n", 8},
		{"400000 100000\n", "200000 100000\n", "max 100000\n", 2},
		{"200000 100000\n", "400000 100000\n", "max 100000\n", 2},
		{"max 100000\n", "max 100000\n", "250000 50000\n", 5},
		{"20000 100000\n", "max 100000\n", "max 100000\n", 1},
		{"300001 100000\n", "max 100000\n", "max 100000\n", 4},
		{"1600000 100000\n", "max 100000\n", "max 100000\n", 8},
		{"nonsense\n", "", "300000 100000\n", 3},
	};

	host("0-7\n");
	put("/proc/self/mountinfo", mounts_v2);
	put("/proc/self/cgroup", "0::/top/middle/leaf\n");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct topology t;

		put("/sys/fs/cgroup/top/middle/leaf/cpu.max", table[i].leaf);
		put("/sys/fs/cgroup/top/middle/cpu.max", table[i].middle);
		put("/sys/fs/cgroup/top/cpu.max", table[i].top);
		t = plan((struct config_runtime){0}, "0-7");
		if (t.shards != table[i].shards)
			fail_msg("row %zu: %u shards", i, t.shards);
		assert_int_equal(t.pinned, table[i].shards == 8);
	}
}

static void the_quota_bounds_in_version_1(void **state UNUSED)
{
	struct topology t;

	host("0-7\n");
	put("/proc/self/mountinfo", mounts_v1);
	put("/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n3:cpuset:/\n0::/\n");
	put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "250000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
	t = plan((struct config_runtime){0}, "0-7");
	assert_int_equal(t.shards, 3);
	assert_string_equal(t.why, "3 shards: quota 2.5 (cgroup v1 cpu.cfs_quota_us) < host 8");
}

static void a_container_that_sees_its_own_group_as_root_finds_its_quota(void **state UNUSED)
{
	struct topology t;

	host("0-7\n");
	/* Without a cgroup namespace: the path is the host's, the mount shows a part. */
	put("/proc/self/mountinfo",
	    "30 22 0:26 /docker/abc /sys/fs/c\\040group ro - cgroup2 cgroup rw\n");
	put("/proc/self/cgroup", "0::/docker/abc/inner\n");
	put("/sys/fs/c group/cpu.max", "200000 100000\n");
	put("/sys/fs/c group/inner/cpu.max", "300000 100000\n");
	t = plan((struct config_runtime){0}, "0-7");
	assert_int_equal(t.shards, 2);
	/* With one, but moved out of it. */
	put("/proc/self/cgroup", "0::/../other\n");
	t = plan((struct config_runtime){0}, "0-7");
	assert_int_equal(t.shards, 2);
	/* A name that only begins alike is another group. */
	put("/proc/self/cgroup", "0::/docker/abcdef\n");
	t = plan((struct config_runtime){0}, "0-7");
	assert_int_equal(t.shards, 2);
}

static void a_number_of_shards_overrides_and_says_so(void **state UNUSED)
{
	struct topology t;

	host("0-7\n");
	t = plan((struct config_runtime){.shards = 2}, "0-3");
	assert_int_equal(t.shards, 2);
	assert_true(t.pinned);
	assert_cpus(&t.others, "2-3");
	assert_string_equal(t.why, "2 shards: runtime.shards; affinity 4 < host 8");

	t = plan((struct config_runtime){.shards = 6}, "0-3");
	assert_int_equal(t.shards, 6);
	assert_false(t.pinned);
	assert_string_equal(t.why, "6 shards: runtime.shards, more than there are CPUs for; "
				   "affinity 4 < host 8");

	t = plan((struct config_runtime){.shards = 6, .pin = CONFIG_PIN_YES}, "0-3");
	assert_true(t.pinned);
	assert_int_equal(t.shard_cpus[3], 3);
	assert_int_equal(t.shard_cpus[4], 0);
	assert_int_equal(t.shard_cpus[5], 1);
	assert_cpus(&t.others, "0-3");
}

static void chosen_cpus_are_the_shards_alone(void **state UNUSED)
{
	struct topology t;

	host("0-7\n");
	t = plan((struct config_runtime){.cpus = "2-4,6"}, "0-7");
	assert_int_equal(t.shards, 4);
	assert_true(t.pinned);
	assert_int_equal(t.shard_cpus[3], 6);
	assert_cpus(&t.others, "0-1,5,7");
	assert_string_equal(t.why, "4 shards: runtime.cpus 4 < host 8");

	t = plan((struct config_runtime){.cpus = "2-4,6", .pin = CONFIG_PIN_NO}, "0-7");
	assert_false(t.pinned);
	assert_int_equal(t.shard_cpus[0], -1);
	assert_cpus(&t.shard_mask, "2-4,6");
	assert_cpus(&t.others, "0-1,5,7");

	t = plan((struct config_runtime){.cpus = "2-4", .shards = 1}, "0-7");
	assert_int_equal(t.shard_cpus[0], 2);
	assert_cpus(&t.others, "0-1,3-7");

	t = plan((struct config_runtime){.cpus = "0-7"}, "0-7");
	assert_cpus(&t.others, "0-7");
}

static void cpus_that_are_not_usable_are_named(void **state UNUSED)
{
	struct config_runtime runtime = {.cpus = "1-5,9"};
	cpu_set_t mask = cpus("0-3");
	struct topology t;

	host("0-7\n");
	assert_int_equal(topology_plan(&runtime, root, &mask, &t), -EINVAL);
	assert_string_equal(t.why, "runtime.cpus: not usable: 4-5,9 (usable: 0-3)");
	runtime.cpus = "1-";
	assert_int_equal(topology_plan(&runtime, root, &mask, &t), -EINVAL);
	assert_string_equal(t.why, "runtime.cpus is no list of CPUs like \"2-7,10\"");
	runtime = (struct config_runtime){.shards = TOPOLOGY_SHARDS_MAX + 1};
	assert_int_equal(topology_plan(&runtime, root, &mask, &t), -EINVAL);
	assert_string_equal(t.why, "runtime.shards: 257 is more than 256");
}

static void more_cpus_than_shards_can_be_leave_some_to_others(void **state UNUSED)
{
	struct topology t;

	host("0-299\n");
	t = plan((struct config_runtime){0}, "0-299");
	assert_int_equal(t.shards, TOPOLOGY_SHARDS_MAX);
	assert_cpus(&t.others, "256-299");
}

static void lists_of_cpus(void **state UNUSED)
{
	static const struct {
		const char *list, *text;
	} good[] = {
		{"0", "0"},         {"0-3", "0-3"},   {"3,1,2", "1-3"}, {"0-1,4-5", "0-1,4-5"},
		{" 1 , 3 ", "1,3"}, {"1023", "1023"}, {"5-5", "5"},
	};
	static const char *const bad[] = {
		"",   " ", ",",     "1,",   ",1",     "1,,2", "3-1", "-1",
		"1-", "a", "1-2-3", "1024", "0-1024", "1 2",  "0x1", "99999999999999999999",
	};
	char text[16];
	cpu_set_t set;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		set = cpus(good[i].list);
		assert_cpus(&set, good[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (topology_parse_cpus(bad[i], &set))
			fail_msg("taken: \"%s\"", bad[i]);
	set = cpus("10,20,30,40,50,60");
	assert_int_equal(topology_cpus_text(&set, text, sizeof(text)), sizeof(text) - 1);
	assert_string_equal(text, "10,20,30,40,50,");
	CPU_ZERO(&set);
	assert_int_equal(topology_cpus_text(&set, text, sizeof(text)), 0);
	assert_string_equal(text, "");
}

static void this_machine_has_a_plan(void **state UNUSED)
{
	struct config_runtime runtime = {0};
	struct topology t;
	cpu_set_t mask;

	assert_int_equal(sched_getaffinity(0, sizeof(mask), &mask), 0);
	assert_int_equal(topology_plan(&runtime, "", NULL, &t), 0);
	assert_in_range(t.shards, 1, CPU_COUNT(&mask));
	assert_int_equal(t.affinity, CPU_COUNT(&mask));
	print_message("# %s\n", t.why);
}

#define on_a_host(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_host(a_host_of_our_own_is_used_whole),
		on_a_host(one_cpu_is_not_pinned),
		on_a_host(the_affinity_mask_bounds),
		on_a_host(the_cpuset_bounds_in_version_2),
		on_a_host(the_cpuset_bounds_in_version_1),
		on_a_host(the_smallest_memory_limit_on_the_way_up_counts),
		on_a_host(an_empty_cpuset_of_version_1_says_nothing),
		on_a_host(a_foreign_cpuset_does_not_take_every_cpu),
		on_a_host(the_quota_bounds_in_version_2_and_is_rounded_up),
		on_a_host(the_smallest_quota_on_the_way_up_wins),
		on_a_host(the_quota_bounds_in_version_1),
		on_a_host(a_container_that_sees_its_own_group_as_root_finds_its_quota),
		on_a_host(a_number_of_shards_overrides_and_says_so),
		on_a_host(chosen_cpus_are_the_shards_alone),
		on_a_host(cpus_that_are_not_usable_are_named),
		on_a_host(more_cpus_than_shards_can_be_leave_some_to_others),
		cmocka_unit_test(lists_of_cpus),
		cmocka_unit_test(this_machine_has_a_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

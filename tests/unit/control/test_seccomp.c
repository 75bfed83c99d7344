/* configs/seccomp.json is what docs/containers.md promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>
#include <jansson.h>

#include <ringway/base/base.h>

static json_t *profile;

static int load(void **state UNUSED)
{
	const char *path = getenv("RINGWAY_SECCOMP_PROFILE");
	json_error_t error;

	profile = path ? json_load_file(path, JSON_REJECT_DUPLICATES, &error) : NULL;
	if (!profile)
		print_error("RINGWAY_SECCOMP_PROFILE: %s\n", path ? error.text : "not set");
	return profile ? 0 : -1;
}

static int unload(void **state UNUSED)
{
	json_decref(profile);
	return 0;
}

static bool rule_names(const json_t *rule, const char *call)
{
	const json_t *name;
	size_t i;

	json_array_foreach(json_object_get(rule, "names"), i,
			   name) if (strcmp(json_string_value(name), call) == 0) return true;
	return false;
}

/* Rules that let the call through, with conditions on its arguments or without. */
static unsigned rules_for(const char *call, bool with_conditions)
{
	const json_t *rule;
	unsigned rules = 0;
	size_t i;

	json_array_foreach(json_object_get(profile, "syscalls"), i,
			   rule) if (rule_names(rule, call) &&
				     (json_array_size(json_object_get(rule, "args")) > 0) ==
					     with_conditions) rules++;
	return rules;
}

static void the_profile_has_the_form_that_runtimes_read(void **state UNUSED)
{
	const json_t *rules = json_object_get(profile, "syscalls"), *rule, *name, *arg;
	size_t i, j;

	assert_string_equal(json_string_value(json_object_get(profile, "defaultAction")),
			    "SCMP_ACT_ERRNO");
	assert_int_equal(json_integer_value(json_object_get(profile, "defaultErrnoRet")), 38);
	assert_true(json_array_size(rules) > 0);
	json_array_foreach(rules, i, rule)
	{
		assert_string_equal(json_string_value(json_object_get(rule, "action")),
				    "SCMP_ACT_ALLOW");
		assert_true(json_array_size(json_object_get(rule, "names")) > 0);
		json_array_foreach(json_object_get(rule, "names"), j, name)
		{
			const char *call = json_string_value(name);

			assert_non_null(call);
			/* Said twice, one of the two would be the weaker and win. */
			if (rules_for(call, false) + (rules_for(call, true) > 0) != 1)
				fail_msg("%s is named more than once", call);
		}
		json_array_foreach(json_object_get(rule, "args"), j, arg)
		{
			assert_true(json_is_integer(json_object_get(arg, "index")));
			assert_true(json_is_integer(json_object_get(arg, "value")));
			assert_true(json_is_string(json_object_get(arg, "op")));
		}
	}
}

static void io_uring_and_what_a_gateway_needs_is_let_through(void **state UNUSED)
{
	static const char *const calls[] = {
		"io_uring_setup",
		"io_uring_enter",
		"io_uring_register",
		"mmap",
		"futex",
		"bind",
		"listen",
		"setsockopt",
		"shutdown",
		"openat",
		"write",
		"fallocate",
		"memfd_create",
		"eventfd2",
		"signalfd4",
		"epoll_pwait",
		"epoll_wait",
		"sched_setaffinity",
		"prlimit64",
		"execve",
		"exit_group",
		"clock_nanosleep",
		"getrandom",
		"sendto",
		"recvfrom",
		"poll",
		"ppoll",
		"flock",
		"rename",
		"unlink",
		"set_robust_list",
		"rseq",
	};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (rules_for(calls[i], false) != 1)
			fail_msg("%s is not let through", calls[i]);
}

static void what_a_gateway_never_does_is_refused(void **state UNUSED)
{
	static const char *const calls[] = {
		"mount",       "umount2",
		"pivot_root",  "setns",
		"unshare",     "ptrace",
		"bpf",         "perf_event_open",
		"keyctl",      "add_key",
		"init_module", "finit_module",
		"kexec_load",  "reboot",
		"swapon",      "process_vm_writev",
		"userfaultfd", "open_by_handle_at",
		"clone3",      "personality",
		"chroot",      "sethostname",
	};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (rules_for(calls[i], false) + rules_for(calls[i], true) != 0)
			fail_msg("%s is let through", calls[i]);
}

static void sockets_and_clones_are_let_through_in_part(void **state UNUSED)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
	const json_t *rule;
	unsigned found = 0;
	size_t i;

	assert_int_equal(rules_for("clone", false), 0);
	assert_int_equal(rules_for("clone", true), 1);
	assert_int_equal(rules_for("socket", false), 0);
	assert_int_equal(rules_for("socket", true), ARRAY_LEN(families));
	json_array_foreach(json_object_get(profile, "syscalls"), i, rule)
	{
		const json_t *arg = json_array_get(json_object_get(rule, "args"), 0);

		if (!rule_names(rule, "socket"))
			continue;
		assert_int_equal(json_integer_value(json_object_get(arg, "index")), 0);
		assert_string_equal(json_string_value(json_object_get(arg, "op")), "SCMP_CMP_EQ");
		for (size_t j = 0; j < ARRAY_LEN(families); j++)
			found += json_integer_value(json_object_get(arg, "value")) == families[j];
	}
	assert_int_equal(found, ARRAY_LEN(families));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_profile_has_the_form_that_runtimes_read),
		cmocka_unit_test(io_uring_and_what_a_gateway_needs_is_let_through),
		cmocka_unit_test(what_a_gateway_never_does_is_refused),
		cmocka_unit_test(sockets_and_clones_are_let_through_in_part),
	};

	return cmocka_run_group_tests(tests, load, unload);
}

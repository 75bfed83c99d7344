#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <cmocka.h>

#include <ringway/base/base.h>
#include <ringway/control/refusal.h>

static void each_refusal_is_told_from_the_others(void **state UNUSED)
{
	static const struct {
		struct refusal_facts facts;
		enum refusal_cause cause;
		const char *words;
	} table[] = {
		{{EPERM, 2, false, false, "6.12.0"}, REFUSAL_SYSCTL, "io_uring_disabled=0"},
		{{EPERM, 2, true, true, "6.12.0"}, REFUSAL_SYSCTL, "io_uring_disabled = 2"},
		{{EPERM, 1, false, false, "6.12.0"}, REFUSAL_SYSCTL, "io_uring_group"},
		{{EPERM, 1, false, true, "6.12.0"}, REFUSAL_SYSCTL, "io_uring_disabled = 1"},
		{{EPERM, 1, true, true, "6.12.0"}, REFUSAL_SECCOMP, "configs/seccomp.json"},
		{{EPERM, 0, false, true, "6.12.0"}, REFUSAL_SECCOMP, "configs/seccomp.json"},
		{{EPERM, -1, false, true, "6.1.0-18-amd64"}, REFUSAL_SECCOMP, "seccomp"},
		{{EACCES, 0, false, true, "6.12.0"}, REFUSAL_SECCOMP, "seccomp"},
		{{ENOSYS, 0, false, true, "6.12.0"}, REFUSAL_SECCOMP, "seccomp"},
		{{ENOSYS, -1, false, false, "5.0.1"}, REFUSAL_OLD_KERNEL, "Linux 5.0.1"},
		{{ENOSYS, -1, false, true, "4.19.0-26-amd64"}, REFUSAL_OLD_KERNEL, "6.1 or later"},
		{{EINVAL, -1, false, false, "5.10.0-30-amd64"}, REFUSAL_OLD_KERNEL, "5.10.0"},
		{{EINVAL, -1, false, false, "6.0.9"}, REFUSAL_OLD_KERNEL, "6.0.9"},
		{{EINVAL, -1, false, false, "6.1"}, REFUSAL_OTHER, "Invalid argument"},
		{{EINVAL, -1, false, false, "10.0"}, REFUSAL_OTHER, "Linux 10.0"},
		{{EINVAL, -1, false, false, "odd"}, REFUSAL_OTHER, "odd"},
		{{ENOSYS, -1, false, false, "6.12.0"}, REFUSAL_OTHER, "CONFIG_IO_URING"},
		{{EPERM, 0, false, false, "6.12.0"}, REFUSAL_OTHER, "Operation not permitted"},
		{{EACCES, -1, false, false, "6.12.0"}, REFUSAL_OTHER, "SELinux"},
		{{ENOMEM, 0, false, true, "6.12.0"}, REFUSAL_OTHER, "ulimit -l"},
		{{EMFILE, 0, false, true, "6.12.0"}, REFUSAL_OTHER, "ulimit -n"},
		{{99999, 0, false, true, "6.12.0"}, REFUSAL_OTHER, "unknown error"},
	};
	char line[REFUSAL_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		enum refusal_cause cause = refusal_explain(&table[i].facts, line);

		if (cause != table[i].cause || !strstr(line, table[i].words))
			fail_msg("row %zu: cause %d: %s", i, cause, line);
		assert_null(strchr(line, '\n'));
		assert_true(strlen(line) < sizeof(line) - 1);
		assert_non_null(strstr(line, "cure"));
	}
}

static void the_longest_line_fits(void **state UNUSED)
{
	struct refusal_facts facts = {.err = EPERM, .has_seccomp_filter = false};
	char line[REFUSAL_TEXT_BYTES];

	memset(facts.kernel, '9', sizeof(facts.kernel) - 1);
	refusal_explain(&facts, line);
	assert_non_null(strstr(line, " that forbids it"));
}

static char root[] = "/tmp/ringway-refusal-XXXXXX";

static void put(const char *file, const char *content)
{
	char path[256];
	FILE *out;

	snprintf(path, sizeof(path), "%s%s", root, file);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(content, out);
	assert_int_equal(fclose(out), 0);
}

static void facts_are_read_from_proc(void **state UNUSED)
{
	static const char *const dirs[] = {"/proc", "/proc/self", "/proc/sys", "/proc/sys/kernel"};
	char path[256], group[32], command[64];
	struct refusal_facts facts;
	struct utsname name;

	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", root, dirs[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	refusal_read_facts(root, EPERM, &facts);
	assert_int_equal(facts.err, EPERM);
	assert_int_equal(facts.io_uring_disabled, -1);
	assert_false(facts.exempt);
	assert_false(facts.has_seccomp_filter);
	assert_int_equal(uname(&name), 0);
	assert_string_equal(facts.kernel, name.release);

	put("/proc/sys/kernel/io_uring_disabled", "1\n");
	put("/proc/sys/kernel/io_uring_group", "-1\n");
	put("/proc/self/status",
	    "Name:\tringway\nCapEff:\t0000000000000000\nSeccomp:\t2\nSeccomp_filters:\t1\n");
	refusal_read_facts(root, EPERM, &facts);
	assert_int_equal(facts.io_uring_disabled, 1);
	assert_true(facts.has_seccomp_filter);
	assert_false(facts.exempt);

	put("/proc/self/status", "CapEff:\t000001ffffffffff\nSeccomp:\t0\nSeccomp_filters:\t2\n");
	refusal_read_facts(root, EPERM, &facts);
	assert_true(facts.exempt);
	assert_false(facts.has_seccomp_filter);

	put("/proc/self/status", "CapEff:\t0000000000000000\nSeccomp:\t1\n");
	snprintf(group, sizeof(group), "%u\n", getegid());
	put("/proc/sys/kernel/io_uring_group", group);
	refusal_read_facts(root, EPERM, &facts);
	assert_true(facts.exempt);
	assert_false(facts.has_seccomp_filter);

	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_refusal_is_told_from_the_others),
		cmocka_unit_test(the_longest_line_fits),
		cmocka_unit_test(facts_are_read_from_proc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

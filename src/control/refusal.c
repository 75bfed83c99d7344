#include <ringway/control/refusal.h>

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Everything that the ring of a shard needs is there from here on. */
#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

/* "Seccomp:" in /proc/self/status: 0 none, 1 strict, 2 a filter. */
#define SECCOMP_FILTER 2

static FILE *open_below(const char *root, const char *file)
{
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s%s", root, file) >= sizeof(path))
		return NULL;
	return fopen(path, "re");
}

static bool read_number(const char *root, const char *file, long *ret_number)
{
	FILE *in = open_below(root, file);
	bool ok;

	if (!in)
		return false;
	ok = fscanf(in, "%ld", ret_number) == 1;
	fclose(in);
	return ok;
}

/* Seccomp mode and effective capabilities, proc_pid_status(5). */
static void read_status(const char *root, int *ret_seccomp, uint64_t *ret_capabilities)
{
	FILE *in = open_below(root, "/proc/self/status");
	char line[4096];

	*ret_seccomp = 0;
	*ret_capabilities = 0;
	if (!in)
		return;
	while (fgets(line, sizeof(line), in)) {
		if (strncmp(line, "Seccomp:", 8) == 0)
			*ret_seccomp = atoi(line + 8);
		else if (strncmp(line, "CapEff:", 7) == 0)
			*ret_capabilities = strtoull(line + 7, NULL, 16);
	}
	fclose(in);
}

static bool in_group(long group)
{
	gid_t groups[256];
	int len = getgroups((int)(sizeof(groups) / sizeof(groups[0])), groups);

	if (group < 0)
		return false;
	if (getegid() == (gid_t)group)
		return true;
	for (int i = 0; i < len; i++)
		if (groups[i] == (gid_t)group)
			return true;
	return false;
}

void refusal_read_facts(const char *root, int err, struct refusal_facts *ret_facts)
{
	struct refusal_facts *f = ret_facts;
	uint64_t capabilities;
	long disabled, group;
	struct utsname name;
	int seccomp;

	memset(f, 0, sizeof(*f));
	f->err = err;
	f->io_uring_disabled = -1;
	if (read_number(root, "/proc/sys/kernel/io_uring_disabled", &disabled))
		f->io_uring_disabled = (int)disabled;
	read_status(root, &seccomp, &capabilities);
	f->has_seccomp_filter = seccomp == SECCOMP_FILTER;
	f->exempt = capabilities & (UINT64_C(1) << CAP_SYS_ADMIN);
	if (read_number(root, "/proc/sys/kernel/io_uring_group", &group) && in_group(group))
		f->exempt = true;
	if (uname(&name) == 0)
		snprintf(f->kernel, sizeof(f->kernel), "%s", name.release);
}

static bool is_old(const char *kernel)
{
	int major, minor;

	if (sscanf(kernel, "%d.%d", &major, &minor) != 2)
		return false;
	return major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR);
}

static enum refusal_cause find_cause(const struct refusal_facts *f)
{
	switch (f->err) {
	case EPERM:
	case EACCES:
		if (f->io_uring_disabled >= 2 || (f->io_uring_disabled == 1 && !f->exempt))
			return REFUSAL_SYSCTL;
		return f->has_seccomp_filter ? REFUSAL_SECCOMP : REFUSAL_OTHER;
	case ENOSYS:
		/* Filters say this too, so that a libc falls back; but nothing that the
		 * filter lets through would help an old kernel. */
		if (is_old(f->kernel))
			return REFUSAL_OLD_KERNEL;
		return f->has_seccomp_filter ? REFUSAL_SECCOMP : REFUSAL_OTHER;
	case EINVAL: return is_old(f->kernel) ? REFUSAL_OLD_KERNEL : REFUSAL_OTHER;
	default: return REFUSAL_OTHER;
	}
}

static const char *other_cure(int err)
{
	switch (err) {
	case ENOMEM: return "more memory, or a higher memlock limit (ulimit -l)";
	case EMFILE:
	case ENFILE: return "more descriptors (ulimit -n)";
	case ENOSYS: return "a kernel that is built with CONFIG_IO_URING";
	default: return "find the security module (SELinux, AppArmor) or sandbox that forbids it";
	}
}

enum refusal_cause refusal_explain(const struct refusal_facts *facts,
				   char out[static REFUSAL_TEXT_BYTES])
{
	enum refusal_cause cause = find_cause(facts);
	const char *words = strerrordesc_np(facts->err);

	switch (cause) {
	case REFUSAL_SYSCTL:
		snprintf(out, REFUSAL_TEXT_BYTES,
			 "io_uring is switched off on this host (sysctl kernel.io_uring_disabled = "
			 "%d); "
			 "cure, on the host: sysctl -w kernel.io_uring_disabled=0%s",
			 facts->io_uring_disabled,
			 facts->io_uring_disabled == 1
				 ? ", or kernel.io_uring_group=<a group of this user>"
				 : "");
		break;
	case REFUSAL_SECCOMP:
		snprintf(
			out, REFUSAL_TEXT_BYTES,
			"io_uring is refused by a seccomp filter, as most container runtimes have; "
			"cure: start the container with the profile configs/seccomp.json "
			"(docs/containers.md says how)");
		break;
	case REFUSAL_OLD_KERNEL:
		snprintf(out, REFUSAL_TEXT_BYTES,
			 "the io_uring of this kernel (Linux %s) is too old; "
			 "cure: Linux %d.%d or later",
			 facts->kernel, KERNEL_MAJOR, KERNEL_MINOR);
		break;
	case REFUSAL_OTHER:
		snprintf(out, REFUSAL_TEXT_BYTES,
			 "io_uring does not start: %s (Linux %s, %s seccomp filter); "
			 "cure: %s",
			 words ? words : "unknown error", facts->kernel,
			 facts->has_seccomp_filter ? "with a" : "no", other_cure(facts->err));
		break;
	}
	return cause;
}

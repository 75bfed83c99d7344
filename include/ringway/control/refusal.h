/* Why the kernel refuses io_uring, and what cures it, in one line.
 *
 * The errno alone does not tell: EPERM comes from the sysctl and from a container's
 * seccomp filter alike, ENOSYS from an old kernel and from some filters.
 */
#ifndef RINGWAY_CONTROL_REFUSAL_H
#define RINGWAY_CONTROL_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>

enum refusal_cause { REFUSAL_SYSCTL, REFUSAL_SECCOMP, REFUSAL_OLD_KERNEL, REFUSAL_OTHER };

struct refusal_facts {
	int err;               /* errno of io_uring_setup, positive */
	int io_uring_disabled; /* the sysctl; -1: the kernel has none (before 6.6) */
	bool exempt;           /* with the sysctl at 1: CAP_SYS_ADMIN or the sysctl's group */
	bool has_seccomp_filter;
	char kernel[65]; /* as uname -r says it */
};

/* `root` stands before /proc: "" in life. */
void refusal_read_facts(const char *root, int err, struct refusal_facts *ret_facts);
/* Room for any line. */
#define REFUSAL_TEXT_BYTES 320
enum refusal_cause refusal_explain(const struct refusal_facts *facts,
				   char out[static REFUSAL_TEXT_BYTES]);

#endif

/* close() of a descriptor that is the fake ring's: what was accepted and never attached
 * is closed by its owner with the system call. Linked with --wrap=close. */
#include "fake_world.h"

int __real_close(int fd);
int __wrap_close(int fd);

static struct fake *owner;

void fake_own_descriptors(struct fake *f)
{
	/* Their numbers begin again in each ring. A test that failed may have left its
	 * ring behind. */
	owner = f;
}

int __wrap_close(int fd)
{
	if (fd < FD_BASE)
		return __real_close(fd);
	must(owner);
	fake_discard(&owner->ring, fd);
	return 0;
}

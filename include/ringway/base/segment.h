/* Memory that more than one thread or process maps.
 *
 * A *named* segment lies in /dev/shm, where other programs of the owner's user and group
 * may read it; a *private* one is a memfd that nobody finds by a name. Both are reserved
 * whole before anybody writes: no later access can fault for want of room.
 *
 * A named segment says by a lock whether its owner lives: the owner holds a write lock on
 * the file's first byte from before the file has its name until it ends, however it ends.
 * The kernel lets anybody who can open the file *ask* for that lock without taking it, so
 * readers change nothing and disturb nobody. Nobody takes that lock on a file that exists
 * already: once free it stays free, and the file is stale for good. Who removes a stale file
 * holds a lock on its second byte meanwhile, and so two starts at once cannot remove each
 * other's new file:
 *
 *   segment_create      segment_publish                    the owner's end
 *   no name, locked --> name and lock, owner lives --+--> segment_fini(): no file
 *        |                                           +--> killed: name without lock = stale
 *        +-- killed: no file                                  removed by the next start
 */
#ifndef RINGWAY_BASE_SEGMENT_H
#define RINGWAY_BASE_SEGMENT_H

#include <ringway/base/base.h>

#define SEGMENT_NAME_BYTES 80 /* with the NUL: letters, digits, '-' and '_' */

enum segment_pages {
	SEGMENT_SMALL,
	SEGMENT_TRANSPARENT, /* the kernel has put huge pages under at least some of it */
	SEGMENT_HUGETLB,     /* huge pages that the operator had set aside */
};

struct segment {
	void *at; /* NULL: there is none; page-aligned, zeroed at first */
	size_t bytes;
	size_t mapped_bytes; /* whole pages of the kind that it has */
	int fd;
	enum segment_pages pages;
	bool owned; /* created here */
	char name[SEGMENT_NAME_BYTES]; /* named and private ones */
};

/* Where a named segment lies: for texts. */
#define SEGMENT_PATH "/dev/shm/ringway-"

/* A named segment without its name yet: the caller fills it, then publishes it. A stale one
 * of the same name is removed, since its room may be needed.
 * -EBUSY: one of this name has a living owner. -ENOSPC: see segment_shm_free_bytes().
 * -EACCES: another user's file bears the name. -EEXIST: what bears the name is no segment.
 * -EINVAL: not a name. -ENOENT, -EOPNOTSUPP: there is no /dev/shm, or it is no tmpfs. */
int segment_create_named(const char *name, size_t bytes, struct segment *ret);
/* Readers find it from now on. -EBUSY: another start was faster. The caller ends a segment
 * that could not be published with segment_fini(). */
int segment_publish(struct segment *s);

/* `huge`: with huge pages where they are to be had. Left out of core dumps, not to be
 * executed, of a size that nobody can change. -ENOMEM. */
int segment_create_private(const char *name, size_t bytes, bool huge, struct segment *ret);

/* Read-only. -ENOENT; -EACCES; -ESTALE: its owner is dead; -EINVAL: it is no segment.
 * The bytes are its creator's: who reads them trusts that user not to shrink the file. */
int segment_attach(const char *name, struct segment *ret);
/* Whether a segment that was attached still has its owner; a file that somebody deleted
 * meanwhile goes on being written. */
bool segment_owner_lives(const struct segment *s);

/* Unmaps; the owner's file goes, if its name still means that file. Takes what was zeroed. */
void segment_fini(struct segment *s);

/* Removes this user's segments without an owner; everything else in /dev/shm is left alone.
 * -errno when the directory cannot be read. */
int segment_remove_stale(unsigned *ret_removed);

/* What /dev/shm has left; 0 when that cannot be said, UINT64_MAX when it has no limit. */
uint64_t segment_shm_free_bytes(void);

#endif

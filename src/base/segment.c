#include <ringway/base/segment.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define SHM        "/dev/shm"
#define PREFIX     "ringway-"
#define PATH_BYTES (sizeof(SEGMENT_PATH) + SEGMENT_NAME_BYTES)

/* Headers of older systems lack it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8U
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Behind the last page of a named segment, not mapped: tells it from a file that only
 * happens to be called like one, and says how much of the last page is in use. */
struct trailer {
	char magic[24];
	uint64_t bytes;
};

static const char magic[24] = "ringway shared segment\n";

/* First byte: the owner lives. Second byte: the file is being removed. */
enum { LOCK_OWNER, LOCK_REMOVAL };

/* Removing takes three system calls; who is stopped in the middle of it holds up no start
 * for longer than this many pauses. */
#define PATIENCE 50
#define PAUSE_NS (2 * 1000 * 1000)

static size_t to_pages(size_t bytes, size_t page)
{
	return (bytes + page - 1) / page * page;
}

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int set_name(struct segment *s, const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= sizeof(s->name))
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			return -EINVAL;
	}
	memcpy(s->name, name, len + 1);
	return 0;
}

static void path_of(const struct segment *s, char out[static PATH_BYTES])
{
	snprintf(out, PATH_BYTES, SEGMENT_PATH "%s", s->name);
}

/* ---- locks: of the open file, so that a fork and other descriptors of this process mean
 * nothing to them ---- */

static int lock_take(int fd, int which)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = which, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &l) == 0 ? 0 : -errno;
}

/* Asks as one who only wants to read: that conflicts with a write lock alone, which takes
 * a descriptor for writing. So nobody who may only read can make a dead owner look alive. */
static bool owner_lives(int fd)
{
	struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = LOCK_OWNER, .l_len = 1};

	return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

/* ---- files ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool still_named(const char *path, const struct stat *file)
{
	struct stat st;

	return lstat(path, &st) == 0 && same_file(&st, file);
}

static int read_trailer(int fd, const struct stat *st, struct trailer *ret)
{
	off_t page = (off_t)page_bytes();

	if (!S_ISREG(st->st_mode) || st->st_size < 2 * page || st->st_size % page != 0 ||
	    pread(fd, ret, sizeof(*ret), st->st_size - page) != (ssize_t)sizeof(*ret) ||
	    memcmp(ret->magic, magic, sizeof(magic)) != 0 || ret->bytes == 0 ||
	    (off_t)to_pages(ret->bytes, (size_t)page) != st->st_size - page)
		return -EINVAL;
	return 0;
}

/* Removes the file if it is a stale segment of this user. 0 also when somebody else has.
 * -EBUSY: it has an owner. -EACCES, -EEXIST: it is not ours to remove. */
static int remove_if_stale(const char *path)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct trailer trailer;
	struct stat st;
	int fd, err = 0;

	/* Asked before it is opened: opening some kinds of file does something. */
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode))
		return -EEXIST;
	if (st.st_uid != geteuid())
		return -EACCES;
	fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : errno == ELOOP ? -EEXIST : -errno;
	if (fstat(fd, &st) != 0)
		err = -errno;
	else if (st.st_uid != geteuid())
		err = -EACCES;
	else if (owner_lives(fd))
		err = -EBUSY;
	else if (read_trailer(fd, &st, &trailer) != 0)
		err = -EEXIST;
	for (int i = 0; !err && lock_take(fd, LOCK_REMOVAL) != 0; i++) {
		if (i == PATIENCE)
			err = -EBUSY;
		nanosleep(&pause, NULL);
	}
	/* With this lock in hand the name cannot come to mean another file: for that this one
	 * would have to be removed first. */
	if (!err && still_named(path, &st) && unlink(path) != 0 && errno != ENOENT)
		err = -errno;
	close(fd);
	return err;
}

static int reserve(int fd, size_t bytes)
{
	int result;

	do
		result = fallocate(fd, 0, 0, (off_t)bytes);
	while (result != 0 && errno == EINTR);
	return result == 0 ? 0 : -errno;
}

static int map(struct segment *s, size_t length, int protection)
{
	void *at = mmap(NULL, length, protection, MAP_SHARED, s->fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	s->at = at;
	s->mapped_bytes = length;
	return 0;
}

/* ---- named ---- */

/* A file without a name: a start that ends half way leaves nothing behind. */
static int fill_named(struct segment *s)
{
	size_t mapped = to_pages(s->bytes, page_bytes());
	struct trailer trailer = {.bytes = s->bytes};
	int err;

	/* Asked first, so that others are not short of room while the kernel finds out. */
	if (mapped + page_bytes() > segment_shm_free_bytes())
		return -ENOSPC;
	memcpy(trailer.magic, magic, sizeof(magic));
	/* Whatever the umask is. */
	if (fchmod(s->fd, 0640) != 0)
		return -errno;
	err = reserve(s->fd, mapped + page_bytes());
	if (!err && pwrite(s->fd, &trailer, sizeof(trailer), (off_t)mapped) !=
			    (ssize_t)sizeof(trailer))
		err = -EIO;
	if (!err)
		err = lock_take(s->fd, LOCK_OWNER);
	if (!err)
		err = map(s, mapped, PROT_READ | PROT_WRITE);
	/* Page tables, so that the first of everything costs no more than the second. */
	if (!err)
		(void)madvise(s->at, mapped, MADV_POPULATE_WRITE);
	return err;
}

int segment_create_named(const char *name, size_t bytes, struct segment *ret)
{
	struct segment s = {.fd = -1, .bytes = bytes, .owned = true};
	char path[PATH_BYTES];
	int err = set_name(&s, name);

	must(bytes);
	if (err)
		return err;
	path_of(&s, path);
	err = remove_if_stale(path);
	if (err)
		return err;
	s.fd = open(SHM, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s.fd < 0)
		return errno == EISDIR ? -EOPNOTSUPP : -errno;
	err = fill_named(&s);
	if (err) {
		close(s.fd);
		return err;
	}
	*ret = s;
	return 0;
}

int segment_publish(struct segment *s)
{
	char path[PATH_BYTES], self[32];

	must(s->at && s->owned);
	path_of(s, path);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", s->fd);
	for (;;) {
		int err;

		if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
		/* Ends: what we find is another's in the end, or nothing. */
		err = remove_if_stale(path);
		if (err)
			return err;
	}
}

int segment_attach(const char *name, struct segment *ret)
{
	struct segment s = {.fd = -1};
	struct trailer trailer;
	char path[PATH_BYTES];
	struct stat st;
	int err = set_name(&s, name);

	if (err)
		return err;
	path_of(&s, path);
	if (lstat(path, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	s.fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (s.fd < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	err = fstat(s.fd, &st) == 0 ? read_trailer(s.fd, &st, &trailer) : -errno;
	if (!err && !owner_lives(s.fd))
		err = -ESTALE;
	if (!err) {
		s.bytes = trailer.bytes;
		err = map(&s, to_pages(s.bytes, page_bytes()), PROT_READ);
	}
	if (err) {
		close(s.fd);
		return err;
	}
	*ret = s;
	return 0;
}

bool segment_owner_lives(const struct segment *s)
{
	return owner_lives(s->fd);
}

static void unlink_own(const struct segment *s)
{
	char path[PATH_BYTES];
	struct stat st;

	path_of(s, path);
	if (fstat(s->fd, &st) == 0 && still_named(path, &st))
		unlink(path);
}

void segment_fini(struct segment *s)
{
	if (!s->at)
		return;
	if (s->owned)
		unlink_own(s);
	munmap(s->at, s->mapped_bytes);
	/* Last: the lock goes with it. */
	close(s->fd);
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

int segment_remove_stale(unsigned *ret_removed)
{
	unsigned removed = 0;
	DIR *dir = opendir(SHM);

	if (!dir)
		return -errno;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		struct segment s;
		char path[PATH_BYTES];
		struct stat st;

		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0 ||
		    set_name(&s, e->d_name + strlen(PREFIX)) != 0)
			continue;
		path_of(&s, path);
		if (lstat(path, &st) == 0 && remove_if_stale(path) == 0 && !still_named(path, &st))
			removed++;
	}
	closedir(dir);
	*ret_removed = removed;
	return 0;
}

uint64_t segment_shm_free_bytes(void)
{
	struct statvfs v;

	if (statvfs(SHM, &v) != 0)
		return 0;
	/* Mounted without a limit (size=0) it says 0 of 0 blocks. */
	return v.f_blocks ? (uint64_t)v.f_bavail * v.f_frsize : UINT64_MAX;
}

/* ---- private ---- */

static int open_memory(const char *name, unsigned flags)
{
	char full[SEGMENT_NAME_BYTES + sizeof(PREFIX)];
	int fd;

	snprintf(full, sizeof(full), PREFIX "%s", name);
	flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
	fd = memfd_create(full, flags | MFD_NOEXEC_SEAL);
	/* Before Linux 6.3. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(full, flags);
	return fd < 0 ? -errno : fd;
}

/* Huge pages that the operator set aside. All or nothing. */
static int fill_hugetlb(struct segment *s)
{
	struct stat st;
	size_t mapped;
	int err;

	s->fd = open_memory(s->name, MFD_HUGETLB);
	if (s->fd < 0)
		return s->fd;
	err = fstat(s->fd, &st) == 0 ? 0 : -errno;
	/* Where the only size is one gigabyte, a small segment does not take one. */
	if (!err && (size_t)st.st_blksize > s->bytes)
		err = -ENOMEM;
	mapped = to_pages(s->bytes, (size_t)st.st_blksize);
	if (!err)
		err = reserve(s->fd, mapped);
	if (!err)
		err = map(s, mapped, PROT_READ | PROT_WRITE);
	if (err)
		close(s->fd);
	else
		s->pages = SEGMENT_HUGETLB;
	return err;
}

/* What the kernel has really done: asking for huge pages is only a wish. */
static bool has_huge_pages(const void *at)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool is_ours = false, found = false;
	char line[512];

	if (!smaps)
		return false;
	while (!found && fgets(line, sizeof(line), smaps)) {
		unsigned long from, to, kib;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			is_ours = from <= (uintptr_t)at && (uintptr_t)at < to;
		else if (is_ours && sscanf(line, "ShmemPmdMapped: %lu", &kib) == 1)
			found = kib > 0;
	}
	fclose(smaps);
	return found;
}

static int fill_memory(struct segment *s, bool huge)
{
	size_t mapped = to_pages(s->bytes, page_bytes());
	int err;

	s->fd = open_memory(s->name, 0);
	if (s->fd < 0)
		return s->fd;
	err = ftruncate(s->fd, (off_t)mapped) == 0 ? 0 : -errno;
	if (!err)
		err = map(s, mapped, PROT_READ | PROT_WRITE);
	/* Huge pages come by touching what was advised; reserving first would take small ones. */
	if (!err && huge)
		(void)madvise(s->at, mapped, MADV_HUGEPAGE);
	if (!err && huge)
		(void)madvise(s->at, mapped, MADV_POPULATE_WRITE);
	if (!err)
		err = reserve(s->fd, mapped);
	if (!err)
		(void)madvise(s->at, mapped, MADV_POPULATE_WRITE);
	if (err) {
		if (s->at)
			munmap(s->at, mapped);
		close(s->fd);
		return err == -ENOSPC ? -ENOMEM : err;
	}
	if (huge && has_huge_pages(s->at))
		s->pages = SEGMENT_TRANSPARENT;
	return 0;
}

int segment_create_private(const char *name, size_t bytes, bool huge, struct segment *ret)
{
	struct segment s = {.fd = -1, .bytes = bytes};
	int err = set_name(&s, name);

	must(bytes);
	if (err)
		return err;
	if (!huge || fill_hugetlb(&s) != 0) {
		s.at = NULL;
		err = fill_memory(&s, huge);
	}
	if (err)
		return err;
	(void)fcntl(s.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	(void)madvise(s.at, s.mapped_bytes, MADV_DONTDUMP);
	*ret = s;
	return 0;
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ringway/base/segment.h>

static char name[SEGMENT_NAME_BYTES];
static char path[128];

/* Its own name, so that tests which run side by side do not meet. */
static int setup(void **state UNUSED)
{
	snprintf(name, sizeof(name), "unit-%d", (int)getpid());
	snprintf(path, sizeof(path), "%s%s", SEGMENT_PATH, name);
	return 0;
}

static int teardown(void **state UNUSED)
{
	unlink(path);
	return 0;
}

static bool exists(void)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static int create(size_t bytes, struct segment *s)
{
	int err = segment_create_named(name, bytes, s);

	if (!err) {
		err = segment_publish(s);
		if (err)
			segment_fini(s);
	}
	return err;
}

/* A process that owns the segment until it is killed. */
static pid_t owner_start(size_t bytes)
{
	struct segment s;
	int pipes[2];
	char said;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		if (create(bytes, &s) != 0)
			_exit(1);
		memset(s.at, 'o', bytes);
		if (write(pipes[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &said, 1), 1);
	close(pipes[0]);
	return pid;
}

static void kill_and_wait(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static int wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void what_the_owner_writes_is_what_a_reader_reads(void **state UNUSED)
{
	struct segment owner, reader;
	struct stat st;
	mode_t mask = umask(0077);

	assert_int_equal(create(10000, &owner), 0);
	umask(mask);
	for (size_t i = 0; i < owner.bytes; i++)
		assert_int_equal(((char *)owner.at)[i], 0);
	assert_int_equal(segment_attach(name, &reader), 0);
	assert_int_equal(reader.bytes, 10000);
	strcpy((char *)owner.at + 9000, "hello");
	assert_string_equal((char *)reader.at + 9000, "hello");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	/* Reserved: every page has its block. */
	assert_true(st.st_blocks * 512 >= 3 * 4096);
	/* For reading only. */
	assert_int_not_equal(mprotect(reader.at, 4096, PROT_READ | PROT_WRITE), 0);
	segment_fini(&reader);
	assert_true(exists());
	segment_fini(&owner);
	assert_false(exists());
	segment_fini(&owner);
	assert_int_equal(segment_attach(name, &reader), -ENOENT);
}

static void nobody_finds_one_that_is_not_published(void **state UNUSED)
{
	struct segment owner, reader;

	assert_int_equal(segment_create_named(name, 4096, &owner), 0);
	assert_int_equal(segment_attach(name, &reader), -ENOENT);
	segment_fini(&owner);
	assert_false(exists());
}

static void a_name_is_letters_digits_dashes(void **state UNUSED)
{
	static const char *const bad[] = {"", "a/b", "..", "a b", "a.b", "../x"};
	char too_long[SEGMENT_NAME_BYTES + 1];
	struct segment s;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(segment_create_named(bad[i], 4096, &s), -EINVAL);
		assert_int_equal(segment_create_private(bad[i], 4096, false, &s), -EINVAL);
		assert_int_equal(segment_attach(bad[i], &s), -EINVAL);
	}
	memset(too_long, 'a', sizeof(too_long));
	too_long[SEGMENT_NAME_BYTES] = '\0';
	assert_int_equal(segment_attach(too_long, &s), -EINVAL);
}

static void one_that_lives_is_busy(void **state UNUSED)
{
	struct segment mine, other, reader;
	pid_t pid = owner_start(4096);

	assert_int_equal(segment_create_named(name, 4096, &mine), -EBUSY);
	/* Also within one process. */
	kill_and_wait(pid);
	assert_int_equal(create(4096, &mine), 0);
	assert_int_equal(segment_create_named(name, 4096, &other), -EBUSY);
	assert_int_equal(segment_attach(name, &reader), 0);
	assert_true(segment_owner_lives(&reader));
	segment_fini(&reader);
	segment_fini(&mine);
}

static void a_dead_owner_leaves_a_stale_one_which_the_next_start_removes(void **state UNUSED)
{
	struct segment old, reader, mine;
	pid_t pid = owner_start(4096);

	assert_int_equal(segment_attach(name, &old), 0);
	assert_true(segment_owner_lives(&old));
	kill_and_wait(pid);
	assert_false(segment_owner_lives(&old));
	/* What was mapped stays readable. */
	assert_int_equal(((char *)old.at)[4095], 'o');
	assert_int_equal(segment_attach(name, &reader), -ESTALE);
	assert_int_equal(create(8192, &mine), 0);
	assert_int_equal(segment_attach(name, &reader), 0);
	assert_int_equal(reader.bytes, 8192);
	/* The old file is not taken for the new one. */
	assert_false(segment_owner_lives(&old));
	segment_fini(&old);
	segment_fini(&reader);
	segment_fini(&mine);
}

static void of_many_starts_at_once_one_wins(void **state UNUSED)
{
	enum { STARTERS = 8, ROUNDS = 40 };

	for (int round = 0; round < ROUNDS; round++) {
		pid_t pids[STARTERS];
		struct segment reader;
		int go[2], ready[2], winners = 0;
		char said;

		/* Every other round begins with a stale one. */
		if (round % 2)
			kill_and_wait(owner_start(4096));
		assert_int_equal(pipe(go), 0);
		assert_int_equal(pipe(ready), 0);
		for (int i = 0; i < STARTERS; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				struct segment s;
				int err;

				close(go[1]);
				close(ready[0]);
				(void)!read(go[0], &said, 1);
				err = create(4096, &s);
				said = err == 0 ? 'w' : err == -EBUSY ? 'b' : '?';
				(void)!write(ready[1], &said, 1);
				for (;;)
					pause();
			}
		}
		close(go[0]);
		close(go[1]);
		close(ready[1]);
		for (int i = 0; i < STARTERS; i++) {
			assert_int_equal(read(ready[0], &said, 1), 1);
			assert_true(said == 'w' || said == 'b');
			winners += said == 'w';
		}
		close(ready[0]);
		assert_int_equal(winners, 1);
		/* The name means the winner's, who lives. */
		assert_int_equal(segment_attach(name, &reader), 0);
		segment_fini(&reader);
		for (int i = 0; i < STARTERS; i++)
			kill_and_wait(pids[i]);
		assert_int_equal(segment_attach(name, &reader), -ESTALE);
	}
}

static void a_reader_killed_at_any_moment_does_no_harm(void **state UNUSED)
{
	struct segment owner, next, reader;

	assert_int_equal(create(4096, &owner), 0);
	srand(1);
	for (int round = 0; round < 100; round++) {
		pid_t pid = fork();

		if (pid == 0) {
			for (;;) {
				if (segment_attach(name, &reader) != 0)
					_exit(1);
				if (!segment_owner_lives(&reader))
					_exit(2);
				segment_fini(&reader);
			}
		}
		nanosleep(&(struct timespec){.tv_nsec = rand() % 2000000}, NULL);
		kill_and_wait(pid);
		memset(owner.at, round, owner.bytes);
		assert_int_equal(segment_create_named(name, 4096, &next), -EBUSY);
	}
	segment_fini(&owner);
	assert_false(exists());
}

static void starts_and_ends_are_not_disturbed_by_readers(void **state UNUSED)
{
	pid_t readers[3];
	struct segment s;

	for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
		readers[i] = fork();
		if (readers[i] == 0) {
			for (;;) {
				int err = segment_attach(name, &s);

				if (err == 0) {
					/* Never a half made one. */
					if (s.bytes != 5000 || memcmp(s.at, "whole", 5) != 0)
						_exit(1);
					segment_fini(&s);
				} else if (err != -ENOENT && err != -ESTALE) {
					_exit(2);
				}
			}
		}
	}
	for (int round = 0; round < 2000; round++) {
		assert_int_equal(segment_create_named(name, 5000, &s), 0);
		memcpy(s.at, "whole", 5);
		assert_int_equal(segment_publish(&s), 0);
		segment_fini(&s);
	}
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		kill_and_wait(readers[i]);
}

static void a_deleted_file_goes_on_and_its_successor_is_left_alone(void **state UNUSED)
{
	struct segment owner, next, reader;

	assert_int_equal(create(4096, &owner), 0);
	assert_int_equal(segment_attach(name, &reader), 0);
	assert_int_equal(unlink(path), 0);
	memset(owner.at, 'x', owner.bytes);
	assert_int_equal(((char *)reader.at)[100], 'x');
	assert_true(segment_owner_lives(&reader));
	assert_int_equal(create(4096, &next), 0);
	segment_fini(&owner);
	assert_true(exists());
	assert_false(segment_owner_lives(&reader));
	segment_fini(&reader);
	segment_fini(&next);
	assert_false(exists());
}

static void stale_ones_are_removed_and_nothing_else(void **state UNUSED)
{
	struct segment live, s;
	unsigned removed = 0;
	char other[160], target[160];
	struct stat st;
	int fd;

	kill_and_wait(owner_start(4096));
	snprintf(other, sizeof(other), "%s-live", name);
	assert_int_equal(segment_create_named(other, 4096, &live), 0);
	assert_int_equal(segment_publish(&live), 0);
	/* A link by our name to a file that looks like a stale segment. */
	snprintf(target, sizeof(target), "/dev/shm/not-%s", name);
	snprintf(other, sizeof(other), "%s-link", path);
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, other), 0);
	kill_and_wait(owner_start(4096));
	/* A file that is only called like one, and a directory. */
	snprintf(other, sizeof(other), "%s-file", path);
	fd = open(other, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "precious", 8), 8);
	assert_int_equal(ftruncate(fd, 8192), 0);
	close(fd);
	snprintf(other, sizeof(other), "%s-dir", path);
	assert_int_equal(mkdir(other, 0700), 0);

	assert_int_equal(segment_remove_stale(&removed), 0);
	assert_true(removed >= 1);
	assert_false(exists());
	assert_int_equal(lstat(target, &st), 0);
	assert_int_equal(segment_attach(live.name, &s), 0);
	segment_fini(&s);
	segment_fini(&live);
	assert_int_equal(rmdir(other), 0);
	snprintf(other, sizeof(other), "%s-file", path);
	assert_int_equal(unlink(other), 0);
	snprintf(other, sizeof(other), "%s-link", path);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(unlink(target), 0);
}

static void what_bears_the_name_and_is_no_segment_stays(void **state UNUSED)
{
	struct segment s;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(segment_create_named(name, 4096, &s), -EEXIST);
	assert_int_equal(segment_attach(name, &s), -EINVAL);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	assert_int_equal(segment_create_named(name, 4096, &s), -EEXIST);
	assert_int_equal(segment_attach(name, &s), -EINVAL);
	assert_true(exists());
}

static void another_users_file_is_not_touched(void **state UNUSED)
{
	struct segment s;
	unsigned removed;

	if (geteuid() != 0)
		skip();
	kill_and_wait(owner_start(4096));
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_int_equal(segment_create_named(name, 4096, &s), -EACCES);
	assert_int_equal(segment_remove_stale(&removed), 0);
	assert_true(exists());
	assert_int_equal(chown(path, 0, 0), 0);
	/* And who may not read is told so. */
	pid_t pid = fork();
	if (pid == 0) {
		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(1);
		_exit(segment_attach(name, &s) == -EACCES ? 0 : 2);
	}
	assert_int_equal(wait_for(pid), 0);
}

static void more_than_there_is_leaves_nothing_behind(void **state UNUSED)
{
	struct segment s;

	assert_true(segment_shm_free_bytes() > 0);
	assert_int_equal(segment_create_named(name, segment_shm_free_bytes() + GIB, &s), -ENOSPC);
	assert_false(exists());
}

/* In a mount namespace of its own, where /dev/shm is one mebibyte. */
static int in_a_small_shm(void)
{
	struct segment a, b;
	uint64_t before;
	int err;

	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=1m") != 0)
		return 77;
	if (create(600 * KIB, &a) != 0)
		return 1;
	before = segment_shm_free_bytes();
	err = segment_create_named("b", 600 * KIB, &b);
	if (err != -ENOSPC || segment_shm_free_bytes() != before)
		return 2;
	/* What is reserved can be written, however full it is. */
	if (segment_create_named("c", before - 4096, &b) != 0 || segment_shm_free_bytes() != 0)
		return 3;
	memset(a.at, 'a', a.bytes);
	memset(b.at, 'b', b.bytes);
	/* A stale one gives its room to its successor. */
	if (segment_publish(&b) != 0)
		return 4;
	close(b.fd);
	munmap(b.at, b.bytes);
	return segment_create_named("c", before - 4096, &b) == 0 ? 0 : 5;
}

static void a_small_shm_is_respected(void **state UNUSED)
{
	pid_t pid = fork();
	int result;

	if (pid == 0)
		_exit(in_a_small_shm());
	result = wait_for(pid);
	if (result == 77)
		skip();
	assert_int_equal(result, 0);
}

/* The line of this process's smaps that begins with `key`, for the mapping at `at`. */
static void smaps_line(const void *at, const char *key, char out[static 512])
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	bool ours = false;

	assert_non_null(f);
	while (fgets(out, 512, f)) {
		if (sscanf(out, "%lx-%lx ", &from, &to) == 2)
			ours = from == (uintptr_t)at;
		if (ours && (!*key || strncmp(out, key, strlen(key)) == 0))
			break;
	}
	fclose(f);
	assert_true(ours);
}

static void a_private_one_has_no_name_and_is_in_no_core_dump(void **state UNUSED)
{
	struct segment s;
	char line[512];

	for (int huge = 0; huge < 2; huge++) {
		size_t bytes = huge ? 8 * MIB + 100 : 5000;

		assert_int_equal(segment_create_private(name, bytes, huge, &s), 0);
		assert_false(exists());
		assert_true(s.mapped_bytes >= bytes);
		for (size_t i = 0; i < bytes; i++)
			assert_int_equal(((char *)s.at)[i], 0);
		memset(s.at, 'p', s.mapped_bytes);
		smaps_line(s.at, "", line);
		assert_non_null(strstr(line, "ringway-unit-"));
		smaps_line(s.at, "VmFlags:", line);
		assert_non_null(strstr(line, " dd"));
		/* Nobody can shrink it under us. */
		assert_int_equal(ftruncate(s.fd, 0), -1);
		assert_int_equal(errno, EPERM);
		assert_true(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
		if (!huge)
			assert_int_equal(s.pages, SEGMENT_SMALL);
		if (s.pages == SEGMENT_TRANSPARENT) {
			smaps_line(s.at, "ShmemPmdMapped:", line);
			assert_true(strtoul(line + strlen("ShmemPmdMapped:"), NULL, 10) >= 2048);
		}
		segment_fini(&s);
		assert_null(s.at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_the_owner_writes_is_what_a_reader_reads, teardown),
		cmocka_unit_test_teardown(nobody_finds_one_that_is_not_published, teardown),
		cmocka_unit_test(a_name_is_letters_digits_dashes),
		cmocka_unit_test_teardown(one_that_lives_is_busy, teardown),
		cmocka_unit_test_teardown(
			a_dead_owner_leaves_a_stale_one_which_the_next_start_removes, teardown),
		cmocka_unit_test_teardown(of_many_starts_at_once_one_wins, teardown),
		cmocka_unit_test_teardown(a_reader_killed_at_any_moment_does_no_harm, teardown),
		cmocka_unit_test_teardown(starts_and_ends_are_not_disturbed_by_readers, teardown),
		cmocka_unit_test_teardown(a_deleted_file_goes_on_and_its_successor_is_left_alone,
					  teardown),
		cmocka_unit_test_teardown(stale_ones_are_removed_and_nothing_else, teardown),
		cmocka_unit_test_teardown(what_bears_the_name_and_is_no_segment_stays, teardown),
		cmocka_unit_test_teardown(another_users_file_is_not_touched, teardown),
		cmocka_unit_test(more_than_there_is_leaves_nothing_behind),
		cmocka_unit_test(a_small_shm_is_respected),
		cmocka_unit_test(a_private_one_has_no_name_and_is_in_no_core_dump),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}

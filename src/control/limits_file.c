/* State of the limits over a restart: a file beside the admin socket.
 *
 * It holds the seed under which keys are hashed, so it is readable by nobody else, and is
 * removed once a start has taken it: what it says is true of one moment. It is written when
 * all shards have ended, and the instance's lock is given up only after that: whoever starts
 * next finds it whole or not at all.
 */
#include "live_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ringway/base/clock.h>
#include <ringway/observe/event.h>
#include <ringway/policy/limit.h>

#include "instance.h"

/* The longest period of a limit: what is older says nothing any more. */
#define AGE_MAX_S ((int64_t)366 * 86400)
/* A socket's path has at most 107. */
#define PATH_BYTES 160

/* "/run/ringway/default.sock" -> "/run/ringway/default.limits" */
static void path_of(const struct config *config, const char *end, char out[static PATH_BYTES])
{
	struct span path = span_str(config->admin.socket);

	if (span_ends_with(path, SPAN(".sock")))
		path.len -= strlen(".sock");
	snprintf(out, PATH_BYTES, "%.*s.limits%s", SPAN_FMT(path), end);
}

/* NULL, or why nothing is to be read from it. */
static const char *distrust(int fd, int64_t *ret_age_s)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return "it is no regular file";
	if (st.st_uid != geteuid())
		return "it belongs to another user";
	if (st.st_nlink != 1)
		return "it has a second name";
	*ret_age_s = (int64_t)(clock_unix_us() / 1000000) - st.st_mtim.tv_sec;
	return st.st_mode & 07177 ? "its mode is not 0600" : NULL;
}

static void say_fresh(const char *path, const char *why)
{
	event_warn("limits: %s is not loaded, all limits begin fresh: %s", path, why);
}

/* So that it neither is tried again nor lost. */
static void set_aside(const struct config *config, const char *path, const char *why)
{
	char aside[PATH_BYTES];
	char text[PATH_BYTES + 80];

	path_of(config, ".bad", aside);
	if (rename(path, aside) == 0)
		snprintf(text, sizeof(text), "%s; it is now %s", why, aside);
	else
		snprintf(text, sizeof(text), "%s; it cannot be renamed: %s", why, strerror(errno));
	say_fresh(path, text);
}

/* Else every name that limits ever had would come along, until there is room for no other. */
static void forget_others(struct limiter *l, const struct config *config)
{
	bool is_named[LIMITS_MAX] = {false};

	for (size_t i = 0; i < config->limits_len; i++) {
		struct policy_limit_terms terms[2];
		uint32_t number;

		for (unsigned n = policy_limit_terms(&config->limits[i], terms); n--;)
			if (limiter_find(l, terms[n].name, &number) == 0)
				is_named[number] = true;
	}
	for (uint32_t i = 0; i < limiter_limits(l); i++)
		if (!is_named[i])
			limiter_forget(l, i);
}

static void load(struct instance *in, const struct config *config, const char *path, int fd)
{
	uint64_t keys = 0, left_out = 0;
	int64_t age_s = 0;
	const char *why = distrust(fd, &age_s);
	int err;

	if (why) {
		say_fresh(path, why);
		return;
	}
	if (age_s > AGE_MAX_S) {
		set_aside(config, path, "it is older than any limit remembers");
		return;
	}
	err = limiter_load(in->limiter, fd, clock_monotonic_ns(), clock_unix_us() * 1000, &keys,
			   &left_out);
	if (err) {
		set_aside(config, path,
			  err == -EBADMSG ? "it is damaged, or another version's" : strerror(-err));
		return;
	}
	in->limits_file_is_loaded = true;
	in->limit_keys_loaded = keys;
	forget_others(in->limiter, config);
	event_info("limits: the state of %" PRIu64 " keys was loaded from %s", keys, path);
	if (left_out)
		event_warn("limits: %" PRIu64 " keys were left out, there is no room for them; see "
			   "runtime.limit_keys and limit_windows",
			   left_out);
}

void limits_file_load(struct instance *in, const struct config *config)
{
	char path[PATH_BYTES];
	int fd;

	if (!in->options.keep_state || !in->limiter)
		return;
	path_of(config, "", path);
	/* A pipe would hold up the start. */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		load(in, config, path, fd);
		close(fd);
	} else if (errno == ELOOP) {
		say_fresh(path, "it is a symbolic link");
	} else if (errno != ENOENT) {
		say_fresh(path, strerror(errno));
	}
}

void limits_file_remove(struct instance *in)
{
	char path[PATH_BYTES];

	if (!in->limits_file_is_loaded)
		return;
	path_of(in->snapshot->config, "", path);
	if (unlink(path) != 0)
		event_error("limits: %s cannot be removed, the next start would load it again: %s",
			    path, strerror(errno));
}

/* ---- writing ---- */

static int write_file(const struct limiter *l, const char *path)
{
	/* What an end in the middle of this left; whatever it is, it is not opened. */
	int fd, err;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = limiter_save(l, fd, clock_monotonic_ns(), clock_unix_us() * 1000);
	if (!err && fsync(fd) != 0)
		err = -errno;
	if (close(fd) != 0 && !err)
		err = -errno;
	return err;
}

/* The name is on the disk when the directory is. */
static int sync_directory_of(const char *path)
{
	char directory[PATH_BYTES];
	char *slash;
	int fd, err = 0;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (slash == directory)
		slash++;
	if (slash)
		*slash = '\0';
	else
		snprintf(directory, sizeof(directory), ".");
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		err = -errno;
	close(fd);
	return err;
}

void limits_file_save(struct instance *in)
{
	const struct config *config;
	char path[PATH_BYTES], fresh[PATH_BYTES];
	int err;

	if (!in->options.keep_state || !in->limiter || !in->snapshot)
		return;
	config = in->snapshot->config;
	path_of(config, "", path);
	path_of(config, ".new", fresh);
	err = write_file(in->limiter, fresh);
	if (!err && rename(fresh, path) != 0)
		err = -errno;
	if (err)
		unlink(fresh);
	else
		err = sync_directory_of(path);
	if (err)
		event_error("limits: their state is not kept: %s: %s", path, strerror(-err));
	else
		event_info("limits: their state is kept in %s", path);
}

/* The writer thread and what it writes to.
 *
 * The writer is in one of three states, and only it moves from RUNNING:
 *
 *   RUNNING   empties the rings; nobody need wake it
 *   NAPPING   has just emptied them under traffic and lets records gather for
 *             NAP_NS; only a ring that is more than half full cuts that short
 *   ASLEEP    a whole nap brought nothing; the next record wakes it
 *
 * So an idle process does nothing, a busy shard makes no system call for its log,
 * and one that gets a request now and then makes one. No wake-up is lost: the shard
 * publishes its record and then reads the state, the writer publishes its state and
 * then looks at the rings, all of it sequentially consistent.
 */
#include <ringway/observe/access_log.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <ringway/observe/event.h>

#include "access_format.h"

/* Long enough to gather a batch, short enough for `tail -f`. */
#define NAP_NS (10 * NS_PER_MS)
/* A batch: what one write(2) carries. Beyond this larger writes save nothing. */
#define BATCH_BYTES (64 * KIB)
/* How long a pipe that nobody reads may hold the writer. Then batches are lost at
 * once until it takes bytes again, so that a stop does not hang behind it. */
#define PIPE_WAIT_MS 1000

enum writer_state { RUNNING, NAPPING, ASLEEP };

struct output {
	int fd;         /* -1: access logging is off */
	bool owned;     /* not stdout or stderr */
	bool may_block; /* somebody else's pipe or terminal, which is not ours to change */
	enum log_format format;
	char *path;
};

struct access_log {
	_Alignas(CACHE_LINE) _Atomic uint32_t state; /* enum writer_state; a futex */
	atomic_bool enabled;
	atomic_bool stop;
	atomic_bool reopen;
	_Atomic(struct output *) next_output; /* given by switch, taken by the writer */
	pthread_t thread;

	/* The writer's own. */
	_Alignas(CACHE_LINE) struct output *output;
	char *batch; /* BATCH_BYTES + ACCESS_LINE_BYTES_MAX */
	size_t batch_len;
	bool torn;  /* the file ends in the middle of a line */
	int failed; /* errno of the last write, 0 when it went well */
	_Atomic uint64_t written;
	_Atomic uint64_t write_errors;

	unsigned rings_len;
	struct access_ring rings[];
};

static void output_destroy(struct output *o)
{
	if (!o)
		return;
	if (o->owned && o->fd >= 0)
		close(o->fd);
	free(o->path);
	free(o);
}

/* O_NONBLOCK: a FIFO without a reader is an error, not a hang; files ignore it. */
static int open_path(const char *path)
{
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd = open(path, flags, 0640);

	return fd < 0 ? -errno : fd;
}

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int output_create(const struct access_log_output *logging, struct output **ret_output)
{
	struct output *o = calloc(1, sizeof(*o));
	int err = -ENOMEM;

	if (!o)
		return err;
	o->fd = -1;
	o->format = logging->format;
	o->path = strdup(logging->output);
	if (!o->path)
		goto fail;
	if (!logging->access) {
		*ret_output = o;
		return 0;
	}
	if (strcmp(o->path, "stdout") == 0 || strcmp(o->path, "stderr") == 0) {
		o->fd = strcmp(o->path, "stdout") == 0 ? STDOUT_FILENO : STDERR_FILENO;
		o->may_block = !is_regular(o->fd);
	} else {
		err = o->fd = open_path(o->path);
		if (err < 0)
			goto fail;
		o->owned = true;
	}
	*ret_output = o;
	return 0;
fail:
	output_destroy(o);
	return err;
}

static void wake(struct access_log *log)
{
	if (atomic_exchange(&log->state, RUNNING) != RUNNING)
		syscall(SYS_futex, &log->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool access_log_put(struct access_log *log, unsigned shard, const struct access_record *record)
{
	struct access_ring *ring;
	uint32_t state;
	bool put;

	must(shard < log->rings_len);
	ring = &log->rings[shard];
	if (!atomic_load_explicit(&log->enabled, memory_order_relaxed))
		return true;
	put = access_ring_put(ring, record);
	state = atomic_load(&log->state);
	if (state == ASLEEP || (state == NAPPING && access_ring_is_half_full(ring)))
		wake(log);
	return put;
}

static bool wait_until_writable(struct access_log *log)
{
	struct pollfd p = {.fd = log->output->fd, .events = POLLOUT};

	if (poll(&p, 1, log->failed ? 0 : PIPE_WAIT_MS) > 0)
		return true;
	errno = EAGAIN;
	return false;
}

/* write(2) that blocks for PIPE_WAIT_MS at most. */
static ssize_t write_some(struct access_log *log, const char *bytes, size_t len)
{
	struct output *o = log->output;
	ssize_t n;

	/* Where poll() says that a pipe is writable, PIPE_BUF bytes never block. */
	if (o->may_block)
		return wait_until_writable(log) ? write(o->fd, bytes, min_u64(len, PIPE_BUF)) : -1;
	n = write(o->fd, bytes, len);
	if (n < 0 && errno == EAGAIN && wait_until_writable(log))
		n = write(o->fd, bytes, len);
	return n;
}

static void note_failure(struct access_log *log, int err)
{
	if (err && !log->failed)
		event_error("access log: writing to %s fails (%s): records are lost until it works",
			    log->output->path, strerrordesc_np(err));
	if (!err && log->failed)
		event_warn("access log: writing to %s works again", log->output->path);
	log->failed = err;
}

/* Bytes that went out; fewer than asked only when the output fails. */
static size_t write_all(struct access_log *log, const char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write_some(log, bytes + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		note_failure(log, n > 0 ? 0 : n == 0 ? EIO : errno);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

static uint64_t count_lines(const char *bytes, size_t len)
{
	const char *end = bytes + len;
	uint64_t lines = 0;

	while ((bytes = memchr(bytes, '\n', (size_t)(end - bytes)))) {
		lines++;
		bytes++;
	}
	return lines;
}

/* A batch that fails is lost and counted, line by line: keeping it would only move
 * the loss to the rings. */
static void flush(struct access_log *log)
{
	size_t done;

	if (!log->batch_len)
		return;
	/* The rest of a line that a full disk cut off shall not spoil the next one. */
	if (log->torn && write_all(log, "\n", 1) == 1)
		log->torn = false;
	done = log->torn ? 0 : write_all(log, log->batch, log->batch_len);
	if (done)
		log->torn = log->batch[done - 1] != '\n';
	atomic_fetch_add_explicit(&log->written, count_lines(log->batch, done),
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&log->write_errors,
				  count_lines(log->batch + done, log->batch_len - done),
				  memory_order_relaxed);
	log->batch_len = 0;
}

static void format(struct access_log *log, const struct access_view *view)
{
	struct line line = {
		.at = log->batch + log->batch_len,
		.end = log->batch + BATCH_BYTES + ACCESS_LINE_BYTES_MAX,
	};

	if (log->output->fd < 0) /* switched off since it was put */
		return;
	if (log->output->format == LOG_FORMAT_JSON)
		access_format_json(view, &line);
	else
		access_format_text(view, &line);
	log->batch_len = (size_t)(line.at - log->batch);
	if (log->batch_len >= BATCH_BYTES)
		flush(log);
}

/* One round over the rings, at most what each held when its turn came, so that one
 * shard cannot keep the others waiting. True when there was anything. */
static bool drain(struct access_log *log)
{
	bool any = false;

	for (unsigned i = 0; i < log->rings_len; i++) {
		struct access_ring *ring = &log->rings[i];
		uint64_t until = atomic_load(&ring->put_at);
		struct access_view view;

		while (atomic_load_explicit(&ring->taken_at, memory_order_relaxed) != until &&
		       access_ring_peek(ring, &view)) {
			format(log, &view);
			access_ring_take(ring, &view);
			any = true;
		}
	}
	flush(log);
	return any;
}

static void reopen(struct access_log *log)
{
	struct output *o = log->output;
	int fd;

	if (!o->owned)
		return;
	fd = open_path(o->path);
	if (fd < 0) {
		atomic_fetch_add_explicit(&log->write_errors, 1, memory_order_relaxed);
		event_error("access log: cannot open %s (%s): the old file stays in use", o->path,
			    strerrordesc_np(-fd));
		return;
	}
	close(o->fd);
	o->fd = fd;
	log->torn = false;
	log->failed = 0;
}

static void take_orders(struct access_log *log)
{
	struct output *next = atomic_exchange(&log->next_output, NULL);

	if (next) {
		drain(log); /* what was put before the switch stays where it was meant for */
		output_destroy(log->output);
		log->output = next;
		log->torn = false;
		log->failed = 0;
	}
	if (atomic_exchange(&log->reopen, false))
		reopen(log);
}

static bool has_work(struct access_log *log)
{
	if (atomic_load(&log->stop) || atomic_load(&log->reopen) || atomic_load(&log->next_output))
		return true;
	for (unsigned i = 0; i < log->rings_len; i++)
		if (!access_ring_is_empty(&log->rings[i]))
			return true;
	return false;
}

static void nap(struct access_log *log)
{
	struct timespec time = {.tv_nsec = NAP_NS};

	atomic_store(&log->state, NAPPING);
	/* Orders only: records are what the nap is there to gather. A ring that filled
	 * up before the state was seen is emptied at the nap's end, and a nap is short. */
	if (!atomic_load(&log->stop) && !atomic_load(&log->reopen) &&
	    !atomic_load(&log->next_output))
		syscall(SYS_futex, &log->state, FUTEX_WAIT_PRIVATE, NAPPING, &time, NULL, 0);
	atomic_store(&log->state, RUNNING);
}

static void sleep_until_woken(struct access_log *log)
{
	atomic_store(&log->state, ASLEEP);
	if (has_work(log))
		atomic_store(&log->state, RUNNING);
	while (atomic_load(&log->state) == ASLEEP)
		syscall(SYS_futex, &log->state, FUTEX_WAIT_PRIVATE, ASLEEP, NULL, NULL, 0);
}

static void *writer(void *arg)
{
	struct access_log *log = arg;

	while (!atomic_load(&log->stop)) {
		take_orders(log);
		if (drain(log))
			nap(log);
		else
			sleep_until_woken(log);
	}
	take_orders(log);
	while (drain(log))
		;
	return NULL;
}

/* Signals are for the control shard; SIGPIPE becomes EPIPE. */
static int start_thread(struct access_log *log)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&log->thread, NULL, writer, log);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		pthread_setname_np(log->thread, "ringway-log");
	return -err;
}

static void release(struct access_log *log)
{
	for (unsigned i = 0; i < log->rings_len; i++)
		access_ring_fini(&log->rings[i]);
	output_destroy(atomic_load(&log->next_output));
	output_destroy(log->output);
	free(log->batch);
	free(log);
}

int access_log_create(const struct access_log_output *logging, unsigned shards, size_t ring_bytes,
		      struct access_log **ret_log)
{
	size_t bytes = sizeof(struct access_log) + shards * sizeof(struct access_ring);
	struct access_log *log;
	int err = -ENOMEM;

	must(shards);
	_Static_assert(sizeof(struct access_log) % CACHE_LINE == 0, "aligned_alloc needs it");
	log = aligned_alloc(CACHE_LINE, bytes);
	if (!log)
		return err;
	memset(log, 0, bytes);
	log->batch = malloc(BATCH_BYTES + ACCESS_LINE_BYTES_MAX);
	if (!log->batch)
		goto fail;
	for (; log->rings_len < shards; log->rings_len++) {
		err = access_ring_init(&log->rings[log->rings_len], ring_bytes);
		if (err)
			goto fail;
	}
	err = output_create(logging, &log->output);
	if (err)
		goto fail;
	atomic_store(&log->enabled, logging->access);
	err = start_thread(log);
	if (err)
		goto fail;
	*ret_log = log;
	return 0;
fail:
	release(log);
	return err;
}

void access_log_destroy(struct access_log *log)
{
	if (!log)
		return;
	atomic_store(&log->stop, true);
	wake(log);
	pthread_join(log->thread, NULL);
	release(log);
}

void access_log_reopen(struct access_log *log)
{
	int saved = errno; /* a signal handler leaves it as it was */

	atomic_store(&log->reopen, true);
	wake(log);
	errno = saved;
}

int access_log_switch(struct access_log *log, const struct access_log_output *logging)
{
	struct output *next;
	int err = output_create(logging, &next);

	if (err)
		return err;
	/* One that the writer had not come to yet was never in use. */
	output_destroy(atomic_exchange(&log->next_output, next));
	atomic_store_explicit(&log->enabled, logging->access, memory_order_relaxed);
	wake(log);
	return 0;
}

void access_log_stats(const struct access_log *log, struct access_log_stats *ret_stats)
{
	*ret_stats = (struct access_log_stats){
		.written = atomic_load_explicit(&log->written, memory_order_relaxed),
		.write_errors = atomic_load_explicit(&log->write_errors, memory_order_relaxed),
	};
	for (unsigned i = 0; i < log->rings_len; i++)
		ret_stats->dropped +=
			atomic_load_explicit(&log->rings[i].dropped, memory_order_relaxed);
}

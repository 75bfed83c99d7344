#include "top_source.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/base/clock.h>

/* ---- pages that are gone ---- */

static struct {
	const char *from, *to; /* of the mapping; NULL outside of guarded() */
	sigjmp_buf back;
} guard;

static void on_bus_error(int number, siginfo_t *about, void *registers UNUSED)
{
	const char *at = about->si_addr;

	if (guard.from && at >= guard.from && at < guard.to)
		siglongjmp(guard.back, 1);
	/* Not ours: the instruction runs again, and ends the process as it should. */
	signal(number, SIG_DFL);
}

/* `run` neither allocates nor locks. False: it met a page that is gone. */
static bool guarded(const struct segment *s, void (*run)(void *arg), void *arg)
{
	if (sigsetjmp(guard.back, 1)) {
		guard.from = NULL;
		return false;
	}
	guard.to = (const char *)s->at + s->mapped_bytes;
	guard.from = s->at;
	run(arg);
	guard.from = NULL;
	return true;
}

/* ---- the process behind it ---- */

/* Numbers of /proc/.../stat from field 3 on: behind the program's name, which may hold
 * anything. False: there is no such file. */
#define STAT_FIRST        4
#define STAT_USER_TICKS   14
#define STAT_SYSTEM_TICKS 15
#define STAT_STARTED      22
static bool read_stat(const char *path, uint64_t numbers[static STAT_STARTED + 1])
{
	char text[1024], *at;
	FILE *in = fopen(path, "re");
	size_t len = in ? fread(text, 1, sizeof(text) - 1, in) : 0;

	if (in)
		fclose(in);
	text[len] = '\0';
	at = strrchr(text, ')');
	if (!at || strlen(at) < 5)
		return false;
	at += 3; /* the state's letter */
	for (int field = STAT_FIRST; field <= STAT_STARTED; field++) {
		at = strchr(at, ' ');
		if (!at)
			return false;
		numbers[field] = strtoull(++at, NULL, 10);
	}
	return true;
}

static void add_cpu_time(const struct top_source *s, const uint32_t *threads,
			 struct top_sample *sample)
{
	uint64_t numbers[STAT_STARTED + 1];
	char path[64];

	for (uint32_t i = 0; i < sample->shards_len; i++) {
		struct top_shard_sample *shard = &sample->shards[i];

		shard->has_ticks = false;
		if (!s->sees_process || !threads[i])
			continue;
		snprintf(path, sizeof(path), "/proc/%u/task/%u/stat", s->pid, threads[i]);
		if (!read_stat(path, numbers))
			continue;
		shard->ticks = numbers[STAT_USER_TICKS] + numbers[STAT_SYSTEM_TICKS];
		shard->has_ticks = true;
	}
}

/* ---- opening ---- */

struct attaching {
	struct top_source *source;
	enum metrics_fault fault;
	uint64_t pid_started;
};

static void attach(void *arg)
{
	struct attaching *a = arg;
	struct top_source *s = a->source;

	a->fault = metrics_attach(s->segment.at, s->segment.bytes, &s->view);
	if (a->fault != METRICS_READABLE)
		return;
	s->pid = s->view.head->pid;
	s->started_unix_us = s->view.head->started_unix_us;
	a->pid_started = s->view.head->pid_started;
}

static enum metrics_fault attach_guarded(struct top_source *s, uint64_t *ret_pid_started)
{
	struct attaching a = {.source = s, .fault = METRICS_NOT_OURS};

	if (!guarded(&s->segment, attach, &a))
		return METRICS_NOT_OURS;
	*ret_pid_started = a.pid_started;
	return a.fault;
}

static void append(char *out, size_t room, const char *text)
{
	size_t len = strlen(out);

	snprintf(out + len, room - len, "%s", text);
}

/* Enough to see a mistyped name. */
#define LISTED_MAX 8

/* "; these run: a, b" */
static void append_running(char *out, size_t room)
{
	size_t prefix_len = strlen(strrchr(SEGMENT_PATH, '/') + 1);
	char folder[sizeof(SEGMENT_PATH)];
	unsigned found = 0;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(SEGMENT_PATH, '/') - SEGMENT_PATH),
		 SEGMENT_PATH);
	dir = opendir(folder);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		struct top_source other;
		uint64_t started;

		if (strncmp(e->d_name, SEGMENT_PATH + strlen(SEGMENT_PATH) - prefix_len,
			    prefix_len) != 0 ||
		    segment_attach(e->d_name + prefix_len, &other.segment) != 0)
			continue;
		if (attach_guarded(&other, &started) == METRICS_READABLE) {
			found++;
			if (found <= LISTED_MAX) {
				append(out, room, found == 1 ? "; these run: " : ", ");
				append(out, room, e->d_name + prefix_len);
			}
		}
		segment_fini(&other.segment);
	}
	if (dir)
		closedir(dir);
	if (found > LISTED_MAX)
		append(out, room, ", ...");
	if (!found)
		append(out, room, "; there is none that can be seen");
}

static void explain(char out[static TOP_ERROR_BYTES], const char *instance, int err)
{
	switch (err) {
	case -ENOENT:
		snprintf(out, TOP_ERROR_BYTES,
			 "no instance `%s` runs on this host, or its counters are private "
			 "(`runtime.metrics_memory`)",
			 instance);
		append_running(out, TOP_ERROR_BYTES);
		break;
	case -ESTALE:
		snprintf(out, TOP_ERROR_BYTES,
			 "instance `%s` was killed: nobody writes to " SEGMENT_PATH "%s any more",
			 instance, instance);
		break;
	case -EACCES:
		snprintf(out, TOP_ERROR_BYTES,
			 SEGMENT_PATH "%s: permission denied; its owner and its group may look",
			 instance);
		break;
	case -EINVAL:
		snprintf(out, TOP_ERROR_BYTES,
			 SEGMENT_PATH "%s is not a segment of Ringway's, or "
				      "not a whole one",
			 instance);
		break;
	default: snprintf(out, TOP_ERROR_BYTES, SEGMENT_PATH "%s: %s", instance, strerror(-err));
	}
}

PRINTF(2, 3) static bool fail(char out[static TOP_ERROR_BYTES], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(out, TOP_ERROR_BYTES, fmt, args);
	va_end(args);
	return false;
}

bool top_source_open(struct top_source *s, const char *instance,
		     char ret_error[static TOP_ERROR_BYTES])
{
	const struct sigaction on_fault = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
	uint64_t numbers[STAT_STARTED + 1], pid_started = 0;
	enum metrics_fault fault;
	char path[64];
	int err;

	memset(s, 0, sizeof(*s));
	sigaction(SIGBUS, &on_fault, NULL);
	err = segment_attach(instance, &s->segment);
	if (err) {
		explain(ret_error, instance, err);
		return false;
	}
	fault = attach_guarded(s, &pid_started);
	if (fault != METRICS_READABLE) {
		segment_fini(&s->segment);
		if (fault == METRICS_OTHER_VERSION)
			return fail(ret_error,
				    "instance `%s` was started by another version of "
				    "ringway; that one's `ringway top` can read it",
				    instance);
		return fail(ret_error, SEGMENT_PATH "%s: %s", instance, metrics_fault_text(fault));
	}
	snprintf(path, sizeof(path), "/proc/%u/stat", s->pid);
	s->sees_process = read_stat(path, numbers) && numbers[STAT_STARTED] == pid_started;
	return true;
}

void top_source_close(struct top_source *s)
{
	segment_fini(&s->segment);
}

/* ---- reading ---- */

struct taking {
	const struct top_source *source;
	struct top_sample *sample;
	struct top_figures *figures;
	uint32_t *threads; /* by shard */
	struct top_lengths lengths;
	uint64_t now_ns, unix_us;
};

static void read_lengths(void *arg)
{
	struct taking *t = arg;

	top_lengths_read(&t->lengths, &t->source->view);
}

static void take(void *arg)
{
	struct taking *t = arg;
	const struct metrics_view *v = &t->source->view;

	top_sample_take(t->sample, v, t->now_ns, t->unix_us);
	top_figures_read_names(t->figures, v);
	for (uint32_t i = 0; i < t->sample->shards_len; i++)
		t->threads[i] = (uint32_t)counter_get(&metrics_block_of(v, i)->thread);
}

enum top_reading top_source_read(struct top_source *s, struct top_sample *sample,
				 struct top_figures *figures)
{
	struct taking t = {.source = s, .sample = sample, .figures = figures};
	enum top_reading reading = TOP_READ;

	if (!segment_owner_lives(&s->segment))
		return TOP_ENDED;
	if (!guarded(&s->segment, read_lengths, &t))
		return TOP_CUT;
	if (top_sample_prepare(sample, &t.lengths) != 0 ||
	    top_figures_prepare(figures, sample) != 0)
		return TOP_NO_MEMORY;
	t.threads = calloc(sample->shards_len, sizeof(*t.threads));
	if (!t.threads)
		return TOP_NO_MEMORY;
	t.now_ns = clock_monotonic_ns();
	t.unix_us = clock_unix_us();
	if (guarded(&s->segment, take, &t))
		add_cpu_time(s, t.threads, sample);
	else
		reading = TOP_CUT;
	free(t.threads);
	return reading;
}

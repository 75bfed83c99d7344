#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include <ringway/base/base.h>
#include <ringway/observe/access_log.h>
#include <ringway/observe/event.h>

static char dir[] = "/tmp/ringway-access-log-XXXXXX";
static char path[PATH_MAX], other_path[PATH_MAX];

static int make_dir(void **state UNUSED)
{
	/* What fails here is meant to; its words would only stand between the results. */
	event_set_level(LOG_LEVEL_ERROR + 1);
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/access.log", dir);
	snprintf(other_path, sizeof(other_path), "%s/other.log", dir);
	return 0;
}

static int remove_files(void **state UNUSED)
{
	unlink(path);
	unlink(other_path);
	return 0;
}

static int remove_dir(void **state UNUSED)
{
	return rmdir(dir);
}

static struct access_log_output to(const char *output)
{
	return (struct access_log_output){.format = LOG_FORMAT_JSON, .output = output, .access = true};
}

static struct access_record record_of(uint16_t shard, uint32_t number)
{
	return (struct access_record){.path = SPAN("/a"), .shard = shard, .total_us = number};
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static struct access_log_stats stats_of(const struct access_log *log)
{
	struct access_log_stats stats;

	access_log_stats(log, &stats);
	return stats;
}

/* Until so many records are written or lost by the writer; fails after 10 s. */
static void wait_for(const struct access_log *log, uint64_t records)
{
	for (int i = 0; i < 10000; i++) {
		struct access_log_stats s = stats_of(log);

		if (s.written + s.write_errors >= records)
			return;
		pause_ms(1);
	}
	fail_msg("the writer did not come to %d records", (int)records);
}

/* Every line is JSON; calls back with each. */
static unsigned read_lines(const char *file, void (*on_line)(json_t *, void *), void *arg)
{
	char line[200000];
	FILE *in = fopen(file, "r");
	unsigned lines = 0;

	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		if (!json)
			fail_msg("not JSON: %s", line);
		if (on_line)
			on_line(json, arg);
		json_decref(json);
		lines++;
	}
	fclose(in);
	return lines;
}

struct shard_thread {
	struct access_log *log;
	uint16_t shard;
	uint32_t records;
	uint32_t put;
};

static void *put_records(void *arg)
{
	struct shard_thread *t = arg;

	for (uint32_t i = 0; i < t->records; i++) {
		struct access_record record = record_of(t->shard, i);

		t->put += access_log_put(t->log, t->shard, &record);
		/* All three states of the writer get their share. */
		if (i % 4096 == 0)
			pause_ms(25);
		else if (i % 512 == 0)
			pause_ms(1);
	}
	return NULL;
}

struct order {
	int64_t last[2];
	uint32_t seen[2];
};

static void check_order(json_t *json, void *arg)
{
	struct order *order = arg;
	json_int_t shard = json_integer_value(json_object_get(json, "shard"));
	json_int_t number = json_integer_value(json_object_get(json, "total_us"));

	assert_true(shard == 0 || shard == 1);
	assert_true(number > order->last[shard]);
	order->last[shard] = number;
	order->seen[shard]++;
}

static void two_shards_lose_nothing_that_was_taken(void **state UNUSED)
{
	struct access_log_output logging = to(path);
	struct order order = {.last = {-1, -1}};
	struct shard_thread shards[2];
	struct access_log_stats stats;
	struct access_log *log;
	pthread_t threads[2];

	assert_int_equal(access_log_create(&logging, 2, 64 * KIB, &log), 0);
	for (uint16_t i = 0; i < 2; i++) {
		shards[i] = (struct shard_thread){.log = log, .shard = i, .records = 20000};
		assert_int_equal(pthread_create(&threads[i], NULL, put_records, &shards[i]), 0);
	}
	for (int i = 0; i < 20; i++) {
		stats = stats_of(log);
		pause_ms(1);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	stats = stats_of(log);
	assert_int_equal(stats.dropped, 40000 - shards[0].put - shards[1].put);
	access_log_destroy(log);
	read_lines(path, check_order, &order);
	assert_int_equal(order.seen[0], shards[0].put);
	assert_int_equal(order.seen[1], shards[1].put);
	assert_true(shards[0].put > 1000);
}

static void a_sleeping_writer_is_woken_by_one_record(void **state UNUSED)
{
	struct access_log_output logging = to(path);
	struct access_record record = record_of(0, 1);
	struct access_log *log;

	assert_int_equal(access_log_create(&logging, 1, 32 * KIB, &log), 0);
	for (int i = 1; i <= 10; i++) {
		pause_ms(30); /* more than a nap */
		assert_true(access_log_put(log, 0, &record));
		wait_for(log, (uint64_t)i);
	}
	access_log_destroy(log);
	assert_int_equal(read_lines(path, NULL, NULL), 10);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void a_ring_that_fills_up_cuts_the_nap_short(void **state UNUSED)
{
	struct access_log_output logging = to(path);
	struct access_record record = record_of(0, 1);
	unsigned short_rounds = 0;
	struct access_log *log;

	/* Each round begins when the writer has emptied the ring and goes to nap, and
	 * fills more than half of it. A nap that nobody cuts short takes 10 ms. */
	assert_int_equal(access_log_create(&logging, 1, 32 * KIB, &log), 0);
	for (uint64_t round = 1; round <= 100; round++) {
		uint64_t began_ns = now_ns();

		for (int i = 0; i < 250; i++)
			assert_true(access_log_put(log, 0, &record));
		wait_for(log, round * 250);
		short_rounds += now_ns() - began_ns < 6 * NS_PER_MS;
	}
	assert_true(short_rounds >= 5);
	access_log_destroy(log);
	assert_int_equal(read_lines(path, NULL, NULL), 100 * 250);
}

static void what_does_not_fit_is_dropped_and_counted(void **state UNUSED)
{
	struct access_log_output logging = to("stdout");
	struct access_record record = record_of(0, 1);
	struct access_log_stats stats;
	int saved = dup(STDOUT_FILENO), ends[2], put = 0;
	struct access_log *log;

	/* A pipe that nobody reads, and which is in blocking mode as a shell's is. */
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fflush(stdout);
	assert_int_equal(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(access_log_create(&logging, 1, 32 * KIB, &log), 0);
	for (int i = 0; i < 2000; i++)
		put += access_log_put(log, 0, &record);
	stats = stats_of(log);
	assert_true(put < 2000);
	assert_int_equal(stats.dropped, 2000 - put);
	access_log_destroy(log); /* comes back although the pipe is stuck */
	assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
	close(saved);
	close(ends[0]);
	close(ends[1]);
}

static void a_pipe_that_breaks_ends_nothing(void **state UNUSED)
{
	struct access_log_output logging = to("stdout");
	struct access_record record = record_of(0, 1);
	int saved = dup(STDOUT_FILENO), ends[2];
	struct access_log *log;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fflush(stdout);
	assert_int_equal(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
	close(ends[1]);
	assert_int_equal(access_log_create(&logging, 1, 32 * KIB, &log), 0);
	assert_true(access_log_put(log, 0, &record));
	wait_for(log, 1);
	close(ends[0]);
	assert_true(access_log_put(log, 0, &record));
	wait_for(log, 2);
	assert_int_equal(stats_of(log).written, 1);
	assert_int_equal(stats_of(log).write_errors, 1);
	access_log_destroy(log);
	assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
	close(saved);
}

static void a_full_disk_is_counted_and_later_lines_are_whole(void **state UNUSED)
{
	struct access_log_output logging = to(path);
	struct access_record record = record_of(0, 1);
	struct rlimit before, small = {.rlim_cur = 1000};
	struct access_log_stats stats;
	struct access_log *log;
	char line[4096];
	FILE *in;

	/* A limit on file size fails like a full disk does: with a part of the write. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	assert_int_equal(access_log_create(&logging, 1, 32 * KIB, &log), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (uint64_t i = 1; i <= 8; i++) {
		assert_true(access_log_put(log, 0, &record));
		wait_for(log, i);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(access_log_put(log, 0, &record));
	wait_for(log, 9);
	stats = stats_of(log);
	assert_true(stats.write_errors > 0);
	assert_int_equal(stats.written + stats.write_errors, 9);
	access_log_destroy(log);

	in = fopen(path, "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		json_t *json = json_loads(line, 0, NULL);

		stats.written -= json != NULL;
		json_decref(json);
	}
	fclose(in);
	assert_int_equal(stats.written, 0);
}

static void reopening_goes_on_in_a_new_file(void **state UNUSED)
{
	struct access_log_output logging = to(path);
	struct access_record record = record_of(0, 1);
	struct access_log *log;
	struct stat st;

	assert_int_equal(access_log_create(&logging, 1, 32 * KIB, &log), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07137, 0);
	assert_true(access_log_put(log, 0, &record));
	wait_for(log, 1);
	assert_int_equal(rename(path, other_path), 0);
	access_log_reopen(log);
	for (int i = 0; i < 10000 && access(path, F_OK) != 0; i++)
		pause_ms(1);
	for (int i = 0; i < 3; i++)
		assert_true(access_log_put(log, 0, &record));
	access_log_destroy(log);
	assert_int_equal(read_lines(other_path, NULL, NULL), 1);
	assert_int_equal(read_lines(path, NULL, NULL), 3);
}

static void a_file_that_cannot_be_reopened_leaves_the_old_one(void **state UNUSED)
{
	char sub[PATH_MAX + 8], moved[PATH_MAX + 8], file[PATH_MAX + 32], moved_file[PATH_MAX + 32];
	struct access_log_output logging = to(file);
	struct access_record record = record_of(0, 1);
	struct access_log *log;

	snprintf(sub, sizeof(sub), "%s/sub", dir);
	snprintf(moved, sizeof(moved), "%s/moved", dir);
	snprintf(file, sizeof(file), "%s/access.log", sub);
	snprintf(moved_file, sizeof(moved_file), "%s/access.log", moved);
	assert_int_equal(mkdir(sub, 0700), 0);
	assert_int_equal(access_log_create(&logging, 1, 32 * KIB, &log), 0);
	assert_int_equal(rename(sub, moved), 0);
	access_log_reopen(log);
	for (int i = 0; i < 10000 && stats_of(log).write_errors == 0; i++)
		pause_ms(1);
	assert_int_equal(stats_of(log).write_errors, 1);
	assert_true(access_log_put(log, 0, &record));
	access_log_destroy(log);
	assert_int_equal(read_lines(moved_file, NULL, NULL), 1);
	unlink(moved_file);
	rmdir(moved);
}

static _Atomic(struct access_log *) signalled;

static void on_usr1(int signal UNUSED)
{
	access_log_reopen(atomic_load(&signalled));
}

static void reopening_works_from_a_signal_handler(void **state UNUSED)
{
	struct access_log_output logging = to(path);
	struct sigaction before, action = {.sa_handler = on_usr1};
	struct access_record record = record_of(0, 1);
	struct access_log *log;

	assert_int_equal(access_log_create(&logging, 1, 32 * KIB, &log), 0);
	atomic_store(&signalled, log);
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	assert_true(access_log_put(log, 0, &record));
	wait_for(log, 1);
	assert_int_equal(rename(path, other_path), 0);
	raise(SIGUSR1);
	for (int i = 0; i < 10000 && access(path, F_OK) != 0; i++)
		pause_ms(1);
	assert_int_equal(access(path, F_OK), 0);
	access_log_destroy(log);
	sigaction(SIGUSR1, &before, NULL);
}

static void a_switch_takes_effect_from_the_next_record_on(void **state UNUSED)
{
	struct access_log_output first = to(path), second = to(other_path), off = to(path);
	struct access_record record = record_of(0, 1);
	struct access_log *log;
	char line[4096];
	FILE *in;

	second.format = LOG_FORMAT_TEXT;
	off.access = false;
	assert_int_equal(access_log_create(&first, 1, 32 * KIB, &log), 0);
	assert_true(access_log_put(log, 0, &record));
	assert_true(access_log_put(log, 0, &record));
	assert_int_equal(access_log_switch(log, &second), 0);
	wait_for(log, 2);
	pause_ms(30);
	assert_true(access_log_put(log, 0, &record));
	wait_for(log, 3);
	assert_int_equal(access_log_switch(log, &off), 0);
	assert_true(access_log_put(log, 0, &record));
	assert_int_equal(access_log_switch(log, &first), 0);
	pause_ms(30);
	assert_true(access_log_put(log, 0, &record));
	access_log_destroy(log);

	assert_int_equal(read_lines(path, NULL, NULL), 3);
	in = fopen(other_path, "r");
	assert_non_null(in);
	assert_non_null(fgets(line, sizeof(line), in));
	assert_non_null(strstr(line, "\" 0 0 id=- "));
	assert_null(fgets(line, sizeof(line), in));
	fclose(in);
}

static void an_output_that_cannot_be_opened_is_an_error(void **state UNUSED)
{
	struct access_log_output good = to(path), bad = to("/nonexistent/access.log");
	struct access_record record = record_of(0, 1);
	struct access_log *log = NULL;

	assert_int_equal(access_log_create(&bad, 1, 32 * KIB, &log), -ENOENT);
	assert_null(log);
	assert_int_equal(mkfifo(other_path, 0600), 0);
	bad = to(other_path);
	assert_int_equal(access_log_create(&bad, 1, 32 * KIB, &log), -ENXIO);
	assert_int_equal(access_log_create(&good, 1, 32 * KIB, &log), 0);
	assert_int_equal(access_log_switch(log, &bad), -ENXIO);
	assert_true(access_log_put(log, 0, &record));
	access_log_destroy(log);
	assert_int_equal(read_lines(path, NULL, NULL), 1);
}

static void when_it_is_off_nothing_is_opened(void **state UNUSED)
{
	struct access_log_output off = to(path);
	struct access_record record = record_of(0, 1);
	struct access_log *log;

	off.access = false;
	assert_int_equal(access_log_create(&off, 1, 32 * KIB, &log), 0);
	for (int i = 0; i < 5000; i++)
		assert_true(access_log_put(log, 0, &record));
	assert_int_equal(stats_of(log).dropped, 0);
	access_log_destroy(log);
	assert_int_equal(access(path, F_OK), -1);
	access_log_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(two_shards_lose_nothing_that_was_taken, remove_files),
		cmocka_unit_test_teardown(a_sleeping_writer_is_woken_by_one_record, remove_files),
		cmocka_unit_test_teardown(a_ring_that_fills_up_cuts_the_nap_short, remove_files),
		cmocka_unit_test_teardown(what_does_not_fit_is_dropped_and_counted, remove_files),
		cmocka_unit_test_teardown(a_pipe_that_breaks_ends_nothing, remove_files),
		cmocka_unit_test_teardown(a_full_disk_is_counted_and_later_lines_are_whole,
					  remove_files),
		cmocka_unit_test_teardown(reopening_goes_on_in_a_new_file, remove_files),
		cmocka_unit_test_teardown(a_file_that_cannot_be_reopened_leaves_the_old_one,
					  remove_files),
		cmocka_unit_test_teardown(reopening_works_from_a_signal_handler, remove_files),
		cmocka_unit_test_teardown(a_switch_takes_effect_from_the_next_record_on,
					  remove_files),
		cmocka_unit_test_teardown(an_output_that_cannot_be_opened_is_an_error,
					  remove_files),
		cmocka_unit_test_teardown(when_it_is_off_nothing_is_opened, remove_files),
	};

	/* RLIMIT_FSIZE asks with a signal first. */
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include <ringway/base/base.h>
#include <ringway/observe/event.h>

static int saved_stderr = -1, reader = -1;
static char text[16384];

static int catch_stderr(void **state UNUSED)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -1;
	saved_stderr = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	reader = ends[0];
	event_set_level(LOG_LEVEL_INFO);
	event_set_format(LOG_FORMAT_TEXT);
	return 0;
}

static int release_stderr(void **state UNUSED)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(reader);
	return 0;
}

/* What was written since the last call, as text. */
static const char *written(void)
{
	ssize_t n = read(reader, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* The words behind "2026-11-21T01:02:03Z ", whose digits are the clock's. */
static const char *after_time(const char *line)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ ";

	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		if (form[i] == 'd')
			assert_in_range(line[i], '0', '9');
		else
			assert_int_equal(line[i], form[i]);
	}
	return line + sizeof(form) - 1;
}

static void an_event_is_one_line_of_text(void **state UNUSED)
{
	event_info("listening on %s:%d", "0.0.0.0", 80);
	assert_string_equal(after_time(written()), "info  listening on 0.0.0.0:80\n");
	event_warn("a\nb\t\"c\" \\ \xff \xc3\xa4");
	assert_string_equal(after_time(written()), "warn  a\\x0ab\\x09\"c\" \\ \\xff \xc3\xa4\n");
	event_error("x");
	assert_string_equal(after_time(written()), "error x\n");
}

static void events_below_the_level_are_not_written(void **state UNUSED)
{
	event_debug("no");
	assert_string_equal(written(), "");
	event_set_level(LOG_LEVEL_ERROR);
	event_warn("no");
	assert_string_equal(written(), "");
	event_set_level(LOG_LEVEL_DEBUG);
	event_debug("yes");
	assert_string_equal(after_time(written()), "debug yes\n");
}

static void an_event_is_one_json_object(void **state UNUSED)
{
	json_t *json;

	event_set_format(LOG_FORMAT_JSON);
	event_warn("a \"%s\"\n\xff", "b");
	json = json_loads(written(), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	assert_int_equal(json_object_size(json), 3);
	assert_int_equal(strlen(json_string_value(json_object_get(json, "time"))), 20);
	assert_string_equal(json_string_value(json_object_get(json, "level")), "warn");
	assert_string_equal(json_string_value(json_object_get(json, "message")),
			    "a \"b\"\n\xc3\xbf");
	json_decref(json);
}

static void long_words_are_cut_and_say_so(void **state UNUSED)
{
	static char much[5000];
	size_t len;

	memset(much, '\x01', sizeof(much) - 1);
	event_set_format(LOG_FORMAT_JSON);
	event_info("%s", much);
	len = strlen(written());
	assert_true(len > 6000);
	assert_string_equal(text + len - 6, "...\"}\n");
}

static void an_event_leaves_errno_alone(void **state UNUSED)
{
	errno = ENOENT;
	event_info("x");
	assert_int_equal(errno, ENOENT);
	event_debug("x");
	assert_int_equal(errno, ENOENT);
	close(STDERR_FILENO);
	event_info("x");
	assert_int_equal(errno, ENOENT);
}

static void an_event_does_not_wait_for_a_pipe_that_nobody_reads(void **state UNUSED)
{
	int blocking = fcntl(STDERR_FILENO, F_GETFL) & ~O_NONBLOCK;

	/* A pipe holds 64 KiB. Without a bound this test would never end. */
	assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, blocking), 0);
	for (int i = 0; i < 3000; i++)
		event_info("these are some 80 bytes of an event that nobody reads, as it seems %d", i);
	while (*written())
		;
	event_info("heard again");
	assert_non_null(strstr(written(), "heard again"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_event_is_one_line_of_text, catch_stderr,
						release_stderr),
		cmocka_unit_test_setup_teardown(events_below_the_level_are_not_written,
						catch_stderr, release_stderr),
		cmocka_unit_test_setup_teardown(an_event_is_one_json_object, catch_stderr,
						release_stderr),
		cmocka_unit_test_setup_teardown(long_words_are_cut_and_say_so, catch_stderr,
						release_stderr),
		cmocka_unit_test_setup_teardown(an_event_does_not_wait_for_a_pipe_that_nobody_reads,
						catch_stderr, release_stderr),
		cmocka_unit_test_setup_teardown(an_event_leaves_errno_alone, catch_stderr,
						release_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

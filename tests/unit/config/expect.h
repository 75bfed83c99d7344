/* What a text says about itself when it is loaded.
 */
#ifndef RINGWAY_TEST_EXPECT_H
#define RINGWAY_TEST_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <ringway/config/load.h>

/* The report of a text as `check` prints it; the caller's to free. */
static inline char *report_of_file(const char *path, struct span text)
{
	struct config *config = NULL;
	struct config_report report;
	/* Static since gcc takes a local that open_memstream() knows for one that dangles
	 * when it is returned. */
	static char *printed;
	static size_t len;
	FILE *out = open_memstream(&printed, &len);
	int err = config_load_text(path, text, &config, &report);

	assert_int_equal(err, report.errors ? -EINVAL : 0);
	assert_true(!config == (err != 0));
	config_report_print(&report, out, /* colour */ false);
	fclose(out);
	config_report_fini(&report);
	config_destroy(config);
	return printed;
}

static inline void expect_report(const char *text, const char *expected)
{
	char *printed = report_of_file("t.yaml", span_str(text));

	assert_string_equal(printed, expected);
	free(printed);
}

/* The first line of the report is this, and nothing else is wrong. */
static inline void expect_one(const char *text, const char *expected)
{
	char *printed = report_of_file("t.yaml", span_str(text)), *end = printed;
	size_t issues = 0;

	for (char *line = printed; *line; line = strchr(line, '\n') + 1)
		issues += strncmp(line, "t.yaml:", 7) == 0;
	end = strchr(printed, '\n');
	if (end)
		*end = '\0';
	if (issues != 1 || strcmp(printed, expected) != 0)
		fail_msg("%zu issues, first:\n%s\nwanted:\n%s\nof:\n%s", issues, printed, expected,
			 text);
	free(printed);
}

/* The config of a text without errors and warnings. */
static inline struct config *config_of(const char *text)
{
	struct config *config = NULL;
	struct config_report report;

	if (config_load_text("t.yaml", span_str(text), &config, &report) || report.warnings) {
		config_report_print(&report, stderr, false);
		fail_msg("not good: %s", text);
	}
	config_report_fini(&report);
	return config;
}

#endif

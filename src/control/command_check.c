#include <errno.h>
#include <string.h>
#include <time.h>

#include "check_certificates.h"
#include "command.h"

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

static int run(const struct command *c, int len, char **arguments)
{
	bool json = false, strict = false;
	const char *path = NULL;
	const struct argument known[] = {
		{.name = "FILE", .text = &path, .required = true},
		{.name = "--json", .flag = &json},
		{.name = "--strict", .flag = &strict},
		{.name = "--routes", .not_yet = true},
	};
	struct config_report report;
	struct config *config = NULL;
	int err, exit_code;

	if (!command_read_arguments(c, known, ARRAY_LEN(known), len, arguments, &exit_code))
		return exit_code;
	err = config_load(path, &config, &report);
	if (err && !report.errors)
		fprintf(stderr, "ringway check: %s: %s\n", path, strerror(-err));
	if (!err && !check_certificates(config, (int64_t)time(NULL), &report))
		err = -EINVAL;
	exit_code = err || (strict && report.warnings) ? COMMAND_ERRORS : COMMAND_GOOD;
	if (json) {
		config_report_print_json(&report, path, stdout);
	} else {
		config_report_print(&report, stdout, command_has_colour(stdout));
		if (report.errors || report.warnings)
			printf("%s: %zu error%s, %zu warning%s\n", path, report.errors,
			       plural(report.errors), report.warnings, plural(report.warnings));
		else if (!err)
			printf("%s: good\n", path);
	}
	config_report_fini(&report);
	config_destroy(config);
	return exit_code;
}

const struct command command_check = {
	.name = "check",
	.summary = "say everything that is wrong with a file",
	.help = "usage: ringway check FILE [--json] [--strict]\n"
		"\n"
		"Reads the file, those that it includes, and the variables, files and certificates\n"
		"that its values name, and prints every error and warning with its place. Opens\n"
		"no socket, resolves no name, needs no privileges but to read those files.\n"
		"\n"
		"  --json    the report as one JSON object\n"
		"  --strict  warnings count as errors\n"
		"\n"
		"Exit codes: 0 good, 1 errors (or warnings with --strict), 2 usage.\n",
	.run = run,
};

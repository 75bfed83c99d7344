#include <string.h>

#include <ringway/config/load.h>
#include <ringway/control/process.h>

#include "command.h"

static int run(const struct command *c, int len, char **arguments)
{
	struct process_options options = {.can_reload = true};
	const char *path = NULL;
	const struct argument known[] = {
		{.name = "FILE", .text = &path, .required = true},
		{.name = "--keep-state", .flag = &options.keep_state},
	};
	struct config_report report;
	struct config *config = NULL;
	int err, exit_code;

	if (!command_read_arguments(c, known, ARRAY_LEN(known), len, arguments, &exit_code))
		return exit_code;
	err = config_load(path, &config, &report);
	config_report_print(&report, stderr, command_has_colour(stderr));
	if (err && !report.errors)
		fprintf(stderr, "ringway run: %s: %s\n", path, strerror(-err));
	config_report_fini(&report);
	return err ? COMMAND_ERRORS : process_run(config, &options);
}

const struct command command_run = {
	.name = "run",
	.summary = "run the gateway that a file describes",
	.help = "usage: ringway run FILE [--keep-state]\n"
		"\n"
		"Runs the gateway in the foreground. Every error of the file is printed, and then\n"
		"nothing is started. What runs where, and what the limits cost in memory, is\n"
		"printed at the start.\n"
		"\n"
		"  --keep-state     what clients have used of their limits outlives a restart: it\n"
		"                   is written to a file beside the admin socket after a drain, and\n"
		"                   taken from there, once, at the next start with this option\n"
		"\n"
		"  SIGTERM, SIGINT  no new connections; what is in flight is answered, for at\n"
		"                   most `runtime.drain`; a second one ends at once\n"
		"  SIGHUP           reads the file again, as `ringway reload` does\n"
		"  SIGUSR1          opens the log file again, after it was moved away\n"
		"\n"
		"Exit codes: 0 after a drain, 1 when it could not start, 2 usage.\n",
	.run = run,
};

/* What `ringway` can be told to do.
 */
#ifndef RINGWAY_CONTROL_COMMAND_H
#define RINGWAY_CONTROL_COMMAND_H

#include <stdio.h>

#include "arguments.h"

/* Part of the contract with scripts. */
enum command_exit { COMMAND_GOOD = 0, COMMAND_ERRORS = 1, COMMAND_USAGE = 2 };

struct command {
	const char *name;
	const char *summary; /* half a line, for the list; NULL: not built yet */
	const char *help;    /* all of `ringway NAME --help` */
	/* `arguments` are those behind the name. Returns the exit code. */
	int (*run)(const struct command *c, int len, char **arguments);
};

/* Finds the command in argv[1] and runs it. */
int command_main(int argc, char **argv);

/* NULL when there is none; those that are not built yet are found, too. */
const struct command *command_find(const char *name);

/* Reads the arguments of a command. True: they are good. False: there is nothing more to
 * do, help or an error was printed, *ret_exit says how it ended. */
bool command_read_arguments(const struct command *c, const struct argument *known, size_t known_len,
			    int len, char **arguments, int *ret_exit);
/* One line on standard error, and where the help is; returns COMMAND_USAGE. */
int command_misused(const struct command *c, const char *fmt, ...) PRINTF(2, 3);

/* On a terminal, unless NO_COLOR or TERM=dumb say otherwise. */
bool command_has_colour(FILE *out);

extern const struct command command_run;
extern const struct command command_check;
extern const struct command command_proxy;
extern const struct command command_origin;
extern const struct command command_status;
extern const struct command command_reload;
extern const struct command command_limits;
extern const struct command command_top;
extern const struct command command_version;
extern const struct command command_help;

#endif

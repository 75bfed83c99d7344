/* The list of commands, and what is the same for all of them.
 */
#include "command.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ringway/config/suggest.h>

static int run_not_yet(const struct command *c, int len UNUSED, char **arguments UNUSED)
{
	fprintf(stderr, "ringway %s: not supported yet; `ringway help` lists what is\n", c->name);
	return COMMAND_USAGE;
}

/* Names that are taken, so that a script that uses one learns what is the matter. */
static const struct command not_yet[] = {
	{"explain", NULL, NULL, run_not_yet}, {"rollback", NULL, NULL, run_not_yet},
	{"drain", NULL, NULL, run_not_yet},   {"upgrade", NULL, NULL, run_not_yet},
	{"doctor", NULL, NULL, run_not_yet},  {"cpus", NULL, NULL, run_not_yet},
	{"tune", NULL, NULL, run_not_yet},
};

static const struct command *const commands[] = {
	&command_run,    &command_check,  &command_proxy,   &command_origin,
	&command_status, &command_reload, &command_limits,  &command_top,
	&command_version, &command_help,
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	for (size_t i = 0; i < ARRAY_LEN(not_yet); i++)
		if (strcmp(not_yet[i].name, name) == 0)
			return &not_yet[i];
	return NULL;
}

static int say_unknown(const char *name)
{
	struct suggestion s;

	suggestion_init(&s, span_str(name));
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		suggestion_try(&s, commands[i]->name);
	fprintf(stderr, "ringway: unknown command `%s`", name);
	if (s.best)
		fprintf(stderr, "; did you mean `%s`?\n", s.best);
	else
		fprintf(stderr, "; `ringway help` lists what there is\n");
	return COMMAND_USAGE;
}

static void print_list(FILE *out)
{
	fprintf(out, "usage: ringway COMMAND [ARGUMENTS]\n"
		     "\n"
		     "An HTTP gateway and reverse proxy on io_uring.\n"
		     "\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out,
		"\n"
		"`ringway COMMAND --help` says more. Exit codes: 0 good, 1 errors, 2 usage.\n");
}

static int run_help(const struct command *c, int len, char **arguments)
{
	const char *name = NULL;
	const struct argument known[] = {{.name = "COMMAND", .text = &name}};
	const struct command *about;
	int exit_code;

	if (!command_read_arguments(c, known, ARRAY_LEN(known), len, arguments, &exit_code))
		return exit_code;
	if (!name) {
		print_list(stdout);
		return COMMAND_GOOD;
	}
	about = command_find(name);
	if (!about)
		return say_unknown(name);
	if (!about->help)
		return about->run(about, 0, NULL);
	fputs(about->help, stdout);
	return COMMAND_GOOD;
}

const struct command command_help = {
	.name = "help",
	.summary = "this list, or the help of one command",
	.help = "usage: ringway help [COMMAND]\n"
		"\n"
		"Lists the commands, or prints what `ringway COMMAND --help` prints.\n",
	.run = run_help,
};

int command_main(int argc, char **argv)
{
	const struct command *c;

	if (argc < 2) {
		print_list(stderr);
		return COMMAND_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		c = &command_help;
	else if (strcmp(argv[1], "--version") == 0)
		c = &command_version;
	else
		c = command_find(argv[1]);
	if (!c)
		return say_unknown(argv[1]);
	return c->run(c, argc - 2, argv + 2);
}

bool command_read_arguments(const struct command *c, const struct argument *known, size_t known_len,
			    int len, char **arguments, int *ret_exit)
{
	char error[ARGUMENTS_ERROR_BYTES];

	switch (arguments_read(known, known_len, len, arguments, error)) {
	case ARGUMENTS_GOOD: return true;
	case ARGUMENTS_HELP:
		fputs(c->help, stdout);
		*ret_exit = COMMAND_GOOD;
		return false;
	case ARGUMENTS_BAD: *ret_exit = command_misused(c, "%s", error); return false;
	}
	return false;
}

int command_misused(const struct command *c, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "ringway %s: ", c->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n`ringway %s --help` says what it takes\n", c->name);
	return COMMAND_USAGE;
}

bool command_has_colour(FILE *out)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(fileno(out)) && !(no_colour && *no_colour) &&
	       !(term && strcmp(term, "dumb") == 0);
}

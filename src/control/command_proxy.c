#include <ringway/control/process.h>

#include "made_config.h"

static const struct made_config_origin origins[] = {
	{"address", "--from"},
	{"url", "--to"},
	{"instance", "--instance"},
	{"shards", "--shards"},
};

/* No total time: who gives no limits wants a long download to end. The times between two
 * bytes hold as always. */
static const char yaml[] = "version: 1\n"
			   "instance: %s\n"
			   "gateway: {timeout: 0}\n"
			   "runtime: {shards: %s}\n"
			   "listeners: [{name: proxy, address: %s}]\n"
			   "services:\n"
			   "  proxy:\n"
			   "    url: %s\n"
			   "    routes: [{path: '/*'}]\n"
			   "monitoring: {logging: {format: text, output: stdout}}\n";

static int run(const struct command *c, int len, char **arguments)
{
	const struct process_options options = {.can_reload = false};
	const char *from = NULL, *to = NULL, *shards = "auto", *instance = NULL;
	const struct argument known[] = {
		{.name = "--from", .text = &from, .required = true},
		{.name = "--to", .text = &to, .required = true},
		{.name = "--shards", .text = &shards},
		{.name = "--instance", .text = &instance},
	};
	struct config *config = NULL;
	struct arena arena;
	struct span text;
	int exit_code;

	if (!command_read_arguments(c, known, ARRAY_LEN(known), len, arguments, &exit_code))
		return exit_code;
	arena_init(&arena, NULL, 0, &arena_malloc_source);
	if (!instance)
		instance = made_config_instance(&arena, "proxy", from);
	instance = made_config_value(&arena, instance);
	shards = made_config_value(&arena, shards);
	from = made_config_value(&arena, from);
	to = made_config_value(&arena, to);
	if (instance && shards && from && to) {
		text = arena_printf(&arena, yaml, instance, shards, from, to);
		config = made_config_load(c, text, origins, ARRAY_LEN(origins));
	} else {
		command_misused(c, "a value holds a control character");
	}
	arena_reset(&arena);
	return config ? process_run(config, &options) : COMMAND_USAGE;
}

const struct command command_proxy = {
	.name = "proxy",
	.summary = "a proxy without a file, from one address to one server",
	.help = "usage: ringway proxy --from ADDRESS --to URL [--shards N] [--instance NAME]\n"
		"\n"
		"Passes every HTTP request that comes in at one address on to one server, in the\n"
		"foreground, with the defaults of a configuration file but no total time limit,\n"
		"and one line of text per request on standard output.\n"
		"\n"
		"  --from ADDRESS   where clients connect: 127.0.0.1:8080, [::1]:8080, or :8080\n"
		"                   for every IPv4 address\n"
		"  --to URL         the server: http://127.0.0.1:9000, or https://name, whose\n"
		"                   certificate is verified by the system's authorities\n"
		"  --shards N       threads that proxy; default: one per usable CPU\n"
		"  --instance NAME  name for `ringway status --instance`; default: proxy-PORT\n"
		"\n"
		"SIGTERM and SIGINT end it when what is in flight is answered, a second one ends\n"
		"it at once. Exit codes: 0 after a drain, 1 when it could not start, 2 usage.\n",
	.run = run,
};

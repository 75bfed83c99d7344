#include <string.h>

#include <ringway/control/process.h>
#include <ringway/proxy/origin.h>

#include "made_config.h"

static const struct made_config_origin origins[] = {
	{"address", "--listen"},
	{"instance", "--instance"},
	{"shards", "--shards"},
};

/* More connections than a proxy has by default, since the pools of several may end here, and
 * more patience: a proxy whose client pauses does not read from us either. No access log: it
 * would be most of the work. */
static const char yaml[] = "version: 1\n"
			   "instance: %s\n"
			   "gateway: {max_connections: 4096}\n"
			   "client: {body_idle: 10m, write_idle: 10m}\n"
			   "runtime: {shards: %s, drain: 5s}\n"
			   "listeners: [{name: origin, address: %s}]\n"
			   "monitoring: {logging: {access: off, format: text}}\n";

static int run(const struct command *c, int len, char **arguments)
{
	const struct process_options options = {.can_reload = false, .site = &origin_site};
	const char *address = NULL, *shards = "auto", *instance = NULL;
	const struct argument known[] = {
		{.name = "--listen", .text = &address, .required = true},
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
		instance = made_config_instance(&arena, "origin", address);
	instance = made_config_value(&arena, instance);
	shards = made_config_value(&arena, shards);
	address = made_config_value(&arena, address);
	if (instance && shards && address) {
		text = arena_printf(&arena, yaml, instance, shards, address);
		config = made_config_load(c, text, origins, ARRAY_LEN(origins));
	} else {
		command_misused(c, "a value holds a control character");
	}
	arena_reset(&arena);
	return config ? process_run(config, &options) : COMMAND_USAGE;
}

const struct command command_origin = {
	.name = "origin",
	.summary = "a built-in origin for demos, tests and load",
	.help = "usage: ringway origin --listen ADDRESS [--shards N] [--instance NAME]\n"
		"\n"
		"Answers HTTP requests by their path, with any method, in the foreground and\n"
		"without an access log:\n"
		"\n" ORIGIN_PATHS "\n"
		"  --listen ADDRESS  127.0.0.1:9000, [::1]:9000, or :9000 for every IPv4 address\n"
		"  --shards N        threads that answer; default: one per usable CPU\n"
		"  --instance NAME   name for `ringway status --instance`; default: origin-PORT\n"
		"\n"
		"SIGTERM and SIGINT end it when what is in flight is answered, a second one ends\n"
		"it at once. Exit codes: 0 after a drain, 1 when it could not start, 2 usage.\n",
	.run = run,
};

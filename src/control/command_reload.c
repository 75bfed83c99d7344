#include "admin_client.h"

/* Reading a large file, looking up its new names, and a swap between two turns. */
#define RELOAD_TIMEOUT_S 60

static void print_good(const json_t *json)
{
	const char *report = json_string_value(json_object_get(json, "report"));
	const json_t *undone = json_object_get(json, "limits_undone");
	long long shards = json_integer_value(json_object_get(json, "shards"));

	if (report)
		fputs(report, stderr); /* warnings */
	for (size_t i = 0; i < json_array_size(undone); i++)
		fprintf(stderr, "%s\n", json_string_value(json_array_get(undone, i)));
	printf("generation %lld on %lld shard%s after %lld ms\n",
	       (long long)json_integer_value(json_object_get(json, "generation")), shards,
	       shards == 1 ? "" : "s", (long long)json_integer_value(json_object_get(json, "ms")));
}

static void print_bad(const json_t *json)
{
	const char *report = json_string_value(json_object_get(json, "report"));
	const char *detail = json_string_value(json_object_get(json, "detail"));

	if (report)
		fputs(report, stderr);
	fprintf(stderr, "ringway reload: %s; nothing has changed\n",
		detail ? detail : "the file has errors");
}

static int run(const struct command *c, int len, char **arguments)
{
	static const struct admin_request request = {
		.method = "POST", .path = "/reload", .timeout_s = RELOAD_TIMEOUT_S};
	bool as_json, good;
	unsigned status;
	int exit_code;
	json_t *json = admin_ask(c, &request, len, arguments, &as_json, &status, &exit_code);

	if (!json)
		return exit_code;
	good = status == 200 && json_is_true(json_object_get(json, "ok"));
	if (as_json)
		admin_print_json(json);
	else if (good)
		print_good(json);
	else
		print_bad(json);
	json_decref(json);
	return good ? COMMAND_GOOD : COMMAND_ERRORS;
}

const struct command command_reload = {
	.name = "reload",
	.summary = "let a running instance read its file again",
	.help = "usage: ringway reload [--json] [--instance NAME | --socket PATH]\n"
		"\n"
		"Tells a running instance to read its file again, and waits until every shard\n"
		"uses the new configuration. Requests in progress keep the one that they began\n"
		"with. A file with errors changes nothing, and the errors are printed. Changed\n"
		"listeners, shards, names of the instance and of its sockets, and a higher\n"
		"`gateway.max_connections` need a restart and are refused.\n"
		"\n"
		"  --json           the outcome as one JSON object\n"
		"  --instance NAME  the instance of this name; default: default\n"
		"  --socket PATH    the instance whose `admin.socket` is there\n"
		"\n"
		"Exit codes: 0 the new configuration is in use, 1 it is not, 2 usage.\n",
	.run = run,
};

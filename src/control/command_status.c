#include <string.h>

#include "admin_client.h"

/* The shards answer between two turns: longer means that one of them hangs. */
#define STATUS_TIMEOUT_S 10

/* Columns of the table, in this order; those that no shard reports are left out, and the
 * later ones also when they are 0 everywhere: what is wrong then stands out. */
static const struct column {
	const char *key;
	const char *title;
	bool only_when_set;
} columns[] = {
	{"shard", "shard", false},
	{"cpu", "cpu", false},
	{"connections", "connections", false},
	{"exchanges", "exchanges", false},
	{"requests", "requests", false},
	{"accepted", "accepted", false},
	{"upstream_busy", "upstreams busy", false},
	{"upstream_idle", "idle", false},
	{"buffers_lent", "buffers", false},
	{"refused_full", "refused full", true},
	{"reclaimed", "reclaimed", true},
	{"exhausted", "exhausted", true},
	{"starved", "starved", true},
	{"overflows", "overflows", true},
};

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "?";
}

static long long number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static bool is_shown(const struct column *column, const json_t *shards)
{
	for (size_t i = 0; i < json_array_size(shards); i++) {
		const json_t *value = json_object_get(json_array_get(shards, i), column->key);

		if (value && (!column->only_when_set || json_integer_value(value)))
			return true;
	}
	return false;
}

/* A shard without a CPU of its own has cpu -1. */
static void cell(char out[static 32], const struct column *column, const json_t *shard)
{
	const json_t *value = json_object_get(shard, column->key);

	if (!value)
		snprintf(out, 32, "-");
	else if (json_integer_value(value) < 0)
		snprintf(out, 32, "any");
	else
		snprintf(out, 32, "%lld", (long long)json_integer_value(value));
}

static int width_of(const struct column *column, const json_t *shards)
{
	size_t width = strlen(column->title);
	char text[32];

	for (size_t i = 0; i < json_array_size(shards); i++) {
		cell(text, column, json_array_get(shards, i));
		width = max_u64(width, strlen(text));
	}
	return (int)width;
}

/* `shard` NULL: the titles. */
static void print_row(const json_t *shards, const json_t *shard)
{
	const char *gap = "";
	char text[32];

	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		if (!is_shown(&columns[i], shards))
			continue;
		if (shard)
			cell(text, &columns[i], shard);
		printf("%s%*s", gap, width_of(&columns[i], shards),
		       shard ? text : columns[i].title);
		gap = "  ";
	}
	putchar('\n');
}

static void print_uptime(long long s)
{
	if (s >= 86400)
		printf("%lld d %lld h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		printf("%lld h %lld min", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		printf("%lld min %lld s", s / 60, s % 60);
	else
		printf("%lld s", s);
}

static long long sum_of(const json_t *numbers)
{
	const json_t *value;
	const char *key;
	long long sum = 0;

	json_object_foreach((json_t *)(uintptr_t)numbers, key, value)
		sum += json_integer_value(value);
	return sum;
}

/* The bound, in the order of the object, that so many of 100 stayed below. */
static const char *bound_of(const json_t *times, unsigned of_100)
{
	long long all = sum_of(times), so_far = 0;
	const json_t *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)times, key, value) {
		so_far += json_integer_value(value);
		if (so_far * 100 >= all * of_100)
			return key;
	}
	return "0";
}

static void print_bytes(long long bytes)
{
	if (bytes >= (long long)MIB)
		printf("%.1f MiB", (double)bytes / (double)MIB);
	else
		printf("%.1f KiB", (double)bytes / (double)KIB);
}

/* Nothing where no handshake was ever tried. */
static void print_tls(const json_t *tls)
{
	const json_t *failed = json_object_get(tls, "failed");
	const json_t *times = json_object_get(tls, "time_us");
	const json_t *memory = json_object_get(tls, "memory");
	long long full = number_of(tls, "handshakes_full");
	long long resumed = number_of(tls, "handshakes_resumed");
	const char *key, *gap = ": ";
	const json_t *value;

	if (full + resumed + number_of(tls, "in_progress") + sum_of(failed) == 0)
		return;
	printf("  TLS          %lld handshakes, %lld of them resumed, %lld in progress",
	       full + resumed, resumed, number_of(tls, "in_progress"));
	if (full + resumed)
		printf("; half took less than %s us, 99 %% less than %s", bound_of(times, 50),
		       bound_of(times, 99));
	printf("\n               %lld failed", sum_of(failed));
	json_object_foreach((json_t *)(uintptr_t)failed, key, value) {
		printf("%s%lld %s", gap, (long long)json_integer_value(value), key);
		gap = ", ";
	}
	printf("; memory ");
	print_bytes(number_of(memory, "in_use_bytes"));
	printf(" of ");
	print_bytes(number_of(memory, "held_bytes"));
	printf(" held\n");
}

static void print_status(const json_t *status)
{
	const json_t *shards = json_object_get(status, "shards");
	const json_t *log = json_object_get(status, "log");

	printf("ringway %s  instance %s  pid %lld  %s, up ", text_of(status, "version"),
	       text_of(status, "instance"), number_of(status, "pid"), text_of(status, "state"));
	print_uptime(number_of(status, "uptime_s"));
	printf("\n  config       %s, generation %lld\n", text_of(status, "config"),
	       number_of(status, "generation"));
	printf("  connections  %lld of %lld\n", number_of(status, "connections"),
	       number_of(status, "max_connections"));
	print_tls(json_object_get(status, "tls"));
	printf("  log          %lld written, %lld dropped, %lld write errors\n\n",
	       number_of(log, "written"), number_of(log, "dropped"),
	       number_of(log, "write_errors"));
	print_row(shards, NULL);
	for (size_t i = 0; i < json_array_size(shards); i++)
		print_row(shards, json_array_get(shards, i));
}

static int run(const struct command *c, int len, char **arguments)
{
	static const struct admin_request request = {
		.method = "GET", .path = "/status", .timeout_s = STATUS_TIMEOUT_S};
	unsigned status;
	bool as_json;
	int exit_code;
	json_t *json = admin_ask(c, &request, len, arguments, &as_json, &status, &exit_code);

	if (!json)
		return exit_code;
	if (status != 200)
		fprintf(stderr, "ringway status: %s\n", text_of(json, "detail"));
	else if (as_json)
		admin_print_json(json);
	else
		print_status(json);
	json_decref(json);
	return status == 200 ? COMMAND_GOOD : COMMAND_ERRORS;
}

const struct command command_status = {
	.name = "status",
	.summary = "what a running instance does",
	.help = "usage: ringway status [--json] [--instance NAME | --socket PATH]\n"
		"\n"
		"Asks a running instance over its admin socket and prints what it is and what\n"
		"each shard has to do: connections, requests, upstream connections, buffers; and\n"
		"what became of TLS handshakes, which --json has for each shard.\n"
		"Counters of what should not happen (connections refused because all were taken,\n"
		"receive buffers that ran out, ...) are shown when they are not 0.\n"
		"\n"
		"  --json           everything, as one JSON object\n"
		"  --instance NAME  the instance of this name; default: default\n"
		"  --socket PATH    the instance whose `admin.socket` is there\n"
		"\n"
		"Exit codes: 0 good, 1 no answer, 2 usage.\n",
	.run = run,
};

#include <stdlib.h>
#include <string.h>

#include <ringway/base/arena.h>

#include "admin_client.h"

/* A change waits for a reload that is in progress. */
#define LIMITS_TIMEOUT_S 60
#define OPERANDS_MAX     5

struct asking {
	const struct command *command;
	const char *operands[OPERANDS_MAX]; /* what is to be done, then on what */
	struct admin_options options;
	struct arena arena; /* of the request */
};

/* ---- words ---- */

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "-";
}

static long long number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* "-" where there is none. */
static const char *number_text(const json_t *o, const char *key, char out[static 32])
{
	const json_t *value = json_object_get(o, key);

	if (json_is_integer(value))
		snprintf(out, 32, "%lld", (long long)json_integer_value(value));
	else
		snprintf(out, 32, "-");
	return out;
}

/* ---- list ---- */

/* Of a terminal; what the columns of numbers leave is for the words. */
#define LINE_COLUMNS   80
#define NUMBER_COLUMNS 44 /* with the gaps between all of them, and the mark */

struct columns {
	int name, key, rate;
};

/* The widest text that is not wider than that; others have a line of their own. */
static int width_of(const json_t *limits, const char *title, const char *key, int most)
{
	int width = (int)strlen(title);

	for (size_t i = 0; i < json_array_size(limits); i++) {
		int len = (int)strlen(text_of(json_array_get(limits, i), key));

		if (len > width && len <= most)
			width = len;
	}
	return width;
}

static struct columns columns_of(const json_t *limits)
{
	struct columns w = {.rate = width_of(limits, "rate", "rate", 12)};

	w.key = width_of(limits, "key", "key", 8);
	w.name = width_of(limits, "limit", "name", LINE_COLUMNS - NUMBER_COLUMNS - w.rate - w.key);
	return w;
}

/* Up to 8 columns: billions in millions. */
static const char *count_text(const json_t *o, const char *key, char out[static 32])
{
	long long n = number_of(o, key);

	if (n < 100000000)
		return number_text(o, key, out);
	snprintf(out, 32, "%.5gM", (double)n / 1e6);
	return out;
}

static void print_limit(const struct columns *w, const json_t *limit)
{
	char burst[32], cap[32], admitted[32], refused[32];
	const char *name = text_of(limit, "name"), *key = text_of(limit, "key");
	const char *rate = text_of(limit, "rate");
	int indent = w->name + 2;

	if ((int)strlen(name) > w->name) {
		printf("%s\n", name);
		name = "";
	}
	printf("%-*s  ", w->name, name);
	if ((int)strlen(key) > w->key) {
		printf("%s\n%*s", key, indent, "");
		key = "";
	}
	printf("%-*s  %*s%c %7s %7s %8s %8s %4zu\n", w->key, key, w->rate, rate,
	       json_is_true(json_object_get(limit, "changed")) ? '*' : ' ',
	       number_text(limit, "burst", burst), number_text(limit, "concurrency", cap),
	       count_text(limit, "admitted", admitted), count_text(limit, "refused", refused),
	       json_array_size(json_object_get(limit, "hot")));
}

static void print_list(const json_t *json)
{
	const json_t *limits = json_object_get(json, "limits");
	struct columns w = columns_of(limits);
	bool changed = false;

	if (!json_array_size(limits)) {
		printf("no limits\n");
		return;
	}
	printf("%-*s  %-*s  %*s  %7s %7s %8s %8s %4s\n", w.name, "limit", w.key, "key", w.rate,
	       "rate", "burst", "at once", "admitted", "refused", "hot");
	for (size_t i = 0; i < json_array_size(limits); i++) {
		print_limit(&w, json_array_get(limits, i));
		changed |= json_is_true(json_object_get(json_array_get(limits, i), "changed"));
	}
	if (changed)
		printf("\n* set live: a reload puts the file's terms into force again\n");
}

/* ---- show and set ---- */

static void print_terms(const json_t *limit, const char *key, const char *title)
{
	const json_t *file = json_object_get(limit, "file");
	const json_t *now = json_object_get(limit, key), *said = json_object_get(file, key);

	if (!now)
		return;
	printf("  %-12s ", title);
	if (json_is_string(now))
		printf("%s", json_string_value(now));
	else
		printf("%lld", (long long)json_integer_value(now));
	if (!json_equal(now, said) && json_is_string(said))
		printf("  (the file says %s)", json_string_value(said));
	else if (!json_equal(now, said) && said)
		printf("  (the file says %lld)", (long long)json_integer_value(said));
	putchar('\n');
}

static void print_hot(const json_t *hot)
{
	if (!json_array_size(hot))
		return;
	printf("\n%9s %9s %6s  hot keys\n", "remaining", "on lease", "shards");
	for (size_t i = 0; i < json_array_size(hot); i++) {
		const json_t *h = json_array_get(hot, i);

		printf("%9lld %9lld %6lld  %s\n", number_of(h, "remaining"),
		       number_of(h, "may_hold"), number_of(h, "shards"), text_of(h, "key"));
	}
}

/* A limit without a rate has requests in progress only. */
static void print_key(const json_t *state)
{
	printf("  %-12s %s\n", "key", text_of(state, "key"));
	if (json_is_true(json_object_get(state, "fresh")))
		printf("  %-12s %lld, fresh\n", "  remaining", number_of(state, "remaining"));
	else if (json_object_get(state, "remaining"))
		printf("  %-12s %lld, fresh again in %.1f s%s\n", "  remaining",
		       number_of(state, "remaining"),
		       json_number_value(json_object_get(state, "reset_s")),
		       json_is_true(json_object_get(state, "hot")) ? "; hot: shards hold some more"
								   : "");
	if (json_object_get(state, "in_progress"))
		printf("  %-12s %lld\n", "  in progress", number_of(state, "in_progress"));
}

static void print_one(const json_t *limit)
{
	const json_t *state = json_object_get(limit, "state");

	printf("%s\n", text_of(limit, "name"));
	printf("  %-12s %s\n", "counted by", text_of(limit, "key"));
	printf("  %-12s %s\n", "algorithm", text_of(limit, "algorithm"));
	print_terms(limit, "rate", "rate");
	print_terms(limit, "burst", "burst");
	print_terms(limit, "concurrency", "concurrency");
	if (number_of(limit, "cost") > 1)
		printf("  %-12s %lld of each request\n", "cost", number_of(limit, "cost"));
	if (json_object_get(limit, "admitted"))
		printf("  %-12s %lld, refused %lld\n", "admitted", number_of(limit, "admitted"),
		       number_of(limit, "refused"));
	if (!json_is_true(json_object_get(limit, "used")))
		printf("  %-12s\n", "on no route");
	if (state)
		print_key(state);
	print_hot(json_object_get(limit, "hot"));
}

static void print_reset(const json_t *json)
{
	const json_t *was = json_object_get(json, "was"), *is = json_object_get(json, "state");

	printf("%s: %s has %lld left, it had %lld%s\n", text_of(json, "name"), text_of(is, "key"),
	       number_of(is, "remaining"), number_of(was, "remaining"),
	       json_is_true(json_object_get(was, "hot"))
		       ? "; it is hot, what shards hold of it stays theirs"
		       : "");
}

/* ---- asking ---- */

/* Percent-encoded but for what is safe anywhere. */
static const char *encode(struct asking *a, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = arena_text(&a->arena, 3 * strlen(text) + 1), *at = out;

	must(out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-_.", c)) {
			*at++ = (char)c;
		} else {
			*at++ = '%';
			*at++ = hex[c >> 4];
			*at++ = hex[c & 15];
		}
	}
	*at = '\0';
	return out;
}

static const char *join(struct asking *a, const char *name, const char *key)
{
	struct span path = arena_printf(&a->arena, "/limits%s%s%s%s", name ? "/" : "",
					name ? encode(a, name) : "", key ? "?key=" : "",
					key ? encode(a, key) : "");

	must(path.ptr);
	return path.ptr;
}

static int ask(struct asking *a, const struct admin_request *request,
	       void (*print)(const json_t *json))
{
	unsigned status;
	json_t *json = admin_send(a->command, &a->options, request, &status);

	if (!json)
		return COMMAND_ERRORS;
	if (status != 200)
		fprintf(stderr, "ringway limits: %s\n", text_of(json, "detail"));
	else if (a->options.as_json)
		admin_print_json(json);
	else
		print(json);
	json_decref(json);
	return status == 200 ? COMMAND_GOOD : COMMAND_ERRORS;
}

static int operands_len(const struct asking *a)
{
	int len = 0;

	while (len < OPERANDS_MAX && a->operands[len])
		len++;
	return len;
}

static int run_list(struct asking *a)
{
	const struct admin_request request = {
		.method = "GET", .path = "/limits", .timeout_s = LIMITS_TIMEOUT_S};

	if (operands_len(a) > 1)
		return command_misused(a->command,
				       "`list` takes nothing more; `show` takes a name");
	return ask(a, &request, print_list);
}

static int run_show(struct asking *a)
{
	struct admin_request request = {.method = "GET", .timeout_s = LIMITS_TIMEOUT_S};

	if (operands_len(a) < 2 || operands_len(a) > 3)
		return command_misused(a->command, "`show` takes the name of a limit, and a key");
	request.path = join(a, a->operands[1], a->operands[2]);
	return ask(a, &request, print_one);
}

/* "rate=100/s" -> "rate=100%2Fs"; what can be set is the instance's to say. */
static const char *form_of(struct asking *a)
{
	struct span form = SPAN("");

	for (int i = 2; i < OPERANDS_MAX && a->operands[i]; i++) {
		const char *word = a->operands[i], *equals = strchr(word, '=');
		char *name;

		if (!equals || equals == word || !equals[1])
			return NULL;
		name = arena_str(&a->arena, span_of(word, (size_t)(equals - word)));
		must(name);
		form = arena_printf(&a->arena, "%.*s%s%s=%s", SPAN_FMT(form), i > 2 ? "&" : "",
				    encode(a, name), encode(a, equals + 1));
		must(form.ptr);
	}
	return form.len ? form.ptr : NULL;
}

static int run_set(struct asking *a)
{
	struct admin_request request = {.method = "POST", .timeout_s = LIMITS_TIMEOUT_S};

	request.form = form_of(a);
	if (operands_len(a) < 3 || !request.form)
		return command_misused(a->command, "`set` takes the name of a limit, and "
						   "rate=RATE, burst=N or concurrency=N");
	request.path = join(a, a->operands[1], NULL);
	return ask(a, &request, print_one);
}

static int run_reset(struct asking *a)
{
	struct admin_request request = {.method = "DELETE", .timeout_s = LIMITS_TIMEOUT_S};

	switch (operands_len(a)) {
	case 2: request.path = join(a, NULL, a->operands[1]); break;
	case 3: request.path = join(a, a->operands[1], a->operands[2]); break;
	default:
		return command_misused(a->command, "`reset` takes the name of a limit and a key, "
						   "or a key that only one limit has");
	}
	return ask(a, &request, print_reset);
}

static int run(const struct command *c, int len, char **arguments)
{
	static const struct {
		const char *name;
		int (*run)(struct asking *a);
	} actions[] = {
		{"list", run_list}, {"show", run_show}, {"set", run_set}, {"reset", run_reset}};
	struct asking a = {.command = c};
	const struct argument operands[OPERANDS_MAX] = {
		{.name = "ACTION", .text = &a.operands[0], .required = true},
		{.name = "NAME", .text = &a.operands[1]},
		{.name = "KEY", .text = &a.operands[2]},
		{.name = "TERM", .text = &a.operands[3]},
		{.name = "TERM", .text = &a.operands[4]},
	};
	int exit_code;

	if (!admin_read_arguments(c, operands, OPERANDS_MAX, len, arguments, &a.options,
				  &exit_code))
		return exit_code;
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		if (strcmp(a.operands[0], actions[i].name) != 0)
			continue;
		arena_init(&a.arena, NULL, 0, &arena_malloc_source);
		exit_code = actions[i].run(&a);
		arena_reset(&a.arena);
		return exit_code;
	}
	return command_misused(c, "`%s` is none of list, show, set and reset", a.operands[0]);
}

const struct command command_limits = {
	.name = "limits",
	.summary = "the limits of a running instance, and changes to them",
	.help = "usage: ringway limits ACTION [NAME] [KEY | TERM ...] [--json] "
		"[--instance NAME | --socket PATH]\n"
		"\n"
		"Asks a running instance for its limits, or changes them; in force at once on all\n"
		"shards.\n"
		"\n"
		"  list             all limits: terms in force, and how many keys are hot\n"
		"  show NAME [KEY]  one limit and its hot keys, and how one key stands\n"
		"  set NAME TERM... other terms: rate=100/s, rate=1000/h, rate=50 (per second),\n"
		"                   burst=200, concurrency=10; keys keep what they have used;\n"
		"                   a reload undoes it, and says so\n"
		"  reset NAME KEY   the key is as fresh as one never seen\n"
		"  reset KEY        the same, when only one limit has keys like it\n"
		"\n"
		"A key is written as it is shown: ip=192.0.2.1, ip=2001:db8::/64,\n"
		"header:x-user=alice, route=SERVICE/ROUTE, service=SERVICE, global, or several of\n"
		"them joined by commas in the order of the file. For a key of one part its value\n"
		"alone will do: 192.0.2.1.\n"
		"\n"
		"  --json           the answer as one JSON object\n"
		"  --instance NAME  the instance of this name; default: default\n"
		"  --socket PATH    the instance whose `admin.socket` is there\n"
		"\n"
		"Exit codes: 0 good, 1 no answer or refused, 2 usage.\n",
	.run = run,
};

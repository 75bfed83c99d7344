#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ringway/base/clock.h>
#include <ringway/base/span.h>
#include <ringway/config/load.h>

#include "command.h"
#include "top_json.h"
#include "top_screen.h"
#include "top_source.h"

/* More often the kernel's ticks say nothing of a thread's CPU time, and less often it is no
 * live view any more. */
#define INTERVAL_LEAST (100 * NS_PER_MS)
#define INTERVAL_MOST  (60 * NS_PER_S)
/* On a screen something is seen soon. */
#define INTERVAL_FIRST (250 * NS_PER_MS)

struct top {
	const struct command *command;
	const char *instance;
	enum top_view view;
	uint64_t interval_ns;
	bool once, as_json;
	struct top_source source;
	struct top_sample samples[2];
	unsigned newest; /* of the two */
	struct top_figures figures;
	struct top_notes notes;
	struct top_page page;
	double ticks_per_s;
};

/* ---- arguments ---- */

static bool read_interval(const char *text, uint64_t *ret_ns)
{
	static const struct {
		struct span unit;
		uint64_t ns;
	} units[] = {{{"ms", 2}, NS_PER_MS}, {{"s", 1}, NS_PER_S}, {{"m", 1}, 60 * NS_PER_S}};
	struct span in = span_str(text);

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		uint64_t n;

		if (!span_ends_with(in, units[i].unit) ||
		    !span_to_u64(span_of(in.ptr, in.len - units[i].unit.len), &n))
			continue;
		if (n > INTERVAL_MOST || n * units[i].ns < INTERVAL_LEAST ||
		    n * units[i].ns > INTERVAL_MOST)
			return false;
		*ret_ns = n * units[i].ns;
		return true;
	}
	return false;
}

static bool read_view(const char *text, enum top_view *ret_view)
{
	for (unsigned i = 0; i < TOP_VIEWS; i++) {
		if (strcmp(text, top_view_texts[i]) == 0) {
			*ret_view = (enum top_view)i;
			return true;
		}
	}
	return false;
}

static bool read_options(struct top *t, int len, char **arguments, int *ret_exit)
{
	const char *interval = "1s", *view = "shards";
	const struct argument known[] = {
		{.name = "--instance", .text = &t->instance}, {.name = "--view", .text = &view},
		{.name = "--interval", .text = &interval},    {.name = "--once", .flag = &t->once},
		{.name = "--json", .flag = &t->as_json},
	};

	if (!command_read_arguments(t->command, known, ARRAY_LEN(known), len, arguments, ret_exit))
		return false;
	*ret_exit = COMMAND_USAGE;
	if (!config_instance_is_valid(span_str(t->instance)))
		command_misused(t->command, "`%s` is no name of an instance", t->instance);
	else if (!read_view(view, &t->view))
		command_misused(t->command,
				"`%s` is no view: there are shards, routes, upstreams "
				"and limits",
				view);
	else if (!read_interval(interval, &t->interval_ns))
		command_misused(t->command, "`%s` is no interval: it takes 100ms to 60s", interval);
	else
		return true;
	return false;
}

/* ---- sampling ---- */

static int failed(const struct top *t, enum top_reading reading)
{
	switch (reading) {
	case TOP_READ: return COMMAND_GOOD;
	case TOP_ENDED:
		fprintf(stderr, "ringway top: instance `%s` has ended\n", t->instance);
		break;
	case TOP_CUT:
		fprintf(stderr, "ringway top: " SEGMENT_PATH "%s was cut while it was read\n",
			t->instance);
		break;
	case TOP_NO_MEMORY: fprintf(stderr, "ringway top: %s\n", strerror(ENOMEM)); break;
	}
	return COMMAND_ERRORS;
}

/* The first sample, from which on there are differences. */
static enum top_reading begin(struct top *t)
{
	return top_source_read(&t->source, &t->samples[t->newest], &t->figures);
}

/* Of the time since the last one. */
static enum top_reading measure(struct top *t)
{
	unsigned next = !t->newest;
	enum top_reading reading = top_source_read(&t->source, &t->samples[next], &t->figures);

	if (reading != TOP_READ)
		return reading;
	t->newest = next;
	top_figures_compute(&t->figures, &t->samples[!next], &t->samples[next],
			    t->source.started_unix_us, t->ticks_per_s);
	top_notes_update(&t->notes, &t->figures, t->once ? 1 : TOP_UNEVEN_INTERVALS);
	return TOP_READ;
}

static uint64_t taken_ns(const struct top *t)
{
	return t->samples[t->newest].taken_ns;
}

static void sleep_until(uint64_t due_ns)
{
	const struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_S),
				     .tv_nsec = (long)(due_ns % NS_PER_S)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
}

/* ---- lines ---- */

static bool print_json(const struct top *t)
{
	json_t *json = top_json(&t->figures, &t->notes);

	if (!json)
		return false;
	json_dumpf(json, stdout,
		   JSON_REAL_PRECISION(15) | (t->once ? JSON_INDENT(2) : JSON_COMPACT));
	putchar('\n');
	json_decref(json);
	return true;
}

static bool print_page(struct top *t)
{
	t->page.width = TOP_WIDTH_PLAIN;
	top_page_fill(&t->page, t->view, &t->figures, &t->notes);
	for (unsigned i = 0; i < t->page.len; i++) {
		size_t len = strlen(t->page.lines[i].text);

		while (len && t->page.lines[i].text[len - 1] == ' ')
			len--;
		printf("%.*s\n", (int)len, t->page.lines[i].text);
	}
	return !t->page.short_of_memory;
}

static int print_all(struct top *t)
{
	enum top_reading reading = begin(t);

	for (bool is_first = true; reading == TOP_READ; is_first = false) {
		sleep_until(taken_ns(t) + t->interval_ns);
		reading = measure(t);
		if (reading != TOP_READ)
			break;
		if (!is_first && !t->as_json)
			putchar('\n');
		if (!(t->as_json ? print_json(t) : print_page(t)))
			reading = TOP_NO_MEMORY;
		if (fflush(stdout) != 0)
			return COMMAND_ERRORS;
		if (t->once)
			break;
	}
	return failed(t, reading);
}

/* ---- screen ---- */

static bool draw(struct top *t, unsigned *first, unsigned *ret_rows)
{
	unsigned height;

	top_screen_size(&t->page.width, &height);
	top_page_fill_screen(&t->page, t->view, &t->figures, &t->notes, height, first, ret_rows);
	return top_screen_draw(&t->page, height);
}

static int watch(struct top *t)
{
	enum top_reading reading = begin(t);
	unsigned first = 0, rows = 1;
	uint64_t due_ns;

	if (reading != TOP_READ)
		return failed(t, reading);
	due_ns = taken_ns(t) + min_u64(t->interval_ns, INTERVAL_FIRST);
	sleep_until(due_ns);
	reading = measure(t);
	due_ns = taken_ns(t) + t->interval_ns;
	if (reading == TOP_READ)
		top_screen_enter(command_has_colour(stdout));
	while (reading == TOP_READ) {
		enum top_key key = TOP_KEY_HANGUP;

		if (draw(t, &first, &rows))
			key = top_screen_wait(due_ns);
		switch (key) {
		case TOP_KEY_NONE:
			reading = measure(t);
			due_ns = taken_ns(t) + t->interval_ns;
			break;
		case TOP_KEY_REDRAW: break;
		case TOP_KEY_SHARDS:
		case TOP_KEY_ROUTES:
		case TOP_KEY_UPSTREAMS:
		case TOP_KEY_LIMITS:
			t->view = (enum top_view)(key - TOP_KEY_SHARDS);
			first = 0;
			break;
		case TOP_KEY_NEXT: first += rows; break;
		case TOP_KEY_PREVIOUS: first = first > rows ? first - rows : 0; break;
		case TOP_KEY_QUIT: top_screen_leave(); return COMMAND_GOOD;
		case TOP_KEY_HANGUP: top_screen_leave(); return COMMAND_ERRORS;
		}
	}
	top_screen_leave();
	return failed(t, reading);
}

static int run(const struct command *c, int len, char **arguments)
{
	struct top t = {
		.command = c, .instance = "default", .ticks_per_s = (double)sysconf(_SC_CLK_TCK)};
	char error[TOP_ERROR_BYTES];
	int exit_code;

	if (!read_options(&t, len, arguments, &exit_code))
		return exit_code;
	if (!top_source_open(&t.source, t.instance, error)) {
		fprintf(stderr, "ringway top: %s\n", error);
		return COMMAND_ERRORS;
	}
	exit_code = t.once || t.as_json || !top_screen_possible() ? print_all(&t) : watch(&t);
	top_source_close(&t.source);
	for (size_t i = 0; i < ARRAY_LEN(t.samples); i++)
		top_sample_fini(&t.samples[i]);
	top_figures_fini(&t.figures);
	top_page_fini(&t.page);
	return exit_code;
}

const struct command command_top = {
	.name = "top",
	.summary = "what each shard of a running instance does, live",
	.help = "usage: ringway top [--instance NAME] [--view VIEW] [--interval TIME] [--once] "
		"[--json]\n"
		"\n"
		"Shows what happens in a running instance: one line for all of it and one for\n"
		"each shard, route, upstream or limit. The figures are those of the last interval\n"
		"and come from counters in shared memory: the shards are not asked.\n"
		"Keys: s shards, r routes, u upstreams, l limits, space or an arrow for another\n"
		"page, q to end. Where standard output is no terminal each interval is printed,\n"
		"as --once prints one.\n"
		"\n"
		"  --instance NAME  the instance of this name; default: default\n"
		"  --view VIEW      begin with shards, routes, upstreams or limits; default: "
		"shards\n"
		"  --interval TIME  between two looks: 100ms to 60s; default: 1s\n"
		"  --once           print one interval as plain text, then end\n"
		"  --json           print an object for each interval, with everything\n"
		"\n"
		"Exit codes: 0 good, 1 the instance is not there or has ended, 2 usage.\n",
	.run = run,
};

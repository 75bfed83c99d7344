#include "top_view.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top_text.h"

const char *const top_view_texts[TOP_VIEWS] = {
	[TOP_SHARDS] = "shards",
	[TOP_ROUTES] = "routes",
	[TOP_UPSTREAMS] = "upstreams",
	[TOP_LIMITS] = "limits",
};

/* ---- lines ---- */

static struct top_line *add(struct top_page *p, enum top_style style)
{
	struct top_line *l;

	if (p->len == p->room) {
		unsigned room = p->room ? p->room * 2 : 32;

		l = realloc(p->lines, room * sizeof(*l));
		if (!l) {
			p->short_of_memory = true;
			return NULL;
		}
		p->lines = l;
		p->room = room;
	}
	l = &p->lines[p->len++];
	l->style = style;
	l->text[0] = '\0';
	return l;
}

PRINTF(3, 4) static void line(struct top_page *p, enum top_style style, const char *fmt, ...)
{
	struct top_line *l = add(p, style);
	va_list args;

	if (!l)
		return;
	va_start(args, fmt);
	vsnprintf(l->text, p->width + 1, fmt, args);
	va_end(args);
}

/* Broken between words, further lines indented. */
static void wrapped(struct top_page *p, const char *text)
{
	const char *indent = "";

	while (*text) {
		size_t room = p->width - strlen(indent), take = strlen(text);

		if (take > room) {
			take = room;
			while (take && text[take] != ' ')
				take--;
			if (!take)
				take = room;
		}
		line(p, TOP_NOTE, "%s%.*s", indent, (int)take, text);
		text += take;
		while (*text == ' ')
			text++;
		indent = "  ";
	}
}

/* ---- head ---- */

static void head(struct top_page *p, const struct top_figures *f, const struct top_notes *n)
{
	char uptime[32], per_s[TOP_NUMBER_BYTES], p50[TOP_NUMBER_BYTES], p99[TOP_NUMBER_BYTES];
	char errors[TOP_NUMBER_BYTES], now[TOP_NUMBER_BYTES], most[TOP_NUMBER_BYTES];
	struct metrics_name name = {.service = ""};
	char instance[TOP_NAME_BYTES], version[TOP_NAME_BYTES];

	snprintf(name.name, sizeof(name.name), "%s", f->instance);
	top_name(instance, &name, ' ');
	snprintf(name.name, sizeof(name.name), "%s", f->version);
	top_name(version, &name, ' ');
	top_uptime(uptime, f->uptime_s);
	top_count(per_s, f->all.per_s);
	top_time(p50, f->all.p50_us);
	top_time(p99, f->all.p99_us);
	top_count(errors, f->errors_per_s);
	top_count(now, (double)f->connections);
	top_count(most, (double)f->connections_max);
	line(p, TOP_PLAIN, "%s  %s, up %s, generation %llu, %u shard%s  ringway %s", instance,
	     f->draining ? "draining" : "running", uptime, (unsigned long long)f->generation,
	     f->shards_len, f->shards_len == 1 ? "" : "s", version);
	line(p, TOP_PLAIN, "%s req/s   p50 %s   p99 %s   %s errors/s   %s of %s connections", per_s,
	     p50, p99, errors, now, most);
	for (unsigned i = 0; i < n->len; i++)
		wrapped(p, n->texts[i]);
	line(p, TOP_PLAIN, "%s", "");
}

/* ---- tables: a title, then a line for each row ---- */

static void shards_title(struct top_page *p, const struct top_figures *f UNUSED)
{
	line(p, TOP_TITLE, "%5s %4s %5s %6s %7s %5s %6s %6s %5s %6s %6s %7s", "SHARD", "CPU",
	     "CPU%", "REQ/S", "P99", "BUSY", "CONNS", "ACC/S", "RING", "LIM/S", "REF/S", "LAG");
}

static void shards_row(struct top_page *p, const struct top_figures *f, const struct top_notes *n,
		       unsigned row)
{
	const struct top_shard_figures *s = &f->shards[row];
	char cpu[TOP_NUMBER_BYTES], used[TOP_NUMBER_BYTES], per_s[TOP_NUMBER_BYTES];
	char p99[TOP_NUMBER_BYTES], busy[TOP_NUMBER_BYTES], connections[TOP_NUMBER_BYTES];
	char accepts[TOP_NUMBER_BYTES], ring[TOP_NUMBER_BYTES], admitted[TOP_NUMBER_BYTES];
	char refused[TOP_NUMBER_BYTES], lag[TOP_NUMBER_BYTES];

	if (s->cpu < 0)
		snprintf(cpu, sizeof(cpu), "any");
	else
		snprintf(cpu, sizeof(cpu), "%d", s->cpu % 10000);
	top_percent(used, s->cpu_share);
	top_count(per_s, s->per_s);
	top_time(p99, s->p99_us);
	top_percent(busy, s->busy_share);
	top_count(connections, (double)s->connections);
	top_count(accepts, s->accepts_per_s);
	top_count(ring, (double)s->in_flight);
	top_count(admitted, s->admitted_per_s);
	top_count(refused, s->refused_per_s);
	top_time(lag, s->lease_lag_us);
	line(p, TOP_PLAIN, "%4u%c %4s %5s %6s %7s %5s %6s %6s %5s %6s %6s %7s", row,
	     n->uneven_shard == (int)row ? '*' : ' ', cpu, used, per_s, p99, busy, connections,
	     accepts, ring, admitted, refused, lag);
}

/* What is left for the name, at least a little. */
static int name_width(const struct top_page *p, int others)
{
	int left = (int)p->width - others;

	return left < 8 ? 8 : left;
}

#define ROUTES_OTHERS 53
static void routes_title(struct top_page *p, const struct top_figures *f UNUSED)
{
	int w = name_width(p, ROUTES_OTHERS);

	line(p, TOP_TITLE, "%-*s %6s %7s %7s %5s %5s %5s %5s %5s", w, "ROUTE", "REQ/S", "P50",
	     "P99", "4XX", "5XX", "NONE", "IN/S", "OUT/S");
}

static void routes_row(struct top_page *p, const struct top_figures *f,
		       const struct top_notes *n UNUSED, unsigned row)
{
	uint32_t number = f->route_order[row];
	const struct top_answers *a = &f->routes[number];
	char name[TOP_NAME_BYTES], per_s[TOP_NUMBER_BYTES], p50[TOP_NUMBER_BYTES];
	char p99[TOP_NUMBER_BYTES], s4xx[TOP_NUMBER_BYTES], s5xx[TOP_NUMBER_BYTES];
	char none[TOP_NUMBER_BYTES], in[TOP_NUMBER_BYTES], out[TOP_NUMBER_BYTES];
	int w = name_width(p, ROUTES_OTHERS);

	if (number == METRICS_NO_ROUTE)
		snprintf(name, sizeof(name), "(no route)");
	else
		top_name(name, &f->route_names[number], '/');
	top_count(per_s, a->per_s);
	top_time(p50, a->p50_us);
	top_time(p99, a->p99_us);
	top_percent(s4xx, a->share[METRICS_STATUS_4XX]);
	top_percent(s5xx, a->share[METRICS_STATUS_5XX]);
	top_percent(none, a->share[METRICS_STATUS_NONE]);
	top_count(in, a->in_per_s);
	top_count(out, a->out_per_s);
	line(p, TOP_PLAIN, "%-*.*s %6s %7s %7s %5s %5s %5s %5s %5s", w, w, name, per_s, p50, p99,
	     s4xx, s5xx, none, in, out);
}

#define UPSTREAMS_OTHERS 49
static void upstreams_title(struct top_page *p, const struct top_figures *f)
{
	char all[TOP_NUMBER_BYTES], idle[TOP_NUMBER_BYTES];
	int w = name_width(p, UPSTREAMS_OTHERS);

	top_count(all, (double)f->upstreams);
	top_count(idle, (double)f->upstreams_idle);
	line(p, TOP_PLAIN, "connections: %s, idle %s", all, idle);
	line(p, TOP_TITLE, "%-*s %6s %6s %6s %6s %6s %6s %6s", w, "UPSTREAM", "REQ/S", "NOW",
	     "CONN/S", "REUSE", "ERR/S", "5XX/S", "FIRST");
}

static void upstreams_row(struct top_page *p, const struct top_figures *f,
			  const struct top_notes *n UNUSED, unsigned row)
{
	uint32_t number = f->endpoint_order[row];
	const struct top_endpoint_figures *e = &f->endpoints[number];
	char name[TOP_NAME_BYTES], per_s[TOP_NUMBER_BYTES], now[TOP_NUMBER_BYTES];
	char connects[TOP_NUMBER_BYTES], reuse[TOP_NUMBER_BYTES], failed[TOP_NUMBER_BYTES];
	char bad[TOP_NUMBER_BYTES], first[TOP_NUMBER_BYTES];
	int w = name_width(p, UPSTREAMS_OTHERS);

	top_name(name, &f->endpoint_names[number], ' ');
	top_count(per_s, e->per_s);
	top_count(now, (double)e->attempts_now);
	top_count(connects, e->connects_per_s);
	top_percent(reuse, e->reused_share);
	top_count(failed, e->failed_per_s);
	top_count(bad, e->answers_5xx_per_s);
	top_time(first, e->first_byte_us);
	line(p, TOP_PLAIN, "%-*.*s %6s %6s %6s %6s %6s %6s %6s", w, w, name, per_s, now, connects,
	     reuse, failed, bad, first);
}

#define LIMITS_OTHERS 42
static void limits_title(struct top_page *p, const struct top_figures *f)
{
	char used[TOP_NUMBER_BYTES], most[TOP_NUMBER_BYTES], leases[TOP_NUMBER_BYTES];
	char tokens[TOP_NUMBER_BYTES];
	int w = name_width(p, LIMITS_OTHERS);

	top_count(used, (double)f->keys_in_use);
	top_count(most, (double)f->keys_max);
	top_count(leases, (double)f->keys_leased);
	top_count(tokens, (double)f->tokens_leased);
	line(p, TOP_PLAIN, "keys in use: %s of %s   leases: %s, with %s tokens", used, most, leases,
	     tokens);
	line(p, TOP_TITLE, "%-*s %7s %8s %8s %8s %6s", w, "LIMIT", "ADMIT/S", "REFUSE/S", "REFUSED",
	     "NOROOM/S", "SHARED");
}

static void limits_row(struct top_page *p, const struct top_figures *f,
		       const struct top_notes *n UNUSED, unsigned row)
{
	uint32_t number = f->limit_order[row];
	const struct top_limit_figures *l = &f->limits[number];
	char name[TOP_NAME_BYTES], admitted[TOP_NUMBER_BYTES], refused[TOP_NUMBER_BYTES];
	char share[TOP_NUMBER_BYTES], no_room[TOP_NUMBER_BYTES], coarse[TOP_NUMBER_BYTES];
	int w = name_width(p, LIMITS_OTHERS);

	top_name(name, &f->limit_names[number], '/');
	top_count(admitted, l->admitted_per_s);
	top_count(refused, l->refused_per_s);
	top_percent(share, l->refused_share);
	top_count(no_room, l->no_room_per_s);
	top_percent(coarse, l->coarse_share);
	line(p, TOP_PLAIN, "%-*.*s %7s %8s %8s %8s %6s", w, w, name, admitted, refused, share,
	     no_room, coarse);
}

static const struct table {
	void (*title)(struct top_page *p, const struct top_figures *f);
	void (*row)(struct top_page *p, const struct top_figures *f, const struct top_notes *n,
		    unsigned row);
} tables[TOP_VIEWS] = {
	[TOP_SHARDS] = {shards_title, shards_row},
	[TOP_ROUTES] = {routes_title, routes_row},
	[TOP_UPSTREAMS] = {upstreams_title, upstreams_row},
	[TOP_LIMITS] = {limits_title, limits_row},
};

static unsigned rows_of(enum top_view view, const struct top_figures *f)
{
	switch (view) {
	case TOP_SHARDS: return f->shards_len;
	case TOP_ROUTES: return f->route_order_len;
	case TOP_UPSTREAMS: return f->endpoint_order_len;
	case TOP_LIMITS: return f->limit_order_len;
	case TOP_VIEWS: break;
	}
	return 0;
}

/* ---- pages ---- */

static void begin(struct top_page *p)
{
	p->len = 0;
	p->short_of_memory = false;
	if (p->width < TOP_WIDTH_LEAST)
		p->width = TOP_WIDTH_LEAST;
	if (p->width > TOP_WIDTH_MOST)
		p->width = TOP_WIDTH_MOST;
}

void top_page_fill(struct top_page *p, enum top_view view, const struct top_figures *f,
		   const struct top_notes *n)
{
	unsigned rows = rows_of(view, f);

	begin(p);
	head(p, f, n);
	tables[view].title(p, f);
	for (unsigned i = 0; i < rows; i++)
		tables[view].row(p, f, n, i);
	if (!rows)
		line(p, TOP_PLAIN, "there are no %s", top_view_texts[view]);
}

static void keys(struct top_page *p, unsigned first, unsigned shown, unsigned rows)
{
	static const char text[] = "s shards  r routes  u upstreams  l limits  space page  q quit";

	if (shown < rows)
		line(p, TOP_TITLE, "%s  %u-%u of %u", text, first + 1, first + shown, rows);
	else
		line(p, TOP_TITLE, "%s", text);
}

void top_page_fill_screen(struct top_page *p, enum top_view view, const struct top_figures *f,
			  const struct top_notes *n, unsigned height, unsigned *first,
			  unsigned *ret_rows)
{
	unsigned rows = rows_of(view, f), fit, shown;

	begin(p);
	head(p, f, n);
	tables[view].title(p, f);
	/* However low the screen is, a page has a row: else there would be no next one. */
	fit = height > p->len + 1 ? height - p->len - 1 : 1;
	if (*first >= rows)
		*first = rows ? (rows - 1) / fit * fit : 0;
	shown = rows - *first < fit ? rows - *first : fit;
	for (unsigned i = 0; i < shown; i++)
		tables[view].row(p, f, n, *first + i);
	if (!rows)
		line(p, TOP_PLAIN, "there are no %s", top_view_texts[view]);
	while (p->len + 1 < height && !p->short_of_memory)
		line(p, TOP_PLAIN, "%s", "");
	keys(p, *first, shown, rows);
	*ret_rows = fit;
}

void top_page_fini(struct top_page *p)
{
	free(p->lines);
	memset(p, 0, sizeof(*p));
}

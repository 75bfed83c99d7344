#include "top_notes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Busiest shard against the mean. */
#define UNEVEN_FROM 1.5
/* Requests of a shard in an interval, on average: with fewer of them the busiest of 64 shards
 * is that far from the mean by chance. */
#define REQUESTS_FROM 50

PRINTF(2, 3) static void note(struct top_notes *n, const char *fmt, ...)
{
	va_list args;

	if (n->len == TOP_NOTES_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(n->texts[n->len++], TOP_NOTE_BYTES, fmt, args);
	va_end(args);
}

static void look_for_unevenness(struct top_notes *n, const struct top_figures *f, unsigned needed)
{
	uint64_t all = 0, most = 0;
	unsigned shard = 0;

	for (unsigned i = 0; i < f->shards_len; i++) {
		all += f->shards[i].requests;
		if (f->shards[i].requests > most) {
			most = f->shards[i].requests;
			shard = i;
		}
	}
	n->uneven_shard = -1;
	n->max_over_mean = TOP_UNKNOWN;
	if (all >= (uint64_t)REQUESTS_FROM * f->shards_len)
		n->max_over_mean = (double)most * f->shards_len / (double)all;
	n->uneven_for = n->max_over_mean > UNEVEN_FROM ? n->uneven_for + 1 : 0;
	if (n->uneven_for >= needed)
		n->uneven_shard = (int)shard;
}

static void say_unevenness(struct top_notes *n, const struct top_figures *f)
{
	const struct top_shard_figures *s = &f->shards[n->uneven_shard];
	double requests = n->max_over_mean / f->shards_len;
	double connections = f->connections ? (double)s->connections / (double)f->connections : 0;

	if (connections * f->shards_len > UNEVEN_FROM)
		note(n,
		     "shard %d does %.0f %% of the requests and holds %.0f %% of the connections: "
		     "they stay where they were accepted, and few or long ones spread unevenly",
		     n->uneven_shard, requests * 100, connections * 100);
	else
		note(n,
		     "shard %d does %.0f %% of the requests with %.0f %% of the connections: each "
		     "of them carries more than those of other shards",
		     n->uneven_shard, requests * 100, connections * 100);
}

void top_notes_update(struct top_notes *n, const struct top_figures *f, unsigned needed)
{
	n->len = 0;
	look_for_unevenness(n, f, needed);
	if (f->over_admitted)
		note(n,
		     "limits admitted %" PRIu64 " tokens too many since the start: a bug of "
		     "ringway's, please report it",
		     f->over_admitted);
	if (n->uneven_shard >= 0)
		say_unevenness(n, f);
	if (f->overflows)
		note(n, "%" PRIu64 " completions found no room in a ring", f->overflows);
	if (f->exhausted)
		note(n, "file descriptors ran out %" PRIu64 " times", f->exhausted);
	if (f->refused_full)
		note(n, "%" PRIu64 " connections were closed because all %" PRIu64 " were taken",
		     f->refused_full, f->connections_max);
	if (f->starved)
		note(n, "%" PRIu64 " receives had to wait for a buffer", f->starved);
	if (f->log_dropped)
		note(n, "%" PRIu64 " lines of the access log were dropped", f->log_dropped);
	if (f->names_refused[0] || f->names_refused[1] || f->names_refused[2])
		note(n, "not every route, target or limit has counters of its own: the rest is "
			"in " METRICS_OVERFLOW_TEXT);
}

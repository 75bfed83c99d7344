/* GET /status: what the shards report of themselves, as JSON.
 *
 * Each shard is asked by a letter and answers with a copy, between two turns: exact, and
 * nothing that a request would wait for.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ringway/base/clock.h>

#include "instance.h"

struct waiter {
	struct list link;
	struct exchange *x;
};

void status_begin(struct instance *in, struct exchange *x)
{
	struct waiter *w = arena_alloc(&x->arena, sizeof(*w));

	must(w); /* the first allocation of its arena */
	w->x = x;
	x->source_data = w;
	list_push_back(&in->status_waiters, &w->link);
	if (in->status_reports)
		return; /* the reports that are on their way answer this one, too */
	in->status_reports = in->shards_len;
	for (unsigned i = 0; i < in->shards_len; i++)
		data_shard_post_report(&in->shards[i]);
}

void status_forget(struct instance *in UNUSED, struct exchange *x)
{
	struct waiter *w = x->source_data;

	if (w)
		list_remove(&w->link);
	x->source_data = NULL;
}

/* ---- TLS ---- */

struct tls_sum {
	struct greeting_stats greetings;
	struct tls_memory_stats memory;
};

static void add_tls(struct tls_sum *sum, const struct shard_report *r)
{
	sum->greetings.full += r->greetings.full;
	sum->greetings.resumed += r->greetings.resumed;
	sum->greetings.in_progress += r->greetings.in_progress;
	for (unsigned i = 0; i < ACCESS_CAUSES; i++)
		sum->greetings.failed[i] += r->greetings.failed[i];
	for (unsigned i = 0; i < GREETING_TIMES; i++)
		sum->greetings.shake_us[i] += r->greetings.shake_us[i];
	sum->memory.in_use_bytes += r->tls_memory.in_use_bytes;
	sum->memory.held_bytes += r->tls_memory.held_bytes;
	sum->memory.reserved_bytes += r->tls_memory.reserved_bytes;
	sum->memory.fallbacks += r->tls_memory.fallbacks;
}

static json_t *failed_json(const struct greeting_stats *g)
{
	json_t *failed = json_object();

	for (unsigned i = 0; i < ACCESS_CAUSES; i++)
		if (g->failed[i])
			json_object_set_new(failed, access_cause_text((enum access_cause)i),
					    json_integer((json_int_t)g->failed[i]));
	return failed;
}

/* By the bound that they stayed below; the last one has those above it, too. */
static json_t *times_json(const struct greeting_stats *g)
{
	json_t *times = json_object();
	char bound[24];

	for (unsigned i = 0; i < GREETING_TIMES; i++) {
		if (!g->shake_us[i])
			continue;
		snprintf(bound, sizeof(bound), "%u", 1U << (i + 6));
		json_object_set_new(times, bound, json_integer((json_int_t)g->shake_us[i]));
	}
	return times;
}

static json_t *tls_json(const struct tls_sum *t)
{
	return json_pack("{s:I,s:I,s:I,s:o,s:o,s:{s:I,s:I,s:I,s:I}}",
			 "handshakes_full", (json_int_t)t->greetings.full,
			 "handshakes_resumed", (json_int_t)t->greetings.resumed,
			 "in_progress", (json_int_t)t->greetings.in_progress,
			 "failed", failed_json(&t->greetings),
			 "time_us", times_json(&t->greetings),
			 "memory", "in_use_bytes", (json_int_t)t->memory.in_use_bytes,
			 "held_bytes", (json_int_t)t->memory.held_bytes,
			 "reserved_bytes", (json_int_t)t->memory.reserved_bytes,
			 "fallbacks", (json_int_t)t->memory.fallbacks);
}

/* ---- all of it ---- */

static json_t *shard_json(const struct data_shard *ds)
{
	const struct shard_report *r = &ds->report;
	struct tls_sum tls = {.greetings = r->greetings, .memory = r->tls_memory};

	return json_pack("{s:i,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}",
			 "shard", (int)ds->shard.index, "cpu", ds->cpu,
			 "connections", (json_int_t)r->connections,
			 "exchanges", (json_int_t)r->exchanges,
			 "upstream_busy", (json_int_t)(r->upstreams - r->upstreams_idle),
			 "upstream_idle", (json_int_t)r->upstreams_idle,
			 "buffers_lent", (json_int_t)r->blocks_in_use,
			 "requests", (json_int_t)r->stats.requests,
			 "accepted", (json_int_t)r->stats.accepted,
			 "refused_full", (json_int_t)r->stats.refused_full,
			 "reclaimed", (json_int_t)r->stats.reclaimed,
			 "exhausted", (json_int_t)r->exhausted,
			 "turns", (json_int_t)r->turns,
			 "starved", (json_int_t)r->starved,
			 "overflows", (json_int_t)r->overflows, "tls", tls_json(&tls));
}

static json_t *log_json(const struct instance *in)
{
	struct access_log_stats stats = {0};

	if (in->access_log)
		access_log_stats(in->access_log, &stats);
	return json_pack("{s:I,s:I,s:I}", "written", (json_int_t)stats.written, "dropped",
			 (json_int_t)stats.dropped, "write_errors", (json_int_t)stats.write_errors);
}

static char *status_text(const struct instance *in)
{
	const struct config *config = in->snapshot->config;
	json_t *shards = json_array();
	struct tls_sum tls = {0};
	json_t *all;
	char *text;

	for (unsigned i = 0; i < in->shards_len; i++) {
		json_array_append_new(shards, shard_json(&in->shards[i]));
		add_tls(&tls, &in->shards[i].report);
	}
	all = json_pack("{s:s,s:i,s:s,s:s,s:I,s:I,s:s,s:I,s:I,s:I,s:o,s:o,s:o}",
			"version", RINGWAY_VERSION, "pid", (int)getpid(),
			"instance", config->instance, "config", config->path ? config->path : "",
			"generation", (json_int_t)in->snapshot->generation,
			"uptime_s", (json_int_t)((clock_unix_us() - in->began_unix_us) / 1000000),
			"state", in->draining ? "draining" : "running",
			"connections", (json_int_t)atomic_load(&((struct instance *)(uintptr_t)in)
									->shared.gate.inside),
			"max_connections", (json_int_t)config->max_connections,
			"sockets_max", (json_int_t)in->capacity.sockets,
			"tls", tls_json(&tls), "shards", shards, "log", log_json(in));
	text = json_dumps(all, JSON_COMPACT);
	json_decref(all);
	return text;
}

void status_answer_all(struct instance *in)
{
	struct http_field type = {.name = SPAN("Content-Type"), .value = SPAN("application/json")};
	struct list *link;
	char *text = status_text(in);

	while ((link = list_pop_front(&in->status_waiters))) {
		struct exchange *x = list_entry(link, struct waiter, link)->x;

		x->source_data = NULL;
		if (text && strlen(text) <= BLOCK_DATA_BYTES)
			exchange_answer(x, 200, &type, 1, span_str(text));
		else
			exchange_fail(x, 500, "the status is too long", ACCESS_OUT_OF_MEMORY);
	}
	free(text);
}

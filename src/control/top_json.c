#include "top_json.h"

/* Up to there all numbers with four decimals fit. */
#define ROUNDED_UP_TO 1e12

/* What is not known is null. Rounded: more digits would only look exact. */
static json_t *number(double n)
{
	if (n < 0)
		return json_null();
	return json_real(n < ROUNDED_UP_TO ? (double)(int64_t)(n * 1e4 + 0.5) / 1e4 : n);
}

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)(n & INT64_MAX));
}

/* Texts of another process: JSON takes UTF-8 only. */
static json_t *text(const char *s, const char *instead)
{
	json_t *json = json_string(s);

	return json ? json : json_string(instead);
}

static json_t *name_text(const char *s)
{
	struct metrics_name name = {.service = ""};
	char readable[TOP_NAME_BYTES];
	size_t len = strnlen(s, sizeof(name.name) - 1);

	memcpy(name.name, s, len);
	top_name(readable, &name, ' ');
	return text(s, readable);
}

static void set_answers(json_t *o, const struct top_answers *a)
{
	json_t *shares = json_object();

	json_object_set_new(o, "requests", count(a->requests));
	json_object_set_new(o, "requests_per_s", number(a->per_s));
	json_object_set_new(o, "p50_us", number(a->p50_us));
	json_object_set_new(o, "p99_us", number(a->p99_us));
	for (unsigned s = 0; s < METRICS_STATUSES; s++)
		json_object_set_new(shares, metrics_status_texts[s], number(a->share[s]));
	json_object_set_new(o, "share", shares);
	json_object_set_new(o, "in_bytes_per_s", number(a->in_per_s));
	json_object_set_new(o, "out_bytes_per_s", number(a->out_per_s));
}

static json_t *total(const struct top_figures *f)
{
	json_t *o = json_object();

	set_answers(o, &f->all);
	json_object_set_new(o, "errors_per_s", number(f->errors_per_s));
	json_object_set_new(o, "requests_now", count(f->requests_now));
	json_object_set_new(o, "connections", count(f->connections));
	json_object_set_new(o, "connections_max", count(f->connections_max));
	json_object_set_new(o, "connections_refused", count(f->refused_full));
	json_object_set_new(o, "upstream_connections", count(f->upstreams));
	json_object_set_new(o, "upstream_connections_idle", count(f->upstreams_idle));
	json_object_set_new(o, "limit_keys", count(f->keys_in_use));
	json_object_set_new(o, "limit_keys_max", count(f->keys_max));
	json_object_set_new(o, "limit_leases", count(f->keys_leased));
	json_object_set_new(o, "limit_tokens_leased", count(f->tokens_leased));
	json_object_set_new(o, "limit_tokens_over_admitted", count(f->over_admitted));
	json_object_set_new(o, "log_lines_dropped", count(f->log_dropped));
	json_object_set_new(o, "receives_starved", count(f->starved));
	json_object_set_new(o, "ring_overflows", count(f->overflows));
	json_object_set_new(o, "descriptors_exhausted", count(f->exhausted));
	return o;
}

static json_t *shards(const struct top_figures *f)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < f->shards_len; i++) {
		const struct top_shard_figures *s = &f->shards[i];
		json_t *o = json_object();

		json_object_set_new(o, "shard", count(i));
		json_object_set_new(o, "cpu", json_integer(s->cpu));
		json_object_set_new(o, "cpu_share", number(s->cpu_share));
		json_object_set_new(o, "busy_share", number(s->busy_share));
		json_object_set_new(o, "requests", count(s->requests));
		json_object_set_new(o, "requests_per_s", number(s->per_s));
		json_object_set_new(o, "requests_total", count(s->requests_total));
		json_object_set_new(o, "p50_us", number(s->p50_us));
		json_object_set_new(o, "p99_us", number(s->p99_us));
		json_object_set_new(o, "connections", count(s->connections));
		json_object_set_new(o, "accepts_per_s", number(s->accepts_per_s));
		json_object_set_new(o, "ring_depth", count(s->in_flight));
		json_object_set_new(o, "completions_per_turn", number(s->completions_per_turn));
		json_object_set_new(o, "limits_admitted_per_s", number(s->admitted_per_s));
		json_object_set_new(o, "limits_refused_per_s", number(s->refused_per_s));
		json_object_set_new(o, "lease_lag_us", number(s->lease_lag_us));
		json_array_append_new(all, o);
	}
	return all;
}

static json_t *routes(const struct top_figures *f)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < f->route_order_len; i++) {
		uint32_t at = f->route_order[i];
		json_t *o = json_object();

		if (at == METRICS_NO_ROUTE) {
			json_object_set_new(o, "service", json_null());
			json_object_set_new(o, "route", json_null());
		} else {
			json_object_set_new(o, "service", name_text(f->route_names[at].service));
			json_object_set_new(o, "route", name_text(f->route_names[at].name));
		}
		set_answers(o, &f->routes[at]);
		json_array_append_new(all, o);
	}
	return all;
}

static json_t *upstreams(const struct top_figures *f)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < f->endpoint_order_len; i++) {
		uint32_t at = f->endpoint_order[i];
		const struct top_endpoint_figures *e = &f->endpoints[at];
		json_t *o = json_object();

		json_object_set_new(o, "service", name_text(f->endpoint_names[at].service));
		json_object_set_new(o, "url", name_text(f->endpoint_names[at].name));
		json_object_set_new(o, "attempts", count(e->attempts));
		json_object_set_new(o, "attempts_per_s", number(e->per_s));
		json_object_set_new(o, "attempts_now", count(e->attempts_now));
		json_object_set_new(o, "connects_per_s", number(e->connects_per_s));
		json_object_set_new(o, "reused_share", number(e->reused_share));
		json_object_set_new(o, "failed_per_s", number(e->failed_per_s));
		json_object_set_new(o, "answers_5xx_per_s", number(e->answers_5xx_per_s));
		json_object_set_new(o, "first_byte_us", number(e->first_byte_us));
		json_array_append_new(all, o);
	}
	return all;
}

static json_t *limits(const struct top_figures *f)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < f->limit_order_len; i++) {
		uint32_t at = f->limit_order[i];
		const struct top_limit_figures *l = &f->limits[at];
		json_t *o = json_object();

		json_object_set_new(o, "limit", name_text(f->limit_names[at].name));
		json_object_set_new(o, "decisions", count(l->decisions));
		json_object_set_new(o, "admitted_per_s", number(l->admitted_per_s));
		json_object_set_new(o, "refused_per_s", number(l->refused_per_s));
		json_object_set_new(o, "refused_share", number(l->refused_share));
		json_object_set_new(o, "no_room_per_s", number(l->no_room_per_s));
		json_object_set_new(o, "shared_slot_share", number(l->coarse_share));
		json_array_append_new(all, o);
	}
	return all;
}

static json_t *notes(const struct top_notes *n)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < n->len; i++)
		json_array_append_new(all, json_string(n->texts[i]));
	return all;
}

json_t *top_json(const struct top_figures *f, const struct top_notes *n)
{
	json_t *o = json_object();

	if (!o)
		return NULL;
	json_object_set_new(o, "instance", name_text(f->instance));
	json_object_set_new(o, "version", name_text(f->version));
	json_object_set_new(o, "pid", count(f->pid));
	json_object_set_new(o, "state", json_string(f->draining ? "draining" : "running"));
	json_object_set_new(o, "uptime_s", number(f->uptime_s));
	json_object_set_new(o, "generation", count(f->generation));
	json_object_set_new(o, "interval_s", number(f->seconds));
	json_object_set_new(o, "requests_max_over_mean", number(n->max_over_mean));
	json_object_set_new(o, "notes", notes(n));
	json_object_set_new(o, "total", total(f));
	json_object_set_new(o, "shards", shards(f));
	json_object_set_new(o, "routes", routes(f));
	json_object_set_new(o, "upstreams", upstreams(f));
	json_object_set_new(o, "limits", limits(f));
	return o;
}

/* Limits and keys as JSON, for who looks on. */
#include "live_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/base/clock.h>
#include <ringway/observe/metrics.h>
#include <ringway/policy/limit_key.h>

#include "admin_call.h"
#include "instance.h"

/* ---- hot keys ---- */

struct hot_keys {
	unsigned len;
	struct limit_hot at[LIMITER_HOT_MAX];
};

static struct hot_keys *hot_keys_read(const struct limiter *l)
{
	struct hot_keys *hot = malloc(sizeof(*hot));
	uint64_t now_ns = clock_monotonic_ns();

	must(hot);
	hot->len = 0;
	for (unsigned i = 0; i < LIMITER_HOT_MAX; i++)
		hot->len += limiter_hot(l, i, now_ns, &hot->at[hot->len]);
	return hot;
}

static json_t *hot_json(const struct hot_keys *hot, const struct config_limit *limit,
			const struct limit_side *rate)
{
	json_t *list = json_array();
	char text[KEY_TEXT_BYTES];

	for (unsigned i = 0; i < hot->len && rate->is_known; i++) {
		const struct limit_hot *h = &hot->at[i];
		size_t len;

		if (h->limit != rate->number)
			continue;
		len = limit_key_text(limit, span_of(h->key, h->key_len), text, sizeof(text));
		json_array_append_new(list,
				      json_pack("{s:o,s:i,s:I,s:I}", "key",
						json_words(span_of(text, len)), "shards",
						(int)h->shards, "may_hold", (json_int_t)h->may_hold,
						"remaining", (json_int_t)h->remaining));
	}
	return list;
}

/* ---- limits ---- */

static void put_terms(json_t *to, const struct limit_sides *s)
{
	char rate[LIMIT_TERMS_TEXT_BYTES];

	if (s->rate.is_there) {
		limit_rate_text(&s->rate.terms, rate);
		json_object_set_new(to, "rate", json_string(rate));
		json_object_set_new(to, "requests", json_integer((json_int_t)s->rate.terms.tokens));
		json_object_set_new(to, "seconds",
				    json_real((double)s->rate.terms.period_ns / (double)NS_PER_S));
		if (s->rate.terms.algorithm == LIMIT_TOKEN_BUCKET)
			json_object_set_new(to, "burst",
					    json_integer((json_int_t)s->rate.terms.burst));
	}
	if (s->cap.is_there)
		json_object_set_new(to, "concurrency",
				    json_integer((json_int_t)s->cap.terms.burst));
}

json_t *limit_terms_json(const struct limit_sides *s)
{
	json_t *json = json_object();

	put_terms(json, s);
	return json;
}

/* What all shards have decided; those without room for a counter of their own have none. */
static void put_counts(json_t *to, const struct metrics *metrics, const char *name)
{
	uint64_t admitted = 0, refused = 0;
	struct metrics_view v;
	struct metrics_name n;

	metrics_view(metrics, &v);
	for (uint32_t i = METRICS_OVERFLOW + 1; i < metrics_limits_len(&v); i++) {
		metrics_name_of(v.limits, i, &n);
		if (strcmp(n.name, name) != 0)
			continue;
		for (unsigned shard = 0; shard < v.size.shards; shard++) {
			const struct metrics_limit *m = metrics_limit_of(&v, shard, i);

			admitted += counter_get(&m->admitted);
			refused += counter_get(&m->refused) + counter_get(&m->no_room);
		}
		json_object_set_new(to, "admitted", json_integer((json_int_t)admitted));
		json_object_set_new(to, "refused", json_integer((json_int_t)refused));
	}
}

static json_t *limit_json(const struct instance *in, const struct config_limit *limit,
			  const struct hot_keys *hot)
{
	static const char *const algorithms[] = {
		[CONFIG_LIMIT_TOKEN_BUCKET] = "token_bucket",
		[CONFIG_LIMIT_SLIDING_WINDOW] = "sliding_window",
		[CONFIG_LIMIT_FIXED_WINDOW] = "fixed_window",
	};
	const struct limiter *l = in->limiter;
	struct limit_sides now = limit_sides_in_force(l, limit);
	struct limit_sides file = limit_sides_of_file(l, limit);
	json_t *json = json_object();

	json_object_set_new(json, "name", json_string(limit->name));
	json_object_set_new(json, "key", json_string(limit->shown_key));
	json_object_set_new(
		json, "algorithm",
		json_string(now.rate.is_there ? algorithms[limit->algorithm] : "concurrency"));
	put_terms(json, &now);
	json_object_set_new(json, "cost", json_integer(limit->cost));
	json_object_set_new(json, "used", json_boolean(now.rate.is_known || now.cap.is_known));
	put_counts(json, in->metrics, limit->name);
	json_object_set_new(json, "changed", json_boolean(!limit_sides_eq(&now, &file)));
	json_object_set_new(json, "file", limit_terms_json(&file));
	json_object_set_new(json, "hot", hot_json(hot, limit, &now.rate));
	return json;
}

json_t *limit_show_json(const struct instance *in, const struct config_limit *limit)
{
	struct hot_keys *hot = hot_keys_read(in->limiter);
	json_t *json = limit_json(in, limit, hot);

	free(hot);
	return json;
}

json_t *limits_list_json(const struct instance *in)
{
	const struct config *config = in->snapshot->config;
	struct hot_keys *hot = hot_keys_read(in->limiter);
	json_t *limits = json_array();

	for (size_t i = 0; i < config->limits_len; i++)
		json_array_append_new(limits, limit_json(in, &config->limits[i], hot));
	free(hot);
	return json_pack("{s:o}", "limits", limits);
}

/* ---- keys ---- */

static json_t *rate_state(const struct limiter *l, const struct limit_side *rate, struct span key)
{
	uint64_t fingerprint = limiter_fingerprint(l, rate->number, key.ptr, key.len);
	struct limit_view view = {0};
	bool is_known = limiter_look(l, rate->number, fingerprint, clock_monotonic_ns(), &view);

	if (!is_known)
		view.remaining = rate->terms.algorithm == LIMIT_TOKEN_BUCKET ? rate->terms.burst
									     : rate->terms.tokens;
	return json_pack("{s:b,s:I,s:f,s:b}", "fresh", !is_known, "remaining",
			 (json_int_t)view.remaining, "reset_s",
			 (double)view.reset_ns / (double)NS_PER_S, "hot", view.hot);
}

static json_t *cap_state(const struct limiter *l, const struct limit_side *cap, struct span key)
{
	uint64_t fingerprint = limiter_fingerprint(l, cap->number, key.ptr, key.len);
	struct limit_view view = {0};
	uint64_t most = cap->terms.burst, free_places = most;

	if (limiter_look(l, cap->number, fingerprint, clock_monotonic_ns(), &view))
		free_places = min_u64(view.remaining, most);
	return json_integer((json_int_t)(most - free_places));
}

json_t *limit_key_json(const struct instance *in, const struct config_limit *limit, struct span key)
{
	const struct limiter *l = in->limiter;
	struct limit_sides s = limit_sides_in_force(l, limit);
	json_t *json = s.rate.is_known ? rate_state(l, &s.rate, key) : json_object();
	char text[KEY_TEXT_BYTES];
	size_t len = limit_key_text(limit, key, text, sizeof(text));

	json_object_set_new(json, "key", json_words(span_of(text, len)));
	if (s.cap.is_known)
		json_object_set_new(json, "in_progress", cap_state(l, &s.cap, key));
	return json;
}

void limit_key_example(const struct config_limit *limit, char out[static KEY_TEXT_BYTES])
{
	size_t len = 0;

	for (size_t i = 0; i < limit->keys_len && len < KEY_TEXT_BYTES; i++) {
		const struct config_limit_key *k = &limit->keys[i];
		const char *gap = i ? "," : "", *name = "", *value = "";

		switch (k->part) {
		case CONFIG_LIMIT_IP: value = "ip=192.0.2.1"; break;
		case CONFIG_LIMIT_HEADER:
			value = "=VALUE";
			name = k->header;
			break;
		case CONFIG_LIMIT_ROUTE: value = "route=SERVICE/ROUTE"; break;
		case CONFIG_LIMIT_SERVICE: value = "service=SERVICE"; break;
		case CONFIG_LIMIT_GLOBAL: value = "global"; break;
		}
		len += (size_t)snprintf(out + len, KEY_TEXT_BYTES - len, "%s%s%s%s", gap,
					*name ? "header:" : "", name, value);
	}
}

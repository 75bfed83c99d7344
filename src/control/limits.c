/* Paths at and below /limits on the admin socket.
 *
 *   GET    /limits                    all of them
 *   GET    /limits/NAME[?key=KEY]     one, and how one key stands
 *   POST   /limits/NAME               other terms: a form or JSON of rate, burst, concurrency
 *   DELETE /limits/NAME?key=KEY       a key is as fresh again; POST /limits/NAME/reset?key=KEY
 *   DELETE /limits?key=KEY            of the one limit that has keys like it
 *
 * Names may hold slashes.
 */
#include "live_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/base/clock.h>
#include <ringway/config/suggest.h>
#include <ringway/policy/limit_key.h>

#include "admin_call.h"
#include "instance.h"

/* ---- keys ---- */

/* The key of the query; ptr NULL: there is none. False: it was answered. */
static bool read_query(struct admin_call *c, struct span *ret_key)
{
	struct span rest = c->x->request.query;
	struct form_pair pair;

	*ret_key = SPAN_NONE;
	while (admin_call_next_pair(c, &rest, &pair)) {
		if (!span_eq(pair.name, SPAN("key")))
			admin_call_problem(c, 400, "`%.*s`: a query has only `key=`",
					   SPAN_FMT(pair.name));
		else if (ret_key->ptr)
			admin_call_problem(c, 400, "`key=` stands twice");
		else if (!pair.value.len)
			admin_call_problem(c, 400,
					   "`key=` has no value, or one with a broken escape");
		else
			*ret_key = pair.value;
		if (c->status)
			return false;
	}
	return true;
}

/* False: it was answered. */
static bool read_key(struct admin_call *c, const struct config_limit *limit, struct span text,
		     struct limit_key *ret_key)
{
	char example[KEY_TEXT_BYTES];

	if (limit_key_from_text(limit, text, &c->x->arena, ret_key))
		return true;
	limit_key_example(limit, example);
	admin_call_problem(c, 422, "`%.*s` is no key of the limit `%s`; one is written like `%s`",
			   SPAN_FMT(text), limit->name, example);
	return false;
}

static void show(struct admin_call *c, const struct config_limit *limit, struct span key_text)
{
	struct limit_key key;
	json_t *json;

	if (key_text.ptr && !read_key(c, limit, key_text, &key))
		return;
	json = limit_show_json(admin_call_instance(c), limit);
	if (key_text.ptr)
		json_object_set_new(json, "state",
				    limit_key_json(admin_call_instance(c), limit, key.bytes));
	admin_call_answer(c, 200, json);
}

/* ---- reset ---- */

static void reset(struct admin_call *c, const struct config_limit *limit, struct span key_text)
{
	struct limit_sides s = limit_sides_in_force(admin_call_instance(c)->limiter, limit);
	struct limit_key key;
	json_t *was;

	if (!key_text.ptr) {
		admin_call_problem(c, 400, "which key? Write it behind `?key=`");
		return;
	}
	if (!read_key(c, limit, key_text, &key))
		return;
	if (!s.rate.is_known) {
		admin_call_problem(c, 409, "the limit `%s` %s: there is nothing to reset",
				   limit->name, s.rate.is_there ? "is on no route" : "has no rate");
		return;
	}
	was = limit_key_json(admin_call_instance(c), limit, key.bytes);
	limiter_reset(admin_call_instance(c)->limiter, s.rate.number,
		      limiter_fingerprint(admin_call_instance(c)->limiter, s.rate.number,
					  key.bytes.ptr, key.bytes.len),
		      clock_monotonic_ns());
	admin_call_answer(c, 200,
			  json_pack("{s:s,s:o,s:o}", "name", limit->name, "was", was, "state",
				    limit_key_json(admin_call_instance(c), limit, key.bytes)));
}

/* Said in full, or an address: any word is a header's value. */
static bool is_like(struct admin_call *c, const struct config_limit *limit, struct span key_text)
{
	char text[KEY_TEXT_BYTES];
	struct limit_key key;

	if (!limit_key_from_text(limit, key_text, &c->x->arena, &key))
		return false;
	return limit->keys[0].part == CONFIG_LIMIT_IP ||
	       span_eq(key_text,
		       span_of(text, limit_key_text(limit, key.bytes, text, sizeof(text))));
}

/* Of whichever limit the key is. */
static void reset_anywhere(struct admin_call *c, struct span key_text)
{
	const struct config *config = admin_call_instance(c)->snapshot->config;
	const struct config_limit *found = NULL;
	char *names = NULL;
	size_t len = 0, many = 0;
	FILE *out;

	if (!key_text.ptr) {
		admin_call_problem(c, 400, "which key? Write it behind `?key=`");
		return;
	}
	out = open_memstream(&names, &len);
	must(out);
	for (size_t i = 0; i < config->limits_len; i++) {
		const struct config_limit *limit = &config->limits[i];

		if (!limit_sides_in_force(admin_call_instance(c)->limiter, limit).rate.is_known ||
		    !is_like(c, limit, key_text))
			continue;
		fprintf(out, "%s`%s`", many++ ? ", " : "", limit->name);
		found = limit;
	}
	fclose(out);
	if (many == 1)
		reset(c, found, key_text);
	else if (many)
		admin_call_problem(c, 409, "`%.*s` is a key of more than one limit: name one of %s",
				   SPAN_FMT(key_text), names);
	else
		admin_call_problem(c, 422,
				   "no limit counts by `%.*s`; GET /limits says by what they count",
				   SPAN_FMT(key_text));
	free(names);
}

/* ---- paths ---- */

static const struct config_limit *find(const struct admin_call *c, struct span name)
{
	const struct config *config = admin_call_instance(c)->snapshot->config;

	for (size_t i = 0; i < config->limits_len; i++)
		if (span_eq(name, span_str(config->limits[i].name)))
			return &config->limits[i];
	return NULL;
}

static void not_found(struct admin_call *c, struct span name)
{
	const struct config *config = admin_call_instance(c)->snapshot->config;
	struct suggestion near;

	suggestion_init(&near, name);
	for (size_t i = 0; i < config->limits_len; i++)
		suggestion_try(&near, config->limits[i].name);
	if (near.best)
		admin_call_problem(c, 404, "there is no limit `%.*s`; did you mean `%s`?",
				   SPAN_FMT(name), near.best);
	else
		admin_call_problem(c, 404, "there is no limit `%.*s`", SPAN_FMT(name));
}

static void decide_one(struct admin_call *c, struct span name, struct span key)
{
	const struct config_limit *limit = find(c, name);
	bool is_reset = false;

	if (!limit && span_ends_with(name, SPAN("/reset"))) {
		name.len -= strlen("/reset");
		limit = find(c, name);
		is_reset = true;
	}
	if (!limit) {
		not_found(c, name);
		return;
	}
	switch (c->x->request.method) {
	case HTTP_METHOD_GET:
	case HTTP_METHOD_HEAD:
		if (is_reset)
			admin_call_wrong_method(c, "POST");
		else
			show(c, limit, key);
		break;
	case HTTP_METHOD_POST:
		if (is_reset)
			reset(c, limit, key);
		else
			limit_set_by(c, limit);
		break;
	case HTTP_METHOD_DELETE: reset(c, limit, key); break;
	default: admin_call_wrong_method(c, "GET, HEAD, POST, DELETE");
	}
}

/* The config thread adds limits during a reload, which only one thread at a time may. */
static bool has_to_wait(struct admin_call *c)
{
	struct instance *in = admin_call_instance(c);

	if (!in->reload || c->x->request.method != HTTP_METHOD_POST)
		return false;
	admin_call_wait(c, &in->limits_waiters);
	return true;
}

static void decide(struct admin_call *c)
{
	struct span path = c->x->request.path, key;
	struct span name = span_of(path.ptr + strlen("/limits"), path.len - strlen("/limits"));

	if (has_to_wait(c) || !read_query(c, &key))
		return;
	if (name.len)
		name = span_of(name.ptr + 1, name.len - 1);
	if (name.len) {
		name = admin_call_decode(c, name);
		if (name.ptr)
			decide_one(c, name, key);
		else
			admin_call_problem(c, 400, "the path has a broken escape");
		return;
	}
	switch (c->x->request.method) {
	case HTTP_METHOD_GET:
	case HTTP_METHOD_HEAD:
		admin_call_answer(c, 200, limits_list_json(admin_call_instance(c)));
		break;
	case HTTP_METHOD_DELETE: reset_anywhere(c, key); break;
	default: admin_call_wrong_method(c, "GET, HEAD, DELETE");
	}
}

bool limits_has_path(struct span path)
{
	return span_eq(path, SPAN("/limits")) || span_starts_with(path, SPAN("/limits/"));
}

void limits_begin(struct exchange *x)
{
	admin_call_begin(x, decide);
}

void limits_resume(struct instance *in)
{
	admin_calls_resume(&in->limits_waiters);
}

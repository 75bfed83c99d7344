/* Other terms of a limit, as a form or JSON asks for them. */
#include "live_limits.h"

#include <inttypes.h>
#include <string.h>

#include <ringway/base/clock.h>
#include <ringway/config/rate.h>
#include <ringway/observe/event.h>

#include "admin_call.h"
#include "instance.h"

/* What is asked for, as text; ptr NULL: not given. */
struct wish {
	struct span rate, burst, concurrency;
};

static bool put_wish(struct admin_call *c, struct wish *w, struct span name, struct span value)
{
	struct span *to = NULL;

	if (span_eq(name, SPAN("rate")))
		to = &w->rate;
	else if (span_eq(name, SPAN("burst")))
		to = &w->burst;
	else if (span_eq(name, SPAN("concurrency")))
		to = &w->concurrency;
	if (!to)
		admin_call_problem(c, 400,
				   "`%.*s` is unknown: there are rate, burst and concurrency",
				   SPAN_FMT(name));
	else if (to->ptr)
		admin_call_problem(c, 400, "`%.*s` stands twice", SPAN_FMT(name));
	else if (!value.len)
		admin_call_problem(c, 400, "`%.*s` has no value", SPAN_FMT(name));
	else
		*to = value;
	return !c->status;
}

static bool read_form(struct admin_call *c, struct wish *w)
{
	struct span rest = span_trim(span_of(c->body, c->body_len));
	struct form_pair pair;

	while (admin_call_next_pair(c, &rest, &pair))
		if (!put_wish(c, w, pair.name, pair.value))
			return false;
	return true;
}

static bool read_json(struct admin_call *c, struct wish *w)
{
	json_error_t error;
	json_t *json = json_loadb(c->body, c->body_len, JSON_REJECT_DUPLICATES, &error), *value;
	const char *key;

	if (!json) {
		admin_call_problem(c, 400, "the body is no JSON: %s", error.text);
		return false;
	}
	json_object_foreach(json, key, value)
	{
		struct span text = SPAN("");

		if (json_is_string(value))
			text = arena_span(&c->x->arena, span_of(json_string_value(value),
								json_string_length(value)));
		else if (json_is_integer(value))
			text = arena_printf(&c->x->arena, "%" JSON_INTEGER_FORMAT,
					    json_integer_value(value));
		else if (json_is_real(value))
			/* As it was written, 0.1 rather than 0.10000000000000001. */
			text = arena_printf(&c->x->arena, "%.15g", json_real_value(value));
		if (!put_wish(c, w, span_str(key), text))
			break;
	}
	json_decref(json);
	return !c->status;
}

/* A number alone is requests per second, as `requests_per_second` takes them. */
static bool set_rate(struct admin_call *c, struct span text, struct limit_terms *terms)
{
	bool has_time = memchr(text.ptr, '/', text.len) != NULL;
	uint64_t tokens, period_ns;
	const char *wrong = has_time ? config_rate(text, &tokens, &period_ns)
				     : config_requests_per_second(text, &tokens, &period_ns);

	if (wrong) {
		admin_call_problem(c, 422, "rate: `%.*s` %s", SPAN_FMT(text), wrong);
		return false;
	}
	if (terms->algorithm == LIMIT_TOKEN_BUCKET)
		config_rate_fit_bucket(&tokens, &period_ns);
	if (tokens > LIMIT_TOKENS_MAX) {
		admin_call_problem(c, 422, "rate: `%.*s`: a window has at most %d requests",
				   SPAN_FMT(text), LIMIT_TOKENS_MAX);
		return false;
	}
	terms->tokens = tokens;
	terms->period_ns = period_ns;
	return true;
}

static bool set_number(struct admin_call *c, const char *name, struct span text, uint64_t *number)
{
	uint64_t value;

	if (!span_to_u64(text, &value) || !value || value > LIMIT_TOKENS_MAX) {
		admin_call_problem(c, 422, "%s: `%.*s` is no number from 1 to %d", name,
				   SPAN_FMT(text), LIMIT_TOKENS_MAX);
		return false;
	}
	*number = value;
	return true;
}

static bool wish_fits(struct admin_call *c, const struct config_limit *limit, const struct wish *w,
		      const struct limit_sides *now)
{
	bool is_window = now->rate.is_there && now->rate.terms.algorithm != LIMIT_TOKEN_BUCKET;

	if (!w->rate.ptr && !w->burst.ptr && !w->concurrency.ptr)
		admin_call_problem(c, 400, "nothing to set: there are rate, burst and concurrency");
	else if (!now->rate.is_known && !now->cap.is_known)
		admin_call_problem(c, 409, "the limit `%s` is on no route: there is nothing to set",
				   limit->name);
	else if ((w->rate.ptr || w->burst.ptr) && !now->rate.is_there)
		admin_call_problem(c, 422,
				   "the limit `%s` has no rate, only `concurrency`; the file gives "
				   "it one",
				   limit->name);
	else if (w->concurrency.ptr && !now->cap.is_there)
		admin_call_problem(
			c, 422, "the limit `%s` has no cap on concurrency; the file gives it one",
			limit->name);
	else if (w->burst.ptr && is_window)
		admin_call_problem(c, 422,
				   "the limit `%s` counts in windows, which have no burst: all of "
				   "`rate` may come at once",
				   limit->name);
	return !c->status;
}

static bool set_terms(struct admin_call *c, const struct config_limit *limit, const struct wish *w,
		      struct limit_sides *s)
{
	struct limit_terms *t = &s->rate.terms;
	uint64_t most;

	if (w->rate.ptr && !set_rate(c, w->rate, t))
		return false;
	if (w->burst.ptr && !set_number(c, "burst", w->burst, &t->burst))
		return false;
	if (w->concurrency.ptr &&
	    !set_number(c, "concurrency", w->concurrency, &s->cap.terms.burst))
		return false;
	s->cap.terms.tokens = s->cap.terms.burst;
	most = t->algorithm == LIMIT_TOKEN_BUCKET ? t->burst : t->tokens;
	if (s->rate.is_there && limit->cost > most) {
		admin_call_problem(
			c, 422, "no request could pass: each costs %u, and %s would be %" PRIu64,
			limit->cost, t->algorithm == LIMIT_TOKEN_BUCKET ? "burst" : "the window",
			most);
		return false;
	}
	return true;
}

void limit_set_by(struct admin_call *c, const struct config_limit *limit)
{
	struct span body = span_trim(span_of(c->body, c->body_len));
	char was_text[LIMIT_TERMS_TEXT_BYTES], is_text[LIMIT_TERMS_TEXT_BYTES];
	struct limit_sides was = limit_sides_in_force(admin_call_instance(c)->limiter, limit),
			   is = was;
	uint64_t now_ns = clock_monotonic_ns();
	struct wish w = {0};
	json_t *json;

	if (body.len && *body.ptr == '{' ? !read_json(c, &w) : !read_form(c, &w))
		return;
	if (!wish_fits(c, limit, &w, &was) || !set_terms(c, limit, &w, &is))
		return;
	if ((w.rate.ptr || w.burst.ptr))
		limiter_set(admin_call_instance(c)->limiter, is.rate.number, &is.rate.terms,
			    now_ns);
	if (w.concurrency.ptr)
		limiter_set(admin_call_instance(c)->limiter, is.cap.number, &is.cap.terms, now_ns);
	limit_sides_text(&was, was_text);
	limit_sides_text(&is, is_text);
	event_info("limits: `%s` was set from %s to %s; a reload undoes it", limit->name, was_text,
		   is_text);
	json = limit_show_json(admin_call_instance(c), limit);
	json_object_set_new(json, "was", limit_terms_json(&was));
	admin_call_answer(c, 200, json);
}

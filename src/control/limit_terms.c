#include "live_limits.h"

#include <stdio.h>
#include <string.h>

#include <ringway/base/clock.h>
#include <ringway/observe/event.h>
#include <ringway/policy/limit.h>

#include "instance.h"

struct limit_sides limit_sides_of_file(const struct limiter *l, const struct config_limit *limit)
{
	struct policy_limit_terms terms[2];
	struct limit_sides s = {0};
	unsigned n = policy_limit_terms(limit, terms);

	for (unsigned i = 0; i < n; i++) {
		bool is_cap = terms[i].terms.algorithm == LIMIT_CONCURRENCY;
		struct limit_side *side = is_cap ? &s.cap : &s.rate;

		side->is_there = true;
		side->terms = terms[i].terms;
		side->is_known = limiter_find(l, terms[i].name, &side->number) == 0;
	}
	return s;
}

struct limit_sides limit_sides_in_force(const struct limiter *l, const struct config_limit *limit)
{
	struct limit_sides s = limit_sides_of_file(l, limit);

	if (s.rate.is_known)
		limiter_terms(l, s.rate.number, &s.rate.terms);
	if (s.cap.is_known)
		limiter_terms(l, s.cap.number, &s.cap.terms);
	return s;
}

static bool side_eq(const struct limit_side *a, const struct limit_side *b)
{
	const struct limit_terms *x = &a->terms, *y = &b->terms;
	bool same_rate = x->tokens == y->tokens && x->period_ns == y->period_ns;

	if (!a->is_there || !b->is_there)
		return a->is_there == b->is_there;
	if (x->algorithm != y->algorithm || x->on_full != y->on_full)
		return false;
	switch (x->algorithm) {
	case LIMIT_TOKEN_BUCKET: return same_rate && x->burst == y->burst;
	case LIMIT_FIXED_WINDOW:
	case LIMIT_SLIDING_WINDOW: return same_rate;
	case LIMIT_CONCURRENCY: return x->burst == y->burst;
	}
	return false;
}

bool limit_sides_eq(const struct limit_sides *a, const struct limit_sides *b)
{
	return side_eq(&a->rate, &b->rate) && side_eq(&a->cap, &b->cap);
}

/* ---- words ---- */

/* As the file would say it: all times of a second and more are whole seconds there, and
 * shorter ones come from more than a slot has room for. */
void limit_rate_text(const struct limit_terms *rate, char out[static LIMIT_TERMS_TEXT_BYTES])
{
	static const struct {
		unsigned seconds;
		char name;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	unsigned long long tokens = rate->tokens, seconds = rate->period_ns / NS_PER_S;

	if (!seconds) {
		tokens = (unsigned long long)((unsigned __int128)tokens * NS_PER_S /
					      rate->period_ns);
		seconds = 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		unsigned long long many = seconds / units[i].seconds;

		if (seconds % units[i].seconds)
			continue;
		if (many == 1)
			snprintf(out, LIMIT_TERMS_TEXT_BYTES, "%llu/%c", tokens, units[i].name);
		else
			snprintf(out, LIMIT_TERMS_TEXT_BYTES, "%llu/%llu%c", tokens, many,
				 units[i].name);
		return;
	}
}

void limit_sides_text(const struct limit_sides *s, char out[static LIMIT_TERMS_TEXT_BYTES])
{
	const char *gap = "";
	size_t len = 0;

	out[0] = '\0';
	if (s->rate.is_there) {
		limit_rate_text(&s->rate.terms, out);
		gap = ", ";
		len = strlen(out);
		if (s->rate.terms.algorithm == LIMIT_TOKEN_BUCKET)
			snprintf(out + len, LIMIT_TERMS_TEXT_BYTES - len, " burst %llu",
				 (unsigned long long)s->rate.terms.burst);
		len = strlen(out);
	}
	if (s->cap.is_there)
		snprintf(out + len, LIMIT_TERMS_TEXT_BYTES - len, "%s%llu at a time", gap,
			 (unsigned long long)s->cap.terms.burst);
}

/* ---- a new file ---- */

static const struct config_limit *find(const struct config *config, const char *name)
{
	for (size_t i = 0; config && i < config->limits_len; i++)
		if (strcmp(config->limits[i].name, name) == 0)
			return &config->limits[i];
	return NULL;
}

static void follow(struct limiter *l, const struct limit_side *now, const struct limit_side *file,
		   uint64_t now_ns)
{
	if (file->is_known && !side_eq(now, file))
		limiter_set(l, file->number, &file->terms, now_ns);
}

/* Terms that the file before did not say were set live. */
static bool was_set_live(const struct limiter *l, const struct config *was,
			 const struct config_limit *limit, const struct limit_sides *now)
{
	const struct config_limit *before = find(was, limit->name);
	struct limit_sides said;

	if (!before)
		return false;
	said = limit_sides_of_file(l, before);
	return (said.rate.is_there && now->rate.is_known && !side_eq(&said.rate, &now->rate)) ||
	       (said.cap.is_there && now->cap.is_known && !side_eq(&said.cap, &now->cap));
}

static void say_undone(json_t *undone, const struct config_limit *limit,
		       const struct limit_sides *now, const struct limit_sides *file)
{
	char live[LIMIT_TERMS_TEXT_BYTES], text[LIMIT_TERMS_TEXT_BYTES];

	limit_sides_text(now, live);
	limit_sides_text(file, text);
	event_warn("reload: the limit `%s` is %s again, as the file says; it was set to %s live",
		   limit->name, text, live);
	json_array_append_new(undone, json_sprintf("the limit `%s` is %s again, as the file says; "
						   "it was set to %s live",
						   limit->name, text, live));
}

json_t *limits_follow_file(struct instance *in, const struct config *was)
{
	const struct config *config = in->snapshot->config;
	struct limiter *l = in->limiter;
	uint64_t now_ns = clock_monotonic_ns();
	json_t *undone = json_array();

	for (size_t i = 0; l && i < config->limits_len; i++) {
		const struct config_limit *limit = &config->limits[i];
		struct limit_sides now = limit_sides_in_force(l, limit);
		struct limit_sides file = limit_sides_of_file(l, limit);

		if (limit_sides_eq(&now, &file))
			continue;
		if (was_set_live(l, was, limit, &now))
			say_undone(undone, limit, &now, &file);
		follow(l, &now.rate, &file.rate, now_ns);
		follow(l, &now.cap, &file.cap, now_ns);
	}
	return undone;
}

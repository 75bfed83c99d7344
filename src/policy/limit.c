/* The limits of a route: a request passes when each of them admits it, and is counted by
 * all or by none.
 *
 * They are asked in one fixed order, narrowest key first and global last (the
 * configuration sorts them): two requests that share limits meet them in the same order.
 * At the first refusal what the others have counted is given back, so that a refused
 * request costs nothing. Places of concurrency caps are given back when the request ends.
 */
#include <ringway/policy/policy.h>

#include <errno.h>
#include <stdio.h>

#include <ringway/observe/metrics.h>
#include <ringway/policy/limit.h>
#include <ringway/policy/limit_key.h>

#include "limit_fields.h"

#define NO_LIMIT UINT32_MAX

/* One limit as a route uses it. */
struct limit_use {
	const struct config_limit *config;
	uint32_t rate;        /* the limiter's numbers; NO_LIMIT: none */
	uint32_t concurrency;
	uint32_t metric;
	bool per_client;      /* its key says who asks, not only what for */
	struct span quoted;   /* the name as a string of RFC 9651 and of JSON, quotes around */
	struct limit_policy policy; /* of the rate */
};

struct limits_use {
	uint32_t len;
	uint32_t caps;   /* of them with a concurrency cap */
	bool has_fields; /* some, which have a rate, tell the client how it stands */
	struct limit_use at[];
};

struct limit_held {
	uint32_t limit;
	bool coarse;
	uint64_t fingerprint;
};

/* What one request took, so far. */
struct taken {
	uint64_t rate_fingerprint, cap_fingerprint;
	struct limit_verdict rate, cap;
};

/* ---- building ---- */

/* Both syntaxes have the same escapes; what neither can hold becomes a question mark. */
static struct span quote(struct arena *arena, const char *name)
{
	char *text = arena_text(arena, 2 * strlen(name) + 2), *at = text;

	if (!text)
		return SPAN_NONE;
	*at++ = '"';
	for (; *name; name++) {
		if (*name == '"' || *name == '\\')
			*at++ = '\\';
		*at++ = *name >= 0x20 && *name < 0x7f ? *name : '?';
	}
	*at++ = '"';
	return span_of(text, (size_t)(at - text));
}

static struct limit_terms rate_terms(const struct config_limit *c)
{
	static const enum limit_algorithm algorithms[] = {
		[CONFIG_LIMIT_TOKEN_BUCKET] = LIMIT_TOKEN_BUCKET,
		[CONFIG_LIMIT_SLIDING_WINDOW] = LIMIT_SLIDING_WINDOW,
		[CONFIG_LIMIT_FIXED_WINDOW] = LIMIT_FIXED_WINDOW,
	};
	static const enum limit_on_full on_full[] = {
		[CONFIG_LIMIT_COARSE] = LIMIT_FULL_COARSE,
		[CONFIG_LIMIT_OPEN] = LIMIT_FULL_OPEN,
		[CONFIG_LIMIT_CLOSED] = LIMIT_FULL_CLOSED,
	};

	return (struct limit_terms){.algorithm = algorithms[c->algorithm],
				    .on_full = on_full[c->on_full],
				    .tokens = c->tokens,
				    .period_ns = c->period_ns,
				    .burst = c->burst};
}

static struct limit_terms cap_terms(const struct config_limit *c)
{
	struct limit_terms terms = rate_terms(c);

	terms.algorithm = LIMIT_CONCURRENCY;
	terms.tokens = terms.burst = c->concurrency;
	terms.period_ns = NS_PER_S;
	return terms;
}

unsigned policy_limit_terms(const struct config_limit *c, struct policy_limit_terms ret_terms[2])
{
	unsigned n = 0;

	if (c->tokens) {
		snprintf(ret_terms[n].name, sizeof(ret_terms[n].name), "%s", c->name);
		ret_terms[n++].terms = rate_terms(c);
	}
	if (c->concurrency) {
		snprintf(ret_terms[n].name, sizeof(ret_terms[n].name),
			 POLICY_CONCURRENCY_PREFIX "%s", c->name);
		ret_terms[n++].terms = cap_terms(c);
	}
	return n;
}

static int build_use(const struct config_limit *c, struct limiter *limiter,
		     struct metrics *metrics, struct arena *arena, struct limit_use *use)
{
	struct policy_limit_terms terms[2];
	unsigned n = policy_limit_terms(c, terms);
	int err = 0;

	*use = (struct limit_use){.config = c, .rate = NO_LIMIT, .concurrency = NO_LIMIT};
	use->metric = metrics_limit(metrics, c->name);
	use->quoted = quote(arena, c->name);
	if (!use->quoted.ptr)
		return -ENOMEM;
	for (size_t i = 0; i < c->keys_len; i++)
		use->per_client |= c->keys[i].part == CONFIG_LIMIT_IP ||
				   c->keys[i].part == CONFIG_LIMIT_HEADER;
	if (c->tokens && !limit_policy_init(&use->policy, use->quoted, &terms[0].terms, arena))
		return -ENOMEM;
	for (unsigned i = 0; i < n && !err; i++)
		err = limiter_add(limiter, terms[i].name, &terms[i].terms,
				  terms[i].terms.algorithm == LIMIT_CONCURRENCY ? &use->concurrency
										: &use->rate);
	return err;
}

static enum policy_verdict limit_on_request(const struct policy *p, struct policy_run *run);
static void limit_on_finish(const struct policy *p, struct policy_run *run);

static const struct policy_ops limit_ops = {
	.name = "limits",
	.on_request = limit_on_request,
	.on_finish = limit_on_finish,
};

int policy_limits(const struct config_route *route, struct limiter *limiter,
		  struct metrics *metrics, struct arena *arena, struct policy *ret_policy)
{
	struct limits_use *uses =
		arena_alloc(arena, sizeof(*uses) + route->limits_len * sizeof(uses->at[0]));
	int err = 0;

	if (!uses)
		return -ENOMEM;
	*uses = (struct limits_use){.len = (uint32_t)route->limits_len};
	for (uint32_t i = 0; i < uses->len && !err; i++) {
		err = build_use(route->limits[i], limiter, metrics, arena, &uses->at[i]);
		uses->caps += uses->at[i].concurrency != NO_LIMIT;
		uses->has_fields |= route->limits[i]->headers != CONFIG_LIMIT_HEADERS_OFF;
	}
	*ret_policy = (struct policy){.ops = &limit_ops, .limits = uses};
	return err;
}

/* ---- taking and giving back ---- */

static void take(struct policy_run *run, uint32_t limit, struct span key, uint32_t cost,
		 uint64_t *ret_fingerprint, struct limit_verdict *ret_verdict)
{
	struct policy_shard *ps = run->at;

	*ret_fingerprint = limiter_fingerprint(ps->limiter, limit, key.ptr, key.len);
	limiter_take(ps->limiter_shard, limit, *ret_fingerprint, key, cost, ps->shard->now_ns,
		     ret_verdict);
}

static void give(struct policy_run *run, uint32_t limit, bool coarse, uint64_t fingerprint,
		 uint32_t cost)
{
	(coarse ? limiter_give_coarse : limiter_give)(run->at->limiter_shard, limit, fingerprint,
						      cost, run->at->shard->now_ns);
}

/* What the verdict tells is as it was before, too. */
static void undo(struct policy_run *run, uint32_t limit, uint64_t fingerprint, uint32_t cost,
		 struct limit_verdict *v)
{
	struct limit_terms terms;

	if (v->outcome != LIMIT_ADMITTED || !v->counted)
		return;
	give(run, limit, v->coarse, fingerprint, cost);
	limiter_terms(run->at->limiter, limit, &terms);
	v->remaining += cost;
	if (terms.algorithm == LIMIT_TOKEN_BUCKET)
		v->reset_ns -= min_u64(v->reset_ns, (uint64_t)((unsigned __int128)cost *
							       terms.period_ns / terms.tokens));
	else if (v->remaining >= terms.tokens)
		v->reset_ns = 0;
}

static void give_back(struct policy_run *run, const struct limits_use *uses,
		      struct taken *taken, uint32_t len)
{
	while (len--) {
		const struct limit_use *use = &uses->at[len];

		if (use->concurrency != NO_LIMIT)
			undo(run, use->concurrency, taken[len].cap_fingerprint, 1, &taken[len].cap);
		if (use->rate != NO_LIMIT)
			undo(run, use->rate, taken[len].rate_fingerprint, use->config->cost,
			     &taken[len].rate);
	}
}

/* Rate and cap of one limit; what the rate took is given back when the cap refuses. */
static const struct limit_verdict *take_use(struct policy_run *run, const struct limit_use *use,
					    struct span key, struct taken *taken)
{
	if (use->rate != NO_LIMIT) {
		take(run, use->rate, key, use->config->cost, &taken->rate_fingerprint,
		     &taken->rate);
		if (taken->rate.outcome != LIMIT_ADMITTED)
			return &taken->rate;
	}
	if (use->concurrency != NO_LIMIT) {
		take(run, use->concurrency, key, 1, &taken->cap_fingerprint, &taken->cap);
		if (taken->cap.outcome != LIMIT_ADMITTED) {
			if (use->rate != NO_LIMIT)
				undo(run, use->rate, taken->rate_fingerprint, use->config->cost,
				     &taken->rate);
			return &taken->cap;
		}
	}
	return NULL;
}

static bool hold(struct policy_run *run, const struct limits_use *uses, const struct taken *taken)
{
	if (!uses->caps)
		return true;
	run->held = arena_alloc(run->arena, uses->caps * sizeof(*run->held));
	if (!run->held)
		return false;
	for (uint32_t i = 0; i < uses->len; i++)
		if (uses->at[i].concurrency != NO_LIMIT && taken[i].cap.counted)
			run->held[run->held_len++] = (struct limit_held){
				uses->at[i].concurrency, taken[i].cap.coarse,
				taken[i].cap_fingerprint};
	return true;
}

static void limit_on_finish(const struct policy *p UNUSED, struct policy_run *run)
{
	for (uint32_t i = 0; i < run->held_len; i++)
		give(run, run->held[i].limit, run->held[i].coarse, run->held[i].fingerprint, 1);
	run->held_len = 0;
}

/* ---- answers ---- */

static void count(struct policy_run *run, const struct limit_use *use, enum metrics_verdict verdict,
		  bool coarse, uint64_t wait_ns)
{
	metrics_count_limit(run->at->metrics, use->metric, verdict, coarse, wait_ns);
}

static bool is_coarse(const struct limit_use *use, const struct taken *taken)
{
	return (use->rate != NO_LIMIT && taken->rate.coarse) ||
	       (use->concurrency != NO_LIMIT && taken->cap.coarse);
}

static enum policy_verdict no_memory(struct policy_run *run)
{
	run->answer = (struct policy_answer){.status = 503,
					     .cause = ACCESS_OUT_OF_MEMORY,
					     .detail = "the gateway is out of resources"};
	return POLICY_ANSWER;
}

static void tell(struct policy_run *run, const struct limits_use *uses, const struct taken *taken,
		 uint32_t len)
{
	struct limit_fields fields;

	limit_fields_begin(&fields);
	for (uint32_t i = 0; i < len; i++) {
		const struct limit_use *use = &uses->at[i];
		struct limit_terms terms;

		if (use->config->headers == CONFIG_LIMIT_HEADERS_OFF)
			continue;
		limiter_terms(run->at->limiter, use->rate, &terms);
		limit_fields_add(&fields, use->config->headers, &use->policy, &terms,
				 &taken[i].rate);
	}
	limit_fields_end(&fields, run);
}

/* What Retry-After says, before it is rounded up; UINT64_MAX: nothing, no time will help. */
static uint64_t told_wait_ns(const struct limit_verdict *v, bool by_cap)
{
	return by_cap || v->outcome == LIMIT_NO_ROOM ? NS_PER_S : v->wait_ns;
}

/* 429 where whoever asks has had its share; 503 where all together are too many, or the
 * gateway itself has no room to count. */
static void refuse(struct policy_run *run, const struct limit_use *use,
		   const struct limit_verdict *v, bool by_cap)
{
	struct policy_answer *a = &run->answer;

	run->limit = span_str(use->config->name);
	limit_fields_retry_after(run, told_wait_ns(v, by_cap));
	*a = (struct policy_answer){.status = 429, .cause = ACCESS_RATE_LIMITED};
	if (v->outcome == LIMIT_NO_ROOM) {
		a->status = 503;
		a->cause = ACCESS_LIMIT_TABLE_FULL;
		a->detail = "there is no room to count this client: try again later";
		return;
	}
	a->members = arena_printf(run->arena, "\"violated-policies\":[%.*s]",
				  SPAN_FMT(use->quoted));
	if (by_cap) {
		a->cause = ACCESS_CONCURRENCY_LIMITED;
		if (!use->per_client)
			a->status = 503;
		a->detail = "too many requests at the same time: try again when one has ended";
		if (a->status == 503)
			return;
	} else if (v->wait_ns == UINT64_MAX) {
		a->detail = "the request costs more than the limit ever allows";
	} else {
		a->detail = "the limit is used up: try again after the time in Retry-After";
	}
	/* draft-ietf-httpapi-ratelimit-headers-10 section 5.1 */
	a->type = "https://iana.org/assignments/http-problem-types#quota-exceeded";
	a->title = "Request cannot be satisfied as assigned quota has been exceeded";
}

static enum policy_verdict limit_on_request(const struct policy *p, struct policy_run *run)
{
	const struct limits_use *uses = p->limits;
	struct taken *taken = arena_alloc(run->arena, uses->len * sizeof(*taken));

	if (!taken)
		return no_memory(run);
	policy_shard_decided(run->at);
	for (uint32_t i = 0; i < uses->len; i++) {
		const struct limit_use *use = &uses->at[i];
		const struct limit_verdict *refusal;
		struct limit_key key;
		bool by_cap;

		if (!limit_key_of(use->config, run->attributes, run->arena, &key)) {
			give_back(run, uses, taken, i);
			return no_memory(run);
		}
		refusal = take_use(run, use, key.bytes, &taken[i]);
		if (!refusal)
			continue;
		by_cap = refusal == &taken[i].cap;
		give_back(run, uses, taken, i);
		count(run, use,
		      refusal->outcome == LIMIT_NO_ROOM ? METRICS_NO_ROOM : METRICS_REFUSED,
		      refusal->coarse, told_wait_ns(refusal, by_cap));
		if (uses->has_fields)
			tell(run, uses, taken, i + 1);
		refuse(run, use, refusal, by_cap);
		return POLICY_ANSWER;
	}
	if (!hold(run, uses, taken)) {
		give_back(run, uses, taken, uses->len);
		return no_memory(run);
	}
	if (uses->has_fields)
		tell(run, uses, taken, uses->len);
	for (uint32_t i = 0; i < uses->len; i++)
		count(run, &uses->at[i], METRICS_ADMITTED, is_coarse(&uses->at[i], &taken[i]), 0);
	return POLICY_NEXT;
}

#include "limit_fields.h"

#include <string.h>

/* The longest number: 20 digits. */
#define NUMBER_BYTES 20

static char *put_number(char *at, uint64_t n)
{
	char digits[NUMBER_BYTES];
	size_t len = 0;

	do
		digits[len++] = (char)('0' + n % 10);
	while (n /= 10);
	while (len)
		*at++ = digits[--len];
	return at;
}

static char *put(char *at, struct span s)
{
	memcpy(at, s.ptr, s.len);
	return at + s.len;
}

static uint64_t whole_seconds(uint64_t ns)
{
	return ns / NS_PER_S + (ns % NS_PER_S != 0);
}

/* Four numbers and their names behind the limit's name, at the most. */
#define MEMBER_BYTES (4 * (NUMBER_BYTES + 8) + 32)

static char *begin_member(struct limit_text *t, struct span quoted)
{
	char *at = t->at + t->len;

	if (sizeof(t->at) - t->len < quoted.len + MEMBER_BYTES)
		return NULL;
	if (t->len)
		at = put(at, SPAN(", "));
	return put(at, quoted);
}

static void end_member(struct limit_text *t, const char *at)
{
	t->len = (size_t)(at - t->at);
}

/* Behind the limit's name. */
static char *put_policy(char *at, const struct limit_terms *terms)
{
	at = put_number(put(at, SPAN(";q=")), terms->tokens);
	at = put_number(put(at, SPAN(";w=")), whole_seconds(terms->period_ns));
	if (terms->algorithm == LIMIT_TOKEN_BUCKET && terms->burst != terms->tokens)
		at = put_number(put(at, SPAN(";burst=")), terms->burst);
	return at;
}

bool limit_policy_init(struct limit_policy *p, struct span quoted, const struct limit_terms *terms,
		       struct arena *arena)
{
	char *text = arena_text(arena, quoted.len + MEMBER_BYTES);

	if (!text)
		return false;
	p->terms = *terms;
	p->name_bytes = quoted.len;
	p->text = span_of(text, (size_t)(put_policy(put(text, quoted), terms) - text));
	return true;
}

static bool is_as_configured(const struct limit_policy *p, const struct limit_terms *terms)
{
	return p->terms.tokens == terms->tokens && p->terms.period_ns == terms->period_ns &&
	       p->terms.algorithm == terms->algorithm &&
	       (terms->algorithm != LIMIT_TOKEN_BUCKET || p->terms.burst == terms->burst);
}

static void add_policy(struct limit_text *t, const struct limit_policy *p,
		       const struct limit_terms *terms)
{
	bool usual = is_as_configured(p, terms);
	char *at = begin_member(t, usual ? p->text : span_of(p->text.ptr, p->name_bytes));

	if (at)
		end_member(t, usual ? at : put_policy(at, terms));
}

static void add_standing(struct limit_text *t, struct span quoted, const struct limit_verdict *v)
{
	char *at = begin_member(t, quoted);

	if (!at)
		return;
	at = put_number(put(at, SPAN(";r=")), v->remaining);
	at = put_number(put(at, SPAN(";t=")), whole_seconds(v->reset_ns));
	end_member(t, at);
}

void limit_fields_begin(struct limit_fields *f)
{
	f->policies.len = 0;
	f->standing.len = 0;
	f->has_x = false;
}

void limit_fields_add(struct limit_fields *f, enum config_limit_headers headers,
		      const struct limit_policy *policy, const struct limit_terms *terms,
		      const struct limit_verdict *v)
{
	if (headers != CONFIG_LIMIT_HEADERS_X_RATELIMIT) {
		add_policy(&f->policies, policy, terms);
		add_standing(&f->standing, span_of(policy->text.ptr, policy->name_bytes), v);
	}
	if (headers != CONFIG_LIMIT_HEADERS_IETF && (!f->has_x || v->remaining < f->x_remaining)) {
		f->has_x = true;
		f->x_limit = terms->algorithm == LIMIT_TOKEN_BUCKET ? terms->burst : terms->tokens;
		f->x_remaining = v->remaining;
		f->x_reset_s = whole_seconds(v->reset_ns);
	}
}

static void add_field(struct policy_run *run, struct span name, struct span value)
{
	must(run->fields_len < POLICY_FIELDS_MAX);
	run->fields[run->fields_len++] = (struct http_field){.name = name, .value = value};
}

static void add_text(struct policy_run *run, struct span name, const char *text, size_t len)
{
	struct span value = arena_span(run->arena, span_of(text, len));

	if (value.ptr)
		add_field(run, name, value);
}

static void add_number(struct policy_run *run, struct span name, uint64_t n)
{
	char text[NUMBER_BYTES];

	add_text(run, name, text, (size_t)(put_number(text, n) - text));
}

void limit_fields_end(const struct limit_fields *f, struct policy_run *run)
{
	if (f->standing.len) {
		add_text(run, SPAN("RateLimit-Policy"), f->policies.at, f->policies.len);
		add_text(run, SPAN("RateLimit"), f->standing.at, f->standing.len);
	}
	if (f->has_x) {
		add_number(run, SPAN("X-RateLimit-Limit"), f->x_limit);
		add_number(run, SPAN("X-RateLimit-Remaining"), f->x_remaining);
		add_number(run, SPAN("X-RateLimit-Reset"), f->x_reset_s);
	}
}

void limit_fields_retry_after(struct policy_run *run, uint64_t wait_ns)
{
	if (wait_ns == UINT64_MAX)
		return;
	add_number(run, SPAN("Retry-After"), whole_seconds(wait_ns ? wait_ns : 1));
}

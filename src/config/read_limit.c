#include "readers.h"

#include <ringway/config/rate.h>
#include <ringway/config/suggest.h>

#define NAME_MAX_BYTES 64
/* As many as a process can know by name. */
#define NAMED_MAX 1024

static const struct part_word {
	struct span word;
	enum config_limit_part part;
	char separator; /* of what follows; 0: nothing does */
	bool not_built;
} part_words[] = {
	{{"ip", 2}, CONFIG_LIMIT_IP, '/', false},
	{{"header", 6}, CONFIG_LIMIT_HEADER, ':', false},
	{{"route", 5}, CONFIG_LIMIT_ROUTE, 0, false},
	{{"service", 7}, CONFIG_LIMIT_SERVICE, 0, false},
	{{"global", 6}, CONFIG_LIMIT_GLOBAL, 0, false},
	{{"consumer", 8}, CONFIG_LIMIT_GLOBAL, 0, true},
	{{"subject", 7}, CONFIG_LIMIT_GLOBAL, 0, true},
	{{"role", 4}, CONFIG_LIMIT_GLOBAL, 0, true},
	{{"claim", 5}, CONFIG_LIMIT_GLOBAL, ':', true},
};

/* "24" or "24/56", the bits that count. */
static bool read_prefixes(struct span text, struct config_limit_key *key)
{
	const char *slash = memchr(text.ptr, '/', text.len);
	size_t len = slash ? (size_t)(slash - text.ptr) : text.len;
	uint64_t bits4, bits6 = key->prefix6;

	if (!span_to_u64(span_of(text.ptr, len), &bits4) || !bits4 || bits4 > 32)
		return false;
	if (slash &&
	    (!span_to_u64(span_of(slash + 1, text.len - len - 1), &bits6) || !bits6 || bits6 > 128))
		return false;
	key->prefix4 = (uint8_t)bits4;
	key->prefix6 = (uint8_t)bits6;
	return true;
}

static const struct part_word *find_part(struct span word)
{
	for (size_t i = 0; i < ARRAY_LEN(part_words); i++)
		if (span_eq(part_words[i].word, word))
			return &part_words[i];
	return NULL;
}

static void unknown_part(struct loader *l, const struct yaml_node *n, struct span word)
{
	struct suggestion near;

	suggestion_init(&near, word);
	for (size_t i = 0; i < ARRAY_LEN(part_words); i++)
		if (!part_words[i].not_built)
			suggestion_try(&near, part_words[i].word.ptr);
	if (near.best)
		say_error(l, n, "%s is no key of a limit; did you mean `%s%s`?", shown(l, n),
			  near.best, strcmp(near.best, "header") == 0 ? ":NAME" : "");
	else
		say_error(l, n, "%s is none of `ip`, `header:NAME`, `route`, `service` or `global`",
			  shown(l, n));
}

/* Of the word and what stands behind its separator; NULL, or what is wrong. */
static const char *part_error(struct loader *l, const struct part_word *part, struct span rest,
			      bool has_rest, struct config_limit_key *key)
{
	char *lower;

	*key = (struct config_limit_key){part->part, 32, 64, NULL};
	switch (part->part) {
	case CONFIG_LIMIT_IP:
		if (has_rest && !read_prefixes(rest, key))
			return "behind `ip/` stand the bits of IPv4, 1 to 32, and after one more "
			       "slash those of IPv6, 1 to 128: ip/24, ip/32/56";
		return NULL;
	case CONFIG_LIMIT_HEADER:
		if (!is_http_token(rest))
			return "write it like header:X-Api-Key";
		lower = arena_str(&l->config->arena, rest);
		for (char *p = lower; *p; p++)
			*p = ascii_lower(*p);
		key->header = lower;
		return NULL;
	default: return has_rest ? "nothing stands behind it" : NULL;
	}
}

static bool same_part(const struct config_limit_key *a, const struct config_limit_key *b)
{
	return a->part == b->part &&
	       (a->part != CONFIG_LIMIT_HEADER || strcmp(a->header, b->header) == 0);
}

static void read_part(struct loader *l, const struct yaml_node *n, struct config_limit *limit)
{
	struct config_limit_key *key = &limit->keys[limit->keys_len];
	const struct part_word *part;
	struct span text, word;
	const char *error;
	bool has_rest;

	if (!scalar_text(l, n, &text))
		return;
	word = span_of(text.ptr, strcspn(text.ptr, ":/"));
	has_rest = word.len < text.len;
	part = find_part(word);
	if (!part || (has_rest && part->separator && text.ptr[word.len] != part->separator)) {
		unknown_part(l, n, word);
		return;
	}
	if (part->not_built) {
		say_error(l, n, "`%s` is not supported yet", part->word.ptr);
		return;
	}
	error = part_error(l, part,
			   has_rest ? span_of(text.ptr + word.len + 1, text.len - word.len - 1)
				    : SPAN(""),
			   has_rest, key);
	if (error) {
		say_error(l, n, "%s: %s", shown(l, n), error);
		return;
	}
	for (size_t i = 0; i < limit->keys_len; i++)
		if (same_part(&limit->keys[i], key)) {
			say_error(l, n, "%s: `%s` stands twice", shown(l, n), part->word.ptr);
			return;
		}
	limit->shown_key =
		limit->keys_len
			? arena_printf(&l->config->arena, "%s, %s", limit->shown_key, text.ptr).ptr
			: arena_str(&l->config->arena, text);
	limit->keys_len++;
}

void read_limit_key(struct loader *l, const struct schema_key *key UNUSED,
		    const struct yaml_node *value, void *field)
{
	struct config_limit *limit = field;
	struct list_cursor at;
	size_t len = list_begin(l, value, true, &at);
	const struct yaml_node *n;

	if (len > CONFIG_LIMIT_KEYS_MAX) {
		say_error(l, value, "has %zu parts, at most %d", len, CONFIG_LIMIT_KEYS_MAX);
		return;
	}
	while ((n = list_next(l, &at)))
		read_part(l, n, limit);
	for (size_t i = 0; i < limit->keys_len; i++)
		if (limit->keys_len > 1 && limit->keys[i].part == CONFIG_LIMIT_GLOBAL)
			say_error(l, value, "`global` stands alone: it tells no requests apart");
}

static void read_per_time(struct loader *l, const struct yaml_node *value,
			  struct config_limit *limit,
			  const char *(*parse)(struct span, uint64_t *, uint64_t *))
{
	struct span text;
	const char *error;

	if (!scalar_text(l, value, &text))
		return;
	error = parse(text, &limit->tokens, &limit->period_ns);
	if (error)
		say_error(l, value, "%s %s", shown(l, value), error);
}

void read_requests_per_second(struct loader *l, const struct schema_key *key UNUSED,
			      const struct yaml_node *value, void *field)
{
	read_per_time(l, value, field, config_requests_per_second);
}

void read_rate(struct loader *l, const struct schema_key *key UNUSED, const struct yaml_node *value,
	       void *field)
{
	read_per_time(l, value, field, config_rate);
}

static const struct yaml_entry *given(const struct limit_draft *d, const char *key)
{
	return yaml_find(d->value, key);
}

/* Keys that say how a rate is counted, and there is none. */
static void check_without_rate(struct loader *l, struct limit_draft *d)
{
	static const char *const keys[] = {"burst", "algorithm", "cost", "headers"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (given(d, keys[i]))
			say_error(l, given(d, keys[i])->key, "`%s` has no meaning without a rate",
				  keys[i]);
	d->limit.headers = CONFIG_LIMIT_HEADERS_OFF;
}

static void finish_window(struct loader *l, struct limit_draft *d)
{
	struct config_limit *limit = &d->limit;

	if (given(d, "burst"))
		say_error(l, given(d, "burst")->key,
			  "`burst` has no meaning for a window: it admits all of its requests at "
			  "once");
	if (limit->tokens > CONFIG_LIMIT_TOKENS_MAX)
		say_error(l, d->node, "a window has at most %d requests", CONFIG_LIMIT_TOKENS_MAX);
	else if (limit->cost > limit->tokens)
		say_error(l, given(d, "cost")->value,
			  "no request can pass: each costs %u, and the window has %lu", limit->cost,
			  limit->tokens);
}

static void finish_bucket(struct loader *l, struct limit_draft *d)
{
	struct config_limit *limit = &d->limit;
	uint64_t per_second =
		(uint64_t)(((unsigned __int128)limit->tokens * NS_PER_S + limit->period_ns - 1) /
			   limit->period_ns);

	config_rate_fit_bucket(&limit->tokens, &limit->period_ns);
	limit->burst = d->burst;
	if (!limit->burst) {
		limit->burst = per_second > limit->cost ? per_second : limit->cost;
		if (limit->burst > CONFIG_LIMIT_TOKENS_MAX)
			limit->burst = CONFIG_LIMIT_TOKENS_MAX;
	}
	if (limit->cost > limit->burst)
		say_error(l, given(d, "cost")->value,
			  "no request can pass: each costs %u, and `burst` is %lu", limit->cost,
			  limit->burst);
}

/* The keys against each other. */
static void finish_limit(struct loader *l, struct limit_draft *d)
{
	const struct yaml_entry *first = given(d, "requests_per_second"), *rate = given(d, "rate");

	if (first && rate)
		say_error(l, rate->key, "`rate` and `requests_per_second` exclude each other");
	else if (!first && !rate && !given(d, "concurrency"))
		say_error(l, d->node,
			  "one of `requests_per_second`, `rate` and `concurrency` is missing");
	else if (!first && !rate)
		check_without_rate(l, d);
	else if (d->limit.algorithm != CONFIG_LIMIT_TOKEN_BUCKET)
		finish_window(l, d);
	else
		finish_bucket(l, d);
}

/* `node` is the key that begins it, l->path its path. */
static void read_limit(struct loader *l, const struct schema_key *keys,
		       const struct yaml_node *node, const struct yaml_node *value,
		       struct limit_draft *d)
{
	size_t errors = l->report->errors;

	*d = (struct limit_draft){
		.limit = {.place = place_of(node), .headers = CONFIG_LIMIT_HEADERS_IETF, .cost = 1},
		.node = node,
		.value = value,
		.path = l->path.ptr,
	};
	schema_read(l, keys, value, d);
	/* What is wrong by itself says nothing about the rest. */
	if (l->report->errors == errors)
		finish_limit(l, d);
}

/* One that needs no key: the place where it stands says it. */
static struct limit_draft *read_own(struct loader *l, const struct yaml_node *node,
				    const struct yaml_node *value, const char *key,
				    struct config_limit_key part)
{
	struct limit_draft *d = arena_alloc(&l->scratch, sizeof(*d));

	read_limit(l, &keys_limit[KEYS_LIMIT_OWN], node, value, d);
	d->limit.keys[0] = part;
	d->limit.keys_len = 1;
	d->limit.shown_key = key;
	return d;
}

void read_default_limit(struct loader *l, const struct schema_key *key,
			const struct yaml_node *value, void *field UNUSED)
{
	const struct yaml_node *all = yaml_find(l->top, "rate_limit")->value;

	l->default_limit = read_own(l, yaml_find(all, key->name)->key, value, "ip",
				    (struct config_limit_key){CONFIG_LIMIT_IP, 32, 64, NULL});
	l->default_limit->limit.name = "default";
}

void read_route_rate_limit(struct loader *l, const struct schema_key *key,
			   const struct yaml_node *value, void *field)
{
	struct route_draft *r = field;

	/* Its name needs the service that it goes to (check_limits.c). */
	r->own_limit = read_own(l, yaml_find(r->node, key->name)->key, value, "route",
				(struct config_limit_key){CONFIG_LIMIT_ROUTE, 32, 64, NULL});
}

static bool is_limit_name(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = ascii_lower(s.ptr[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && (!c || !strchr("_.-", c)))
			return false;
	}
	return s.len > 0 && s.len <= NAME_MAX_BYTES;
}

void read_limits(struct loader *l, const struct schema_key *key UNUSED,
		 const struct yaml_node *value, void *field UNUSED)
{
	if (yaml_is_null(value))
		return;
	if (value->kind != YAML_MAPPING) {
		say_error(l, value, "must be a mapping of names to limits");
		return;
	}
	if (value->entries > NAMED_MAX) {
		say_error(l, value, "more than %d limits", NAMED_MAX);
		return;
	}
	l->limits = arena_alloc(&l->scratch, value->entries * sizeof(*l->limits) + 1);
	for (const struct yaml_entry *e = value->first; e; e = e->next) {
		struct limit_draft *d = &l->limits[l->limits_len++];
		struct span saved = path_enter(l, e->key->text);
		size_t errors = l->report->errors;

		if (!is_limit_name(e->key->text))
			say_error(l, e->key,
				  "the name of a limit is 1 to %d letters, digits, `_`, `.` and "
				  "`-`",
				  NAME_MAX_BYTES);
		else if (span_eq(e->key->text, SPAN("default")))
			say_error(l, e->key,
				  "`default` is the name of `rate_limit.default`; choose another");
		errors = l->report->errors - errors;
		read_limit(l, keys_limit, e->key, e->value, d);
		/* Under a wrong name nobody finds it. */
		d->used = errors > 0;
		d->limit.name = arena_str(&l->config->arena, e->key->text);
		if ((e->value->kind == YAML_MAPPING || yaml_is_null(e->value)) && !given(d, "key"))
			say_error(l, e->key, "`key` is missing: what is counted for itself");
		l->path = saved;
	}
}

void read_route_limits(struct loader *l, const struct schema_key *key UNUSED,
		       const struct yaml_node *value, void *field)
{
	struct route_draft *r = field;
	struct list_cursor at;
	size_t len = list_begin(l, value, true, &at);
	const struct yaml_node *n;
	struct span text;

	if (len > ROUTE_LIMITS_NAMED_MAX) {
		say_error(l, value, "%zu limits are too many, at most %d", len,
			  ROUTE_LIMITS_NAMED_MAX);
		return;
	}
	r->limits = arena_alloc(&l->scratch, len * sizeof(*r->limits) + 1);
	while ((n = list_next(l, &at))) {
		bool twice = false;

		if (!scalar_text(l, n, &text))
			continue;
		for (size_t i = 0; i < r->limits_len; i++)
			twice |= span_eq(r->limits[i].name, text);
		if (twice)
			say_error(l, n, "%s: it stands twice", shown(l, n));
		else if (span_eq(text, SPAN("default")))
			say_error(l, n, "`default` is on every route already");
		else
			/* Whether it exists shows when all are read (check_limits.c). */
			r->limits[r->limits_len++] = (struct limit_use){text, n, l->path.ptr};
	}
}

#include "schema.h"

#include <ringway/config/suggest.h>

#include "secret.h"
#include "substitute.h"
#include "units.h"

void say(struct loader *l, enum config_severity severity, struct source_range at, const char *path,
	 const char *message, ...)
{
	va_list args;

	va_start(args, message);
	report_add(l->report, severity, at, path, message, args);
	va_end(args);
}

void say_error(struct loader *l, const struct yaml_node *at, const char *message, ...)
{
	va_list args;

	va_start(args, message);
	report_add(l->report, CONFIG_ERROR, at->at, l->path.ptr, message, args);
	va_end(args);
}

struct span path_enter(struct loader *l, struct span key)
{
	struct span saved = l->path;

	l->path = arena_printf(&l->scratch, "%.*s%s%.*s", SPAN_FMT(saved), saved.len ? "." : "",
			       SPAN_FMT(utf8_clip(key, PATH_KEY_MAX)));
	return saved;
}

struct span path_enter_index(struct loader *l, size_t index)
{
	struct span saved = l->path;

	l->path = arena_printf(&l->scratch, "%.*s[%zu]", SPAN_FMT(saved), index);
	return saved;
}

struct config_place place_of(const struct yaml_node *n)
{
	return source_place(n->at.source, n->at.at);
}

const char *shown(struct loader *l, const struct yaml_node *n)
{
	struct span text = utf8_clip(n->text, 48);
	char *copy = arena_str(&l->scratch, text);

	secret_mask(copy, text.len);
	return arena_printf(&l->scratch, "`%s%s`", copy, text.len < n->text.len ? "..." : "").ptr;
}

bool scalar_text(struct loader *l, const struct yaml_node *n, struct span *ret_text)
{
	if (n->kind != YAML_SCALAR) {
		say_error(l, n, "must be a single value, not a %s",
			  n->kind == YAML_LIST ? "list" : "mapping");
		return false;
	}
	if (yaml_is_null(n)) {
		say_error(l, n, "has no value");
		return false;
	}
	return substitute(l, n, ret_text);
}

bool scalar_keep(struct loader *l, const struct yaml_node *n, const char **ret_text)
{
	struct span text;

	if (!scalar_text(l, n, &text))
		return false;
	*ret_text = arena_str(&l->config->arena, text);
	return true;
}

size_t list_begin(struct loader *l, const struct yaml_node *n, bool single_allowed,
		  struct list_cursor *ret_cursor)
{
	*ret_cursor = (struct list_cursor){.path = l->path};
	if (n->kind == YAML_LIST && n->entries) {
		ret_cursor->entry = n->first;
		return n->entries;
	}
	if (single_allowed && n->kind == YAML_SCALAR && !yaml_is_null(n)) {
		ret_cursor->single = n;
		return 1;
	}
	if (n->kind == YAML_LIST)
		say_error(l, n, "the list is empty");
	else if (yaml_is_null(n))
		say_error(l, n, "has no value");
	else
		say_error(l, n, "must be a list");
	return 0;
}

const struct yaml_node *list_next(struct loader *l, struct list_cursor *cursor)
{
	const struct yaml_node *n = cursor->single;

	l->path = cursor->path;
	cursor->single = NULL;
	if (n)
		return n;
	if (!cursor->entry)
		return NULL;
	n = cursor->entry->value;
	cursor->entry = cursor->entry->next;
	path_enter_index(l, cursor->index++);
	return n;
}

static void unknown_key(struct loader *l, const struct schema_key *keys,
			const struct yaml_node *name)
{
	struct suggestion near;

	suggestion_init(&near, name->text);
	for (const struct schema_key *k = keys; k->name; k++)
		suggestion_try(&near, k->name);
	if (near.best)
		say_error(l, name, "unknown key %s; did you mean `%s`?", shown(l, name), near.best);
	else
		say_error(l, name, "unknown key %s", shown(l, name));
}

static const struct schema_key *find_key(const struct schema_key *keys, struct span name)
{
	for (const struct schema_key *k = keys; k->name; k++)
		if (span_eq(span_str(k->name), name))
			return k;
	return NULL;
}

void schema_read(struct loader *l, const struct schema_key *keys, const struct yaml_node *mapping,
		 void *into)
{
	if (yaml_is_null(mapping))
		return;
	if (mapping->kind != YAML_MAPPING) {
		say_error(l, mapping, "must be a mapping of keys");
		return;
	}
	for (const struct yaml_entry *e = mapping->first; e; e = e->next) {
		const struct schema_key *key = find_key(keys, e->key->text);
		struct span saved;

		if (!key) {
			unknown_key(l, keys, e->key);
		} else if (!key->read) {
			say_error(l, e->key, "`%s` is not supported yet", key->name);
		} else {
			saved = path_enter(l, e->key->text);
			key->read(l, key, e->value, (char *)into + key->offset);
			l->path = saved;
		}
	}
}

void read_mapping(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		  void *field)
{
	schema_read(l, key->keys, value, field);
}

void read_nothing(struct loader *l UNUSED, const struct schema_key *key UNUSED,
		  const struct yaml_node *value UNUSED, void *field UNUSED)
{
}

/* "`a`, `b` or `c`" of what is built. */
static const char *choice_words(struct loader *l, const struct schema_choice *choices)
{
	const struct schema_choice *last = NULL;
	struct span words = SPAN("");

	for (const struct schema_choice *c = choices; c->word; c++)
		if (!c->not_built)
			last = c;
	for (const struct schema_choice *c = choices; c->word; c++)
		if (!c->not_built)
			words = arena_printf(&l->scratch, "%.*s%s`%s`", SPAN_FMT(words),
					     !words.len  ? ""
					     : c == last ? " or "
							 : ", ",
					     c->word);
	return words.ptr;
}

static bool choose(struct loader *l, const struct schema_choice *choices,
		   const struct yaml_node *value, int *ret_value)
{
	struct suggestion near;
	struct span text;

	if (!scalar_text(l, value, &text))
		return false;
	suggestion_init(&near, value->text);
	for (const struct schema_choice *c = choices; c->word; c++) {
		suggestion_try(&near, c->word);
		if (!span_eq(text, span_str(c->word)))
			continue;
		if (c->not_built) {
			say_error(l, value, "`%s` is not supported yet", c->word);
			return false;
		}
		*ret_value = c->value;
		return true;
	}
	/* One number is no likelier than another. */
	if (near.best && (near.best[0] < '0' || near.best[0] > '9'))
		say_error(l, value, "%s is none of %s; did you mean `%s`?", shown(l, value),
			  choice_words(l, choices), near.best);
	else
		say_error(l, value, "%s is none of %s", shown(l, value), choice_words(l, choices));
	return false;
}

void read_choice(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		 void *field)
{
	choose(l, key->choices, value, field);
}

void read_choice_only(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		      void *field UNUSED)
{
	int chosen;

	choose(l, key->choices, value, &chosen);
}

void read_bool(struct loader *l, const struct schema_key *key UNUSED, const struct yaml_node *value,
	       void *field)
{
	static const struct schema_choice words[] = {{"true", true}, {"false", false}, {0}};
	int chosen;

	if (choose(l, words, value, &chosen))
		*(bool *)field = chosen;
}

void read_text(struct loader *l, const struct schema_key *key UNUSED, const struct yaml_node *value,
	       void *field)
{
	const char *text;

	if (!scalar_keep(l, value, &text))
		return;
	if (*text)
		*(const char **)field = text;
	else
		say_error(l, value, "must not be empty");
}

void read_u32(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
	      void *field)
{
	struct span text;
	uint64_t number;

	if (!scalar_text(l, value, &text))
		return;
	if (!span_to_u64(text, &number) || number < key->min || number > key->max)
		say_error(l, value, "%s is no whole number from %lu to %lu", shown(l, value),
			  key->min, key->max);
	else
		*(uint32_t *)field = (uint32_t)number;
}

/* A limit as an operator would write it: in the biggest unit that divides it. */
static const char *in_units(struct loader *l, uint64_t value, bool is_time)
{
	static const struct {
		const char *name;
		uint64_t factor;
	} times[] = {{"d", 86400 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"m", 60 * NS_PER_S},
		     {"s", NS_PER_S},         {"ms", NS_PER_MS},      {"us", NS_PER_US}},
	  sizes[] = {{"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB}};
	size_t len = is_time ? ARRAY_LEN(times) : ARRAY_LEN(sizes);

	for (size_t i = 0; i < len; i++) {
		uint64_t factor = is_time ? times[i].factor : sizes[i].factor;

		if (value && value % factor == 0)
			return arena_printf(&l->scratch, "%lu%s", value / factor,
					    is_time ? times[i].name : sizes[i].name)
				.ptr;
	}
	return arena_printf(&l->scratch, "%lu", value).ptr;
}

const char *shown_duration(struct loader *l, uint64_t ns)
{
	return in_units(l, ns, true);
}

static bool in_range(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		     uint64_t number, bool is_time)
{
	if (number < key->min)
		say_error(l, value, "%s is too small, at least %s", shown(l, value),
			  in_units(l, key->min, is_time));
	else if (number > key->max)
		say_error(l, value, "%s is too big, at most %s", shown(l, value),
			  in_units(l, key->max, is_time));
	return number >= key->min && number <= key->max;
}

void read_duration(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		   void *field)
{
	struct span text;
	uint64_t ns;

	if (!scalar_text(l, value, &text))
		return;
	if (!duration_parse(text, &ns))
		say_error(l, value, "%s is no duration; write it like 500ms, 30s or 1h30m",
			  shown(l, value));
	else if (in_range(l, key, value, ns, true))
		*(uint64_t *)field = ns;
}

static bool size_of(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		    uint64_t *ret_bytes)
{
	struct span text;

	if (!scalar_text(l, value, &text))
		return false;
	if (size_parse(text, ret_bytes))
		return in_range(l, key, value, *ret_bytes, false);
	say_error(l, value, "%s is no size; write it like 512, 64KiB or 10MB", shown(l, value));
	return false;
}

void read_size32(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		 void *field)
{
	uint64_t bytes;

	if (size_of(l, key, value, &bytes))
		*(uint32_t *)field = (uint32_t)bytes;
}

void read_size64(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		 void *field)
{
	uint64_t bytes;

	if (size_of(l, key, value, &bytes))
		*(uint64_t *)field = bytes;
}

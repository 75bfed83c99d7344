#include "yaml.h"

#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>

/* An anchor and the node that it names, newest first. */
struct anchor {
	struct anchor *older;
	struct span name;
	const struct yaml_node *node;
};

/* A list or mapping that has begun and not ended. */
struct open_node {
	struct yaml_node *node;
	struct yaml_entry **tail;
	const struct yaml_node *key; /* of the value that comes next */
	struct span anchor;          /* ptr NULL: none */
};

struct builder {
	struct arena *arena;
	const struct source *source;
	struct config_report *report;
	struct open_node open[YAML_DEPTH_MAX];
	size_t open_len;
	struct anchor *anchors;
	size_t anchors_len;
	const struct yaml_node *root;
	size_t documents;
	size_t nodes;               /* as parsed, aliases as what they stand for */
	struct source_range latest; /* what an event without a place of its own is put at */
	bool stopped;               /* an error after which the rest makes no sense */
};

PRINTF(4, 5)
static void say(struct builder *b, struct source_range range, const char *path, const char *message,
		...)
{
	va_list args;

	va_start(args, message);
	report_add(b->report, CONFIG_ERROR, range, path, message, args);
	va_end(args);
}

#define STOP(b, range, ...)                                                                        \
	do {                                                                                       \
		say(b, range, "", __VA_ARGS__);                                                    \
		(b)->stopped = true;                                                               \
	} while (0)

/* libfyaml takes bytes outside UTF-8 and NULs for the end of the stream, silently:
 * the rest of the file would be ignored. */
static bool check_encoding(const struct source *s, struct config_report *report)
{
	struct builder b = {.source = s, .report = report};

	for (size_t i = 0; i < s->text.len;) {
		unsigned char c = (unsigned char)s->text.ptr[i];
		size_t n = utf8_length(span_of(s->text.ptr + i, s->text.len - i));

		if (!n || (c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f) {
			say(&b, (struct source_range){s, i, i + 1}, "",
			    n ? "control character 0x%02x is not allowed in YAML"
			      : "byte 0x%02x is not UTF-8",
			    c);
			return false;
		}
		i += n;
	}
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool check_empty_lines(const struct source *s, struct config_report *report)
{
	struct builder b = {.source = s, .report = report};
	size_t run = 0;

	for (size_t i = 0; i < s->text.len; i++) {
		char c = s->text.ptr[i];

		if (!is_blank(c))
			run = 0;
		else if (c == '\n' && ++run > YAML_EMPTY_LINES_MAX + 1) {
			say(&b, (struct source_range){s, i, i + 1}, "",
			    "more than %d empty lines in a row", YAML_EMPTY_LINES_MAX);
			return false;
		}
	}
	return true;
}

static struct span token_text(struct builder *b, struct fy_token *token)
{
	size_t len = 0;
	const char *text = token ? fy_token_get_text(token, &len) : NULL;

	return text ? span_of(arena_str(b->arena, span_of(text, len)), len) : SPAN_NONE;
}

/* The bytes of an event. Quotes, which the library leaves out, are part of it. */
static struct source_range event_range(struct builder *b, struct fy_event *event)
{
	const struct fy_mark *start = fy_event_start_mark(event), *end = fy_event_end_mark(event);
	struct span text = b->source->text;
	struct source_range r = {b->source, 0, 0};

	if (!start || !end || start->input_pos > text.len || end->input_pos > text.len ||
	    end->input_pos < start->input_pos)
		return b->latest;
	r.at = start->input_pos;
	r.end = end->input_pos;
	if (event->type == FYET_SCALAR) {
		enum fy_scalar_style style = fy_token_scalar_style(event->scalar.value);

		if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) {
			r.at -= r.at > 0;
			r.end += r.end < text.len;
		} else if (style == FYSS_LITERAL || style == FYSS_FOLDED) {
			while (r.at < r.end && is_blank(text.ptr[r.at]))
				r.at++;
		}
	} else if (event->type == FYET_ALIAS) {
		r.at -= r.at > 0;
	} else if (r.end == r.at && r.end < text.len) {
		r.end++;
	}
	b->latest = r;
	return r;
}

/* "services.api.routes[0]" of what is open; for errors only. */
static const char *open_path(struct builder *b)
{
	struct span path = SPAN("");

	for (size_t i = 0; i + 1 < b->open_len; i++) {
		const struct open_node *o = &b->open[i];

		if (o->node->kind == YAML_LIST)
			path = arena_printf(b->arena, "%.*s[%zu]", SPAN_FMT(path),
					    o->node->entries);
		else if (o->key)
			path = arena_printf(b->arena, "%.*s%s%.*s", SPAN_FMT(path),
					    path.len ? "." : "",
					    SPAN_FMT(utf8_clip(o->key->text, PATH_KEY_MAX)));
	}
	return path.ptr;
}

static uint32_t hash(struct span s)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.ptr[i]) * 16777619u;
	return h;
}

/* YAML 1.2 section 3.2.1.3: keys are unique. Called while the mapping is still the
 * innermost open node. */
static void check_duplicates(struct builder *b, const struct yaml_node *mapping)
{
	const struct yaml_entry **table;
	const char *path = NULL;
	size_t slots = 8;

	while (slots < mapping->entries * 2)
		slots *= 2;
	table = arena_alloc(b->arena, slots * sizeof(*table));
	memset(table, 0, slots * sizeof(*table));
	for (const struct yaml_entry *e = mapping->first; e; e = e->next) {
		size_t i = hash(e->key->text) & (slots - 1);

		while (table[i] && !span_eq(table[i]->key->text, e->key->text))
			i = (i + 1) & (slots - 1);
		if (!table[i]) {
			table[i] = e;
			continue;
		}
		if (!path)
			path = open_path(b);
		say(b, e->key->at, path, "key `%.*s` stands twice, first in line %u",
		    SPAN_FMT(utf8_clip(e->key->text, PATH_KEY_MAX)),
		    source_line(b->source, table[i]->key->at.at));
	}
}

static void name_anchor(struct builder *b, struct span name, const struct yaml_node *node)
{
	struct anchor *a;

	if (!name.ptr)
		return;
	a = arena_alloc(b->arena, sizeof(*a));
	*a = (struct anchor){b->anchors, name, node};
	b->anchors = a;
	if (++b->anchors_len > YAML_ANCHORS_MAX)
		STOP(b, node->at, "more than %d anchors", YAML_ANCHORS_MAX);
}

static size_t entry_key_bytes(const struct yaml_entry *e)
{
	return e->key ? e->key->text.len : 0;
}

/* A finished node finds its place: as the root, an element, a key or a value. */
static void place_node(struct builder *b, const struct yaml_node *node, struct source_range at)
{
	struct open_node *o;
	struct yaml_entry *entry;

	if (!b->open_len) {
		b->root = node;
		return;
	}
	o = &b->open[b->open_len - 1];
	if (o->node->kind == YAML_MAPPING && !o->key) {
		if (node->kind != YAML_SCALAR)
			STOP(b, at, "a key must be plain text");
		o->key = node;
		return;
	}
	entry = arena_alloc(b->arena, sizeof(*entry));
	*entry = (struct yaml_entry){NULL, o->key, node};
	*o->tail = entry;
	o->tail = &entry->next;
	o->key = NULL;
	o->node->entries++;
	/* Each is at most YAML_NODES_MAX, and the sum is checked below. */
	o->node->nodes += node->nodes + 1;
	o->node->text_bytes += node->text_bytes + entry_key_bytes(entry);
	if (node->depth >= o->node->depth)
		o->node->depth = node->depth + 1;
	if (o->node->nodes > YAML_NODES_MAX)
		STOP(b, at, "more than %d values, aliases counted as what they stand for",
		     YAML_NODES_MAX);
	else if (o->node->text_bytes > YAML_TEXT_MAX)
		STOP(b, at, "more than %zu MiB of text, aliases counted as what they stand for",
		     YAML_TEXT_MAX / MIB);
	else if (b->open_len + node->depth > YAML_DEPTH_MAX)
		STOP(b, at, "nested deeper than %d levels", YAML_DEPTH_MAX);
}

static struct yaml_node *new_node(struct builder *b, enum yaml_kind kind, struct source_range at)
{
	struct yaml_node *n = arena_alloc(b->arena, sizeof(*n));

	*n = (struct yaml_node){.kind = kind, .at = at, .nodes = 1, .depth = 1};
	if (++b->nodes > YAML_NODES_MAX)
		STOP(b, at, "more than %d values", YAML_NODES_MAX);
	return n;
}

static void refuse_tag(struct builder *b, struct fy_token *tag, struct source_range at)
{
	if (tag)
		STOP(b, at, "tags are not supported: what a value is follows from its key");
}

static void on_scalar(struct builder *b, const struct fy_event_scalar_data *scalar,
		      struct source_range at)
{
	struct yaml_node *n = new_node(b, YAML_SCALAR, at);

	refuse_tag(b, scalar->tag, at);
	n->text = token_text(b, scalar->value);
	if (!n->text.ptr)
		n->text = SPAN("");
	n->text_bytes = n->text.len;
	n->plain = fy_token_scalar_style(scalar->value) == FYSS_PLAIN;
	name_anchor(b, token_text(b, scalar->anchor), n);
	place_node(b, n, at);
}

static void on_alias(struct builder *b, struct fy_token *token, struct source_range at)
{
	struct span name = token_text(b, token);

	for (const struct anchor *a = b->anchors; a; a = a->older) {
		if (span_eq(a->name, name)) {
			place_node(b, a->node, at);
			return;
		}
	}
	STOP(b, at, "no value with the anchor `&%.*s` ends before this", SPAN_FMT(name));
}

static void on_start(struct builder *b, enum yaml_kind kind, struct fy_token *anchor,
		     struct fy_token *tag, struct source_range at)
{
	struct open_node *o;

	refuse_tag(b, tag, at);
	if (b->open_len == YAML_DEPTH_MAX) {
		STOP(b, at, "nested deeper than %d levels", YAML_DEPTH_MAX);
		return;
	}
	o = &b->open[b->open_len++];
	o->node = new_node(b, kind, at);
	o->tail = &o->node->first;
	o->key = NULL;
	o->anchor = token_text(b, anchor);
}

static void on_end(struct builder *b)
{
	struct open_node *o = &b->open[b->open_len - 1];

	if (o->node->kind == YAML_MAPPING)
		check_duplicates(b, o->node);
	b->open_len--;
	name_anchor(b, o->anchor, o->node);
	place_node(b, o->node, o->node->at);
}

static void on_event(struct builder *b, struct fy_event *e)
{
	struct source_range at = event_range(b, e);

	switch (e->type) {
	case FYET_DOCUMENT_START:
		if (b->documents++)
			STOP(b, at, "a second document begins here; a file holds one");
		break;
	case FYET_SCALAR: on_scalar(b, &e->scalar, at); break;
	case FYET_ALIAS: on_alias(b, e->alias.anchor, at); break;
	case FYET_MAPPING_START:
		on_start(b, YAML_MAPPING, e->mapping_start.anchor, e->mapping_start.tag, at);
		break;
	case FYET_SEQUENCE_START:
		on_start(b, YAML_LIST, e->sequence_start.anchor, e->sequence_start.tag, at);
		break;
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END: on_end(b); break;
	default: break;
	}
}

/* What the library says about syntax, at its place. One error only: those that
 * follow a syntax error are mostly its echo. */
static void say_syntax(struct builder *b, struct fy_diag *diag)
{
	void *iterator = NULL;
	struct fy_diag_error *e = fy_diag_errors_iterate(diag, &iterator);
	struct source_range at = b->latest;

	if (!e || e->line < 1 || e->column < 1) {
		STOP(b, at, "this is not YAML");
		return;
	}
	at.at = source_at(b->source, (unsigned)e->line, (unsigned)e->column);
	at.end = at.at + 1;
	STOP(b, at, "YAML syntax: %s", e->msg);
}

static void parse_events(struct builder *b, struct yaml_library *lib)
{
	bool ended = false;

	while (!b->stopped && (lib->event = fy_parser_parse(lib->parser))) {
		ended = lib->event->type == FYET_STREAM_END;
		on_event(b, lib->event);
		fy_parser_event_free(lib->parser, lib->event);
		lib->event = NULL;
	}
	if (!b->stopped && (!ended || fy_parser_get_stream_error(lib->parser) || b->open_len))
		say_syntax(b, lib->diag);
}

static bool library_init(struct yaml_library *lib, struct span text)
{
	static const struct fy_diag_cfg diag_cfg = {.level = FYET_ERROR, .module_mask = ~0u};
	struct fy_parse_cfg cfg = {
		.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 |
			 FYPCF_JSON_NONE,
	};

	lib->diag = fy_diag_create(&diag_cfg);
	if (!lib->diag)
		return false;
	fy_diag_set_collect_errors(lib->diag, true);
	cfg.diag = lib->diag;
	lib->parser = fy_parser_create(&cfg);
	return lib->parser && fy_parser_set_string(lib->parser, text.ptr, text.len) == 0;
}

void yaml_library_fini(struct yaml_library *lib)
{
	if (lib->event)
		fy_parser_event_free(lib->parser, lib->event);
	if (lib->parser)
		fy_parser_destroy(lib->parser);
	if (lib->diag)
		fy_diag_destroy(lib->diag);
	*lib = (struct yaml_library){0};
}

const struct yaml_node *yaml_parse(struct arena *arena, const struct source *source,
				   struct config_report *report, struct yaml_library *lib)
{
	size_t errors = report->errors;
	struct builder *b;

	if (!check_encoding(source, report) || !check_empty_lines(source, report))
		return NULL;
	b = arena_alloc(arena, sizeof(*b));
	*b = (struct builder){
		.arena = arena,
		.source = source,
		.report = report,
		.latest = {source, 0, source->text.len > 0},
	};
	if (!source->text.len)
		return new_node(b, YAML_MAPPING, b->latest);
	if (library_init(lib, source->text))
		parse_events(b, lib);
	else
		STOP(b, b->latest, "out of memory");
	yaml_library_fini(lib);
	if (report->errors != errors)
		return NULL;
	return b->root ? b->root : new_node(b, YAML_MAPPING, b->latest);
}

bool yaml_is_null(const struct yaml_node *n)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	for (size_t i = 0; n->kind == YAML_SCALAR && n->plain && i < ARRAY_LEN(words); i++)
		if (span_eq(n->text, span_str(words[i])))
			return true;
	return false;
}

const struct yaml_entry *yaml_find(const struct yaml_node *mapping, const char *key)
{
	if (mapping->kind != YAML_MAPPING)
		return NULL;
	for (const struct yaml_entry *e = mapping->first; e; e = e->next)
		if (span_eq(e->key->text, span_str(key)))
			return e;
	return NULL;
}

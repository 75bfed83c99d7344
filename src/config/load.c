#include <ringway/config/load.h>

#include <errno.h>
#include <stdatomic.h>
#include <limits.h>
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "readers.h"
#include "substitute.h"

/* Some 50,000 routes. Bigger is a wrong file (a log, a device). */
#define FILE_MAX (4 * MIB)
/* Files in one load, and how deep they include each other. */
#define FILES_MAX         64
#define INCLUDE_DEPTH_MAX 8
/* As many as a process can ever know (upstream/upstreams.h). */
#define SERVICES_MAX 4096

/* Memory for a load. When there is none left, the load as a whole ends: everything
 * it has lies in three arenas and the YAML library's handles, so one jump can leave
 * from anywhere and nothing leaks. */
struct load_memory {
	struct arena_source source;
	jmp_buf out;
};

struct file {
	struct source source;
	char *real; /* without symbolic links; NULL: text that is in no file */
	const struct file *included_by;
	unsigned depth;
};

struct files {
	struct loader *loader;
	struct file all[FILES_MAX];
	size_t len;
	struct yaml_node *top;
	struct yaml_entry **top_tail;
	struct yaml_node *services; /* all of them; NULL: none yet */
	struct yaml_entry **services_tail;
};

static void *memory_take(struct arena_source *source, size_t bytes, size_t *ret_size)
{
	struct load_memory *m = container_of(source, struct load_memory, source);
	void *chunk = arena_malloc_source.take(&arena_malloc_source, bytes, ret_size);

	if (!chunk)
		longjmp(m->out, 1);
	return chunk;
}

static void memory_give(struct arena_source *source UNUSED, void *chunk)
{
	arena_malloc_source.give(&arena_malloc_source, chunk);
}

static void read_tree(struct files *files, struct file *f);

/* A key of some file joins those of all. Services are put together; every other key
 * stands in one file only. */
static void merge_key(struct files *files, const struct yaml_entry *e, bool is_service)
{
	struct loader *l = files->loader;
	struct yaml_node *into = is_service ? files->services : files->top;
	struct yaml_entry ***tail = is_service ? &files->services_tail : &files->top_tail;
	const char *key = arena_str(&l->scratch, e->key->text);
	const struct yaml_entry *other = yaml_find(into, key);
	struct yaml_entry *entry;

	if (other) {
		struct config_place place = place_of(other->key);

		say(l, CONFIG_ERROR, e->key->at, is_service ? "services" : "",
		    is_service
			    ? "service `%s` exists already, in %s:%u"
			    : "`%s` is given already, in %s:%u; only `services` may be spread over "
			      "files",
		    key, place.file, place.line);
		return;
	}
	entry = arena_alloc(&l->scratch, sizeof(*entry));
	*entry = (struct yaml_entry){NULL, e->key, e->value};
	**tail = entry;
	*tail = &entry->next;
	into->entries++;
}

static void merge_services(struct files *files, const struct yaml_entry *e)
{
	struct loader *l = files->loader;

	if (e->value->kind != YAML_MAPPING && !yaml_is_null(e->value)) {
		say(l, CONFIG_ERROR, e->value->at, "services",
		    "must be a mapping of names to services");
		return;
	}
	if (!files->services) {
		struct yaml_entry all = *e;

		files->services = arena_alloc(&l->scratch, sizeof(*files->services));
		*files->services = (struct yaml_node){.kind = YAML_MAPPING, .at = e->value->at};
		files->services_tail = &files->services->first;
		all.value = files->services;
		merge_key(files, &all, false);
	}
	if (files->services->entries + e->value->entries > SERVICES_MAX) {
		say(l, CONFIG_ERROR, e->key->at, "services", "more than %d services", SERVICES_MAX);
		return;
	}
	for (const struct yaml_entry *s = e->value->first; s; s = s->next)
		merge_key(files, s, true);
}

static struct file *add_file(struct files *files, const struct file *included_by, const char *path,
			     struct span text, char *real)
{
	struct file *f = &files->all[files->len];

	*f = (struct file){.real = real,
			   .included_by = included_by,
			   .depth = included_by ? included_by->depth + 1 : 0};
	source_init(&f->source, &files->loader->scratch,
		    arena_str(&files->loader->config->arena, span_str(path)), text,
		    (unsigned)files->len);
	files->len++;
	return f;
}

/* Reads one included file. NULL, or what is wrong with it. */
static const char *include_error(struct files *files, const struct file *from, const char *path)
{
	struct loader *l = files->loader;
	char resolved[PATH_MAX], *real;
	struct span text;
	int err;

	if (!realpath(path, resolved))
		return arena_printf(&l->scratch, "cannot read %s: %s", path, strerror(errno)).ptr;
	for (const struct file *f = from; f; f = f->included_by)
		if (f->real && strcmp(f->real, resolved) == 0)
			return arena_printf(&l->scratch, "%s includes itself", path).ptr;
	for (size_t i = 0; i < files->len; i++)
		if (files->all[i].real && strcmp(files->all[i].real, resolved) == 0)
			return arena_printf(&l->scratch, "%s is included already", path).ptr;
	if (from->depth + 1 > INCLUDE_DEPTH_MAX)
		return arena_printf(&l->scratch, "more than %d includes inside each other",
				    INCLUDE_DEPTH_MAX)
			.ptr;
	if (files->len == FILES_MAX)
		return arena_printf(&l->scratch, "more than %d files", FILES_MAX).ptr;
	err = read_file(&l->scratch, path, FILE_MAX, &text);
	if (err == -EFBIG)
		return arena_printf(&l->scratch, "%s is bigger than %zu MiB", path, FILE_MAX / MIB)
			.ptr;
	if (err)
		return arena_printf(&l->scratch, "cannot read %s: %s", path, strerror(-err)).ptr;
	real = arena_str(&l->scratch, span_str(resolved));
	read_tree(files, add_file(files, from, path, text, real));
	return NULL;
}

static void read_includes(struct files *files, const struct file *from,
			  const struct yaml_node *value)
{
	struct loader *l = files->loader;
	struct span saved = path_enter(l, SPAN("include"));
	struct list_cursor at;
	const struct yaml_node *n;
	struct span text;

	if (l->isolated) {
		say_error(l, value, "a file cannot be read here");
		l->path = saved;
		return;
	}
	list_begin(l, value, true, &at);
	while ((n = list_next(l, &at))) {
		struct span element = l->path;
		const char *error;

		if (!scalar_text(l, n, &text))
			continue;
		l->path = saved; /* errors in the file have paths of their own */
		error = include_error(files, from, path_beside(l, n->at.source, text));
		l->path = element;
		if (error)
			say_error(l, n, "%s", error);
	}
	l->path = saved;
}

static void read_tree(struct files *files, struct file *f)
{
	struct loader *l = files->loader;
	const struct yaml_node *tree = yaml_parse(&l->scratch, &f->source, l->report, &l->yaml);
	const struct yaml_entry *include;

	l->unparsed |= !tree;
	if (!tree || yaml_is_null(tree))
		return;
	if (tree->kind != YAML_MAPPING) {
		say(l, CONFIG_ERROR, tree->at, "", "the file must be a mapping of keys");
		l->unparsed = true;
		return;
	}
	for (const struct yaml_entry *e = tree->first; e; e = e->next) {
		if (span_eq(e->key->text, SPAN("services")))
			merge_services(files, e);
		else if (!span_eq(e->key->text, SPAN("include")))
			merge_key(files, e, false);
	}
	/* Last, so that a key that is given twice is said to be so where it is less
	 * expected: in the included file. */
	include = yaml_find(tree, "include");
	if (include)
		read_includes(files, f, include->value);
}

const char *config_admin_socket(struct arena *arena, const char *instance, unsigned candidate,
				const char **ret_directory)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	switch (candidate) {
	case 0:
		*ret_directory = "/run/ringway";
		return arena_printf(arena, "/run/ringway/%s.sock", instance).ptr;
	case 1:
		if (!runtime || runtime[0] != '/')
			runtime = "/nonexistent";
		*ret_directory = arena_str(arena, span_str(runtime));
		return arena_printf(arena, "%s/ringway-%s.sock", runtime, instance).ptr;
	case 2:
		*ret_directory = "/tmp";
		return arena_printf(arena, "/tmp/ringway-%u-%s.sock", (unsigned)getuid(), instance)
			.ptr;
	default: return NULL;
	}
}

static const char *default_socket(struct config *c)
{
	const char *directory, *path = NULL;

	for (unsigned i = 0; i < CONFIG_ADMIN_SOCKETS; i++) {
		path = config_admin_socket(&c->arena, c->instance, i, &directory);
		if (access(directory, W_OK | X_OK) == 0)
			break;
	}
	return path;
}

static void set_defaults(struct loader *l)
{
	struct config *c = l->config;

	c->instance = "default";
	c->max_connections = 1000;
	c->client = (struct config_client){
		.handshake_time_ns = 10 * NS_PER_S,
		.max_handshakes = 1024,
		.head_time_ns = 10 * NS_PER_S,
		.body_idle_ns = 30 * NS_PER_S,
		.write_idle_ns = 30 * NS_PER_S,
		.keepalive_ns = 75 * NS_PER_S,
		.max_request_line_bytes = 8 * KIB,
		.max_head_bytes = 32 * KIB,
		.max_fields = 100,
	};
	c->runtime.drain_ns = 30 * NS_PER_S;
	c->runtime.limit_keys = 262144;
	c->runtime.limit_windows = 65536;
	c->runtime.metrics_shared = true;
	c->runtime.metric_routes = 256;
	c->resolver.timeout_ns = 2 * NS_PER_S;
	c->resolver.max_ttl_ns = 300 * NS_PER_S;
	c->monitoring.logging = (struct config_logging){.level = CONFIG_LOG_INFO,
							.format = CONFIG_LOG_JSON,
							.output = "stdout",
							.access = true};
	l->gateway_timeout_ns = 30 * NS_PER_S;
	must(address_from_ip(SPAN("0.0.0.0"), 0, &l->gateway_ip));
	must(address_from_ip(SPAN("127.0.0.1"), 0, &l->metrics_ip));
}

/* `text` NULL: from the file at `path`. */
static void load(struct loader *l, const char *path, const struct span *text)
{
	struct files *files = arena_alloc(&l->scratch, sizeof(*files));
	char resolved[PATH_MAX], *real = NULL;
	struct file *main;
	struct span body = SPAN("");
	int err = 0;

	*files = (struct files){.loader = l};
	files->top = arena_alloc(&l->scratch, sizeof(*files->top));
	files->top_tail = &files->top->first;
	l->path = SPAN("");
	l->isolated = !path;
	l->config->path = arena_str(&l->config->arena, span_str(path ? path : "<text>"));
	set_defaults(l);
	if (text)
		body = *text;
	else
		err = read_file(&l->scratch, path, FILE_MAX, &body);
	if (path && realpath(path, resolved))
		real = arena_str(&l->scratch, span_str(resolved));
	if (body.len > FILE_MAX)
		err = -EFBIG;
	main = add_file(files, NULL, l->config->path, err ? SPAN("") : body, real);
	*files->top = (struct yaml_node){.kind = YAML_MAPPING, .at = {&main->source, 0, 0}};
	l->main = &main->source;
	l->top = files->top;
	if (err) {
		struct source_range whole = {&main->source, SIZE_MAX, SIZE_MAX};

		if (err == -EFBIG)
			say(l, CONFIG_ERROR, whole, "", "the file is bigger than %zu MiB",
			    FILE_MAX / MIB);
		else
			say(l, CONFIG_ERROR, whole, "", "cannot read: %s", strerror(-err));
		return;
	}
	read_tree(files, main);
	/* A file that does not parse says too little about the rest. */
	if (l->unparsed)
		return;
	schema_read(l, keys_file, files->top, l->config);
	if (!l->config->admin.socket)
		l->config->admin.socket = default_socket(l->config);
	finish_listeners(l);
	finish_client(l);
	finish_owners(l);
	finish_limits(l);
	finish_services(l);
	check_shadowed_routes(l);
}

static int load_whole(const char *path, const struct span *text, struct config **ret_config,
		      struct config_report *ret_report)
{
	struct load_memory memory = {.source = {memory_take, memory_give}};
	struct loader *l = calloc(1, sizeof(*l));
	struct config *c = calloc(1, sizeof(*c));
	volatile int err = -ENOMEM; /* holds over the jump */

	report_init(ret_report, &memory.source);
	if (l && c && !setjmp(memory.out)) {
		l->config = c;
		l->report = ret_report;
		arena_init(&c->arena, NULL, 0, &memory.source);
		arena_init(&l->scratch, NULL, 0, &memory.source);
		load(l, path, text);
		report_sort(ret_report);
		err = ret_report->errors ? -EINVAL : 0;
	}
	/* The jump is over: whoever uses them later gets NULL again. */
	ret_report->arena.source = &arena_malloc_source;
	if (l) {
		yaml_library_fini(&l->yaml);
		if (l->scratch.source)
			arena_reset(&l->scratch);
	}
	free(l);
	if (c && c->arena.source)
		c->arena.source = &arena_malloc_source;
	if (err) {
		config_destroy(c);
		return err;
	}
	*ret_config = c;
	return 0;
}

int config_load(const char *path, struct config **ret_config, struct config_report *ret_report)
{
	must(path);
	return load_whole(path, NULL, ret_config, ret_report);
}

int config_load_text(const char *path, struct span text, struct config **ret_config,
		     struct config_report *ret_report)
{
	return load_whole(path, &text, ret_config, ret_report);
}

struct config *config_ref(struct config *c)
{
	atomic_fetch_add_explicit(&c->more_uses, 1, memory_order_relaxed);
	return c;
}

void config_destroy(struct config *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->more_uses, 1, memory_order_acq_rel) > 0)
		return;
	arena_reset(&c->arena);
	free(c);
}

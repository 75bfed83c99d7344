#include <ringway/observe/metrics.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const metrics_method_texts[METRICS_METHODS] = {
	[METRICS_READ] = "read",
	[METRICS_WRITE] = "write",
	[METRICS_OTHER_METHOD] = "other",
};

const char *const metrics_status_texts[METRICS_STATUSES] = {
	[METRICS_STATUS_NONE] = "none", [METRICS_STATUS_1XX] = "1xx", [METRICS_STATUS_2XX] = "2xx",
	[METRICS_STATUS_3XX] = "3xx",   [METRICS_STATUS_4XX] = "4xx", [METRICS_STATUS_5XX] = "5xx",
};

/* ---- where everything lies: by the capacities alone ---- */

#define RESERVED_ROUTES (METRICS_NO_ROUTE + 1)
#define RESERVED_OTHERS (METRICS_OVERFLOW + 1)

struct places {
	size_t process, routes, endpoints, limits;
	size_t blocks, route_shares, endpoint_shares, limit_shares;
	size_t bytes;
};

static size_t rounded(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static size_t names_bytes(size_t names)
{
	return sizeof(struct metrics_names) + names * sizeof(struct metrics_name);
}

static size_t routes_stride(const struct metrics_size *s)
{
	return (s->routes + RESERVED_ROUTES) * sizeof(struct metrics_route);
}

static size_t endpoints_stride(const struct metrics_size *s)
{
	return (s->endpoints + RESERVED_OTHERS) * sizeof(struct metrics_endpoint);
}

static size_t limits_stride(const struct metrics_size *s)
{
	return rounded((s->limits + RESERVED_OTHERS) * sizeof(struct metrics_limit), CACHE_LINE);
}

static bool is_allowed(const struct metrics_size *s)
{
	return s->shards && s->shards <= METRICS_SHARDS_MAX && s->routes <= METRICS_NAMES_MAX &&
	       s->endpoints <= METRICS_NAMES_MAX && s->limits <= METRICS_NAMES_MAX;
}

/* Where the next part lies, behind which there are so many bytes. */
static size_t put(size_t *at, size_t bytes)
{
	size_t place = *at;

	*at = rounded(place + bytes, METRICS_PAGE);
	return place;
}

static void find_places(const struct metrics_size *s, struct places *ret_places)
{
	size_t at = METRICS_PAGE;

	_Static_assert(sizeof(struct metrics_head) <= METRICS_PAGE, "the head has a page");
	_Static_assert(sizeof(struct metrics_block) % CACHE_LINE == 0, "own lines for each shard");
	*ret_places = (struct places){
		.process = put(&at, sizeof(struct metrics_process)),
		.routes = put(&at, names_bytes(s->routes + RESERVED_ROUTES)),
		.endpoints = put(&at, names_bytes(s->endpoints + RESERVED_OTHERS)),
		.limits = put(&at, names_bytes(s->limits + RESERVED_OTHERS)),
		.blocks = put(&at, (s->shards + 1) * sizeof(struct metrics_block)),
		.route_shares = put(&at, s->shards * routes_stride(s)),
		.endpoint_shares = put(&at, s->shards * endpoints_stride(s)),
		.limit_shares = put(&at, s->shards * limits_stride(s)),
	};
	ret_places->bytes = at;
}

size_t metrics_bytes(const struct metrics_size *size)
{
	struct places places;

	if (!is_allowed(size))
		return 0;
	find_places(size, &places);
	return places.bytes;
}

static void fill_head(struct metrics_head *h, const struct metrics_size *size, size_t bytes)
{
	h->layout = METRICS_LAYOUT;
	h->head_bytes = sizeof(struct metrics_head);
	h->bytes = bytes;
	h->process_bytes = sizeof(struct metrics_process);
	h->block_bytes = sizeof(struct metrics_block);
	h->route_bytes = sizeof(struct metrics_route);
	h->endpoint_bytes = sizeof(struct metrics_endpoint);
	h->limit_bytes = sizeof(struct metrics_limit);
	h->name_bytes = sizeof(struct metrics_name);
	h->causes = ACCESS_CAUSES;
	h->size = *size;
}

/* ---- names ---- */

/* The writer's side of a table: hashes beside the texts, since a config may name thousands
 * of routes and each is looked for. */
struct name_table {
	struct metrics_names *names;
	uint32_t max;
	uint32_t *hashes; /* by number */
};

struct metrics {
	struct metrics_view view;
	struct metrics_process *process;
	struct name_table routes, endpoints, limits;
	struct metrics_shard *shards; /* control's last */
};

static uint32_t hash_text(uint32_t hash, const char *text)
{
	/* FNV-1a, its NUL included so that ("a", "bc") is not ("ab", "c"). */
	do
		hash = (hash ^ (uint8_t)*text) * 16777619;
	while (*text++);
	return hash;
}

static void add_name(struct name_table *t, const struct metrics_name *name, uint32_t hash)
{
	uint32_t len = atomic_load_explicit(&t->names->len, memory_order_relaxed);

	t->names->names[len] = *name;
	t->hashes[len] = hash;
	atomic_store_explicit(&t->names->len, len + 1, memory_order_release);
}

static uint32_t find_or_add(struct name_table *t, const char *service, const char *text)
{
	uint32_t len = atomic_load_explicit(&t->names->len, memory_order_relaxed);
	struct metrics_name name = {0};
	uint32_t hash;

	/* Cut first: what looks the same is the same. */
	snprintf(name.service, sizeof(name.service), "%s", service);
	snprintf(name.name, sizeof(name.name), "%s", text);
	hash = hash_text(hash_text(2166136261, name.service), name.name);
	for (uint32_t i = 0; i < len; i++)
		if (t->hashes[i] == hash && strcmp(t->names->names[i].name, name.name) == 0 &&
		    strcmp(t->names->names[i].service, name.service) == 0)
			return i;
	if (len == t->max) {
		counter_add(&t->names->refused, 1);
		return METRICS_OVERFLOW;
	}
	add_name(t, &name, hash);
	return len;
}

static int table_init(struct name_table *t, struct metrics_names *names, uint32_t max)
{
	t->names = names;
	t->max = max;
	t->hashes = calloc(max, sizeof(*t->hashes));
	if (!t->hashes)
		return -ENOMEM;
	find_or_add(t, "", METRICS_OVERFLOW_TEXT);
	return 0;
}

uint32_t metrics_route(struct metrics *m, const char *service, const char *route)
{
	return find_or_add(&m->routes, service, route);
}

uint32_t metrics_endpoint(struct metrics *m, const char *service, const char *url)
{
	return find_or_add(&m->endpoints, service, url);
}

uint32_t metrics_limit(struct metrics *m, const char *name)
{
	return find_or_add(&m->limits, "", name);
}

/* ---- making ---- */

/* Field 22 of /proc/self/stat; 0: unknown. */
static uint64_t own_start_ticks(void)
{
	unsigned long long ticks = 0;
	char line[1024], *at;
	FILE *in = fopen("/proc/self/stat", "re");
	size_t len = in ? fread(line, 1, sizeof(line) - 1, in) : 0;

	if (in)
		fclose(in);
	line[len] = '\0';
	/* Behind the program's name, which may hold anything: state, then 18 numbers. */
	at = strrchr(line, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		ticks = strtoull(at, NULL, 10);
	return ticks;
}

static void set_view(struct metrics_view *v, const char *memory, const struct metrics_size *size)
{
	struct places places;

	find_places(size, &places);
	*v = (struct metrics_view){
		.head = (const void *)memory,
		.size = *size,
		.process = (const void *)(memory + places.process),
		.routes = (const void *)(memory + places.routes),
		.endpoints = (const void *)(memory + places.endpoints),
		.limits = (const void *)(memory + places.limits),
		.blocks = memory + places.blocks,
		.route_shares = memory + places.route_shares,
		.endpoint_shares = memory + places.endpoint_shares,
		.limit_shares = memory + places.limit_shares,
	};
}

static void point_shards(struct metrics *m, char *memory, const struct places *p)
{
	const struct metrics_size *size = &m->view.size;

	for (uint32_t i = 0; i <= size->shards; i++) {
		struct metrics_shard *s = &m->shards[i];

		s->block = (void *)(memory + p->blocks + i * sizeof(*s->block));
		if (i == size->shards)
			break;
		s->routes = (void *)(memory + p->route_shares + i * routes_stride(size));
		s->endpoints = (void *)(memory + p->endpoint_shares + i * endpoints_stride(size));
		s->limits = (void *)(memory + p->limit_shares + i * limits_stride(size));
	}
}

int metrics_create(const struct metrics_size *size, void *memory, const char *instance,
		   const char *version, uint64_t started_unix_us, struct metrics **ret_metrics)
{
	struct metrics_head *head = memory;
	struct places places;
	char *base = memory;
	struct metrics *m;
	int err = -ENOMEM;

	if (!is_allowed(size) || (uintptr_t)memory % METRICS_PAGE)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return err;
	find_places(size, &places);
	m->shards = calloc(size->shards + 1, sizeof(*m->shards));
	if (!m->shards ||
	    table_init(&m->routes, (void *)(base + places.routes), size->routes + RESERVED_ROUTES) ||
	    table_init(&m->endpoints, (void *)(base + places.endpoints),
		       size->endpoints + RESERVED_OTHERS) ||
	    table_init(&m->limits, (void *)(base + places.limits), size->limits + RESERVED_OTHERS)) {
		metrics_destroy(m);
		return err;
	}
	must(metrics_route(m, "", "") == METRICS_NO_ROUTE);
	set_view(&m->view, memory, size);
	m->process = (void *)(base + places.process);
	point_shards(m, memory, &places);
	fill_head(head, size, places.bytes);
	head->pid = (uint32_t)getpid();
	head->pid_started = own_start_ticks();
	head->started_unix_us = started_unix_us;
	snprintf(head->version, sizeof(head->version), "%s", version);
	snprintf(head->instance, sizeof(head->instance), "%s", instance);
	atomic_store_explicit(&head->magic, METRICS_MAGIC, memory_order_release);
	*ret_metrics = m;
	return 0;
}

void metrics_destroy(struct metrics *m)
{
	if (!m)
		return;
	free(m->routes.hashes);
	free(m->endpoints.hashes);
	free(m->limits.hashes);
	free(m->shards);
	free(m);
}

struct metrics_shard *metrics_shard(struct metrics *m, unsigned shard)
{
	must(shard <= m->view.size.shards);
	return &m->shards[shard];
}

struct metrics_process *metrics_process(struct metrics *m)
{
	return m->process;
}

/* ---- counting ---- */

void metrics_count_request(struct metrics_shard *m, uint32_t route, enum metrics_method method,
			   const struct access_record *record, uint64_t duration_us,
			   bool has_first_byte)
{
	unsigned status = record->status / 100u;
	struct metrics_block *b = m->block;
	struct metrics_route *r = &m->routes[route];

	counter_add(&b->requests, 1);
	histogram_add_size(&b->request_bytes, record->bytes_in);
	histogram_add_size(&b->response_bytes, record->bytes_out);
	if (unlikely(record->cause != ACCESS_OK))
		counter_add(&b->failed[record->cause], 1);
	counter_add(&r->requests[method][status < METRICS_STATUSES ? status : 0], 1);
	counter_add(&r->bytes_in, record->bytes_in);
	counter_add(&r->bytes_out, record->bytes_out);
	histogram_add_time(&r->duration_us, duration_us);
	if (has_first_byte)
		histogram_add_time(&r->first_byte_us, record->first_byte_us);
}

void metrics_count_limit(struct metrics_shard *m, uint32_t limit, enum metrics_verdict verdict,
			 bool coarse, uint64_t wait_ns)
{
	struct metrics_limit *l = &m->limits[limit];
	struct metrics_block *b = m->block;

	switch (verdict) {
	case METRICS_ADMITTED:
		counter_add(&l->admitted, 1);
		counter_add(&b->limits_admitted, 1);
		break;
	case METRICS_REFUSED:
		counter_add(&l->refused, 1);
		counter_add(&b->limits_refused, 1);
		if (wait_ns != UINT64_MAX)
			histogram_add_time(&b->limits_wait_us, wait_ns / NS_PER_US);
		break;
	case METRICS_NO_ROOM:
		counter_add(&l->no_room, 1);
		counter_add(&b->limits_no_room, 1);
		break;
	}
	if (unlikely(coarse))
		counter_add(&l->coarse, 1);
}

/* ---- reading ---- */

const char *metrics_fault_text(enum metrics_fault fault)
{
	switch (fault) {
	case METRICS_READABLE: return "";
	case METRICS_NOT_OURS: return "not a segment of Ringway's, or not a whole one";
	case METRICS_OTHER_VERSION: return "segment of another version";
	case METRICS_DAMAGED: return "segment whose sizes do not fit together";
	}
	return "";
}

enum metrics_fault metrics_attach(const void *memory, size_t len, struct metrics_view *ret_view)
{
	const struct metrics_head *mapped = memory;
	struct metrics_head head, own;

	if (len < METRICS_PAGE ||
	    atomic_load_explicit(&mapped->magic, memory_order_acquire) != METRICS_MAGIC)
		return METRICS_NOT_OURS;
	if (mapped->layout != METRICS_LAYOUT || mapped->head_bytes != sizeof(head))
		return METRICS_OTHER_VERSION;
	/* A copy: what is checked is what is used, whoever writes there meanwhile. */
	memcpy(&head, memory, sizeof(head));
	memset(&own, 0, sizeof(own));
	fill_head(&own, &head.size, 0);
	if (memcmp(&head.process_bytes, &own.process_bytes,
		   offsetof(struct metrics_head, pid) -
			   offsetof(struct metrics_head, process_bytes)) != 0)
		return METRICS_OTHER_VERSION;
	if (!is_allowed(&head.size) || metrics_bytes(&head.size) != head.bytes || head.bytes > len)
		return METRICS_DAMAGED;
	set_view(ret_view, memory, &head.size);
	return METRICS_READABLE;
}

void metrics_view(const struct metrics *m, struct metrics_view *ret_view)
{
	*ret_view = m->view;
}

void metrics_view_texts(const struct metrics_view *v, char instance[static 108],
			char version[static 32])
{
	memcpy(instance, v->head->instance, sizeof(v->head->instance));
	memcpy(version, v->head->version, sizeof(v->head->version));
	instance[sizeof(v->head->instance) - 1] = '\0';
	version[sizeof(v->head->version) - 1] = '\0';
}

static uint32_t names_len(const struct metrics_names *names, uint32_t least, uint32_t most)
{
	uint32_t len = atomic_load_explicit(&names->len, memory_order_acquire);

	return len < least ? least : len > most ? most : len;
}

uint32_t metrics_routes_len(const struct metrics_view *v)
{
	return names_len(v->routes, RESERVED_ROUTES, v->size.routes + RESERVED_ROUTES);
}

uint32_t metrics_endpoints_len(const struct metrics_view *v)
{
	return names_len(v->endpoints, RESERVED_OTHERS, v->size.endpoints + RESERVED_OTHERS);
}

uint32_t metrics_limits_len(const struct metrics_view *v)
{
	return names_len(v->limits, RESERVED_OTHERS, v->size.limits + RESERVED_OTHERS);
}

void metrics_name_of(const struct metrics_names *names, uint32_t number,
		     struct metrics_name *ret_name)
{
	*ret_name = names->names[number];
	ret_name->service[sizeof(ret_name->service) - 1] = '\0';
	ret_name->name[sizeof(ret_name->name) - 1] = '\0';
}

const struct metrics_block *metrics_block_of(const struct metrics_view *v, unsigned shard)
{
	must(shard <= v->size.shards);
	return (const struct metrics_block *)(const void *)v->blocks + shard;
}

const struct metrics_route *metrics_route_of(const struct metrics_view *v, unsigned shard,
					     uint32_t number)
{
	must(shard < v->size.shards && number < v->size.routes + RESERVED_ROUTES);
	return (const struct metrics_route *)(const void *)(v->route_shares +
							    shard * routes_stride(&v->size)) +
	       number;
}

const struct metrics_endpoint *metrics_endpoint_of(const struct metrics_view *v, unsigned shard,
						   uint32_t number)
{
	must(shard < v->size.shards && number < v->size.endpoints + RESERVED_OTHERS);
	return (const struct metrics_endpoint *)(const void *)(v->endpoint_shares +
							       shard * endpoints_stride(&v->size)) +
	       number;
}

const struct metrics_limit *metrics_limit_of(const struct metrics_view *v, unsigned shard,
					     uint32_t number)
{
	must(shard < v->size.shards && number < v->size.limits + RESERVED_OTHERS);
	return (const struct metrics_limit *)(const void *)(v->limit_shares +
							    shard * limits_stride(&v->size)) +
	       number;
}

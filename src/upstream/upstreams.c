#include <ringway/upstream/upstreams.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static const struct h1_client_events upstream_events;

static void *reserve(size_t bytes)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

int upstreams_init(struct upstreams *u, struct shard *shard, uint32_t conns, uint32_t idle_max,
		   struct h1_parser *parser)
{
	memset(u, 0, sizeof(*u));
	u->shard = shard;
	u->parser = parser;
	u->limits = *parser->limits;
	u->slots_len = conns;
	u->idle_max = idle_max;
	list_init(&u->by_age);
	u->endpoints = reserve(UPSTREAM_ENDPOINTS_MAX * sizeof(*u->endpoints));
	u->turns = reserve(UPSTREAM_GROUPS_MAX * sizeof(*u->turns));
	u->slots = reserve(conns * sizeof(*u->slots));
	if (u->endpoints && u->turns && u->slots)
		return 0;
	upstreams_fini(u);
	return -ENOMEM;
}

void upstreams_fini(struct upstreams *u)
{
	for (uint32_t i = 0; u->slots && i < u->slots_used_ever; i++)
		h1_client_fini(&u->slots[i].h1);
	for (uint32_t i = 0; u->endpoints && i < u->endpoints_used; i++)
		tls_saved_forget(&u->endpoints[i].tls_saved);
	if (u->endpoints)
		munmap(u->endpoints, UPSTREAM_ENDPOINTS_MAX * sizeof(*u->endpoints));
	if (u->turns)
		munmap(u->turns, UPSTREAM_GROUPS_MAX * sizeof(*u->turns));
	if (u->slots)
		munmap(u->slots, u->slots_len * sizeof(*u->slots));
	u->endpoints = NULL;
	u->turns = NULL;
	u->slots = NULL;
}

static struct endpoint *endpoint_at(struct upstreams *u, uint32_t number)
{
	struct endpoint *e = &u->endpoints[number];

	must(number < UPSTREAM_ENDPOINTS_MAX);
	if (!e->idle.next)
		list_init(&e->idle);
	if (number >= u->endpoints_used)
		u->endpoints_used = number + 1;
	return e;
}

void upstreams_set_addresses(struct upstreams *u, uint32_t endpoint, const struct address *addresses,
			     unsigned len, uint16_t port)
{
	struct endpoint *e = endpoint_at(u, endpoint);

	if (len > RESOLVER_ADDRESSES)
		len = RESOLVER_ADDRESSES;
	for (unsigned i = 0; i < len; i++) {
		e->addresses[i] = addresses[i];
		if (addresses[i].sa.sa_family != AF_UNIX)
			address_set_port(&e->addresses[i], port);
	}
	e->addresses_len = (uint16_t)len;
	e->next_address = 0;
	e->port = port;
}

uint32_t upstreams_turn(struct upstreams *u, uint32_t group, uint32_t targets)
{
	must(group < UPSTREAM_GROUPS_MAX && targets);
	/* Shards begin at different targets: together they do not prefer the first. */
	if (!u->turns[group])
		u->turns[group] = u->shard->index + 1u;
	return (u->turns[group]++ - 1) % targets;
}

/* ---- idle ones ---- */

static void publish(struct upstreams *u)
{
	counter_set(&u->shard->metrics->upstreams, u->open);
	counter_set(&u->shard->metrics->upstreams_idle, u->idle);
}

static struct upstream_conn *upstream_conn_of(struct h1_client *h1)
{
	return container_of(h1, struct upstream_conn, h1);
}

static void leave_idle(struct upstream_conn *c)
{
	if (list_is_alone(&c->age_link))
		return;
	list_remove(&c->age_link);
	list_remove(&c->endpoint_link);
	c->endpoint->idle_len--;
	c->home->idle--;
	publish(c->home);
}

bool upstreams_close_oldest(struct upstreams *u)
{
	if (list_is_empty(&u->by_age))
		return false;
	h1_client_close(&list_entry(u->by_age.next, struct upstream_conn, age_link)->h1);
	return true;
}

void upstreams_close_idle(struct upstreams *u)
{
	while (upstreams_close_oldest(u))
		;
}

static void on_idle(struct h1_client *h1)
{
	struct upstream_conn *c = upstream_conn_of(h1);
	struct upstreams *u = c->home;

	list_push_front(&c->endpoint->idle, &c->endpoint_link);
	list_push_back(&u->by_age, &c->age_link);
	c->endpoint->idle_len++;
	u->idle++;
	publish(u);
	if (u->idle > u->idle_max)
		upstreams_close_oldest(u);
}

static void on_ended(struct h1_client *h1)
{
	leave_idle(upstream_conn_of(h1));
}

static void on_gone(struct h1_client *h1)
{
	struct upstream_conn *c = upstream_conn_of(h1);

	c->next_free = c->home->free;
	c->home->free = c;
	c->home->open--;
	publish(c->home);
}

static const struct h1_client_events upstream_events = {
	.on_idle = on_idle,
	.on_ended = on_ended,
	.on_gone = on_gone,
};

/* ---- taking ---- */

static struct upstream_conn *take_slot(struct upstreams *u)
{
	struct upstream_conn *c = u->free;

	if (c) {
		u->free = c->next_free;
	} else if (u->slots_used_ever < u->slots_len) {
		c = &u->slots[u->slots_used_ever++];
	} else {
		/* A slot comes back only turns after a close: this request goes without,
		 * the next one finds it. */
		upstreams_close_oldest(u);
		return NULL;
	}
	u->open++;
	publish(u);
	return c;
}

static int connect_new(struct upstreams *u, struct endpoint *e, const struct h1_client_tls *tls,
		       const struct h1_client_timeouts *timeouts, struct upstream_conn **ret_conn)
{
	struct h1_client_tls own;
	const struct address *to;
	struct upstream_conn *c;
	int err;

	if (!e->addresses_len)
		return -EDESTADDRREQ;
	c = take_slot(u);
	if (!c)
		return -ENOBUFS;
	to = &e->addresses[e->next_address++ % e->addresses_len];
	c->home = u;
	c->endpoint = e;
	list_init(&c->endpoint_link);
	list_init(&c->age_link);
	memset(c->tls_settings, 0, sizeof(c->tls_settings));
	if (tls) {
		own = *tls;
		own.saved = &e->tls_saved;
		memcpy(c->tls_settings, tls_caller_settings(tls->caller), TLS_SETTINGS_BYTES);
		tls = &own;
	}
	h1_client_init(&c->h1, u->shard, &upstream_events, &u->limits, u->parser);
	err = h1_client_connect(&c->h1, to, tls, timeouts);
	if ((err == -EMFILE || err == -ENFILE) && upstreams_close_oldest(u))
		err = h1_client_connect(&c->h1, to, tls, timeouts);
	if (err) {
		on_gone(&c->h1);
		return err;
	}
	*ret_conn = c;
	return 0;
}

/* NULL: none, or none that was made under these settings; the others are closed. */
static struct upstream_conn *take_idle(struct endpoint *e, const struct h1_client_tls *tls)
{
	while (!list_is_empty(&e->idle)) {
		struct upstream_conn *c =
			list_entry(e->idle.next, struct upstream_conn, endpoint_link);

		if (!tls || memcmp(c->tls_settings, tls_caller_settings(tls->caller),
				   TLS_SETTINGS_BYTES) == 0) {
			leave_idle(c);
			return c;
		}
		h1_client_close(&c->h1);
	}
	return NULL;
}

int upstreams_take(struct upstreams *u, uint32_t endpoint, const struct h1_client_tls *tls,
		   bool fresh, const struct h1_client_timeouts *timeouts,
		   struct upstream_conn **ret_conn)
{
	struct endpoint *e = endpoint_at(u, endpoint);
	struct upstream_conn *c = fresh ? NULL : take_idle(e, tls);

	if (!c)
		return connect_new(u, e, tls, timeouts, ret_conn);
	h1_client_begin(&c->h1, timeouts);
	*ret_conn = c;
	return 0;
}

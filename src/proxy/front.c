#include <ringway/proxy/front.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <ringway/proxy/exchange.h>

#include "greeting.h"
#include "slots.h"

/* Field slots of the parser's scratch: above what client.max_fields may be. */
#define PARSER_FIELDS 1024

/* Limits of what upstreams answer: what clients may send by default, since whoever reads
 * the answer has limits of that kind, too. */
static const struct h1_limits upstream_limits = {
	.max_line_bytes = 8 * KIB,
	.max_head_bytes = 32 * KIB,
	.max_fields = 128,
};

static const struct h1_server_events client_events;
static const struct listener_events listener_events;

size_t front_client_bytes(void)
{
	return sizeof(struct client);
}

static void *reserve(size_t bytes)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

/* Arenas that outgrow their slot get whole blocks. */
static void *take_chunk(struct arena_source *source, size_t bytes, size_t *ret_size)
{
	struct front *f = container_of(source, struct front, arena_source);
	struct block *b;

	if (bytes > BLOCK_DATA_BYTES)
		return NULL;
	b = block_take(&f->shard->blocks);
	if (!b)
		return NULL;
	*ret_size = BLOCK_DATA_BYTES;
	return block_begin(b);
}

static void give_chunk(struct arena_source *source UNUSED, void *chunk)
{
	block_give((struct block *)((char *)chunk - BLOCK_DATA_AT));
}

int front_init(struct front *f, struct shard *shard, struct front_shared *shared,
	       const struct front_limits *limits, struct snapshot *snapshot)
{
	memset(f, 0, sizeof(*f));
	f->shard = shard;
	f->shared = shared;
	f->metrics = metrics_shard(shared->metrics, shard->index);
	shard->metrics = f->metrics->block;
	f->snapshot = snapshot;
	f->settings = snapshot->settings;
	f->arena_source = (struct arena_source){.take = take_chunk, .give = give_chunk};
	list_init(&f->idle_clients);
	greeting_init(f);
	f->clients_len = limits->clients;
	f->listeners_max = limits->listeners;
	if (getrandom(f->random, sizeof(f->random), 0) != sizeof(f->random))
		f->random[0] = shard->now_ns | 1;

	f->parser_fields = calloc(PARSER_FIELDS, sizeof(*f->parser_fields));
	f->clients = reserve(limits->clients * sizeof(*f->clients));
	f->exchanges = reserve(exchange_slots(f) * EXCHANGE_SLOT_BYTES);
	f->listeners = calloc(limits->listeners, sizeof(*f->listeners));
	h1_parser_init(&f->parser, &upstream_limits, f->parser_fields);
	if (f->parser_fields && f->clients && f->exchanges && f->listeners &&
	    upstreams_init(&f->upstreams, shard, limits->upstreams, limits->upstreams_idle,
			   &f->parser) == 0 &&
	    policy_shard_init(&f->policies, shard,
			      shard->index < shared->shards ? shared->limiter : NULL,
			      f->metrics) == 0)
		return 0;
	front_fini(f);
	return -ENOMEM;
}

void front_fini(struct front *f)
{
	upstreams_fini(&f->upstreams);
	policy_shard_fini(&f->policies);
	free(f->parser_fields);
	free(f->listeners);
	if (f->clients)
		munmap(f->clients, f->clients_len * sizeof(*f->clients));
	if (f->exchanges)
		munmap(f->exchanges, exchange_slots(f) * EXCHANGE_SLOT_BYTES);
	f->parser_fields = NULL;
	f->listeners = NULL;
	f->clients = NULL;
	f->exchanges = NULL;
}

/* xorshift128+: fast, and nobody gains anything by guessing an id. */
static uint64_t random_u64(struct front *f)
{
	uint64_t a = f->random[0];
	uint64_t b = f->random[1];

	f->random[0] = b;
	a ^= a << 23;
	f->random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
	return f->random[1] + b;
}

/* The low half of each byte as a digit, eight at a time: '0' is 0x30, and 0x27 more leads
 * from behind '9' to 'a'. */
static uint64_t hex_digits(uint64_t bits)
{
	uint64_t each = 0x0101010101010101;
	uint64_t values = bits & 0x0f * each;
	uint64_t letters = (values + 6 * each) >> 4 & each;

	return values + 0x30 * each + 0x27 * letters;
}

void front_request_id(struct front *f, char out[static 32])
{
	for (int half = 0; half < 2; half++) {
		uint64_t bits = random_u64(f);
		uint64_t even = hex_digits(bits), odd = hex_digits(bits >> 4);

		memcpy(out + half * 16, &even, 8);
		memcpy(out + half * 16 + 8, &odd, 8);
	}
}

/* ---- clients ---- */

static struct client *client_of(struct h1_server *h1)
{
	return container_of(h1, struct client, h1);
}

static struct client *take_client(struct front *f)
{
	struct client *c = f->free_client;

	if (c)
		f->free_client = c->next_free;
	else if (f->clients_used_ever < f->clients_len)
		c = &f->clients[f->clients_used_ever++];
	if (c)
		counter_set(&f->metrics->block->connections, ++f->clients_open);
	return c;
}

/* Once per connection and snapshot: most have no trusted peers at all. */
bool client_is_trusted(struct client *c)
{
	const struct snapshot *s = c->front->snapshot;
	struct address peer;

	if (c->trusted_since == s->generation)
		return c->is_trusted;
	c->trusted_since = s->generation;
	c->is_trusted = s->config->trusted_len &&
			address_from_ip(span_of(c->ip, c->ip_len), 0, &peer) &&
			config_trusts(s->config, &peer);
	return c->is_trusted;
}

void client_set_ip(struct client *c, const struct address *ip)
{
	char text[ADDRESS_TEXT_BYTES];

	c->ip_len = (uint8_t)min_u64(address_ip_text(ip, text), sizeof(c->ip));
	memcpy(c->ip, text, c->ip_len);
	c->has_ip = address_mapped_bytes(ip, c->ip_bytes);
	c->trusted_since = 0;
}

static void check_drained(struct front *f)
{
	if (f->draining && !f->clients_open && !f->listeners_open && f->on_drained) {
		void (*on_drained)(struct front *) = f->on_drained;

		f->on_drained = NULL;
		on_drained(f);
	}
}

static void give_client(struct client *c)
{
	struct front *f = c->front;

	if (c->in_gate)
		gate_leave(&f->shared->gate);
	c->next_free = f->free_client;
	f->free_client = c;
	counter_set(&f->metrics->block->connections, --f->clients_open);
	check_drained(f);
}

static void open_client(const struct front_listener *l, int fd)
{
	const struct site *site = l->site;
	struct front *f = l->front;
	struct client *c = take_client(f);
	struct address peer;

	if (!c) {
		counter_set(&f->metrics->block->refused_full, ++f->stats.refused_full);
		if (site->is_public)
			gate_leave(&f->shared->gate);
		close(fd);
		return;
	}
	c->front = f;
	c->site = site;
	c->listener = l;
	c->handshake = NULL;
	c->hello_snapshot = NULL;
	c->tls = NULL;
	c->peer = NULL;
	c->greeting = GREETING_NONE;
	c->in_gate = site->is_public;
	c->trusted_since = 0;
	c->is_trusted = false;
	list_init(&c->idle_link);
	list_init(&c->greeting_link);
	list_init(&c->turn_link);
	if (h1_server_open(&c->h1, f->shard, fd, &client_events, &f->settings, &f->parser) != 0) {
		counter_set(&f->metrics->block->refused_full, ++f->stats.refused_full);
		close(fd);
		give_client(c);
		return;
	}
	c->ip_len = 0;
	c->has_ip = false;
	if (ring_peer(f->shard->ring, &c->h1.conn.io, &peer))
		client_set_ip(c, &peer);
	counter_set(&f->metrics->block->accepted, ++f->stats.accepted);
	list_push_back(&f->idle_clients, &c->idle_link);
	greeting_begin(c);
}

static void on_client_idle(struct h1_server *h1, bool idle)
{
	struct client *c = client_of(h1);

	list_remove(&c->idle_link);
	if (idle)
		list_push_back(&c->front->idle_clients, &c->idle_link);
}

static void on_client_gone(struct h1_server *h1)
{
	struct client *c = client_of(h1);

	greeting_end(c);
	list_remove(&c->idle_link);
	give_client(c);
}

static void on_request(struct h1_server *h1, const struct http_head *head)
{
	exchange_begin(client_of(h1), head);
}

static void on_refused(struct h1_server *h1, uint16_t status, const char *detail,
		       enum access_cause cause)
{
	list_remove(&client_of(h1)->idle_link);
	exchange_begin_refused(client_of(h1), status, detail, cause);
}

static const struct h1_server_events client_events = {
	.on_request = on_request,
	.on_refused = on_refused,
	.on_idle = on_client_idle,
	.on_gone = on_client_gone,
};

/* ---- listeners ---- */

static struct front_listener *listener_of(struct listener *l)
{
	return container_of(l, struct front_listener, listener);
}

/* NULL when nobody is idle. Its memory stays until it is gone. */
static struct client *close_longest_idle(struct front *f)
{
	struct client *c = greeting_give_up_one(f);
	struct list *oldest;

	if (!c) {
		oldest = list_pop_front(&f->idle_clients);
		if (!oldest)
			return NULL;
		c = list_entry(oldest, struct client, idle_link);
		h1_server_close(&c->h1);
	}
	counter_set(&f->metrics->block->reclaimed, ++f->stats.reclaimed);
	return c;
}

bool front_reclaim(struct front *f)
{
	return upstreams_close_oldest(&f->upstreams) || close_longest_idle(f);
}

/* The place of the one that has been idle longest changes hands: the gate counts one all
 * the time. */
static bool take_place_of_idle(struct front *f)
{
	struct client *c = close_longest_idle(f);

	if (c)
		c->in_gate = false;
	return c != NULL;
}

static bool admit(const struct front_listener *l, int fd)
{
	struct front *f = l->front;

	if (!gate_enter(&f->shared->gate) && !take_place_of_idle(f))
		return false;
	open_client(l, fd);
	return true;
}

/* Whoever holds connections and says nothing must not lock the others out: the newest one
 * is likelier to have a question than the one that has been idle longest. */
static bool make_room(struct front *f, const struct site *site)
{
	return f->clients_open + site->leaves_free < f->clients_len || close_longest_idle(f);
}

static bool on_conn(struct listener *l, int fd)
{
	struct front_listener *fl = listener_of(l);
	struct front *f = fl->front;

	if (!fl->site->is_public) {
		if (make_room(f, fl->site)) {
			open_client(fl, fd);
		} else {
			counter_set(&f->metrics->block->refused_full, ++f->stats.refused_full);
			close(fd);
		}
		return true;
	}
	if (!f->waiting_len && admit(fl, fd))
		return true;
	if (f->waiting_len == FRONT_WAITING) {
		counter_set(&f->metrics->block->refused_full, ++f->stats.refused_full);
		close(fd);
		return false;
	}
	f->waiting[f->waiting_len].fd = fd;
	f->waiting[f->waiting_len++].listener = fl;
	return false;
}

static bool has_room(struct listener *l)
{
	struct front *f = listener_of(l)->front;
	uint32_t admitted = 0;

	while (admitted < f->waiting_len &&
	       admit(f->waiting[admitted].listener, f->waiting[admitted].fd))
		admitted++;
	f->waiting_len -= admitted;
	memmove(f->waiting, f->waiting + admitted, f->waiting_len * sizeof(*f->waiting));
	return !f->waiting_len &&
	       (gate_has_room(&f->shared->gate) || !list_is_empty(&f->idle_clients));
}

/* The kernel takes a descriptor before it waits for a connection, so this comes with
 * nobody at the door, too. Where few are served, the one that would be closed is the one
 * that has just come to ask what is wrong. */
static void on_exhausted(struct listener *l)
{
	counter_add(&listener_of(l)->front->metrics->block->exhausted, 1);
	if (listener_of(l)->site->is_public)
		front_reclaim(listener_of(l)->front);
}

static void on_stopped(struct listener *l)
{
	struct front *f = listener_of(l)->front;

	/* Nobody will make room for those who still wait. */
	while (f->waiting_len)
		close(f->waiting[--f->waiting_len].fd);
	f->listeners_open--;
	check_drained(f);
}

static const struct listener_events listener_events = {
	.on_conn = on_conn,
	.has_room = has_room,
	.on_exhausted = on_exhausted,
	.on_stopped = on_stopped,
};

int front_listen(struct front *f, int fd, const struct site *site, size_t index,
		 struct greeting_rules rules)
{
	struct front_listener *fl = &f->listeners[f->listeners_len];
	int err;

	must(f->listeners_len < f->listeners_max);
	fl->front = f;
	fl->site = site;
	fl->index = index;
	fl->rules = rules;
	err = listener_start(&fl->listener, f->shard, fd, &listener_events);
	if (err)
		return err;
	f->listeners_len++;
	f->listeners_open++;
	return 0;
}

/* ---- snapshots and ends ---- */

void front_swap(struct front *f, struct snapshot *snapshot)
{
	struct snapshot *old = f->snapshot;

	f->snapshot = snapshot;
	f->settings = snapshot->settings;
	f->settings.draining = f->draining;
	if (old != snapshot && old->refs[f->shard->index].count == 0 && f->on_snapshot_unused)
		f->on_snapshot_unused(f, old);
}

void front_drain(struct front *f)
{
	f->draining = true;
	f->settings.draining = true;
	for (uint32_t i = 0; i < f->listeners_len; i++)
		listener_stop(&f->listeners[i].listener);
	check_drained(f);
}

void front_close_idle(struct front *f)
{
	struct list *link;

	while ((link = list_pop_front(&f->idle_clients)))
		h1_server_close(&list_entry(link, struct client, idle_link)->h1);
	upstreams_close_idle(&f->upstreams);
}

void front_close_all(struct front *f)
{
	front_close_idle(f);
	for (uint32_t i = 0; i < f->clients_used_ever; i++)
		if (f->clients[i].h1.conn.state != CONN_CLOSED)
			h1_server_close(&f->clients[i].h1);
}

/* A data shard's thread: its start, its loop, and the letters from control.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ringway/base/clock.h>
#include <ringway/net/proxy_header.h>
#include <ringway/observe/event.h>
#include <ringway/shard/uring.h>

#include "instance.h"

struct letter {
	struct letter *next;
	struct mail mail;
};

/* ---- control's side ---- */

bool data_shard_flush_letters(struct data_shard *ds)
{
	while (ds->letters) {
		struct letter *l = ds->letters;

		if (!mailbox_post(&ds->shard.mailbox, 0, &l->mail))
			return false;
		ds->letters = l->next;
		if (!ds->letters)
			ds->letters_end = &ds->letters;
		free(l);
	}
	return true;
}

void data_shard_post(struct data_shard *to, void (*deliver)(void *to, const struct mail *mail),
		     void *argument)
{
	struct mail mail = {.deliver = deliver, .to = to, .ptr = {argument}};
	struct letter *l;

	if (!to->letters && mailbox_post(&to->shard.mailbox, 0, &mail))
		return;
	l = malloc(sizeof(*l));
	must(l); /* a lost letter would be a lost snapshot */
	l->next = NULL;
	l->mail = mail;
	*to->letters_end = l;
	to->letters_end = &l->next;
}

static void tell_control(struct data_shard *ds, void (*deliver)(void *to, const struct mail *mail))
{
	struct mail mail = {.deliver = deliver, .to = ds->instance, .ptr = {ds}};

	/* Each letter answers one of control's, of which it has one at a time, or says that
	 * unused snapshots lie there or that all has ended: far fewer than fit. */
	must(mailbox_post(&ds->instance->control.mailbox, CONTROL_FROM_SHARDS + ds->shard.index,
			  &mail));
}

/* ---- letters from control ---- */

static void on_swap(void *to, const struct mail *mail)
{
	struct data_shard *ds = to;

	front_swap(&ds->front, mail->ptr[0]);
	tell_control(ds, control_on_swapped);
}

static void on_drain(void *to, const struct mail *mail UNUSED)
{
	front_drain(&((struct data_shard *)to)->front);
}

static void on_close_all(void *to, const struct mail *mail UNUSED)
{
	front_close_all(&((struct data_shard *)to)->front);
}

static void on_stop(void *to, const struct mail *mail UNUSED)
{
	shard_stop(&((struct data_shard *)to)->shard);
}

static void on_report(void *to, const struct mail *mail UNUSED)
{
	struct data_shard *ds = to;
	struct front *f = &ds->front;
	uint64_t exhausted = 0;

	for (uint32_t i = 0; i < f->listeners_len; i++)
		exhausted += f->listeners[i].listener.exhausted;
	ds->report = (struct shard_report){
		.connections = f->clients_open,
		.exchanges = f->exchanges_open,
		.upstreams = f->upstreams.open,
		.upstreams_idle = f->upstreams.idle,
		.blocks_in_use = ds->shard.blocks.in_use - ring_lent(ds->shard.ring),
		.turns = ds->shard.turns,
		.starved = ds->shard.ring->starved,
		.overflows = ds->shard.ring->overflows,
		.exhausted = exhausted,
		.stats = f->stats,
		.greetings = f->greeting_stats,
	};
	ds->report.tls_memory = tls_memory_stats(&ds->tls_memory);
	/* The letter publishes it: control reads when it has arrived. */
	tell_control(ds, control_on_report);
}

struct addresses_letter {
	uint32_t endpoint;
	uint16_t port;
	unsigned len;
	struct address addresses[];
};

static void on_addresses(void *to, const struct mail *mail)
{
	struct addresses_letter *l = mail->ptr[0];

	upstreams_set_addresses(&((struct data_shard *)to)->front.upstreams, l->endpoint,
				l->addresses, l->len, l->port);
	free(l);
}

void data_shard_post_swap(struct data_shard *to, struct snapshot *s)
{
	data_shard_post(to, on_swap, s);
}

void data_shard_post_drain(struct data_shard *to)
{
	data_shard_post(to, on_drain, NULL);
}

void data_shard_post_close_all(struct data_shard *to)
{
	data_shard_post(to, on_close_all, NULL);
}

void data_shard_post_stop(struct data_shard *to)
{
	data_shard_post(to, on_stop, NULL);
}

void data_shard_post_report(struct data_shard *to)
{
	data_shard_post(to, on_report, NULL);
}

void data_shard_post_addresses(struct data_shard *to, uint32_t endpoint,
			       const struct name_answer *answer, uint16_t port)
{
	struct addresses_letter *l =
		malloc(sizeof(*l) + answer->len * sizeof(answer->addresses[0]));

	if (!l) {
		event_error("out of memory: new addresses of an upstream are not used");
		return;
	}
	l->endpoint = endpoint;
	l->port = port;
	l->len = answer->len;
	memcpy(l->addresses, answer->addresses, answer->len * sizeof(answer->addresses[0]));
	data_shard_post(to, on_addresses, l);
}

/* ---- the thread ---- */

static void on_front_drained(struct front *f)
{
	tell_control(f->owner, control_on_drained);
}

static void on_snapshot_unused(struct front *f, struct snapshot *s)
{
	struct data_shard *ds = f->owner;
	struct snapshot *older = atomic_load(&ds->unused);

	do
		s->refs[f->shard->index].next_unused = older;
	while (!atomic_compare_exchange_weak(&ds->unused, &older, s));
	/* Else there is a letter on its way already. */
	if (!older)
		tell_control(ds, control_on_unused);
}

static void pin(struct data_shard *ds)
{
	cpu_set_t set = ds->instance->topology.shard_mask;

	if (ds->cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET(ds->cpu, &set);
	}
	/* Pinning that is refused costs speed, not service. */
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0)
		event_warn("shard %u: its CPU affinity cannot be set", ds->shard.index);
}

/* Memory that this shard's fair part of the connections will use is touched now, on
 * its own CPU, so that no request waits for a page. */
static void prefault(struct data_shard *ds)
{
	const struct instance *in = ds->instance;
	uint32_t fair = in->snapshot->config->max_connections / in->shards_len + 1;

	if (fair > ds->front.clients_len)
		fair = ds->front.clients_len;
	madvise(ds->front.clients, fair * sizeof(*ds->front.clients), MADV_POPULATE_WRITE);
}

/* Once a second, as the shard's own upkeep. */
static void on_tls_upkeep(struct timer *t)
{
	struct data_shard *ds = container_of(t, struct data_shard, tls_upkeep);

	tls_memory_trim(&ds->tls_memory);
	timer_set(&ds->shard.timers, t, ds->shard.now_ns + NS_PER_S);
}

/* What TLS may take on this shard: address space only, memory is touched as it is used. */
#define TLS_BYTES_PER_CLIENT (64 * KIB)
#define TLS_BYTES (64 * MIB)

static struct greeting_rules rules_of(const struct config_listener *l)
{
	static const unsigned versions[] = {
		[CONFIG_PROXY_PROTOCOL_OFF] = 0,
		[CONFIG_PROXY_PROTOCOL_V1] = PROXY_HEADER_V1,
		[CONFIG_PROXY_PROTOCOL_V2] = PROXY_HEADER_V2,
		[CONFIG_PROXY_PROTOCOL_ANY] = PROXY_HEADER_V1 | PROXY_HEADER_V2,
	};

	return (struct greeting_rules){.proxy_header = versions[l->proxy_protocol],
				       .tls = l->tls != NULL};
}

static const struct site *site_of(const struct instance *in, const struct config_listener *l)
{
	if (in->options.site)
		return in->options.site;
	return l->redirect_https ? &front_redirect_https_site : &front_proxy_site;
}

static int open_front(struct data_shard *ds)
{
	struct instance *in = ds->instance;
	const struct config *config = in->snapshot->config;
	struct front_limits limits = {
		.clients = in->capacity.clients,
		.upstreams = in->capacity.upstreams,
		.upstreams_idle = in->capacity.upstreams_idle,
		.listeners = (uint32_t)config->listeners_len,
	};
	struct ring *ring;
	int err = uring_create(&ds->shard.blocks, in->capacity.sockets, &ring);

	if (err)
		return err;
	shard_open(&ds->shard, ring, clock_monotonic_ns());
	err = tls_memory_init(&ds->tls_memory,
			      in->capacity.clients * TLS_BYTES_PER_CLIENT + TLS_BYTES);
	if (err)
		return err;
	tls_memory_enter(&ds->tls_memory);
	timer_init(&ds->tls_upkeep, on_tls_upkeep);
	timer_set(&ds->shard.timers, &ds->tls_upkeep, ds->shard.now_ns + NS_PER_S);
	err = front_init(&ds->front, &ds->shard, &in->shared, &limits, in->snapshot);
	if (err)
		return err;
	ds->front.owner = ds;
	ds->front.on_drained = on_front_drained;
	ds->front.on_snapshot_unused = on_snapshot_unused;
	names_apply_all(in, &ds->front.upstreams);
	prefault(ds);
	for (size_t i = 0; i < config->listeners_len && !err; i++) {
		err = front_listen(&ds->front, ds->listen_fds[i],
				   site_of(in, &config->listeners[i]), i,
				   rules_of(&config->listeners[i]));
		if (!err)
			ds->listen_fds[i] = -1;
	}
	return err;
}

static void *run(void *arg)
{
	struct data_shard *ds = arg;
	char name[16];

	snprintf(name, sizeof(name), "ringway-%u", ds->shard.index);
	pthread_setname_np(pthread_self(), name);
	pin(ds);
	ds->err = open_front(ds);
	counter_set(&ds->shard.metrics->cpu, (uint64_t)(ds->cpu + 1));
	counter_set(&ds->shard.metrics->thread, (uint64_t)gettid());
	sem_post(&ds->started);
	if (!ds->err)
		shard_run(&ds->shard);
	/* The ring stays until control has ended: it may still wake us. */
	return NULL;
}

void data_shard_fini(struct data_shard *ds)
{
	/* Its thread has ended; what TLS has kept goes back where it came from. */
	tls_memory_enter(&ds->tls_memory);
	front_fini(&ds->front);
	tls_memory_enter(NULL);
	shard_fini(&ds->shard);
	while (ds->letters) {
		struct letter *l = ds->letters;

		ds->letters = l->next;
		free(l);
	}
	free(ds->listen_fds);
}

int data_shard_start(struct data_shard *ds, struct instance *in, unsigned index)
{
	int err;

	ds->instance = in;
	ds->cpu = in->topology.shard_cpus[index];
	ds->letters_end = &ds->letters;
	sem_init(&ds->started, 0, 0);
	err = shard_init_in(&ds->shard, (uint16_t)index, in->capacity.blocks, SHARD_SENDERS,
			    private_mapping_shard_mailbox(&in->private, index));
	if (err)
		return err;
	err = -pthread_create(&ds->thread, NULL, run, ds);
	if (err)
		return err;
	ds->has_thread = true;
	while (sem_wait(&ds->started) != 0)
		;
	return ds->err;
}

#include "fake_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ringway/shard/block.h>

#define CONNECT_TIMEOUT_NS (127 * NS_PER_S)
/* What the shard's own work takes between two waits: time has to move even when nothing
 * is waited for. */
#define TURN_NS (2 * NS_PER_US)
/* Stands in a receive buffer until bytes do. */
#define UNFILLED 0xa5

/* ---- what the shard asks for ---- */

static struct sock *sock_of(struct ring *r, struct io *io)
{
	struct fake *f = fake_of(r);
	struct sock *s;

	must(io->fd >= 0 && io->slot < f->socks_len);
	s = f->socks[io->slot];
	must(s->io == io && s->fd == io->fd);
	must(s->generation == io->generation && s->in_flight == io->in_flight);
	return s;
}

static struct flight *start(struct sock *s, struct flight *fl, enum op op)
{
	must(!fl->op && !s->io->closing);
	*fl = (struct flight){.op = op};
	s->in_flight++;
	s->io->in_flight++;
	return fl;
}

static int attach(struct sock *s, struct io *io)
{
	struct fake *f = s->f;

	if (f->attached >= f->plan.sockets)
		return -EMFILE;
	must(!s->io && !s->closed);
	f->attached++;
	s->io = io;
	s->generation++;
	io->fd = s->fd;
	io->generation = s->generation;
	io->in_flight = 0;
	io->receiving = 0;
	io->sending = false;
	io->closing = false;
	io->slot = s->index;
	return 0;
}

static int fake_attach(struct ring *r, struct io *io, int fd)
{
	struct fake *f = fake_of(r);
	struct sock *s;
	int err;

	for (size_t i = f->socks_len; i-- > 0;)
		if (f->socks[i]->fd == fd && !f->socks[i]->closed)
			return attach(f->socks[i], io);
	/* One of the system's, such as a listener that was bound for real. */
	must(fd < FD_BASE);
	s = sock_create(f);
	s->fd = fd;
	s->is_ours = false;
	s->is_listener = true;
	err = attach(s, io);
	if (err)
		s->closed = true;
	return err;
}

static void step_connected(void *arg)
{
	struct sock *s = arg;

	if (s->send.told)
		return;
	if (s->send.canceled) {
		sock_complete_flight(s, &s->send, -ECANCELED, NULL, false);
		return;
	}
	sock_open(s);
	sock_complete_flight(s, &s->send, 0, NULL, false);
	if (s->peer.script->on_open)
		s->peer.script->on_open(&s->peer);
	sock_look(s);
}

static void step_connect_fails(void *arg)
{
	struct sock *s = arg;

	if (!s->send.told)
		sock_complete_flight(s, &s->send, s->send.canceled ? -ECANCELED : s->error, NULL,
				     false);
}

/* The first packet is there. */
static void step_connect(void *arg)
{
	struct sock *s = arg;
	struct fake *f = s->f;
	struct origin *o = find_origin(f, &s->address);
	uint64_t delay_ns = 0;
	int verdict = -ECONNREFUSED;

	if (s->send.told)
		return;
	if (s->send.canceled) {
		sock_complete_flight(s, &s->send, -ECANCELED, NULL, false);
		return;
	}
	if (o) {
		s->peer.script = o->script;
		s->peer.mine = o->mine;
		verdict = o->script->on_connect ? o->script->on_connect(o->mine, &delay_ns) : 0;
	}
	if (verdict == FAKE_HANG) {
		verdict = -ETIMEDOUT;
		delay_ns = CONNECT_TIMEOUT_NS;
	}
	must(verdict <= 0);
	s->error = verdict;
	world_at(f, f->now_ns + delay_ns, verdict ? step_connect_fails : step_connected, s);
}

static int fake_connect(struct ring *r, struct io *io, const struct address *to)
{
	struct fake *f = fake_of(r);
	struct sock *s;
	int err;

	if (world_happens(f, f->plan.connect_fails))
		return -EMFILE;
	s = sock_create(f);
	s->address = *to;
	s->is_accepted = true;
	err = attach(s, io);
	if (err) {
		s->closed = true;
		return err;
	}
	start(s, &s->send, OP_CONNECT);
	world_at(f, f->now_ns + world_late(f), step_connect, s);
	return 0;
}

static void fake_accept(struct ring *r, struct io *io)
{
	struct sock *s = sock_of(r, io);

	must(s->is_listener && !io->receiving);
	start(s, &s->recv, OP_ACCEPT);
	io->receiving = OP_ACCEPT;
	sock_look(s);
}

static int fake_accept_now(struct ring *r, struct io *io)
{
	struct sock *s = sock_of(r, io);
	struct fake *f = s->f;

	must(s->is_listener && !s->recv.op);
	for (size_t i = 0; i < f->socks_len; i++) {
		if (f->socks[i]->listener != s || f->socks[i]->is_accepted)
			continue;
		f->socks[i]->is_accepted = true;
		return f->socks[i]->fd;
	}
	return -EAGAIN;
}

static void fake_recv_lent(struct ring *r, struct io *io, bool more UNUSED)
{
	struct sock *s = sock_of(r, io);

	must(!s->is_listener && s->is_open && s->send.op != OP_CONNECT);
	start(s, &s->recv, OP_RECV_LENT);
	io->receiving = OP_RECV_LENT;
	sock_look(s);
}

static void fake_recv(struct ring *r, struct io *io, void *into, uint32_t len, bool more UNUSED)
{
	struct sock *s = sock_of(r, io);
	struct flight *fl;

	must(!s->is_listener && s->is_open && s->send.op != OP_CONNECT);
	fl = start(s, &s->recv, OP_RECV);
	io->receiving = OP_RECV;
	fl->into = into;
	fl->len = len;
	memset(into, UNFILLED, len);
	sock_look(s);
}

static void fake_send(struct ring *r, struct io *io, const void *from, uint32_t len)
{
	struct sock *s = sock_of(r, io);
	struct flight *fl;

	must(!s->is_listener && s->is_open);
	fl = start(s, &s->send, OP_SEND);
	io->sending = true;
	fl->from = from;
	fl->len = len;
	fl->sum = bytes_sum(from, len);
	sock_look(s);
}

/* The cancel is an operation too, which takes its time. */
static void step_cancel(void *arg)
{
	sock_complete(arg, OP_CANCEL, 0, NULL, false);
}

static void start_cancel(struct sock *s)
{
	s->in_flight++;
	s->io->in_flight++;
	world_at(s->f, s->f->now_ns + world_late(s->f), step_cancel, s);
}

static void fake_cancel(struct ring *r, struct io *io)
{
	struct sock *s = sock_of(r, io);

	if (!io->receiving)
		return;
	start_cancel(s);
	s->recv.canceled = true;
	s->is_starved = false;
	sock_look(s);
}

static void fake_ring_shutdown(struct ring *r, struct io *io)
{
	struct sock *s = sock_of(r, io);

	must(!s->is_listener && s->is_open);
	s->ended = true;
	sock_look(s);
}

static void fake_reset_on_close(struct ring *r, struct io *io)
{
	sock_of(r, io)->reset_on_close = true;
}

static void set_gone(struct sock *s)
{
	struct fake *f = s->f;
	struct io *io = s->io;

	must(f->attached);
	f->attached--;
	s->io = NULL;
	sock_close(s);
	if (!s->is_ours)
		close(s->fd);
	io->fd = -1;
	io->next = f->gone;
	f->gone = io;
}

static void step_cancel_connect(void *arg)
{
	struct sock *s = arg;

	if (!s->send.told)
		sock_complete_flight(s, &s->send, -ECANCELED, NULL, false);
}

static void fake_ring_close(struct ring *r, struct io *io)
{
	struct sock *s = sock_of(r, io);
	struct fake *f = s->f;

	io->closing = true;
	if (!s->in_flight) {
		set_gone(s);
		return;
	}
	start_cancel(s);
	s->recv.canceled = true;
	s->send.canceled = true;
	s->is_starved = false;
	if (s->send.op == OP_CONNECT)
		world_at(f, f->now_ns + world_late(f), step_cancel_connect, s);
	sock_look(s);
}

static bool fake_acknowledged(struct ring *r, struct io *io, uint64_t *ret_bytes)
{
	*ret_bytes = sock_of(r, io)->acknowledged;
	return true;
}

static bool fake_ring_peer(struct ring *r, struct io *io, struct address *ret_address)
{
	*ret_address = sock_of(r, io)->address;
	return true;
}

/* ---- turning ---- */

static void feed_starved(struct fake *f)
{
	if (!f->has_starved)
		return;
	f->has_starved = false;
	for (size_t i = 0; i < f->socks_len; i++) {
		struct sock *s = f->socks[i];

		if (!s->is_starved)
			continue;
		s->is_starved = false;
		sock_look(s);
	}
}

static uint64_t fake_wait(struct ring *r, uint64_t until_ns)
{
	struct fake *f = fake_of(r);

	must(!f->is_telling);
	f->now_ns += TURN_NS;
	feed_starved(f);
	while (f->events_len && f->events[0].at <= f->now_ns) {
		struct event e = world_pop(f);

		e.run(e.arg);
	}
	if (f->gone || f->ready_len || atomic_exchange(&f->woken, false))
		return f->now_ns;
	while (!f->ready_len && !f->gone && f->now_ns < until_ns) {
		struct event e;

		if (!f->events_len || f->events[0].at > until_ns) {
			if (until_ns == UINT64_MAX) {
				fprintf(stderr, "fake ring: nothing will ever happen\n");
				abort();
			}
			f->now_ns = until_ns;
			break;
		}
		e = world_pop(f);
		f->now_ns = e.at;
		e.run(e.arg);
		if (atomic_exchange(&f->woken, false))
			break;
	}
	return f->now_ns;
}

static void note(struct fake *f, uint64_t word)
{
	f->trace = (f->trace ^ word) * 0x100000001b3;
	f->trace ^= f->trace >> 29;
}

static void tell(struct fake *f, const struct completion *c)
{
	struct sock *s = c->sock;
	struct io *io = s->io;
	bool is_last = c->op != OP_ACCEPT || !c->more;

	note(f, (uint64_t)s->fd << 32 ^ (uint64_t)c->op << 28 ^ (uint32_t)c->res);
	note(f, f->now_ns);
	must(io && io->slot < f->socks_len && f->socks[io->slot] == s);
	must(io->generation == s->generation && io->in_flight == s->in_flight);
	if (is_last) {
		must(s->in_flight);
		s->in_flight--;
		io->in_flight--;
	}
	switch (c->op) {
	case OP_ACCEPT:
		if (is_last) {
			s->recv.op = 0;
			io->receiving = 0;
		}
		if (!io->closing)
			io->events->on_accept(io, c->res, c->more);
		else if (c->res >= 0)
			fake_discard(&f->ring, c->res);
		break;
	case OP_CONNECT:
		s->send.op = 0;
		if (!io->closing)
			io->events->on_connect(io, c->res);
		break;
	case OP_RECV_LENT:
	case OP_RECV:
		s->recv.op = 0;
		io->receiving = 0;
		if (!io->closing)
			io->events->on_recv(io, c->res, c->lent, c->more);
		else if (c->lent)
			block_give(c->lent);
		break;
	case OP_SEND:
		s->send.op = 0;
		io->sending = false;
		if (!io->closing)
			io->events->on_send(io, c->res);
		break;
	case OP_CANCEL: break;
	}
	/* As on the real ring: a callback may have closed it with nothing in flight. */
	if (s->io && io->closing && !s->in_flight)
		set_gone(s);
}

/* Any, but the connections of a listener in their order: its last word comes last. */
static struct completion pick(struct fake *f)
{
	size_t i = world_below(f, f->ready_len);
	struct completion c;

	if (f->ready[i].op == OP_ACCEPT)
		for (size_t first = 0; first < i; first++)
			if (f->ready[first].op == OP_ACCEPT &&
			    f->ready[first].sock == f->ready[i].sock)
				i = first;
	c = f->ready[i];
	f->ready_len--;
	memmove(&f->ready[i], &f->ready[i + 1], (f->ready_len - i) * sizeof(c));
	return c;
}

static unsigned fake_drain(struct ring *r, unsigned most)
{
	struct fake *f = fake_of(r);
	unsigned told = 0;

	must(!f->is_telling);
	f->is_telling = true;
	/* Sometimes the kernel has not come to writing the rest of them yet. */
	while (f->ready_len && told < most && (!told || world_below(f, 8))) {
		struct completion c = pick(f);

		tell(f, &c);
		told++;
	}
	while (f->gone) {
		struct io *io = f->gone;

		f->gone = io->next;
		note(f, io->slot);
		io->closing = false;
		io->events->on_gone(io);
	}
	f->is_telling = false;
	return told;
}

static void fake_flush(struct ring *r UNUSED)
{
}

static void fake_wake(struct ring *r)
{
	atomic_store(&fake_of(r)->woken, true);
}

static uint32_t fake_lent(const struct ring *r UNUSED)
{
	return 0; /* a block is taken when there are bytes for it */
}

static void fake_destroy(struct ring *r)
{
	struct fake *f = fake_of(r);

	for (size_t i = 0; i < f->ready_len; i++)
		if (f->ready[i].lent)
			block_give(f->ready[i].lent);
	for (size_t i = 0; i < f->socks_len; i++) {
		struct sock *s = f->socks[i];

		bytes_drop(&s->written);
		bytes_drop(&s->arrived);
		bytes_drop(&s->sent);
		bytes_drop(&s->taken);
		free(s);
	}
	fake_own_descriptors(NULL);
	free(f->socks);
	free(f->events);
	free(f->ready);
	free(f->origins);
	free(f);
}

int fake_ring_create(struct block_pool *blocks, const struct fake_plan *plan,
		     struct ring **ret_ring)
{
	static const struct ring_ops ops = {
		.attach = fake_attach,
		.connect = fake_connect,
		.accept = fake_accept,
		.accept_now = fake_accept_now,
		.recv_lent = fake_recv_lent,
		.recv = fake_recv,
		.send = fake_send,
		.cancel = fake_cancel,
		.shutdown = fake_ring_shutdown,
		.reset_on_close = fake_reset_on_close,
		.close = fake_ring_close,
		.acknowledged = fake_acknowledged,
		.peer = fake_ring_peer,
		.wait = fake_wait,
		.drain = fake_drain,
		.flush = fake_flush,
		.wake = fake_wake,
		.lent = fake_lent,
		.destroy = fake_destroy,
	};
	struct fake *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	must(plan->window_most && plan->sockets);
	f->ring.ops = &ops;
	f->ring.blocks = blocks;
	f->plan = *plan;
	f->random = plan->seed;
	/* Not 0, which is no time for the timers, and the same in every run. */
	f->now_ns = NS_PER_S;
	atomic_init(&f->woken, false);
	fake_own_descriptors(f);
	*ret_ring = &f->ring;
	return 0;
}

#include "fake_ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ringway/shard/block.h>

/* Above every descriptor that a test process has. */
#define FD_BASE            (1 << 24)
#define CONNECT_TIMEOUT_NS (127 * NS_PER_S)
/* What the shard's own work takes between two waits: time has to move even when nothing
 * is waited for. */
#define TURN_NS      (2 * NS_PER_US)
#define SMALL_BYTES  16
#define PACED_PIECES 100 /* a second */
/* Stands in a receive buffer until bytes do. */
#define UNFILLED 0xa5

enum op { OP_ACCEPT = 1, OP_CONNECT, OP_RECV_LENT, OP_RECV, OP_SEND, OP_CANCEL };

struct bytes {
	char *ptr;
	size_t begin, end, room;
};

struct fake;

/* One operation in flight. */
struct flight {
	enum op op; /* 0: none */
	bool due;   /* an event will look after it */
	bool told;  /* its completion is there; tell() sets it free */
	bool canceled;
	char *into;
	const char *from;
	uint32_t len;
	uint32_t done;
	uint64_t sum; /* of what is being sent */
};

/* A connection, or a listener. Never freed before the ring: events point here. */
struct sock {
	struct fake_peer peer;
	struct fake *f;
	int fd;
	uint32_t index;
	bool is_listener;
	bool is_ours; /* the number is; else a descriptor of the system's was attached */
	struct io *io;
	uint32_t generation;
	unsigned in_flight;
	bool is_starved;

	struct flight recv; /* and accept */
	struct flight send; /* and connect */

	/* Towards us. */
	struct bytes written; /* by the peer, on its way */
	struct bytes arrived;
	bool peer_ended;  /* the end of the stream is behind `written` */
	bool end_arrived; /* and behind `arrived` */
	bool in_due;

	/* Towards the peer. */
	struct bytes sent; /* on its way */
	struct bytes taken; /* by the peer, for fake_read() */
	uint64_t acknowledged;
	bool ended; /* behind `sent` */
	bool out_due;
	bool paused;
	uint64_t pace;

	uint32_t window;
	bool is_open; /* the connect was answered */
	bool is_accepted;
	bool peer_closed;
	bool closed; /* by us */
	bool reset_on_close;
	bool reset;
	bool end_due, end_told;
	int error;     /* told once, then the stream is at its end */
	int end_error; /* for on_end */
	struct address address; /* of the peer */
	struct sock *listener;
};

struct event {
	uint64_t at;
	uint64_t order;
	void (*run)(void *arg);
	void *arg;
};

struct completion {
	struct sock *sock;
	enum op op;
	int res;
	struct block *lent;
	bool more;
};

struct origin {
	struct address at;
	const struct fake_script *script;
	void *mine;
};

struct fake {
	struct ring ring;
	struct fake_plan plan;
	uint64_t now_ns;
	uint64_t random;
	uint64_t trace;
	uint64_t orders;
	_Atomic bool woken;

	struct event *events; /* heap: the earliest first */
	size_t events_len, events_room;
	struct completion *ready;
	size_t ready_len, ready_room;
	struct sock **socks;
	size_t socks_len, socks_room;
	struct origin *origins;
	size_t origins_len, origins_room;
	unsigned attached;
	struct io *gone;
	bool has_starved;
	bool is_telling;
};

static struct fake *fake_of(struct ring *r)
{
	return container_of(r, struct fake, ring);
}

static struct sock *sock_of_peer(struct fake_peer *p)
{
	return container_of(p, struct sock, peer);
}

/* ---- chance ---- */

/* splitmix64: any seed is a good one. */
static uint64_t chance(struct fake *f)
{
	uint64_t x = f->random += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t below(struct fake *f, uint64_t n)
{
	must(n);
	return chance(f) % n;
}

static bool happens(struct fake *f, unsigned of_1000)
{
	return below(f, 1000) < of_1000;
}

/* How much of so many bytes one step moves: 1..most. */
static size_t piece(struct fake *f, size_t most)
{
	if (!happens(f, f->plan.small_pieces))
		return most;
	if (below(f, 2) && most > SMALL_BYTES)
		most = SMALL_BYTES;
	return 1 + below(f, most);
}

static uint64_t late(struct fake *f)
{
	/* Mostly short, at times long. */
	uint64_t most = below(f, 8) ? f->plan.late_most_ns / 16 : f->plan.late_most_ns;

	return below(f, most + 1);
}

static uint64_t sum_of(const void *ptr, size_t len)
{
	const unsigned char *c = ptr;
	uint64_t sum = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ c[i]) * 0x100000001b3;
	return sum;
}

struct fake_plan fake_plan_of(uint64_t seed)
{
	/* Windows of one byte up to what a kernel has; networks from instant to slow. */
	static const uint32_t windows[] = {16, 700, 4096, 65536, 262144};
	static const uint64_t lates[] = {0, 50 * NS_PER_US, 2 * NS_PER_MS, 40 * NS_PER_MS};
	struct fake f = {.random = seed};

	return (struct fake_plan){
		.seed = seed,
		.sockets = 4096,
		.window_most = windows[below(&f, ARRAY_LEN(windows))],
		.late_most_ns = lates[below(&f, ARRAY_LEN(lates))],
		.short_reads = (unsigned)below(&f, 600),
		.small_pieces = (unsigned)below(&f, 500),
		.starved = (unsigned)below(&f, 100),
		.accept_fails = (unsigned)below(&f, 100),
		.accept_ends = (unsigned)below(&f, 100),
	};
}

/* ---- queues of bytes ---- */

static size_t bytes_len(const struct bytes *b)
{
	return b->end - b->begin;
}

static void *grown(void *ptr, size_t len, size_t *room, size_t item)
{
	if (len < *room)
		return ptr;
	*room = *room ? *room * 2 : 16;
	if (*room <= len)
		*room = len + 1;
	ptr = realloc(ptr, *room * item);
	must(ptr);
	return ptr;
}

static void bytes_put(struct bytes *b, const char *from, size_t len)
{
	if (b->begin && b->end + len > b->room) {
		memmove(b->ptr, b->ptr + b->begin, bytes_len(b));
		b->end -= b->begin;
		b->begin = 0;
	}
	b->ptr = grown(b->ptr, b->end + len, &b->room, 1);
	if (len)
		memcpy(b->ptr + b->end, from, len);
	b->end += len;
}

static void bytes_drop(struct bytes *b)
{
	free(b->ptr);
	*b = (struct bytes){0};
}

static void bytes_skip(struct bytes *b, size_t len)
{
	b->begin += len;
	if (b->begin == b->end)
		bytes_drop(b);
}

/* ---- events ---- */

static bool is_before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void at(struct fake *f, uint64_t at_ns, void (*run)(void *arg), void *arg)
{
	size_t i = f->events_len++;
	struct event e = {.at = max_u64(at_ns, f->now_ns), .run = run, .arg = arg};

	e.order = f->orders++;
	f->events = grown(f->events, i, &f->events_room, sizeof(*f->events));
	while (i && is_before(&e, &f->events[(i - 1) / 2])) {
		f->events[i] = f->events[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	f->events[i] = e;
}

static struct event pop_event(struct fake *f)
{
	struct event first = f->events[0];
	struct event last = f->events[--f->events_len];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= f->events_len)
			break;
		if (child + 1 < f->events_len &&
		    is_before(&f->events[child + 1], &f->events[child]))
			child++;
		if (!is_before(&f->events[child], &last))
			break;
		f->events[i] = f->events[child];
		i = child;
	}
	f->events[i] = last;
	return first;
}

static void complete(struct sock *s, enum op op, int res, struct block *lent, bool more)
{
	struct fake *f = s->f;

	f->ready = grown(f->ready, f->ready_len, &f->ready_room, sizeof(*f->ready));
	f->ready[f->ready_len++] = (struct completion){s, op, res, lent, more};
}

static void complete_flight(struct sock *s, struct flight *fl, int res, struct block *lent,
			    bool more)
{
	must(fl->op && !fl->told);
	fl->told = true;
	complete(s, fl->op, res, lent, more);
}

/* ---- what happens to a connection ---- */

static void look(struct sock *s);

static void step_end(void *arg)
{
	struct sock *s = arg;

	s->end_told = true;
	if (s->peer.script->on_end)
		s->peer.script->on_end(&s->peer, s->end_error);
}

static void end_for_peer(struct sock *s, int err)
{
	if (s->end_due || s->peer_closed)
		return;
	s->end_due = true;
	s->end_error = err;
	at(s->f, s->f->now_ns + late(s->f), step_end, s);
}

/* The connection is dead for both. What has arrived may still be read or not. */
static void reset(struct sock *s)
{
	if (s->reset)
		return;
	s->reset = true;
	s->error = -ECONNRESET;
	bytes_drop(&s->written);
	bytes_drop(&s->sent);
	if (below(s->f, 2))
		bytes_drop(&s->arrived);
	end_for_peer(s, -ECONNRESET);
	look(s);
}

static void step_reset(void *arg)
{
	reset(arg);
}

/* Bytes of the peer come to our queue. */
static void step_in(void *arg)
{
	struct sock *s = arg;
	size_t room;

	s->in_due = false;
	if (s->reset)
		return;
	if (s->closed && bytes_len(&s->written)) {
		reset(s);
		return;
	}
	room = s->window > bytes_len(&s->arrived) ? s->window - bytes_len(&s->arrived) : 0;
	if (bytes_len(&s->written) && room) {
		size_t n = piece(s->f, min_u64(room, bytes_len(&s->written)));

		bytes_put(&s->arrived, s->written.ptr + s->written.begin, n);
		bytes_skip(&s->written, n);
	}
	if (!bytes_len(&s->written) && s->peer_ended)
		s->end_arrived = true;
	look(s);
}

/* Bytes of ours come to the peer. */
static void step_out(void *arg)
{
	struct sock *s = arg;
	size_t n = bytes_len(&s->sent);

	s->out_due = false;
	if (s->reset || s->paused)
		return;
	if (n && s->peer_closed) {
		reset(s);
		return;
	}
	if (n) {
		char *copy;

		n = piece(s->f, n);
		if (s->pace)
			n = min_u64(n, s->pace / PACED_PIECES + 1);
		copy = malloc(n);
		must(copy);
		memcpy(copy, s->sent.ptr + s->sent.begin, n);
		bytes_skip(&s->sent, n);
		s->acknowledged += n;
		if (s->peer.script->on_bytes)
			s->peer.script->on_bytes(&s->peer, span_of(copy, n));
		else
			bytes_put(&s->taken, copy, n);
		free(copy);
	}
	if (!bytes_len(&s->sent) && s->ended)
		end_for_peer(s, 0);
	look(s);
}

/* An error is told once; then there is nothing to read and nowhere to write. */
static int take_error(struct sock *s, int then)
{
	int err = s->error;

	s->error = 0;
	return err ? err : then;
}

static void step_send(void *arg)
{
	struct sock *s = arg;
	struct flight *fl = &s->send;
	size_t used = bytes_len(&s->sent) + bytes_len(&s->taken);
	size_t n = fl->len - fl->done;

	fl->due = false;
	if (fl->canceled) {
		complete_flight(s, fl, -ECANCELED, NULL, false);
		return;
	}
	if (s->reset || s->ended) {
		complete_flight(s, fl, take_error(s, -EPIPE), NULL, false);
		return;
	}
	if (used < s->window) {
		n = piece(s->f, min_u64(n, s->window - used));
		bytes_put(&s->sent, fl->from + fl->done, n);
		fl->done += (uint32_t)n;
	}
	if (fl->done == fl->len) {
		must(sum_of(fl->from, fl->len) == fl->sum); /* bytes changed while sent */
		complete_flight(s, fl, (int)fl->len, NULL, false);
	}
	look(s);
}

static void step_recv(void *arg)
{
	struct sock *s = arg;
	struct fake *f = s->f;
	struct flight *fl = &s->recv;
	size_t n = bytes_len(&s->arrived);
	struct block *b = NULL;
	char *into = fl->into;
	bool more;

	fl->due = false;
	/* Data may be quicker than a cancel. */
	if (fl->canceled && (!n || below(f, 2))) {
		complete_flight(s, fl, -ECANCELED, NULL, false);
		return;
	}
	if (!n && !s->reset && !s->end_arrived)
		return;
	if (!n) {
		complete_flight(s, fl, s->reset ? take_error(s, 0) : 0, NULL, below(f, 2));
		return;
	}
	if (fl->op == OP_RECV_LENT) {
		b = happens(f, f->plan.starved) ? NULL : block_take(f->ring.blocks);
		if (!b) {
			f->ring.starved++;
			s->is_starved = true;
			f->has_starved = true;
			return;
		}
		into = block_begin(b);
		fl->len = BLOCK_DATA_BYTES;
	}
	n = min_u64(n, fl->len);
	if (happens(f, f->plan.short_reads))
		n = 1 + below(f, n);
	memcpy(into, s->arrived.ptr + s->arrived.begin, n);
	bytes_skip(&s->arrived, n);
	if (b)
		b->end += (uint32_t)n;
	/* That something more is there may be said; that nothing is may be old news. */
	more = (bytes_len(&s->arrived) || s->end_arrived || s->reset) && below(f, 4);
	complete_flight(s, fl, (int)n, b, more);
	look(s);
}

static void step_accept(void *arg)
{
	struct sock *s = arg;
	struct fake *f = s->f;
	struct flight *fl = &s->recv;

	fl->due = false;
	if (fl->told)
		return;
	if (fl->canceled) {
		complete_flight(s, fl, -ECANCELED, NULL, false);
		return;
	}
	for (size_t i = 0; i < f->socks_len; i++) {
		struct sock *c = f->socks[i];

		if (c->listener != s || c->is_accepted)
			continue;
		if (happens(f, f->plan.accept_fails)) {
			complete_flight(s, fl, -EMFILE, NULL, false);
			return;
		}
		c->is_accepted = true;
		if (happens(f, f->plan.accept_ends)) {
			complete_flight(s, fl, c->fd, NULL, false);
			return;
		}
		complete(s, OP_ACCEPT, c->fd, NULL, true);
		break;
	}
	look(s);
}

static void look_at_flight(struct sock *s, struct flight *fl, bool is_ripe,
			   void (*step)(void *arg))
{
	if (!fl->op || fl->due || fl->told || !(is_ripe || fl->canceled))
		return;
	fl->due = true;
	at(s->f, s->f->now_ns + late(s->f), step, s);
}

static bool has_backlog(const struct sock *s)
{
	for (size_t i = 0; i < s->f->socks_len; i++)
		if (s->f->socks[i]->listener == s && !s->f->socks[i]->is_accepted)
			return true;
	return false;
}

/* Sets off whatever can happen next. */
static void look(struct sock *s)
{
	struct fake *f = s->f;
	bool is_dead = s->reset || s->ended;

	if (s->is_listener) {
		look_at_flight(s, &s->recv, has_backlog(s), step_accept);
		return;
	}
	if (s->send.op == OP_SEND)
		look_at_flight(s, &s->send,
			       is_dead || bytes_len(&s->sent) + bytes_len(&s->taken) < s->window,
			       step_send);
	if (!s->is_starved)
		look_at_flight(s, &s->recv, bytes_len(&s->arrived) || s->end_arrived || s->reset,
			       step_recv);
	if (s->reset || !s->is_open)
		return;
	if (!s->in_due &&
	    ((bytes_len(&s->written) && (s->closed || bytes_len(&s->arrived) < s->window)) ||
	     (!bytes_len(&s->written) && s->peer_ended && !s->end_arrived))) {
		s->in_due = true;
		at(f, f->now_ns + late(f), step_in, s);
	}
	if (!s->out_due && !s->paused && (bytes_len(&s->sent) || (s->ended && !s->end_due))) {
		s->out_due = true;
		at(f, f->now_ns + late(f) + (s->pace ? NS_PER_S / PACED_PIECES : 0), step_out, s);
	}
}

static struct sock *sock_create(struct fake *f)
{
	static const struct fake_script silent;
	struct sock *s = calloc(1, sizeof(*s));

	must(s);
	s->f = f;
	s->is_ours = true;
	s->index = (uint32_t)f->socks_len;
	s->fd = FD_BASE + (int)s->index;
	s->peer.script = &silent;
	s->window = 1 + (uint32_t)below(f, f->plan.window_most);
	f->socks = grown(f->socks, f->socks_len, &f->socks_room, sizeof(*f->socks));
	f->socks[f->socks_len++] = s;
	return s;
}

static void sock_open(struct sock *s)
{
	s->is_open = true;
	if (happens(s->f, s->f->plan.resets))
		at(s->f, s->f->now_ns + below(s->f, NS_PER_S), step_reset, s);
}

static void sock_close(struct sock *s)
{
	s->closed = true;
	if (s->is_listener) {
		for (size_t i = 0; i < s->f->socks_len; i++) {
			struct sock *c = s->f->socks[i];

			if (c->listener == s && !c->is_accepted) {
				c->is_accepted = true;
				c->closed = true;
				c->reset = true;
				end_for_peer(c, -ECONNREFUSED);
			}
		}
		return;
	}
	if (!s->is_open)
		return;
	/* Input that nobody read makes the close a reset, and so does input that comes
	 * later: RFC 9293 section 3.10.4, RFC 1122 section 4.2.2.13. */
	if (s->reset_on_close || bytes_len(&s->arrived)) {
		reset(s);
		return;
	}
	s->ended = true;
	look(s);
}

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

static struct origin *find_origin(struct fake *f, const struct address *to)
{
	for (size_t i = 0; i < f->origins_len; i++)
		if (address_eq(&f->origins[i].at, to))
			return &f->origins[i];
	return NULL;
}

static void step_connected(void *arg)
{
	struct sock *s = arg;

	if (s->send.told)
		return;
	if (s->send.canceled) {
		complete_flight(s, &s->send, -ECANCELED, NULL, false);
		return;
	}
	sock_open(s);
	complete_flight(s, &s->send, 0, NULL, false);
	if (s->peer.script->on_open)
		s->peer.script->on_open(&s->peer);
	look(s);
}

static void step_connect_fails(void *arg)
{
	struct sock *s = arg;

	if (!s->send.told)
		complete_flight(s, &s->send, s->send.canceled ? -ECANCELED : s->error, NULL,
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
		complete_flight(s, &s->send, -ECANCELED, NULL, false);
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
	at(f, f->now_ns + delay_ns, verdict ? step_connect_fails : step_connected, s);
}

static int fake_connect(struct ring *r, struct io *io, const struct address *to)
{
	struct fake *f = fake_of(r);
	struct sock *s;
	int err;

	if (happens(f, f->plan.connect_fails))
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
	at(f, f->now_ns + late(f), step_connect, s);
	return 0;
}

static void fake_accept(struct ring *r, struct io *io)
{
	struct sock *s = sock_of(r, io);

	must(s->is_listener && !io->receiving);
	start(s, &s->recv, OP_ACCEPT);
	io->receiving = OP_ACCEPT;
	look(s);
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
	look(s);
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
	look(s);
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
	fl->sum = sum_of(from, len);
	look(s);
}

/* The cancel is an operation too, which takes its time. */
static void step_cancel(void *arg)
{
	complete(arg, OP_CANCEL, 0, NULL, false);
}

static void start_cancel(struct sock *s)
{
	s->in_flight++;
	s->io->in_flight++;
	at(s->f, s->f->now_ns + late(s->f), step_cancel, s);
}

static void fake_cancel(struct ring *r, struct io *io)
{
	struct sock *s = sock_of(r, io);

	if (!io->receiving)
		return;
	start_cancel(s);
	s->recv.canceled = true;
	s->is_starved = false;
	look(s);
}

static void fake_ring_shutdown(struct ring *r, struct io *io)
{
	struct sock *s = sock_of(r, io);

	must(!s->is_listener && s->is_open);
	s->ended = true;
	look(s);
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
		complete_flight(s, &s->send, -ECANCELED, NULL, false);
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
		at(f, f->now_ns + late(f), step_cancel_connect, s);
	look(s);
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
		look(s);
	}
}

static uint64_t fake_wait(struct ring *r, uint64_t until_ns)
{
	struct fake *f = fake_of(r);

	must(!f->is_telling);
	f->now_ns += TURN_NS;
	feed_starved(f);
	while (f->events_len && f->events[0].at <= f->now_ns) {
		struct event e = pop_event(f);

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
		e = pop_event(f);
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
	size_t i = below(f, f->ready_len);
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
	while (f->ready_len && told < most && (!told || below(f, 8))) {
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
	*ret_ring = &f->ring;
	return 0;
}

/* ---- the test's side ---- */

uint64_t fake_now(struct ring *r)
{
	return fake_of(r)->now_ns;
}

uint64_t fake_below(struct ring *r, uint64_t n)
{
	return below(fake_of(r), n);
}

void fake_at(struct ring *r, uint64_t at_ns, void (*run)(void *arg), void *arg)
{
	at(fake_of(r), at_ns, run, arg);
}

int fake_listen(struct ring *r)
{
	struct sock *s = sock_create(fake_of(r));

	s->is_listener = true;
	s->is_accepted = true;
	return s->fd;
}

struct fake_peer *fake_dial(struct ring *r, int listener, const struct address *from,
			    const struct fake_script *script, void *mine)
{
	struct fake *f = fake_of(r);
	struct sock *s = sock_create(f);

	s->peer.script = script;
	s->peer.mine = mine;
	if (from)
		s->address = *from;
	else
		address_from_ip(SPAN("192.0.2.1"), (uint16_t)(1024 + below(f, 60000)), &s->address);
	for (size_t i = 0; i < f->socks_len; i++)
		if (f->socks[i]->fd == listener && f->socks[i]->is_listener &&
		    !f->socks[i]->closed)
			s->listener = f->socks[i];
	if (!s->listener) {
		s->is_accepted = true;
		s->closed = true;
		s->reset = true;
		end_for_peer(s, -ECONNREFUSED);
		return &s->peer;
	}
	sock_open(s);
	look(s->listener);
	return &s->peer;
}

void fake_origin(struct ring *r, const struct address *to, const struct fake_script *script,
		 void *mine)
{
	struct fake *f = fake_of(r);
	struct origin *o = find_origin(f, to);

	if (!o) {
		f->origins = grown(f->origins, f->origins_len, &f->origins_room,
				   sizeof(*f->origins));
		o = &f->origins[f->origins_len++];
	}
	*o = (struct origin){.at = *to, .script = script, .mine = mine};
}

void fake_origin_remove(struct ring *r, const struct address *to)
{
	struct fake *f = fake_of(r);
	struct origin *o = find_origin(f, to);

	if (o)
		*o = f->origins[--f->origins_len];
}

void fake_write(struct fake_peer *p, struct span bytes)
{
	struct sock *s = sock_of_peer(p);

	if (s->peer_ended || s->reset)
		return;
	bytes_put(&s->written, bytes.ptr, bytes.len);
	look(s);
}

size_t fake_read(struct fake_peer *p, void *into, size_t most)
{
	struct sock *s = sock_of_peer(p);
	size_t n = min_u64(most, bytes_len(&s->taken));

	if (n) {
		memcpy(into, s->taken.ptr + s->taken.begin, n);
		bytes_skip(&s->taken, n);
		look(s);
	}
	return n;
}

void fake_shutdown(struct fake_peer *p)
{
	struct sock *s = sock_of_peer(p);

	s->peer_ended = true;
	look(s);
}

void fake_close(struct fake_peer *p)
{
	struct sock *s = sock_of_peer(p);

	if (bytes_len(&s->taken)) {
		fake_reset(p);
		return;
	}
	s->peer_ended = true;
	s->peer_closed = true;
	s->paused = false;
	look(s);
}

void fake_reset(struct fake_peer *p)
{
	struct sock *s = sock_of_peer(p);

	s->peer_ended = true;
	s->peer_closed = true;
	bytes_drop(&s->taken);
	reset(s);
}

void fake_pause(struct fake_peer *p, bool paused)
{
	struct sock *s = sock_of_peer(p);

	s->paused = paused;
	look(s);
}

void fake_pace(struct fake_peer *p, uint64_t bytes_per_s)
{
	sock_of_peer(p)->pace = bytes_per_s;
}

void fake_window(struct fake_peer *p, uint32_t bytes)
{
	struct sock *s = sock_of_peer(p);

	must(bytes);
	s->window = bytes;
	look(s);
}

void fake_discard(struct ring *r, int fd)
{
	struct fake *f = fake_of(r);

	must(fd >= FD_BASE && (size_t)(fd - FD_BASE) < f->socks_len);
	must(!f->socks[fd - FD_BASE]->io && !f->socks[fd - FD_BASE]->closed);
	sock_close(f->socks[fd - FD_BASE]);
}

unsigned fake_open(struct ring *r)
{
	struct fake *f = fake_of(r);
	unsigned open = 0;

	for (size_t i = 0; i < f->socks_len; i++) {
		const struct sock *s = f->socks[i];

		open += s->io || (s->listener && s->is_accepted && !s->closed);
	}
	return open;
}

uint64_t fake_trace(struct ring *r)
{
	return fake_of(r)->trace;
}

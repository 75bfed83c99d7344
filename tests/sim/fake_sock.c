#include "fake_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/shard/block.h>

#define PACED_PIECES 100 /* a second */

static void step_end(void *arg)
{
	struct sock *s = arg;

	s->end_told = true;
	if (s->peer.script->on_end)
		s->peer.script->on_end(&s->peer, s->end_error);
}

void sock_end(struct sock *s, int err)
{
	if (s->end_due || s->peer_closed)
		return;
	s->end_due = true;
	s->end_error = err;
	world_at(s->f, s->f->now_ns + world_late(s->f), step_end, s);
}

/* The connection is dead for both. What has arrived may still be read or not. */
void sock_reset(struct sock *s)
{
	if (s->reset)
		return;
	s->reset = true;
	s->error = -ECONNRESET;
	bytes_drop(&s->written);
	bytes_drop(&s->sent);
	if (world_below(s->f, 2))
		bytes_drop(&s->arrived);
	sock_end(s, -ECONNRESET);
	sock_look(s);
}

static void step_reset(void *arg)
{
	sock_reset(arg);
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
		sock_reset(s);
		return;
	}
	room = s->window > bytes_len(&s->arrived) ? s->window - bytes_len(&s->arrived) : 0;
	if (bytes_len(&s->written) && room) {
		size_t n = world_piece(s->f, min_u64(room, bytes_len(&s->written)));

		bytes_put(&s->arrived, s->written.ptr + s->written.begin, n);
		bytes_skip(&s->written, n);
	}
	if (!bytes_len(&s->written) && s->peer_ended)
		s->end_arrived = true;
	sock_look(s);
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
		sock_reset(s);
		return;
	}
	if (n) {
		char *copy;

		n = world_piece(s->f, n);
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
		sock_end(s, 0);
	sock_look(s);
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
		sock_complete_flight(s, fl, -ECANCELED, NULL, false);
		return;
	}
	if (s->reset || s->ended) {
		sock_complete_flight(s, fl, take_error(s, -EPIPE), NULL, false);
		return;
	}
	if (used < s->window) {
		n = world_piece(s->f, min_u64(n, s->window - used));
		bytes_put(&s->sent, fl->from + fl->done, n);
		fl->done += (uint32_t)n;
	}
	if (fl->done == fl->len) {
		must(bytes_sum(fl->from, fl->len) == fl->sum); /* bytes changed while sent */
		sock_complete_flight(s, fl, (int)fl->len, NULL, false);
	}
	sock_look(s);
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
	if (fl->canceled && (!n || world_below(f, 2))) {
		sock_complete_flight(s, fl, -ECANCELED, NULL, false);
		return;
	}
	if (!n && !s->reset && !s->end_arrived)
		return;
	if (!n) {
		sock_complete_flight(s, fl, s->reset ? take_error(s, 0) : 0, NULL,
				     world_below(f, 2));
		return;
	}
	if (fl->op == OP_RECV_LENT) {
		b = world_happens(f, f->plan.starved) ? NULL : block_take(f->ring.blocks);
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
	if (world_happens(f, f->plan.short_reads))
		n = 1 + world_below(f, n);
	memcpy(into, s->arrived.ptr + s->arrived.begin, n);
	bytes_skip(&s->arrived, n);
	if (b)
		b->end += (uint32_t)n;
	/* That something more is there may be said; that nothing is may be old news. */
	more = (bytes_len(&s->arrived) || s->end_arrived || s->reset) && world_below(f, 4);
	sock_complete_flight(s, fl, (int)n, b, more);
	sock_look(s);
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
		sock_complete_flight(s, fl, -ECANCELED, NULL, false);
		return;
	}
	for (size_t i = 0; i < f->socks_len; i++) {
		struct sock *c = f->socks[i];

		if (c->listener != s || c->is_accepted)
			continue;
		if (world_happens(f, f->plan.accept_fails)) {
			sock_complete_flight(s, fl, -EMFILE, NULL, false);
			return;
		}
		c->is_accepted = true;
		if (world_happens(f, f->plan.accept_ends)) {
			sock_complete_flight(s, fl, c->fd, NULL, false);
			return;
		}
		sock_complete(s, OP_ACCEPT, c->fd, NULL, true);
		break;
	}
	sock_look(s);
}

static void look_at_flight(struct sock *s, struct flight *fl, bool is_ripe, void (*step)(void *arg))
{
	if (!fl->op || fl->due || fl->told || !(is_ripe || fl->canceled))
		return;
	fl->due = true;
	world_at(s->f, s->f->now_ns + world_late(s->f), step, s);
}

static bool has_backlog(const struct sock *s)
{
	for (size_t i = 0; i < s->f->socks_len; i++)
		if (s->f->socks[i]->listener == s && !s->f->socks[i]->is_accepted)
			return true;
	return false;
}

/* Sets off whatever can happen next. */
void sock_look(struct sock *s)
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
		world_at(f, f->now_ns + world_late(f), step_in, s);
	}
	/* A peer that has closed is told of no end. */
	if (!s->out_due && !s->paused &&
	    (bytes_len(&s->sent) || (s->ended && !s->end_due && !s->peer_closed))) {
		s->out_due = true;
		world_at(f, f->now_ns + world_late(f) + (s->pace ? NS_PER_S / PACED_PIECES : 0),
			 step_out, s);
	}
}

struct sock *sock_create(struct fake *f)
{
	static const struct fake_script silent;
	struct sock *s = calloc(1, sizeof(*s));

	must(s);
	s->f = f;
	s->is_ours = true;
	s->index = (uint32_t)f->socks_len;
	s->fd = FD_BASE + (int)s->index;
	s->peer.script = &silent;
	s->window = 1 + (uint32_t)world_below(f, f->plan.window_most);
	f->socks = grown(f->socks, f->socks_len, &f->socks_room, sizeof(*f->socks));
	f->socks[f->socks_len++] = s;
	return s;
}

void sock_open(struct sock *s)
{
	s->is_open = true;
	if (world_happens(s->f, s->f->plan.resets))
		world_at(s->f, s->f->now_ns + world_below(s->f, NS_PER_S), step_reset, s);
}

void sock_close(struct sock *s)
{
	s->closed = true;
	if (s->is_listener) {
		for (size_t i = 0; i < s->f->socks_len; i++) {
			struct sock *c = s->f->socks[i];

			if (c->listener == s && !c->is_accepted) {
				c->is_accepted = true;
				c->closed = true;
				c->reset = true;
				sock_end(c, -ECONNREFUSED);
			}
		}
		return;
	}
	if (!s->is_open)
		return;
	/* Input that nobody read makes the close a reset, and so does input that comes
	 * later: RFC 9293 section 3.10.4, RFC 1122 section 4.2.2.13. */
	if (s->reset_on_close || bytes_len(&s->arrived)) {
		sock_reset(s);
		return;
	}
	s->ended = true;
	sock_look(s);
}

#include "fake_world.h"

#include <errno.h>
#include <string.h>

struct fake_plan fake_plan_of(uint64_t seed)
{
	/* Windows of one byte up to what a kernel has; networks from instant to slow. */
	static const uint32_t windows[] = {16, 700, 4096, 65536, 262144};
	static const uint64_t lates[] = {0, 50 * NS_PER_US, 2 * NS_PER_MS, 40 * NS_PER_MS};
	struct fake f = {.random = seed};

	return (struct fake_plan){
		.seed = seed,
		.sockets = 4096,
		.window_most = windows[world_below(&f, ARRAY_LEN(windows))],
		.late_most_ns = lates[world_below(&f, ARRAY_LEN(lates))],
		.short_reads = (unsigned)world_below(&f, 600),
		.small_pieces = (unsigned)world_below(&f, 500),
		.starved = (unsigned)world_below(&f, 100),
		.accept_fails = (unsigned)world_below(&f, 100),
		.accept_ends = (unsigned)world_below(&f, 100),
	};
}

struct origin *find_origin(struct fake *f, const struct address *to)
{
	for (size_t i = 0; i < f->origins_len; i++)
		if (address_eq(&f->origins[i].at, to))
			return &f->origins[i];
	return NULL;
}

uint64_t fake_now(struct ring *r)
{
	return fake_of(r)->now_ns;
}

uint64_t fake_below(struct ring *r, uint64_t n)
{
	return world_below(fake_of(r), n);
}

void fake_at(struct ring *r, uint64_t at_ns, void (*run)(void *arg), void *arg)
{
	world_at(fake_of(r), at_ns, run, arg);
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
		address_from_ip(SPAN("192.0.2.1"), (uint16_t)(1024 + world_below(f, 60000)),
				&s->address);
	for (size_t i = 0; i < f->socks_len; i++)
		if (f->socks[i]->fd == listener && f->socks[i]->is_listener && !f->socks[i]->closed)
			s->listener = f->socks[i];
	if (!s->listener) {
		s->is_accepted = true;
		s->closed = true;
		s->reset = true;
		sock_end(s, -ECONNREFUSED);
		return &s->peer;
	}
	sock_open(s);
	sock_look(s->listener);
	return &s->peer;
}

void fake_origin(struct ring *r, const struct address *to, const struct fake_script *script,
		 void *mine)
{
	struct fake *f = fake_of(r);
	struct origin *o = find_origin(f, to);

	if (!o) {
		f->origins =
			grown(f->origins, f->origins_len, &f->origins_room, sizeof(*f->origins));
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
	sock_look(s);
}

size_t fake_read(struct fake_peer *p, void *into, size_t most)
{
	struct sock *s = sock_of_peer(p);
	size_t n = min_u64(most, bytes_len(&s->taken));

	if (n) {
		memcpy(into, s->taken.ptr + s->taken.begin, n);
		bytes_skip(&s->taken, n);
		sock_look(s);
	}
	return n;
}

void fake_shutdown(struct fake_peer *p)
{
	struct sock *s = sock_of_peer(p);

	s->peer_ended = true;
	sock_look(s);
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
	sock_look(s);
}

void fake_reset(struct fake_peer *p)
{
	struct sock *s = sock_of_peer(p);

	s->peer_ended = true;
	s->peer_closed = true;
	bytes_drop(&s->taken);
	sock_reset(s);
}

void fake_pause(struct fake_peer *p, bool paused)
{
	struct sock *s = sock_of_peer(p);

	s->paused = paused;
	sock_look(s);
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
	sock_look(s);
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

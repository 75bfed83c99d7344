#include <ringway/net/listener.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Connections that the kernel completes and keeps while the shard is busy; capped by
 * net.core.somaxconn. */
#define BACKLOG 4096
#define RETRY_NS (20 * NS_PER_MS)

static const struct io_events listener_io_events;

int listener_socket(const struct address *address, bool shared, int *ret_fd)
{
	bool is_unix = address->sa.sa_family == AF_UNIX;
	int on = 1;
	int err;
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (!is_unix) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (address->sa.sa_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		if (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
			goto fail;
	}
	if (bind(fd, &address->sa, address->len) != 0 || listen(fd, BACKLOG) != 0)
		goto fail;
	*ret_fd = fd;
	return 0;
fail:
	err = -errno;
	close(fd);
	return err;
}

static void on_retry(struct timer *t);

int listener_start(struct listener *l, struct shard *s, int fd,
		   const struct listener_events *events)
{
	int err;

	memset(l, 0, sizeof(*l));
	io_init(&l->io, &listener_io_events);
	l->shard = s;
	l->events = events;
	timer_init(&l->retry, on_retry);
	err = ring_attach(s->ring, &l->io, fd);
	if (err)
		return err;
	l->state = LISTENER_ACCEPTING;
	ring_accept(s->ring, &l->io);
	return 0;
}

static void rest(struct listener *l)
{
	if (l->state == LISTENER_ACCEPTING)
		l->state = LISTENER_RESTING;
	if (l->io.receiving)
		ring_cancel(l->shard->ring, &l->io);
	timer_set(&l->shard->timers, &l->retry, l->shard->now_ns + RETRY_NS);
}

static void on_retry(struct timer *t)
{
	struct listener *l = container_of(t, struct listener, retry);

	if (l->state != LISTENER_RESTING)
		return;
	if (l->io.receiving || !l->events->has_room(l)) {
		timer_set(&l->shard->timers, t, l->shard->now_ns + RETRY_NS);
		return;
	}
	l->state = LISTENER_ACCEPTING;
	ring_accept(l->shard->ring, &l->io);
}

static void finish(struct listener *l)
{
	int fd;

	while ((fd = ring_accept_now(l->shard->ring, &l->io)) >= 0)
		l->events->on_conn(l, fd);
	ring_close(l->shard->ring, &l->io);
}

static void on_io_accept(struct io *io, int fd, bool more)
{
	struct listener *l = container_of(io, struct listener, io);
	bool room = true;

	if (fd >= 0) {
		room = l->events->on_conn(l, fd);
	} else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS) {
		l->exhausted++;
		room = false;
		l->events->on_exhausted(l);
	}
	if (l->state == LISTENER_STOPPING) {
		if (!more)
			finish(l);
	} else if (!room) {
		rest(l);
	} else if (!more && l->state == LISTENER_ACCEPTING) {
		ring_accept(l->shard->ring, io);
	}
}

void listener_stop(struct listener *l)
{
	if (l->state == LISTENER_CLOSED || l->state == LISTENER_STOPPING)
		return;
	l->state = LISTENER_STOPPING;
	timer_stop(&l->retry);
	if (l->io.receiving)
		ring_cancel(l->shard->ring, &l->io);
	else
		finish(l);
}

static void on_io_gone(struct io *io)
{
	struct listener *l = container_of(io, struct listener, io);

	l->state = LISTENER_CLOSED;
	l->events->on_stopped(l);
}

static const struct io_events listener_io_events = {
	.on_accept = on_io_accept,
	.on_gone = on_io_gone,
};

#include <ringway/net/conn.h>

#include <errno.h>

#include "codec.h"

/* What a peer may go on sending while its answer is on the way. One that stops as soon as
 * it sees the answer may have filled its kernel's send buffer and our receive buffer by
 * then (4 and 6 MiB are Linux's defaults for the largest ones): fewer bytes, and the reset
 * eats the answer of an honest upload. More time is not worth an attack. */
#define LINGER_NS NS_PER_S
#define LINGER_BYTES (16 * MIB)

static const struct io_events conn_io_events;

static void on_deadline(struct timer *t);
static void on_write_timer(struct timer *t);

void conn_init(struct conn *c, struct shard *s, const struct conn_events *events)
{
	memset(c, 0, sizeof(*c));
	io_init(&c->io, &conn_io_events);
	c->shard = s;
	c->events = events;
	timer_init(&c->deadline, on_deadline);
	timer_init(&c->write_timer, on_write_timer);
}

static void begin(struct conn *c, uint64_t write_idle_ns, enum conn_state state)
{
	c->state = state;
	c->codec = NULL;
	c->write_idle_ns = write_idle_ns;
	c->rx = NULL;
	c->tx_first = NULL;
	c->tx_last = NULL;
	c->bytes_in = 0;
	c->bytes_out = 0;
	c->acknowledged = 0;
	c->lingered = 0;
	c->linger = false;
	/* A new connection's first bytes are often there already. */
	c->more = true;
	c->at_end = false;
	c->cut = false;
	c->reset = false;
}

int conn_open(struct conn *c, int fd, uint64_t write_idle_ns)
{
	int err = ring_attach(c->shard->ring, &c->io, fd);

	if (err)
		return err;
	begin(c, write_idle_ns, CONN_OPEN);
	return 0;
}

int conn_connect(struct conn *c, const struct address *to, uint64_t write_idle_ns)
{
	int err = ring_connect(c->shard->ring, &c->io, to);

	if (err)
		return err;
	begin(c, write_idle_ns, CONN_CONNECTING);
	c->more = false;
	return 0;
}

/* ---- receiving ---- */

void conn_recv(struct conn *c)
{
	if (c->at_end || c->state != CONN_OPEN)
		return;
	if (c->codec) {
		codec_recv(c);
		return;
	}
	if (c->io.receiving)
		return;
	if (!c->rx) {
		ring_recv_lent(c->shard->ring, &c->io, c->more);
		return;
	}
	/* The beginning of a head at the end of a pipeline's block, say: the rest has to come
	 * behind it. */
	if (!block_room(c->rx))
		block_compact(c->rx);
	if (block_room(c->rx))
		ring_recv(c->shard->ring, &c->io, block_end(c->rx), block_room(c->rx), c->more);
}

/* A codec receives elsewhere: rx is the owner's at any time. */
bool conn_is_receiving(const struct conn *c)
{
	return c->io.receiving && !c->codec;
}

struct block *conn_take_rx(struct conn *c)
{
	struct block *b = c->rx;

	/* A receive in flight writes behind the bytes of this very block. */
	must(!b || !conn_is_receiving(c));
	c->rx = NULL;
	return b;
}

void conn_consume(struct conn *c, uint32_t len)
{
	struct block *b = c->rx;

	must(b && len <= block_len(b) && !conn_is_receiving(c));
	b->begin += len;
	if (!block_len(b)) {
		block_give(b);
		c->rx = NULL;
	}
}

static void linger_recv(struct conn *c)
{
	if (!c->io.receiving)
		ring_recv_lent(c->shard->ring, &c->io, c->more);
}

static void on_linger_recv(struct conn *c, int res, struct block *lent)
{
	if (lent)
		block_give(lent);
	if (res <= 0) {
		c->at_end = true;
		if (c->state == CONN_LINGERING)
			conn_close(c);
		return;
	}
	c->lingered += (uint32_t)res;
	if (c->state == CONN_LINGERING) {
		if (c->lingered >= LINGER_BYTES)
			conn_close(c);
		else
			linger_recv(c);
	}
}

static void on_io_recv(struct io *io, int res, struct block *lent, bool more)
{
	struct conn *c = container_of(io, struct conn, io);

	c->more = more;
	if (c->state != CONN_OPEN) {
		on_linger_recv(c, res, lent);
		return;
	}
	if (c->codec) {
		codec_received(c, res, lent);
		return;
	}
	if (res > 0) {
		c->bytes_in += (uint64_t)res;
		if (lent)
			c->rx = lent;
		else
			c->rx->end += (uint32_t)res;
	} else {
		c->at_end = true;
	}
	c->events->on_recv(c, res);
}

/* ---- sending ---- */

static void send_first(struct conn *c)
{
	ring_send(c->shard->ring, &c->io, block_begin(c->tx_first), block_len(c->tx_first));
}

void conn_send(struct conn *c, struct block *b)
{
	if (c->codec)
		codec_send(c, b);
	else
		conn_send_raw(c, b);
}

void conn_send_raw(struct conn *c, struct block *b)
{
	must(c->state == CONN_OPEN && block_len(b));
	b->next = NULL;
	if (c->tx_first) {
		c->tx_last->next = b;
		c->tx_last = b;
		return;
	}
	c->tx_first = b;
	c->tx_last = b;
	send_first(c);
	if (c->write_idle_ns)
		timer_set(&c->shard->timers, &c->write_timer, c->shard->now_ns + c->write_idle_ns);
}

bool conn_is_sending(const struct conn *c)
{
	return c->tx_first != NULL;
}

static void give_tx(struct conn *c)
{
	while (c->tx_first) {
		struct block *b = c->tx_first;

		c->tx_first = b->next;
		block_give(b);
	}
	c->tx_last = NULL;
}

static void end_after_send(struct conn *c);

/* A codec's were counted when it took them. */
static void count_out(struct conn *c, uint32_t len)
{
	if (!c->codec)
		c->bytes_out += len;
}

static void on_io_send(struct io *io, int res)
{
	struct conn *c = container_of(io, struct conn, io);
	struct block *b = c->tx_first;
	int err = 0;

	if (res >= 0 && (uint32_t)res < block_len(b)) {
		/* The kernel stopped short: a signal or the socket's end. The rest goes
		 * again; if the connection is dead that says so. */
		count_out(c, (uint32_t)res);
		b->begin += (uint32_t)res;
		if (res > 0) {
			send_first(c);
			return;
		}
		res = -EPIPE;
	}
	if (res < 0) {
		err = res;
	} else {
		count_out(c, (uint32_t)res);
		c->tx_first = b->next;
		block_give(b);
		if (c->tx_first) {
			send_first(c);
			return;
		}
		c->tx_last = NULL;
	}
	timer_set(&c->shard->timers, &c->write_timer, 0);
	if (err)
		give_tx(c);
	if (c->state == CONN_DRAINING) {
		if (err)
			conn_close(c);
		else
			end_after_send(c);
		return;
	}
	/* Not all of it: what encode() said is on its way to the owner, or was told. */
	if (!err && c->codec && c->codec->failed)
		return;
	c->events->on_sent(c, err);
}

/* A send reports only its end, and a slow reader may take minutes for it. So the timer
 * asks the kernel whether the peer has acknowledged anything since the last look, and
 * only a peer that has not moved in a whole interval is given up: after one interval at
 * the least and two at the most. SIOCOUTQ would not do: a long send refills the queue as
 * fast as it drains, so that its length stands still while bytes move. */
static void on_write_timer(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, write_timer);
	uint64_t acknowledged = 0;
	bool known;

	if (!c->tx_first)
		return;
	known = ring_acknowledged(c->shard->ring, &c->io, &acknowledged);
	if (known && acknowledged != c->acknowledged) {
		c->acknowledged = acknowledged;
		timer_set(&c->shard->timers, t, c->shard->now_ns + c->write_idle_ns);
		return;
	}
	if (c->state == CONN_OPEN)
		c->events->on_sent(c, -ETIMEDOUT);
	else
		conn_close(c);
}

/* ---- deadline ---- */

void conn_set_deadline(struct conn *c, uint64_t at_ns)
{
	timer_set(&c->shard->timers, &c->deadline, at_ns);
}

static void on_deadline(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, deadline);

	if (c->state == CONN_LINGERING)
		conn_close(c);
	else if (c->state == CONN_OPEN || c->state == CONN_CONNECTING)
		c->events->on_deadline(c);
}

/* ---- ending ---- */

void conn_close(struct conn *c)
{
	if (c->state == CONN_CLOSING || c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSING;
	if (c->codec)
		codec_stop(c);
	timer_stop(&c->deadline);
	timer_stop(&c->write_timer);
	if (c->reset)
		ring_reset_on_close(c->shard->ring, &c->io);
	ring_close(c->shard->ring, &c->io);
}

void conn_reset(struct conn *c)
{
	c->reset = true;
	conn_close(c);
}

/* A codec that failed ends what the owner receives, not what the peer sends. */
static bool peer_has_ended(const struct conn *c)
{
	return c->at_end && !(c->codec && codec_has_failed(c));
}

static void end_after_send(struct conn *c)
{
	if (peer_has_ended(c) || !c->linger) {
		conn_close(c);
		return;
	}
	c->state = CONN_LINGERING;
	ring_shutdown(c->shard->ring, &c->io);
	conn_set_deadline(c, c->shard->now_ns + LINGER_NS);
	linger_recv(c);
}

void conn_finish(struct conn *c, bool linger)
{
	if (c->state != CONN_OPEN)
		return;
	/* A block that a receive writes into stays until that has ended. */
	if (c->rx && !conn_is_receiving(c)) {
		block_give(c->rx);
		c->rx = NULL;
	}
	if (c->codec && !codec_finish(c)) {
		conn_close(c);
		return;
	}
	c->state = CONN_DRAINING;
	c->linger = linger;
	conn_set_deadline(c, 0);
	if (!c->tx_first)
		end_after_send(c);
}

static void on_io_connect(struct io *io, int err)
{
	struct conn *c = container_of(io, struct conn, io);

	if (!err)
		c->state = CONN_OPEN;
	c->events->on_connect(c, err);
}

static void on_io_gone(struct io *io)
{
	struct conn *c = container_of(io, struct conn, io);

	codec_gone(c);
	give_tx(c);
	if (c->rx) {
		block_give(c->rx);
		c->rx = NULL;
	}
	c->state = CONN_CLOSED;
	c->events->on_gone(c);
}

static const struct io_events conn_io_events = {
	.on_connect = on_io_connect,
	.on_recv = on_io_recv,
	.on_send = on_io_send,
	.on_gone = on_io_gone,
};

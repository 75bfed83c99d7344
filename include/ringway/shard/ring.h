/* The seam between a shard and the kernel: what can be asked of a socket.
 *
 * The operations are ours; no flag of the kernel's is seen above this folder. There
 * are two implementations: io_uring (uring.h) and the fake ring of the tests
 * (fake_ring.h), which has sockets of its own and a schedule that follows a seed.
 *
 * Operations are asked for at any time and told of later, from ring_drain() only: an
 * operation never completes inside the call that asks for it. At most one receive and
 * one send of a socket are in flight, so that bytes stay in order.
 */
#ifndef RINGWAY_SHARD_RING_H
#define RINGWAY_SHARD_RING_H

#include <ringway/base/address.h>
#include <ringway/base/base.h>

struct block;
struct block_pool;
struct io;

/* News of one socket. All run on the shard's thread, from ring_drain(). */
struct io_events {
	/* A new connection (its descriptor is the callee's), or -errno. With `more`
	 * false the accept has ended and ring_accept() must be asked for again. */
	void (*on_accept)(struct io *io, int fd, bool more);
	void (*on_connect)(struct io *io, int err); /* 0 or -errno */
	/* Bytes received, 0 at the end of the stream, or -errno. `lent` is the block
	 * they are in when ring_recv_lent() was asked (the callee's from now on; NULL
	 * when nothing came). With `more`, further bytes wait already. */
	void (*on_recv)(struct io *io, int res, struct block *lent, bool more);
	void (*on_send)(struct io *io, int res); /* all bytes sent, or -errno */
	/* After ring_close(): the last completion came, the descriptor is closed. The
	 * memory of the io is the owner's again, no news comes any more. */
	void (*on_gone)(struct io *io);
};

/* One socket. Embedded in whatever owns it. */
struct io {
	const struct io_events *events;
	int fd;             /* -1: none */
	uint32_t slot;      /* in the ring's table */
	uint32_t generation;
	uint8_t in_flight;  /* operations: the kernel points into us while this is not 0 */
	uint8_t receiving;  /* the ring's word for the receive or accept in flight, 0: none */
	bool sending;
	bool closing;
	struct io *next; /* in the ring's lists of closed and of starved ones */
};

struct ring {
	const struct ring_ops *ops;
	struct block_pool *blocks; /* what lent receives take from */
	uint64_t overflows;        /* completions that found no room: a bug metric */
	uint64_t starved;          /* receives that had to wait for a block */
	uint64_t asked, ended;     /* operations: the difference is in flight */
	uint64_t busy_ns;          /* between waits */
	uint64_t busy_longest_ns;  /* between two of them; the shard sets it back */
};

struct ring_ops {
	/* Gives the socket a slot. -EMFILE when the table is full. */
	int (*attach)(struct ring *r, struct io *io, int fd);
	/* A new stream socket for the address, attached, and its connect asked for.
	 * -errno at once when there is no descriptor or slot: nothing is attached. The
	 * address is copied. */
	int (*connect)(struct ring *r, struct io *io, const struct address *to);
	void (*accept)(struct ring *r, struct io *io);
	/* A connection that waits already, or -EAGAIN; with no accept in flight. Never
	 * blocks; afterwards no accept can be asked for any more. */
	int (*accept_now)(struct ring *r, struct io *io);
	void (*recv_lent)(struct ring *r, struct io *io, bool more);
	void (*recv)(struct ring *r, struct io *io, void *into, uint32_t len, bool more);
	void (*send)(struct ring *r, struct io *io, const void *from, uint32_t len);
	/* Ends the receive or accept in flight: its own news says -ECANCELED, unless
	 * it was quicker. */
	void (*cancel)(struct ring *r, struct io *io);
	void (*shutdown)(struct ring *r, struct io *io); /* of our sending side, at once */
	/* Makes the close a reset (no data that is still queued will arrive). */
	void (*reset_on_close)(struct ring *r, struct io *io);
	void (*close)(struct ring *r, struct io *io);
	/* Bytes that the peer has acknowledged since the connection began: the only
	 * sign of progress of a long send. False where the kernel does not say. */
	bool (*acknowledged)(struct ring *r, struct io *io, uint64_t *ret_bytes);
	bool (*peer)(struct ring *r, struct io *io, struct address *ret_address);
	/* Hands what was asked for to the kernel and waits until a completion is there,
	 * the time comes (0: does not wait) or somebody wakes the ring. Returns the time. */
	uint64_t (*wait)(struct ring *r, uint64_t until_ns);
	/* Tells at most so many completions; returns how many. */
	unsigned (*drain)(struct ring *r, unsigned most);
	/* Hands over what was asked for if there is much of it. */
	void (*flush)(struct ring *r);
	/* From any thread: ends a wait, now or the next one. */
	void (*wake)(struct ring *r);
	/* Blocks that lie ready for lent receives. */
	uint32_t (*lent)(const struct ring *r);
	void (*destroy)(struct ring *r);
};

static inline void io_init(struct io *io, const struct io_events *events)
{
	*io = (struct io){.events = events, .fd = -1};
}

static inline int ring_attach(struct ring *r, struct io *io, int fd)
{
	return r->ops->attach(r, io, fd);
}

static inline int ring_connect(struct ring *r, struct io *io, const struct address *to)
{
	return r->ops->connect(r, io, to);
}

static inline void ring_accept(struct ring *r, struct io *io)
{
	r->ops->accept(r, io);
}

static inline int ring_accept_now(struct ring *r, struct io *io)
{
	return r->ops->accept_now(r, io);
}

/* Receives into a block that is taken when bytes are there: an idle connection holds
 * none. `more` repeats what the last receive said. */
static inline void ring_recv_lent(struct ring *r, struct io *io, bool more)
{
	must(!io->receiving && !io->closing);
	r->ops->recv_lent(r, io, more);
}

/* Receives into memory of the caller's, which stays until the news. */
static inline void ring_recv(struct ring *r, struct io *io, void *into, uint32_t len, bool more)
{
	must(!io->receiving && !io->closing && len);
	r->ops->recv(r, io, into, len, more);
}

/* Sends everything or fails; the bytes stay untouched until the news. */
static inline void ring_send(struct ring *r, struct io *io, const void *from, uint32_t len)
{
	must(!io->sending && !io->closing && len);
	r->ops->send(r, io, from, len);
}

static inline void ring_cancel(struct ring *r, struct io *io)
{
	r->ops->cancel(r, io);
}

static inline void ring_shutdown(struct ring *r, struct io *io)
{
	r->ops->shutdown(r, io);
}

static inline void ring_reset_on_close(struct ring *r, struct io *io)
{
	r->ops->reset_on_close(r, io);
}

/* Cancels what is in flight; on_gone comes once, later, and nothing before it. */
static inline void ring_close(struct ring *r, struct io *io)
{
	must(!io->closing && io->fd >= 0);
	r->ops->close(r, io);
}

static inline bool ring_acknowledged(struct ring *r, struct io *io, uint64_t *ret_bytes)
{
	return r->ops->acknowledged(r, io, ret_bytes);
}

static inline bool ring_peer(struct ring *r, struct io *io, struct address *ret_address)
{
	return r->ops->peer(r, io, ret_address);
}

static inline uint64_t ring_wait(struct ring *r, uint64_t until_ns)
{
	return r->ops->wait(r, until_ns);
}

static inline unsigned ring_drain(struct ring *r, unsigned most)
{
	return r->ops->drain(r, most);
}

static inline void ring_flush(struct ring *r)
{
	r->ops->flush(r);
}

static inline void ring_wake(struct ring *r)
{
	r->ops->wake(r);
}

static inline uint32_t ring_lent(const struct ring *r)
{
	return r->ops->lent(r);
}

static inline void ring_destroy(struct ring *r)
{
	if (r)
		r->ops->destroy(r);
}

#endif

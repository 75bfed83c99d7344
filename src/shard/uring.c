/* The ring on io_uring.
 *
 * user_data is slot + generation + operation. A slot counts its operations in flight
 * and is free again only at the last completion, so a completion whose generation is
 * not the slot's is a bug of ours; a completion for a socket that is being closed is
 * not: it first gives its buffer back, then it is dropped.
 *
 * Lent receives take from a ring of blocks shared with the kernel. What the kernel
 * consumed is replaced once a turn; when nothing is left the receive waits in the list
 * of starved ones and is asked for again when blocks have come back, never at once
 * (that would spin).
 */
#include <ringway/shard/uring.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ringway/base/clock.h>
#include <ringway/shard/block.h>

#define SQ_ENTRIES 1024
/* Room for what can complete between two turns; not sized from the limits, since the
 * kernel keeps what does not fit and we count it. */
#define CQ_ENTRIES 16384
/* Blocks that lie ready in the kernel: the receives of one turn. The kernel walks
 * through all of them, so a longer ring is a colder cache. */
#define LENT_BLOCKS 128
#define LENT_GROUP 0
/* Sends and receives that are handed over in the middle of a long turn, so that the
 * first answer of a batch does not wait for the last one. */
#define FLUSH_AT 16
#define WAKE_SLOT UINT32_MAX

enum op { OP_ACCEPT = 1, OP_CONNECT, OP_RECV_LENT, OP_RECV, OP_SEND, OP_CANCEL, OP_WAKE };

/* What io->receiving may say beside an operation that the kernel has. */
#define STARVED     0x40 /* in our list: for its owner it is in flight */
#define CANCEL_SENT 0x80 /* a bit on top of the others */

struct slot {
	struct io *io; /* NULL: free */
	uint32_t generation : 24;
	uint32_t connecting : 1;
	union {
		uint32_t next_free;
		uint32_t send_len; /* of the send in flight */
	};
};

struct uring {
	struct ring ring; /* first */
	struct io_uring uring;
	uint64_t now_ns;
	unsigned pending; /* asked for since the last enter */

	struct slot *slots;
	uint32_t slots_len;
	uint32_t slots_used_ever;
	uint32_t free_slot; /* UINT32_MAX: none */

	struct io_uring_buf_ring *lent;
	struct block *lent_blocks[LENT_BLOCKS]; /* by buffer id; NULL: consumed */
	uint16_t missing[LENT_BLOCKS];          /* ids that need a block */
	unsigned missing_len;

	struct io *gone;    /* closed with nothing in flight: on_gone is due */
	/* Lent receives that found no block; who came first is fed first. */
	struct io *starved, *starved_last;
	struct sockaddr_storage *connect_to; /* see uring_connect() */
	uint32_t connects;

	int wake_fd;
	uint64_t wake_count; /* the kernel writes it */
	char features[96];
};

static struct uring *uring_of(struct ring *r)
{
	return container_of(r, struct uring, ring);
}

static uint64_t pack(enum op op, uint32_t generation, uint32_t slot)
{
	return (uint64_t)op << 56 | (uint64_t)(generation & 0xffffff) << 32 | slot;
}

static struct io_uring_sqe *take_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->uring);

	if (unlikely(!sqe)) {
		io_uring_submit(&u->uring);
		u->pending = 0;
		sqe = io_uring_get_sqe(&u->uring);
		must(sqe);
	}
	u->pending++;
	u->ring.asked++;
	return sqe;
}

static void start(struct io *io, struct io_uring_sqe *sqe, enum op op)
{
	must(io->fd >= 0);
	sqe->user_data = pack(op, io->generation, io->slot);
	io->in_flight++;
}

/* ---- sockets ---- */

static int uring_attach(struct ring *r, struct io *io, int fd)
{
	struct uring *u = uring_of(r);
	struct slot *slot;
	uint32_t index;

	if (u->free_slot != UINT32_MAX) {
		index = u->free_slot;
		u->free_slot = u->slots[index].next_free;
	} else if (u->slots_used_ever < u->slots_len) {
		index = u->slots_used_ever++;
	} else {
		return -EMFILE;
	}
	slot = &u->slots[index];
	slot->io = io;
	io->fd = fd;
	io->slot = index;
	io->generation = slot->generation;
	io->in_flight = 0;
	io->receiving = 0;
	io->sending = false;
	io->closing = false;
	return 0;
}

static void detach(struct uring *u, struct io *io)
{
	struct slot *slot = &u->slots[io->slot];

	slot->io = NULL;
	slot->generation++; /* wraps with its bits */
	slot->next_free = u->free_slot;
	u->free_slot = io->slot;
}

static int uring_connect(struct ring *r, struct io *io, const struct address *to)
{
	struct uring *u = uring_of(r);
	int on = 1;
	int err;
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	err = uring_attach(r, io, fd);
	if (err) {
		close(fd);
		return err;
	}
	if (to->sa.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

	/* The kernel copies the address when the request is handed over, which may be
	 * after this call returns: it must not lie on the stack. A ring of copies as
	 * long as the submission queue is enough. */
	struct sockaddr_storage *copy = &u->connect_to[u->connects++ % SQ_ENTRIES];
	struct io_uring_sqe *sqe = take_sqe(u);

	must(to->len <= sizeof(*copy));
	memcpy(copy, &to->sa, to->len);
	io_uring_prep_connect(sqe, fd, (struct sockaddr *)copy, to->len);
	start(io, sqe, OP_CONNECT);
	u->slots[io->slot].connecting = true;
	return 0;
}

static void uring_accept(struct ring *r, struct io *io)
{
	struct uring *u = uring_of(r);
	struct io_uring_sqe *sqe = take_sqe(u);

	io_uring_prep_multishot_accept(sqe, io->fd, NULL, NULL, SOCK_CLOEXEC);
	start(io, sqe, OP_ACCEPT);
	io->receiving = OP_ACCEPT;
}

static int uring_accept_now(struct ring *r, struct io *io)
{
	int fd;

	(void)r;
	if (fcntl(io->fd, F_SETFL, O_NONBLOCK) != 0)
		return -errno;
	do {
		fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);
	} while (fd < 0 && (errno == ECONNABORTED || errno == EINTR));
	return fd < 0 ? -errno : fd;
}

static void uring_recv_lent(struct ring *r, struct io *io, bool more)
{
	struct uring *u = uring_of(r);
	struct io_uring_sqe *sqe = take_sqe(u);

	io_uring_prep_recv(sqe, io->fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = LENT_GROUP;
	if (!more)
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	start(io, sqe, OP_RECV_LENT);
	io->receiving = OP_RECV_LENT;
}

static void uring_recv(struct ring *r, struct io *io, void *into, uint32_t len, bool more)
{
	struct uring *u = uring_of(r);
	struct io_uring_sqe *sqe = take_sqe(u);

	io_uring_prep_recv(sqe, io->fd, into, len, 0);
	if (!more)
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	start(io, sqe, OP_RECV);
	io->receiving = OP_RECV;
}

static void uring_send(struct ring *r, struct io *io, const void *from, uint32_t len)
{
	struct uring *u = uring_of(r);
	struct io_uring_sqe *sqe = take_sqe(u);

	io_uring_prep_send(sqe, io->fd, from, len, MSG_WAITALL | MSG_NOSIGNAL);
	start(io, sqe, OP_SEND);
	u->slots[io->slot].send_len = len;
	io->sending = true;
}

/* By operation, since the kernel finds that by a hash; for all operations of a descriptor
 * it would look at every waiting operation of the ring, so that a close would cost more
 * the more connections are idle. */
static void cancel(struct uring *u, struct io *io, enum op op)
{
	struct io_uring_sqe *sqe = take_sqe(u);

	io_uring_prep_cancel64(sqe, pack(op, io->generation, io->slot), 0);
	start(io, sqe, OP_CANCEL);
}

static void uring_cancel(struct ring *r, struct io *io)
{
	if (!io->receiving || io->receiving & CANCEL_SENT)
		return;
	/* For a starved receive the kernel finds nothing, but its answer is where the news
	 * comes from. */
	cancel(uring_of(r), io, (enum op)io->receiving);
	io->receiving |= CANCEL_SENT;
}

static void uring_shutdown(struct ring *r, struct io *io)
{
	(void)r;
	/* Not through the ring: there it always goes to a worker thread. */
	shutdown(io->fd, SHUT_WR);
}

static void uring_reset_on_close(struct ring *r, struct io *io)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)r;
	setsockopt(io->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void set_gone(struct uring *u, struct io *io)
{
	close(io->fd);
	io->fd = -1;
	detach(u, io);
	io->next = u->gone;
	u->gone = io;
}

static void uring_close(struct ring *r, struct io *io)
{
	struct uring *u = uring_of(r);

	io->closing = true;
	if (!io->in_flight) {
		set_gone(u, io);
		return;
	}
	/* A starved receive needs none: feed_starved() lets it go. */
	if (io->receiving && !(io->receiving & (CANCEL_SENT | STARVED)))
		cancel(u, io, (enum op)io->receiving);
	if (io->sending)
		cancel(u, io, OP_SEND);
	if (u->slots[io->slot].connecting)
		cancel(u, io, OP_CONNECT);
}

static bool uring_acknowledged(struct ring *r, struct io *io, uint64_t *ret_bytes)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	(void)r;
	if (getsockopt(io->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
	    len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
		return false;
	*ret_bytes = info.tcpi_bytes_acked;
	return true;
}

static bool uring_peer(struct ring *r, struct io *io, struct address *ret_address)
{
	struct address a = {.len = sizeof(a.un)};

	(void)r;
	if (getpeername(io->fd, &a.sa, &a.len) != 0)
		return false;
	*ret_address = a;
	return true;
}

/* ---- lent blocks ---- */

static void lend(struct uring *u)
{
	unsigned added = 0;

	while (u->missing_len) {
		struct block *b = block_take(u->ring.blocks);
		uint16_t id;

		if (!b)
			break;
		id = u->missing[--u->missing_len];
		u->lent_blocks[id] = b;
		io_uring_buf_ring_add(u->lent, block_begin(b), BLOCK_DATA_BYTES, id,
				      io_uring_buf_ring_mask(LENT_BLOCKS), (int)added++);
	}
	if (added)
		io_uring_buf_ring_advance(u->lent, (int)added);
}

static void starve(struct uring *u, struct io *io)
{
	u->ring.starved++;
	io->in_flight++;
	io->receiving = STARVED;
	io->next = NULL;
	if (u->starved)
		u->starved_last->next = io;
	else
		u->starved = io;
	u->starved_last = io;
}

static void end_starved(struct io *io)
{
	io->in_flight--;
	io->receiving = 0;
}

/* Asks again for receives that found no block; a socket that is being closed has its
 * last completion here. */
static void feed_starved(struct uring *u)
{
	unsigned blocks = LENT_BLOCKS - u->missing_len;
	struct io **at = &u->starved;
	struct io *io;

	u->starved_last = NULL;
	while ((io = *at)) {
		if (!io->closing && (!blocks || io->receiving & CANCEL_SENT)) {
			u->starved_last = io;
			at = &io->next;
			continue;
		}
		*at = io->next;
		end_starved(io);
		if (!io->closing) {
			blocks--;
			uring_recv_lent(&u->ring, io, true);
		} else if (!io->in_flight) {
			set_gone(u, io);
		}
	}
}

static void cancel_starved(struct uring *u, struct io *io)
{
	struct io **at = &u->starved;
	struct io *before = NULL;

	while (*at != io) {
		before = *at;
		at = &before->next;
	}
	*at = io->next;
	if (u->starved_last == io)
		u->starved_last = before;
	end_starved(io);
	io->events->on_recv(io, -ECANCELED, NULL, false);
}

/* ---- completions ---- */

static struct block *block_of_cqe(struct uring *u, const struct io_uring_cqe *cqe)
{
	struct block *b;
	uint16_t id;

	if (!(cqe->flags & IORING_CQE_F_BUFFER))
		return NULL;
	id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	b = u->lent_blocks[id];
	must(b);
	u->lent_blocks[id] = NULL;
	u->missing[u->missing_len++] = id;
	return b;
}

static void ask_for_wake(struct uring *u)
{
	struct io_uring_sqe *sqe = take_sqe(u);

	io_uring_prep_read(sqe, u->wake_fd, &u->wake_count, sizeof(u->wake_count), 0);
	sqe->user_data = pack(OP_WAKE, 0, WAKE_SLOT);
}

static void tell_recv(struct uring *u, struct io *io, const struct io_uring_cqe *cqe, bool lent)
{
	struct block *b = block_of_cqe(u, cqe);
	int res = cqe->res;

	if (lent && res == -ENOBUFS && !io->closing) {
		if (!(io->receiving & CANCEL_SENT)) {
			starve(u, io);
			return;
		}
		res = -ECANCELED;
	}
	io->receiving = 0;
	if (b && (io->closing || res <= 0)) {
		block_give(b);
		b = NULL;
	}
	if (io->closing)
		return;
	if (b)
		b->end += (uint32_t)res;
	io->events->on_recv(io, res, b, cqe->flags & IORING_CQE_F_SOCK_NONEMPTY);
}

static void tell(struct uring *u, const struct io_uring_cqe *cqe)
{
	enum op op = (enum op)(cqe->user_data >> 56);
	uint32_t index = (uint32_t)cqe->user_data;
	int res = cqe->res;
	struct io *io;

	if (!(cqe->flags & IORING_CQE_F_MORE))
		u->ring.ended++;
	if (op == OP_WAKE) {
		ask_for_wake(u);
		return;
	}
	must(index < u->slots_len);
	io = u->slots[index].io;
	must(io && u->slots[index].generation == ((cqe->user_data >> 32) & 0xffffff));
	if (!(cqe->flags & IORING_CQE_F_MORE))
		io->in_flight--;

	switch (op) {
	case OP_ACCEPT:
		if (!(cqe->flags & IORING_CQE_F_MORE))
			io->receiving = 0;
		if (!io->closing)
			io->events->on_accept(io, cqe->res, cqe->flags & IORING_CQE_F_MORE);
		else if (cqe->res >= 0)
			close(cqe->res);
		break;
	case OP_CONNECT:
		u->slots[index].connecting = false;
		if (!io->closing)
			io->events->on_connect(io, cqe->res);
		break;
	case OP_RECV_LENT:
	case OP_RECV: tell_recv(u, io, cqe, op == OP_RECV_LENT); break;
	case OP_SEND:
		io->sending = false;
		/* A connection that breaks in the middle of a send: the kernel says
		 * how far it came and keeps the error to itself. */
		if (res >= 0 && (uint32_t)res < u->slots[index].send_len)
			res = -ECONNRESET;
		if (!io->closing)
			io->events->on_send(io, res);
		break;
	case OP_CANCEL:
		if (io->receiving == (STARVED | CANCEL_SENT) && !io->closing)
			cancel_starved(u, io);
		break;
	case OP_WAKE: break;
	}
	/* A callback may have closed it, with nothing in flight: then set_gone() has
	 * taken its descriptor already. */
	if (io->closing && !io->in_flight && io->fd >= 0)
		set_gone(u, io);
}

static void tell_gone(struct uring *u)
{
	while (u->gone) {
		struct io *io = u->gone;

		u->gone = io->next;
		io->closing = false;
		io->events->on_gone(io);
	}
}

static unsigned uring_drain(struct ring *r, unsigned most)
{
	struct uring *u = uring_of(r);
	struct io_uring_cqe batch[64];
	struct io_uring_cqe *cqe;
	unsigned head, len = 0;

	if (most > ARRAY_LEN(batch))
		most = ARRAY_LEN(batch);
	/* Copied out first: callbacks ask for new operations, and a full submission
	 * queue enters the kernel, which writes completions. */
	io_uring_for_each_cqe(&u->uring, head, cqe) {
		if (len == most)
			break;
		batch[len++] = *cqe;
	}
	io_uring_cq_advance(&u->uring, len);
	for (unsigned i = 0; i < len; i++)
		tell(u, &batch[i]);
	tell_gone(u);
	return len;
}

/* ---- turning ---- */

static uint64_t uring_wait(struct ring *r, uint64_t until_ns)
{
	struct uring *u = uring_of(r);
	struct io_uring_cqe *cqe;
	uint64_t busy_ns;

	lend(u);
	if (u->starved)
		feed_starved(u);
	if (u->gone || io_uring_cq_ready(&u->uring))
		until_ns = 0;
	if (io_uring_cq_has_overflow(&u->uring))
		u->ring.overflows++;
	u->pending = 0;
	busy_ns = clock_monotonic_ns() - u->now_ns;
	u->ring.busy_ns += busy_ns;
	if (busy_ns > u->ring.busy_longest_ns)
		u->ring.busy_longest_ns = busy_ns;
	/* Deferred completions run only inside the call, so it is made in any case. */
	if (until_ns == UINT64_MAX) {
		io_uring_submit_and_wait(&u->uring, 1);
	} else if (until_ns <= u->now_ns) {
		io_uring_submit_and_get_events(&u->uring);
	} else {
		uint64_t left = until_ns - u->now_ns;
		struct __kernel_timespec ts = {.tv_sec = (int64_t)(left / NS_PER_S),
					       .tv_nsec = (int64_t)(left % NS_PER_S)};

		io_uring_submit_and_wait_timeout(&u->uring, &cqe, 1, &ts, NULL);
	}
	u->now_ns = clock_monotonic_ns();
	return u->now_ns;
}

static void uring_flush(struct ring *r)
{
	struct uring *u = uring_of(r);

	if (u->pending < FLUSH_AT)
		return;
	io_uring_submit(&u->uring);
	u->pending = 0;
}

static void uring_wake(struct ring *r)
{
	uint64_t one = 1;
	ssize_t n;

	/* Fails only when the counter is at its end: then it is awake anyway. */
	n = write(uring_of(r)->wake_fd, &one, sizeof(one));
	(void)n;
}

/* ---- life ---- */

static void uring_destroy(struct ring *r)
{
	struct uring *u = uring_of(r);

	io_uring_queue_exit(&u->uring);
	for (unsigned i = 0; i < LENT_BLOCKS; i++)
		if (u->lent_blocks[i])
			block_give(u->lent_blocks[i]);
	if (u->lent)
		munmap(u->lent, LENT_BLOCKS * sizeof(struct io_uring_buf));
	if (u->slots)
		munmap(u->slots, u->slots_len * sizeof(*u->slots));
	free(u->connect_to);
	if (u->wake_fd >= 0)
		close(u->wake_fd);
	free(u);
}

/* The best set first; a kernel that does not know a flag says EINVAL. */
static int setup(struct io_uring *uring, unsigned entries, unsigned *ret_flags)
{
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
			IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	int err = -EINVAL;

	for (size_t i = 0; i < ARRAY_LEN(flags) && err == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.cq_entries = entries * (CQ_ENTRIES / SQ_ENTRIES),
		};

		err = io_uring_queue_init_params(entries, uring, &params);
		if (!err)
			*ret_flags = flags[i];
	}
	return err;
}

int uring_probe(void)
{
	struct io_uring uring;
	unsigned flags;
	int err = setup(&uring, 8, &flags);

	if (!err)
		io_uring_queue_exit(&uring);
	return err;
}

static int register_lent(struct uring *u)
{
	struct io_uring_buf_reg reg = {.ring_entries = LENT_BLOCKS, .bgid = LENT_GROUP};
	void *mem = mmap(NULL, LENT_BLOCKS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (mem == MAP_FAILED)
		return -ENOMEM;
	u->lent = mem;
	io_uring_buf_ring_init(u->lent);
	reg.ring_addr = (uint64_t)(uintptr_t)mem;
	err = io_uring_register_buf_ring(&u->uring, &reg, 0);
	for (unsigned i = 0; i < LENT_BLOCKS; i++)
		u->missing[u->missing_len++] = (uint16_t)(LENT_BLOCKS - 1 - i);
	return err;
}

static uint32_t uring_lent(const struct ring *r)
{
	return LENT_BLOCKS - ((const struct uring *)r)->missing_len;
}

static const struct ring_ops uring_ops = {
	.attach = uring_attach,
	.connect = uring_connect,
	.accept = uring_accept,
	.accept_now = uring_accept_now,
	.recv_lent = uring_recv_lent,
	.recv = uring_recv,
	.send = uring_send,
	.cancel = uring_cancel,
	.shutdown = uring_shutdown,
	.reset_on_close = uring_reset_on_close,
	.close = uring_close,
	.acknowledged = uring_acknowledged,
	.peer = uring_peer,
	.wait = uring_wait,
	.drain = uring_drain,
	.flush = uring_flush,
	.wake = uring_wake,
	.lent = uring_lent,
	.destroy = uring_destroy,
};

int uring_create(struct block_pool *blocks, uint32_t sockets, struct ring **ret_ring)
{
	struct uring *u = calloc(1, sizeof(*u));
	unsigned flags = 0;
	int err;

	if (!u)
		return -ENOMEM;
	err = setup(&u->uring, SQ_ENTRIES, &flags);
	if (err) {
		free(u);
		return err;
	}
	u->ring.ops = &uring_ops;
	u->ring.blocks = blocks;
	u->free_slot = UINT32_MAX;
	u->slots_len = sockets;
	u->slots = mmap(NULL, sockets * sizeof(*u->slots), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (u->slots == MAP_FAILED)
		u->slots = NULL;
	u->connect_to = calloc(SQ_ENTRIES, sizeof(*u->connect_to));
	u->wake_fd = eventfd(0, EFD_CLOEXEC);
	err = -ENOMEM;
	if (!u->slots || !u->connect_to)
		goto fail;
	err = -errno;
	if (u->wake_fd < 0)
		goto fail;
	err = register_lent(u);
	if (err)
		goto fail;
	snprintf(u->features, sizeof(u->features), "%s%s",
		 flags & IORING_SETUP_DEFER_TASKRUN ? "single_issuer defer_taskrun" : "coop_taskrun",
		 io_uring_register_ring_fd(&u->uring) == 1 ? " registered_ring" : "");
	u->now_ns = clock_monotonic_ns();
	ask_for_wake(u);
	*ret_ring = &u->ring;
	return 0;
fail:
	uring_destroy(&u->ring);
	return err;
}

const char *uring_features(struct ring *ring)
{
	return uring_of(ring)->features;
}

size_t uring_socket_bytes(void)
{
	return sizeof(struct slot);
}

/* The real ring on sockets of the loopback. The far ends are plain sockets of the same
 * thread; small enough steps keep them from blocking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <ringway/base/clock.h>
#include <ringway/shard/block.h>
#include <ringway/shard/uring.h>

#define BLOCKS  300
#define SOCKETS 600

static struct block_pool pool;
static struct ring *ring;

/* What was told of one io. */
struct end {
	struct io io;
	int accepted[8];
	unsigned accepts;
	bool accept_more;
	unsigned connects, recvs, sends, gone;
	int accept_res, connect_res, recv_res, send_res;
	bool more;
	struct block *lent;
	unsigned order; /* of the first receive, among all ends */
};

static unsigned orders;

static void on_accept(struct io *io, int fd, bool more)
{
	struct end *e = container_of(io, struct end, io);

	assert_int_equal(e->gone, 0);
	e->accept_more = more;
	e->accept_res = fd;
	if (fd >= 0)
		e->accepted[e->accepts++ % ARRAY_LEN(e->accepted)] = fd;
}

static void on_connect(struct io *io, int err)
{
	struct end *e = container_of(io, struct end, io);

	e->connects++;
	e->connect_res = err;
}

static void on_recv(struct io *io, int res, struct block *lent, bool more)
{
	struct end *e = container_of(io, struct end, io);

	assert_int_equal(io->receiving, 0);
	assert_int_equal(e->gone, 0);
	e->recvs++;
	e->recv_res = res;
	e->lent = lent;
	e->more = more;
	e->order = ++orders;
}

static void on_send(struct io *io, int res)
{
	struct end *e = container_of(io, struct end, io);

	assert_false(io->sending);
	assert_int_equal(e->gone, 0);
	e->sends++;
	e->send_res = res;
}

static void on_gone(struct io *io)
{
	struct end *e = container_of(io, struct end, io);

	assert_int_equal(io->fd, -1);
	assert_int_equal(io->in_flight, 0);
	e->gone++;
}

static const struct io_events events = {on_accept, on_connect, on_recv, on_send, on_gone};

static void turn(uint64_t wait_ns)
{
	ring_wait(ring, wait_ns ? clock_monotonic_ns() + wait_ns : 0);
	ring_drain(ring, 64);
}

/* Until something is told; it has to be within 10 s. */
#define turn_until(condition)                                                                      \
	do {                                                                                       \
		uint64_t give_up = clock_monotonic_ns() + 10 * NS_PER_S;                           \
		while (!(condition)) {                                                             \
			turn(NS_PER_S);                                                            \
			assert_true(clock_monotonic_ns() < give_up);                               \
		}                                                                                  \
	} while (0)

static void end_init(struct end *e)
{
	memset(e, 0, sizeof(*e));
	io_init(&e->io, &events);
}

static void end_close(struct end *e)
{
	ring_close(ring, &e->io);
	assert_int_equal(e->gone, 0);
	turn_until(e->gone);
	for (int i = 0; i < 3; i++)
		turn(0);
	assert_int_equal(e->gone, 1);
}

static int listen_somewhere(struct address *ret_address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(address_from_text(SPAN("127.0.0.1:0"), ret_address));
	assert_int_equal(bind(fd, &ret_address->sa, ret_address->len), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, &ret_address->sa, &ret_address->len), 0);
	return fd;
}

/* A connection whose one end is on the ring; returns the other. */
static int open_pair(struct end *e)
{
	struct address at;
	int listener = listen_somewhere(&at);
	int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int near;
	int small = 65536;

	assert_int_equal(setsockopt(far, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(connect(far, &at.sa, at.len), 0);
	near = accept(listener, NULL, NULL);
	assert_true(near >= 0);
	assert_int_equal(setsockopt(near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	close(listener);
	end_init(e);
	assert_int_equal(ring_attach(ring, &e->io, near), 0);
	return far;
}

static void reset_now(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(fd);
}

static unsigned descriptors(void)
{
	unsigned open = 0;

	for (int fd = 0; fd < 2000; fd++)
		open += fcntl(fd, F_GETFD) != -1;
	return open;
}

static unsigned descriptors_before;

static int setup(void **state UNUSED)
{
	descriptors_before = descriptors();
	orders = 0;
	if (block_pool_init(&pool, BLOCKS) != 0)
		return -1;
	return uring_create(&pool, SOCKETS, &ring);
}

/* What every test leaves behind: nothing. */
static int teardown(void **state UNUSED)
{
	bool clean = ring->overflows == 0;

	ring_destroy(ring);
	clean = clean && pool.in_use == 0 && descriptors() == descriptors_before;
	block_pool_fini(&pool);
	return clean ? 0 : -1;
}

/* ---- connections come and go ---- */

static void one_accept_takes_many_connections(void **state UNUSED)
{
	struct end l, c[3];
	struct address at, peer;
	int fd = listen_somewhere(&at);

	end_init(&l);
	assert_int_equal(ring_attach(ring, &l.io, fd), 0);
	ring_accept(ring, &l.io);
	for (int i = 0; i < 3; i++) {
		end_init(&c[i]);
		assert_int_equal(ring_connect(ring, &c[i].io, &at), 0);
		/* Never inside the call. */
		assert_int_equal(c[i].connects, 0);
	}
	turn_until(l.accepts == 3 && c[0].connects && c[1].connects && c[2].connects);
	assert_true(l.accept_more);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(c[i].connect_res, 0);
		assert_true(ring_peer(ring, &c[i].io, &peer));
		assert_true(address_eq(&peer, &at));
		close(l.accepted[i]);
	}
	ring_cancel(ring, &l.io);
	turn_until(!l.io.receiving);
	assert_int_equal(l.accept_res, -ECANCELED);
	assert_false(l.accept_more);

	/* What comes after the accept has ended waits and can be taken. */
	int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(late, &at.sa, at.len), 0);
	fd = ring_accept_now(ring, &l.io);
	assert_true(fd >= 0);
	close(fd);
	close(late);
	assert_int_equal(ring_accept_now(ring, &l.io), -EAGAIN);
	for (int i = 0; i < 3; i++)
		end_close(&c[i]);
	end_close(&l);
}

static void an_accept_without_descriptors_ends_and_can_be_asked_again(void **state UNUSED)
{
	struct rlimit old, tight;
	struct end l;
	struct address at;
	int fd = listen_somewhere(&at);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	end_init(&l);
	assert_int_equal(ring_attach(ring, &l.io, fd), 0);
	/* The kernel remembers the limit that stood when the accept was handed over. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t)client + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	ring_accept(ring, &l.io);
	turn(0);
	assert_int_equal(connect(client, &at.sa, at.len), 0);
	turn_until(!l.io.receiving);
	assert_int_equal(l.accept_res, -EMFILE);
	assert_false(l.accept_more);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	ring_accept(ring, &l.io);
	turn_until(l.accepts == 1);
	close(l.accepted[0]);
	close(client);
	end_close(&l);
}

static void a_listener_that_is_closed_drops_what_it_accepts(void **state UNUSED)
{
	struct end l;
	struct address at;
	int fd = listen_somewhere(&at);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char c;

	end_init(&l);
	assert_int_equal(ring_attach(ring, &l.io, fd), 0);
	ring_accept(ring, &l.io);
	turn(0);
	assert_int_equal(connect(client, &at.sa, at.len), 0);
	end_close(&l);
	assert_int_equal(l.accepts, 0);
	/* Closed or reset, but not left alone. */
	assert_true(recv(client, &c, 1, 0) <= 0);
	close(client);
}

static void a_connect_to_nobody_is_refused(void **state UNUSED)
{
	struct address at;
	struct end e;

	/* The port was free a moment ago. */
	close(listen_somewhere(&at));
	end_init(&e);
	assert_int_equal(ring_connect(ring, &e.io, &at), 0);
	turn_until(e.connects);
	assert_int_equal(e.connect_res, -ECONNREFUSED);
	end_close(&e);
	assert_int_equal(e.connects, 1);
}

static void a_connect_can_be_closed_before_it_is_answered(void **state UNUSED)
{
	struct address at;
	struct end e[70];
	int fd = listen_somewhere(&at);

	/* More than the backlog takes: some of them hang. */
	assert_int_equal(listen(fd, 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		end_init(&e[i]);
		assert_int_equal(ring_connect(ring, &e[i].io, &at), 0);
	}
	turn(0);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		ring_close(ring, &e[i].io);
	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		unsigned before = e[i].connects;

		turn_until(e[i].gone);
		assert_int_equal(e[i].connects, before);
	}
	close(fd);
}

static void a_full_table_takes_no_more_until_one_goes(void **state UNUSED)
{
	struct end *e = calloc(SOCKETS + 1, sizeof(*e));
	struct address nowhere;
	uint32_t generation;

	close(listen_somewhere(&nowhere));
	for (unsigned i = 0; i < SOCKETS; i++) {
		end_init(&e[i]);
		assert_int_equal(ring_attach(ring, &e[i].io, dup(0)), 0);
	}
	end_init(&e[SOCKETS]);
	assert_int_equal(ring_connect(ring, &e[SOCKETS].io, &nowhere), -EMFILE);
	generation = e[7].io.generation;
	end_close(&e[7]);
	assert_int_equal(ring_attach(ring, &e[SOCKETS].io, dup(0)), 0);
	assert_int_equal(e[SOCKETS].io.slot, e[7].io.slot);
	assert_int_not_equal(e[SOCKETS].io.generation, generation);
	e[7].gone = 0;
	for (unsigned i = 0; i <= SOCKETS; i++)
		if (i != 7)
			ring_close(ring, &e[i].io);
	turn_until(e[0].gone && e[SOCKETS].gone);
	for (unsigned i = 0; i <= SOCKETS; i++)
		assert_int_equal(e[i].gone, i != 7);
	free(e);
}

static void a_slot_is_used_as_often_as_one_likes(void **state UNUSED)
{
	struct end e;
	char c = 0;

	for (int round = 0; round < 300; round++) {
		int far[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, far), 0);
		end_init(&e);
		assert_int_equal(ring_attach(ring, &e.io, far[0]), 0);
		ring_recv(ring, &e.io, &c, 1, false);
		if (round % 2) {
			assert_int_equal(write(far[1], "x", 1), 1);
			turn_until(e.recvs);
			assert_int_equal(e.recv_res, 1);
		}
		end_close(&e);
		close(far[1]);
	}
}

/* ---- bytes ---- */

static void bytes_come_in_a_lent_block_and_in_memory_of_ones_own(void **state UNUSED)
{
	struct end e;
	char own[8];
	int far = open_pair(&e);

	ring_recv_lent(ring, &e.io, false);
	for (int i = 0; i < 3; i++)
		turn(0);
	assert_int_equal(e.recvs, 0);
	assert_int_equal(write(far, "in a block", 10), 10);
	turn_until(e.recvs == 1);
	assert_int_equal(e.recv_res, 10);
	assert_int_equal(block_len(e.lent), 10);
	assert_int_equal(block_head_room(e.lent), BLOCK_DATA_AT - sizeof(struct block));
	assert_memory_equal(block_begin(e.lent), "in a block", 10);
	assert_false(e.more);
	block_give(e.lent);

	assert_int_equal(write(far, "more than fits", 14), 14);
	ring_recv(ring, &e.io, own, sizeof(own), false);
	turn_until(e.recvs == 2);
	assert_int_equal(e.recv_res, 8);
	assert_memory_equal(own, "more tha", 8);
	assert_null(e.lent);
	assert_true(e.more);
	ring_recv(ring, &e.io, own, sizeof(own), true);
	turn_until(e.recvs == 3);
	assert_int_equal(e.recv_res, 6);

	close(far);
	ring_recv_lent(ring, &e.io, false);
	turn_until(e.recvs == 4);
	assert_int_equal(e.recv_res, 0);
	assert_null(e.lent);
	end_close(&e);
}

static void a_receive_can_be_cancelled_and_asked_again(void **state UNUSED)
{
	struct end e;
	static char big[1 << 20];
	int far = open_pair(&e);

	memset(big, 'b', sizeof(big));
	ring_recv_lent(ring, &e.io, false);
	turn(0);
	ring_cancel(ring, &e.io);
	turn_until(e.recvs == 1);
	assert_int_equal(e.recv_res, -ECANCELED);
	assert_null(e.lent);
	/* With nothing to cancel it is nothing. */
	ring_cancel(ring, &e.io);
	assert_int_equal(write(far, "x", 1), 1);
	ring_recv_lent(ring, &e.io, false);
	turn_until(e.recvs == 2);
	assert_int_equal(e.recv_res, 1);
	block_give(e.lent);
	end_close(&e);
	close(far);
}

static void a_slow_reader_gets_all_of_a_big_send(void **state UNUSED)
{
	enum { BYTES = 8 << 20 };
	struct end e;
	char *bytes = malloc(BYTES);
	char part[65536];
	size_t got = 0;
	uint64_t acknowledged = 0;
	int far = open_pair(&e);

	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (char)(i * 2654435761u >> 11);
	ring_send(ring, &e.io, bytes, BYTES);
	while (got < BYTES) {
		ssize_t n;

		turn(0);
		if (got < BYTES / 2)
			assert_int_equal(e.sends, 0);
		n = recv(far, part, sizeof(part), MSG_DONTWAIT);
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			turn(NS_PER_MS);
			continue;
		}
		assert_memory_equal(part, bytes + got, (size_t)n);
		got += (size_t)n;
	}
	turn_until(e.sends);
	assert_int_equal(e.send_res, BYTES);
	assert_true(ring_acknowledged(ring, &e.io, &acknowledged));
	assert_true(acknowledged > BYTES / 2);
	end_close(&e);
	close(far);
	free(bytes);
}

static void fill(struct end *e, char *bytes, size_t len)
{
	memset(bytes, 'f', len);
	ring_send(ring, &e->io, bytes, (uint32_t)len);
	for (int i = 0; i < 20; i++)
		turn(NS_PER_MS);
	assert_int_equal(e->sends, 0);
}

static void a_reset_in_the_middle_of_a_send_is_an_error(void **state UNUSED)
{
	enum { BYTES = 8 << 20 };
	char *bytes = malloc(BYTES);
	struct end e;
	int far = open_pair(&e);

	/* A part of it has left: the kernel tells how much, not that the rest failed. */
	fill(&e, bytes, BYTES);
	reset_now(far);
	turn_until(e.sends);
	assert_true(e.send_res == -ECONNRESET || e.send_res == -EPIPE);
	end_close(&e);
	free(bytes);
}

static void a_reset_ends_a_receive_with_its_error(void **state UNUSED)
{
	struct end e;
	int far = open_pair(&e);

	ring_recv_lent(ring, &e.io, false);
	turn(0);
	reset_now(far);
	turn_until(e.recvs);
	assert_int_equal(e.recv_res, -ECONNRESET);
	assert_null(e.lent);
	end_close(&e);
}

static void shutdown_and_reset_reach_the_peer(void **state UNUSED)
{
	struct end e;
	char c;
	int far = open_pair(&e);

	ring_shutdown(ring, &e.io);
	assert_int_equal(recv(far, &c, 1, 0), 0);
	assert_int_equal(write(far, "still", 5), 5);
	ring_recv_lent(ring, &e.io, false);
	turn_until(e.recvs);
	assert_int_equal(e.recv_res, 5);
	block_give(e.lent);
	end_close(&e);
	close(far);

	far = open_pair(&e);
	ring_reset_on_close(ring, &e.io);
	end_close(&e);
	assert_int_equal(recv(far, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(far);
}

/* ---- close ---- */

static void after_a_close_nothing_is_told_but_that_it_is_gone(void **state UNUSED)
{
	enum { BYTES = 8 << 20 };
	char *bytes = malloc(BYTES);
	struct end e;
	int far = open_pair(&e);
	uint32_t in_use;

	turn(0);
	in_use = pool.in_use;
	ring_recv_lent(ring, &e.io, false);
	fill(&e, bytes, BYTES);
	/* Its completion is there before the close is asked for. */
	assert_int_equal(write(far, "stale", 5), 5);
	ring_wait(ring, clock_monotonic_ns() + NS_PER_S);
	ring_close(ring, &e.io);
	assert_int_equal(e.gone, 0);
	turn_until(e.gone);
	/* From here on the kernel does not read from it. */
	memset(bytes, 0, BYTES);
	free(bytes);
	turn(0);
	turn(0);
	assert_int_equal(e.gone, 1);
	assert_int_equal(e.recvs, 0);
	assert_int_equal(e.sends, 0);
	assert_int_equal(pool.in_use, in_use);
	close(far);
}

static void close_in_recv(struct io *io, int res, struct block *lent, bool more)
{
	on_recv(io, res, lent, more);
	if (lent)
		block_give(lent);
	ring_close(ring, io);
}

static void a_callback_may_close_its_own_socket(void **state UNUSED)
{
	static const struct io_events closing = {
		.on_recv = close_in_recv, .on_send = on_send, .on_gone = on_gone};

	for (int sending = 0; sending < 2; sending++) {
		enum { BYTES = 8 << 20 };
		char *bytes = malloc(BYTES);
		struct end e;
		int far = open_pair(&e);

		e.io.events = &closing;
		ring_recv_lent(ring, &e.io, false);
		if (sending)
			fill(&e, bytes, BYTES);
		assert_int_equal(write(far, "bye", 3), 3);
		turn_until(e.gone);
		turn(0);
		assert_int_equal(e.gone, 1);
		assert_int_equal(e.recvs, 1);
		assert_int_equal(e.sends, 0);
		close(far);
		free(bytes);
	}
}

static void a_wait_does_not_sleep_on_a_socket_that_is_gone(void **state UNUSED)
{
	struct end e;
	int far = open_pair(&e);
	uint64_t before = clock_monotonic_ns();

	turn(0);
	ring_close(ring, &e.io);
	ring_wait(ring, before + 20 * NS_PER_S);
	assert_true(clock_monotonic_ns() < before + 10 * NS_PER_S);
	ring_drain(ring, 1);
	assert_int_equal(e.gone, 1);
	close(far);
}

static void a_ring_can_go_with_everything_in_flight(void **state UNUSED)
{
	static struct end e[20];
	static char byte;
	int far[ARRAY_LEN(e)];

	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		far[i] = open_pair(&e[i]);
		ring_recv_lent(ring, &e[i].io, false);
		ring_send(ring, &e[i].io, &byte, 1);
		if (i % 2)
			assert_int_equal(write(far[i], "x", 1), 1);
	}
	ring_wait(ring, clock_monotonic_ns() + NS_PER_S);
	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		close(e[i].io.fd);
		close(far[i]);
	}
	/* The teardown counts what is left. */
}

/* ---- no block is free ---- */

struct crowd {
	struct block *taken[BLOCKS];
	unsigned taken_len;
	struct end e[6];
	int far[6];
};

static struct crowd crowd;

/* All blocks are elsewhere, and bytes wait on each socket. */
static void starve(void)
{
	unsigned starved = (unsigned)ring->starved;
	struct end eater;
	int far = open_pair(&eater);

	/* Those that lie ready in the kernel have to be eaten up. */
	crowd.taken_len = 0;
	turn(0);
	for (;;) {
		struct block *b = block_take(&pool);

		if (!b)
			break;
		crowd.taken[crowd.taken_len++] = b;
	}
	while (crowd.taken_len < BLOCKS) {
		assert_int_equal(write(far, "x", 1), 1);
		eater.recvs = 0;
		ring_recv_lent(ring, &eater.io, false);
		turn_until(eater.recvs);
		crowd.taken[crowd.taken_len++] = eater.lent;
	}
	end_close(&eater);
	close(far);
	assert_int_equal(pool.in_use, BLOCKS);
	for (size_t i = 0; i < ARRAY_LEN(crowd.e); i++) {
		crowd.far[i] = open_pair(&crowd.e[i]);
		assert_int_equal(write(crowd.far[i], "food", 4), 4);
		ring_recv_lent(ring, &crowd.e[i].io, false);
		turn_until(ring->starved == starved + i + 1);
	}
	for (int i = 0; i < 5; i++)
		turn(NS_PER_MS);
	/* They wait; asking again and again would be heard here. */
	assert_int_equal(ring->starved, starved + ARRAY_LEN(crowd.e));
	for (size_t i = 0; i < ARRAY_LEN(crowd.e); i++)
		assert_int_equal(crowd.e[i].recvs, 0);
}

static void feed(unsigned blocks)
{
	while (blocks--)
		block_give(crowd.taken[--crowd.taken_len]);
}

static void disperse(void)
{
	feed(crowd.taken_len);
	for (size_t i = 0; i < ARRAY_LEN(crowd.e); i++)
		close(crowd.far[i]);
}

static void who_found_no_block_gets_one_later_in_turn(void **state UNUSED)
{
	starve();
	for (size_t i = 0; i < ARRAY_LEN(crowd.e); i++) {
		feed(1);
		turn_until(crowd.e[i].recvs);
		/* The first who came, and nobody else. */
		for (size_t j = 0; j < ARRAY_LEN(crowd.e); j++)
			assert_int_equal(crowd.e[j].recvs, j <= i);
		assert_int_equal(crowd.e[i].recv_res, 4);
		assert_memory_equal(block_begin(crowd.e[i].lent), "food", 4);
		crowd.taken[crowd.taken_len++] = crowd.e[i].lent;
	}
	for (size_t i = 0; i < ARRAY_LEN(crowd.e); i++)
		end_close(&crowd.e[i]);
	disperse();
}

static void who_found_no_block_can_be_closed(void **state UNUSED)
{
	starve();
	for (size_t i = 0; i < ARRAY_LEN(crowd.e); i += 2)
		end_close(&crowd.e[i]);
	feed(10);
	turn_until(crowd.e[1].recvs && crowd.e[3].recvs && crowd.e[5].recvs);
	for (size_t i = 0; i < ARRAY_LEN(crowd.e); i++) {
		assert_int_equal(crowd.e[i].recvs, i % 2);
		if (i % 2) {
			block_give(crowd.e[i].lent);
			end_close(&crowd.e[i]);
		}
	}
	disperse();
}

static void who_found_no_block_can_be_cancelled(void **state UNUSED)
{
	starve();
	ring_cancel(ring, &crowd.e[0].io);
	ring_cancel(ring, &crowd.e[5].io);
	ring_cancel(ring, &crowd.e[2].io);
	turn_until(crowd.e[0].recvs && crowd.e[5].recvs && crowd.e[2].recvs);
	assert_int_equal(crowd.e[0].recv_res, -ECANCELED);
	assert_int_equal(crowd.e[5].recv_res, -ECANCELED);
	assert_int_equal(crowd.e[2].recv_res, -ECANCELED);
	assert_int_equal(crowd.e[0].io.in_flight, 0);
	/* In the same turn as its block comes, either may be quicker, once. */
	feed(10);
	ring_cancel(ring, &crowd.e[1].io);
	turn_until(crowd.e[1].recvs && crowd.e[3].recvs && crowd.e[4].recvs);
	turn(0);
	assert_true(crowd.e[1].recv_res == 4 || crowd.e[1].recv_res == -ECANCELED);
	assert_int_equal(crowd.e[3].recv_res, 4);
	for (size_t i = 0; i < ARRAY_LEN(crowd.e); i++) {
		assert_int_equal(crowd.e[i].recvs, 1);
		if (crowd.e[i].lent)
			block_give(crowd.e[i].lent);
		end_close(&crowd.e[i]);
	}
	disperse();
}

/* ---- waiting ---- */

static void a_wait_ends_at_its_time(void **state UNUSED)
{
	uint64_t before, now;

	turn(0);
	before = clock_monotonic_ns();
	now = ring_wait(ring, before + 30 * NS_PER_MS);
	/* The ring counts from the time of the last wait, a moment ago. */
	assert_in_range(now - before, 25 * NS_PER_MS, 5 * NS_PER_S);
	before = clock_monotonic_ns();
	ring_wait(ring, 0);
	ring_wait(ring, before - NS_PER_S);
	assert_true(clock_monotonic_ns() - before < 5 * NS_PER_S);
}

static void *wake_soon(void *arg UNUSED)
{
	struct timespec ts = {.tv_nsec = 20 * 1000 * 1000};

	nanosleep(&ts, NULL);
	ring_wake(ring);
	return NULL;
}

static void another_thread_ends_a_wait(void **state UNUSED)
{
	pthread_t thread;

	for (int round = 0; round < 3; round++) {
		assert_int_equal(pthread_create(&thread, NULL, wake_soon, NULL), 0);
		ring_wait(ring, UINT64_MAX);
		ring_drain(ring, 16);
		pthread_join(thread, NULL);
	}
	/* Before the wait is as good. */
	ring_wake(ring);
	ring_wait(ring, UINT64_MAX);
	ring_drain(ring, 16);
}

static void more_operations_than_the_queue_takes_are_no_problem(void **state UNUSED)
{
	enum { PAIRS = 450 };
	struct end *e = calloc(PAIRS, sizeof(*e));
	int far[PAIRS];
	char c;

	for (int i = 0; i < PAIRS; i++) {
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		end_init(&e[i]);
		far[i] = fds[1];
		assert_int_equal(ring_attach(ring, &e[i].io, fds[0]), 0);
	}
	for (int round = 0; round < 3; round++) {
		/* 1,350 in one go. */
		for (int i = 0; i < PAIRS; i++) {
			ring_recv_lent(ring, &e[i].io, false);
			ring_send(ring, &e[i].io, "s", 1);
			ring_cancel(ring, &e[i].io);
		}
		for (int i = 0; i < PAIRS; i++)
			turn_until((int)e[i].recvs == round + 1 && (int)e[i].sends == round + 1 &&
				   !e[i].io.in_flight);
		for (int i = 0; i < PAIRS; i++) {
			assert_int_equal(e[i].recv_res, -ECANCELED);
			assert_int_equal(e[i].send_res, 1);
			assert_int_equal(recv(far[i], &c, 1, MSG_DONTWAIT), 1);
		}
	}
	for (int i = 0; i < PAIRS; i++) {
		ring_close(ring, &e[i].io);
		close(far[i]);
	}
	for (int i = 0; i < PAIRS; i++)
		turn_until(e[i].gone);
	free(e);
}

#define ringed(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ringed(one_accept_takes_many_connections),
		ringed(an_accept_without_descriptors_ends_and_can_be_asked_again),
		ringed(a_listener_that_is_closed_drops_what_it_accepts),
		ringed(a_connect_to_nobody_is_refused),
		ringed(a_connect_can_be_closed_before_it_is_answered),
		ringed(a_full_table_takes_no_more_until_one_goes),
		ringed(a_slot_is_used_as_often_as_one_likes),
		ringed(bytes_come_in_a_lent_block_and_in_memory_of_ones_own),
		ringed(a_receive_can_be_cancelled_and_asked_again),
		ringed(a_slow_reader_gets_all_of_a_big_send),
		ringed(a_reset_in_the_middle_of_a_send_is_an_error),
		ringed(a_reset_ends_a_receive_with_its_error),
		ringed(shutdown_and_reset_reach_the_peer),
		ringed(after_a_close_nothing_is_told_but_that_it_is_gone),
		ringed(a_callback_may_close_its_own_socket),
		ringed(a_wait_does_not_sleep_on_a_socket_that_is_gone),
		ringed(a_ring_can_go_with_everything_in_flight),
		ringed(who_found_no_block_gets_one_later_in_turn),
		ringed(who_found_no_block_can_be_closed),
		ringed(who_found_no_block_can_be_cancelled),
		ringed(a_wait_ends_at_its_time),
		ringed(another_thread_ends_a_wait),
		ringed(more_operations_than_the_queue_takes_are_no_problem),
	};
	int err = uring_probe();

	if (err == -EPERM || err == -ENOSYS) {
		printf("1..0 # SKIP io_uring is refused here\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

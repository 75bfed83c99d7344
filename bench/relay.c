/* The raw relay: the floor that the bench compares proxies with.
 *
 * Every client connection gets an upstream connection of its own and bytes move
 * between the two, both ways, unread. What that costs per request is what the
 * kernel asks of anyone who receives twice and sends twice on this kind of ring,
 * so the distance from here to a proxy is what that proxy spends on being one.
 *
 * A link is two pipes, one per direction. A pipe owns one block and has at most
 * one operation in flight:
 *
 *               n > 0                      block sent
 *   RECEIVING ---------> SENDING -----------------------------> RECEIVING
 *       | end of input, or the link broke     | the link broke
 *       +-----------------> ended <-----------+
 *
 * The next receive waits for the send, which is the back-pressure. A link gives
 * its descriptors and its memory back when both pipes have ended: from then on
 * nothing in the kernel points into it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	RING_ENTRIES = 1024,
	/* Everything that can complete between two enters has to fit. */
	CQ_ENTRIES = 16 * RING_ENTRIES,
	/* A longer turn would keep those waiting whose answers came first. */
	CQES_PER_TURN = 256,
	SENDS_PER_SUBMIT = 16,
	/* Few receives per megabyte, and yet 64 links fit a last-level cache. */
	BLOCK_BYTES = 128 * 1024,
	LISTEN_BACKLOG = 4096,
};

/* What completed rides in the low bits of the address of its pipe. */
enum op { OP_ACCEPT, OP_CONNECT, OP_RECEIVE, OP_SEND, OP_MASK = 3 };

struct pipe {
	struct link *link;
	int from;
	int to;
	bool ended;
	bool input_left; /* the last receive did not empty the socket */
	char *block;
};

struct link {
	struct pipe up;   /* client to upstream */
	struct pipe down; /* upstream to client */
	bool broken;      /* both sockets are shut down, so the pipes run out */
	struct link *next_idle;
};

struct relay {
	struct io_uring ring;
	struct sockaddr_in upstream;
	int listener;
	unsigned sends_unsubmitted;
	/* Last used first, so that a few links' blocks stay in the caches. */
	struct link *idle_links;
};

static _Noreturn void die(const char *what, int err)
{
	fprintf(stderr, "relay: %s%s%s\n", what, err ? ": " : "", err ? strerror(err) : "");
	exit(1);
}

static void submit(struct relay *r)
{
	int ret = io_uring_submit(&r->ring);

	/* EBUSY and EAGAIN leave the entries queued for the next enter. */
	if (ret < 0 && ret != -EINTR && ret != -EBUSY && ret != -EAGAIN)
		die("submit", -ret);
	r->sends_unsubmitted = 0;
}

static struct io_uring_sqe *take_sqe(struct relay *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

	if (!sqe) {
		submit(r);
		sqe = io_uring_get_sqe(&r->ring);
	}
	if (!sqe)
		die("the submission queue stays full", 0);
	return sqe;
}

static void tag(struct io_uring_sqe *sqe, struct pipe *p, enum op op)
{
	io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)p | op);
}

static void start_accept(struct relay *r)
{
	struct io_uring_sqe *sqe = take_sqe(r);

	/* Not SOCK_NONBLOCK: on such a socket the kernel would hand EAGAIN back
	 * instead of waiting for input. */
	io_uring_prep_multishot_accept(sqe, r->listener, NULL, NULL, SOCK_CLOEXEC);
	tag(sqe, NULL, OP_ACCEPT);
}

static void start_receive(struct relay *r, struct pipe *p)
{
	struct io_uring_sqe *sqe = take_sqe(r);

	io_uring_prep_recv(sqe, p->from, p->block, BLOCK_BYTES, 0);
	/* An emptied socket has nothing for us yet: to try first is a wasted trip
	 * through the stack of TCP. */
	if (!p->input_left)
		sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
	tag(sqe, p, OP_RECEIVE);
}

static void start_send(struct relay *r, struct pipe *p, unsigned bytes)
{
	struct io_uring_sqe *sqe = take_sqe(r);

	io_uring_prep_send(sqe, p->to, p->block, bytes, MSG_WAITALL | MSG_NOSIGNAL);
	tag(sqe, p, OP_SEND);
	if (++r->sends_unsubmitted >= SENDS_PER_SUBMIT)
		submit(r);
}

static struct link *take_link(struct relay *r)
{
	struct link *l = r->idle_links;

	if (l) {
		r->idle_links = l->next_idle;
		return l;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	/* Untouched pages of a block cost nothing: what a link only ever uses a
	 * few hundred bytes of is a few hundred bytes of cache. */
	l->up.block = malloc(BLOCK_BYTES);
	l->down.block = malloc(BLOCK_BYTES);
	if (!l->up.block || !l->down.block) {
		free(l->up.block);
		free(l->down.block);
		free(l);
		return NULL;
	}
	return l;
}

static void give_link(struct relay *r, struct link *l)
{
	close(l->up.from);
	close(l->down.from);
	l->next_idle = r->idle_links;
	r->idle_links = l;
}

/* Whatever is in flight on a socket that is shut down completes by itself. */
static void break_link(struct link *l)
{
	if (l->broken)
		return;
	l->broken = true;
	shutdown(l->up.from, SHUT_RDWR);
	shutdown(l->down.from, SHUT_RDWR);
}

static void end_pipe(struct relay *r, struct pipe *p)
{
	struct link *l = p->link;

	p->ended = true;
	if (l->up.ended && l->down.ended)
		give_link(r, l);
}

static void on_accept(struct relay *r, const struct io_uring_cqe *cqe)
{
	const int one = 1;
	int client = cqe->res;
	int upstream;
	struct link *l;
	struct io_uring_sqe *sqe;

	/* Out of descriptors or memory there is no figure worth having. */
	if (client < 0 && client != -ECONNABORTED)
		die("accept", -client);
	if (!(cqe->flags & IORING_CQE_F_MORE))
		start_accept(r);
	if (client < 0)
		return;
	upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	l = upstream < 0 ? NULL : take_link(r);
	if (!l) {
		close(client);
		if (upstream >= 0)
			close(upstream);
		return;
	}
	/* Only saves time: the relay is right without it. */
	(void)setsockopt(upstream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	l->up.link = l->down.link = l;
	l->up.from = l->down.to = client;
	l->up.to = l->down.from = upstream;
	l->up.input_left = l->down.input_left = false;
	l->up.ended = l->broken = false;
	/* Nothing comes down before the connection stands. */
	l->down.ended = true;

	sqe = take_sqe(r);
	io_uring_prep_connect(sqe, upstream, (struct sockaddr *)&r->upstream, sizeof(r->upstream));
	tag(sqe, &l->up, OP_CONNECT);
}

static void on_connect(struct relay *r, struct pipe *up, int res)
{
	struct link *l = up->link;

	if (res < 0) {
		end_pipe(r, up);
		return;
	}
	l->down.ended = false;
	start_receive(r, &l->up);
	start_receive(r, &l->down);
}

static void on_receive(struct relay *r, struct pipe *p, const struct io_uring_cqe *cqe)
{
	if (cqe->res > 0 && !p->link->broken) {
		p->input_left = cqe->flags & IORING_CQE_F_SOCK_NONEMPTY;
		start_send(r, p, (unsigned)cqe->res);
		return;
	}
	if (cqe->res < 0)
		break_link(p->link);
	else
		shutdown(p->to, SHUT_WR); /* the other direction may go on */
	end_pipe(r, p);
}

static void on_send(struct relay *r, struct pipe *p, int res)
{
	if (res < 0 || p->link->broken) {
		break_link(p->link);
		end_pipe(r, p);
		return;
	}
	start_receive(r, p);
}

static void dispatch(struct relay *r, const struct io_uring_cqe *cqe)
{
	uint64_t data = cqe->user_data;
	struct pipe *p = (struct pipe *)(uintptr_t)(data & ~(uint64_t)OP_MASK);

	switch ((enum op)(data & OP_MASK)) {
	case OP_ACCEPT: on_accept(r, cqe); break;
	case OP_CONNECT: on_connect(r, p, cqe->res); break;
	case OP_RECEIVE: on_receive(r, p, cqe); break;
	case OP_SEND: on_send(r, p, cqe->res); break;
	}
}

static _Noreturn void run(struct relay *r)
{
	struct io_uring_cqe *cqes[CQES_PER_TURN];

	start_accept(r);
	for (;;) {
		int ret = io_uring_submit_and_wait(&r->ring, 1);
		unsigned ready;

		if (ret < 0 && ret != -EINTR && ret != -EBUSY && ret != -EAGAIN)
			die("wait", -ret);
		r->sends_unsubmitted = 0;
		ready = io_uring_peek_batch_cqe(&r->ring, cqes, CQES_PER_TURN);
		for (unsigned i = 0; i < ready; i++)
			dispatch(r, cqes[i]);
		io_uring_cq_advance(&r->ring, ready);
	}
}

static void init_ring(struct io_uring *ring)
{
	/* The ring of the gateway first, then with less where a kernel refuses. */
	static const unsigned wanted[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
			IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
		IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	int err = -EINVAL;

	for (size_t i = 0; err == -EINVAL && i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		struct io_uring_params params = {
			.flags = wanted[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.cq_entries = CQ_ENTRIES,
		};
		err = io_uring_queue_init_params(RING_ENTRIES, ring, &params);
		if (!err && i > 0)
			fprintf(stderr, "relay: this kernel refuses flags of the ring, "
					"figures are not comparable\n");
	}
	if (err)
		die("io_uring", -err);
	/* Saves the lookup of the descriptor in every enter. */
	if (io_uring_register_ring_fd(ring) < 0)
		fprintf(stderr, "relay: the ring's descriptor cannot be registered\n");
}

static struct sockaddr_in parse_address(const char *text)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];
	char *end;
	unsigned long port;

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		die("an address is IPV4:PORT", 0);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	port = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end || port > UINT16_MAX ||
	    inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die("an address is IPV4:PORT", 0);
	a.sin_port = htons((uint16_t)port);
	return a;
}

/* Prints the address, since port 0 lets the kernel choose. */
static int open_listener(struct sockaddr_in a)
{
	const int one = 1;
	socklen_t len = sizeof(a);
	char host[INET_ADDRSTRLEN];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* Accepted sockets inherit both options. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, LISTEN_BACKLOG) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		die("listen", errno);
	printf("listening on %s:%u\n", inet_ntop(AF_INET, &a.sin_addr, host, sizeof(host)),
	       ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

static _Noreturn void usage(FILE *to, int status)
{
	fprintf(to, "usage: relay --listen IPV4:PORT --to IPV4:PORT\n"
		    "Moves bytes between each client and an upstream connection of its own,\n"
		    "unread, on one io_uring: the floor of the bench. Ends by a signal.\n");
	exit(status);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"to", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	static struct relay r;
	const char *listen_at = NULL, *to = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'l')
			listen_at = optarg;
		else if (c == 't')
			to = optarg;
		else
			usage(c == 'h' ? stdout : stderr, c == 'h' ? 0 : 2);
	}
	if (!listen_at || !to || optind != argc)
		usage(stderr, 2);
	r.upstream = parse_address(to);
	init_ring(&r.ring);
	r.listener = open_listener(parse_address(listen_at));
	run(&r);
}

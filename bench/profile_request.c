/* What one request costs in our own code: a whole shard (front, HTTP/1.1, upstreams,
 * route table) runs on a ring without a kernel, at whose far ends clients ask for 64
 * bytes over and over and origins answer them. Everything is deterministic, so under
 * callgrind two builds differ by their code alone: see profile_request.sh.
 *
 * The ring is the simplest that the seam allows: whatever is asked for succeeds as a
 * whole in the next turn. Its functions begin with loop_, by which the script knows
 * what is not the proxy's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/config/load.h>
#include <ringway/limit/limiter.h>
#include <ringway/proxy/front.h>

#define CLIENTS 32
/* The listener's slot is 0, then come the clients', then the origins'. */
#define SOCKETS (1 + 2 * CLIENTS)
#define EVENTS  256
#define TURN_NS (20 * NS_PER_US)
/* Of slot 0. No descriptors of the system: nothing is ever closed. */
#define FIRST_FD (1 << 20)

static const char config_text[] = "services:\n"
				  "  origin:\n"
				  "    url: \"http://127.0.0.1:9\"\n"
				  "    routes: [{path: \"/*\"}]\n"
				  "monitoring: {logging: {access: off}}\n";
/* One that lets everything pass; %s is what it says in answers. */
static const char limit_text[] = "rate_limit:\n"
				 "  default: {requests_per_second: 10000000, burst: 1000000,\n"
				 "            headers: %s}\n";

/* What wrk sends and what nginx answers. */
static const char request_text[] = "GET /64 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
static const char answer_text[] =
	"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 04:48:13 GMT\r\n"
	"Content-Type: application/octet-stream\r\nContent-Length: 64\r\n"
	"Last-Modified: Sat, 21 Nov 2026 04:47:56 GMT\r\nConnection: keep-alive\r\n"
	"ETag: \"69200b3c-40\"\r\nAccept-Ranges: bytes\r\n\r\n"
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

enum op { OP_ACCEPT, OP_CONNECT, OP_RECV, OP_SEND };

struct event {
	struct io *io;
	enum op op;
	int res;
};

struct loop {
	struct ring ring; /* first */
	uint64_t now_ns;
	bool owes[SOCKETS];          /* by slot: bytes are there that nobody has received */
	uint32_t origins;            /* connections to them so far */
	struct event events[EVENTS]; /* a queue */
	unsigned first, last;
	uint64_t answered;
};

/* ---- the ring ---- */

static struct loop *loop_of(struct ring *r)
{
	return container_of(r, struct loop, ring);
}

static void loop_tell(struct loop *l, struct io *io, enum op op, int res)
{
	must(l->last - l->first < EVENTS);
	l->events[l->last++ % EVENTS] = (struct event){io, op, res};
}

static bool loop_is_client(const struct io *io)
{
	return io->slot <= CLIENTS;
}

static int loop_attach(struct ring *r, struct io *io, int fd)
{
	struct loop *l = loop_of(r);

	io->fd = fd;
	io->slot = (uint32_t)(fd - FIRST_FD);
	io->receiving = 0;
	io->sending = false;
	must(io->slot < SOCKETS);
	l->owes[io->slot] = loop_is_client(io);
	return 0;
}

static int loop_connect(struct ring *r, struct io *io, const struct address *to UNUSED)
{
	struct loop *l = loop_of(r);

	loop_attach(r, io, FIRST_FD + 1 + CLIENTS + (int)l->origins++);
	loop_tell(l, io, OP_CONNECT, 0);
	return 0;
}

static void loop_accept(struct ring *r, struct io *io)
{
	io->receiving = 1;
	for (int i = 1; i <= CLIENTS; i++)
		loop_tell(loop_of(r), io, OP_ACCEPT, FIRST_FD + i);
}

static void loop_look(struct loop *l, struct io *io)
{
	if (!io->receiving || !l->owes[io->slot])
		return;
	l->owes[io->slot] = false;
	loop_tell(l, io, OP_RECV,
		  loop_is_client(io) ? sizeof(request_text) - 1 : sizeof(answer_text) - 1);
}

static void loop_recv_lent(struct ring *r, struct io *io, bool more UNUSED)
{
	io->receiving = 1;
	loop_look(loop_of(r), io);
}

static void loop_send(struct ring *r, struct io *io, const void *from UNUSED, uint32_t len)
{
	struct loop *l = loop_of(r);

	io->sending = true;
	loop_tell(l, io, OP_SEND, (int)len);
	l->answered += loop_is_client(io);
	/* A client asks again, an origin answers. */
	l->owes[io->slot] = true;
	loop_look(l, io);
}

static bool loop_peer(struct ring *r UNUSED, struct io *io UNUSED, struct address *ret_address)
{
	return address_from_ip(SPAN("127.0.0.1"), 40000, ret_address);
}

static uint64_t loop_wait(struct ring *r, uint64_t until_ns UNUSED)
{
	return loop_of(r)->now_ns += TURN_NS;
}

static void loop_deliver_recv(struct ring *r, struct io *io, int len)
{
	struct block *b = block_take(r->blocks);

	must(b);
	block_append(b, loop_is_client(io) ? request_text : answer_text, (uint32_t)len);
	io->receiving = 0;
	io->events->on_recv(io, len, b, false);
}

static unsigned loop_drain(struct ring *r, unsigned most)
{
	struct loop *l = loop_of(r);
	unsigned n = 0;

	for (; n < most && l->first != l->last; n++) {
		struct event e = l->events[l->first++ % EVENTS];

		switch (e.op) {
		case OP_ACCEPT: e.io->events->on_accept(e.io, e.res, true); break;
		case OP_CONNECT: e.io->events->on_connect(e.io, e.res); break;
		case OP_RECV: loop_deliver_recv(r, e.io, e.res); break;
		case OP_SEND:
			e.io->sending = false;
			e.io->events->on_send(e.io, e.res);
			break;
		}
	}
	return n;
}

static void loop_flush(struct ring *r UNUSED)
{
}

/* Nothing else is ever asked for here. */
static const struct ring_ops loop_ops = {
	.attach = loop_attach,
	.connect = loop_connect,
	.accept = loop_accept,
	.recv_lent = loop_recv_lent,
	.send = loop_send,
	.peer = loop_peer,
	.wait = loop_wait,
	.drain = loop_drain,
	.flush = loop_flush,
};

static struct limiter *make_limiter(void)
{
	const struct limiter_size size = {.shards = 1, .keys = 1024, .windows = 1024};
	static const uint8_t seed[16] = {1};
	void *memory = aligned_alloc(METRICS_PAGE, limiter_bytes(&size));
	struct limiter *l;

	must(memory);
	memset(memory, 0, limiter_bytes(&size));
	must(limiter_create(&size, memory, seed, 0, &l) == 0);
	return l;
}

/* `headers` of a limit on every request; NULL: there is no limit. */
static void set_up(struct front *f, struct shard *s, struct loop *l, const char *headers)
{
	static struct front_shared shared = {.shards = 1};
	static struct registry registry;
	const struct metrics_size size = {.shards = 1, .routes = 4, .endpoints = 4};
	const struct front_limits limits = {.clients = CLIENTS,
					    .upstreams = CLIENTS,
					    .upstreams_idle = CLIENTS,
					    .listeners = 1};
	struct snapshot_common common;
	struct config_report report;
	struct snapshot *snapshot;
	struct config *config;
	struct address *to;
	char text[sizeof(config_text) + sizeof(limit_text) + 16];
	int len = snprintf(text, sizeof(text), "%s", config_text);
	void *memory;

	if (headers)
		snprintf(text + len, sizeof(text) - (size_t)len, limit_text, headers);
	must(config_load_text(NULL, span_str(text), &config, &report) == 0);
	config_report_fini(&report);
	must(registry_init(&registry) == 0);
	memory = aligned_alloc(METRICS_PAGE, metrics_bytes(&size));
	must(memory);
	memset(memory, 0, metrics_bytes(&size));
	must(metrics_create(&size, memory, "bench", "", 1, &shared.metrics) == 0);
	shared.limiter = make_limiter();
	common = (struct snapshot_common){
		.registry = &registry, .limiter = shared.limiter, .metrics = shared.metrics};
	must(snapshot_create(config, NULL, &common, 1, 1, &snapshot) == 0);
	must(shard_init(s, 0, 4 * CLIENTS, 1) == 0);
	gate_init(&shared.gate, CLIENTS + 1);
	l->ring.ops = &loop_ops;
	l->ring.blocks = &s->blocks;
	l->now_ns = NS_PER_S;
	shard_open(s, &l->ring, l->now_ns);
	must(front_init(f, s, &shared, &limits, snapshot) == 0);
	to = &registry.endpoints[0].address;
	upstreams_set_addresses(&f->upstreams, 0, to, 1, registry.endpoints[0].port);
	must(front_listen(f, FIRST_FD, &front_proxy_site, 0, (struct greeting_rules){0}) == 0);
}

int main(int argc, char **argv)
{
	static struct front f;
	static struct shard s;
	static struct loop l;
	uint64_t requests = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000;

	set_up(&f, &s, &l, argc > 2 ? argv[2] : NULL);
	while (l.answered < requests)
		shard_turn(&s, UINT64_MAX);
	printf("%llu requests, %llu turns\n", (unsigned long long)l.answered,
	       (unsigned long long)s.turns);
	return 0;
}

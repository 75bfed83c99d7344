/* What the parts of the fake ring share: chance, time and the sockets.
 *
 * fake_world.c: chance, queues of bytes, what happens when. fake_sock.c: what happens to
 * a connection by itself. fake_ring.c: what the shard asks for. fake_peer.c: what a test
 * does at the far ends.
 */
#ifndef RINGWAY_SIM_FAKE_WORLD_H
#define RINGWAY_SIM_FAKE_WORLD_H

#include "fake_ring.h"

#include <stdatomic.h>

/* Above every descriptor that a test process has. */
#define FD_BASE (1 << 24)

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
	struct bytes sent;  /* on its way */
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
	int error;              /* told once, then the stream is at its end */
	int end_error;          /* for on_end */
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

static inline struct fake *fake_of(struct ring *r)
{
	return container_of(r, struct fake, ring);
}

static inline struct sock *sock_of_peer(struct fake_peer *p)
{
	return container_of(p, struct sock, peer);
}

/* ---- fake_world.c ---- */

uint64_t world_below(struct fake *f, uint64_t n);
bool world_happens(struct fake *f, unsigned of_1000);
/* How much of so many bytes one step moves: 1..most. */
size_t world_piece(struct fake *f, size_t most);
/* How long one step takes. */
uint64_t world_late(struct fake *f);
void world_at(struct fake *f, uint64_t at_ns, void (*run)(void *arg), void *arg);
struct event world_pop(struct fake *f);

/* The array with room for one item more than len. */
void *grown(void *ptr, size_t len, size_t *room, size_t item);
static inline size_t bytes_len(const struct bytes *b)
{
	return b->end - b->begin;
}

void bytes_put(struct bytes *b, const char *from, size_t len);
void bytes_drop(struct bytes *b);
void bytes_skip(struct bytes *b, size_t len);
uint64_t bytes_sum(const void *ptr, size_t len);

/* A completion for the next drain. */
void sock_complete(struct sock *s, enum op op, int res, struct block *lent, bool more);
/* The last one of an operation. */
void sock_complete_flight(struct sock *s, struct flight *fl, int res, struct block *lent,
			  bool more);

/* ---- fake_sock.c ---- */

struct sock *sock_create(struct fake *f);
void sock_open(struct sock *s);
/* Our side is closed. */
void sock_close(struct sock *s);
/* The connection is dead for both. */
void sock_reset(struct sock *s);
/* Sets off whatever can happen next; after every change. */
void sock_look(struct sock *s);
void sock_end(struct sock *s, int err);

/* ---- fake_close.c ---- */

/* One ring at a time; NULL when it goes. */
void fake_own_descriptors(struct fake *f);

/* ---- fake_peer.c ---- */

struct origin *find_origin(struct fake *f, const struct address *to);

#endif

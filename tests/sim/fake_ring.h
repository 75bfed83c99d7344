/* The ring of the tests: a network in memory whose whole behaviour follows a seed.
 *
 * A shard runs on it as it does on io_uring. At the other end of each socket is a peer
 * that a test drives: a client that dials a listener, or a connection of an origin that
 * the shard connects to. Time is virtual: ring_wait() jumps to the next thing that
 * happens and never sleeps, so a run of an hour takes as long as its events do.
 *
 * Bytes on their way, and who may be slow:
 *
 *   peer -> [sent by the peer] --pieces, late--> [our receive queue] --short reads--> io
 *   io   --pieces, as there is room--> [our send queue] --pieces, late, paced--> peer
 *
 * Sends of ours are done when the last byte is in the send queue; what lies there is
 * lost by a reset, as with the kernel. A receive's memory is filled just before its news
 * and by instrumented code, so that the sanitizers see it. Completions of all sockets
 * are told in random order.
 *
 * What no owner of a socket may do ends the run: changing bytes that are being sent,
 * two operations of one kind, using an io that is gone, changing the ring's fields.
 *
 * Descriptors are numbers of its own that no system call knows but close(), which the
 * linker turns to here: one that on_accept gave has to be attached or closed. One ring at
 * a time lives in a process.
 */
#ifndef RINGWAY_SIM_FAKE_RING_H
#define RINGWAY_SIM_FAKE_RING_H

#include <ringway/base/span.h>
#include <ringway/shard/ring.h>

/* How unkind the network is. The odds are of 1,000. */
struct fake_plan {
	uint64_t seed;
	uint32_t sockets;       /* attach fails with -EMFILE beyond */
	uint32_t window_most;   /* bytes in each queue of a connection: 1..this, by chance */
	uint64_t late_most_ns;  /* how long a step may take */
	unsigned short_reads;   /* a receive takes a part of what is there */
	unsigned small_pieces;  /* a step moves few bytes */
	unsigned starved;       /* a lent receive finds no block though there is one */
	unsigned accept_fails;  /* -EMFILE, and the accept ends */
	unsigned accept_ends;   /* it ends after a connection, without an error */
	unsigned connect_fails; /* no descriptor: -EMFILE out of ring_connect() */
	unsigned resets;        /* a connection is reset at some time of its first second */
};

/* Everything from the seed but resets and failing connects, which are 0: answers can be
 * counted on. 4,096 sockets. */
struct fake_plan fake_plan_of(uint64_t seed);

struct fake_peer;

#define FAKE_HANG 1

/* News for the far end. All optional; they come from ring_wait() and may call all that
 * is below. */
struct fake_script {
	/* The shard connects to the origin: 0 takes the connection, -errno is what the
	 * shard gets, FAKE_HANG leaves it without an answer (-ETIMEDOUT after 127 s).
	 * Later than the connect's usual delay by *ret_delay_ns. */
	int (*on_connect)(void *mine, uint64_t *ret_delay_ns);
	void (*on_open)(struct fake_peer *p);
	/* Without it bytes stay until fake_read(), and fill the window. */
	void (*on_bytes)(struct fake_peer *p, struct span bytes);
	/* The shard's side has ended (0), was reset (-ECONNRESET), or did not take the
	 * connection (-ECONNREFUSED). Once. */
	void (*on_end)(struct fake_peer *p, int err);
};

/* The far end of a connection. Its memory is the ring's and stays until that goes. */
struct fake_peer {
	const struct fake_script *script;
	void *mine; /* the test's; for an origin first what fake_origin() was given */
};

int fake_ring_create(struct block_pool *blocks, const struct fake_plan *plan,
		     struct ring **ret_ring);

uint64_t fake_now(struct ring *r);
/* Chance that follows the seed: below n, n > 0. */
uint64_t fake_below(struct ring *r, uint64_t n);
/* Runs from ring_wait() at that time. */
void fake_at(struct ring *r, uint64_t at_ns, void (*run)(void *arg), void *arg);

/* A descriptor for ring_attach() and ring_accept(). */
int fake_listen(struct ring *r);
/* A client comes from that address (NULL: some address). The connection waits in the
 * backlog until it is accepted; bytes can be written at once. */
struct fake_peer *fake_dial(struct ring *r, int listener, const struct address *from,
			    const struct fake_script *script, void *mine);
/* What ring_connect() finds at the address; elsewhere it is refused. */
void fake_origin(struct ring *r, const struct address *at, const struct fake_script *script,
		 void *mine);
/* Nobody is there any more: new connects are refused, open connections stay. */
void fake_origin_remove(struct ring *r, const struct address *at);

/* Any number of bytes; they arrive as the network and the shard take them. Nothing
 * happens when the peer has ended or the connection was reset. */
void fake_write(struct fake_peer *p, struct span bytes);
/* Takes at most so many bytes of what arrived. Only without on_bytes. */
size_t fake_read(struct fake_peer *p, void *into, size_t most);
void fake_shutdown(struct fake_peer *p); /* no more bytes from here */
/* Both directions: what the shard sends from now on is answered by a reset. */
void fake_close(struct fake_peer *p);
void fake_reset(struct fake_peer *p); /* now; what is on its way is lost */
/* Takes nothing until 0. */
void fake_pause(struct fake_peer *p, bool paused);
void fake_pace(struct fake_peer *p, uint64_t bytes_per_s); /* 0: as it comes */
/* Size of the queues of this connection, each. */
void fake_window(struct fake_peer *p, uint32_t bytes);

/* Closes a descriptor that on_accept gave and nobody attached. */
void fake_discard(struct ring *r, int fd);
/* Descriptors that are the shard's: attached ones, and accepted ones that nobody
 * attached. */
unsigned fake_open(struct ring *r);
/* A sum over everything that was told, in its order: equal for equal runs. */
uint64_t fake_trace(struct ring *r);

#endif

/* One listening socket on one shard.
 *
 *   ACCEPTING <--> RESTING --> STOPPING --> CLOSED
 *
 * RESTING: no accept is asked for, new connections wait in the kernel's queue. It rests
 * when the owner says so (no room) and by itself when descriptors have run out; it looks
 * every 20 ms whether the owner has room again, since room may come from another shard.
 * STOPPING: the accept was cancelled; connections that the kernel has completed already
 * are still taken, since closing the socket would reset them.
 */
#ifndef RINGWAY_NET_LISTENER_H
#define RINGWAY_NET_LISTENER_H

#include <ringway/shard/shard.h>

struct listener;

struct listener_events {
	/* A connection; its descriptor is the callee's. False: there is no room for
	 * another one after this one. */
	bool (*on_conn)(struct listener *l, int fd);
	/* Asked while it rests. */
	bool (*has_room)(struct listener *l);
	/* No descriptor was left for a waiting connection: the callee may free one. */
	void (*on_exhausted)(struct listener *l);
	void (*on_stopped)(struct listener *l);
};

enum listener_state { LISTENER_CLOSED, LISTENER_ACCEPTING, LISTENER_RESTING, LISTENER_STOPPING };

struct listener {
	struct io io;
	struct shard *shard;
	const struct listener_events *events;
	struct timer retry;
	enum listener_state state;
	uint64_t exhausted; /* times that descriptors ran out */
};

/* A bound and listening stream socket. With `shared`, SO_REUSEPORT is set: several of
 * them for one address share its connections. Options that connections inherit are set
 * here, once. -errno of bind() and the like. */
int listener_socket(const struct address *address, bool shared, int *ret_fd);

/* On the shard's thread; the descriptor is the listener's from now on. */
int listener_start(struct listener *l, struct shard *s, int fd,
                   const struct listener_events *events);
/* on_stopped follows. */
void listener_stop(struct listener *l);

#endif

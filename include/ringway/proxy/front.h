/* The proxy on one shard: its listeners, client connections, exchanges and what they
 * share. Everything here belongs to the shard's thread.
 */
#ifndef RINGWAY_PROXY_FRONT_H
#define RINGWAY_PROXY_FRONT_H

#include <ringway/net/gate.h>
#include <ringway/net/listener.h>
#include <ringway/observe/access_log.h>
#include <ringway/proxy/snapshot.h>
#include <ringway/upstream/upstreams.h>

struct access_tls;
struct exchange;
struct front;
struct tls_peer;

/* What a listener's requests are for. */
struct site {
	/* Chooses how the exchange is answered, see exchange.h. */
	void (*begin)(const struct site *site, struct exchange *x);
	bool is_public; /* its requests are logged, its connections pass the gate */
	/* Not public: places that it leaves to the others of its front. */
	uint32_t leaves_free;
};

/* Routes, policies, upstreams: the site of the data shards. */
extern const struct site front_proxy_site;

/* What all shards of a process share; outlives them. */
struct front_shared {
	struct gate gate;
	struct access_log *access_log; /* NULL: none */
	uint32_t shards;
};

/* Connections that were accepted before the accept could be stopped: they wait for room
 * as they would have in the kernel's queue. */
#define FRONT_WAITING 64

struct front_limits {
	uint32_t clients;        /* connections that this shard can hold */
	uint32_t upstreams;      /* connections to upstreams, idle ones included */
	uint32_t upstreams_idle;
	uint32_t listeners;
};

struct front_stats {
	uint64_t accepted;
	uint64_t requests;
	uint64_t refused_full; /* connections closed because the process was full */
	uint64_t reclaimed;    /* idle connections closed to make room */
};

struct client {
	struct h1_server h1; /* first */
	struct front *front;
	const struct site *site;
	struct client *next_free;
	struct list idle_link;
	const struct access_tls *tls;   /* of the connection's TLS; NULL: plain */
	const struct tls_peer *peer;    /* verified client certificate */
	uint64_t trusted_since; /* generation of the snapshot that `is_trusted` is true of */
	bool is_trusted;
	bool in_gate;
	uint8_t ip_len;
	char ip[46];
};

struct front_listener {
	struct listener listener; /* first */
	struct front *front;
	const struct site *site;
};

struct front {
	struct shard *shard;
	struct front_shared *shared;
	struct snapshot *snapshot; /* the current one */
	/* Told when a snapshot that is not current any more has no request left here. */
	void (*on_snapshot_unused)(struct front *f, struct snapshot *s);
	/* Told when the last listener has stopped and the last client has gone, once. */
	void (*on_drained)(struct front *f);
	void *owner;

	struct h1_server_settings settings; /* the current snapshot's, and draining */
	struct upstreams upstreams;
	struct h1_parser parser;
	struct h1_limits parser_limits;
	struct http_field *parser_fields;

	struct client *clients;
	struct client *free_client;
	uint32_t clients_len;
	uint32_t clients_used_ever;
	uint32_t clients_open;
	struct list idle_clients; /* longest idle first */

	char *exchanges;
	struct exchange *free_exchange;
	uint32_t exchanges_used_ever;
	uint32_t exchanges_open;
	struct arena_source arena_source; /* blocks of the shard's */

	struct front_listener *listeners;
	uint32_t listeners_len;
	uint32_t listeners_max;
	uint32_t listeners_open;
	struct {
		int fd;
		const struct site *site;
	} waiting[FRONT_WAITING]; /* oldest first */
	uint32_t waiting_len;

	uint64_t random[2]; /* for request ids */
	bool draining;
	struct front_stats stats;
};

/* Bytes that one client connection costs while it is idle, and one request in progress
 * (without blocks): for the banner. */
size_t front_client_bytes(void);
size_t front_exchange_bytes(void);

/* The shard has its ring. -ENOMEM. */
int front_init(struct front *f, struct shard *shard, struct front_shared *shared,
               const struct front_limits *limits, struct snapshot *snapshot);
void front_fini(struct front *f);

/* A bound and listening socket, the front's from now on. */
int front_listen(struct front *f, int fd, const struct site *site);

/* From the next request on. The old one is reported when it is unused. */
void front_swap(struct front *f, struct snapshot *snapshot);

/* No new connections; each answer is its connection's last. */
void front_drain(struct front *f);
/* Closes what waits for a request. */
void front_close_idle(struct front *f);
/* Closes everything. */
void front_close_all(struct front *f);

/* Makes room when descriptors or slots have run out; false when nothing is idle. */
bool front_reclaim(struct front *f);

/* 32 hexadecimal digits, not secret, unique enough. */
void front_request_id(struct front *f, char out[static 32]);

#endif

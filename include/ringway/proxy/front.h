/* The proxy on one shard: its listeners, client connections, exchanges and what they
 * share. Everything here belongs to the shard's thread.
 */
#ifndef RINGWAY_PROXY_FRONT_H
#define RINGWAY_PROXY_FRONT_H

#include <ringway/net/gate.h>
#include <ringway/net/listener.h>
#include <ringway/observe/access_log.h>
#include <ringway/observe/metrics.h>
#include <ringway/proxy/snapshot.h>
#include <ringway/upstream/upstreams.h>

struct access_tls;
struct exchange;
struct front;
struct front_listener;
struct tls_memory;
struct tls_peer;
struct tls_session;

/* Up to a minute: 64 us to 2^26. */
#define GREETING_TIMES 21

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
/* Every request is answered with its https:// twin (308). */
extern const struct site front_redirect_https_site;

/* What a connection has to say before its first request. */
struct greeting_rules {
	unsigned proxy_header; /* versions, see net/proxy_header.h; 0: none */
	bool tls;
};

enum greeting_step { GREETING_NONE, GREETING_PROXY_HEADER, GREETING_HELLO, GREETING_SHAKING };

/* Handshakes on one shard. */
struct greeting_stats {
	uint64_t full;
	uint64_t resumed;
	uint64_t failed[ACCESS_CAUSES]; /* by cause; PROXY headers, too */
	uint64_t shake_us[GREETING_TIMES]; /* how long: below 2^(i+6) microseconds */
	uint32_t in_progress;
};

/* What all shards of a process share; outlives them. */
struct front_shared {
	struct gate gate;
	struct gate handshakes; /* in progress */
	struct access_log *access_log; /* NULL: none */
	struct metrics *metrics;
	struct limiter *limiter;       /* NULL: no limits are decided */
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
	const struct front_listener *listener;
	struct tls_session *handshake;  /* in progress */
	struct snapshot *hello_snapshot; /* whose certificates the handshake uses */
	const struct access_tls *tls;   /* of the connection's TLS; NULL: plain */
	const struct tls_peer *peer;    /* verified client certificate */
	struct list greeting_link;      /* front.greetings, while it greets */
	struct list turn_link;          /* front.shaking, while its handshake waits for its turn */
	uint64_t greeted_ns;            /* accepted at */
	enum greeting_step greeting;
	uint64_t trusted_since; /* generation of the snapshot that `is_trusted` is true of */
	bool is_trusted;
	bool in_gate;
	uint8_t ip_len;
	char ip[46];
	bool has_ip;
	uint8_t ip_bytes[16]; /* has_ip: the same, IPv4 in mapped form */
};

struct front_listener {
	struct listener listener; /* first */
	struct front *front;
	const struct site *site;
	size_t index; /* among the configured ones */
	struct greeting_rules rules;
};

struct front {
	struct shard *shard;
	struct front_shared *shared;
	struct metrics_shard *metrics;
	struct snapshot *snapshot; /* the current one */
	/* Told when a snapshot that is not current any more has no request left here. */
	void (*on_snapshot_unused)(struct front *f, struct snapshot *s);
	/* Told when the last listener has stopped and the last client has gone, once. */
	void (*on_drained)(struct front *f);
	void *owner;

	struct h1_server_settings settings; /* the current snapshot's, and draining */
	struct upstreams upstreams;
	struct policy_shard policies;
	struct h1_parser parser;
	struct h1_limits parser_limits;
	struct http_field *parser_fields;

	struct client *clients;
	struct client *free_client;
	uint32_t clients_len;
	uint32_t clients_used_ever;
	uint32_t clients_open;
	struct list idle_clients; /* longest idle first */

	struct list greetings; /* oldest first */
	struct list shaking;   /* handshakes with input, in the order in which it came */
	struct runnable shake;
	uint64_t shake_turn;   /* of the shard, that `shakes_left` is for */
	int shakes_left;
	struct greeting_stats greeting_stats;

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
		const struct front_listener *listener;
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

/* The shard has its ring; it counts in shared->metrics from here on, by its index. -ENOMEM. */
int front_init(struct front *f, struct shard *shard, struct front_shared *shared,
               const struct front_limits *limits, struct snapshot *snapshot);
void front_fini(struct front *f);

/* A bound and listening socket, the front's from now on; `index` among the listeners of
 * the credentials. */
int front_listen(struct front *f, int fd, const struct site *site, size_t index,
                 struct greeting_rules rules);

/* From the next request on. The old one is reported when it is unused. */
void front_swap(struct front *f, struct snapshot *snapshot);

/* No new connections; each answer is its connection's last. */
void front_drain(struct front *f);
/* Closes what waits for a request. */
void front_close_idle(struct front *f);
/* Closes everything. */
void front_close_all(struct front *f);

/* A use of a snapshot by this shard, and its end. */
static inline struct snapshot *front_use(struct front *f, struct snapshot *s)
{
	s->refs[f->shard->index].count++;
	return s;
}

static inline void front_end_use(struct front *f, struct snapshot *s)
{
	if (--s->refs[f->shard->index].count == 0 && s != f->snapshot && f->on_snapshot_unused)
		f->on_snapshot_unused(f, s);
}

/* Makes room when descriptors or slots have run out; false when nothing is idle. */
bool front_reclaim(struct front *f);

/* Whether what its peer says of others is believed, by the present snapshot. */
bool client_is_trusted(struct client *c);
/* Whom the connection is for, as its PROXY header says. */
void client_set_ip(struct client *c, const struct address *ip);

/* 32 hexadecimal digits, not secret, unique enough. */
void front_request_id(struct front *f, char out[static 32]);

#endif

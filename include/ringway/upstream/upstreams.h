/* Upstream connections of one shard: endpoints, and the pool of idle connections.
 *
 * An endpoint is one target, known by a number that holds over reloads, so that its
 * connections and addresses do too. Idle connections are taken last in, first out: hot
 * ones stay hot, the rest time out. All idle connections also stand in one list by age;
 * when descriptors or slots run short the oldest goes.
 *
 * All connections of an endpoint speak TLS by the same settings, or none does. What their
 * files hold may change while the number stays (a certificate was replaced): then the idle
 * connections and what they have left to resume by are not used any more.
 */
#ifndef RINGWAY_UPSTREAM_UPSTREAMS_H
#define RINGWAY_UPSTREAM_UPSTREAMS_H

#include <ringway/http1/client.h>
#include <ringway/net/resolver.h>
#include <ringway/tls/caller.h>

/* Targets that a process may ever have known; a reload that brings more is refused. */
#define UPSTREAM_ENDPOINTS_MAX 4096
/* Services that a process may ever have known. */
#define UPSTREAM_GROUPS_MAX 4096

struct endpoint {
	struct address addresses[RESOLVER_ADDRESSES]; /* with the port */
	uint16_t addresses_len;
	uint16_t next_address;
	uint16_t port;
	uint32_t idle_len;
	struct list idle; /* struct upstream_conn.endpoint_link, warmest first */
	struct tls_saved tls_saved;
};

struct upstream_conn {
	struct h1_client h1; /* first, see upstream_conn_of() */
	struct upstreams *home;
	struct endpoint *endpoint;
	struct list endpoint_link;
	struct list age_link;
	uint8_t tls_settings[TLS_SETTINGS_BYTES]; /* plain: all zero */
	struct upstream_conn *next_free;
};

struct upstreams {
	struct shard *shard;
	struct endpoint *endpoints; /* by number; those never used are all zero */
	uint32_t endpoints_used;    /* none from here on */
	uint32_t *turns;            /* by group: round robin's next target */
	struct h1_limits limits;
	struct h1_parser *parser;
	struct upstream_conn *slots;
	uint32_t slots_len;
	uint32_t slots_used_ever;
	struct upstream_conn *free;
	uint32_t open;
	uint32_t idle;
	uint32_t idle_max;
	struct list by_age; /* oldest first */
};

/* `conns`: open ones at most; of these `idle_max` idle. -ENOMEM. */
int upstreams_init(struct upstreams *u, struct shard *shard, uint32_t conns, uint32_t idle_max,
                   struct h1_parser *parser);
/* When the shard does not run any more, on a thread that is in its TLS memory. */
void upstreams_fini(struct upstreams *u);

/* What the endpoint's name means now; len 0: it does not resolve. */
void upstreams_set_addresses(struct upstreams *u, uint32_t endpoint, const struct address *addresses,
                             unsigned len, uint16_t port);

/* A connection for one request: an idle one, unless `fresh`, else a new one that is
 * being connected (upstream_conn->h1.connected tells). `tls` NULL: plain; what it points to
 * holds until it is connected. -EDESTADDRREQ: the name does not
 * resolve; -EMFILE, -ENFILE: no descriptor; -ENOBUFS: no slot; else socket()'s errno. */
int upstreams_take(struct upstreams *u, uint32_t endpoint, const struct h1_client_tls *tls,
                   bool fresh, const struct h1_client_timeouts *timeouts,
                   struct upstream_conn **ret_conn);

/* The next target of a group, in turn. */
uint32_t upstreams_turn(struct upstreams *u, uint32_t group, uint32_t targets);

/* Closes the oldest idle connection; false when there is none. */
bool upstreams_close_oldest(struct upstreams *u);
void upstreams_close_idle(struct upstreams *u);

#endif

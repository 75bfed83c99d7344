/* A whole proxy on one simulated shard: ring, front, upstreams and snapshots, as a data
 * shard has them.
 */
#ifndef RINGWAY_SIM_PROXY_WORLD_H
#define RINGWAY_SIM_PROXY_WORLD_H

#include <ringway/proxy/front.h>

#include "fake_ring.h"

#define WORLD_RECORDS 1024

/* What the access log was told; texts are not kept. */
struct world_record {
	uint16_t status;
	enum access_cause cause;
	uint8_t attempts;
	uint64_t bytes_in, bytes_out;
	uint64_t at_ns;
};

struct world {
	struct shard shard;
	struct ring *ring;
	struct registry registry;
	struct snapshot_common common;
	struct front_shared shared;
	struct metrics *metrics;
	void *metrics_memory;
	struct front front;
	struct snapshot *snapshot;
	int listen_fd;
	uint32_t blocks_at_start;
	struct snapshot *unused[8]; /* reported as such */
	unsigned unused_len;
	unsigned drained;
	struct world_record records[WORLD_RECORDS]; /* the last ones are left out */
	unsigned records_len;
	unsigned records_ever;
};

struct world_options {
	struct fake_plan plan;
	struct front_limits limits; /* zeros: plenty */
	uint32_t blocks;            /* 0: plenty */
	const char *config;
};

/* A network that does as it is told, at once. */
struct fake_plan world_calm_plan(void);

void world_begin(struct world *w, const struct world_options *o);
/* Another snapshot of this text for front_swap(). */
struct snapshot *world_snapshot(struct world *w, const char *config);
/* Closes everything and checks that nothing is left. */
void world_finish(struct world *w);
/* After a test that failed halfway, too. */
void world_abandon(struct world *w);

/* Turns until it holds; the test fails when the virtual clock passes the limit first. */
void world_until(struct world *w, bool (*holds)(void *arg), void *arg, uint64_t within_ns);
/* Turns up to that time from now. */
void world_pass(struct world *w, uint64_t ns);

/* ---- far ends that a test writes by hand ---- */

#define TALK_BYTES (256 * KIB)
#define TALKS      64

/* One connection, of a client or an origin. */
struct talk {
	struct fake_peer *peer; /* NULL: nobody yet */
	struct world *w;
	char *in; /* NUL-terminated */
	size_t in_len;
	uint64_t first_ns; /* first byte that came */
	uint64_t last_ns;  /* last */
	bool ended;
	int end_error;
	uint64_t ended_ns;
};

/* An origin whose connections are talks, in the order in which they came. */
struct talk_origin {
	struct world *w;
	struct talk talks[TALKS];
	unsigned talks_len;
	unsigned asked;     /* connects */
	int verdict;        /* 0, FAKE_HANG or -errno for the next ones */
	uint64_t delay_ns;  /* of the connect */
};

void talk_dial(struct world *w, struct talk *t);
void talk_origin_open(struct world *w, const char *ip, uint16_t port, struct talk_origin *o);
void talk_origin_fini(struct talk_origin *o);
void talk_fini(struct talk *t);
void talk_write(struct talk *t, const char *text);
/* So many times does the text stand in what came. */
unsigned talk_count(const struct talk *t, const char *text);
/* Turns until the text has come. */
void talk_expect(struct talk *t, const char *text, uint64_t within_ns);
void talk_expect_end(struct talk *t, uint64_t within_ns);
/* Forgets what came. */
void talk_clear(struct talk *t);
/* Turns until the origin has so many connections. */
struct talk *talk_origin_expect(struct talk_origin *o, unsigned talks, uint64_t within_ns);

#endif

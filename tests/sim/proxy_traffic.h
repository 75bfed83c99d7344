/* Random traffic through a simulated proxy: clients that ask, origins that answer, and
 * what may be believed about every answer.
 *
 * Each request is an ask: a plan of what the client sends, what the origin does with it
 * and where either breaks off. Bodies follow from the ask's number, so that each end
 * checks each byte by itself and an answer that belongs to another request is seen.
 */
#ifndef RINGWAY_SIM_PROXY_TRAFFIC_H
#define RINGWAY_SIM_PROXY_TRAFFIC_H

#include "proxy_wire.h"
#include "proxy_world.h"

#define TRAFFIC_ORIGINS 3

struct traffic;

enum break_off { BREAK_NONE, BREAK_RESET, BREAK_CLOSE, BREAK_SHUTDOWN, BREAK_HANG, BREAK_GARBAGE };

struct ask {
	unsigned id;
	struct traffic *t;
	/* The client's part. */
	const char *method;
	enum wire_framing up_framing;
	uint32_t up_len;
	bool up_trailers;
	bool expects_continue;
	bool is_1_0;
	bool asks_close;
	/* The origin's. */
	uint16_t status;
	enum wire_framing down_framing;
	uint32_t down_len;
	bool down_trailers;
	bool interim;
	bool is_early; /* answers before it has read the body */
	bool closes;   /* the answer is its connection's last */
	uint64_t think_ns;
	enum break_off breaks;
	uint32_t breaks_at; /* byte of the answer as sent */
	/* What happened. */
	unsigned heads_seen; /* by origins */
	bool up_whole;
	bool answered; /* whole */
	uint16_t answer_status;
	bool answer_is_ours;
};

struct traffic_options {
	unsigned clients;
	unsigned asks_most; /* of one connection */
	uint32_t body_most;
	uint32_t window_most; /* of the plan: what takes too many steps is left out */
	bool origin_faults;
	bool client_faults;
	bool scarce; /* answers of ours for want of something are to be expected */
	bool slow;   /* some ends are slow */
};

struct traffic_client {
	struct traffic *t;
	struct fake_peer *peer;
	struct ask *asks;
	unsigned asks_len;
	unsigned answered; /* as many of them, in order */
	bool pipelines;
	char *out;
	size_t out_len;
	size_t sent;
	size_t *ends;      /* of each ask in `out` */
	size_t *head_ends;
	unsigned continued; /* so many asks may go on behind their head */
	enum break_off breaks;
	size_t breaks_at;
	struct wire wire;
	bool was_last;      /* an answer said that the connection ends */
	bool step_due;
	bool left; /* closed by itself */
	bool ended;
};

struct traffic_origin {
	struct traffic *t;
	struct address at;
	enum break_off connects; /* RESET: refuses; HANG */
};

struct traffic {
	struct world *w;
	struct traffic_options options;
	struct traffic_origin origins[TRAFFIC_ORIGINS];
	struct traffic_client *clients;
	struct origin_conn *conns; /* a list of all there ever were */
	unsigned conns_len;
	unsigned asks_made;
	struct ask **asks; /* by id */
	/* For the tests: that what they are about did happen. */
	unsigned asked, answered_by_origin, answered_by_us, cut;
};

/* Clients that come within the first seconds. */
void traffic_begin(struct traffic *t, struct world *w, const struct traffic_options *o);
/* Until all clients have gone. */
void traffic_run(struct traffic *t, uint64_t within_ns);
void traffic_fini(struct traffic *t);

#endif

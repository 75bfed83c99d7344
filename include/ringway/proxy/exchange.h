/* One client's request and its way to an answer.
 *
 *   BEGIN --> POLICIES <--> WAITING          finished, failed, vanished
 *                |                    SOURCE ---------------------------> END
 *                +-- NEXT ------------->|
 *                +-- ANSWER --> (fixed answer) 
 *
 * One function per step; completions only store their result in a stream and mark the
 * exchange runnable. It lives in a slot of the shard with an arena behind it, holds the
 * snapshot that it began with, and leaves one access record.
 */
#ifndef RINGWAY_PROXY_EXCHANGE_H
#define RINGWAY_PROXY_EXCHANGE_H

#include <ringway/policy/policy.h>
#include <ringway/proxy/front.h>
#include <ringway/proxy/stage.h>

enum exchange_step { EXCHANGE_BEGIN, EXCHANGE_POLICIES, EXCHANGE_WAITING, EXCHANGE_SOURCE,
	             EXCHANGE_END };

/* Where an answer comes from: an upstream, or text of ours; on the control shard and in
 * `ringway origin` there are others. */
struct source {
	/* Asked once, then run() on each news of the client or of the source's own. The
	 * source sends to x->client and pulls the request's body from it. */
	void (*start)(struct exchange *x);
	void (*run)(struct exchange *x);
	/* Lets go of everything, at once; no news comes any more. */
	void (*stop)(struct exchange *x);
};

extern const struct source source_upstream; /* attempt.c */

/* An attempt to get the answer from an upstream. */
struct attempt {
	struct upstream_conn *conn;
	struct http_stream *up; /* of conn; NULL: none now */
	uint32_t target;        /* in the service */
	uint64_t began_ns;
	bool head_sent;
	bool stale_retried;
	uint8_t made;  /* attempts so far */
	uint8_t extra; /* of them after a failed connect */
	bool answered; /* a final head came */
	struct metrics_endpoint *counted; /* as one of its attempts now; NULL: not */
	struct block *replay; /* held body that goes out first */
	struct hold_stage hold;
};

struct exchange {
	struct runnable runnable;
	struct front *front;
	struct client *conn;
	struct http_stream *client;
	struct snapshot *snapshot;
	const struct snapshot_service *service; /* NULL: no route */
	const struct snapshot_route *route;
	struct exchange *next_free;
	struct arena arena;
	enum exchange_step step;
	void (*let_go)(struct http_stream *client); /* END only: how the client's stream ends */

	struct http_head request;
	struct attributes attributes;
	struct policy_run policies;
	uint32_t policy_at;

	const struct source *source;
	struct attempt attempt;
	void *source_data; /* the source's own, in the arena */

	struct timer deadline; /* of the request or of the attempt, the nearer one */
	uint64_t total_due_ns;
	uint64_t attempt_due_ns;
	bool deadline_came;
	bool answer_begun; /* a final head went to the client */
	uint64_t body_in;  /* bytes of the request's body */

	struct access_record record;
	uint64_t began_ns;    /* first byte of the head */
	uint64_t decided_ns;  /* policies done */
	char request_id[32];
	uint8_t forwarded_ip[16]; /* of attributes.counted_ip */
};

/* From the protocol: a request, or something that is to be refused. */
void exchange_begin(struct client *client, const struct http_head *head);
void exchange_begin_refused(struct client *client, uint16_t status, const char *detail,
                            enum access_cause cause);

/* The policies are done: ask the source. */
void exchange_set_source(struct exchange *x, const struct source *source);

/* Stops what is going on and answers with a problem (RFC 9457); when an answer has begun
 * already, the connection is cut, so that half an answer cannot be taken for a whole one. */
void exchange_fail(struct exchange *x, uint16_t status, const char *detail,
                   enum access_cause cause);

/* Answers with these; the fields are HTTP_FIELD_OTHER or known ones, the spans hold as
 * long as the exchange. */
void exchange_answer(struct exchange *x, uint16_t status, const struct http_field *fields,
                     uint32_t fields_len, struct span body);

/* Sends a final head (and more) to the client. The policies' fields are added to it: it has
 * room for them. */
void exchange_send_head(struct exchange *x, struct http_head *head, struct block *piece,
                        bool last, const struct http_fields *trailers);

/* Deadline of the present attempt; 0: none. */
void exchange_set_attempt_due(struct exchange *x, uint64_t due_ns);

/* Marks it runnable; for http_stream.on_news, with the exchange as owner. */
void exchange_news(void *exchange);

#endif

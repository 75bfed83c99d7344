/* A request on the admin socket that may have a body, and is answered with JSON of any length.
 *
 * The body is read whole, then on_request() is asked, once, and answers; it may also wait,
 * and go on later. Lives in the exchange's arena, except for the answer's text.
 */
#ifndef RINGWAY_CONTROL_ADMIN_CALL_H
#define RINGWAY_CONTROL_ADMIN_CALL_H

#include <jansson.h>

#include <ringway/base/base.h>
#include <ringway/base/list.h>
#include <ringway/base/span.h>

struct exchange;
struct instance;

/* A few short members. */
#define ADMIN_BODY_MAX (4 * KIB)

struct admin_call {
	struct exchange *x;
	void (*on_request)(struct admin_call *c);
	struct list link; /* where it waits */
	bool waits;
	bool continued; /* 100 (Continue) was sent */
	char *body;     /* of the request */
	size_t body_len;
	uint16_t status; /* of the answer; 0: none yet */
	const char *allow;
	char *text; /* ours, from malloc */
	size_t len, sent;
};

void admin_call_begin(struct exchange *x, void (*on_request)(struct admin_call *c));
struct instance *admin_call_instance(const struct admin_call *c);
/* Instead of an answer; admin_calls_resume() asks again. */
void admin_call_wait(struct admin_call *c, struct list *waiters);
void admin_calls_resume(struct list *waiters);

/* The JSON is the callee's. */
void admin_call_answer(struct admin_call *c, uint16_t status, json_t *json);
/* As RFC 9457 has it; the words are its detail. */
void admin_call_problem(struct admin_call *c, uint16_t status, const char *fmt, ...) PRINTF(3, 4);
void admin_call_wrong_method(struct admin_call *c, const char *allow);

/* Header values may be any bytes, JSON takes UTF-8. */
json_t *json_words(struct span s);

/* A plus stands for itself: header values have some. ptr NULL: a broken escape, a NUL, or
 * no memory. */
struct span admin_call_decode(struct admin_call *c, struct span s);

/* Of a query or a form; the name as it stands, the value decoded. */
struct form_pair {
	struct span name, value;
};

/* Takes "name=value" from the front of what is joined by '&'; false at the end. */
bool admin_call_next_pair(struct admin_call *c, struct span *rest, struct form_pair *ret_pair);

#endif

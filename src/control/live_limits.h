/* Limits as operators see and change them: GET /limits and what belongs to it.
 *
 * A limit of the file is up to two of the limiter's: its rate, by its name, and its cap on
 * requests at the same time. What was set live lasts until the next reload or the end of the
 * process: a reload puts the file's terms into force again, and says so.
 *
 * All on the control thread, which is the one that changes limits; the config thread adds
 * new ones during a reload, so that changes wait until that has ended.
 */
#ifndef RINGWAY_CONTROL_LIVE_LIMITS_H
#define RINGWAY_CONTROL_LIVE_LIMITS_H

#include <jansson.h>

#include <ringway/config/config.h>
#include <ringway/limit/limiter.h>

struct admin_call;
struct exchange;
struct instance;

/* ---- limit_terms.c ---- */

struct limit_side {
	bool is_there;
	bool is_known;   /* to the limiter, by this number */
	uint32_t number;
	struct limit_terms terms;
};

struct limit_sides {
	struct limit_side rate, cap;
};

/* What the file says, with the limiter's numbers. One that no route uses has none. */
struct limit_sides limit_sides_of_file(const struct limiter *l, const struct config_limit *limit);
/* What is in force. */
struct limit_sides limit_sides_in_force(const struct limiter *l, const struct config_limit *limit);
bool limit_sides_eq(const struct limit_sides *a, const struct limit_sides *b);
/* "100/s", "100/s burst 200, 10 at a time" */
#define LIMIT_TERMS_TEXT_BYTES 128
void limit_rate_text(const struct limit_terms *rate, char out[static LIMIT_TERMS_TEXT_BYTES]);
void limit_sides_text(const struct limit_sides *s, char out[static LIMIT_TERMS_TEXT_BYTES]);

/* Puts the terms of the newest file into force. `was` is the file before; NULL: none. Each
 * change that was made live is undone, said by an event, and a line of the array. */
json_t *limits_follow_file(struct instance *in, const struct config *was);

/* ---- limits_json.c ---- */

#define KEY_TEXT_BYTES 512
json_t *limits_list_json(const struct instance *in);
json_t *limit_show_json(const struct instance *in, const struct config_limit *limit);
json_t *limit_terms_json(const struct limit_sides *s);
/* How a key stands. */
json_t *limit_key_json(const struct instance *in, const struct config_limit *limit,
		       struct span key);
/* "ip=192.0.2.1,header:x-user=VALUE" */
void limit_key_example(const struct config_limit *limit, char out[static KEY_TEXT_BYTES]);

/* ---- limits_set.c ---- */

/* What the request's body asks for; it is answered. */
void limit_set_by(struct admin_call *c, const struct config_limit *limit);

/* ---- limits.c ---- */

/* Paths at and below /limits. */
bool limits_has_path(struct span path);
void limits_begin(struct exchange *x);
/* A reload has ended: what waited for it goes on. */
void limits_resume(struct instance *in);

/* ---- limits_file.c: over a restart, with `run --keep-state` ---- */

/* On main, into a limiter without limits, before a snapshot is made. What is wrong with the
 * file is said; the start goes on without it. */
void limits_file_load(struct instance *in, const struct config *config);
/* The start has succeeded: what was loaded is not to be loaded again. */
void limits_file_remove(struct instance *in);
/* After the shards have ended. */
void limits_file_save(struct instance *in);

#endif

/* What a limit counts for itself: the bytes that a request's key consists of, and words for
 * them, the same for the data path and for whoever asks about a key.
 *
 * The parts stand one after another as the configuration lists them. An address is its
 * length and its bytes, what lies behind the prefix cleared; texts have their length in
 * front, so that no two keys are written alike.
 */
#ifndef RINGWAY_POLICY_LIMIT_KEY_H
#define RINGWAY_POLICY_LIMIT_KEY_H

#include <ringway/config/config.h>
#include <ringway/policy/attribute.h>

/* A key of one address fits without an arena. */
#define LIMIT_KEY_OWN 20

struct limit_key {
	struct span bytes; /* own, or in the arena; the struct must not be moved */
	char own[LIMIT_KEY_OWN];
};

/* Of a request. A header that is not there counts as an empty one, several of one name as
 * the first; a client without address (a unix socket) as one client. False: the arena is
 * exhausted. */
bool limit_key_of(const struct config_limit *limit, const struct attributes *a,
                  struct arena *arena, struct limit_key *ret_key);

/* "ip=192.0.2.0/24,header:x-user=alice", "route=api/list", "global"; what is cut or binary
 * shows as it can. Returns the length, less than size; NUL-terminated. */
size_t limit_key_text(const struct config_limit *limit, struct span bytes, char *out,
                      size_t size);
/* The reverse. For a key of one part its value alone will do. False: not a key of this
 * limit, or the arena is exhausted. */
bool limit_key_from_text(const struct config_limit *limit, struct span text,
                         struct arena *arena, struct limit_key *ret_key);

#endif

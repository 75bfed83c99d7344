/* Limits that are exact across shards, without a lock and without waiting for another shard.
 *
 * One limiter per process; its tables lie in memory that all shards share. A limit is known
 * by its name: its number, and so the state of its keys, survives reloads. A key is a 64-bit
 * fingerprint of limit and key under a secret seed; it has one slot, and every decision is a
 * compare-and-swap on that slot, so that it is one decision wherever it is made. A key that
 * one shard takes often gets a *lease* there: tokens taken ahead of need, spent without
 * atomics. A slot with leases out refills only to the burst less what they may hold. Hence
 * for every window W, by the clock of the shard that decides: admitted <= burst + rate * W.
 * The algorithm, its proof and its price: docs/limits.md.
 *
 * Times are nanoseconds of the monotonic clock, as the caller reads it; a shard's never goes
 * back, and may lag that of another.
 */
#ifndef RINGWAY_LIMIT_LIMITER_H
#define RINGWAY_LIMIT_LIMITER_H

#include <stdatomic.h>

#include <ringway/base/span.h>

enum limit_algorithm {
	LIMIT_TOKEN_BUCKET,   /* GCRA: `tokens` per `period_ns`, at most `burst` at once */
	LIMIT_FIXED_WINDOW,   /* `tokens` in each calendar window of `period_ns` (wall clock) */
	LIMIT_SLIDING_WINDOW, /* `tokens` in every window of `period_ns`, counted in eighths */
	LIMIT_CONCURRENCY,    /* `burst` at the same time, each until it is given back */
};

/* What becomes of a key for which the table has no room. */
enum limit_on_full {
	LIMIT_FULL_COARSE, /* shares a slot with others of its limit: admits less, never more */
	LIMIT_FULL_OPEN,
	LIMIT_FULL_CLOSED,
};

struct limit_terms {
	enum limit_algorithm algorithm;
	enum limit_on_full on_full;
	uint64_t tokens;    /* 1 to LIMIT_TOKENS_MAX */
	uint64_t period_ns; /* 1 s to 366 days for windows; for buckets tokens/period is at most
			       LIMIT_RATE_MAX per second and at least one in 366 days */
	uint64_t burst;     /* buckets and concurrency only, 1 to LIMIT_TOKENS_MAX */
};

#define LIMIT_TOKENS_MAX 1000000
#define LIMIT_RATE_MAX 10000000
#define LIMIT_NAME_BYTES 128
/* Limits that one process can know by name, over all its reloads. */
#define LIMITS_MAX 1024

struct limiter;
struct limiter_shard;

struct limiter_size {
	unsigned shards;     /* that decide */
	uint32_t keys;       /* of buckets, fixed windows and concurrency: at most 24 bytes each */
	uint32_t windows;    /* keys of sliding windows: at most 64 bytes each */
};

size_t limiter_bytes(const struct limiter_size *size);
/* `memory`: limiter_bytes() zeroed bytes at a page's beginning, shared by all who decide;
 * stays the caller's. The seed is 16 random bytes, copied. Wall clock minus monotonic clock
 * is needed for calendar windows. -EINVAL, -ENOMEM. */
int limiter_create(const struct limiter_size *size, void *memory, const uint8_t seed[16],
                   int64_t wall_offset_ns, struct limiter **ret_limiter);
void limiter_destroy(struct limiter *l); /* takes NULL; after all shards */
/* The wall clock was set; any thread. */
void limiter_set_wall_offset(struct limiter *l, int64_t wall_offset_ns);

/* ---- limits: one thread at a time may add and change them; all may ask ---- */

/* The number of the limit with this name; a new one begins with these terms, a known one
 * keeps its own. -ENOSPC: LIMITS_MAX names are known; -ENAMETOOLONG. */
int limiter_add(struct limiter *l, const char *name, const struct limit_terms *terms,
                uint32_t *ret_limit);
/* -ENOENT. */
int limiter_find(const struct limiter *l, const char *name, uint32_t *ret_limit);
/* Before any shard decides: nobody asks for it any more. Its keys are gone, its number is for
 * the next name that is added. */
void limiter_forget(struct limiter *l, uint32_t limit);
/* Other terms, in force for the very next decision of every shard. Token buckets keep what
 * each key has used: an exhausted key stays exhausted and refills at the new rate. Another
 * algorithm, for windows another period, and for buckets a rate more than a thousand times
 * what it was when the limit began make every key fresh. A decision that is under way
 * while the terms change goes by those before or those after. */
void limiter_set(struct limiter *l, uint32_t limit, const struct limit_terms *terms,
                 uint64_t now_ns);
/* How many there are, 0 to n - 1; a forgotten one has a name that nobody asks for. */
uint32_t limiter_limits(const struct limiter *l);
const char *limiter_name(const struct limiter *l, uint32_t limit);
void limiter_terms(const struct limiter *l, uint32_t limit, struct limit_terms *ret_terms);

/* ---- deciding, each shard on its own thread ---- */

/* -ENOMEM. */
int limiter_shard_create(struct limiter *l, unsigned shard, struct limiter_shard **ret_shard);
/* Its leases go back. Takes NULL. */
void limiter_shard_destroy(struct limiter_shard *s);

/* Of the limit's number (hence its name) and the key's bytes under the seed: SipHash-1-3, so
 * that nobody who chooses keys can choose which ones meet. */
uint64_t limiter_fingerprint(const struct limiter *l, uint32_t limit, const void *key,
                             size_t len);

enum limit_outcome {
	LIMIT_ADMITTED,
	LIMIT_REFUSED,
	LIMIT_NO_ROOM, /* the table is full and the limit says closed (open: ADMITTED) */
};

struct limit_verdict {
	enum limit_outcome outcome;
	bool counted;       /* ADMITTED, and cost was taken: may be given back */
	bool coarse;        /* counted in a slot that it shares */
	uint64_t remaining; /* whole tokens left for the key, as far as this shard sees */
	uint64_t wait_ns;   /* REFUSED: until the same cost would be admitted if nobody else
			       came; UINT64_MAX: never, cost is above the burst; concurrency: 0 */
	uint64_t reset_ns;  /* until the key is as fresh as can be */
};

/* `key` are the bytes that the fingerprint is of, kept for lists of hot keys; borrowed for the
 * call. `cost` from 1. */
void limiter_take(struct limiter_shard *s, uint32_t limit, uint64_t fingerprint,
                  struct span key, uint32_t cost, uint64_t now_ns,
                  struct limit_verdict *ret_verdict);
/* What was counted did not happen, or (concurrency) has ended. Clamped to the burst. For
 * windows `now_ns` is what it was when they were taken: of a window that is over nothing
 * comes back. Nothing is given to a key that nobody knows, or whose limit began anew. */
void limiter_give(struct limiter_shard *s, uint32_t limit, uint64_t fingerprint, uint32_t cost,
                  uint64_t now_ns);
/* The same for a verdict that was coarse: it goes back to where it was taken. */
void limiter_give_coarse(struct limiter_shard *s, uint32_t limit, uint64_t fingerprint,
                         uint32_t cost, uint64_t now_ns);

/* Gives back what has lain idle in leases. Wanted every LIMITER_UPKEEP_NS while
 * limiter_shard_has_leases(). */
#define LIMITER_UPKEEP_NS (20 * 1000000)
void limiter_upkeep(struct limiter_shard *s, uint64_t now_ns);
bool limiter_shard_has_leases(const struct limiter_shard *s);

/* ---- looking on, from any thread ---- */

/* One writer, the shard; relaxed: each number is right by itself, together they may be a
 * few decisions apart. */
struct limiter_stats {
	uint64_t inserted, evicted; /* slots, both tables: the difference is in use (idle keys
				       whose slot nobody wanted yet included) */
	uint64_t no_room;           /* decisions for keys without a slot */
	uint64_t promoted, demoted; /* leases begun and ended by this shard */
	uint64_t leased, unleased;  /* tokens taken ahead, and given back unspent */
	uint64_t lease_hits;        /* decisions without the slot */
	uint64_t retries;           /* compare-and-swaps that another shard was faster at */
	uint64_t over_admitted;     /* tokens found above the bound: 0, or there is a bug */
	uint64_t out_on_lease;      /* now */
	uint64_t upkeep_ns;         /* when the last one was; 0: no leases */
};
void limiter_shard_stats(const struct limiter_shard *s, struct limiter_stats *ret_stats);

/* A key as it stands; false: nothing is known of it, it is fresh. */
struct limit_view {
	uint64_t remaining; /* in the slot, leases not counted */
	uint64_t reset_ns;
	bool hot;
};
bool limiter_look(const struct limiter *l, uint32_t limit, uint64_t fingerprint,
                  uint64_t now_ns, struct limit_view *ret_view);
/* Makes it fresh (but for what leases hold). Not for concurrency. */
void limiter_reset(struct limiter *l, uint32_t limit, uint64_t fingerprint, uint64_t now_ns);

/* Keys with leases: index from 0 to LIMITER_HOT_MAX - 1, false where there is none. */
#define LIMITER_HOT_MAX 1024
#define LIMITER_KEY_BYTES 64
struct limit_hot {
	uint32_t limit;
	uint64_t fingerprint;
	char key[LIMITER_KEY_BYTES];   /* its first bytes, key_len of them; may be binary */
	uint8_t key_len;
	unsigned shards;               /* that hold a lease */
	uint64_t may_hold;             /* tokens, all of them together at most */
	uint64_t remaining;            /* in the shared slot */
};
bool limiter_hot(const struct limiter *l, unsigned index, uint64_t now_ns,
                 struct limit_hot *ret_hot);

/* ---- over a restart; no shard decides any more or yet ---- */

/* Limits, seed and every key that is not fresh, written to the descriptor with a check sum.
 * Left out: what is in flight (concurrency), and what is counted in shared slots for want of
 * room. -errno. */
int limiter_save(const struct limiter *l, int fd, uint64_t now_ns, uint64_t unix_ns);
/* Into a limiter without limits: the seed becomes the saved one, the time between counts as
 * passed. -EBADMSG: not whole or not ours, the limiter is as it was; keys for which there
 * is no room are counted. */
int limiter_load(struct limiter *l, int fd, uint64_t now_ns, uint64_t unix_ns,
                 uint64_t *ret_keys, uint64_t *ret_left_out);

#endif

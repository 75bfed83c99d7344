/* Ring of access records between one shard and the writer of the log.
 *
 * A record lies in it packed: the numbers, then the texts, each cut at its limit,
 * in one piece. Where it does not fit before the end of the ring, a mark sends the
 * reader back to the beginning.
 *
 * put_at and taken_at count bytes since the start and never wrap (2^64). The shard
 * writes the bytes first and put_at after them, the writer reads in the other
 * order, and the same way back for taken_at; so each sees whole records only.
 */
#ifndef RINGWAY_OBSERVE_ACCESS_RING_H
#define RINGWAY_OBSERVE_ACCESS_RING_H

#include <stdatomic.h>

#include <ringway/base/base.h>
#include <ringway/observe/access.h>

/* A record as it lies in the ring. What the texts' limits leave is for extras. */
#define ACCESS_RECORD_BYTES_MAX (16 * KIB)

struct access_ring {
	/* Written by the shard. put_at is sequentially consistent: together with the
	 * writer's sleep state it decides whether someone must be woken. */
	_Alignas(CACHE_LINE) _Atomic uint64_t put_at;
	_Atomic uint64_t dropped;
	uint64_t taken_seen; /* the shard's last look at taken_at, which saves most looks */

	_Alignas(CACHE_LINE) _Atomic uint64_t taken_at; /* written by the writer */

	_Alignas(CACHE_LINE) char *bytes; /* constant from here on */
	size_t size;
};

/* A record taken out of the ring; its spans point into the ring. */
struct access_view {
	struct access_record record;
	struct access_extra extras[ACCESS_EXTRAS_MAX];
	struct access_tls tls; /* of the record, when it has one */
	bool clipped; /* some text was longer than its limit */
	uint64_t next_at;
};

/* `size` is a power of two. -ENOMEM. */
int access_ring_init(struct access_ring *r, size_t size);
void access_ring_fini(struct access_ring *r);

/* The shard. False when there was no room: counted in dropped. */
bool access_ring_put(struct access_ring *r, const struct access_record *record);
bool access_ring_is_half_full(struct access_ring *r);

/* The writer. The view holds until access_ring_take(). */
bool access_ring_peek(struct access_ring *r, struct access_view *ret_view);
void access_ring_take(struct access_ring *r, const struct access_view *view);
bool access_ring_is_empty(struct access_ring *r);

#endif

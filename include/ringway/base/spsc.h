/* Ring of fixed-size items between one writer thread and one reader thread.
 *
 * The writer alone moves `tail`, the reader alone moves `head`. Each publishes with
 * a release store what the other acquires, so an item is whole before it is seen and
 * read before it is overwritten. Each side keeps the last value that it saw of the
 * other's index, and looks again only when that says full (or empty): the common
 * case touches no cache line of the other side.
 */
#ifndef RINGWAY_BASE_SPSC_H
#define RINGWAY_BASE_SPSC_H

#include <stdatomic.h>

#include <ringway/base/base.h>

struct spsc {
	/* Set once. */
	char *items;
	uint32_t item_bytes;
	uint32_t mask; /* capacity - 1 */
	_Alignas(CACHE_LINE) _Atomic uint32_t tail; /* the writer's */
	uint32_t head_seen;
	_Alignas(CACHE_LINE) _Atomic uint32_t head; /* the reader's */
	uint32_t tail_seen;
};

/* `items` is room for `capacity` items, a power of two of them; stays the caller's. */
void spsc_init(struct spsc *s, void *items, uint32_t item_bytes, uint32_t capacity);

/* Copies the item in; false when the ring is full. */
bool spsc_push(struct spsc *s, const void *item);
/* Copies the oldest item out; false when there is none. */
bool spsc_pop(struct spsc *s, void *ret_item);

#endif

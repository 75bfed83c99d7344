/* Bump allocator that is emptied whole. Starts in memory of the owner's and grows
 * by chunks that a function of the owner's supplies; nothing is freed singly.
 *
 * On the request path the chunks come from a shard's pool, never from malloc.
 */
#ifndef RINGWAY_BASE_ARENA_H
#define RINGWAY_BASE_ARENA_H

#include <ringway/base/base.h>
#include <ringway/base/span.h>

struct arena_source {
	/* A chunk of at least the asked bytes, its real size in *ret_size; NULL
	 * when there is none (then arena_alloc() answers NULL). */
	void *(*take)(struct arena_source *source, size_t bytes, size_t *ret_size);
	void (*give)(struct arena_source *source, void *chunk);
};

struct arena_chunk;

struct arena {
	char *next;
	char *end;
	struct arena_chunk *chunks; /* grown ones, newest first */
	struct arena_source *source; /* NULL: does not grow */
	char *first;
	size_t first_size;
};

/* The memory stays the caller's and must outlive the arena. */
void arena_init(struct arena *a, void *mem, size_t size, struct arena_source *source);
/* Gives grown chunks back; what was allocated is gone, the arena can be used again. */
void arena_reset(struct arena *a);

/* Grows on demand; NULL when the source has nothing left. For arena_alloc(). */
void *arena_alloc_slow(struct arena *a, size_t bytes, size_t align);

/* Aligned to 8. NULL when out of memory. Not zeroed. */
static inline void *arena_alloc(struct arena *a, size_t bytes)
{
	uintptr_t at = ((uintptr_t)a->next + 7) & ~(uintptr_t)7;

	if (unlikely(at > (uintptr_t)a->end || bytes > (uintptr_t)a->end - at))
		return arena_alloc_slow(a, bytes, 8);
	a->next = (char *)at + bytes;
	return (void *)at;
}

/* The same without alignment, for text. */
static inline char *arena_text(struct arena *a, size_t bytes)
{
	char *at = a->next;

	if (unlikely(bytes > (size_t)(a->end - at)))
		return arena_alloc_slow(a, bytes, 1);
	a->next = at + bytes;
	return at;
}

/* Copy of the bytes; ptr is NULL when out of memory. */
struct span arena_span(struct arena *a, struct span s);
/* Copy with a NUL behind it; NULL when out of memory. */
char *arena_str(struct arena *a, struct span s);
/* Formatted text; ptr is NULL when out of memory. Not for the request path. */
struct span arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);

/* Chunks from malloc, for cold paths (config, snapshots). */
extern struct arena_source arena_malloc_source;

#endif

/* Blocks: the buffers in which bytes travel from one socket to another.
 *
 * Bytes are received behind a head room that is large enough for a rewritten message
 * head, so that a new head (or a chunk-size line) is written right in front of a body
 * that is already there and both leave in one send, without a copy. The tail room
 * takes the end of a chunk.
 *
 *   | struct block | head room | ............ data ............ | tail room |
 *   0              32          2048                             67584       69632
 *
 * A block has one owner at a time. The pool is one reservation of address space per
 * shard, sized from the limits; a page costs memory from its first use on. Blocks are
 * reused last in, first out, so that the working set stays as small as the traffic
 * allows, and what has not been used for a while goes back to the system.
 */
#ifndef RINGWAY_SHARD_BLOCK_H
#define RINGWAY_SHARD_BLOCK_H

#include <ringway/base/list.h>
#include <ringway/base/span.h>

#define BLOCK_STRIDE (68 * KIB)
#define BLOCK_DATA_AT ((size_t)2048)
#define BLOCK_DATA_BYTES (64 * KIB)
#define BLOCK_DATA_END (BLOCK_DATA_AT + BLOCK_DATA_BYTES)

struct block_pool;

struct block {
	struct block *next; /* the owner's, for queues */
	struct block_pool *pool;
	uint32_t begin; /* the bytes are [begin, end), offsets from the block's start */
	uint32_t end;
	uint32_t index; /* in the pool */
	bool is_free;
};

struct block_pool {
	char *memory;
	uint32_t capacity;
	uint32_t used_ever; /* blocks at and above this were never touched */
	uint32_t in_use;
	uint32_t free_len;
	uint32_t free_low;  /* least free_len since the last trim */
	uint32_t *free;     /* stack of indexes; top is the warmest */
	uint32_t trimmed;   /* the lowest so many of the stack have no memory behind them */
};

/* Reserves address space for so many blocks. -ENOMEM. */
int block_pool_init(struct block_pool *pool, uint32_t capacity);
void block_pool_fini(struct block_pool *pool);

/* Empty, with its data room before it; NULL when all are in use. */
struct block *block_take(struct block_pool *pool);
void block_give(struct block *b);
/* Gives memory of blocks back that were free ever since the last call. */
void block_pool_trim(struct block_pool *pool);

static inline char *block_begin(struct block *b)
{
	return (char *)b + b->begin;
}

static inline char *block_end(struct block *b)
{
	return (char *)b + b->end;
}

static inline uint32_t block_len(const struct block *b)
{
	return b->end - b->begin;
}

static inline struct span block_span(struct block *b)
{
	return span_of(block_begin(b), block_len(b));
}

/* Bytes that may still be received behind what is there. */
static inline uint32_t block_room(const struct block *b)
{
	return b->end < BLOCK_DATA_END ? (uint32_t)BLOCK_DATA_END - b->end : 0;
}

/* Moves the bytes to the front of the data, so that there is room behind them again. */
static inline void block_compact(struct block *b)
{
	uint32_t len = block_len(b);

	memmove((char *)b + BLOCK_DATA_AT, block_begin(b), len);
	b->begin = BLOCK_DATA_AT;
	b->end = (uint32_t)BLOCK_DATA_AT + len;
}

/* Bytes that fit in front, and behind with the tail room. */
static inline uint32_t block_head_room(const struct block *b)
{
	return b->begin - (uint32_t)sizeof(struct block);
}

static inline uint32_t block_tail_room(const struct block *b)
{
	return (uint32_t)BLOCK_STRIDE - b->end;
}

static inline void block_clear(struct block *b)
{
	b->begin = BLOCK_DATA_AT;
	b->end = BLOCK_DATA_AT;
}

/* Makes room in front for so many bytes and returns where they go. */
static inline char *block_prepend(struct block *b, uint32_t len)
{
	must(len <= block_head_room(b));
	b->begin -= len;
	return block_begin(b);
}

static inline void block_append(struct block *b, const void *bytes, uint32_t len)
{
	must(len <= block_tail_room(b));
	memcpy(block_end(b), bytes, len);
	b->end += len;
}

#endif

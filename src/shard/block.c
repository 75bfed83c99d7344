#include <ringway/shard/block.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* With the address sanitizer the bytes of a free block are out of bounds: a pool hides
 * a use after the give otherwise. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define POISONS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define POISONS
#endif
#ifdef POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(ptr, len)   ((void)(ptr), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(ptr, len) ((void)(ptr), (void)(len))
#endif

int block_pool_init(struct block_pool *pool, uint32_t capacity)
{
	memset(pool, 0, sizeof(*pool));
	pool->memory = mmap(NULL, capacity * BLOCK_STRIDE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->memory == MAP_FAILED) {
		pool->memory = NULL;
		return -ENOMEM;
	}
	pool->capacity = capacity;
	pool->free = malloc(capacity * sizeof(*pool->free));
	if (!pool->free) {
		block_pool_fini(pool);
		return -ENOMEM;
	}
	/* Most messages touch one page of a block; huge pages would make each cost
	 * two megabytes. */
	madvise(pool->memory, capacity * BLOCK_STRIDE, MADV_NOHUGEPAGE);
	return 0;
}

void block_pool_fini(struct block_pool *pool)
{
	if (pool->memory) {
		ASAN_UNPOISON_MEMORY_REGION(pool->memory, pool->capacity * BLOCK_STRIDE);
		munmap(pool->memory, pool->capacity * BLOCK_STRIDE);
	}
	free(pool->free);
	memset(pool, 0, sizeof(*pool));
}

static struct block *block_at(struct block_pool *pool, uint32_t index)
{
	return (struct block *)(pool->memory + index * BLOCK_STRIDE);
}

struct block *block_take(struct block_pool *pool)
{
	struct block *b;
	uint32_t index;

	if (pool->free_len) {
		index = pool->free[--pool->free_len];
		if (pool->free_len < pool->free_low)
			pool->free_low = pool->free_len;
		if (pool->trimmed > pool->free_len)
			pool->trimmed = pool->free_len;
	} else if (pool->used_ever < pool->capacity) {
		index = pool->used_ever++;
	} else {
		return NULL;
	}
	b = block_at(pool, index);
	ASAN_UNPOISON_MEMORY_REGION(b, BLOCK_STRIDE);
	b->next = NULL;
	b->pool = pool;
	b->index = index;
	b->is_free = false;
	block_clear(b);
	pool->in_use++;
	return b;
}

void block_give(struct block *b)
{
	struct block_pool *pool = b->pool;

	must(!b->is_free);
	b->is_free = true;
	pool->in_use--;
	pool->free[pool->free_len++] = b->index;
	ASAN_POISON_MEMORY_REGION(b + 1, BLOCK_STRIDE - sizeof(*b));
}

void block_pool_trim(struct block_pool *pool)
{
	/* The stack never shrank below free_low since the last call: its lowest so
	 * many blocks were not used. Bounded per call, as all work of a turn is. */
	uint32_t end = pool->free_low;

	if (end > pool->trimmed + 64)
		end = pool->trimmed + 64;
	for (uint32_t i = pool->trimmed; i < end; i++)
		madvise(block_at(pool, pool->free[i]), BLOCK_STRIDE, MADV_DONTNEED);
	if (end > pool->trimmed)
		pool->trimmed = end;
	pool->free_low = pool->free_len;
}

#include <ringway/base/arena.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_chunk {
	struct arena_chunk *older;
	uint64_t bytes[];
};

static void start_over(struct arena *a)
{
	a->next = a->first;
	a->end = a->first_size ? a->first + a->first_size : a->first; /* NULL + 0 is undefined */
}

void arena_init(struct arena *a, void *mem, size_t size, struct arena_source *source)
{
	a->first = mem;
	a->first_size = size;
	a->chunks = NULL;
	a->source = source;
	start_over(a);
}

void arena_reset(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *chunk = a->chunks;

		a->chunks = chunk->older;
		a->source->give(a->source, chunk);
	}
	start_over(a);
}

void *arena_alloc_slow(struct arena *a, size_t bytes, size_t align)
{
	struct arena_chunk *chunk;
	size_t size = 0;
	uintptr_t at;

	if (!a->source || bytes > SIZE_MAX / 2)
		return NULL;
	chunk = a->source->take(a->source, sizeof(*chunk) + bytes + align, &size);
	if (!chunk)
		return NULL;
	chunk->older = a->chunks;
	a->chunks = chunk;
	at = ((uintptr_t)chunk->bytes + align - 1) & ~(uintptr_t)(align - 1);
	a->end = (char *)chunk + size;
	a->next = (char *)at + bytes;
	return (void *)at;
}

struct span arena_span(struct arena *a, struct span s)
{
	char *copy = arena_text(a, s.len);

	if (!copy)
		return SPAN_NONE;
	if (s.len)
		memcpy(copy, s.ptr, s.len);
	return span_of(copy, s.len);
}

char *arena_str(struct arena *a, struct span s)
{
	char *copy = arena_text(a, s.len + 1);

	if (!copy)
		return NULL;
	if (s.len)
		memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return copy;
}

struct span arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args, again;
	char *text;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = len < 0 ? NULL : arena_text(a, (size_t)len + 1);
	if (text)
		vsnprintf(text, (size_t)len + 1, fmt, again);
	va_end(again);
	return text ? span_of(text, (size_t)len) : SPAN_NONE;
}

/* Doubling is not worth it here: a config is read once and 16 KiB chunks keep
 * the number of calls small. */
static void *malloc_take(struct arena_source *source UNUSED, size_t bytes, size_t *ret_size)
{
	size_t size = max_u64(bytes, 16 * KIB);
	void *chunk = malloc(size);

	if (chunk)
		*ret_size = size;
	return chunk;
}

static void malloc_give(struct arena_source *source UNUSED, void *chunk)
{
	free(chunk);
}

struct arena_source arena_malloc_source = {.take = malloc_take, .give = malloc_give};

#include <ringway/tls/memory.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>
#include <wolfssl/wolfcrypt/memory.h>

#include <ringway/base/base.h>

#define SPAN_BITS       16
#define TRIM_SPANS_MAX  32 /* 2 MiB a second go back: a peak of 10,000 sessions in 24 s */
#define RANGE_SPANS_MAX (1u << 20)

_Static_assert((size_t)1 << SPAN_BITS == TLS_MEMORY_SPAN_BYTES, "spans are found by a shift");

/* Free cells are no one's: the address sanitizer shall say so when wolfSSL or we touch
 * one. The link of the list lies in the first bytes, which stay readable. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(at, bytes)   ASAN_POISON_MEMORY_REGION(at, bytes)
#define UNPOISON(at, bytes) ASAN_UNPOISON_MEMORY_REGION(at, bytes)
#else
#define POISON(at, bytes)   ((void)0)
#define UNPOISON(at, bytes) ((void)0)
#endif

struct cell {
	struct cell *next;
};

enum span_state { SPAN_EMPTY, SPAN_CURRENT, SPAN_PARTIAL, SPAN_FULL };

struct tls_memory_span {
	struct cell *free;   /* cells that came back */
	uint32_t used;       /* cells that are out */
	uint32_t carved;     /* cells that were ever out since a class took the span */
	uint32_t cell_bytes; /* those of its class */
	uint32_t cells;
	uint8_t class;
	uint8_t state;
	uint32_t emptied_at; /* count of trims then; says something in EMPTY only */
	struct tls_memory_span *next, *prev;
} __attribute__((aligned(CACHE_LINE)));

/* Stands where a class has no current span. Full for ever, so it is never written to. */
static struct tls_memory_span no_span = {.state = SPAN_FULL};

static _Thread_local struct tls_memory *mine;

/* Where arenas lie, for telling another thread's cell from malloc's: upper half the
 * number of the first span in the address space, lower half how many; 0 is no arena.
 * Written when an arena begins and ends, read by any thread that frees what is not its
 * own. One word, so that nobody sees half of a change; relaxed is enough, since whoever
 * holds a cell got it, by whatever means, after its arena began and before it ended. */
static _Atomic uint64_t ranges[TLS_MEMORY_ARENAS_MAX];
static _Atomic uint32_t ranges_ever; /* used at any time, from the front */
static _Atomic(struct tls_memory *) owners[TLS_MEMORY_ARENAS_MAX]; /* of the ranges */

/* NULL: malloc's. */
static struct tls_memory *arena_of(const void *at)
{
	uint64_t number = (uintptr_t)at >> SPAN_BITS;
	uint32_t count = atomic_load_explicit(&ranges_ever, memory_order_relaxed);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t range = atomic_load_explicit(&ranges[i], memory_order_relaxed);

		if (number - (range >> 32) < (uint32_t)range)
			return atomic_load_explicit(&owners[i], memory_order_relaxed);
	}
	return NULL;
}

static uint64_t range_of(const struct tls_memory *m)
{
	return (uint64_t)((uintptr_t)m->base >> SPAN_BITS) << 32 | m->span_count;
}

static int range_add(struct tls_memory *m)
{
	uint64_t range = range_of(m);

	for (uint32_t i = 0; i < ARRAY_LEN(ranges); i++) {
		uint64_t none = 0;
		uint32_t ever = atomic_load(&ranges_ever);

		if (!atomic_compare_exchange_strong(&ranges[i], &none, range))
			continue;
		atomic_store(&owners[i], m);
		while (ever <= i && !atomic_compare_exchange_weak(&ranges_ever, &ever, i + 1))
			;
		return 0;
	}
	return -ENOSPC;
}

static void range_remove(uint64_t range)
{
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		uint64_t same = range;

		if (atomic_compare_exchange_strong(&ranges[i], &same, 0))
			return;
	}
	must(!"an arena is on the list");
}

static void list_push_front(struct tls_memory_list *list, struct tls_memory_span *span)
{
	span->prev = NULL;
	span->next = list->first;
	if (list->first)
		list->first->prev = span;
	else
		list->last = span;
	list->first = span;
}

static void list_push_back(struct tls_memory_list *list, struct tls_memory_span *span)
{
	span->next = NULL;
	span->prev = list->last;
	if (list->last)
		list->last->next = span;
	else
		list->first = span;
	list->last = span;
}

static void list_remove(struct tls_memory_list *list, struct tls_memory_span *span)
{
	if (span->prev)
		span->prev->next = span->next;
	else
		list->first = span->next;
	if (span->next)
		span->next->prev = span->prev;
	else
		list->last = span->prev;
}

static uint32_t class_step(uint32_t bytes)
{
	if (bytes < 1024)
		return 16;
	if (bytes < 2048)
		return 64;
	return 1u << (31 - __builtin_clz(bytes) - 3);
}

static void make_classes(struct tls_memory *m)
{
	uint32_t bytes = 0, covered = 0;

	for (unsigned i = 0; i < TLS_MEMORY_CLASSES; i++) {
		struct tls_memory_class *class = &m->classes[i];

		bytes += class_step(bytes);
		class->current = &no_span;
		class->partial = (struct tls_memory_list){NULL, NULL};
		class->cell_bytes = bytes;
		class->cells = (uint32_t)(TLS_MEMORY_SPAN_BYTES / bytes);
		while (covered <= bytes / 16)
			m->class_of[covered++] = (uint8_t)i;
	}
	must(bytes == TLS_MEMORY_LARGEST_BYTES);
}

int tls_memory_init(struct tls_memory *m, size_t reserve_bytes)
{
	size_t spans = (reserve_bytes + TLS_MEMORY_SPAN_BYTES - 1) >> SPAN_BITS;
	size_t heads = spans * sizeof(struct tls_memory_span);
	int err;

	if (spans == 0 || spans > RANGE_SPANS_MAX)
		return -EINVAL;
	memset(m, 0, sizeof(*m));
	/* One span more: the mapping begins at any page. */
	m->map_bytes = heads + ((spans + 1) << SPAN_BITS);
	m->map = mmap(NULL, m->map_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->map == MAP_FAILED)
		return -ENOMEM;
	/* Both are refused only by kernels that were built without them, and then there is
	 * nothing to fear. A huge page would make memory of 2 MiB resident for one cell. */
	(void)madvise(m->map, m->map_bytes, MADV_DONTDUMP);
	(void)madvise(m->map, m->map_bytes, MADV_NOHUGEPAGE);
	m->spans = m->map;
	m->base = (char *)(((uintptr_t)m->map + heads + TLS_MEMORY_SPAN_BYTES - 1) &
			   ~(TLS_MEMORY_SPAN_BYTES - 1));
	m->span_count = (uint32_t)spans;
	m->bytes = spans << SPAN_BITS;
	m->stats.reserved_bytes = m->bytes;
	make_classes(m);
	err = range_add(m);
	if (err)
		munmap(m->map, m->map_bytes);
	return err;
}

void tls_memory_fini(struct tls_memory *m)
{
	if (!m->map)
		return;
	must(mine != m);
	range_remove(range_of(m));
	UNPOISON(m->base, m->bytes);
	munmap(m->map, m->map_bytes);
	memset(m, 0, sizeof(*m));
}

void tls_memory_enter(struct tls_memory *m)
{
	mine = m;
}

static char *span_start(const struct tls_memory *m, const struct tls_memory_span *span)
{
	return m->base + ((size_t)(span - m->spans) << SPAN_BITS);
}

static bool is_ours(const struct tls_memory *m, const void *at)
{
	return m && (uintptr_t)at - (uintptr_t)m->base < m->bytes;
}

static struct tls_memory_span *span_of_cell(const struct tls_memory *m, const void *at)
{
	return &m->spans[((uintptr_t)at - (uintptr_t)m->base) >> SPAN_BITS];
}

static void span_empty(struct tls_memory *m, struct tls_memory_span *span)
{
	span->state = SPAN_EMPTY;
	span->emptied_at = m->trims;
	m->spans_empty++;
	list_push_front(&m->warm, span);
}

/* Warm ones first: their pages are there. */
static struct tls_memory_span *span_take(struct tls_memory *m)
{
	struct tls_memory_list *list = m->warm.first ? &m->warm : &m->cold;
	struct tls_memory_span *span = list->first;

	if (span) {
		list_remove(list, span);
		m->spans_empty--;
		return span;
	}
	if (m->spans_cut == m->span_count)
		return NULL;
	return &m->spans[m->spans_cut++];
}

/* Another current span for a class whose own is full; NULL when the arena is. */
static struct tls_memory_span *class_next_span(struct tls_memory *m, unsigned index)
{
	struct tls_memory_class *class = &m->classes[index];
	struct tls_memory_span *span = class->partial.first;

	if (span) {
		list_remove(&class->partial, span);
	} else {
		span = span_take(m);
		if (!span)
			return NULL;
		span->free = NULL;
		span->used = 0;
		span->carved = 0;
		span->cell_bytes = class->cell_bytes;
		span->cells = class->cells;
		span->class = (uint8_t)index;
		POISON(span_start(m, span), TLS_MEMORY_SPAN_BYTES);
	}
	if (class->current != &no_span)
		class->current->state = SPAN_FULL;
	span->state = SPAN_CURRENT;
	class->current = span;
	return span;
}

static __attribute__((noinline)) void *fall_back(struct tls_memory *m, size_t bytes)
{
	m->stats.fallbacks++;
	return malloc(bytes);
}

/* From a span that has no returned cell: the next one that was never out, which is
 * where its page is touched for the first time. */
static __attribute__((noinline)) void *carve(struct tls_memory *m, unsigned index, size_t bytes)
{
	struct tls_memory_span *span = m->classes[index].current;
	void *cell;

	if (span->carved == span->cells) {
		span = class_next_span(m, index);
		if (!span)
			return fall_back(m, bytes);
	}
	if (span->free) {
		cell = span->free;
		span->free = span->free->next;
	} else {
		cell = span_start(m, span) + (size_t)span->carved * span->cell_bytes;
		span->carved++;
	}
	span->used++;
	m->stats.in_use_bytes += span->cell_bytes;
	UNPOISON(cell, bytes);
	return cell;
}

static inline void *take(struct tls_memory *m, size_t bytes)
{
	struct tls_memory_span *span;
	struct cell *cell;
	unsigned index;

	m->stats.calls++;
	if (unlikely(bytes > TLS_MEMORY_LARGEST_BYTES))
		return fall_back(m, bytes);
	index = m->class_of[(bytes + 15) / 16];
	span = m->classes[index].current;
	cell = span->free;
	if (unlikely(!cell))
		return carve(m, index, bytes);
	span->free = cell->next;
	span->used++;
	m->stats.in_use_bytes += span->cell_bytes;
	UNPOISON(cell, bytes);
	return cell;
}

/* A span that is not its class's current one got a cell back. */
static __attribute__((noinline)) void span_thinned(struct tls_memory *m,
						   struct tls_memory_span *span)
{
	struct tls_memory_list *partial = &m->classes[span->class].partial;

	if (span->state == SPAN_FULL) {
		span->state = SPAN_PARTIAL;
		list_push_front(partial, span);
	}
	if (span->used == 0) {
		list_remove(partial, span);
		span_empty(m, span);
	} else if (span->used == span->cells / 2) {
		list_remove(partial, span);
		list_push_back(partial, span);
	}
}

static inline void give(struct tls_memory *m, void *at)
{
	struct tls_memory_span *span = span_of_cell(m, at);
	struct cell *cell = at;

	must(span->used > 0);
	UNPOISON(cell, sizeof(*cell));
	cell->next = span->free;
	span->free = cell;
	POISON(cell + 1, span->cell_bytes - sizeof(*cell));
	span->used--;
	m->stats.in_use_bytes -= span->cell_bytes;
	if (span->state != SPAN_CURRENT &&
	    (span->state == SPAN_FULL || span->used == 0 || span->used == span->cells / 2))
		span_thinned(m, span);
}

void *tls_memory_alloc(size_t bytes)
{
	struct tls_memory *m = mine;

	return likely(m) ? take(m, bytes) : malloc(bytes);
}

/* A cell of another thread's arena waits there for its trim. The push releases what this
 * thread did with the cell, the owner's exchange acquires it. */
static void send_home(struct tls_memory *owner, void *at)
{
	struct tls_memory_stray *stray = at;
	struct tls_memory_stray *top = atomic_load_explicit(&owner->strays, memory_order_relaxed);

	/* Fewer bytes may have been asked for. */
	UNPOISON(stray, sizeof(*stray));
	do
		stray->next = top;
	while (!atomic_compare_exchange_weak_explicit(&owner->strays, &top, stray,
						      memory_order_release, memory_order_relaxed));
}

static void take_strays(struct tls_memory *m)
{
	struct tls_memory_stray *stray =
		atomic_exchange_explicit(&m->strays, NULL, memory_order_acquire);

	while (stray) {
		struct tls_memory_stray *next = stray->next;

		give(m, stray);
		stray = next;
	}
}

void tls_memory_free(void *at)
{
	struct tls_memory *m = mine, *owner;

	if (likely(is_ours(m, at))) {
		give(m, at);
		return;
	}
	if (!at)
		return;
	owner = arena_of(at);
	if (owner)
		send_home(owner, at);
	else
		free(at);
}

/* The whole cell: how much of it was asked for is not known. */
static void *realloc_stray(struct tls_memory *owner, void *at, size_t bytes)
{
	size_t had = span_of_cell(owner, at)->cell_bytes;
	void *moved = tls_memory_alloc(bytes);

	if (!moved)
		return NULL;
	UNPOISON(at, had);
	memcpy(moved, at, min_u64(bytes, had));
	send_home(owner, at);
	return moved;
}

void *tls_memory_realloc(void *at, size_t bytes)
{
	struct tls_memory *m = mine;
	struct tls_memory *owner;
	struct tls_memory_span *span;
	void *moved;

	if (!at)
		return tls_memory_alloc(bytes);
	if (!is_ours(m, at)) {
		owner = arena_of(at);
		return owner ? realloc_stray(owner, at, bytes) : realloc(at, bytes);
	}
	span = span_of_cell(m, at);
	if (bytes <= TLS_MEMORY_LARGEST_BYTES && m->class_of[(bytes + 15) / 16] == span->class) {
		POISON(at, span->cell_bytes);
		UNPOISON(at, bytes);
		return at;
	}
	moved = take(m, bytes);
	if (!moved)
		return NULL;
	/* The whole cell: how much of it was asked for is not known. */
	UNPOISON(at, span->cell_bytes);
	memcpy(moved, at, min_u64(bytes, span->cell_bytes));
	give(m, at);
	return moved;
}

size_t tls_memory_trim(struct tls_memory *m)
{
	struct tls_memory_span *span;
	size_t spans = 0;

	take_strays(m);
	for (unsigned i = 0; i < TLS_MEMORY_CLASSES; i++) {
		span = m->classes[i].current;
		if (span->state == SPAN_CURRENT && span->used == 0) {
			m->classes[i].current = &no_span;
			span_empty(m, span);
		}
	}
	/* The oldest stand last. Emptied before the previous call, not taken since. */
	while (spans < TRIM_SPANS_MAX && (span = m->warm.last) && span->emptied_at != m->trims) {
		list_remove(&m->warm, span);
		UNPOISON(span_start(m, span), TLS_MEMORY_SPAN_BYTES);
		must(madvise(span_start(m, span), TLS_MEMORY_SPAN_BYTES, MADV_DONTNEED) == 0);
		list_push_front(&m->cold, span);
		spans++;
	}
	m->trims++;
	return spans << SPAN_BITS;
}

struct tls_memory_stats tls_memory_stats(const struct tls_memory *m)
{
	struct tls_memory_stats stats = m->stats;

	stats.held_bytes = (uint64_t)(m->spans_cut - m->spans_empty) << SPAN_BITS;
	return stats;
}

/* Such builds change what wolfSSL's functions take. */
#if defined(WOLFSSL_STATIC_MEMORY) || defined(WOLFSSL_DEBUG_MEMORY) || defined(NO_WOLFSSL_MEMORY)
int tls_memory_install(void)
{
	return -ENOTSUP;
}
#else
int tls_memory_install(void)
{
	return wolfSSL_SetAllocators(tls_memory_alloc, tls_memory_free, tls_memory_realloc) == 0
		       ? 0
		       : -EINVAL;
}
#endif

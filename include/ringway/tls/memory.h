/* The memory that wolfSSL works in: one arena per shard.
 *
 * wolfSSL knows one set of allocation functions for the whole process, so ours look up
 * the arena of the calling thread. A thread that has none uses malloc. What came from an
 * arena or from malloc may be freed on any thread: a cell of another thread's arena waits
 * for that arena's next trim. It is seldom: what the first sessions of a context leave in
 * it, freed with the context when a snapshot goes.
 *
 * An arena is one range of address space, reserved at once and touched as needed, cut
 * into spans of 64 KiB. A span serves one size class and keeps its own list of free
 * cells, last in first out. Each class takes from one current span until that is full:
 *
 *             taken by a class               no cell left
 *   EMPTY ----------------------> CURRENT ------------------> FULL
 *     ^  ^                           ^                          |
 *     |  | unused at a trim          | current span is full     | a cell came back
 *     |  +---------------- CURRENT   |                          v
 *     +--------------------------- PARTIAL <--------------------+
 *             last cell came back
 *
 * Where many long-lived sessions share spans with many that left, it counts which
 * partial span is filled first: those more than half full stand in front, the others
 * behind, so that sparse spans drain and go back whole.
 *
 * An empty span stays warm for a moment, then tls_memory_trim() gives its pages back.
 * Core dumps leave an arena out: it holds the keys of every session. wolfSSL wipes its
 * secrets before it frees them; we do not wipe again.
 */
#ifndef RINGWAY_TLS_MEMORY_H
#define RINGWAY_TLS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define TLS_MEMORY_SPAN_BYTES    ((size_t)65536)
#define TLS_MEMORY_LARGEST_BYTES ((size_t)32768) /* two to a span; a record needs 18 KiB */
#define TLS_MEMORY_ARENAS_MAX    1024            /* shards of an old and a new process and room */

/* Classes: every 16 bytes up to 1 KiB, every 64 up to 2 KiB, then eighths to 32 KiB.
 * What a session keeps are a few structs (1776, 848, 848, 528 and 240 bytes in 5.9) and
 * these differ by version and build, so the classes are fine where those lie. */
#define TLS_MEMORY_CLASSES 112

struct tls_memory_span;

/* A cell that another thread has freed. */
struct tls_memory_stray {
	struct tls_memory_stray *next;
};

struct tls_memory_list {
	struct tls_memory_span *first, *last;
};

struct tls_memory_class {
	struct tls_memory_span *current; /* never NULL; one without cells when there is none */
	struct tls_memory_list partial;  /* dense ones first, without the current one */
	uint32_t cell_bytes;
	uint32_t cells; /* in one span */
};

struct tls_memory_stats {
	uint64_t in_use_bytes;   /* cells that are out, by their class */
	uint64_t reserved_bytes; /* address space */
	uint64_t held_bytes;     /* spans with cells out or kept ready: at most this is resident,
				  * besides what the next trims give back */
	uint64_t fallbacks;      /* went to malloc: too large, or the arena was full */
	uint64_t calls;          /* allocations, those included */
};

struct tls_memory {
	char *base;                    /* first span; aligned to a span */
	size_t bytes;                  /* whole spans */
	struct tls_memory_span *spans; /* one descriptor each */
	uint32_t span_count;
	uint32_t spans_cut;          /* that were ever taken, from the front */
	uint32_t spans_empty;        /* of those: in `warm` or `cold` */
	uint32_t trims;              /* so many so far; the arena's own clock */
	struct tls_memory_list warm; /* empty, pages still there; newest first */
	struct tls_memory_list cold; /* empty, pages given back */
	void *map;                   /* what was mapped: descriptors, then spans */
	size_t map_bytes;
	struct tls_memory_stats stats;
	_Atomic(struct tls_memory_stray *) strays; /* any thread puts in front, the owner takes all */
	struct tls_memory_class classes[TLS_MEMORY_CLASSES];
	uint8_t class_of[TLS_MEMORY_LARGEST_BYTES / 16 + 1]; /* by size in 16 bytes, upwards */
};

/* Reserves at least `reserve_bytes` (1 span to 64 GiB). -EINVAL: not that much, -ENOMEM:
 * no address space, -ENOSPC: more arenas than TLS_MEMORY_ARENAS_MAX. `m` stays where it
 * is until tls_memory_fini(). */
int tls_memory_init(struct tls_memory *m, size_t reserve_bytes);
/* No thread may be in it any more; what was not freed is gone. One that is all zero is none. */
void tls_memory_fini(struct tls_memory *m);

/* Makes `m` the calling thread's; NULL: none, malloc from now on. One thread at a time
 * may be in an arena. */
void tls_memory_enter(struct tls_memory *m);

/* Tells wolfSSL to use these. Once per process, before any call to wolfSSL. What it keeps
 * for the whole process must not come from an arena: call wolfSSL_Init() on a thread that
 * has none. -ENOTSUP: this build of wolfSSL allocates by other rules. */
int tls_memory_install(void);

/* Gives back the pages of spans that were empty for a whole period between two calls, at
 * most 32 spans at a time, so that the calling thread is not held up (about 10 us each).
 * Call it about once a second on the arena's thread. Returns how many bytes went back. */
size_t tls_memory_trim(struct tls_memory *m);

/* On the arena's thread. */
struct tls_memory_stats tls_memory_stats(const struct tls_memory *m);

/* What wolfSSL calls; here for tests and for other libraries with such hooks. They keep
 * malloc's promises: 16-byte alignment, NULL when there is no memory, free(NULL). */
void *tls_memory_alloc(size_t bytes);
void *tls_memory_realloc(void *cell, size_t bytes);
void tls_memory_free(void *cell);

#endif

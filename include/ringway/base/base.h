/* What every file may take for granted: assertions that stay in release builds,
 * branch hints, sizes.
 */
#ifndef RINGWAY_BASE_BASE_H
#define RINGWAY_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))
#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CACHE_LINE 64

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define KIB ((size_t)1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

#define NS_PER_US ((uint64_t)1000)
#define NS_PER_MS (NS_PER_US * 1000)
#define NS_PER_S (NS_PER_MS * 1000)

/* A bug of ours: says where and aborts, in release builds too. */
NORETURN void must_failed(const char *what, const char *file, int line);
#define must(x)                                                                                    \
	do {                                                                                       \
		if (unlikely(!(x)))                                                                \
			must_failed(#x, __FILE__, __LINE__);                                       \
	} while (0)

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif

/* Map from texts to things, with the set of lengths that its texts have.
 *
 * Whoever looks for the longest of many possible texts (each prefix of a path, each
 * suffix of a host) asks the lengths first: most possible ones need no look-up then.
 *
 * Filled once, read by many after that. The memory is an arena's; texts are borrowed
 * and stay for as long as the map. What requests look up is never put in, so nobody
 * outside can make the chains long.
 */
#ifndef RINGWAY_ROUTE_TEXT_MAP_H
#define RINGWAY_ROUTE_TEXT_MAP_H

#include <ringway/base/arena.h>

struct text_slot {
	const char *text; /* NULL: free */
	uint32_t len;
	uint32_t hash;
	void *value;
};

/* All zero: empty. */
struct text_map {
	struct text_slot *slots; /* a power of two of them, at least half of them free */
	uint32_t slots_len;
	uint32_t texts_len;
	uint32_t lengths_len; /* in words */
	uint64_t *lengths;    /* bit n: some text is n bytes long */
};

/* Where the value of the text is kept, NULL for a text that is new; NULL when out of
 * memory. Holds until the next call. */
void **text_map_add(struct text_map *m, struct arena *arena, struct span text);

/* What text_map_find() does for a length that is known to be there, as text_map_shorter()
 * tells one. */
void *text_map_look_up(const struct text_map *m, struct span text);

/* NULL when the text is not there. */
static inline void *text_map_find(const struct text_map *m, struct span text)
{
	size_t word = text.len / 64;

	if (word >= m->lengths_len || !(m->lengths[word] >> text.len % 64 & 1))
		return NULL;
	return text_map_look_up(m, text);
}

/* Goes down to the next length that some text has; false when there is none. */
static inline bool text_map_shorter(const struct text_map *m, size_t *length)
{
	size_t word = *length / 64;
	uint64_t bits = 0;

	if (word < m->lengths_len)
		bits = m->lengths[word] & (((uint64_t)1 << *length % 64) - 1);
	else
		word = m->lengths_len;
	while (!bits) {
		if (!word)
			return false;
		bits = m->lengths[--word];
	}
	*length = word * 64 + 63 - (size_t)__builtin_clzll(bits);
	return true;
}

#endif

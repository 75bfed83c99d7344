#include "text_map.h"

/* The short inputs that come here are hashed in fewer instructions than a call costs. */
#define XXH_INLINE_ALL
#include <xxhash.h>

/* Where the text is or would be put. There is a free slot, so this ends. */
static inline struct text_slot *slot_of(const struct text_map *m, struct span text, uint32_t hash)
{
	uint32_t mask = m->slots_len - 1, at = hash & mask;
	struct text_slot *slot = &m->slots[at];

	while (slot->text && (slot->hash != hash || slot->len != text.len ||
			      memcmp(slot->text, text.ptr, text.len) != 0)) {
		at = (at + 1) & mask;
		slot = &m->slots[at];
	}
	return slot;
}

void *text_map_look_up(const struct text_map *m, struct span text)
{
	return slot_of(m, text, (uint32_t)XXH3_64bits(text.ptr, text.len))->value;
}

/* What was there before stays in the arena unused: all in all no more than is used. */
static bool grow_slots(struct text_map *m, struct arena *arena)
{
	struct text_map grown = *m;

	grown.slots_len = m->slots_len ? m->slots_len * 2 : 2;
	grown.slots = arena_alloc(arena, grown.slots_len * sizeof(*grown.slots));
	if (!grown.slots)
		return false;
	memset(grown.slots, 0, grown.slots_len * sizeof(*grown.slots));
	for (uint32_t i = 0; i < m->slots_len; i++) {
		const struct text_slot *slot = &m->slots[i];

		if (slot->text)
			*slot_of(&grown, span_of(slot->text, slot->len), slot->hash) = *slot;
	}
	*m = grown;
	return true;
}

static bool grow_lengths(struct text_map *m, struct arena *arena, size_t length)
{
	uint32_t words = (uint32_t)max_u64(length / 64 + 1, (uint64_t)m->lengths_len * 2);
	uint64_t *lengths = arena_alloc(arena, words * sizeof(*lengths));

	if (!lengths)
		return false;
	memset(lengths, 0, words * sizeof(*lengths));
	if (m->lengths_len)
		memcpy(lengths, m->lengths, m->lengths_len * sizeof(*lengths));
	m->lengths = lengths;
	m->lengths_len = words;
	return true;
}

void **text_map_add(struct text_map *m, struct arena *arena, struct span text)
{
	uint32_t hash = (uint32_t)XXH3_64bits(text.ptr, text.len);
	struct text_slot *slot;

	must(text.ptr && text.len <= UINT32_MAX);
	if (m->texts_len >= m->slots_len / 2 && !grow_slots(m, arena))
		return NULL;
	if (text.len / 64 >= m->lengths_len && !grow_lengths(m, arena, text.len))
		return NULL;
	slot = slot_of(m, text, hash);
	if (!slot->text) {
		*slot = (struct text_slot){text.ptr, (uint32_t)text.len, hash, NULL};
		m->lengths[text.len / 64] |= (uint64_t)1 << text.len % 64;
		m->texts_len++;
	}
	return &slot->value;
}

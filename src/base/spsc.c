#include <ringway/base/spsc.h>

#include <string.h>

void spsc_init(struct spsc *s, void *items, uint32_t item_bytes, uint32_t capacity)
{
	must(capacity && (capacity & (capacity - 1)) == 0);
	memset(s, 0, sizeof(*s));
	s->items = items;
	s->item_bytes = item_bytes;
	s->mask = capacity - 1;
}

bool spsc_push(struct spsc *s, const void *item)
{
	uint32_t tail = atomic_load_explicit(&s->tail, memory_order_relaxed);

	if (tail - s->head_seen > s->mask) {
		s->head_seen = atomic_load_explicit(&s->head, memory_order_acquire);
		if (tail - s->head_seen > s->mask)
			return false;
	}
	memcpy(s->items + (size_t)(tail & s->mask) * s->item_bytes, item, s->item_bytes);
	atomic_store_explicit(&s->tail, tail + 1, memory_order_release);
	return true;
}

bool spsc_pop(struct spsc *s, void *ret_item)
{
	uint32_t head = atomic_load_explicit(&s->head, memory_order_relaxed);

	if (head == s->tail_seen) {
		s->tail_seen = atomic_load_explicit(&s->tail, memory_order_acquire);
		if (head == s->tail_seen)
			return false;
	}
	memcpy(ret_item, s->items + (size_t)(head & s->mask) * s->item_bytes, s->item_bytes);
	atomic_store_explicit(&s->head, head + 1, memory_order_release);
	return true;
}

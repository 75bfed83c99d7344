#include "fake_world.h"

#include <stdlib.h>
#include <string.h>

#define SMALL_BYTES 16

/* ---- chance ---- */

/* splitmix64: any seed is a good one. */
static uint64_t chance(struct fake *f)
{
	uint64_t x = f->random += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

uint64_t world_below(struct fake *f, uint64_t n)
{
	must(n);
	return chance(f) % n;
}

bool world_happens(struct fake *f, unsigned of_1000)
{
	return world_below(f, 1000) < of_1000;
}

/* How much of so many bytes one step moves: 1..most. */
size_t world_piece(struct fake *f, size_t most)
{
	if (!world_happens(f, f->plan.small_pieces))
		return most;
	if (world_below(f, 2) && most > SMALL_BYTES)
		most = SMALL_BYTES;
	return 1 + world_below(f, most);
}

uint64_t world_late(struct fake *f)
{
	/* Mostly short, at times long. */
	uint64_t most = world_below(f, 8) ? f->plan.late_most_ns / 16 : f->plan.late_most_ns;

	return world_below(f, most + 1);
}

uint64_t bytes_sum(const void *ptr, size_t len)
{
	const unsigned char *c = ptr;
	uint64_t sum = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ c[i]) * 0x100000001b3;
	return sum;
}

/* ---- queues of bytes ---- */

void *grown(void *ptr, size_t len, size_t *room, size_t item)
{
	if (len < *room)
		return ptr;
	*room = *room ? *room * 2 : 16;
	if (*room <= len)
		*room = len + 1;
	ptr = realloc(ptr, *room * item);
	must(ptr);
	return ptr;
}

void bytes_put(struct bytes *b, const char *from, size_t len)
{
	if (b->begin && b->end + len > b->room) {
		memmove(b->ptr, b->ptr + b->begin, bytes_len(b));
		b->end -= b->begin;
		b->begin = 0;
	}
	b->ptr = grown(b->ptr, b->end + len, &b->room, 1);
	if (len)
		memcpy(b->ptr + b->end, from, len);
	b->end += len;
}

void bytes_drop(struct bytes *b)
{
	free(b->ptr);
	*b = (struct bytes){0};
}

void bytes_skip(struct bytes *b, size_t len)
{
	b->begin += len;
	if (b->begin == b->end)
		bytes_drop(b);
}

/* ---- events ---- */

static bool is_before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_at(struct fake *f, uint64_t at_ns, void (*run)(void *arg), void *arg)
{
	size_t i = f->events_len++;
	struct event e = {.at = max_u64(at_ns, f->now_ns), .run = run, .arg = arg};

	e.order = f->orders++;
	f->events = grown(f->events, i, &f->events_room, sizeof(*f->events));
	while (i && is_before(&e, &f->events[(i - 1) / 2])) {
		f->events[i] = f->events[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	f->events[i] = e;
}

struct event world_pop(struct fake *f)
{
	struct event first = f->events[0];
	struct event last = f->events[--f->events_len];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= f->events_len)
			break;
		if (child + 1 < f->events_len &&
		    is_before(&f->events[child + 1], &f->events[child]))
			child++;
		if (!is_before(&f->events[child], &last))
			break;
		f->events[i] = f->events[child];
		i = child;
	}
	f->events[i] = last;
	return first;
}

void sock_complete(struct sock *s, enum op op, int res, struct block *lent, bool more)
{
	struct fake *f = s->f;

	f->ready = grown(f->ready, f->ready_len, &f->ready_room, sizeof(*f->ready));
	f->ready[f->ready_len++] = (struct completion){s, op, res, lent, more};
}

void sock_complete_flight(struct sock *s, struct flight *fl, int res, struct block *lent, bool more)
{
	must(fl->op && !fl->told);
	fl->told = true;
	sock_complete(s, fl->op, res, lent, more);
}

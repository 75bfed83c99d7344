#include <ringway/config/suggest.h>

#include <ringway/base/base.h>

/* No key and no name of a cipher suite is longer; longer words are not compared. */
#define WORD_MAX 48

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Letters added, left out, exchanged, or swapped with their neighbour: what fingers
 * do. Case is folded: whoever writes `Host` means `host`. Above the limit any value above
 * it may come back. */
static unsigned edit_distance(struct span a, struct span b, unsigned limit)
{
	unsigned row[3][WORD_MAX + 1];

	for (size_t j = 0; j <= b.len; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a.len; i++) {
		unsigned *now = row[i % 3], *last = row[(i + 2) % 3], *older = row[(i + 1) % 3];
		unsigned least = (unsigned)i;

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			char ca = ascii_lower(a.ptr[i - 1]), cb = ascii_lower(b.ptr[j - 1]);

			now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && ca == ascii_lower(b.ptr[j - 2]) &&
			    cb == ascii_lower(a.ptr[i - 2]) && older[j - 2] + 1 < now[j])
				now[j] = older[j - 2] + 1;
			if (now[j] < least)
				least = now[j];
		}
		/* A swap reaches back two rows and costs one. */
		if (least > limit + 1)
			return least;
	}
	return row[a.len % 3][b.len];
}

void suggestion_init(struct suggestion *s, struct span written)
{
	s->written = written;
	s->best = NULL;
	/* A third of the letters may be wrong; beyond that a guess annoys. */
	s->distance = written.len <= WORD_MAX ? (unsigned)(written.len + 2) / 3 + 1 : 0;
}

void suggestion_try(struct suggestion *s, const char *candidate)
{
	struct span word = span_str(candidate);
	unsigned distance;

	if (!s->distance || word.len > WORD_MAX)
		return;
	if (word.len > s->written.len + s->distance || s->written.len > word.len + s->distance)
		return;
	distance = edit_distance(s->written, word, s->distance);
	if (distance < s->distance && distance < word.len) {
		s->best = candidate;
		s->distance = distance;
	}
}

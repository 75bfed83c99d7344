/* What the figures mean, in words: only what is true of them.
 *
 * One uneven second says nothing, so work that is shared out unevenly is told of when it has
 * been so for some intervals in a row, and never for a handful of requests.
 */
#ifndef RINGWAY_CONTROL_TOP_NOTES_H
#define RINGWAY_CONTROL_TOP_NOTES_H

#include "top_figures.h"

#define TOP_NOTES_MAX  8
#define TOP_NOTE_BYTES 256

/* Intervals in a row; for who looks only once, one has to do. */
#define TOP_UNEVEN_INTERVALS 3

struct top_notes {
	unsigned uneven_for;  /* intervals, up to now */
	int uneven_shard;     /* that has most of the requests; -1: the work is even */
	double max_over_mean; /* of the requests of each shard; unknown: too few to say */
	unsigned len;
	char texts[TOP_NOTES_MAX][TOP_NOTE_BYTES];
};

/* `needed`: uneven intervals until it is said. Begins with zeroes. */
void top_notes_update(struct top_notes *n, const struct top_figures *f, unsigned needed);

#endif

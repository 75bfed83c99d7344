/* "Did you mean": the known word that is nearest to what was written.
 */
#ifndef RINGWAY_CONFIG_SUGGEST_H
#define RINGWAY_CONFIG_SUGGEST_H

#include <ringway/base/span.h>

/* Keeps the best candidate so far. */
struct suggestion {
	struct span written;
	const char *best; /* NULL: none is near enough */
	unsigned distance;
};

void suggestion_init(struct suggestion *s, struct span written);
/* On a tie the candidate that came first stays. The word must outlive it. */
void suggestion_try(struct suggestion *s, const char *candidate);

#endif

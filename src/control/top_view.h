/* The figures as lines of text: what is shown on a screen and what is printed.
 */
#ifndef RINGWAY_CONTROL_TOP_VIEW_H
#define RINGWAY_CONTROL_TOP_VIEW_H

#include "top_notes.h"

enum top_view { TOP_SHARDS, TOP_ROUTES, TOP_UPSTREAMS, TOP_LIMITS, TOP_VIEWS };
extern const char *const top_view_texts[TOP_VIEWS]; /* "shards", ... */

enum top_style { TOP_PLAIN, TOP_TITLE, TOP_NOTE };

/* No line is wider than the width that was asked for, one byte per column. */
#define TOP_WIDTH_LEAST 20
#define TOP_WIDTH_MOST  200
#define TOP_WIDTH_PLAIN 80
struct top_line {
	enum top_style style;
	char text[TOP_WIDTH_MOST + 1];
};

struct top_page {
	struct top_line *lines;
	unsigned len, room;
	unsigned width;
	bool short_of_memory; /* lines are missing */
};

/* All rows. Begins with zeroes but for the width; what was in it is replaced. */
void top_page_fill(struct top_page *p, enum top_view view, const struct top_figures *f,
		   const struct top_notes *n);
/* As much as fits `height` lines, from row *first on, which is moved to where there are rows;
 * the last line names the keys. *ret_rows are those that fit. */
void top_page_fill_screen(struct top_page *p, enum top_view view, const struct top_figures *f,
			  const struct top_notes *n, unsigned height, unsigned *first,
			  unsigned *ret_rows);
void top_page_fini(struct top_page *p);

#endif

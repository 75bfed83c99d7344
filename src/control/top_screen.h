/* A terminal that is drawn on: the alternate screen, keys without Enter, lines that changed.
 *
 * However the process ends, but by SIGKILL, the terminal is what it was before. Only codes
 * that every terminal of today knows are sent. One screen per process.
 */
#ifndef RINGWAY_CONTROL_TOP_SCREEN_H
#define RINGWAY_CONTROL_TOP_SCREEN_H

#include "top_view.h"

enum top_key {
	TOP_KEY_NONE,   /* the time is over */
	TOP_KEY_REDRAW, /* the size has changed, or the process was stopped and goes on */
	TOP_KEY_SHARDS,
	TOP_KEY_ROUTES,
	TOP_KEY_UPSTREAMS,
	TOP_KEY_LIMITS,
	TOP_KEY_NEXT,
	TOP_KEY_PREVIOUS,
	TOP_KEY_QUIT,
	TOP_KEY_HANGUP, /* there is no terminal any more */
};

/* Standard output is a terminal that can be drawn on. */
bool top_screen_possible(void);

void top_screen_enter(bool colour);
/* Back to what was there before. */
void top_screen_leave(void);
/* 80 and 24 where the terminal does not say. */
void top_screen_size(unsigned *ret_width, unsigned *ret_height);
/* In one write, of no more than the lines that are different from those of the last page.
 * False: the terminal is gone. */
bool top_screen_draw(const struct top_page *p, unsigned height);
/* The next key that means something, until `due_ns` (monotonic). */
enum top_key top_screen_wait(uint64_t due_ns);

#endif

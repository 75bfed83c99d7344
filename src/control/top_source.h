/* The counters of another process, found by the instance's name and read from the mapping
 * that it shares: no request, no lock, nothing that its shards would notice.
 *
 * The file belongs to somebody else. Texts and numbers in it are believed, sizes are checked,
 * and if it is cut while we look, the fault is caught here. One source at a time per process,
 * on one thread: faults have one handler.
 */
#ifndef RINGWAY_CONTROL_TOP_SOURCE_H
#define RINGWAY_CONTROL_TOP_SOURCE_H

#include <ringway/base/segment.h>

#include "top_figures.h"

struct top_source {
	struct segment segment;
	struct metrics_view view;
	uint32_t pid;
	uint64_t started_unix_us;
	bool sees_process; /* /proc/<pid> is the writer: not so from another container */
};

#define TOP_ERROR_BYTES 1024

/* False: ret_error says what is wrong, one sentence. */
bool top_source_open(struct top_source *s, const char *instance,
		     char ret_error[static TOP_ERROR_BYTES]);
void top_source_close(struct top_source *s);

enum top_reading {
	TOP_READ,
	TOP_ENDED, /* the process is no more; the sample is what it was */
	TOP_CUT,   /* the file is shorter than it was */
	TOP_NO_MEMORY,
};

/* Also brings the names of the figures up to date with the sample. A file that was deleted
 * goes on being read. */
enum top_reading top_source_read(struct top_source *s, struct top_sample *sample,
				 struct top_figures *figures);

#endif

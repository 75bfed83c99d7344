/* An access record as a line of the log. docs/log.md has the schema.
 */
#ifndef RINGWAY_OBSERVE_ACCESS_FORMAT_H
#define RINGWAY_OBSERVE_ACCESS_FORMAT_H

#include "access_ring.h"
#include "line.h"

/* The longest line: every byte of a record escaped, and what stands around it. */
#define ACCESS_LINE_BYTES_MAX                                                                      \
	(ACCESS_RECORD_BYTES_MAX * LINE_ESCAPED_BYTES + ACCESS_EXTRAS_MAX * 8 + 1 * KIB)

/* One JSON object and a newline. */
void access_format_json(const struct access_view *view, struct line *l);
/* The common log format, then name=value for the rest, and a newline. */
void access_format_text(const struct access_view *view, struct line *l);

#endif

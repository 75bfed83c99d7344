/* Filling a report: what the rest of config/ says about a file.
 */
#ifndef RINGWAY_CONFIG_REPORT_H
#define RINGWAY_CONFIG_REPORT_H

#include <stdarg.h>

#include <ringway/config/load.h>

/* A file that hundreds of mistakes are in is the wrong file. */
#define REPORT_ISSUES_MAX 500
/* How much of a key a path shows; a path is built for each value. */
#define PATH_KEY_MAX 64

/* One file's text, with which issues show their line. */
struct source {
	const char *path;
	struct span text;
	unsigned order;        /* files are reported in the order in which they were read */
	const uint32_t *lines; /* where each line starts */
	size_t lines_len;
};

/* Which bytes of a source an issue is about. at > text.len: the file as a whole. */
struct source_range {
	const struct source *source;
	size_t at;
	size_t end;
};

void report_init(struct config_report *r, struct arena_source *memory);
/* Copies everything; control characters in message and path become '?'. What an
 * issue says beyond REPORT_ISSUES_MAX is only counted. */
void report_add(struct config_report *r, enum config_severity severity, struct source_range range,
		const char *path, const char *message, va_list args) PRINTF(5, 0);
/* In the order of files and lines. */
void report_sort(struct config_report *r);

/* Path and text stay the caller's. The text is shorter than 4 GiB. */
void source_init(struct source *s, struct arena *arena, const char *path, struct span text,
		 unsigned order);
/* Bytes of the UTF-8 character at the front of a span that is not empty; 0: none. */
size_t utf8_length(struct span s);
/* At most so many bytes from the front, whole characters only; the text is UTF-8. */
struct span utf8_clip(struct span s, size_t max);
/* The line of a byte, from 1. */
unsigned source_line(const struct source *s, size_t at);
/* Line and column (in characters) of a byte. */
struct config_place source_place(const struct source *s, size_t at);
/* The byte at a line and column, clamped to the text. */
size_t source_at(const struct source *s, unsigned line, unsigned column);

#endif

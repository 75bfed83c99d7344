/* The two passes over the bytes of a head that cost time, in one variant per vector
 * width. What a variant does stands once, in scan_lines.inc; everything that is not
 * about bytes is in parse.c and message.c.
 */
#ifndef RINGWAY_HTTP1_SCAN_H
#define RINGWAY_HTTP1_SCAN_H

#include <ringway/http1/parse.h>

struct h1_scan {
	const char *name;
	/* Both work on the input begin..end from p->line_at on and move that behind
	 * what they read to the end of its line. */
	enum h1_parse (*request_line)(struct h1_parser *p, const char *begin, const char *end);
	/* Up to and with the empty line. Names and values only: no ids. */
	enum h1_parse (*field_lines)(struct h1_parser *p, const char *begin, const char *end);
};

extern const struct h1_scan h1_scan_scalar;
#if defined(__x86_64__)
extern const struct h1_scan h1_scan_sse42;
extern const struct h1_scan h1_scan_avx2;
#endif
/* The one in use. Set before main(); tests exchange it. */
extern const struct h1_scan *h1_scan;

/* What the variants share, in parse.c. */

/* Notes the verdict; always BAD. */
enum h1_parse h1_refuse(struct h1_parser *p, enum h1_error error, const char *detail);
/* Of the field line at `at`, whose name ended on a byte that is no colon. */
enum h1_parse h1_refuse_name(struct h1_parser *p, const char *at, const char *stop);
/* Of the field line whose value ended on a byte that is no CR. */
enum h1_parse h1_refuse_value(struct h1_parser *p, char stop);
/* "HTTP/1.x" at `at`. *ret_minor on DONE. */
enum h1_parse h1_version(struct h1_parser *p, const char *at, const char *end, uint8_t *ret_minor);

#endif

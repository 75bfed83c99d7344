/* HTTP/1 heads off the wire, strictly (RFC 9112), vectorised.
 *
 * The parser is a pure function of bytes: nothing is allocated, spans of the result
 * point into the input. It may be called again with the same input grown at the
 * end; complete lines are not read twice.
 */
#ifndef RINGWAY_HTTP1_PARSE_H
#define RINGWAY_HTTP1_PARSE_H

#include <ringway/http/head.h>

enum h1_parse {
	H1_PARSE_DONE,
	H1_PARSE_MORE,
	H1_PARSE_BAD /* the verdict is in struct h1_parser */
};

/* Why a head was refused: each maps to one status of ours (docs/http1.md). */
enum h1_error {
	H1_ERROR_NONE,
	H1_ERROR_SYNTAX,             /* 400: start line, field line, bare CR or LF, obs-fold... */
	H1_ERROR_TARGET,             /* 400: request target */
	H1_ERROR_HOST,               /* 400: Host missing, repeated, malformed, not the target's */
	H1_ERROR_FRAMING,            /* 400: Content-Length and Transfer-Encoding */
	H1_ERROR_CODING,             /* 501: a transfer coding we do not know */
	H1_ERROR_METHOD,             /* 501: CONNECT */
	H1_ERROR_EXPECT,             /* 417 */
	H1_ERROR_VERSION,            /* 505 */
	H1_ERROR_LINE_TOO_LONG,      /* 414 */
	H1_ERROR_HEAD_TOO_LARGE,     /* 431 */
	H1_ERROR_TOO_MANY_FIELDS,    /* 431 */
	H1_ERROR_CONNECTION_OPTION   /* 400: Connection names a field that is not hop-by-hop */
};

struct h1_limits {
	uint32_t max_line_bytes; /* request line or status line, without CRLF */
	uint32_t max_head_bytes; /* everything up to and with the empty line */
	uint32_t max_fields;
};

struct h1_parser {
	const struct h1_limits *limits;
	struct http_field *fields; /* room for limits->max_fields, the caller's */
	enum h1_error error;
	const char *detail; /* static words for the operator, set on BAD */
	/* Progress over a head that comes in pieces. */
	uint32_t line_at;   /* offset of the first line that is not read yet */
	uint32_t state;
};

void h1_parser_init(struct h1_parser *p, const struct h1_limits *limits,
                    struct http_field *fields);

/* Reads a request head from the start of `in`. On DONE *ret_head is whole (framing,
 * authority, host still with the case as sent, path not yet normalised but checked:
 * see h1_request_finish()) and *ret_used bytes were head. On MORE call again with
 * more bytes behind the same ones (they may have moved: *head is filled anew). */
enum h1_parse h1_parse_request(struct h1_parser *p, struct span in, struct http_head *head,
                               size_t *ret_used);

/* After http_head_copy(): lower-case host and normalised path, written in the
 * arena. False when the arena is exhausted or, with p->error set, the path is bad. */
bool h1_request_finish(struct http_head *head, struct arena *arena);

/* The same for a response. `method` is the request's: it decides about the framing
 * (RFC 9112 section 6.3). Interim answers (1xx) have framing NONE. */
enum h1_parse h1_parse_response(struct h1_parser *p, struct span in, enum http_method method,
                                struct http_head *head, size_t *ret_used);

/* Hop-by-hop fields (RFC 9110 section 7.6.1): those that Connection names and the
 * fixed set. Marks them out of the list in place. */
void h1_remove_hop_by_hop(struct http_fields *fields);

/* Which vector code runs: "avx2", "sse4.2" or "scalar". */
const char *h1_scan_name(void);

#endif

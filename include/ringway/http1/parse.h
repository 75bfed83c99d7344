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
	H1_ERROR_SYNTAX,           /* 400: start line, field line, bare CR or LF, obs-fold... */
	H1_ERROR_TARGET,           /* 400: request target */
	H1_ERROR_HOST,             /* 400: Host missing, repeated, malformed, not the target's */
	H1_ERROR_FRAMING,          /* 400: Content-Length and Transfer-Encoding */
	H1_ERROR_CODING,           /* 501: a transfer coding we do not know */
	H1_ERROR_METHOD,           /* 501: CONNECT */
	H1_ERROR_EXPECT,           /* 417 */
	H1_ERROR_VERSION,          /* 505 */
	H1_ERROR_LINE_TOO_LONG,    /* 414 */
	H1_ERROR_HEAD_TOO_LARGE,   /* 431 */
	H1_ERROR_TOO_MANY_FIELDS,  /* 431 */
	H1_ERROR_CONNECTION_OPTION /* 400: Connection names a field that is not hop-by-hop */
};

struct h1_limits {
	uint32_t max_line_bytes; /* request line or status line, without CRLF */
	uint32_t max_head_bytes; /* everything up to and with the empty line */
	uint32_t max_fields;
};

/* Between calls it knows lines by their offset, and the fields' spans point into the
 * bytes of the last call; the next call moves them when the bytes have moved. */
struct h1_parser {
	const struct h1_limits *limits;
	struct http_field *fields; /* room for limits->max_fields, the caller's */
	enum h1_error error;
	const char *detail; /* static words for the operator, set on BAD */

	const char *input;       /* start of the input at the last call */
	http_field_set present;  /* ids of the fields so far */
	http_field_set repeated; /* ids that came more than once */
	uint32_t fields_len;
	uint32_t line_at;   /* offset of the first line that is not read yet */
	uint32_t method_at; /* request line: 0, or 2 behind an empty line */
	uint32_t method_len;
	uint32_t target_at;
	uint32_t target_len;
	uint32_t reason_at;
	uint32_t reason_len;
	uint16_t status;
	uint8_t minor;
	uint8_t state; /* enum h1_parser_state, parse.c's */
};

void h1_parser_init(struct h1_parser *p, const struct h1_limits *limits, struct http_field *fields);

/* Reads a request head from the start of `in`. On DONE *ret_head is whole (framing,
 * authority; host still with the case as sent, path checked but not normalised: see
 * h1_request_finish()) and *ret_used bytes were head. On MORE call again with more
 * bytes behind the same ones, which may have moved meanwhile. Outputs are written on
 * DONE only. A refusal comes as early as the bytes allow it and is the same however
 * the input was cut. Method, target and the meaning of fields are judged once the
 * head is complete. */
enum h1_parse h1_parse_request(struct h1_parser *p, struct span in, struct http_head *ret_head,
			       size_t *ret_used);

/* Of a head that was parsed (and copied, when it shall outlive the input): lower-case
 * host and normalised path, written in the arena where they differ from what was
 * sent. False when the arena is exhausted. */
bool h1_request_finish(struct http_head *head, struct arena *arena);

/* The same for a response. `method` is the request's: it decides about the framing
 * (RFC 9112 section 6.3). Interim answers (1xx) have framing NONE. */
enum h1_parse h1_parse_response(struct h1_parser *p, struct span in, enum http_method method,
				struct http_head *ret_head, size_t *ret_used);

/* Hop-by-hop fields (RFC 9110 section 7.6.1): those that Connection names and the
 * fixed set, proxy authentication included. Takes them out of the list in place.
 * Trailer stays, and so do fields that a message cannot do without on its way, whatever
 * Connection says of them. */
void h1_remove_hop_by_hop(struct http_fields *fields);

/* Which vector code runs: "avx2", "sse4.2" or "scalar". */
const char *h1_scan_name(void);

#endif

/* One request or response head, the same for every protocol version.
 *
 * A parser fills it with spans into its receive buffer; http_head_copy() makes the
 * exchange's own copy, after which the buffer may go.
 */
#ifndef RINGWAY_HTTP_HEAD_H
#define RINGWAY_HTTP_HEAD_H

#include <ringway/http/field.h>

enum http_method {
	HTTP_METHOD_OTHER, /* the text says which */
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_TRACE,
	HTTP_METHOD_CONNECT
};

/* How the end of the body is found (RFC 9112 section 6.3). */
enum http_framing {
	HTTP_FRAMING_NONE,   /* no body follows, whatever the fields say */
	HTTP_FRAMING_LENGTH, /* content_length bytes, may be 0 */
	HTTP_FRAMING_CHUNKED,
	HTTP_FRAMING_CLOSE /* until the connection ends; responses only */
};

struct http_head {
	/* Requests. */
	enum http_method method;
	struct span method_text;
	struct span target;    /* as received */
	struct span scheme;    /* static "http" or "https"; ptr NULL until someone knows it: a
				  parser says it of absolute targets only */
	struct span authority; /* as sent in Host or in an absolute target */
	struct span host;  /* no port, IPv6 with brackets; lower case once the head is finished */
	uint16_t port;     /* of the authority; 0 when it names none */
	struct span path;  /* starts with '/', or "*"; normalised once the head is finished */
	bool path_dirty;   /* still to be normalised */
	struct span query; /* behind the '?'; ptr NULL when there was no '?' */

	/* Responses. */
	uint16_t status;
	struct span reason;

	/* Both. */
	struct span raw;       /* bytes that most spans above and the fields lie in, as a parser
				  leaves them: copied in one piece. May be empty. */
	uint8_t minor;         /* HTTP/1.minor as sent, above 1 counts as 1 */
	bool keep_alive;       /* what version and Connection say of reuse */
	bool expects_continue; /* Expect: 100-continue */
	bool te_trailers;      /* TE names trailers */
	enum http_framing framing;
	uint64_t content_length; /* LENGTH only; for HEAD answers and 304 what the field said,
				    with framing NONE */
	bool has_content_length;
	struct http_fields fields;
};

enum http_method http_method_of(struct span text);  /* case matters, RFC 9110 section 9.1 */
bool http_method_is_idempotent(enum http_method m); /* RFC 9110 section 9.2.2 */
/* The registered phrase, "Unknown" otherwise. */
struct span http_status_reason(uint16_t status);

/* Copies the head and all bytes that it points at into the arena; `spare` more
 * fields can be added. False when the arena is exhausted (*ret_head is untouched). */
bool http_head_copy(const struct http_head *from, struct arena *arena, uint32_t spare,
		    struct http_head *ret_head);

#endif

/* The chunked coding, both ways (RFC 9112 section 7.1).
 */
#ifndef RINGWAY_HTTP1_CHUNKED_H
#define RINGWAY_HTTP1_CHUNKED_H

#include <ringway/http1/parse.h>

enum chunked_state {
	CHUNKED_SIZE,       /* in the digits of a size line */
	CHUNKED_SIZE_SPACE, /* blanks behind the digits: an extension must follow */
	CHUNKED_EXTENSION,  /* behind the ';' of a size line */
	CHUNKED_SIZE_LF,    /* CR of the size line was read */
	CHUNKED_DATA,
	CHUNKED_DATA_CR,
	CHUNKED_DATA_LF,
	CHUNKED_TRAILER, /* behind the last chunk; the caller collects the trailer section */
	CHUNKED_DONE     /* the caller's: the trailer section was read */
};

struct chunked_decoder {
	uint64_t left;           /* data bytes of the chunk that are still to come */
	uint32_t line_bytes;     /* of the size line so far: extensions are bounded */
	uint32_t overhead_bytes; /* framing beyond what the data pays for, bounded too */
	uint8_t state;           /* enum chunked_state */
	uint8_t digits;
};

void chunked_decoder_init(struct chunked_decoder *d);

/* Takes chunk framing out of bytes[0..len) in place: data moves to the front.
 * *ret_data is how many bytes of data there are now, *ret_used how many bytes of the
 * input were consumed (all of them unless the trailer section began). DONE: the last
 * chunk's size line was read; what follows at bytes + *ret_used is the trailer section,
 * for h1_parse_trailers(). MORE: give more. BAD: malformed. */
enum h1_parse chunked_decode(struct chunked_decoder *d, char *bytes, size_t len, size_t *ret_data,
			     size_t *ret_used);

/* The trailer section up to and with its empty line, with a parser of its own or one
 * that was initialised anew. Fields land in p->fields; the same rules and limits as for
 * the fields of a head, so that a bare CRLF is DONE at once. Fields that may not stand
 * in a trailer section (http_field_allowed_in_trailer()) are left out. *ret_trailers
 * and *ret_used are written on DONE only. */
enum h1_parse h1_parse_trailers(struct h1_parser *p, struct span in,
				struct http_fields *ret_trailers, size_t *ret_used);

/* "1a2b\r\n" into out, which has 18 bytes; returns the length. */
size_t chunked_write_size(char out[static 18], uint64_t size);

#endif

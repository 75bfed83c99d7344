#include <ringway/http1/chunked.h>

#include <ringway/http/charset.h>

/* With its CR. A size line beyond this is no honest one: 16 digits and an extension or
 * two. */
#define LINE_BYTES_MAX 256

/* Framing that is not paid for by data. Each chunk may cost this much for free and
 * each byte of data pays for one more; what exceeds that adds up, and a body that
 * reaches the limit consists of extensions. */
#define CHUNK_FREE_BYTES   16
#define OVERHEAD_BYTES_MAX 16384

void chunked_decoder_init(struct chunked_decoder *d)
{
	*d = (struct chunked_decoder){.state = CHUNKED_SIZE};
}

/* The size line is over. False when there was too much of it all in all. */
static bool begin_chunk(struct chunked_decoder *d)
{
	uint64_t paid = CHUNK_FREE_BYTES + min_u64(d->left, OVERHEAD_BYTES_MAX);
	uint64_t overhead = d->overhead_bytes + d->line_bytes;

	d->overhead_bytes = overhead > paid ? (uint32_t)(overhead - paid) : 0;
	d->state = d->left ? CHUNKED_DATA : CHUNKED_TRAILER;
	d->line_bytes = 0;
	d->digits = 0;
	return d->overhead_bytes <= OVERHEAD_BYTES_MAX;
}

/* One byte of framing. False when it does not belong there. */
static bool framing_byte(struct chunked_decoder *d, char c)
{
	int digit;

	switch ((enum chunked_state)d->state) {
	case CHUNKED_SIZE:
		digit = ascii_hex(c);
		if (digit >= 0) {
			/* 2^63 - 1 at most, as for Content-Length. */
			if (d->digits == 16 || d->left > (uint64_t)INT64_MAX >> 4)
				return false;
			d->left = d->left << 4 | (uint64_t)digit;
			d->digits++;
			break;
		}
		if (!d->digits)
			return false;
		if (c == '\r')
			d->state = CHUNKED_SIZE_LF;
		else if (c == ';')
			d->state = CHUNKED_EXTENSION;
		else if (c == ' ' || c == '\t')
			d->state = CHUNKED_SIZE_SPACE;
		else
			return false;
		break;
	case CHUNKED_SIZE_SPACE:
		if (c == ';')
			d->state = CHUNKED_EXTENSION;
		else if (c != ' ' && c != '\t')
			return false;
		break;
	case CHUNKED_EXTENSION:
		if (c == '\r')
			d->state = CHUNKED_SIZE_LF;
		else if (charset_has(&charset_ctl, c))
			return false;
		break;
	case CHUNKED_SIZE_LF: return c == '\n' && begin_chunk(d);
	case CHUNKED_DATA_CR: d->state = CHUNKED_DATA_LF; return c == '\r';
	case CHUNKED_DATA_LF: d->state = CHUNKED_SIZE; return c == '\n';
	case CHUNKED_DATA:
	case CHUNKED_TRAILER:
	case CHUNKED_DONE: return false;
	}
	return ++d->line_bytes <= LINE_BYTES_MAX;
}

enum h1_parse chunked_decode(struct chunked_decoder *d, char *bytes, size_t len, size_t *ret_data,
			     size_t *ret_used)
{
	size_t at = 0, data = 0;

	while (at < len && d->state != CHUNKED_TRAILER) {
		size_t run;

		if (d->state != CHUNKED_DATA) {
			if (!framing_byte(d, bytes[at++]))
				return H1_PARSE_BAD;
			continue;
		}
		run = min_u64(d->left, len - at);
		if (data != at)
			memmove(bytes + data, bytes + at, run);
		data += run;
		at += run;
		d->left -= run;
		if (!d->left)
			d->state = CHUNKED_DATA_CR;
	}
	*ret_data = data;
	*ret_used = at;
	return d->state == CHUNKED_TRAILER ? H1_PARSE_DONE : H1_PARSE_MORE;
}

size_t chunked_write_size(char out[static 18], uint64_t size)
{
	static const char digits[] = "0123456789abcdef";
	unsigned shift = size ? (63 - (unsigned)__builtin_clzll(size)) & ~3u : 0;
	char *to = out;

	for (;; shift -= 4) {
		*to++ = digits[size >> shift & 15];
		if (!shift)
			break;
	}
	*to++ = '\r';
	*to++ = '\n';
	return (size_t)(to - out);
}

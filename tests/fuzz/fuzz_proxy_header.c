#include "fuzz.h"

#include <stdio.h>

#include <ringway/net/proxy_header.h>

#define ANY (PROXY_HEADER_V1 | PROXY_HEADER_V2)

struct outcome {
	enum proxy_header_result result;
	struct proxy_header header;
	size_t used;
	const char *detail;
};

/* In memory that ends with the bytes. */
static void read_copy(struct outcome *o, struct span in, size_t len, unsigned versions)
{
	char *copy = fuzz_copy(in.ptr, len);

	*o = (struct outcome){.used = 0};
	o->result =
		proxy_header_read(span_of(copy, len), versions, &o->header, &o->used, &o->detail);
	must((o->result == PROXY_HEADER_BAD) == (o->detail != NULL));
	must((o->result == PROXY_HEADER_DONE) == (o->used != 0));
	must(o->used <= len);
	free(copy);
}

static void must_be_the_same(const struct outcome *a, const struct outcome *b)
{
	must(a->result == b->result && a->used == b->used && a->detail == b->detail);
	must(a->header.is_local == b->header.is_local);
	must(address_eq(&a->header.source, &b->header.source));
	must(address_eq(&a->header.destination, &b->header.destination));
}

/* MORE at each beginning until the verdict, then that one; a header counts as read with
 * its last byte, and no earlier. At some bytes only: the unit test cuts at each, and here
 * many inputs matter more. */
static void cut_at_places(struct span in, unsigned versions, const struct outcome *whole)
{
	size_t limit = min_u64(in.len, PROXY_HEADER_V2_MAX + 1), step = 1 + limit / 4;
	struct outcome piece;
	bool settled = false;

	for (size_t len = 0; len <= limit; len += step) {
		read_copy(&piece, in, len, versions);
		if (piece.result == PROXY_HEADER_MORE) {
			must(!settled);
			continue;
		}
		must_be_the_same(&piece, whole);
		settled = true;
	}
	if (whole->result == PROXY_HEADER_DONE) {
		read_copy(&piece, in, whole->used - 1, versions);
		must(piece.result == PROXY_HEADER_MORE);
		read_copy(&piece, in, whole->used, versions);
		must_be_the_same(&piece, whole);
	}
	/* What is longer than any header has a verdict. */
	must(in.len <= PROXY_HEADER_V2_MAX || whole->result != PROXY_HEADER_MORE);
}

static bool is_ip(const struct address *a)
{
	return a->len && (a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
}

/* "192.0.2.1:80" or "[::1]:80" as the line has it. */
static void split(const struct address *a, char ip[static ADDRESS_TEXT_BYTES])
{
	char text[ADDRESS_TEXT_BYTES];
	const char *begin = text;

	address_text(a, text);
	*strrchr(text, ':') = '\0';
	if (*begin == '[') {
		begin++;
		*strchr(begin, ']') = '\0';
	}
	memcpy(ip, begin, strlen(begin) + 1);
}

/* What was read, written as a line, reads as the same, whichever version it came in. */
static void must_survive_the_round_trip(const struct outcome *o)
{
	char source[ADDRESS_TEXT_BYTES], destination[ADDRESS_TEXT_BYTES];
	char line[3 * ADDRESS_TEXT_BYTES];
	struct outcome again;
	int len;

	split(&o->header.source, source);
	split(&o->header.destination, destination);
	len = snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n",
		       o->header.source.sa.sa_family == AF_INET ? '4' : '6', source, destination,
		       address_port(&o->header.source), address_port(&o->header.destination));
	if (len > PROXY_HEADER_V1_MAX) /* two mapped addresses, which come in version 2 only */
		return;
	read_copy(&again, span_of(line, (size_t)len), (size_t)len, PROXY_HEADER_V1);
	must(again.result == PROXY_HEADER_DONE && again.used == (size_t)len);
	must(address_eq(&again.header.source, &o->header.source));
	must(address_eq(&again.header.destination, &o->header.destination));
}

/* The addresses of a binary header, whatever follows them, are where they are said to be. */
static void try_block(const uint8_t *data, size_t size)
{
	static const uint8_t kinds[] = {0x11, 0x12, 0x21, 0x22, 0x31, 0x32, 0x00};
	char *header;
	struct outcome o;

	if (size == 0 || size > PROXY_HEADER_V2_MAX - 16)
		return;
	header = malloc(16 + size);
	must(header);
	memcpy(header, "\r\n\r\n\0\r\nQUIT\n\x21", 13);
	header[13] = (char)kinds[data[0] % ARRAY_LEN(kinds)];
	header[14] = (char)(size >> 8);
	header[15] = (char)size;
	memcpy(header + 16, data, size);
	read_copy(&o, span_of(header, 16 + size), 16 + size, ANY);
	must(o.result != PROXY_HEADER_MORE);
	if (o.result == PROXY_HEADER_DONE) {
		must(o.used == 16 + size && o.header.is_local == !header[13]);
		must(!o.header.source.len == o.header.is_local);
		if (is_ip(&o.header.source))
			must_survive_the_round_trip(&o);
	}
	free(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of((const char *)data, size);
	struct outcome any, one[2];

	read_copy(&any, in, size, ANY);
	read_copy(&one[0], in, size, PROXY_HEADER_V1);
	read_copy(&one[1], in, size, PROXY_HEADER_V2);
	cut_at_places(in, ANY, &any);
	cut_at_places(in, PROXY_HEADER_V1, &one[0]);
	cut_at_places(in, PROXY_HEADER_V2, &one[1]);
	/* Allowing a version changes nothing for the other. */
	if (any.result == PROXY_HEADER_DONE) {
		bool is_v2 = *in.ptr == '\r';

		must_be_the_same(&any, &one[is_v2]);
		must(one[!is_v2].result == PROXY_HEADER_BAD);
		must(any.header.is_local == !any.header.source.len);
		if (is_ip(&any.header.source))
			must_survive_the_round_trip(&any);
	} else {
		must(one[0].result != PROXY_HEADER_DONE && one[1].result != PROXY_HEADER_DONE);
	}
	try_block(data, size);
	return 0;
}

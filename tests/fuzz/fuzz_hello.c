#include "fuzz.h"

#include <ringway/tls/hello.h>

/* In memory that ends with the bytes. */
static enum tls_hello_result read_copy(struct span in, size_t len, struct tls_hello *ret)
{
	char *copy = fuzz_copy(in.ptr, len);
	enum tls_hello_result result = tls_hello_read(span_of(copy, len), ret);

	free(copy);
	return result;
}

static void must_be_sound(enum tls_hello_result result, const struct tls_hello *h)
{
	const char *at = h->server_name;

	if (result == TLS_HELLO_BAD) {
		must(h->cause == ACCESS_TLS_BAD_HELLO
			     ? h->alert
			     : h->cause == ACCESS_TLS_VERSION ||
				       (!h->alert && (h->cause == ACCESS_TLS_GARBAGE ||
						      h->cause == ACCESS_TLS_PLAIN_HTTP)));
		must(!*at && !h->has_alpn && !h->offers_tls13 && !h->accepts_rsa);
		return;
	}
	must(h->cause == ACCESS_OK && !h->alert);
	must(strnlen(at, sizeof(h->server_name)) < sizeof(h->server_name) - 1);
	must(*at != '.' && !span_ends_with(span_str(at), SPAN(".")) && !strstr(at, ".."));
	for (; *at; at++)
		must(*at > ' ' && *at < 0x7f && !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ*:/[]@%", *at));
	must(h->has_alpn || (!h->alpn_http11 && !h->alpn_h2));
	must(h->offers_tls13 || h->offers_tls12 || (!h->accepts_ecdsa && !h->accepts_rsa));
}

static void must_be_the_same(const struct tls_hello *a, const struct tls_hello *b)
{
	must(strcmp(a->server_name, b->server_name) == 0);
	must(a->offers_tls13 == b->offers_tls13 && a->offers_tls12 == b->offers_tls12);
	must(a->offers_older == b->offers_older && a->has_ticket_or_psk == b->has_ticket_or_psk);
	must(a->accepts_ecdsa == b->accepts_ecdsa && a->accepts_rsa == b->accepts_rsa);
	must(a->has_alpn == b->has_alpn && a->alpn_http11 == b->alpn_http11);
	must(a->alpn_h2 == b->alpn_h2 && a->cause == b->cause && a->alert == b->alert);
}

/* MORE at each beginning until the verdict, then that one. Returns where it came. */
static size_t cut_at_places(struct span in, enum tls_hello_result whole,
			     const struct tls_hello *hello)
{
	/* At some bytes only: the unit test cuts at each, and here many inputs matter more. */
	size_t settled = SIZE_MAX, step = 1 + in.len / 8;

	for (size_t len = 0; len <= in.len; len += step) {
		struct tls_hello piece;
		enum tls_hello_result result = read_copy(in, len, &piece);

		must(result == TLS_HELLO_MORE ? settled == SIZE_MAX : result == whole);
		if (result == TLS_HELLO_MORE)
			continue;
		must_be_the_same(&piece, hello);
		if (settled == SIZE_MAX)
			settled = len;
	}
	return settled;
}

/* The same message in records of another size says the same, and so it does joined again. */
static void cut_records(struct span message, size_t payload, enum tls_hello_result whole,
			const struct tls_hello *hello)
{
	size_t records = (message.len + payload - 1) / payload, len = 0;
	char *out = malloc(message.len + 5 * records + 1);
	struct tls_hello again;

	must(out);
	for (size_t at = 0; at < message.len; at += payload) {
		size_t bytes = min_u64(payload, message.len - at);
		const char header[] = {0x16, 3, (char)at, (char)(bytes >> 8), (char)bytes};

		memcpy(out + len, header, sizeof(header));
		memcpy(out + len + sizeof(header), message.ptr + at, bytes);
		len += sizeof(header) + bytes;
	}
	must(tls_hello_read(span_of(out, len), &again) == whole);
	must_be_the_same(&again, hello);
	if (whole == TLS_HELLO_DONE) {
		must(tls_hello_join(out, len) == 5 + message.len);
		must(memcmp(out + 5, message.ptr, message.len) == 0);
		must(tls_hello_read(span_of(out, 5 + message.len), &again) == TLS_HELLO_DONE);
		must_be_the_same(&again, hello);
	}
	free(out);
}

/* The input as what stands behind a message's header, sound up to there. */
static void try_message(const uint8_t *data, size_t size)
{
	size_t len = 4 + size;
	const char header[] = {
		0x16, 3, 1, (char)(len >> 8), (char)len, 1, 0, (char)(size >> 8), (char)size};
	const size_t payloads[] = {1, 3, 64, 1000};
	struct tls_hello hello;
	enum tls_hello_result result;
	char *record;

	if (len > TLS_HELLO_MAX)
		return;
	record = malloc(sizeof(header) + size);
	must(record);
	memcpy(record, header, sizeof(header));
	if (size)
		memcpy(record + sizeof(header), data, size);
	result = read_copy(span_of(record, sizeof(header) + size), sizeof(header) + size, &hello);
	must(result != TLS_HELLO_MORE);
	must_be_sound(result, &hello);
	/* Nothing of the message is judged before it is whole. */
	must(read_copy(span_of(record, sizeof(header) + size), sizeof(header) + size - 1,
		       &(struct tls_hello){.alert = 0}) == TLS_HELLO_MORE);
	for (size_t i = 0; i < ARRAY_LEN(payloads); i++)
		if (len / payloads[i] < TLS_HELLO_RECORDS_MAX)
			cut_records(span_of(record + 5, len), payloads[i], result, &hello);
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of((const char *)data, size);
	struct tls_hello hello;
	enum tls_hello_result result = read_copy(in, size, &hello);
	size_t settled;

	if (result != TLS_HELLO_MORE)
		must_be_sound(result, &hello);
	settled = cut_at_places(in, result, &hello);
	must(result == TLS_HELLO_MORE ? settled == SIZE_MAX : size >= 8 || settled <= size);
	try_message(data, size);
	return 0;
}

#include <ringway/policy/limit_key.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <ringway/config/config.h>

#define MAPPED_BYTES 12 /* in front of an IPv4 address in mapped form */

/* ---- bytes ---- */

static struct span text_of(const struct config_limit_key *k, const struct attributes *a)
{
	switch (k->part) {
	case CONFIG_LIMIT_HEADER:
		return attribute_get(a, ATTRIBUTE_HEADER, span_str(k->header));
	case CONFIG_LIMIT_SERVICE:
	case CONFIG_LIMIT_ROUTE: return a->service;
	default: return SPAN_NONE;
	}
}

/* Room for the part at the most. */
static size_t part_room(const struct config_limit_key *k, const struct attributes *a)
{
	switch (k->part) {
	case CONFIG_LIMIT_IP: return 1 + 16;
	case CONFIG_LIMIT_HEADER:
	case CONFIG_LIMIT_SERVICE: return 2 + text_of(k, a).len;
	case CONFIG_LIMIT_ROUTE: return 2 + a->service.len + 1 + a->route.len;
	case CONFIG_LIMIT_GLOBAL: return 0;
	}
	return 0;
}

static char *put_ip(char *at, const uint8_t *mapped, const struct config_limit_key *k)
{
	bool v4;
	unsigned bits, len;

	if (!mapped) {
		*at++ = 0;
		return at;
	}
	v4 = address_is_mapped(mapped);
	len = v4 ? 4 : 16;
	bits = v4 ? k->prefix4 : k->prefix6;
	*at++ = (char)len;
	memset(at, 0, len);
	memcpy(at, mapped + 16 - len, bits / 8);
	if (bits % 8)
		at[bits / 8] = (char)(mapped[16 - len + bits / 8] & (0xff00 >> bits % 8));
	return at + len;
}

static char *put_text(char *at, struct span s)
{
	*at++ = (char)(s.len >> 8);
	*at++ = (char)s.len;
	if (s.len)
		memcpy(at, s.ptr, s.len);
	return at + s.len;
}

static char *put_route(char *at, const struct attributes *a)
{
	size_t len = a->service.len + 1 + a->route.len;

	*at++ = (char)(len >> 8);
	*at++ = (char)len;
	memcpy(at, a->service.ptr, a->service.len);
	at += a->service.len;
	*at++ = '/';
	memcpy(at, a->route.ptr, a->route.len);
	return at + a->route.len;
}

static char *room_for(struct limit_key *key, struct arena *arena, size_t bytes)
{
	return bytes <= sizeof(key->own) ? key->own : arena_text(arena, bytes);
}

bool limit_key_of(const struct config_limit *limit, const struct attributes *a,
		  struct arena *arena, struct limit_key *ret_key)
{
	size_t room = 0;
	char *begin, *at;

	for (size_t i = 0; i < limit->keys_len; i++)
		room += part_room(&limit->keys[i], a);
	begin = at = room_for(ret_key, arena, room);
	if (!begin)
		return false;
	for (size_t i = 0; i < limit->keys_len; i++) {
		const struct config_limit_key *k = &limit->keys[i];

		switch (k->part) {
		case CONFIG_LIMIT_IP: at = put_ip(at, a->counted_ip, k); break;
		case CONFIG_LIMIT_HEADER:
		case CONFIG_LIMIT_SERVICE: at = put_text(at, text_of(k, a)); break;
		case CONFIG_LIMIT_ROUTE: at = put_route(at, a); break;
		case CONFIG_LIMIT_GLOBAL: break;
		}
	}
	ret_key->bytes = span_of(begin, (size_t)(at - begin));
	return true;
}

/* ---- words ---- */

struct cursor {
	char *out;
	size_t size, len;
};

static void say(struct cursor *c, struct span s)
{
	for (size_t i = 0; i < s.len && c->len + 1 < c->size; i++) {
		unsigned char byte = (unsigned char)s.ptr[i];

		c->out[c->len++] = byte < 0x20 || byte == 0x7f ? '?' : (char)byte;
	}
	c->out[c->len] = '\0';
}

static struct span say_ip(struct cursor *c, struct span bytes, const struct config_limit_key *k)
{
	size_t len = bytes.len ? (size_t)(unsigned char)bytes.ptr[0] : 0;
	unsigned bits = len == 4 ? k->prefix4 : k->prefix6;
	char text[INET6_ADDRSTRLEN + 8];

	if ((len != 4 && len != 16) || bytes.len < 1 + len) {
		say(c, len ? SPAN("?") : SPAN("none"));
		return len ? SPAN_NONE : span_of(bytes.ptr + 1, bytes.len ? bytes.len - 1 : 0);
	}
	inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes.ptr + 1, text, sizeof(text));
	if (bits < len * 8)
		snprintf(text + strlen(text), 8, "/%u", bits);
	say(c, span_str(text));
	return span_of(bytes.ptr + 1 + len, bytes.len - 1 - len);
}

static struct span say_text(struct cursor *c, struct span bytes)
{
	size_t len;

	if (bytes.len < 2) {
		say(c, SPAN("?"));
		return SPAN_NONE;
	}
	len = (size_t)(unsigned char)bytes.ptr[0] << 8 | (unsigned char)bytes.ptr[1];
	bytes = span_of(bytes.ptr + 2, bytes.len - 2);
	if (len > bytes.len) { /* it was cut */
		say(c, bytes);
		say(c, SPAN("..."));
		return SPAN_NONE;
	}
	say(c, span_of(bytes.ptr, len));
	return span_of(bytes.ptr + len, bytes.len - len);
}

/* "ip=", "header:x-user=", "global" */
static size_t prefix_of(const struct config_limit_key *k, char out[static 300])
{
	switch (k->part) {
	case CONFIG_LIMIT_IP: return (size_t)snprintf(out, 300, "ip=");
	case CONFIG_LIMIT_HEADER: return (size_t)snprintf(out, 300, "header:%.256s=", k->header);
	case CONFIG_LIMIT_ROUTE: return (size_t)snprintf(out, 300, "route=");
	case CONFIG_LIMIT_SERVICE: return (size_t)snprintf(out, 300, "service=");
	case CONFIG_LIMIT_GLOBAL: return (size_t)snprintf(out, 300, "global");
	}
	return 0;
}

size_t limit_key_text(const struct config_limit *limit, struct span bytes, char *out, size_t size)
{
	struct cursor c = {.out = out, .size = size};
	char prefix[300];

	must(size);
	out[0] = '\0';
	for (size_t i = 0; i < limit->keys_len; i++) {
		const struct config_limit_key *k = &limit->keys[i];

		if (i)
			say(&c, SPAN(","));
		say(&c, span_of(prefix, prefix_of(k, prefix)));
		if (k->part == CONFIG_LIMIT_IP)
			bytes = say_ip(&c, bytes, k);
		else if (k->part != CONFIG_LIMIT_GLOBAL)
			bytes = say_text(&c, bytes);
	}
	return c.len;
}

/* ---- words back into bytes ---- */

static char *put_ip_text(char *at, struct span value, const struct config_limit_key *k)
{
	const char *slash = value.len ? memchr(value.ptr, '/', value.len) : NULL;
	struct span ip = slash ? span_of(value.ptr, (size_t)(slash - value.ptr)) : value;
	uint8_t mapped[16];
	struct address a;
	uint64_t bits;

	if (span_eq(value, SPAN("none")))
		return put_ip(at, NULL, k);
	if (!address_from_ip(ip, 0, &a) || !address_mapped_bytes(&a, mapped))
		return NULL;
	/* Only as it is shown: another prefix is another question. */
	if (slash && (!span_to_u64(span_of(slash + 1, value.len - ip.len - 1), &bits) ||
		      bits != (address_is_mapped(mapped) ? k->prefix4 : k->prefix6)))
		return NULL;
	return put_ip(at, mapped, k);
}

/* The value of part i, which ends where the next part's words begin. */
static struct span value_of(const struct config_limit *limit, size_t i, struct span *rest)
{
	struct span value = *rest;
	char next[301] = ",";
	size_t len;
	char *end;

	if (i + 1 == limit->keys_len) {
		*rest = SPAN_NONE;
		return value;
	}
	len = 1 + prefix_of(&limit->keys[i + 1], next + 1);
	end = value.len ? memmem(value.ptr, value.len, next, len) : NULL;
	if (!end)
		return SPAN_NONE;
	value.len = (size_t)(end - value.ptr);
	*rest = span_of(end + 1, rest->len - value.len - 1);
	return value;
}

bool limit_key_from_text(const struct config_limit *limit, struct span text, struct arena *arena,
			 struct limit_key *ret_key)
{
	char *begin = room_for(ret_key, arena, text.len + 19 * CONFIG_LIMIT_KEYS_MAX);
	char *at = begin;
	char prefix[300];

	if (!begin || text.len > UINT16_MAX)
		return false;
	for (size_t i = 0; i < limit->keys_len; i++) {
		const struct config_limit_key *k = &limit->keys[i];
		struct span words = span_of(prefix, prefix_of(k, prefix));
		struct span value;

		if (span_starts_with(text, words))
			text = span_of(text.ptr + words.len, text.len - words.len);
		else if (limit->keys_len > 1 || k->part == CONFIG_LIMIT_GLOBAL)
			return false;
		value = value_of(limit, i, &text);
		if (k->part == CONFIG_LIMIT_IP)
			at = put_ip_text(at, value, k);
		else if (k->part != CONFIG_LIMIT_GLOBAL)
			at = value.ptr ? put_text(at, value) : NULL;
		else if (value.len)
			return false;
		if (!at)
			return false;
	}
	ret_key->bytes = span_of(begin, (size_t)(at - begin));
	return true;
}

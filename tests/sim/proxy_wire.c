#include "proxy_wire.h"

#include <stdlib.h>

#include <ringway/base/base.h>

void wire_init(struct wire *w)
{
	w->state = WIRE_HEAD;
	w->head_len = 0;
	w->trailers_len = 0;
	w->body_len = 0;
}

bool wire_is_inside(const struct wire *w)
{
	return w->state != WIRE_HEAD || w->head_len;
}

struct span wire_field(const struct wire *w, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = strstr(w->head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
			const char *value = line + len + 1;

			return span_trim(span_of(value, (size_t)(strstr(value, "\r\n") - value)));
		}
	}
	return SPAN_NONE;
}

bool wire_field_is(const struct wire *w, const char *name, const char *value)
{
	return span_ieq(wire_field(w, name), span_str(value)) && wire_field(w, name).ptr;
}

bool wire_bytes_match(uint64_t key, uint64_t at, struct span bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.ptr[i] != wire_byte(key, at + i))
			return false;
	return true;
}

static void end_message(struct wire *w)
{
	if (w->on_end)
		w->on_end(w);
	wire_init(w);
}

static bool begin_body(struct wire *w)
{
	bool is_answer = strncmp(w->head, "HTTP/", 5) == 0;
	bool is_interim = is_answer && w->head[9] == '1';
	struct span length = wire_field(w, "Content-Length");
	bool is_bodiless = w->on_head && w->on_head(w);

	w->framing = is_answer ? WIRE_CLOSE : WIRE_NONE;
	w->left = 0;
	if (wire_field(w, "Transfer-Encoding").ptr) {
		if (!wire_field_is(w, "Transfer-Encoding", "chunked") || length.ptr)
			return false;
		w->framing = WIRE_CHUNKED;
	} else if (length.ptr) {
		if (!span_to_u64(length, &w->left))
			return false;
		w->framing = WIRE_LENGTH;
	}
	if (is_bodiless || is_interim)
		w->framing = WIRE_NONE;
	if (is_interim) {
		w->head_len = 0;
		return true;
	}
	switch (w->framing) {
	case WIRE_NONE: end_message(w); break;
	case WIRE_LENGTH:
		w->state = WIRE_BODY;
		if (!w->left)
			end_message(w);
		break;
	case WIRE_CHUNKED: w->state = WIRE_SIZE; break;
	case WIRE_CLOSE: w->state = WIRE_BODY; break;
	}
	return true;
}

/* Up to the end of a line; true when it is whole. */
static bool take_line(struct wire *w, char c)
{
	if (w->trailers_len + 1 < sizeof(w->trailers))
		w->trailers[w->trailers_len++] = c;
	w->trailers[w->trailers_len] = '\0';
	return c == '\n';
}

static bool framing_byte(struct wire *w, char c)
{
	char *rest;

	switch (w->state) {
	case WIRE_HEAD:
		if (w->head_len + 1 == sizeof(w->head))
			return false;
		w->head[w->head_len++] = c;
		w->head[w->head_len] = '\0';
		if (w->head_len >= 4 && memcmp(w->head + w->head_len - 4, "\r\n\r\n", 4) == 0)
			return begin_body(w);
		return true;
	case WIRE_SIZE:
		if (!take_line(w, c))
			return true;
		w->left = strtoull(w->trailers, &rest, 16);
		if (rest == w->trailers || strcmp(rest, "\r\n") != 0)
			return false;
		w->trailers_len = 0;
		w->trailers[0] = '\0';
		w->line_at = 0;
		w->state = w->left ? WIRE_DATA : WIRE_TRAILERS;
		return true;
	case WIRE_DATA_END:
		if (take_line(w, c)) {
			if (strcmp(w->trailers, "\r\n") != 0)
				return false;
			w->trailers_len = 0;
			w->state = WIRE_SIZE;
		}
		return true;
	case WIRE_TRAILERS:
		if (take_line(w, c)) {
			if (strcmp(w->trailers + w->line_at, "\r\n") == 0)
				end_message(w);
			else
				w->line_at = w->trailers_len;
		}
		return true;
	case WIRE_BODY:
	case WIRE_DATA: break;
	}
	return false;
}

static size_t take_data(struct wire *w, struct span bytes)
{
	size_t n = bytes.len;

	if (w->framing != WIRE_CLOSE)
		n = min_u64(n, w->left);
	if (w->on_body)
		w->on_body(w, span_of(bytes.ptr, n));
	w->body_len += n;
	if (w->framing == WIRE_CLOSE)
		return n;
	w->left -= n;
	if (!w->left && w->framing == WIRE_LENGTH)
		end_message(w);
	else if (!w->left)
		w->state = WIRE_DATA_END;
	return n;
}

bool wire_feed(struct wire *w, struct span bytes)
{
	size_t at = 0;

	while (at < bytes.len) {
		if (w->state == WIRE_BODY || w->state == WIRE_DATA)
			at += take_data(w, span_of(bytes.ptr + at, bytes.len - at));
		else if (!framing_byte(w, bytes.ptr[at++]))
			return false;
	}
	return true;
}

bool wire_end(struct wire *w)
{
	if (w->state == WIRE_BODY && w->framing == WIRE_CLOSE)
		end_message(w);
	return !wire_is_inside(w);
}

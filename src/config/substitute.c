#include "substitute.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* How long one that writes a pipe may think: `ringway run <(generate)`. */
#define READ_WAIT_MS 5000

/* Escapes and folding never make or hide a `$` (other than "\x24", then the value's
 * own place must do), so the nth of the value is the nth between its bytes. */
static struct source_range place_of_dollar(const struct yaml_node *n, size_t nth, size_t width)
{
	struct span text = n->at.source->text;
	size_t in_value = 0, in_file = 0, found = n->at.at;

	for (size_t i = 0; i < n->text.len; i++)
		in_value += n->text.ptr[i] == '$';
	for (size_t i = n->at.at; i < n->at.end; i++)
		if (text.ptr[i] == '$' && in_file++ == nth)
			found = i;
	if (in_value != in_file)
		return n->at;
	return (struct source_range){n->at.source, found, min_u64(found + width, text.len)};
}

static bool is_name(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = ascii_lower(s.ptr[i]);

		if (!(c >= 'a' && c <= 'z') && c != '_' && (!i || c < '0' || c > '9'))
			return false;
	}
	return s.len > 0;
}

/* Relative to the directory of the file that names it. */
const char *path_beside(struct loader *l, const struct source *beside, struct span path)
{
	const char *slash = strrchr(beside->path, '/');

	if (!slash || span_starts_with(path, SPAN("/")))
		return arena_str(&l->scratch, path);
	return arena_printf(&l->scratch, "%.*s/%.*s", (int)(slash - beside->path), beside->path,
			    SPAN_FMT(path))
		.ptr;
}

int read_file(struct arena *arena, const char *path, size_t max, struct span *ret_text)
{
	/* Pages that stay unread cost nothing. */
	char *text = arena_text(arena, max + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t len = 0;
	ssize_t n;
	int err = 0;

	if (fd < 0)
		return -errno;
	do {
		/* A FIFO that nobody writes to would hold a reload for ever. */
		if (poll(&p, 1, READ_WAIT_MS) == 0) {
			errno = ETIMEDOUT;
			n = -1;
			break;
		}
		n = read(fd, text + len, max + 1 - len);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 && len <= max);
	if (n < 0)
		err = -errno;
	else if (len > max)
		err = -EFBIG;
	else
		*ret_text = span_of(text, len);
	close(fd);
	return err;
}

/* NULL, or what is wrong. */
static const char *file_value(struct loader *l, const struct yaml_node *n, struct span path,
			      struct span *ret_value)
{
	const char *name;
	int err;

	if (l->isolated)
		return "a file cannot be read here";
	if (!path.len)
		return "a path is missing: ${file:/path}";
	name = path_beside(l, n->at.source, path);
	err = read_file(&l->scratch, name, SUBSTITUTE_FILE_MAX, ret_value);
	if (err == -EFBIG)
		return "the file is bigger than 64 KiB";
	if (err)
		return arena_printf(&l->scratch, "cannot read %s: %s", name, strerror(-err)).ptr;
	if (ret_value->len && memchr(ret_value->ptr, '\0', ret_value->len))
		return "the file has a zero byte in it";
	if (ret_value->len && ret_value->ptr[ret_value->len - 1] == '\n')
		ret_value->len--;
	if (ret_value->len && ret_value->ptr[ret_value->len - 1] == '\r')
		ret_value->len--;
	return NULL;
}

/* What stands between ${ and }. NULL, or what is wrong. */
static const char *reference_value(struct loader *l, const struct yaml_node *n, struct span inner,
				   struct span *ret_value)
{
	const char *dash = inner.len ? memmem(inner.ptr, inner.len, ":-", 2) : NULL;
	struct span name = inner;
	const char *value;

	if (span_starts_with(inner, SPAN("file:")))
		return file_value(l, n, span_of(inner.ptr + 5, inner.len - 5), ret_value);
	if (dash)
		name.len = (size_t)(dash - inner.ptr);
	if (!is_name(name))
		return "write ${VAR}, ${VAR:-default} or ${file:/path}; $$ is a dollar";
	value = getenv(arena_str(&l->scratch, name));
	/* As in a shell, `:-` also stands in for an empty value. */
	if (dash && (!value || !*value))
		*ret_value = span_of(dash + 2, inner.len - name.len - 2);
	else if (value)
		*ret_value = span_str(value);
	else
		return arena_printf(&l->scratch,
				    "environment variable %.*s is not set and has no default",
				    SPAN_FMT(name))
			.ptr;
	return NULL;
}

struct text {
	char *ptr;
	size_t len;
	size_t cap;
};

static void append(struct loader *l, struct text *out, struct span more)
{
	if (out->cap - out->len <= more.len) {
		char *grown;

		out->cap = (out->len + more.len + 1) * 2;
		grown = arena_text(&l->scratch, out->cap);
		if (out->len)
			memcpy(grown, out->ptr, out->len);
		out->ptr = grown;
	}
	if (more.len)
		memcpy(out->ptr + out->len, more.ptr, more.len);
	out->len += more.len;
	out->ptr[out->len] = '\0';
}

/* One `$` at the front of `rest`: its value, and how many bytes it took. */
static const char *dollar_value(struct loader *l, const struct yaml_node *n, struct span rest,
				struct span *ret_value, size_t *ret_len)
{
	const char *close;

	*ret_len = rest.len > 1 ? 2 : 1;
	if (rest.len > 1 && rest.ptr[1] == '$') {
		*ret_value = SPAN("$");
		return NULL;
	}
	if (rest.len < 2 || rest.ptr[1] != '{')
		return "a dollar alone; write $$ for the dollar itself";
	close = memchr(rest.ptr, '}', rest.len);
	if (!close)
		return "this ${ is not closed";
	*ret_len = (size_t)(close - rest.ptr) + 1;
	return reference_value(l, n, span_of(rest.ptr + 2, *ret_len - 3), ret_value);
}

bool substitute(struct loader *l, const struct yaml_node *n, struct span *ret_text)
{
	struct span rest = n->text;
	struct text out = {0};
	size_t dollars = 0;
	bool good = true;

	append(l, &out, SPAN(""));
	if (rest.len && memchr(rest.ptr, '\0', rest.len)) {
		say_error(l, n, "a zero byte cannot be part of a value");
		return false;
	}

	while (rest.len) {
		const char *at = memchr(rest.ptr, '$', rest.len);
		size_t plain = at ? (size_t)(at - rest.ptr) : rest.len, taken = 0;
		struct span value = SPAN("");
		const char *error;

		append(l, &out, span_of(rest.ptr, plain));
		rest = span_of(rest.ptr + plain, rest.len - plain);
		if (!rest.len)
			break;
		error = dollar_value(l, n, rest, &value, &taken);
		if (error) {
			say(l, CONFIG_ERROR, place_of_dollar(n, dollars, taken), l->path.ptr, "%s",
			    error);
			good = false;
		}
		append(l, &out, value);
		for (size_t i = 0; i < taken; i++)
			dollars += rest.ptr[i] == '$';
		rest = span_of(rest.ptr + taken, rest.len - taken);
	}
	*ret_text = span_of(out.ptr, out.len);
	return good;
}

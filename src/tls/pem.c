#include "pem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/coding.h>

void voice_say(struct voice *v, enum config_severity severity, const char *message, ...)
{
	char text[1024];
	va_list args;

	va_start(args, message);
	vsnprintf(text, sizeof(text), message, args);
	va_end(args);
	if (severity == CONFIG_ERROR)
		v->errors++;
	v->findings->say(v->findings, severity, v->file, v->path, text);
}

static int read_all(int fd, size_t max, struct span *ret_text)
{
	char *text = malloc(max + 1);
	size_t len = 0;
	ssize_t n = 1;
	int err;

	if (!text)
		return -ENOMEM;
	while (n > 0 && len <= max) {
		n = read(fd, text + len, max + 1 - len);
		if (n > 0)
			len += (size_t)n;
	}
	err = n < 0 ? -errno : len > max ? -EFBIG : 0;
	if (err) {
		explicit_bzero(text, len);
		free(text);
		return err;
	}
	*ret_text = span_of(text, len);
	return 0;
}

int pem_file_read(struct voice *v, size_t max, struct pem_file *ret_file)
{
	/* Opening a FIFO that nobody writes to would hold a reload for ever. */
	int fd = open(v->file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct pem_file f = {.text = SPAN_NONE};
	struct stat st;
	int err = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		err = -errno;
	else if (S_ISDIR(st.st_mode))
		err = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else
		err = read_all(fd, max, &f.text);
	if (fd >= 0)
		close(fd);
	if (err == -EISDIR)
		voice_say(v, CONFIG_ERROR, "is a directory");
	else if (err == -EINVAL)
		voice_say(v, CONFIG_ERROR, "is not a regular file");
	else if (err == -EFBIG)
		voice_say(v, CONFIG_ERROR,
			  "is bigger than %zu KiB: it is another file than it "
			  "should be",
			  max / KIB);
	else if (err)
		voice_say(v, CONFIG_ERROR, "cannot be read: %s", strerror(-err));
	if (err)
		return err;
	if (!f.text.len) {
		pem_file_fini(&f);
		voice_say(v, CONFIG_ERROR, "is empty");
		return -ENODATA;
	}
	f.mode = st.st_mode & 07777;
	*ret_file = f;
	return 0;
}

void pem_file_fini(struct pem_file *f)
{
	char *text = (char *)(uintptr_t)f->text.ptr;

	if (text)
		explicit_bzero(text, f->text.len);
	free(text);
	f->text = SPAN_NONE;
}

struct pem_cursor pem_begin(struct span file)
{
	return (struct pem_cursor){.file = file};
}

/* Without its end; false at the end of the file. */
static bool next_line(struct pem_cursor *c, struct span *ret_line)
{
	const char *from = c->file.ptr + c->at, *end;
	size_t left = c->file.len - c->at;

	if (!left)
		return false;
	end = memchr(from, '\n', left);
	*ret_line = span_of(from, end ? (size_t)(end - from) : left);
	c->at += ret_line->len + !!end;
	c->line++;
	while (ret_line->len && strchr(" \t\r", ret_line->ptr[ret_line->len - 1]))
		ret_line->len--;
	return true;
}

/* The label of an encapsulation boundary, RFC 7468 section 2. */
static bool boundary(struct span line, struct span prefix, struct span *ret_label)
{
	if (!span_starts_with(line, prefix) || !span_ends_with(line, SPAN("-----")) ||
	    line.len < prefix.len + 5)
		return false;
	*ret_label = span_of(line.ptr + prefix.len, line.len - prefix.len - 5);
	return true;
}

bool pem_next(struct pem_cursor *c, struct pem_block *ret_block)
{
	struct pem_block b = {.label = SPAN_NONE};
	struct span line, label;

	do {
		if (!next_line(c, &line))
			return false;
	} while (!boundary(line, SPAN("-----BEGIN "), &b.label));
	b.line = c->line;
	b.text = line;
	while (next_line(c, &line)) {
		if (!boundary(line, SPAN("-----END "), &label))
			continue;
		b.text.len = (size_t)(line.ptr + line.len - b.text.ptr);
		b.is_cut = !span_eq(label, b.label);
		*ret_block = b;
		return true;
	}
	b.text.len = (size_t)(c->file.ptr + c->file.len - b.text.ptr);
	b.is_cut = true;
	*ret_block = b;
	return true;
}

uint8_t *pem_decode(const struct pem_block *b, size_t *ret_len)
{
	struct pem_cursor c = pem_begin(b->text);
	struct span first, line, body;
	uint8_t *out = malloc(b->text.len);
	word32 len = (word32)b->text.len;

	if (!out || b->is_cut || !next_line(&c, &first))
		goto fail;
	body = span_of(b->text.ptr + c.at, 0);
	while (next_line(&c, &line) && !span_starts_with(line, SPAN("-----")))
		body.len = c.at - (size_t)(body.ptr - b->text.ptr);
	if (!body.len || Base64_Decode((const byte *)body.ptr, (word32)body.len, out, &len) != 0 ||
	    !len)
		goto fail;
	*ret_len = len;
	return out;
fail:
	free(out);
	return NULL;
}

const char *pem_found(struct span file, char out[static PEM_FOUND_BYTES])
{
	struct pem_cursor c = pem_begin(file);
	struct pem_block b;
	size_t len = 0, blocks = 0;

	if (file.len > 1 && (uint8_t)file.ptr[0] == 0x30) {
		snprintf(out, PEM_FOUND_BYTES, "it is DER, not PEM: convert it with openssl");
		return out;
	}
	while (pem_next(&c, &b) && blocks < 3) {
		len += (size_t)snprintf(out + len, PEM_FOUND_BYTES - len, "%s`%.*s`",
					blocks ? ", " : "found ",
					b.label.len > 40 ? 40 : (int)b.label.len, b.label.ptr);
		blocks++;
	}
	if (!blocks)
		snprintf(out, PEM_FOUND_BYTES, "it has no line that starts with -----BEGIN");
	return out;
}

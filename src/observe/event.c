#include <ringway/observe/event.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "line.h"

/* Long enough for a path and a reason; longer words end in "...". */
#define WORDS_BYTES_MAX 1024
/* How long an event waits for standard error to take it. */
#define WAIT_MS 100

static _Atomic int lowest = LOG_LEVEL_INFO;
static _Atomic int line_format = LOG_FORMAT_TEXT;

static const struct {
	struct span name;
	struct span column;
} levels[] = {
	[LOG_LEVEL_DEBUG] = {{"debug", 5}, {" debug ", 7}},
	[LOG_LEVEL_INFO] = {{"info", 4}, {" info  ", 7}},
	[LOG_LEVEL_WARN] = {{"warn", 4}, {" warn  ", 7}},
	[LOG_LEVEL_ERROR] = {{"error", 5}, {" error ", 7}},
};

void event_set_level(enum log_level level)
{
	atomic_store_explicit(&lowest, (int)level, memory_order_relaxed);
}

void event_set_format(enum log_format format)
{
	atomic_store_explicit(&line_format, (int)format, memory_order_relaxed);
}

static void put_text(struct line *l, enum log_level level, struct span words)
{
	line_put(l, levels[level].column);
	line_put_escaped(l, words, LINE_PLAIN);
	line_put_literal(l, "\n");
}

static void put_json(struct line *l, enum log_level level, struct span words)
{
	line_put_literal(l, "\",\"level\":\"");
	line_put(l, levels[level].name);
	line_put_literal(l, "\",\"message\":\"");
	line_put_escaped(l, words, LINE_JSON);
	line_put_literal(l, "\"}\n");
}

PRINTF(2, 0)
static struct span format_words(char words[static WORDS_BYTES_MAX], const char *fmt, va_list args)
{
	int len = vsnprintf(words, WORDS_BYTES_MAX, fmt, args);

	if (len < 0)
		return SPAN("(an event whose words could not be written)");
	if (len < WORDS_BYTES_MAX)
		return span_of(words, (size_t)len);
	memcpy(words + WORDS_BYTES_MAX - 4, "...", 3);
	return span_of(words, WORDS_BYTES_MAX - 1);
}

/* A pipe that nobody reads must not stop the control shard: what does not go out in time
 * is lost, and those after it do not wait again. */
static bool is_writable(void)
{
	static _Atomic bool stuck;
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	int ready;

	do
		ready = poll(&p, 1, atomic_load(&stuck) ? 0 : WAIT_MS);
	while (ready < 0 && errno == EINTR);
	atomic_store(&stuck, ready == 0);
	return ready > 0;
}

/* A failure here has nobody left to be told to. */
static void put_line(const char *bytes, size_t len)
{
	while (len && is_writable()) {
		/* Where poll() says that a pipe is writable, PIPE_BUF bytes never block; most
		 * lines are shorter and stay in one piece. */
		ssize_t n = write(STDERR_FILENO, bytes, min_u64(len, PIPE_BUF));

		if (n < 0 && errno != EINTR)
			return;
		bytes += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
}

void event_log(enum log_level level, const char *fmt, ...)
{
	char bytes[WORDS_BYTES_MAX * LINE_ESCAPED_BYTES + 128], words[WORDS_BYTES_MAX];
	struct line l = {bytes, bytes + sizeof(bytes)};
	int saved = errno;
	struct timespec now;
	struct span text;
	va_list args;

	if ((int)level < atomic_load_explicit(&lowest, memory_order_relaxed))
		return;
	va_start(args, fmt);
	text = format_words(words, fmt, args);
	va_end(args);
	clock_gettime(CLOCK_REALTIME, &now);
	if (atomic_load_explicit(&line_format, memory_order_relaxed) == LOG_FORMAT_JSON) {
		line_put_literal(&l, "{\"time\":\"");
		line_put_time(&l, (uint64_t)now.tv_sec * 1000000, false);
		put_json(&l, level, text);
	} else {
		line_put_time(&l, (uint64_t)now.tv_sec * 1000000, false);
		put_text(&l, level, text);
	}
	put_line(bytes, (size_t)(l.at - bytes));
	errno = saved;
}

#include "top_screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <ringway/base/clock.h>

static const char enter_codes[] = "\033[?1049h\033[?25l\033[H\033[2J";
static const char leave_codes[] = "\033[0m\033[?25h\033[?1049l";

static struct {
	volatile sig_atomic_t is_on;
	bool has_keys; /* standard input is the terminal, and `before` what it was */
	struct termios before;
	sigset_t waiting; /* signals while we wait: the window's is let through only then */
	bool colour;
	/* What stands there, by line; `drawn` is 0 when that is not known. */
	struct top_line *lines;
	unsigned drawn, room, width;
	/* One refresh. */
	char *out;
	size_t out_len, out_room;
	/* Bytes of keys. */
	char keys[64];
	size_t keys_len;
} screen;

bool top_screen_possible(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static bool write_all(const char *bytes, size_t len)
{
	while (len) {
		struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
		ssize_t n = write(STDOUT_FILENO, bytes, len);

		/* Somebody else may have made the terminal one that does not wait. */
		if (n < 0 && errno == EAGAIN)
			(void)poll(&out, 1, -1);
		else if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* ---- there and back ---- */

/* Also from a signal's handler: nothing but what may be called there. */
void top_screen_leave(void)
{
	if (!screen.is_on)
		return;
	screen.is_on = 0;
	(void)write_all(leave_codes, sizeof(leave_codes) - 1);
	if (screen.has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &screen.before);
}

/* SA_RESETHAND: raised again, the signal does what it does to everybody. */
static void on_end(int number)
{
	int was = errno;

	top_screen_leave();
	raise(number);
	errno = was;
}

static void on_resize(int number UNUSED)
{
}

static void take_terminal(void)
{
	struct termios t;

	screen.has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &screen.before) == 0;
	screen.is_on = 1;
	if (screen.has_keys) {
		t = screen.before;
		t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		t.c_cc[VMIN] = 1;
		t.c_cc[VTIME] = 0;
		/* Comes as a key, so that the screen is given back before we stop. */
		t.c_cc[VSUSP] = _POSIX_VDISABLE;
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
	}
	(void)write_all(enter_codes, sizeof(enter_codes) - 1);
	screen.drawn = 0;
	screen.keys_len = 0;
}

void top_screen_enter(bool colour)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGABRT};
	struct sigaction a = {.sa_handler = on_end, .sa_flags = (int)SA_RESETHAND};
	sigset_t resize;

	screen.colour = colour;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		sigaction(ends[i], &a, NULL);
	a = (struct sigaction){.sa_handler = on_resize};
	sigaction(SIGWINCH, &a, NULL);
	sigemptyset(&resize);
	sigaddset(&resize, SIGWINCH);
	sigprocmask(SIG_BLOCK, &resize, &screen.waiting);
	sigdelset(&screen.waiting, SIGWINCH);
	take_terminal();
}

void top_screen_size(unsigned *ret_width, unsigned *ret_height)
{
	struct winsize size;

	*ret_width = TOP_WIDTH_PLAIN;
	*ret_height = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col || !size.ws_row)
		return;
	*ret_width = size.ws_col;
	*ret_height = size.ws_row;
}

/* ---- drawing ---- */

static bool put(const char *text)
{
	size_t len = strlen(text);

	if (screen.out_len + len > screen.out_room) {
		size_t room = (screen.out_len + len) * 2;
		char *grown = realloc(screen.out, room);

		if (!grown)
			return false;
		screen.out = grown;
		screen.out_room = room;
	}
	memcpy(screen.out + screen.out_len, text, len);
	screen.out_len += len;
	return true;
}

static const char *style_codes(enum top_style style)
{
	if (!screen.colour)
		return "";
	switch (style) {
	case TOP_PLAIN: return "";
	case TOP_TITLE: return "\033[7m";
	case TOP_NOTE: return "\033[33m";
	}
	return "";
}

static bool put_line(unsigned row, const struct top_line *l)
{
	const char *style = style_codes(l->style);
	char place[32];

	snprintf(place, sizeof(place), "\033[%u;1H", row + 1);
	/* The rest of the line is cleared first: behind the last column the cursor has no
	 * place of its own, and the last letter would go. */
	return put(place) && put("\033[2K") && put(style) && put(l->text) &&
	       put(*style ? "\033[0m" : "");
}

static bool is_drawn(unsigned row, const struct top_line *l)
{
	return row < screen.drawn && screen.lines[row].style == l->style &&
	       strcmp(screen.lines[row].text, l->text) == 0;
}

static bool remember(const struct top_page *p, unsigned len)
{
	if (len > screen.room) {
		struct top_line *grown = realloc(screen.lines, len * sizeof(*grown));

		if (!grown)
			return false;
		screen.lines = grown;
		screen.room = len;
	}
	if (len)
		memcpy(screen.lines, p->lines, len * sizeof(*p->lines));
	screen.drawn = len;
	screen.width = p->width;
	return true;
}

bool top_screen_draw(const struct top_page *p, unsigned height)
{
	unsigned len = p->len < height ? p->len : height;
	bool whole = true;

	screen.out_len = 0;
	/* A terminal that changes its width moves what stands there, each in its own way. */
	if (!screen.drawn || screen.width != p->width || screen.drawn != len) {
		screen.drawn = 0;
		whole = put("\033[2J");
	}
	for (unsigned row = 0; row < len && whole; row++)
		if (!is_drawn(row, &p->lines[row]))
			whole = put_line(row, &p->lines[row]);
	/* Without memory for a whole refresh the next one tries again, from the beginning. */
	if (!whole || !remember(p, len)) {
		screen.drawn = 0;
		return true;
	}
	return write_all(screen.out, screen.out_len);
}

/* ---- keys ---- */

static void drop_keys(size_t len)
{
	screen.keys_len -= len;
	memmove(screen.keys, screen.keys + len, screen.keys_len);
}

static const struct {
	const char *bytes;
	enum top_key key;
} known_keys[] = {
	{"\033[A", TOP_KEY_PREVIOUS}, {"\033[B", TOP_KEY_NEXT},     {"\033[C", TOP_KEY_NEXT},
	{"\033[D", TOP_KEY_PREVIOUS}, {"\033OA", TOP_KEY_PREVIOUS}, {"\033OB", TOP_KEY_NEXT},
	{"\033OC", TOP_KEY_NEXT},     {"\033OD", TOP_KEY_PREVIOUS}, {"\033[5~", TOP_KEY_PREVIOUS},
	{"\033[6~", TOP_KEY_NEXT},    {" ", TOP_KEY_NEXT},          {"b", TOP_KEY_PREVIOUS},
	{"s", TOP_KEY_SHARDS},        {"r", TOP_KEY_ROUTES},        {"u", TOP_KEY_UPSTREAMS},
	{"l", TOP_KEY_LIMITS},        {"q", TOP_KEY_QUIT},          {"\014", TOP_KEY_REDRAW},
};

/* Of a sequence that a terminal sends for some other key. */
static size_t escape_len(void)
{
	size_t at = 1;

	if (screen.keys_len < 2 || (screen.keys[1] != '[' && screen.keys[1] != 'O'))
		return 1;
	for (at = 2; at < screen.keys_len; at++)
		if (screen.keys[at] >= '@' && screen.keys[at] <= '~')
			return at + 1;
	return at;
}

static enum top_key stop_and_go_on(void)
{
	top_screen_leave();
	kill(0, SIGTSTP);
	take_terminal();
	return TOP_KEY_REDRAW;
}

static enum top_key next_key(void)
{
	while (screen.keys_len) {
		for (size_t i = 0; i < ARRAY_LEN(known_keys); i++) {
			size_t len = strlen(known_keys[i].bytes);

			if (len > screen.keys_len ||
			    memcmp(screen.keys, known_keys[i].bytes, len) != 0)
				continue;
			drop_keys(len);
			if (known_keys[i].key == TOP_KEY_REDRAW)
				screen.drawn = 0;
			return known_keys[i].key;
		}
		if (screen.has_keys && screen.before.c_cc[VSUSP] != _POSIX_VDISABLE &&
		    screen.keys[0] == (char)screen.before.c_cc[VSUSP]) {
			drop_keys(1);
			return stop_and_go_on();
		}
		drop_keys(screen.keys[0] == '\033' ? escape_len() : 1);
	}
	return TOP_KEY_NONE;
}

/* False: nothing more will come. */
static bool read_keys(void)
{
	ssize_t n = read(STDIN_FILENO, screen.keys + screen.keys_len,
			 sizeof(screen.keys) - screen.keys_len);

	if (n > 0)
		screen.keys_len += (size_t)n;
	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

enum top_key top_screen_wait(uint64_t due_ns)
{
	for (;;) {
		enum top_key key = next_key();
		uint64_t now = clock_monotonic_ns();
		struct pollfd in = {.fd = screen.has_keys ? STDIN_FILENO : -1, .events = POLLIN};
		struct timespec left;
		int n;

		if (key != TOP_KEY_NONE)
			return key;
		if (now >= due_ns)
			return TOP_KEY_NONE;
		left.tv_sec = (time_t)((due_ns - now) / NS_PER_S);
		left.tv_nsec = (long)((due_ns - now) % NS_PER_S);
		n = ppoll(&in, 1, &left, &screen.waiting);
		if (n < 0 && errno == EINTR)
			return TOP_KEY_REDRAW;
		if (n < 0 || (n > 0 && !read_keys()))
			return TOP_KEY_HANGUP;
	}
}

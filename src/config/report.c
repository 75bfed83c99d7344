#include "report.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "secret.h"

/* How much of a line is shown around the place of an issue. */
#define SHOWN_COLUMNS 160
/* What is longer repeats something of the file. */
#define MESSAGE_BYTES 512

void report_init(struct config_report *r, struct arena_source *memory)
{
	*r = (struct config_report){0};
	arena_init(&r->arena, NULL, 0, memory);
}

void config_report_fini(struct config_report *r)
{
	arena_reset(&r->arena);
	*r = (struct config_report){0};
	arena_init(&r->arena, NULL, 0, NULL);
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Characters, which is what an editor counts; bytes outside UTF-8 count as one. */
static unsigned columns(const char *from, const char *to)
{
	unsigned n = 0;

	for (; from < to; from++)
		n += !is_continuation(*from);
	return n;
}

void source_init(struct source *s, struct arena *arena, const char *path, struct span text,
		 unsigned order)
{
	uint32_t *lines;
	size_t len = 1;

	for (size_t i = 0; i < text.len; i++)
		len += text.ptr[i] == '\n';
	lines = arena_alloc(arena, len * sizeof(*lines));
	*s = (struct source){path, text, order, lines, lines ? len : 0};
	if (!lines)
		return;
	lines[0] = 0;
	len = 1;
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] == '\n')
			lines[len++] = (uint32_t)(i + 1);
}

/* Index of the line in which a byte stands. */
static size_t line_of(const struct source *s, size_t at)
{
	size_t low = 0, high = s->lines_len;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (s->lines[middle] <= at)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* A line without its end. */
static struct span line_text(const struct source *s, size_t line)
{
	size_t start = s->lines[line];
	size_t end = line + 1 < s->lines_len ? s->lines[line + 1] - 1 : s->text.len;

	if (end > start && s->text.ptr[end - 1] == '\r')
		end--;
	return span_of(s->text.ptr + start, end - start);
}

unsigned source_line(const struct source *s, size_t at)
{
	return s->lines_len ? (unsigned)line_of(s, at) + 1 : 0;
}

struct config_place source_place(const struct source *s, size_t at)
{
	size_t line;

	if (at > s->text.len || !s->lines_len)
		return (struct config_place){.file = s->path};
	line = line_of(s, at);
	return (struct config_place){
		.file = s->path,
		.line = (unsigned)line + 1,
		.column = columns(s->text.ptr + s->lines[line], s->text.ptr + at) + 1,
	};
}

size_t source_at(const struct source *s, unsigned line, unsigned column)
{
	struct span text;
	size_t at = 0;

	if (!s->lines_len || line < 1)
		return 0;
	if (line > s->lines_len)
		return s->text.len;
	text = line_text(s, line - 1);
	for (unsigned c = 1; c < column && at < text.len; c++) {
		at++;
		while (at < text.len && is_continuation(text.ptr[at]))
			at++;
	}
	return (size_t)(text.ptr - s->text.ptr) + at;
}

size_t utf8_length(struct span s)
{
	unsigned char c = (unsigned char)s.ptr[0];
	unsigned char second = s.len > 1 ? (unsigned char)s.ptr[1] : 0;
	size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (len > s.len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if (!is_continuation(s.ptr[i]))
			return 0;
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) ||
	    (c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f))
		return 0;
	return len;
}

struct span utf8_clip(struct span s, size_t max)
{
	if (s.len <= max)
		return s;
	while (max && is_continuation(s.ptr[max]))
		max--;
	return span_of(s.ptr, max);
}

/* Whatever is in a file, it must not steer the terminal on which it is shown. */
static void make_printable(char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)text[i];
		size_t n = utf8_length(span_of(text + i, len - i));
		bool is_control = (c < 0x20 && c != '\t') || c == 0x7f ||
				  (c == 0xc2 && n && (unsigned char)text[i + 1] < 0xa0);

		if (!n || is_control)
			text[i] = '?';
		/* The second byte of a C1 control is alone then and falls next. */
		i += n && !is_control ? n : 1;
	}
}

/* Made fit to be shown. One line may have all the issues of a file, and the file may be
 * one long line, so the issue before lends its copy. */
static const char *shown_line(struct config_report *r, const struct config_issue *issue,
			      struct span line)
{
	const struct config_issue *last = r->issues_len ? issue - 1 : NULL;
	char *text;

	if (last && last->file_order == issue->file_order && last->place.line == issue->place.line)
		return last->source_line;
	text = arena_str(&r->arena, line);
	if (text) {
		make_printable(text, line.len);
		secret_mask(text, line.len);
	}
	return text;
}

static struct config_issue *issue_room(struct config_report *r)
{
	if (r->issues_len == REPORT_ISSUES_MAX)
		return NULL;
	if (!r->issues) {
		r->issues = arena_alloc(&r->arena, REPORT_ISSUES_MAX * sizeof(*r->issues));
		if (!r->issues)
			return NULL;
	}
	return &r->issues[r->issues_len];
}

/* A draft has neither path, message nor line; the name of its file is borrowed. */
static void add_issue(struct config_report *r, const struct config_issue *draft, struct span line,
		      const char *path, char *message)
{
	struct config_issue *issue = issue_room(r);
	char *text;

	if (draft->severity == CONFIG_ERROR)
		r->errors++;
	else
		r->warnings++;
	if (!issue)
		return;
	make_printable(message, strlen(message));
	*issue = *draft;
	issue->place.file = arena_str(&r->arena, span_str(draft->place.file));
	issue->message = arena_str(&r->arena, span_str(message));
	text = arena_str(&r->arena, span_str(path));
	if (text)
		make_printable(text, strlen(text));
	issue->path = text;
	if (line.ptr)
		issue->source_line = shown_line(r, issue, line);
	if (!issue->width)
		issue->width = 1;
	if (issue->place.file && issue->path && issue->message)
		r->issues_len++;
}

void report_add(struct config_report *r, enum config_severity severity, struct source_range range,
		const char *path, const char *message, va_list args)
{
	const struct source *s = range.source;
	struct config_issue draft = {.severity = severity, .file_order = s->order};
	struct span line = SPAN_NONE;
	char text[MESSAGE_BYTES];

	vsnprintf(text, sizeof(text), message, args);
	draft.place = source_place(s, range.at);
	if (draft.place.line) {
		const char *from = s->text.ptr + range.at, *end = s->text.ptr + range.end;

		line = line_text(s, draft.place.line - 1);
		if (end > line.ptr + line.len)
			end = line.ptr + line.len;
		draft.width = columns(from, end);
	}
	add_issue(r, &draft, line, path, text);
}

static int compare_issues(const void *left, const void *right)
{
	const struct config_issue *a = left, *b = right;

	if (a->file_order != b->file_order)
		return a->file_order < b->file_order ? -1 : 1;
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	if (a->place.column != b->place.column)
		return a->place.column < b->place.column ? -1 : 1;
	return strcmp(a->message, b->message);
}

void report_sort(struct config_report *r)
{
	if (r->issues_len)
		qsort(r->issues, r->issues_len, sizeof(*r->issues), compare_issues);
}

/* A line of a file that was loaded before; the caller's to free. NULL: it is not there any
 * more. */
static char *line_again(const char *path, unsigned line)
{
	struct stat st;
	char *text = NULL;
	size_t room = 0;
	ssize_t len = -1;
	FILE *file;

	/* A FIFO gives its text once, and opening it again would wait for ever. */
	if (!path || !line || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return NULL;
	file = fopen(path, "re");
	if (!file)
		return NULL;
	while (line-- && (len = getline(&text, &room, file)) >= 0)
		;
	fclose(file);
	if (len < 0) {
		free(text);
		return NULL;
	}
	text[strcspn(text, "\r\n")] = '\0';
	return text;
}

/* How many characters a value has: to its closing quote, or to what ends a plain one. Of a
 * mapping or list the bracket is shown. */
static unsigned value_width(const char *value)
{
	const char *end = value;

	if (*value == '"' || *value == '\'') {
		end = strchrnul(value + 1, *value);
		end += *end != '\0';
	} else if (*value != '{' && *value != '[') {
		end += strcspn(value, " ,}]#");
	}
	return columns(value, end);
}

static unsigned order_of_file(const struct config_report *r, const char *file)
{
	unsigned next = 0;

	for (size_t i = 0; i < r->issues_len; i++) {
		const struct config_issue *issue = &r->issues[i];

		if (file && strcmp(issue->place.file, file) == 0)
			return issue->file_order;
		if (issue->file_order >= next)
			next = issue->file_order + 1;
	}
	return next;
}

void config_report_add(struct config_report *r, enum config_severity severity,
		       struct config_place place, const char *path, const char *message)
{
	char *again = line_again(place.file, place.line);
	struct config_issue draft = {
		.severity = severity, .place = place, .file_order = order_of_file(r, place.file)};
	struct span line = span_str(again);
	char text[MESSAGE_BYTES];

	if (!place.file)
		draft.place.file = "";
	if (again) {
		const uint32_t start = 0;
		struct source source = {.text = line, .lines = &start, .lines_len = 1};

		draft.width = value_width(again + source_at(&source, 1, place.column));
	}
	snprintf(text, sizeof(text), "%s", message);
	add_issue(r, &draft, line, path, text);
	report_sort(r);
	free(again);
}

struct colours {
	const char *place, *error, *warning, *caret, *off;
};

/* The source line and the caret under it. A tab in front of the caret stays a tab,
 * so that both lines move alike; of a long line the part around the place is shown. */
static void print_source(const struct config_issue *issue, FILE *out, const struct colours *c)
{
	const char *line = issue->source_line, *end = line + strlen(line);
	unsigned skip = issue->place.column > SHOWN_COLUMNS / 2
				? issue->place.column - SHOWN_COLUMNS / 2
				: 0;
	unsigned column = 1, width = issue->width;
	int gutter;

	if (columns(line, end) <= SHOWN_COLUMNS)
		skip = 0;
	gutter = fprintf(out, "%5u | ", issue->place.line);
	for (const char *p = line; p < end; p++) {
		if (!is_continuation(*p))
			column++;
		if (column > skip + 1 && column <= skip + SHOWN_COLUMNS + 1)
			putc(*p, out);
	}
	fprintf(out, "\n%*s| ", gutter - 2, "");
	column = 1;
	for (const char *p = line; column < issue->place.column; p++) {
		if (p < end && is_continuation(*p))
			continue;
		if (column > skip)
			putc(p < end && *p == '\t' ? '\t' : ' ', out);
		column++;
	}
	fputs(c->caret, out);
	if (width > SHOWN_COLUMNS / 2)
		width = SHOWN_COLUMNS / 2;
	while (width--)
		putc('^', out);
	fprintf(out, "%s\n", c->off);
}

void config_report_print(const struct config_report *r, FILE *out, bool colour)
{
	static const struct colours none = {"", "", "", "", ""};
	static const struct colours ansi = {"\033[1m", "\033[1;31m", "\033[1;33m", "\033[1;32m",
					    "\033[0m"};
	const struct colours *c = colour ? &ansi : &none;

	for (size_t i = 0; i < r->issues_len; i++) {
		const struct config_issue *issue = &r->issues[i];
		bool error = issue->severity == CONFIG_ERROR;

		fprintf(out, "%s%s:", c->place, issue->place.file);
		if (issue->place.line)
			fprintf(out, "%u:%u:", issue->place.line, issue->place.column);
		fprintf(out, "%s %s%s:%s %s%s%s\n", c->off, error ? c->error : c->warning,
			error ? "error" : "warning", c->off, issue->path, *issue->path ? ": " : "",
			issue->message);
		if (issue->source_line)
			print_source(issue, out, c);
	}
	if (r->errors + r->warnings > r->issues_len)
		fprintf(out, "%zu more are not shown\n", r->errors + r->warnings - r->issues_len);
}

static json_t *issue_json(const struct config_issue *issue)
{
	json_t *o = json_object();

	json_object_set_new(o, "severity",
			    json_string(issue->severity == CONFIG_ERROR ? "error" : "warning"));
	json_object_set_new(o, "file", json_string(issue->place.file));
	if (issue->place.line) {
		json_object_set_new(o, "line", json_integer(issue->place.line));
		json_object_set_new(o, "column", json_integer(issue->place.column));
		json_object_set_new(o, "width", json_integer(issue->width));
	}
	json_object_set_new(o, "path", json_string(issue->path));
	json_object_set_new(o, "message", json_string(issue->message));
	if (issue->source_line)
		json_object_set_new(o, "source", json_string(issue->source_line));
	return o;
}

void config_report_print_json(const struct config_report *r, const char *path, FILE *out)
{
	json_t *issues = json_array(), *o = json_object();

	for (size_t i = 0; i < r->issues_len; i++)
		json_array_append_new(issues, issue_json(&r->issues[i]));
	json_object_set_new(o, "file", json_string(path));
	json_object_set_new(o, "errors", json_integer((json_int_t)r->errors));
	json_object_set_new(o, "warnings", json_integer((json_int_t)r->warnings));
	json_object_set_new(o, "issues", issues);
	json_dumpf(o, out, JSON_INDENT(2));
	putc('\n', out);
	json_decref(o);
}

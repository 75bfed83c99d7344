#include "arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <ringway/config/suggest.h>

/* Enough for any command here; which were given is a bit each. */
#define ARGUMENTS_MAX 32

struct reading {
	const struct argument *known;
	size_t known_len;
	uint32_t given;
	char *error;
};

static bool is_option(const struct argument *a)
{
	return a->name[0] == '-';
}

/* A long word is cut, so that the rest of the message is seen. */
#define WORD(s) (int)min_u64((s).len, 80), (s).ptr

PRINTF(2, 3) static enum arguments_verdict bad(struct reading *r, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(r->error, ARGUMENTS_ERROR_BYTES, fmt, args);
	va_end(args);
	return ARGUMENTS_BAD;
}

static const struct argument *find_option(const struct reading *r, struct span name)
{
	for (size_t i = 0; i < r->known_len; i++)
		if (is_option(&r->known[i]) && span_eq(name, span_str(r->known[i].name)))
			return &r->known[i];
	return NULL;
}

static enum arguments_verdict unknown_option(struct reading *r, struct span name)
{
	struct suggestion s;

	suggestion_init(&s, name);
	for (size_t i = 0; i < r->known_len; i++)
		if (is_option(&r->known[i]))
			suggestion_try(&s, r->known[i].name);
	suggestion_try(&s, "--help");
	if (!s.best)
		return bad(r, "unknown option `%.*s`", WORD(name));
	return bad(r, "unknown option `%.*s`; did you mean `%s`?", WORD(name), s.best);
}

static bool mark_given(struct reading *r, const struct argument *a)
{
	uint32_t bit = (uint32_t)1 << (a - r->known);
	bool is_first = !(r->given & bit);

	r->given |= bit;
	return is_first;
}

/* *at is the option's index, and moves on when its value is the next argument. */
static enum arguments_verdict read_option(struct reading *r, int len, char **arguments, int *at)
{
	const char *word = arguments[*at];
	const char *equals = strchr(word, '=');
	struct span name = span_of(word, equals ? (size_t)(equals - word) : strlen(word));
	const struct argument *a;

	if (span_eq(name, SPAN("--help")) || span_eq(name, SPAN("-h")))
		return ARGUMENTS_HELP;
	a = find_option(r, name);
	if (!a)
		return unknown_option(r, name);
	if (a->not_yet)
		return bad(r, "`%.*s` is not supported yet", WORD(name));
	if (!mark_given(r, a))
		return bad(r, "`%.*s` is given twice", WORD(name));
	if (a->flag) {
		*a->flag = true;
		return equals ? bad(r, "`%.*s` takes no value", WORD(name)) : ARGUMENTS_GOOD;
	}
	if (equals) {
		*a->text = equals + 1;
	} else {
		if (*at + 1 >= len)
			return bad(r, "`%.*s` wants a value", WORD(name));
		*a->text = arguments[++*at];
	}
	return **a->text ? ARGUMENTS_GOOD : bad(r, "the value of `%.*s` is empty", WORD(name));
}

static enum arguments_verdict read_operand(struct reading *r, const char *word)
{
	for (size_t i = 0; i < r->known_len; i++) {
		const struct argument *a = &r->known[i];

		if (is_option(a) || !mark_given(r, a))
			continue;
		*a->text = word;
		return *word ? ARGUMENTS_GOOD : bad(r, "%s is empty", a->name);
	}
	return bad(r, "`%.*s` is one argument too many", WORD(span_str(word)));
}

enum arguments_verdict arguments_read(const struct argument *known, size_t known_len, int len,
				      char **arguments,
				      char ret_error[static ARGUMENTS_ERROR_BYTES])
{
	struct reading r = {.known = known, .known_len = known_len, .error = ret_error};
	enum arguments_verdict verdict = ARGUMENTS_GOOD;
	bool only_operands = false;

	must(known_len <= ARGUMENTS_MAX);
	for (int at = 0; at < len && verdict == ARGUMENTS_GOOD; at++) {
		const char *word = arguments[at];

		if (only_operands || word[0] != '-' || !word[1])
			verdict = read_operand(&r, word);
		else if (strcmp(word, "--") == 0)
			only_operands = true;
		else
			verdict = read_option(&r, len, arguments, &at);
	}
	for (size_t i = 0; i < known_len && verdict == ARGUMENTS_GOOD; i++)
		if (known[i].required && !(r.given & (uint32_t)1 << i))
			verdict = bad(&r, "%s is missing", known[i].name);
	return verdict;
}

/* Options and operands of one command, read into the caller's variables.
 *
 * Options are long only ("--json", "--socket PATH", "--socket=PATH"), whole words, each at
 * most once; they may stand behind operands. Behind "--" everything is an operand.
 */
#ifndef RINGWAY_CONTROL_ARGUMENTS_H
#define RINGWAY_CONTROL_ARGUMENTS_H

#include <ringway/base/base.h>

struct argument {
	const char *name;  /* "--json", or "FILE" for an operand */
	bool *flag;        /* an option without value */
	const char **text; /* an operand, or an option with a value */
	bool required;
	bool not_yet; /* known, but refused: it is not built */
};

enum arguments_verdict { ARGUMENTS_GOOD, ARGUMENTS_HELP, ARGUMENTS_BAD };

#define ARGUMENTS_ERROR_BYTES 256

/* The variables keep their values where nothing is said of them. On BAD ret_error says
 * what is wrong. */
enum arguments_verdict arguments_read(const struct argument *known, size_t known_len, int len,
				      char **arguments,
				      char ret_error[static ARGUMENTS_ERROR_BYTES]);

#endif

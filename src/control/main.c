#include <stdio.h>

#include "command.h"

int main(int argc, char **argv)
{
	int exit_code = command_main(argc, argv);

	/* A report that nobody got (a full disk) must not pass for a good one. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("ringway: standard output");
		return exit_code ? exit_code : COMMAND_ERRORS;
	}
	return exit_code;
}

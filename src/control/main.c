#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "command.h"

/* Who starts us with one of them closed would have the next socket in its place, and lines
 * of the log in somebody's connection. Read only: what is written there is an error still. */
static void hold_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	int exit_code;

	hold_standard_streams();
	exit_code = command_main(argc, argv);
	/* A report that nobody got (a full disk) must not pass for a good one. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("ringway: standard output");
		return exit_code ? exit_code : COMMAND_ERRORS;
	}
	return exit_code;
}

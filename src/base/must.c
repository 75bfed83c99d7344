#include <ringway/base/base.h>

#include <stdio.h>
#include <stdlib.h>

void must_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "ringway: bug: %s (%s:%d)\n", what, file, line);
	abort();
}

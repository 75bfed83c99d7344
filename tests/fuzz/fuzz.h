/* What the fuzz targets share. */
#ifndef RINGWAY_TESTS_FUZZ_H
#define RINGWAY_TESTS_FUZZ_H

#include <stdlib.h>

#include <ringway/base/base.h>
#include <ringway/base/span.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy in memory that ends where it ends, so that the address sanitizer sees each
 * byte read behind it. */
static UNUSED char *fuzz_copy(const char *bytes, size_t len)
{
	char *copy = malloc(len ? len : 1);

	must(copy);
	if (len)
		memcpy(copy, bytes, len);
	return copy;
}

/* Same length and bytes; and either both there or none. */
static UNUSED bool fuzz_same(struct span a, struct span b)
{
	return !a.ptr == !b.ptr && span_eq(a, b);
}

#endif

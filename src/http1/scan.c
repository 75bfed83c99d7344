#include "scan.h"

const struct h1_scan *h1_scan = &h1_scan_scalar;

#if defined(__x86_64__)
/* Before main(), so that no shard has to look and no thread writes it later. */
__attribute__((constructor)) static void choose(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2"))
		h1_scan = &h1_scan_avx2;
	else if (__builtin_cpu_supports("sse4.2"))
		h1_scan = &h1_scan_sse42;
}
#endif

const char *h1_scan_name(void)
{
	return h1_scan->name;
}

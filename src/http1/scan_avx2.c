#if defined(__x86_64__)
#define SCAN_TARGET  __attribute__((target("avx2")))
#define SCAN_RUN     charset_run_avx2
#define SCAN_VARIANT h1_scan_avx2
#define SCAN_TEXT    "avx2"
#include "scan_lines.inc"
#endif

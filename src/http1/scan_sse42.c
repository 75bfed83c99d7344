#if defined(__x86_64__)
#define SCAN_TARGET  __attribute__((target("sse4.2")))
#define SCAN_RUN     charset_run_sse42
#define SCAN_VARIANT h1_scan_sse42
#define SCAN_TEXT    "sse4.2"
#include "scan_lines.inc"
#endif

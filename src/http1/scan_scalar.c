/* Byte by byte: the reference, and what other architectures run. */
#define SCAN_TARGET
#define SCAN_RUN     charset_run_scalar
#define SCAN_VARIANT h1_scan_scalar
#define SCAN_TEXT    "scalar"
#include "scan_lines.inc"

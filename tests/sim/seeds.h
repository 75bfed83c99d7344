/* Many runs of one simulation, each with its own seed. */
#ifndef RINGWAY_SIM_SEEDS_H
#define RINGWAY_SIM_SEEDS_H

#include <stdint.h>

/* Runs seeds 1..count (a quarter of them under a sanitizer, which takes several times as
 * long), or only that of RINGWAY_SEED. Whatever ends a run early (a check of cmocka's, an
 * abort, a sanitizer) prints its seed, if seeds_report() is the test's teardown. */
void seeds_run(unsigned count, void (*run)(uint64_t seed));
int seeds_report(void **state);

#endif

#include "seeds.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ringway/base/base.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWNESS 4
#else
#define SLOWNESS 1
#endif

static char line[96]; /* ready made: it is written from a signal handler */
static int line_len;
static bool is_running;

/* Of the sanitizers' run time; not there without one. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void report(void)
{
	if (is_running && write(STDERR_FILENO, line, (size_t)line_len) < 0)
		return;
	is_running = false;
}

static void on_abort(int sig)
{
	report();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void run_one(uint64_t seed, void (*run)(uint64_t seed))
{
	line_len = snprintf(line, sizeof(line), "# failed with RINGWAY_SEED=%llu\n",
			    (unsigned long long)seed);
	is_running = true;
	run(seed);
	is_running = false;
}

void seeds_run(unsigned count, void (*run)(uint64_t seed))
{
	const char *only = getenv("RINGWAY_SEED");

	signal(SIGABRT, on_abort);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(report);
	if (only) {
		run_one(strtoull(only, NULL, 0), run);
		return;
	}
	count = (count + SLOWNESS - 1) / SLOWNESS;
	for (uint64_t seed = 1; seed <= count; seed++)
		run_one(seed, run);
}

int seeds_report(void **state UNUSED)
{
	report();
	return 0;
}

#include <ringway/base/clock.h>

#include <time.h>

static uint64_t read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_unix_us(void)
{
	return read_ns(CLOCK_REALTIME) / NS_PER_US;
}

int64_t clock_wall_offset_ns(void)
{
	uint64_t before = clock_monotonic_ns(), wall = read_ns(CLOCK_REALTIME);
	uint64_t after = clock_monotonic_ns();

	return (int64_t)(wall - (before + (after - before) / 2));
}

#include "top_text.h"

#include <stdio.h>

#include <ringway/base/base.h>

/* Three digits; the bounds are where they would be rounded to four. */
static void three_digits(char out[static TOP_NUMBER_BYTES], double n, const char *unit)
{
	int decimals = n < 9.995 ? 2 : n < 99.95 ? 1 : 0;

	snprintf(out, TOP_NUMBER_BYTES, "%.*f%s", decimals, n, unit);
}

void top_count(char out[static TOP_NUMBER_BYTES], double n)
{
	static const char *const units[] = {"k", "M", "G", "T", "P"};
	unsigned unit = 0;

	if (n < 0) {
		snprintf(out, TOP_NUMBER_BYTES, "-");
		return;
	}
	/* Fractions where they mean something: one request in two seconds. */
	if (n < 9.95 && n >= 0.05 && n != (double)(int)n) {
		snprintf(out, TOP_NUMBER_BYTES, "%.1f", n);
		return;
	}
	if (n < 999.5) {
		snprintf(out, TOP_NUMBER_BYTES, "%.0f", n);
		return;
	}
	for (n /= 1000; n >= 999.5 && unit + 1 < ARRAY_LEN(units); n /= 1000)
		unit++;
	if (n >= 999.5)
		snprintf(out, TOP_NUMBER_BYTES, ">999P");
	else
		three_digits(out, n, units[unit]);
}

void top_time(char out[static TOP_NUMBER_BYTES], double us)
{
	if (us < 0)
		snprintf(out, TOP_NUMBER_BYTES, "-");
	else if (us < 999.5)
		snprintf(out, TOP_NUMBER_BYTES, "%.0fus", us);
	else if (us < 999.5e3)
		three_digits(out, us / 1e3, "ms");
	else if (us < 999.5e6)
		three_digits(out, us / 1e6, "s");
	else
		snprintf(out, TOP_NUMBER_BYTES, ">999s");
}

void top_percent(char out[static TOP_NUMBER_BYTES], double share)
{
	double n = share * 100;

	if (share < 0)
		snprintf(out, TOP_NUMBER_BYTES, "-");
	else if (n > 9999)
		snprintf(out, TOP_NUMBER_BYTES, ">999%%");
	/* What is there is not shown as nothing. */
	else if (n > 0 && n < 0.1)
		snprintf(out, TOP_NUMBER_BYTES, "<0.1%%");
	else
		snprintf(out, TOP_NUMBER_BYTES, "%.*f%%", n > 0 && n < 9.95 ? 1 : 0, n);
}

void top_uptime(char out[static 32], double s)
{
	unsigned long long n = s < 0 ? 0 : s > 1e12 ? 1000000000000 : (unsigned long long)s;

	if (n >= 86400)
		snprintf(out, 32, "%llu d %llu h", n / 86400, n % 86400 / 3600);
	else if (n >= 3600)
		snprintf(out, 32, "%llu h %llu min", n / 3600, n % 3600 / 60);
	else if (n >= 60)
		snprintf(out, 32, "%llu min %llu s", n / 60, n % 60);
	else
		snprintf(out, 32, "%llu s", n);
}

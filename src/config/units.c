#include "units.h"

#include <ringway/base/base.h>

struct unit {
	struct span name;
	uint64_t factor;
};

#define UNIT(name, factor)                                                                         \
	{                                                                                          \
		{(name), sizeof(name) - 1}, (factor)                                               \
	}

static const struct unit durations[] = {
	UNIT("w", 7 * 86400 * NS_PER_S), UNIT("d", 86400 * NS_PER_S), UNIT("h", 3600 * NS_PER_S),
	UNIT("m", 60 * NS_PER_S),        UNIT("s", NS_PER_S),         UNIT("ms", NS_PER_MS),
	UNIT("us", NS_PER_US),
};

static const struct unit sizes[] = {
	UNIT("B", 1),     UNIT("KB", 1000), UNIT("MB", 1000000), UNIT("GB", 1000000000),
	UNIT("KiB", KIB), UNIT("MiB", MIB), UNIT("GiB", GIB),
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes the characters in front for which `digits` says what they are. */
static struct span take_run(struct span *text, bool digits)
{
	struct span run = span_of(text->ptr, 0);

	while (run.len < text->len && is_digit(text->ptr[run.len]) == digits)
		run.len++;
	text->ptr += run.len;
	text->len -= run.len;
	return run;
}

static const struct unit *find(const struct unit *units, size_t len, struct span name)
{
	for (size_t i = 0; i < len; i++)
		if (span_eq(units[i].name, name))
			return &units[i];
	return NULL;
}

bool duration_parse(struct span text, uint64_t *ret_ns)
{
	const uint64_t max = DURATION_MAX_DAYS * 86400 * NS_PER_S;
	const struct unit *last = NULL;
	uint64_t sum = 0;

	if (!text.len)
		return false;
	while (text.len) {
		struct span digits = take_run(&text, true);
		struct span name = take_run(&text, false);
		const struct unit *unit;
		uint64_t value;

		/* A bare integer stands alone: "1h30" leaves open what 30 is. */
		if (!name.len && !last)
			name = SPAN("s");
		unit = find(durations, ARRAY_LEN(durations), name);
		if (!unit || (last && unit <= last) || !span_to_u64(digits, &value) ||
		    __builtin_mul_overflow(value, unit->factor, &value) ||
		    __builtin_add_overflow(sum, value, &sum) || sum > max)
			return false;
		last = unit;
	}
	*ret_ns = sum;
	return true;
}

bool size_parse(struct span text, uint64_t *ret_bytes)
{
	struct span digits = take_run(&text, true);
	const struct unit *unit = find(sizes, ARRAY_LEN(sizes), text.len ? text : SPAN("B"));
	uint64_t value;

	if (!unit || !span_to_u64(digits, &value) ||
	    __builtin_mul_overflow(value, unit->factor, &value))
		return false;
	*ret_bytes = value;
	return true;
}

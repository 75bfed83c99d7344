#include <ringway/config/rate.h>

#include <stdio.h>

#include <ringway/base/base.h>

#include "units.h"

#define PERIOD_MIN NS_PER_S
#define PERIOD_MAX (366 * 86400 * NS_PER_S)
/* Of what stands behind the slash: a unit and every compound that means something. */
#define TIME_BYTES_MAX 48

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool split(struct span text, uint64_t *ret_tokens, struct span *ret_time)
{
	const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;

	if (!slash || !span_to_u64(span_of(text.ptr, (size_t)(slash - text.ptr)), ret_tokens))
		return false;
	*ret_time = span_of(slash + 1, text.len - (size_t)(slash - text.ptr) - 1);
	return ret_time->len && ret_time->len < TIME_BYTES_MAX;
}

const char *config_rate(struct span text, uint64_t *ret_tokens, uint64_t *ret_period_ns)
{
	static const char no_rate[] = "is no rate; write it like 100/s, 1000/h or 5000/15m";
	uint64_t tokens, period_ns;
	char one[TIME_BYTES_MAX + 1];
	struct span time;

	if (!split(text, &tokens, &time))
		return no_rate;
	if (is_digit(time.ptr[0]) && is_digit(time.ptr[time.len - 1]))
		return no_rate; /* a time without a unit */
	/* A unit alone is one of it. */
	snprintf(one, sizeof(one), "%s%.*s", is_digit(time.ptr[0]) ? "" : "1", SPAN_FMT(time));
	if (!duration_parse(span_str(one), &period_ns))
		return no_rate;
	if (!tokens)
		return "lets no request pass; a rate begins at 1";
	if (period_ns < PERIOD_MIN || period_ns > PERIOD_MAX)
		return "has a time that is none of 1s to 366d";
	if ((unsigned __int128)tokens * NS_PER_S >
	    (unsigned __int128)period_ns * CONFIG_LIMIT_RATE_MAX)
		return "is too much, at most 10000000/s";
	*ret_tokens = tokens;
	*ret_period_ns = period_ns;
	return NULL;
}

static bool thousandths(struct span text, uint64_t *ret_value)
{
	const char *point = text.len ? memchr(text.ptr, '.', text.len) : NULL;
	size_t len = point ? (size_t)(point - text.ptr) : text.len;
	size_t digits = point ? text.len - len - 1 : 0;
	uint64_t whole, part = 0;

	if (!span_to_u64(span_of(text.ptr, len), &whole) || whole > CONFIG_LIMIT_RATE_MAX)
		return false;
	if (point && (digits < 1 || digits > 3 ||
		      !span_to_u64(span_of(point + 1, digits), &part)))
		return false;
	for (size_t i = digits; i < 3; i++)
		part *= 10;
	*ret_value = whole * 1000 + part;
	return *ret_value && *ret_value <= CONFIG_LIMIT_RATE_MAX * (uint64_t)1000;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

const char *config_requests_per_second(struct span text, uint64_t *ret_tokens,
				       uint64_t *ret_period_ns)
{
	uint64_t in_1000_s, divisor;

	if (!thousandths(text, &in_1000_s))
		return "is no number from 0.001 to 10000000, like 100 or 0.5";
	divisor = common_divisor(in_1000_s, 1000);
	*ret_tokens = in_1000_s / divisor;
	*ret_period_ns = 1000 / divisor * NS_PER_S;
	return NULL;
}

void config_rate_fit_bucket(uint64_t *tokens, uint64_t *period_ns)
{
	unsigned __int128 time = (unsigned __int128)*period_ns * CONFIG_LIMIT_TOKENS_MAX;

	if (*tokens <= CONFIG_LIMIT_TOKENS_MAX)
		return;
	*period_ns = (uint64_t)((time + *tokens - 1) / *tokens);
	*tokens = CONFIG_LIMIT_TOKENS_MAX;
}

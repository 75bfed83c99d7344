/* Sets of ASCII characters, and finding the end of a run of them, byte by byte or
 * 16 or 32 bytes at a time.
 *
 * A set is a table of 16 rows: bit h of row l stands for the character 0xhl. A row
 * is one byte, so a vector shuffle looks 16 or 32 characters up at once: the low
 * half of each picks its row, the high half the bit. Bytes from 0x80 are in no set.
 *
 * No variant reads outside [begin, end). With less than a vector's width left it
 * loads the last bytes of the input, those before `at` once more, so begin should
 * be the start of the whole input.
 */
#ifndef RINGWAY_HTTP_CHARSET_H
#define RINGWAY_HTTP_CHARSET_H

#include <ringway/base/base.h>
#include <ringway/base/span.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define CHARSET_X86 1
#else
#define CHARSET_X86 0
#endif

struct charset {
	uint8_t rows[16] __attribute__((aligned(16)));
};

extern const struct charset charset_token;  /* RFC 9110 section 5.6.2 */
extern const struct charset charset_ctl;    /* what no field value holds: CTL without HTAB, DEL */
extern const struct charset charset_target; /* any form of request target (RFC 9112 section 3.2) */
extern const struct charset charset_path;   /* pchar and '/', without '%' (RFC 3986 section 3.3) */
extern const struct charset charset_query;  /* the same with '?', '[' and ']' (section 3.4) */
extern const struct charset charset_host;   /* unreserved: of a reg-name what names on wires use */

static inline bool charset_has(const struct charset *set, char c)
{
	return set->rows[(uint8_t)c & 15] >> ((uint8_t)c >> 4) & 1;
}

/* First character in [at, end) whose membership is not `member`; end when none. */
static inline const char *charset_run_scalar(const struct charset *set, bool member,
					     const char *begin UNUSED, const char *at,
					     const char *end)
{
	while (at < end && charset_has(set, *at) == member)
		at++;
	return at;
}

#if CHARSET_X86

#define CHARSET_SSE42  __attribute__((target("sse4.2")))
#define CHARSET_AVX2   __attribute__((target("avx2")))
#define CHARSET_INLINE static inline __attribute__((always_inline))

/* Bit n: whether at[n] ends the run. */
CHARSET_SSE42 CHARSET_INLINE uint32_t charset_ends16(const struct charset *set, bool member,
						     const char *at)
{
	const __m128i bits = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
	__m128i rows = _mm_load_si128((const __m128i *)set->rows);
	__m128i text = _mm_loadu_si128((const __m128i *)at);
	__m128i high = _mm_and_si128(_mm_srli_epi16(text, 4), _mm_set1_epi8(15));
	/* An index with bit 7 set answers 0, which is how bytes from 0x80 drop out. */
	__m128i hit = _mm_and_si128(_mm_shuffle_epi8(rows, text), _mm_shuffle_epi8(bits, high));
	uint32_t outside = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(hit, _mm_setzero_si128()));

	return member ? outside : outside ^ 0xffff;
}

CHARSET_AVX2 CHARSET_INLINE uint32_t charset_ends32(const struct charset *set, bool member,
						    const char *at)
{
	const __m256i bits = _mm256_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0,
					      1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
	__m256i rows = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)set->rows));
	__m256i text = _mm256_loadu_si256((const __m256i *)at);
	__m256i high = _mm256_and_si256(_mm256_srli_epi16(text, 4), _mm256_set1_epi8(15));
	__m256i hit =
		_mm256_and_si256(_mm256_shuffle_epi8(rows, text), _mm256_shuffle_epi8(bits, high));
	uint32_t outside =
		(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(hit, _mm256_setzero_si256()));

	return member ? outside : ~outside;
}

CHARSET_SSE42 CHARSET_INLINE const char *charset_run_sse42(const struct charset *set, bool member,
							   const char *begin, const char *at,
							   const char *end)
{
	uint32_t ends;

	for (; end - at >= 16; at += 16) {
		ends = charset_ends16(set, member, at);
		if (ends)
			return at + __builtin_ctz(ends);
	}
	if (at == end)
		return end;
	if (end - begin < 16)
		return charset_run_scalar(set, member, begin, at, end);
	ends = charset_ends16(set, member, end - 16) >> (16 - (end - at));
	return ends ? at + __builtin_ctz(ends) : end;
}

CHARSET_AVX2 CHARSET_INLINE const char *charset_run_avx2(const struct charset *set, bool member,
							 const char *begin, const char *at,
							 const char *end)
{
	uint32_t ends;

	for (; end - at >= 32; at += 32) {
		ends = charset_ends32(set, member, at);
		if (ends)
			return at + __builtin_ctz(ends);
	}
	if (at == end)
		return end;
	if (end - begin < 32)
		return charset_run_scalar(set, member, begin, at, end);
	ends = charset_ends32(set, member, end - 32) >> (32 - (end - at));
	return ends ? at + __builtin_ctz(ends) : end;
}

#endif /* CHARSET_X86 */

/* Whole span in the set; the empty one is. Picks the variant by itself. */
bool charset_all(const struct charset *set, struct span s);

#endif

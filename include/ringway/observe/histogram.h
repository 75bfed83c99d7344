/* Log-linear histograms: each octave (power of two) has the same number of buckets.
 *
 * A bucket holds what is above the bound of the one before it and at most its own, as
 * Prometheus means `le`; the last one has no bound. How many there were is the sum over the
 * buckets and stands nowhere else, so that it cannot disagree with them. Written by one
 * thread, see counter.h.
 */
#ifndef RINGWAY_OBSERVE_HISTOGRAM_H
#define RINGWAY_OBSERVE_HISTOGRAM_H

#include <ringway/observe/counter.h>

struct histogram_shape {
	uint8_t first_bit; /* the first bucket is for all up to 1 << first_bit */
	uint8_t sub_bits;  /* 1 << sub_bits buckets in each octave; less than first_bit */
	uint16_t buckets;
};

/* Microseconds, 16 us to 2^24 us (16.8 s) in 20 octaves of 4: a bucket's bounds are at most
 * a quarter apart. */
#define HISTOGRAM_TIMES_BUCKETS 82
#define HISTOGRAM_TIMES ((struct histogram_shape){4, 2, HISTOGRAM_TIMES_BUCKETS})
struct histogram_times {
	struct counter sum;
	struct counter buckets[HISTOGRAM_TIMES_BUCKETS];
};

/* Bytes, 64 to 2^32 in 26 octaves of 2. */
#define HISTOGRAM_SIZES_BUCKETS 54
#define HISTOGRAM_SIZES ((struct histogram_shape){6, 1, HISTOGRAM_SIZES_BUCKETS})
struct histogram_sizes {
	struct counter sum;
	struct counter buckets[HISTOGRAM_SIZES_BUCKETS];
};

static inline unsigned histogram_index(struct histogram_shape shape, uint64_t value)
{
	uint64_t least = (uint64_t)1 << shape.first_bit;
	/* Less one, so that a bound belongs to the bucket below it; what belongs to the first
	 * bucket comes out as the end of the octave before the first. */
	uint64_t v = (value > least ? value : least) - 1;
	/* Not 63 - clz: only so do compilers see that it is one instruction. */
	unsigned top = 63 ^ (unsigned)__builtin_clzll(v);
	/* Both numbers count the octave, hence one too many of them is taken off. */
	unsigned index = (top << shape.sub_bits) + (unsigned)(v >> (top - shape.sub_bits)) -
			 ((shape.first_bit + 1U) << shape.sub_bits) + 1;

	return index < shape.buckets ? index : shape.buckets - 1U;
}

/* The greatest value of the bucket; UINT64_MAX: no bound. */
static inline uint64_t histogram_bound(struct histogram_shape shape, unsigned index)
{
	unsigned octave = shape.first_bit + ((index - 1) >> shape.sub_bits);
	unsigned sub = (index - 1) & ((1U << shape.sub_bits) - 1);

	if (index == 0)
		return (uint64_t)1 << shape.first_bit;
	if (index + 1U >= shape.buckets)
		return UINT64_MAX;
	return ((uint64_t)1 << octave) + ((uint64_t)(sub + 1) << (octave - shape.sub_bits));
}

static inline void histogram_add_time(struct histogram_times *h, uint64_t us)
{
	counter_add(&h->sum, us);
	counter_add(&h->buckets[histogram_index(HISTOGRAM_TIMES, us)], 1);
}

static inline void histogram_add_size(struct histogram_sizes *h, uint64_t bytes)
{
	counter_add(&h->sum, bytes);
	counter_add(&h->buckets[histogram_index(HISTOGRAM_SIZES, bytes)], 1);
}

/* ---- the reader's ---- */

#define HISTOGRAM_BUCKETS_MAX HISTOGRAM_TIMES_BUCKETS

/* What one or several histograms of the same shape say together. */
struct histogram_reading {
	struct histogram_shape shape;
	uint64_t sum;
	uint64_t count; /* of the buckets below, all of them */
	uint64_t buckets[HISTOGRAM_BUCKETS_MAX];
};

void histogram_reading_init(struct histogram_reading *r, struct histogram_shape shape);
/* Adds; the shape is that of the reading. */
void histogram_read_times(struct histogram_reading *r, const struct histogram_times *h);
void histogram_read_sizes(struct histogram_reading *r, const struct histogram_sizes *h);
/* What came between two readings of the same counters; `now` becomes it. */
void histogram_reading_subtract(struct histogram_reading *now, const struct histogram_reading *then);
/* How many are at most `bound`, which is the bound of a bucket. */
uint64_t histogram_reading_up_to(const struct histogram_reading *r, uint64_t bound);
/* The value that the share `q` (0 to 1) is at most, as if each bucket were filled evenly; 0
 * when there are none. Of those in the last bucket only its lower end is known. */
double histogram_quantile(const struct histogram_reading *r, double q);

#endif

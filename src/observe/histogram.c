#include <ringway/observe/histogram.h>

#include <string.h>

void histogram_reading_init(struct histogram_reading *r, struct histogram_shape shape)
{
	must(shape.buckets <= HISTOGRAM_BUCKETS_MAX);
	memset(r, 0, sizeof(*r));
	r->shape = shape;
}

static void read_into(struct histogram_reading *r, const struct counter *sum,
		      const struct counter *buckets)
{
	r->sum += counter_get(sum);
	for (unsigned i = 0; i < r->shape.buckets; i++) {
		uint64_t n = counter_get(&buckets[i]);

		r->buckets[i] += n;
		r->count += n;
	}
}

void histogram_read_times(struct histogram_reading *r, const struct histogram_times *h)
{
	must(r->shape.buckets == HISTOGRAM_TIMES_BUCKETS);
	read_into(r, &h->sum, h->buckets);
}

void histogram_read_sizes(struct histogram_reading *r, const struct histogram_sizes *h)
{
	must(r->shape.buckets == HISTOGRAM_SIZES_BUCKETS);
	read_into(r, &h->sum, h->buckets);
}

void histogram_reading_subtract(struct histogram_reading *now, const struct histogram_reading *then)
{
	must(now->shape.buckets == then->shape.buckets);
	now->sum -= then->sum;
	now->count -= then->count;
	for (unsigned i = 0; i < now->shape.buckets; i++)
		now->buckets[i] -= then->buckets[i];
}

uint64_t histogram_reading_up_to(const struct histogram_reading *r, uint64_t bound)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->shape.buckets && histogram_bound(r->shape, i) <= bound; i++)
		n += r->buckets[i];
	return n;
}

double histogram_quantile(const struct histogram_reading *r, double q)
{
	double wanted = q * (double)r->count, below = 0, low = 0;
	unsigned last = r->shape.buckets - 1U;

	if (!r->count)
		return 0;
	for (unsigned i = 0; i < last; i++) {
		double high = (double)histogram_bound(r->shape, i), n = (double)r->buckets[i];

		if (n > 0 && below + n >= wanted)
			return low + (high - low) * (wanted > below ? (wanted - below) / n : 0);
		below += n;
		low = high;
	}
	return low;
}

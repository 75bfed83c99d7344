/* What a check against a limit costs: nanoseconds, the best of several runs, and
 * instructions, counted one by one. See bench/README.md.
 *
 * Time is an argument of the limiter's. With one thread it goes on by a fixed step per check,
 * so that each row meets what it is about: a lease that has tokens, a bucket that has none.
 * Two threads need one time: the clock's, many times as fast, so that it is the limiter that
 * ends what they can do and not the rate.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ringway/base/base.h>
#include <ringway/base/clock.h>
#include <ringway/limit/limiter.h>

enum {
	/* The best of several short runs is what the CPU can do: whatever else ran on it
	 * meanwhile only ever takes away. */
	RUNS = 9,
	CHECKS = 1000000, /* of a run */
	SHARDS = 2,
	MANY_KEYS = 10000000,
	STEPPED = 300,    /* checks whose instructions are counted */
	CLOCK_TIMES = 32, /* as fast as it is, for two threads */
};

struct bench {
	struct limiter *limiter;
	void *memory;
	size_t bytes;
	struct limiter_shard *shard[SHARDS];
	uint64_t now_ns[SHARDS];
	uint32_t limit;
	uint64_t admitted;
};

static const char key_text[] = "203.0.113.77";

static void bench_open(struct bench *b, uint32_t keys, uint32_t windows,
		       const struct limit_terms *terms, bool is_huge)
{
	static const uint8_t seed[16] = "not so secret!!";
	const struct limiter_size size = {.shards = SHARDS, .keys = keys, .windows = windows};

	*b = (struct bench){.bytes = limiter_bytes(&size)};
	b->memory =
		mmap(NULL, b->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(b->memory != MAP_FAILED);
	madvise(b->memory, b->bytes, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(b->memory, 0, b->bytes);
	must(limiter_create(&size, b->memory, seed, 0, &b->limiter) == 0);
	must(limiter_add(b->limiter, "limit", terms, &b->limit) == 0);
	for (unsigned i = 0; i < SHARDS; i++) {
		must(limiter_shard_create(b->limiter, i, &b->shard[i]) == 0);
		b->now_ns[i] = 1000 * NS_PER_S;
	}
}

static void bench_close(struct bench *b)
{
	struct limiter_stats stats;

	for (unsigned i = 0; i < SHARDS; i++) {
		limiter_shard_stats(b->shard[i], &stats);
		must(stats.over_admitted == 0);
		limiter_shard_destroy(b->shard[i]);
	}
	limiter_destroy(b->limiter);
	munmap(b->memory, b->bytes);
}

static bool check(struct bench *b, unsigned shard, uint64_t fingerprint, uint64_t step_ns)
{
	struct limit_verdict verdict;

	b->now_ns[shard] += step_ns;
	limiter_take(b->shard[shard], b->limit, fingerprint, SPAN(key_text), 1, b->now_ns[shard],
		     &verdict);
	return verdict.outcome == LIMIT_ADMITTED;
}

static uint64_t one_key(const struct bench *b)
{
	return limiter_fingerprint(b->limiter, b->limit, key_text, sizeof(key_text) - 1);
}

static void upkeep(struct bench *b, unsigned shard)
{
	if (limiter_shard_has_leases(b->shard[shard]))
		limiter_upkeep(b->shard[shard], b->now_ns[shard]);
}

static uint64_t lease_hits(const struct bench *b)
{
	struct limiter_stats stats;
	uint64_t sum = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		limiter_shard_stats(b->shard[i], &stats);
		sum += stats.lease_hits;
	}
	return sum;
}

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

/* ---- time ---- */

/* One shard, one key; with upkeep as often as there would be. */
static double time_one_key(struct bench *b, uint64_t step_ns, double *ret_hit_share)
{
	uint64_t fingerprint = one_key(b), hits;
	double best = 1e9;

	for (unsigned run = 0; run < RUNS; run++) {
		uint64_t begin = clock_monotonic_ns(), upkeep_at = b->now_ns[0];

		hits = lease_hits(b);
		for (unsigned i = 0; i < CHECKS; i++) {
			b->admitted += check(b, 0, fingerprint, step_ns);
			if (b->now_ns[0] >= upkeep_at) {
				upkeep_at += LIMITER_UPKEEP_NS;
				upkeep(b, 0);
			}
		}
		best = smaller(best, (double)(clock_monotonic_ns() - begin) / CHECKS);
	}
	*ret_hit_share = (double)(lease_hits(b) - hits) / CHECKS;
	return best;
}

/* Any of them, each check. Which ones is made up before the clock starts. */
static double time_many_keys(struct bench *b, uint32_t keys)
{
	uint64_t *order = malloc(CHECKS * sizeof(*order)), random = 1;
	double best = 1e9;

	must(order);
	for (uint32_t i = 0; i < keys; i++)
		check(b, 0, limiter_fingerprint(b->limiter, b->limit, &i, sizeof(i)), 1);
	for (unsigned run = 0; run < RUNS; run++) {
		uint64_t begin;

		for (unsigned i = 0; i < CHECKS; i++) {
			uint32_t key;

			random = random * 6364136223846793005 + 1442695040888963407;
			key = (uint32_t)(random >> 33) % keys;
			order[i] = limiter_fingerprint(b->limiter, b->limit, &key, sizeof(key));
		}
		begin = clock_monotonic_ns();
		for (unsigned i = 0; i < CHECKS; i++)
			b->admitted += check(b, 0, order[i], 100);
		best = smaller(best, (double)(clock_monotonic_ns() - begin) / CHECKS);
	}
	free(order);
	return best;
}

static double time_fingerprint(struct bench *b)
{
	double best = 1e9;

	for (unsigned run = 0; run < RUNS; run++) {
		uint64_t begin = clock_monotonic_ns(), sum = 0;

		for (uint64_t i = 0; i < CHECKS; i++) {
			char key[sizeof(key_text)];

			memcpy(key, key_text, sizeof(key));
			key[0] = (char)i;
			sum += limiter_fingerprint(b->limiter, b->limit, key, sizeof(key) - 1);
		}
		b->admitted += sum & 1;
		best = smaller(best, (double)(clock_monotonic_ns() - begin) / CHECKS);
	}
	return best;
}

/* ---- two threads on one key ---- */

struct contender {
	struct bench *b;
	unsigned shard;
	uint64_t admitted;
	pthread_barrier_t *barrier;
	double ns;
	bool is_pinned;
};

static void *contend(void *arg)
{
	struct contender *c = arg;
	struct limiter_shard *s = c->b->shard[c->shard];
	uint64_t fingerprint = one_key(c->b), begin, upkeep_at = 0;
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(c->shard, &cpu);
	c->is_pinned = sched_setaffinity(0, sizeof(cpu), &cpu) == 0;
	pthread_barrier_wait(c->barrier);
	begin = clock_monotonic_ns();
	for (unsigned i = 0; i < CHECKS; i++) {
		uint64_t now_ns = clock_monotonic_ns() * CLOCK_TIMES;
		struct limit_verdict verdict;

		limiter_take(s, c->b->limit, fingerprint, SPAN(key_text), 1, now_ns, &verdict);
		if (now_ns >= upkeep_at) {
			upkeep_at = now_ns + LIMITER_UPKEEP_NS;
			if (limiter_shard_has_leases(s))
				limiter_upkeep(s, now_ns);
		}
		c->admitted += verdict.outcome == LIMIT_ADMITTED;
	}
	c->ns = (double)(clock_monotonic_ns() - begin) / CHECKS;
	return NULL;
}

static double time_two_threads(struct bench *b, double *ret_hit_share, double *ret_admitted_share)
{
	double best = 1e9;
	uint64_t hits = 0;

	for (unsigned run = 0; run < RUNS; run++) {
		struct contender c[SHARDS];
		pthread_t thread[SHARDS];
		pthread_barrier_t barrier;
		uint64_t admitted = 0;
		double sum = 0;

		hits = lease_hits(b);
		pthread_barrier_init(&barrier, NULL, SHARDS);
		for (unsigned i = 0; i < SHARDS; i++) {
			c[i] = (struct contender){.b = b, .shard = i, .barrier = &barrier};
			must(pthread_create(&thread[i], NULL, contend, &c[i]) == 0);
		}
		for (unsigned i = 0; i < SHARDS; i++) {
			pthread_join(thread[i], NULL);
			sum += c[i].ns / SHARDS;
			admitted += c[i].admitted;
			if (!c[i].is_pinned)
				return 0;
		}
		pthread_barrier_destroy(&barrier);
		best = smaller(best, sum);
		*ret_admitted_share = (double)admitted / CHECKS / SHARDS;
	}
	*ret_hit_share = (double)(lease_hits(b) - hits) / CHECKS / SHARDS;
	return best;
}

/* ---- instructions ---- */

/* The parent steps between two of these; what they need themselves is what it counts
 * between two with nothing in between. */
static void mark(void)
{
	syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
}

/* Instructions until the child's next mark; 0: there is none. */
static uint64_t step_to_mark(pid_t child)
{
	uint64_t count = 0;
	int status;

	do {
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0 ||
		    waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status))
			return 0;
		count++;
	} while (WSTOPSIG(status) != SIGUSR1);
	return count;
}

static bool run_to_mark(pid_t child)
{
	int status;

	return ptrace(PTRACE_CONT, child, NULL, NULL) == 0 && waitpid(child, &status, 0) > 0 &&
	       WIFSTOPPED(status) && WSTOPSIG(status) == SIGUSR1;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

struct counted {
	uint64_t median, most;
	double mean;
};

/* Each check on its own, so that the one that takes a new lease is seen. */
static struct counted count_instructions(struct bench *b, uint64_t step_ns)
{
	static uint64_t counts[STEPPED];
	struct counted result = {0};
	uint64_t empty;
	pid_t child = fork();
	int status;

	must(child >= 0);
	if (child == 0) {
		uint64_t fingerprint = one_key(b);
		struct limit_verdict verdict;

		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		mark();
		mark();
		for (unsigned i = 0; i < STEPPED; i++) {
			b->now_ns[0] += step_ns;
			mark();
			limiter_take(b->shard[0], b->limit, fingerprint, SPAN(key_text), 1,
				     b->now_ns[0], &verdict);
			mark();
		}
		_exit(0);
	}
	if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status))
		return result;
	empty = step_to_mark(child);
	for (unsigned i = 0; i < STEPPED && run_to_mark(child); i++) {
		counts[i] = step_to_mark(child) - empty;
		result.mean += (double)counts[i] / STEPPED;
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	qsort(counts, STEPPED, sizeof(*counts), by_value);
	result.median = counts[STEPPED / 2];
	result.most = counts[STEPPED - 1];
	return result;
}

/* ---- the table ---- */

static void print_row(const char *name, double ns, double hit_share, const struct counted *counted)
{
	printf("%-44s%8.1f%10.1f", name, ns, 1e3 / ns);
	if (hit_share >= 0)
		printf("%9.1f%%", hit_share * 100);
	else
		printf("%10s", "-");
	if (counted && counted->most)
		printf("%8llu%8.1f%8llu\n", (unsigned long long)counted->median, counted->mean,
		       (unsigned long long)counted->most);
	else
		printf("%8s%8s%8s\n", "-", "-", "-");
}

static const struct limit_terms
	/* A burst of 4 is too small to be lent: each check goes to the slot. */
	small_burst = {.tokens = LIMIT_TOKENS_MAX, .period_ns = NS_PER_S / 10, .burst = 4},
	large_burst = {.tokens = LIMIT_TOKENS_MAX, .period_ns = NS_PER_S / 10, .burst = 100000},
	slow = {.tokens = 1, .period_ns = 3600 * NS_PER_S, .burst = 4},
	window = {.algorithm = LIMIT_SLIDING_WINDOW,
		  .tokens = LIMIT_TOKENS_MAX,
		  .period_ns = NS_PER_S},
	fixed = {
		.algorithm = LIMIT_FIXED_WINDOW, .tokens = LIMIT_TOKENS_MAX, .period_ns = NS_PER_S};

static void row_one_key(const char *name, const struct limit_terms *terms, uint64_t step_ns)
{
	struct counted counted;
	struct bench b;
	double share, ns;

	bench_open(&b, 1024, 1024, terms, false);
	ns = time_one_key(&b, step_ns, &share);
	counted = count_instructions(&b, step_ns);
	print_row(name, ns, share, &counted);
	bench_close(&b);
}

static void row_two_threads(const char *name, const struct limit_terms *terms)
{
	double share = -1, admitted = 0, ns;
	struct bench b;

	if (sysconf(_SC_NPROCESSORS_ONLN) < SHARDS) {
		printf("%-44s needs two CPUs\n", name);
		return;
	}
	bench_open(&b, 1024, 1024, terms, false);
	ns = time_two_threads(&b, &share, &admitted);
	if (ns > 0) {
		print_row(name, ns, share, NULL);
		printf("%-44s%7.1f%% of them admitted\n", "", admitted * 100);
	} else
		printf("%-44s could not be pinned to CPUs 0 and 1\n", name);
	bench_close(&b);
}

static void row_many_keys(const char *name, const struct limit_terms *terms, uint32_t keys,
			  bool is_huge)
{
	bool is_window = terms->algorithm == LIMIT_SLIDING_WINDOW;
	struct bench b;

	bench_open(&b, is_window ? 64 : keys, is_window ? keys : 64, terms, is_huge);
	print_row(name, time_many_keys(&b, keys), -1, NULL);
	bench_close(&b);
}

int main(int argc, char **argv UNUSED)
{
	struct bench b;

	if (argc > 1) {
		fprintf(stderr, "usage: limits\nTakes no arguments; bench/README.md says what it "
				"prints.\n");
		return 2;
	}
	printf("%-44s%8s%10s%10s%24s\n", "", "best of", "million/s", "by lease",
	       "-- instructions --");
	printf("%-44s%8s%10s%10s%8s%8s%8s\n", "", "9, ns", "per core", "", "median", "mean",
	       "most");
	row_one_key("one key, from its lease", &large_burst, 1000);
	row_one_key("one key, from its slot", &small_burst, 1000);
	row_one_key("one key, refused", &slow, 1);
	row_one_key("one key, sliding window", &window, 2000);
	row_one_key("one key, fixed window", &fixed, 2000);
	row_two_threads("one key on 2 CPUs, with leases", &large_burst);
	row_two_threads("one key on 2 CPUs, without", &small_burst);
	row_many_keys("10 million keys", &small_burst, MANY_KEYS, false);
	row_many_keys("10 million keys, huge pages", &small_burst, MANY_KEYS, true);
	row_many_keys("1 million keys, sliding windows", &window, MANY_KEYS / 10, false);
	row_many_keys("1 million keys, sliding windows, huge pages", &window, MANY_KEYS / 10, true);
	bench_open(&b, 64, 64, &slow, false);
	print_row("fingerprint of a key of 12 bytes", time_fingerprint(&b), -1, NULL);
	bench_close(&b);
	return 0;
}

/* What a limiter was told survives it. */
#include "limited.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define UNIX_NS (1700000000 * NS_PER_S)

static int file(void)
{
	int fd = memfd_create("limits", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void save(struct limited *l, int fd, uint64_t now_ns, uint64_t unix_ns)
{
	limited_end_shards(l);
	assert_int_equal(limiter_save(l->limiter, fd, now_ns, unix_ns), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
}

static struct limit_terms terms_with(enum limit_algorithm algorithm, uint64_t tokens,
				     uint64_t period_ns, uint64_t burst)
{
	return (struct limit_terms){
		.algorithm = algorithm, .tokens = tokens, .period_ns = period_ns, .burst = burst};
}

/* Four limits, each with an exhausted key and one that has some left. */
static void fill(struct limited *l, uint64_t now_ns)
{
	limited_add(l, "bucket", bucket_terms(1, NS_PER_S, 10));
	limited_add(l, "fixed", terms_with(LIMIT_FIXED_WINDOW, 10, 3600 * NS_PER_S, 0));
	limited_add(l, "sliding", terms_with(LIMIT_SLIDING_WINDOW, 10, 80 * NS_PER_S, 0));
	limited_add(l, "cap", terms_with(LIMIT_CONCURRENCY, 1, NS_PER_S, 10));
	for (uint32_t limit = 0; limit < 4; limit++) {
		assert_int_equal(admitted_of(l, 0, limit, 1, 20, now_ns), 10);
		assert_int_equal(admitted_of(l, 0, limit, 2, 4, now_ns), 4);
	}
}

static void an_exhausted_key_stays_so_over_a_restart(void **state UNUSED)
{
	struct limited before, after;
	uint64_t keys, left_out, now_ns = 5 * NS_PER_S; /* a clock that began anew */
	int fd = file();

	limited_init(&before, 2, 100, 100);
	fill(&before, BEGIN_NS);
	save(&before, fd, BEGIN_NS, UNIX_NS);
	limited_init(&after, 3, 500, 10);
	/* The wall clock goes on: windows are numbered by it. */
	limiter_set_wall_offset(after.limiter, (int64_t)(BEGIN_NS - now_ns));
	assert_int_equal(limiter_load(after.limiter, fd, now_ns, UNIX_NS, &keys, &left_out), 0);
	assert_int_equal(keys, 6);
	assert_int_equal(left_out, 0);
	assert_int_equal(limiter_limits(after.limiter), 4);
	assert_string_equal(limiter_name(after.limiter, 2), "sliding");
	for (uint32_t limit = 0; limit < 3; limit++) {
		assert_int_equal(admitted_of(&after, 0, limit, 1, 20, now_ns), 0);
		assert_int_equal(admitted_of(&after, 0, limit, 2, 20, now_ns), 6);
		assert_int_equal(admitted_of(&after, 0, limit, 3, 20, now_ns), 10);
	}
	/* What was in flight is not any more. */
	assert_int_equal(admitted_of(&after, 0, 3, 1, 20, now_ns), 10);
	limited_fini(&before);
	limited_fini(&after);
	close(fd);
}

static void the_time_between_counts_as_passed_and_never_negative(void **state UNUSED)
{
	struct limited before;
	int fd = file();

	limited_init(&before, 1, 100, 100);
	fill(&before, BEGIN_NS);
	save(&before, fd, BEGIN_NS, UNIX_NS);
	for (int back = 0; back < 2; back++) {
		struct limited after;
		uint64_t keys, left_out, now_ns = 100 * BEGIN_NS;
		uint64_t unix_ns = back ? UNIX_NS - 3600 * NS_PER_S : UNIX_NS + 5 * NS_PER_S;

		limited_init(&after, 1, 100, 100);
		limiter_set_wall_offset(after.limiter, (int64_t)BEGIN_NS - (int64_t)now_ns);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(limiter_load(after.limiter, fd, now_ns, unix_ns, &keys, &left_out),
				 0);
		assert_in_range(admitted_of(&after, 0, 0, 1, 20, now_ns), back ? 0 : 4,
				back ? 0 : 5);
		assert_int_equal(admitted_of(&after, 0, 2, 1, 20, now_ns), 0);
		/* Of a window of 80 s everything is past after 100. */
		assert_int_equal(admitted_of(&after, 0, 2, 1, 20, now_ns + 101 * NS_PER_S), 10);
		limited_fini(&after);
	}
	limited_fini(&before);
	close(fd);
}

static void changed_terms_and_used_tokens_both_survive(void **state UNUSED)
{
	struct limited before, after;
	struct limit_terms terms = bucket_terms(100, NS_PER_S, 50), got;
	uint64_t keys, left_out;
	int fd = file();

	limited_init(&before, 2, 100, 100);
	limited_add(&before, "a", terms);
	assert_int_equal(admitted_of(&before, 0, 0, 1, 45, BEGIN_NS), 45);
	terms = bucket_terms(7, NS_PER_S, 60);
	limiter_set(before.limiter, 0, &terms, BEGIN_NS);
	save(&before, fd, BEGIN_NS, UNIX_NS);
	limited_init(&after, 2, 100, 100);
	assert_int_equal(limiter_load(after.limiter, fd, BEGIN_NS, UNIX_NS, &keys, &left_out), 0);
	limiter_terms(after.limiter, 0, &got);
	assert_int_equal(got.tokens, 7);
	assert_int_equal(got.burst, 60);
	assert_int_equal(admitted_of(&after, 0, 0, 1, 100, BEGIN_NS), 15);
	assert_int_equal(admitted_of(&after, 0, 0, 1, 100, BEGIN_NS + NS_PER_S + NS_PER_MS), 7);
	limited_fini(&before);
	limited_fini(&after);
	close(fd);
}

static void leases_are_folded_in(void **state UNUSED)
{
	struct limited before, after;
	uint64_t keys, left_out, used;
	int fd = file();

	limited_init(&before, 2, 100, 100);
	limited_add(&before, "a", bucket_terms(1, NS_PER_S, 1000));
	used = admitted_of(&before, 0, 0, 1, 300, BEGIN_NS);
	save(&before, fd, BEGIN_NS, UNIX_NS);
	limited_init(&after, 2, 100, 100);
	assert_int_equal(limiter_load(after.limiter, fd, BEGIN_NS, UNIX_NS, &keys, &left_out), 0);
	used += admitted_of(&after, 0, 0, 1, 2000, BEGIN_NS);
	assert_in_range(used, 700, 1000);
	limited_fini(&before);
	limited_fini(&after);
	close(fd);
}

static void a_forgotten_limit_gives_its_number_to_another(void **state UNUSED)
{
	struct limited before, after;
	uint64_t keys, left_out;
	uint32_t limit;
	int fd = file(), again = file();

	limited_init(&before, 1, 100, 100);
	for (const char *name = "abc"; *name; name++)
		limited_add(&before, (char[]){*name, '\0'}, bucket_terms(1, 3600 * NS_PER_S, 10));
	for (limit = 0; limit < 3; limit++)
		assert_int_equal(admitted_of(&before, 0, limit, 1, 10, BEGIN_NS), 10);
	save(&before, fd, BEGIN_NS, UNIX_NS);
	limited_fini(&before);
	/* Twice: a number that nobody had when it was saved is nobody's afterwards. */
	for (unsigned round = 0; round < 2; round++) {
		limited_init(&after, 1, 100, 100);
		assert_int_equal(limiter_load(after.limiter, round ? again : fd, BEGIN_NS, UNIX_NS,
					      &keys, &left_out),
				 0);
		assert_int_equal(keys, round ? 2 : 3);
		limiter_forget(after.limiter, 1);
		if (!round) {
			save(&after, again, BEGIN_NS, UNIX_NS);
			limited_fini(&after);
		}
	}
	assert_int_equal(limiter_find(after.limiter, "b", &limit), -ENOENT);
	assert_int_equal(limited_add(&after, "d", bucket_terms(1, 3600 * NS_PER_S, 10)), 1);
	assert_int_equal(limited_add(&after, "b", bucket_terms(1, 3600 * NS_PER_S, 10)), 3);
	assert_int_equal(admitted_of(&after, 0, 0, 1, 10, BEGIN_NS), 0);
	assert_int_equal(admitted_of(&after, 0, 1, 1, 20, BEGIN_NS), 10);
	assert_int_equal(admitted_of(&after, 0, 2, 1, 10, BEGIN_NS), 0);
	assert_int_equal(admitted_of(&after, 0, 3, 1, 20, BEGIN_NS), 10);
	limited_fini(&after);
	close(fd);
	close(again);
}

static void keys_without_room_are_counted(void **state UNUSED)
{
	struct limited before, after;
	uint64_t keys, left_out;
	int fd = file();

	limited_init(&before, 1, 1000, 0);
	limited_add(&before, "a", bucket_terms(1, 3600 * NS_PER_S, 10));
	for (uint64_t i = 0; i < 500; i++)
		assert_true(admits(&before, 0, 0, i, BEGIN_NS));
	save(&before, fd, BEGIN_NS, UNIX_NS);
	limited_init(&after, 1, 100, 0);
	assert_int_equal(limiter_load(after.limiter, fd, BEGIN_NS, UNIX_NS, &keys, &left_out), 0);
	assert_in_range(keys, 100, 128);
	assert_int_equal(keys + left_out, 500);
	limited_fini(&before);
	limited_fini(&after);
	close(fd);
}

static void a_file_that_is_not_whole_changes_nothing(void **state UNUSED)
{
	struct limited before, after;
	uint64_t keys, left_out;
	char bytes[16384];
	ssize_t len;
	int fd = file();

	limited_init(&before, 1, 100, 100);
	fill(&before, BEGIN_NS);
	save(&before, fd, BEGIN_NS, UNIX_NS);
	len = pread(fd, bytes, sizeof(bytes), 0);
	assert_in_range(len, 100, sizeof(bytes) - 1);
	limited_init(&after, 1, 100, 100);
	for (ssize_t cut = 0; cut < len; cut++) {
		char flipped = (char)(bytes[cut] ^ 0x10);

		assert_int_equal(ftruncate(fd, cut), 0);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(
			limiter_load(after.limiter, fd, BEGIN_NS, UNIX_NS, &keys, &left_out),
			-EBADMSG);
		assert_int_equal(pwrite(fd, bytes, (size_t)len, 0), len);
		assert_int_equal(pwrite(fd, &flipped, 1, cut), 1);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(
			limiter_load(after.limiter, fd, BEGIN_NS, UNIX_NS, &keys, &left_out),
			-EBADMSG);
	}
	assert_int_equal(limiter_limits(after.limiter), 0);
	assert_int_equal(limited_add(&after, "a", bucket_terms(1, NS_PER_S, 5)), 0);
	assert_int_equal(admitted_of(&after, 0, 0, 1, 9, BEGIN_NS), 5);
	limited_fini(&before);
	limited_fini(&after);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exhausted_key_stays_so_over_a_restart),
		cmocka_unit_test(the_time_between_counts_as_passed_and_never_negative),
		cmocka_unit_test(changed_terms_and_used_tokens_both_survive),
		cmocka_unit_test(leases_are_folded_in),
		cmocka_unit_test(a_forgotten_limit_gives_its_number_to_another),
		cmocka_unit_test(keys_without_room_are_counted),
		cmocka_unit_test(a_file_that_is_not_whole_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

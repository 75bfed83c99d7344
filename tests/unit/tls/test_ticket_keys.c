#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include <ringway/base/base.h>
#include <ringway/tls/ticket_keys.h>

#define HOUR     ((uint32_t)3600)
#define LIFETIME (4 * HOUR)
#define NOW      (500000 * (uint64_t)HOUR) /* an epoch begins here */

static const uint8_t binding[TLS_TICKET_BINDING_BYTES] = "listener, CA and certificate";
static const char text[] = "what a session is resumed from: version, suite and a secret";

struct ticket {
	uint8_t name[TLS_TICKET_NAME_BYTES];
	uint8_t iv[TLS_TICKET_IV_BYTES];
	uint8_t tag[TLS_TICKET_TAG_BYTES];
	uint8_t bytes[sizeof(text)];
};

static struct tls_ticket_keys *keys;

static _Alignas(4096) char memory[16 * 1024];

static int create(void **state UNUSED)
{
	assert_true(tls_ticket_keys_bytes() <= sizeof(memory));
	keys = tls_ticket_keys_init(memory);
	return 0;
}

static int destroy(void **state UNUSED)
{
	tls_ticket_keys_fini(keys);
	/* Nothing is left to be found. */
	for (size_t i = 0; i < sizeof(memory); i++)
		assert_int_equal(memory[i], 0);
	return 0;
}

static struct ticket seal_every(uint32_t rotate_s, uint64_t now_s)
{
	struct ticket t;

	memset(&t, 0xee, sizeof(t));
	memcpy(t.bytes, text, sizeof(text));
	assert_true(tls_ticket_seal(keys, binding, now_s, rotate_s, t.name, t.iv, t.tag, t.bytes,
				    sizeof(t.bytes)));
	return t;
}

static struct ticket seal(uint64_t now_s)
{
	return seal_every(HOUR, now_s);
}

static enum tls_ticket_verdict open_with(const uint8_t *bound, uint32_t rotate_s,
					 uint32_t lifetime_s, struct ticket t, uint64_t now_s)
{
	enum tls_ticket_verdict verdict =
		tls_ticket_open(keys, bound, now_s, rotate_s, lifetime_s, t.name, t.iv, t.tag,
				t.bytes, sizeof(t.bytes));

	if (verdict != TLS_TICKET_UNKNOWN)
		assert_memory_equal(t.bytes, text, sizeof(text));
	return verdict;
}

static enum tls_ticket_verdict open_at(uint64_t now_s, struct ticket t)
{
	return open_with(binding, HOUR, LIFETIME, t, now_s);
}

static void a_ticket_opens_in_its_epoch(void **state UNUSED)
{
	static const uint8_t zeros[16];
	struct ticket t = seal(NOW);

	assert_memory_not_equal(t.bytes, text, sizeof(text));
	assert_memory_equal(t.tag + 16, zeros, 16);
	assert_int_equal(open_at(NOW, t), TLS_TICKET_OPEN);
	assert_int_equal(open_at(NOW + HOUR - 1, t), TLS_TICKET_OPEN);
	/* Again: whether one serves once is not decided here. */
	assert_int_equal(open_at(NOW + HOUR - 1, t), TLS_TICKET_OPEN);
}

static void a_ticket_of_the_epoch_before_is_to_be_renewed(void **state UNUSED)
{
	struct ticket t = seal(NOW + HOUR - 1);

	assert_int_equal(open_at(NOW + HOUR, t), TLS_TICKET_OPEN_RENEW);
	assert_int_equal(open_at(NOW + HOUR, seal(NOW + HOUR)), TLS_TICKET_OPEN);
	assert_int_equal(open_at(NOW + 2 * HOUR - 1, t), TLS_TICKET_OPEN_RENEW);
}

static void after_two_rotations_no_ticket_is_left(void **state UNUSED)
{
	struct ticket t = seal(NOW + HOUR - 1);

	seal(NOW + HOUR);
	seal(NOW + 2 * HOUR);
	assert_int_equal(open_at(NOW + 2 * HOUR, t), TLS_TICKET_UNKNOWN);
}

static void an_epoch_without_handshakes_counts_too(void **state UNUSED)
{
	struct ticket t = seal(NOW + HOUR - 1);

	assert_int_equal(open_at(NOW + 2 * HOUR, t), TLS_TICKET_UNKNOWN);
	/* For good, even if the clock was wrong. */
	assert_int_equal(open_at(NOW + HOUR, t), TLS_TICKET_UNKNOWN);
}

/* The keys are plain memory; random words of 64 bits are found in it or are not there. */
#define WORDS (TLS_TICKET_PERIODS_MAX * 128 / sizeof(uint64_t))

static size_t words_left(const uint64_t *before, size_t count)
{
	const uint64_t *now = (const uint64_t *)(const void *)keys;
	size_t left = 0;

	for (size_t b = 0; b < count; b++)
		for (size_t n = 0; n < WORDS; n++)
			left += before[b] > UINT32_MAX && before[b] == now[n];
	return left;
}

static void secrets_of_passed_epochs_are_overwritten(void **state UNUSED)
{
	uint64_t before[WORDS];

	seal(NOW);
	memcpy(before, keys, sizeof(before));
	assert_true(words_left(before, WORDS) >= 8);
	seal(NOW + HOUR); /* the current one became the previous one */
	assert_int_equal(words_left(before, WORDS), 4);
	seal(NOW + 2 * HOUR);
	assert_int_equal(words_left(before, WORDS), 0);
}

static void opening_overwrites_as_sealing_does(void **state UNUSED)
{
	uint64_t before[WORDS];
	struct ticket t = seal(NOW + 2 * HOUR - 1);

	memcpy(before, keys, sizeof(before));
	open_at(NOW + 3 * HOUR, t);
	assert_int_equal(words_left(before, WORDS), 0);
}

static void a_ticket_of_another_binding_has_an_unknown_name(void **state UNUSED)
{
	uint8_t other[TLS_TICKET_BINDING_BYTES];
	struct ticket t = seal(NOW), theirs;

	memcpy(other, binding, sizeof(other));
	other[31] ^= 1;
	assert_int_equal(open_with(other, HOUR, LIFETIME, t, NOW), TLS_TICKET_UNKNOWN);
	theirs = t;
	memcpy(theirs.bytes, text, sizeof(text));
	assert_true(tls_ticket_seal(keys, other, NOW, HOUR, theirs.name, theirs.iv, theirs.tag,
				    theirs.bytes, sizeof(theirs.bytes)));
	assert_memory_not_equal(theirs.name, t.name, sizeof(t.name));
	assert_int_equal(open_with(other, HOUR, LIFETIME, theirs, NOW), TLS_TICKET_OPEN);
	/* Nor does it help to change the name. */
	memcpy(theirs.name, t.name, sizeof(t.name));
	assert_int_equal(open_at(NOW, theirs), TLS_TICKET_UNKNOWN);
}

static void keys_of_another_process_do_not_open(void **state)
{
	struct ticket t = seal(NOW);

	destroy(state);
	assert_int_equal(create(state), 0);
	assert_int_equal(open_at(NOW, t), TLS_TICKET_UNKNOWN);
}

static void a_ticket_with_any_bit_changed_is_unknown(void **state UNUSED)
{
	struct ticket t = seal(NOW);

	for (size_t bit = 0; bit < sizeof(t) * 8; bit++) {
		struct ticket forged = t;

		((uint8_t *)&forged)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(open_at(NOW, forged), TLS_TICKET_UNKNOWN);
	}
}

static void a_ticket_that_lost_its_end_is_unknown(void **state UNUSED)
{
	for (uint32_t len = 0; len < sizeof(text); len++) {
		struct ticket t = seal(NOW);

		assert_int_equal(tls_ticket_open(keys, binding, NOW, HOUR, LIFETIME, t.name, t.iv,
						 t.tag, t.bytes, len),
				 TLS_TICKET_UNKNOWN);
	}
}

static void a_ticket_lives_as_long_as_it_is_told(void **state UNUSED)
{
	struct ticket t = seal(NOW + 100);

	assert_int_equal(open_with(binding, HOUR, 60, t, NOW + 160), TLS_TICKET_OPEN);
	assert_int_equal(open_with(binding, HOUR, 60, t, NOW + 161), TLS_TICKET_UNKNOWN);
	assert_int_equal(open_with(binding, HOUR, UINT32_MAX, t, NOW + 161), TLS_TICKET_OPEN);
}

static void a_ticket_from_the_future_is_unknown(void **state UNUSED)
{
	struct ticket t = seal(NOW + 100);

	assert_int_equal(open_at(NOW + 40, t), TLS_TICKET_OPEN);
	assert_int_equal(open_at(NOW + 39, t), TLS_TICKET_UNKNOWN);
}

static void the_year_2106_passes_unnoticed(void **state UNUSED)
{
	uint64_t last = UINT32_MAX;
	struct ticket t = seal(last - 10);

	assert_int_not_equal(open_at(last + 10, t), TLS_TICKET_UNKNOWN);
}

static void a_clock_that_is_a_little_behind_uses_the_newest_keys(void **state UNUSED)
{
	struct ticket t = seal(NOW), late;

	/* A shard that still is in the epoch before. */
	late = seal(NOW - 1);
	assert_memory_equal(late.name, t.name, sizeof(t.name));
	assert_int_equal(open_at(NOW - 1, t), TLS_TICKET_OPEN);
	assert_int_equal(open_at(NOW, late), TLS_TICKET_OPEN);
}

static void a_clock_set_back_by_days_begins_anew(void **state UNUSED)
{
	struct ticket ahead = seal(NOW + 1000 * HOUR), t;

	t = seal(NOW);
	assert_memory_not_equal(t.name, ahead.name, sizeof(t.name));
	assert_int_equal(open_at(NOW, t), TLS_TICKET_OPEN);
	assert_int_equal(open_at(NOW, ahead), TLS_TICKET_UNKNOWN);
	/* Rotation goes on, and the keys of that future never come again. */
	assert_int_equal(open_at(NOW + HOUR, t), TLS_TICKET_OPEN_RENEW);
	t = seal(NOW + 1000 * HOUR);
	assert_memory_not_equal(t.name, ahead.name, sizeof(t.name));
	assert_int_equal(open_at(NOW + 1000 * HOUR, ahead), TLS_TICKET_UNKNOWN);
}

static int compare_ivs(const void *a, const void *b)
{
	return memcmp(a, b, 12);
}

static void no_nonce_comes_twice_whatever_the_clock_does(void **state UNUSED)
{
	static uint8_t ivs[20000][TLS_TICKET_IV_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(ivs); i++) {
		struct ticket t = seal(NOW + i % 3 * HOUR / 4 - i % 7);

		memcpy(ivs[i], t.iv, sizeof(t.iv));
	}
	qsort(ivs, ARRAY_LEN(ivs), sizeof(ivs[0]), compare_ivs);
	for (size_t i = 1; i < ARRAY_LEN(ivs); i++)
		assert_int_not_equal(compare_ivs(ivs[i - 1], ivs[i]), 0);
}

static void periods_do_not_touch_each_other(void **state UNUSED)
{
	struct ticket slow = seal_every(24 * HOUR, NOW), fast = seal_every(60, NOW);

	assert_int_equal(open_with(binding, 60, LIFETIME, slow, NOW), TLS_TICKET_UNKNOWN);
	for (unsigned minute = 0; minute < 5; minute++)
		seal_every(60, NOW + minute * 60);
	assert_int_equal(open_with(binding, 60, LIFETIME, fast, NOW + 300), TLS_TICKET_UNKNOWN);
	assert_int_equal(open_with(binding, 24 * HOUR, LIFETIME, slow, NOW + 300), TLS_TICKET_OPEN);
}

static void one_period_too_many_seals_what_nobody_opens(void **state UNUSED)
{
	struct ticket t[TLS_TICKET_PERIODS_MAX + 1];

	for (uint32_t i = 0; i < ARRAY_LEN(t); i++)
		t[i] = seal_every(HOUR + i, NOW);
	for (uint32_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(open_with(binding, HOUR + i, LIFETIME, t[i], NOW),
				 i < TLS_TICKET_PERIODS_MAX ? TLS_TICKET_OPEN : TLS_TICKET_UNKNOWN);
}

static void a_period_that_is_not_used_makes_room(void **state UNUSED)
{
	uint64_t now = NOW + 10 * HOUR;

	for (uint32_t i = 0; i < TLS_TICKET_PERIODS_MAX; i++)
		seal_every(HOUR + i, NOW);
	assert_int_equal(open_with(binding, 60, LIFETIME, seal_every(60, now), now),
			 TLS_TICKET_OPEN);
}

/* Threads move from epoch to epoch together; whoever comes first turns the slots. */
enum { THREADS = 4, ROUNDS = 200, TICKETS = 10 };

static pthread_barrier_t all_there;
static struct ticket sealed[2][THREADS][TICKETS];
static _Atomic unsigned lost;

static void *shake_hands(void *number)
{
	size_t me = (size_t)(uintptr_t)number;

	for (size_t round = 0; round < ROUNDS; round++) {
		uint64_t now = NOW + round * HOUR;

		for (size_t i = 0; i < TICKETS; i++) {
			struct ticket *t = &sealed[round % 2][me][i];
			struct ticket theirs = sealed[(round + 1) % 2][(me + i) % THREADS][i];
			struct ticket copy;

			memcpy(t->bytes, text, sizeof(text));
			must(tls_ticket_seal(keys, binding, now, HOUR, t->name, t->iv, t->tag,
					     t->bytes, sizeof(text)));
			copy = *t;
			lost += tls_ticket_open(keys, binding, now, HOUR, LIFETIME, copy.name,
						copy.iv, copy.tag, copy.bytes,
						sizeof(text)) != TLS_TICKET_OPEN;
			if (round > 0)
				lost += tls_ticket_open(keys, binding, now, HOUR, LIFETIME,
							theirs.name, theirs.iv, theirs.tag,
							theirs.bytes,
							sizeof(text)) != TLS_TICKET_OPEN_RENEW;
		}
		pthread_barrier_wait(&all_there);
	}
	return NULL;
}

static void shards_open_what_others_sealed_while_keys_turn(void **state UNUSED)
{
	pthread_t threads[THREADS];

	lost = 0;
	assert_int_equal(pthread_barrier_init(&all_there, NULL, THREADS), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, shake_hands, (void *)(uintptr_t)i), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&all_there);
	printf("# %u of %u tickets lost\n", lost, 2 * THREADS * ROUNDS * TICKETS);
	/* A thread that loses its core while it turns the slot makes others seal what they
	 * will not open: rare, and no more than that. */
	assert_in_range(lost, 0, THREADS * ROUNDS * TICKETS / 50);
}

static void nothing_is_destroyed_too(void **state UNUSED)
{
	tls_ticket_keys_fini(NULL);
}

#define WITH_KEYS(test) cmocka_unit_test_setup_teardown(test, create, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_KEYS(a_ticket_opens_in_its_epoch),
		WITH_KEYS(a_ticket_of_the_epoch_before_is_to_be_renewed),
		WITH_KEYS(after_two_rotations_no_ticket_is_left),
		WITH_KEYS(an_epoch_without_handshakes_counts_too),
		WITH_KEYS(secrets_of_passed_epochs_are_overwritten),
		WITH_KEYS(opening_overwrites_as_sealing_does),
		WITH_KEYS(a_ticket_of_another_binding_has_an_unknown_name),
		WITH_KEYS(keys_of_another_process_do_not_open),
		WITH_KEYS(a_ticket_with_any_bit_changed_is_unknown),
		WITH_KEYS(a_ticket_that_lost_its_end_is_unknown),
		WITH_KEYS(a_ticket_lives_as_long_as_it_is_told),
		WITH_KEYS(a_ticket_from_the_future_is_unknown),
		WITH_KEYS(the_year_2106_passes_unnoticed),
		WITH_KEYS(a_clock_that_is_a_little_behind_uses_the_newest_keys),
		WITH_KEYS(a_clock_set_back_by_days_begins_anew),
		WITH_KEYS(no_nonce_comes_twice_whatever_the_clock_does),
		WITH_KEYS(periods_do_not_touch_each_other),
		WITH_KEYS(one_period_too_many_seals_what_nobody_opens),
		WITH_KEYS(a_period_that_is_not_used_makes_room),
		WITH_KEYS(shards_open_what_others_sealed_while_keys_turn),
		cmocka_unit_test(nothing_is_destroyed_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

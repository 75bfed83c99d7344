/* Letters from several threads to a shard that sleeps on a real ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include <ringway/base/clock.h>
#include <ringway/shard/shard.h>
#include <ringway/shard/uring.h>

#define SENDERS 3
#define LETTERS 20000

static void count_letter(void *to, const struct mail *mail)
{
	uint64_t *seen = to; /* by sender: the number of the next letter */

	assert_int_equal(mail->word[1], seen[mail->word[0]]);
	seen[mail->word[0]]++;
}

static struct mail letter(uint64_t *seen, uint64_t sender, uint64_t number)
{
	return (struct mail){.deliver = count_letter, .to = seen, .word = {sender, number}};
}

static void letters_of_one_sender_keep_their_order(void **state UNUSED)
{
	uint64_t seen[2] = {0};
	struct mailbox m;

	assert_int_equal(mailbox_init(&m, 2, NULL), 0);
	assert_int_equal(mailbox_deliver(&m), 0);
	for (uint64_t i = 0; i < 10; i++) {
		for (unsigned sender = 0; sender < 2; sender++) {
			struct mail mail = letter(seen, sender, i);

			assert_true(mailbox_post(&m, sender, &mail));
		}
	}
	assert_int_equal(mailbox_deliver(&m), 20);
	assert_int_equal(seen[0], 10);
	assert_int_equal(seen[1], 10);
	assert_int_equal(mailbox_deliver(&m), 0);
	mailbox_fini(&m);
}

static void a_full_mailbox_says_so_and_takes_again_later(void **state UNUSED)
{
	uint64_t seen[2] = {0};
	struct mailbox m;
	struct mail mail;

	assert_int_equal(mailbox_init(&m, 2, NULL), 0);
	for (uint64_t i = 0; i < MAILBOX_LETTERS; i++) {
		mail = letter(seen, 0, i);
		assert_true(mailbox_post(&m, 0, &mail));
	}
	mail = letter(seen, 0, MAILBOX_LETTERS);
	assert_false(mailbox_post(&m, 0, &mail));
	/* Others are not held up by it. */
	mail = letter(seen, 1, 0);
	assert_true(mailbox_post(&m, 1, &mail));
	assert_int_equal(mailbox_deliver(&m), MAILBOX_LETTERS + 1);
	mail = letter(seen, 0, MAILBOX_LETTERS);
	assert_true(mailbox_post(&m, 0, &mail));
	assert_int_equal(mailbox_deliver(&m), 1);
	mailbox_fini(&m);
}

static void more_senders_than_bits_share_them(void **state UNUSED)
{
	uint64_t seen[130] = {0};
	struct mailbox m;

	assert_int_equal(mailbox_init(&m, 130, NULL), 0);
	for (unsigned sender = 0; sender < 130; sender++) {
		struct mail mail = letter(seen, sender, 0);

		assert_true(mailbox_post(&m, sender, &mail));
	}
	assert_int_equal(mailbox_deliver(&m), 130);
	mailbox_fini(&m);
}

static void nobody_sleeps_on_news(void **state UNUSED)
{
	uint64_t seen[1] = {0};
	struct mailbox m;
	struct mail mail = letter(seen, 0, 0);

	assert_int_equal(mailbox_init(&m, 1, NULL), 0);
	assert_true(mailbox_post(&m, 0, &mail));
	assert_false(mailbox_sleep(&m));
	assert_false(atomic_load(&m.asleep));
	assert_int_equal(mailbox_deliver(&m), 1);
	assert_true(mailbox_sleep(&m));
	assert_true(atomic_load(&m.asleep));
	mailbox_awake(&m);
	mailbox_fini(&m);
}

struct echo {
	struct mailbox *m;
	unsigned posted;
};

static void post_another(void *to, const struct mail *mail)
{
	struct echo *e = to;

	e->posted++;
	assert_true(mailbox_post(e->m, 0, mail));
}

static void letters_that_beget_letters_do_not_hold_the_turn(void **state UNUSED)
{
	struct mailbox m;
	struct echo e = {.m = &m};
	struct mail mail = {.deliver = post_another, .to = &e};

	assert_int_equal(mailbox_init(&m, 1, NULL), 0);
	assert_true(mailbox_post(&m, 0, &mail));
	/* Comes back although there is always one more, and says that there is. */
	assert_in_range(mailbox_deliver(&m), 1, MAILBOX_LETTERS);
	assert_false(mailbox_sleep(&m));
	assert_in_range(mailbox_deliver(&m), 1, MAILBOX_LETTERS);
	mailbox_fini(&m);
}

/* ---- threads ---- */

struct post_office {
	struct shard shard;
	uint64_t seen[SENDERS];
	_Atomic unsigned acknowledged; /* letters that were delivered */
	pthread_barrier_t open;
};

struct sender {
	struct post_office *office;
	unsigned index;
	pthread_t thread;
};

static void deliver(void *to, const struct mail *mail)
{
	struct post_office *o = to;

	if (mail->word[1] != o->seen[mail->word[0]])
		must_failed("letters in order", __FILE__, __LINE__);
	o->seen[mail->word[0]]++;
	atomic_fetch_add(&o->acknowledged, 1);
}

static void pause_ns(uint64_t ns)
{
	struct timespec ts = {.tv_nsec = (long)ns};

	nanosleep(&ts, NULL);
}

static void *post_many(void *arg)
{
	struct sender *s = arg;

	pthread_barrier_wait(&s->office->open);
	for (uint64_t i = 0; i < LETTERS; i++) {
		struct mail mail = {.deliver = deliver, .to = s->office, .word = {s->index, i}};

		while (!mailbox_post(&s->office->shard.mailbox, s->index, &mail))
			sched_yield();
		/* Pauses let the receiver fall asleep at all sorts of moments. */
		if (i % 64 == s->index)
			pause_ns(1000 + i % 7 * 3000);
	}
	return NULL;
}

/* Waits for each letter's delivery before the next: each one meets a receiver that
 * sleeps or is about to. */
static void *post_one_by_one(void *arg)
{
	struct sender *s = arg;

	pthread_barrier_wait(&s->office->open);
	for (uint64_t i = 0; i < LETTERS / 4; i++) {
		struct mail mail = {.deliver = deliver, .to = s->office, .word = {s->index, i}};
		uint64_t give_up = clock_monotonic_ns() + 20 * NS_PER_S;

		must(mailbox_post(&s->office->shard.mailbox, s->index, &mail));
		while (atomic_load(&s->office->acknowledged) <= i) {
			/* The wake-up was lost. */
			must(clock_monotonic_ns() < give_up);
			sched_yield();
		}
	}
	return NULL;
}

static void run_office(unsigned senders, void *(*post)(void *arg), uint64_t letters)
{
	struct post_office o;
	struct sender s[SENDERS];
	struct ring *ring;
	uint64_t give_up = clock_monotonic_ns() + 100 * NS_PER_S;

	memset(&o, 0, sizeof(o));
	assert_int_equal(shard_init(&o.shard, 0, 200, senders), 0);
	assert_int_equal(uring_create(&o.shard.blocks, 4, &ring), 0);
	shard_open(&o.shard, ring, clock_monotonic_ns());
	/* Or the loop wakes by itself once a second and heals what was lost. */
	timer_stop(&o.shard.upkeep);
	pthread_barrier_init(&o.open, NULL, senders + 1);
	for (unsigned i = 0; i < senders; i++) {
		s[i] = (struct sender){.office = &o, .index = i};
		assert_int_equal(pthread_create(&s[i].thread, NULL, post, &s[i]), 0);
	}
	pthread_barrier_wait(&o.open);
	while (atomic_load(&o.acknowledged) < letters) {
		shard_turn(&o.shard, UINT64_MAX);
		assert_true(clock_monotonic_ns() < give_up);
	}
	for (unsigned i = 0; i < senders; i++)
		pthread_join(s[i].thread, NULL);
	pthread_barrier_destroy(&o.open);
	shard_fini(&o.shard);
}

static void no_letter_of_many_threads_is_lost(void **state UNUSED)
{
	run_office(SENDERS, post_many, SENDERS * LETTERS);
}

static void no_wake_up_is_lost(void **state UNUSED)
{
	run_office(1, post_one_by_one, LETTERS / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_of_one_sender_keep_their_order),
		cmocka_unit_test(a_full_mailbox_says_so_and_takes_again_later),
		cmocka_unit_test(more_senders_than_bits_share_them),
		cmocka_unit_test(nobody_sleeps_on_news),
		cmocka_unit_test(letters_that_beget_letters_do_not_hold_the_turn),
		cmocka_unit_test(no_letter_of_many_threads_is_lost),
		cmocka_unit_test(no_wake_up_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

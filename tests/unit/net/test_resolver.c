#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <ringway/net/resolver.h>

/* A name server of a few names on loopback. RFC 1035 section 4.1 is its format. */
enum { TYPE_A = 1, TYPE_AAAA = 28 };

static struct {
	int fd;
	pthread_t thread;
	struct address address;
	_Atomic unsigned questions;
	_Atomic unsigned long_questions;
	_Atomic uint8_t moving;      /* last byte of moving.test */
	_Atomic bool moving_is_gone; /* NXDOMAIN from now on */
} server;

static size_t read_name(const uint8_t *packet, size_t len, char *out, size_t room)
{
	size_t at = 12, written = 0;

	while (at < len && packet[at]) {
		size_t label = packet[at++];

		if (at + label > len || written + label + 2 > room)
			return 0;
		if (written)
			out[written++] = '.';
		memcpy(out + written, packet + at, label);
		written += label;
		at += label;
	}
	out[written] = '\0';
	return at + 1;
}

static void add_record(uint8_t *packet, size_t *len, uint8_t type, uint32_t ttl,
		       const uint8_t *bytes, uint8_t bytes_len)
{
	uint8_t record[] = {0xc0,         12, 0,        type, 0, 1, 0, 0, (uint8_t)(ttl >> 8),
			    (uint8_t)ttl, 0,  bytes_len};

	memcpy(packet + *len, record, sizeof(record));
	memcpy(packet + *len + sizeof(record), bytes, bytes_len);
	*len += sizeof(record) + bytes_len;
	packet[7]++; /* answers */
}

static void add_a(uint8_t *packet, size_t *len, uint32_t ttl, uint8_t last)
{
	uint8_t bytes[] = {192, 0, 2, last};

	add_record(packet, len, TYPE_A, ttl, bytes, sizeof(bytes));
}

static void add_aaaa(uint8_t *packet, size_t *len, uint8_t last)
{
	uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = last};

	add_record(packet, len, TYPE_AAAA, 1, bytes, sizeof(bytes));
}

static void answer_question(uint8_t *packet, size_t *len, const char *name, int type,
			    unsigned number)
{
	if (strcmp(name, "two.test") == 0 && type == TYPE_A) {
		/* In turn, as most name servers do. */
		add_a(packet, len, 1, number % 2 ? 1 : 2);
		add_a(packet, len, 1, number % 2 ? 2 : 1);
	} else if (strcmp(name, "both.test") == 0) {
		if (type == TYPE_A)
			add_a(packet, len, 1, 7);
		else
			add_aaaa(packet, len, 7);
	} else if (strcmp(name, "six.test") == 0) {
		if (type == TYPE_AAAA)
			add_aaaa(packet, len, 6);
	} else if (strcmp(name, "moving.test") == 0 && !atomic_load(&server.moving_is_gone)) {
		if (type == TYPE_A)
			add_a(packet, len, 1, atomic_load(&server.moving));
	} else if (strcmp(name, "long.test") == 0) {
		atomic_fetch_add(&server.long_questions, 1);
		if (type == TYPE_A)
			add_a(packet, len, 3600, 9);
	} else if (strcmp(name, "many.test") == 0) {
		for (uint8_t i = 0; type == TYPE_A && i < 20; i++)
			add_a(packet, len, 1, (uint8_t)((i * 7 + number) % 20));
	} else if (strcmp(name, "two.test") != 0) {
		packet[3] |= 3; /* NXDOMAIN */
	}
}

static void *serve(void *arg UNUSED)
{
	uint8_t packet[1024];

	for (;;) {
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		ssize_t got =
			recvfrom(server.fd, packet, 512, 0, (struct sockaddr *)&from, &from_len);
		unsigned number;
		size_t len, type_at;
		char name[256];

		if (got < 17)
			return NULL; /* an empty datagram ends it */
		type_at = read_name(packet, (size_t)got, name, sizeof(name));
		if (!type_at || type_at + 4 > (size_t)got || strcmp(name, "silent.test") == 0)
			continue;
		number = atomic_fetch_add(&server.questions, 1);
		packet[2] |= 0x80;        /* an answer */
		packet[3] = 0x80;         /* recursion available */
		memset(packet + 6, 0, 6); /* records so far, and drop an OPT record */
		len = type_at + 4;
		answer_question(packet, &len, name, packet[type_at + 1], number / 2);
		sendto(server.fd, packet, len, 0, (struct sockaddr *)&from, from_len);
	}
}

static int start_server(void **state UNUSED)
{
	assert_true(address_from_text(SPAN("127.0.0.1:0"), &server.address));
	server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (server.fd < 0 || bind(server.fd, &server.address.sa, server.address.len) ||
	    getsockname(server.fd, &server.address.sa, &server.address.len))
		return -1;
	return pthread_create(&server.thread, NULL, serve, NULL);
}

static int stop_server(void **state UNUSED)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	sendto(fd, "", 0, 0, &server.address.sa, server.address.len);
	close(fd);
	pthread_join(server.thread, NULL);
	close(server.fd);
	return 0;
}

/* What came, kept for the test's thread. */
struct news {
	pthread_mutex_t lock;
	unsigned count;
	struct resolver_answer last[8]; /* by watch */
	unsigned counts[8];
};

static void on_news(void *arg, const struct resolver_answer *answer)
{
	struct news *news = arg;

	pthread_mutex_lock(&news->lock);
	news->count++;
	must(answer->watch < 8); /* not on the test's thread */
	news->last[answer->watch] = *answer;
	news->counts[answer->watch]++;
	pthread_mutex_unlock(&news->lock);
}

static struct resolver_answer last_of(struct news *news, uint32_t watch)
{
	struct resolver_answer answer;

	pthread_mutex_lock(&news->lock);
	answer = news->last[watch];
	pthread_mutex_unlock(&news->lock);
	return answer;
}

static unsigned count_of(struct news *news, uint32_t watch)
{
	unsigned count;

	pthread_mutex_lock(&news->lock);
	count = news->counts[watch];
	pthread_mutex_unlock(&news->lock);
	return count;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void wait_for_news(struct news *news, uint32_t watch, unsigned count)
{
	for (int i = 0; i < 10000; i++) {
		if (count_of(news, watch) >= count)
			return;
		pause_ms(1);
	}
	fail_msg("no news of watch %u", watch);
}

static struct resolver *begin(struct news *news)
{
	struct config_resolver config = {.servers = &server.address,
					 .servers_len = 1,
					 .timeout_ns = 200 * NS_PER_MS,
					 .max_ttl_ns = 300 * NS_PER_S};
	struct resolver *r;

	memset(news, 0, sizeof(*news));
	pthread_mutex_init(&news->lock, NULL);
	assert_int_equal(resolver_create(&config, on_news, news, &r), 0);
	return r;
}

static void assert_addresses(const struct resolver_answer *answer, const char *expected)
{
	char all[512] = "", text[ADDRESS_TEXT_BYTES];

	for (unsigned i = 0; i < answer->len; i++) {
		assert_int_equal(address_port(&answer->addresses[i]), 0);
		address_ip_text(&answer->addresses[i], text);
		if (i)
			strcat(all, " ");
		strcat(all, text);
	}
	assert_string_equal(all, expected);
}

static void names_become_addresses(void **state UNUSED)
{
	struct resolver_answer answer;
	struct news news;
	struct resolver *r = begin(&news);

	assert_true(resolver_settle(r, 0));
	assert_int_equal(resolver_watch(r, 0, "two.test"), 0);
	assert_int_equal(resolver_watch(r, 1, "both.test"), 0);
	assert_int_equal(resolver_watch(r, 2, "six.test"), 0);
	assert_int_equal(resolver_watch(r, 3, "nx.test"), 0);
	assert_int_equal(resolver_watch(r, 4, "192.0.2.33"), 0);
	assert_true(resolver_settle(r, 10 * NS_PER_S));
	answer = last_of(&news, 0);
	assert_addresses(&answer, "192.0.2.1 192.0.2.2");
	assert_null(answer.error);
	answer = last_of(&news, 1);
	assert_addresses(&answer, "192.0.2.7 2001:db8::7");
	answer = last_of(&news, 2);
	assert_addresses(&answer, "2001:db8::6");
	answer = last_of(&news, 3);
	assert_addresses(&answer, "");
	assert_non_null(answer.error);
	assert_true(strlen(answer.error) > 0);
	answer = last_of(&news, 4);
	assert_addresses(&answer, "192.0.2.33");
	resolver_destroy(r);
}

static void localhost_needs_no_server(void **state UNUSED)
{
	struct resolver_answer answer;
	char text[ADDRESS_TEXT_BYTES];
	struct news news;
	struct resolver *r = begin(&news);
	unsigned before = atomic_load(&server.questions);

	assert_int_equal(resolver_watch(r, 0, "localhost"), 0);
	assert_true(resolver_settle(r, 10 * NS_PER_S));
	answer = last_of(&news, 0);
	assert_true(answer.len >= 1);
	address_ip_text(&answer.addresses[0], text);
	assert_true(strcmp(text, "127.0.0.1") == 0 || strcmp(text, "::1") == 0);
	assert_int_equal(atomic_load(&server.questions), before);
	resolver_destroy(r);
}

static void the_system_s_servers_are_the_default(void **state UNUSED)
{
	struct config_resolver config = {.timeout_ns = NS_PER_S, .max_ttl_ns = NS_PER_S};
	struct news news = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct resolver *r;

	assert_int_equal(resolver_create(&config, on_news, &news, &r), 0);
	assert_int_equal(resolver_watch(r, 0, "localhost"), 0);
	assert_true(resolver_settle(r, 10 * NS_PER_S));
	assert_true(last_of(&news, 0).len >= 1);
	resolver_destroy(r);
}

static void a_name_is_asked_again_when_its_time_to_live_ends(void **state UNUSED)
{
	struct resolver_answer answer;
	struct news news;
	struct resolver *r = begin(&news);

	atomic_store(&server.moving, 1);
	assert_int_equal(resolver_watch(r, 0, "moving.test"), 0);
	assert_int_equal(resolver_watch(r, 1, "two.test"), 0);
	assert_int_equal(resolver_watch(r, 2, "long.test"), 0);
	assert_true(resolver_settle(r, 10 * NS_PER_S));
	answer = last_of(&news, 0);
	assert_addresses(&answer, "192.0.2.1");
	atomic_store(&server.moving, 2);
	wait_for_news(&news, 0, 2);
	answer = last_of(&news, 0);
	assert_addresses(&answer, "192.0.2.2");
	/* It was asked again as well, in another order, which is no news. */
	assert_int_equal(count_of(&news, 1), 1);
	assert_int_equal(atomic_load(&server.long_questions), 2);
	resolver_destroy(r);
}

static void a_failure_leaves_the_last_good_answer(void **state UNUSED)
{
	struct resolver_answer answer;
	struct news news;
	struct resolver *r = begin(&news);

	atomic_store(&server.moving, 3);
	assert_int_equal(resolver_watch(r, 0, "moving.test"), 0);
	assert_true(resolver_settle(r, 10 * NS_PER_S));
	atomic_store(&server.moving_is_gone, true);
	wait_for_news(&news, 0, 2);
	answer = last_of(&news, 0);
	assert_addresses(&answer, "192.0.2.3");
	assert_non_null(answer.error);
	atomic_store(&server.moving_is_gone, false);
	wait_for_news(&news, 0, 3);
	answer = last_of(&news, 0);
	assert_addresses(&answer, "192.0.2.3");
	assert_null(answer.error);
	resolver_destroy(r);
}

static void silence_is_a_failure_and_holds_nobody_up(void **state UNUSED)
{
	struct news news;
	struct resolver *r = begin(&news);

	assert_int_equal(resolver_watch(r, 0, "silent.test"), 0);
	assert_int_equal(resolver_watch(r, 1, "both.test"), 0);
	assert_false(resolver_settle(r, 20 * NS_PER_MS));
	wait_for_news(&news, 1, 1);
	assert_int_equal(count_of(&news, 0), 0);
	wait_for_news(&news, 0, 1);
	assert_int_equal(last_of(&news, 0).len, 0);
	assert_non_null(last_of(&news, 0).error);
	assert_true(resolver_settle(r, NS_PER_S));
	resolver_destroy(r);
}

static void many_addresses_are_cut_the_same_way_each_time(void **state UNUSED)
{
	struct resolver_answer answer;
	struct news news;
	struct resolver *r = begin(&news);

	assert_int_equal(resolver_watch(r, 0, "many.test"), 0);
	assert_true(resolver_settle(r, 10 * NS_PER_S));
	answer = last_of(&news, 0);
	assert_int_equal(answer.len, RESOLVER_ADDRESSES);
	pause_ms(1300);
	assert_int_equal(count_of(&news, 0), 1);
	resolver_destroy(r);
}

static void a_watch_ends_and_a_number_may_be_used_again(void **state UNUSED)
{
	struct resolver_answer answer;
	struct news news;
	struct resolver *r = begin(&news);
	unsigned before;

	assert_int_equal(resolver_watch(r, 0, "both.test"), 0);
	assert_true(resolver_settle(r, 10 * NS_PER_S));
	assert_int_equal(resolver_watch(r, 0, "six.test"), 0);
	assert_true(resolver_settle(r, 10 * NS_PER_S));
	answer = last_of(&news, 0);
	assert_addresses(&answer, "2001:db8::6");
	/* Given up while it is being asked for. */
	assert_int_equal(resolver_watch(r, 1, "silent.test"), 0);
	pause_ms(20);
	resolver_unwatch(r, 1);
	resolver_unwatch(r, 0);
	resolver_unwatch(r, 7);
	assert_true(resolver_settle(r, 10 * NS_PER_S));
	before = atomic_load(&server.questions);
	pause_ms(1300);
	assert_int_equal(atomic_load(&server.questions), before);
	assert_int_equal(count_of(&news, 1), 0);
	resolver_destroy(r);
}

static void it_can_be_destroyed_at_any_moment(void **state UNUSED)
{
	struct news news;

	for (int i = 0; i < 20; i++) {
		struct resolver *r = begin(&news);

		assert_int_equal(resolver_watch(r, 0, "silent.test"), 0);
		assert_int_equal(resolver_watch(r, 1, "both.test"), 0);
		assert_int_equal(resolver_watch(r, 1, "two.test"), 0);
		pause_ms(i % 4);
		if (i % 2)
			assert_int_equal(resolver_watch(r, 2, "six.test"), 0);
		resolver_destroy(r);
	}
	resolver_destroy(NULL);
}

struct watcher {
	struct resolver *r;
	uint32_t watch;
};

static void *watch_and_unwatch(void *arg)
{
	struct watcher *w = arg;

	for (int i = 0; i < 50; i++) {
		must(resolver_watch(w->r, w->watch, i % 2 ? "both.test" : "two.test") == 0);
		if (i % 5 == 0)
			resolver_settle(w->r, NS_PER_S);
		if (i % 3 == 0)
			resolver_unwatch(w->r, w->watch);
	}
	return NULL;
}

static void many_threads_may_watch_at_once(void **state UNUSED)
{
	struct resolver_answer answer;
	struct watcher watchers[4];
	pthread_t threads[4];
	struct news news;
	struct resolver *r = begin(&news);

	for (uint32_t i = 0; i < 4; i++) {
		watchers[i] = (struct watcher){r, i};
		assert_int_equal(pthread_create(&threads[i], NULL, watch_and_unwatch, &watchers[i]),
				 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_true(resolver_settle(r, 10 * NS_PER_S));
	for (uint32_t i = 0; i < 4; i++) {
		answer = last_of(&news, i);
		assert_true(answer.len == 2);
	}
	resolver_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_addresses),
		cmocka_unit_test(localhost_needs_no_server),
		cmocka_unit_test(the_system_s_servers_are_the_default),
		cmocka_unit_test(a_name_is_asked_again_when_its_time_to_live_ends),
		cmocka_unit_test(a_failure_leaves_the_last_good_answer),
		cmocka_unit_test(silence_is_a_failure_and_holds_nobody_up),
		cmocka_unit_test(many_addresses_are_cut_the_same_way_each_time),
		cmocka_unit_test(a_watch_ends_and_a_number_may_be_used_again),
		cmocka_unit_test(it_can_be_destroyed_at_any_moment),
		cmocka_unit_test(many_threads_may_watch_at_once),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}

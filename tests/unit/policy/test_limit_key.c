#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ringway/policy/limit_key.h>

static const struct config_limit_key ip = {
	.part = CONFIG_LIMIT_IP, .prefix4 = 32, .prefix6 = 64};
static const struct config_limit_key net = {
	.part = CONFIG_LIMIT_IP, .prefix4 = 20, .prefix6 = 50};
static const struct config_limit_key user = {.part = CONFIG_LIMIT_HEADER, .header = "x-user"};
static const struct config_limit_key route = {.part = CONFIG_LIMIT_ROUTE};
static const struct config_limit_key service = {.part = CONFIG_LIMIT_SERVICE};
static const struct config_limit_key global = {.part = CONFIG_LIMIT_GLOBAL};

static char memory[8192];
static struct arena arena;
static struct http_field fields[2];
static struct http_head head;
static struct attributes a;
static uint8_t address[16];

static int setup(void **state UNUSED)
{
	arena_init(&arena, memory, sizeof(memory), NULL);
	head = (struct http_head){.fields = {.at = fields, .cap = 2}};
	a = (struct attributes){.request = &head, .service = SPAN("api"), .route = SPAN("list")};
	return 0;
}

static struct config_limit limit_of(const struct config_limit_key *const *keys, size_t len)
{
	struct config_limit l = {.keys_len = len};

	for (size_t i = 0; i < len; i++)
		l.keys[i] = *keys[i];
	return l;
}
#define LIMIT(...)                                                                                 \
	limit_of((const struct config_limit_key *const[]){__VA_ARGS__},                            \
		 sizeof((const struct config_limit_key *const[]){__VA_ARGS__}) / sizeof(void *))

static void come_from(const char *text)
{
	struct address from;

	assert_true(address_from_ip(span_str(text), 0, &from));
	assert_true(address_mapped_bytes(&from, address));
	a.counted_ip = address;
}

static void say(const char *value)
{
	head.fields.len = 0;
	http_fields_add(&head.fields, HTTP_FIELD_OTHER, SPAN("X-User"), span_str(value));
}

/* What it reads like, and that the words lead back to the same bytes. */
static void expect(const struct config_limit *l, const char *expected)
{
	struct limit_key key, again;
	char text[512];
	size_t len;

	assert_true(limit_key_of(l, &a, &arena, &key));
	len = limit_key_text(l, key.bytes, text, sizeof(text));
	assert_int_equal(len, strlen(text));
	assert_string_equal(text, expected);
	if (!limit_key_from_text(l, span_str(expected), &arena, &again))
		fail_msg("not read back: %s", expected);
	assert_true(span_eq(key.bytes, again.bytes));
}

static void a_key_reads_as_it_is_asked_for(void **state UNUSED)
{
	struct config_limit one = LIMIT(&ip), wide = LIMIT(&net), by_user = LIMIT(&user);
	struct config_limit by_route = LIMIT(&route), all = LIMIT(&global);
	struct config_limit by_service = LIMIT(&service);
	struct config_limit list = LIMIT(&user, &net, &service, &route);
	struct config_limit mid = LIMIT(&ip, &global, &user);

	come_from("192.0.2.77");
	expect(&one, "ip=192.0.2.77");
	come_from("::ffff:192.0.2.77");
	expect(&one, "ip=192.0.2.77");
	come_from("2001:db8:1:2:3:4:5:6");
	expect(&one, "ip=2001:db8:1:2::/64");
	expect(&wide, "ip=2001:db8:1::/50");
	come_from("192.0.255.77");
	expect(&wide, "ip=192.0.240.0/20");
	a.counted_ip = NULL;
	expect(&one, "ip=none");
	expect(&by_user, "header:x-user=");
	say("alice,ip=7");
	expect(&by_user, "header:x-user=alice,ip=7");
	expect(&by_route, "route=api/list");
	expect(&by_service, "service=api");
	expect(&all, "global");
	come_from("10.1.2.3");
	say("bob");
	expect(&list, "header:x-user=bob,ip=10.1.0.0/20,service=api,route=api/list");
	expect(&mid, "ip=10.1.2.3,global,header:x-user=bob");
}

static void keys_differ_when_what_is_counted_differs(void **state UNUSED)
{
	static const char *const same[] = {"192.0.2.1", "::ffff:192.0.2.1"};
	static const char *const others[] = {"192.0.2.2", "2001:db8::1", "::1", "0.0.0.0"};
	struct config_limit one = LIMIT(&ip), two = LIMIT(&user, &service);
	struct limit_key first, other;

	come_from("192.0.2.1");
	assert_true(limit_key_of(&one, &a, &arena, &first));
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		come_from(same[i]);
		assert_true(limit_key_of(&one, &a, &arena, &other));
		assert_true(span_eq(first.bytes, other.bytes));
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		come_from(others[i]);
		assert_true(limit_key_of(&one, &a, &arena, &other));
		assert_false(span_eq(first.bytes, other.bytes));
	}
	/* What ends one part must not pass for what begins the next. */
	say("ab");
	a.service = SPAN("c");
	assert_true(limit_key_of(&two, &a, &arena, &first));
	say("a");
	a.service = SPAN("bc");
	assert_true(limit_key_of(&two, &a, &arena, &other));
	assert_false(span_eq(first.bytes, other.bytes));
}

static void one_part_may_be_asked_for_by_its_value(void **state UNUSED)
{
	struct config_limit one = LIMIT(&ip), by_user = LIMIT(&user), list = LIMIT(&ip, &user);
	struct limit_key key, again;

	come_from("192.0.2.1");
	assert_true(limit_key_of(&one, &a, &arena, &key));
	assert_true(limit_key_from_text(&one, SPAN("192.0.2.1"), &arena, &again));
	assert_true(span_eq(key.bytes, again.bytes));
	say("carol");
	assert_true(limit_key_of(&by_user, &a, &arena, &key));
	assert_true(limit_key_from_text(&by_user, SPAN("carol"), &arena, &again));
	assert_true(span_eq(key.bytes, again.bytes));
	assert_false(limit_key_from_text(&list, SPAN("192.0.2.1"), &arena, &again));
}

static void what_is_no_key_of_the_limit_is_refused(void **state UNUSED)
{
	static const char *const bad[] = {"", "ip=", "ip=x", "ip=1.2.3", "ip=1.2.3.4/24", "global",
					  "route=a/b", "ip=1.2.3.4,header:x-user=a", "ip=::/63"};
	static const char *const bad_list[] = {"ip=1.2.3.4", "ip=1.2.3.4,header:x-other=a",
					       "header:x-user=a,ip=1.2.3.4", "ip=1.2.3.4,"};
	struct config_limit one = LIMIT(&ip), list = LIMIT(&ip, &user), all = LIMIT(&global);
	struct limit_key key;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (limit_key_from_text(&one, span_str(bad[i]), &arena, &key))
			fail_msg("taken: %s", bad[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad_list); i++)
		if (limit_key_from_text(&list, span_str(bad_list[i]), &arena, &key))
			fail_msg("taken: %s", bad_list[i]);
	assert_false(limit_key_from_text(&all, SPAN("globally"), &arena, &key));
	assert_false(limit_key_from_text(&all, SPAN(""), &arena, &key));
}

/* Hot keys are kept cut: their words must end where the bytes do. */
static void bytes_that_were_cut_show_as_far_as_they_go(void **state UNUSED)
{
	struct config_limit list = LIMIT(&user, &ip, &route);
	struct limit_key key;
	char text[128];

	come_from("192.0.2.1");
	say("somebody");
	assert_true(limit_key_of(&list, &a, &arena, &key));
	for (size_t len = 0; len <= key.bytes.len; len++) {
		size_t said = limit_key_text(&list, span_of(key.bytes.ptr, len), text, sizeof(text));

		assert_true(said < sizeof(text) && strlen(text) == said);
	}
	for (size_t size = 1; size < sizeof(text); size++)
		assert_true(limit_key_text(&list, key.bytes, text, size) < size);
}

static void a_long_value_lies_in_the_arena(void **state UNUSED)
{
	static char value[3000];
	struct config_limit by_user = LIMIT(&user);
	struct limit_key key;

	memset(value, 'v', sizeof(value) - 1);
	say(value);
	assert_true(limit_key_of(&by_user, &a, &arena, &key));
	assert_int_equal(key.bytes.len, 2 + sizeof(value) - 1);
	while (arena_text(&arena, 100))
		;
	assert_false(limit_key_of(&by_user, &a, &arena, &key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_key_reads_as_it_is_asked_for, setup),
		cmocka_unit_test_setup(keys_differ_when_what_is_counted_differs, setup),
		cmocka_unit_test_setup(one_part_may_be_asked_for_by_its_value, setup),
		cmocka_unit_test_setup(what_is_no_key_of_the_limit_is_refused, setup),
		cmocka_unit_test_setup(bytes_that_were_cut_show_as_far_as_they_go, setup),
		cmocka_unit_test_setup(a_long_value_lies_in_the_arena, setup),
	};

	return cmocka_run_group_tests_name("policy: limit_key", tests, NULL, NULL);
}

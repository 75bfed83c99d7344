#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ringway/base/address.h>
#include <ringway/base/base.h>

#define LONGEST_PATH                                                                               \
	"/123456789012345678901234567890123456789012345678901234567890"                            \
	"1234567890123456789012345678901234567890123456"

static void ip_literals_are_read_and_written_back(void **state UNUSED)
{
	static const struct {
		const char *text, *written;
		int family;
	} table[] = {
		{"192.0.2.1", "192.0.2.1", AF_INET},
		{"0.0.0.0", "0.0.0.0", AF_INET},
		{"255.255.255.255", "255.255.255.255", AF_INET},
		{"10.20.30.100", "10.20.30.100", AF_INET},
		{"::1", "::1", AF_INET6},
		{"[::1]", "::1", AF_INET6},
		{"2001:DB8:0:0:0:0:0:1", "2001:db8::1", AF_INET6},
		{"::", "::", AF_INET6},
		{"::ffff:192.0.2.7", "192.0.2.7", AF_INET6},
	};
	char text[ADDRESS_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct address a;

		assert_true(address_from_ip(span_str(table[i].text), 81, &a));
		assert_int_equal(a.sa.sa_family, table[i].family);
		assert_int_equal(address_port(&a), 81);
		assert_int_equal(address_ip_text(&a, text), strlen(table[i].written));
		assert_string_equal(text, table[i].written);
	}
}

static void what_is_no_ip_literal_is_refused(void **state UNUSED)
{
	static const char *const table[] = {
		"",           "localhost",  "1.2.3",      "1.2.3.4.5",
		"256.1.1.1",  "1.2.3.4 ",   " 1.2.3.4",   "01.2.3.4",
		"1.2.3.4:80", "[1.2.3.4]",  "[::1",       "::1]",
		"[]",         ":::",        "fe80::1%lo", "1:2:3:4:5:6:7:8:9",
		"0x7f.0.0.1", "2130706433",
	};
	struct address a = {.len = 77};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (address_from_ip(span_str(table[i]), 0, &a))
			fail_msg("taken: \"%s\"", table[i]);
	assert_false(address_from_ip(span_of("1.2.3.4\0", 8), 0, &a));
	assert_false(address_from_ip(SPAN_NONE, 0, &a));
	assert_int_equal(a.len, 77);
}

static void addresses_with_a_port_are_read_and_written_back(void **state UNUSED)
{
	static const struct {
		const char *text, *written;
		int family, port;
	} table[] = {
		{"0.0.0.0:80", "0.0.0.0:80", AF_INET, 80},
		{":8080", "0.0.0.0:8080", AF_INET, 8080},
		{"127.0.0.1:0", "127.0.0.1:0", AF_INET, 0},
		{"[::1]:65535", "[::1]:65535", AF_INET6, 65535},
		{"[::ffff:1.2.3.4]:5", "[::ffff:1.2.3.4]:5", AF_INET6, 5},
		{"[::]:443", "[::]:443", AF_INET6, 443},
		{"unix:/run/x.sock", "unix:/run/x.sock", AF_UNIX, 0},
		{"unix:" LONGEST_PATH, "unix:" LONGEST_PATH, AF_UNIX, 0},
	};
	char text[ADDRESS_TEXT_BYTES];

	assert_int_equal(strlen(LONGEST_PATH), sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct address a, again;

		assert_true(address_from_text(span_str(table[i].text), &a));
		assert_int_equal(a.sa.sa_family, table[i].family);
		assert_int_equal(address_port(&a), table[i].port);
		assert_int_equal(address_text(&a, text), strlen(table[i].written));
		assert_string_equal(text, table[i].written);
		assert_true(address_from_text(span_str(text), &again));
		assert_true(address_eq(&a, &again));
	}
}

static void addresses_that_are_wrong_are_refused(void **state UNUSED)
{
	static const char *const table[] = {
		"",
		"80",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"::1:80",
		"::1",
		"[::1]",
		"[::1]80",
		"[::1]:",
		":",
		"127.0.0.1:+80",
		"127.0.0.1:80x",
		"localhost:80",
		"unix:",
		"unix:rel",
		"unix:" LONGEST_PATH "1",
		"[127.0.0.1]:80",
		"127.0.0.1: 80",
	};
	struct address a = {.len = 77};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (address_from_text(span_str(table[i]), &a))
			fail_msg("taken: \"%s\"", table[i]);
	assert_false(address_from_text(span_of("unix:/a\0b", 9), &a));
	assert_int_equal(a.len, 77);
}

static void equal_means_family_address_and_port(void **state UNUSED)
{
	static const char *const different[] = {
		"127.0.0.1:80", "127.0.0.1:81",          "127.0.0.2:80", "[::1]:80", "[::1]:81",
		"[::2]:80",     "[::ffff:127.0.0.1]:80", "unix:/a",      "unix:/b",
	};

	for (size_t i = 0; i < ARRAY_LEN(different); i++)
		for (size_t j = 0; j < ARRAY_LEN(different); j++) {
			struct address a, b;

			assert_true(address_from_text(span_str(different[i]), &a));
			assert_true(address_from_text(span_str(different[j]), &b));
			assert_int_equal(address_eq(&a, &b), i == j);
		}
}

static void no_address_has_no_text_and_equals_itself(void **state UNUSED)
{
	struct address none = {.len = 0}, other = {.len = 0}, some;
	char text[ADDRESS_TEXT_BYTES] = "x";

	assert_true(address_from_text(SPAN(":80"), &some));
	assert_int_equal(address_text(&none, text), 0);
	assert_string_equal(text, "");
	assert_int_equal(address_ip_text(&none, text), 0);
	assert_int_equal(address_port(&none), 0);
	assert_true(address_eq(&none, &other));
	assert_false(address_eq(&none, &some));
	assert_false(address_eq(&some, &none));
}

static void a_unix_peer_without_a_name_is_unix(void **state UNUSED)
{
	struct address peer = {.un = {.sun_family = AF_UNIX}, .len = sizeof(sa_family_t)};
	char text[ADDRESS_TEXT_BYTES];

	assert_int_equal(address_ip_text(&peer, text), 4);
	assert_string_equal(text, "unix");
	assert_int_equal(address_text(&peer, text), 5);
	assert_string_equal(text, "unix:");
}

static void a_kernel_path_without_a_nul_is_read_to_its_end_only(void **state UNUSED)
{
	struct address full;
	char text[ADDRESS_TEXT_BYTES];

	memset(&full, 'x', sizeof(full));
	full.un.sun_family = AF_UNIX;
	full.len = sizeof(full.un);
	assert_int_equal(address_text(&full, text), 5 + sizeof(full.un.sun_path));
}

static void a_port_can_be_changed(void **state UNUSED)
{
	struct address a;

	assert_true(address_from_text(SPAN("[::1]:80"), &a));
	address_set_port(&a, 8080);
	assert_int_equal(address_port(&a), 8080);
	assert_true(address_from_text(SPAN("unix:/a"), &a));
	address_set_port(&a, 8080);
	assert_int_equal(address_port(&a), 0);
}

static void ranges_hold_what_they_say(void **state UNUSED)
{
	static const struct {
		const char *range, *ip;
		bool inside;
	} table[] = {
		{"10.0.0.0/8", "10.255.1.2", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/8", "::ffff:10.1.1.1", true},
		{"10.0.0.0/8", "::10.1.1.1", false},
		{"10.1.2.128/25", "10.1.2.128", true},
		{"10.1.2.128/25", "10.1.2.127", false},
		{"10.1.2.4/30", "10.1.2.7", true},
		{"10.1.2.4/30", "10.1.2.8", false},
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1/32", "192.0.2.1", true},
		{"0.0.0.0/0", "8.8.8.8", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "8.8.8.8", false},
		{"::/0", "::ffff:8.8.8.8", false},
		{"::ffff:0:0/96", "8.8.8.8", true},
		{"::ffff:10.0.0.0/104", "10.9.9.9", true},
		{"2001:db8::/32", "2001:db8:ffff::1", true},
		{"2001:db8::/32", "2001:db9::1", false},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::/33", "2001:db8:8000::1", false},
		{"::1/128", "::1", true},
		{"::1", "::2", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct address a;
		struct cidr c;

		if (!cidr_from_text(span_str(table[i].range), &c))
			fail_msg("refused: \"%s\"", table[i].range);
		assert_true(address_from_ip(span_str(table[i].ip), 80, &a));
		if (cidr_contains(&c, &a) != table[i].inside)
			fail_msg("%s in %s: not as it should be", table[i].ip, table[i].range);
	}
}

static void ranges_hold_no_unix_peer(void **state UNUSED)
{
	struct address a, none = {.len = 0};
	struct cidr c;

	assert_true(cidr_from_text(SPAN("0.0.0.0/0"), &c));
	assert_true(address_from_text(SPAN("unix:/a"), &a));
	assert_false(cidr_contains(&c, &a));
	assert_false(cidr_contains(&c, &none));
}

static void ranges_that_are_wrong_are_refused(void **state UNUSED)
{
	static const char *const table[] = {
		"",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.1/8",
		"10.0.0.0/-1",
		"10.0.0.0/8 ",
		"10.0.0.0/8/8",
		"[::1]/128",
		"::1/127",
		"::/129",
		"localhost/8",
		"10.0.0.0/0",
		"2001:db8::1/64",
		"10.0.0.0/18446744073709551624",
	};
	struct cidr c = {.bits = 99};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (cidr_from_text(span_str(table[i]), &c))
			fail_msg("taken: \"%s\"", table[i]);
	assert_int_equal(c.bits, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_literals_are_read_and_written_back),
		cmocka_unit_test(what_is_no_ip_literal_is_refused),
		cmocka_unit_test(addresses_with_a_port_are_read_and_written_back),
		cmocka_unit_test(addresses_that_are_wrong_are_refused),
		cmocka_unit_test(equal_means_family_address_and_port),
		cmocka_unit_test(no_address_has_no_text_and_equals_itself),
		cmocka_unit_test(a_unix_peer_without_a_name_is_unix),
		cmocka_unit_test(a_kernel_path_without_a_nul_is_read_to_its_end_only),
		cmocka_unit_test(a_port_can_be_changed),
		cmocka_unit_test(ranges_hold_what_they_say),
		cmocka_unit_test(ranges_hold_no_unix_peer),
		cmocka_unit_test(ranges_that_are_wrong_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

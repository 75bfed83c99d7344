#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <ringway/base/base.h>
#include <ringway/tls/library.h>

static bool lists(const char *const *words, const char *word)
{
	for (; *words; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

static int minor_version(struct tls_library library)
{
	int major = 0, minor = 0;

	assert_int_equal(sscanf(library.version, "%d.%d", &major, &minor), 2);
	assert_int_equal(major, 5);
	return minor;
}

static void the_linked_library_is_the_one_of_the_headers(void **state UNUSED)
{
	assert_string_equal(tls_library().version, tls_library().header_version);
}

static void the_library_comes_with_its_assembler(void **state UNUSED)
{
#if defined(__x86_64__) || defined(__aarch64__)
	assert_true(tls_library().has_aes_asm);
	assert_true(tls_library().has_hash_asm);
	assert_true(tls_library().has_key_asm);
#else
	skip();
#endif
}

static void what_triples_a_connections_memory_is_left_out(void **state UNUSED)
{
	assert_null(tls_library().burdens[0]);
}

static void every_version_on_the_list_has_what_tls_needs(void **state UNUSED)
{
	static const char *const needed[] = {
		"tls1.3",
		"tls1.2",
		"sni",
		"alpn",
		"tickets",
		"aes-gcm",
		"chacha20-poly1305",
		"ecdsa",
		"p-256",
		"p-384",
		"x25519",
		"rsa-pss",
		"ocsp-stapling",
		"crl",
		"hkdf",
		"seed-callback",
		"verify-callback",
	};

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (!lists(tls_library().features, needed[i]))
			fail_msg("wolfSSL %s is built without %s", tls_library().version,
				 needed[i]);
}

static void the_post_quantum_group_is_there_from_5_9_on(void **state UNUSED)
{
	assert_int_equal(lists(tls_library().features, "x25519mlkem768"),
			 minor_version(tls_library()) >= 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_linked_library_is_the_one_of_the_headers),
		cmocka_unit_test(the_library_comes_with_its_assembler),
		cmocka_unit_test(what_triples_a_connections_memory_is_left_out),
		cmocka_unit_test(every_version_on_the_list_has_what_tls_needs),
		cmocka_unit_test(the_post_quantum_group_is_there_from_5_9_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <ringway/base/base.h>

#include "library_text.h"

static const struct tls_library good = {
	.version = "5.9.2",
	.header_version = "5.9.2",
	.has_aes_asm = true,
	.has_hash_asm = true,
	.has_key_asm = true,
	.cpu_has_aes = true,
};

static void expect(struct tls_library l, const char *expected)
{
	static char *printed;
	static size_t len;
	FILE *out = open_memstream(&printed, &len);

	library_print(&l, out);
	fputc('\n', out);
	library_print_warnings(&l, "  ", out);
	fclose(out);
	assert_string_equal(printed, expected);
	free(printed);
}

static void a_fast_library_is_one_line(void **state UNUSED)
{
	expect(good, "5.9.2; assembler: AES yes, hashes yes, keys yes\n");
}

static void a_slow_one_is_loud(void **state UNUSED)
{
	struct tls_library l = good;

	l.has_aes_asm = false;
	expect(l, "5.9.2; assembler: AES NO, hashes yes, keys yes\n"
		  "  WARNING: a slow wolfSSL without assembler for AES: TLS costs many times what it "
		  "should; `bash tuning/setup.sh` builds the fast one\n");
	l.has_key_asm = false;
	expect(l, "5.9.2; assembler: AES NO, hashes yes, keys NO\n"
		  "  WARNING: a slow wolfSSL without assembler for AES and keys: TLS costs many times "
		  "what it should; `bash tuning/setup.sh` builds the fast one\n");
	l.has_aes_asm = true;
	expect(l, "5.9.2; assembler: AES yes, hashes yes, keys NO\n"
		  "  WARNING: a slow wolfSSL without assembler for keys: TLS costs many times what it "
		  "should; `bash tuning/setup.sh` builds the fast one\n");
}

static void another_librarys_headers_are_loud(void **state UNUSED)
{
	struct tls_library l = good;

	l.header_version = "5.7.2";
	expect(l, "5.9.2; assembler: AES yes, hashes yes, keys yes\n"
		  "  WARNING: compiled for wolfSSL 5.7.2 and linked with 5.9.2, which does not fit: "
		  "build again\n");
}

static void a_cpu_without_aes_is_told(void **state UNUSED)
{
	struct tls_library l = good;

	l.cpu_has_aes = false;
	expect(l, "5.9.2; assembler: AES yes, hashes yes, keys yes\n"
		  "  WARNING: this CPU has no AES instructions: prefer the ChaCha20 suites\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fast_library_is_one_line),
		cmocka_unit_test(a_slow_one_is_loud),
		cmocka_unit_test(another_librarys_headers_are_loud),
		cmocka_unit_test(a_cpu_without_aes_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

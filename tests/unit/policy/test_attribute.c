#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ringway/policy/attribute.h>

static void expect(const struct attributes *a, const char *template, const char *expected)
{
	static char memory[4096];
	struct template t;
	const char *error;
	struct arena arena;
	struct span text;
	size_t at;

	arena_init(&arena, memory, sizeof(memory), NULL);
	if (!template_parse(&arena, span_str(template), &t, &error, &at))
		fail_msg("%s: %s", template, error);
	text = attribute_expand(a, &t, &arena);
	if (!span_eq(text, span_str(expected)))
		fail_msg("%s: %.*s", template, SPAN_FMT(text));
}

static const char all_of_tls[] = "{tls_version} {tls_suite} {tls_server_name} "
				 "{client_cert_subject} {client_cert_fingerprint}";

static void a_connection_with_tls_has_its_attributes(void **state UNUSED)
{
	struct access_tls tls = {
		.version = SPAN("TLSv1.3"),
		.suite = SPAN("TLS_AES_128_GCM_SHA256"),
		.server_name = SPAN("a.test"),
		.client_subject = SPAN("CN=b"),
		.client_fingerprint = SPAN("0f"),
	};
	struct attributes a = {.tls = &tls, .route = SPAN("r")};

	expect(&a, all_of_tls, "TLSv1.3 TLS_AES_128_GCM_SHA256 a.test CN=b 0f");
	expect(&a, "{route}{method}{tls_version}", "rTLSv1.3");
	tls.client_subject = tls.client_fingerprint = SPAN_NONE;
	expect(&a, all_of_tls, "TLSv1.3 TLS_AES_128_GCM_SHA256 a.test  ");
}

static void a_plain_one_has_none_of_them(void **state UNUSED)
{
	struct attributes a = {.tls = NULL};

	expect(&a, all_of_tls, "    ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_with_tls_has_its_attributes),
		cmocka_unit_test(a_plain_one_has_none_of_them),
	};

	return cmocka_run_group_tests_name("policy: attribute", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "check_certificates.h"

/* 2026-06-01 12:00 UTC; the certificates are good from 2026-01-01 to 2026-12-31. */
#define NOW_S ((int64_t)1780315200)

static char directory[] = "/tmp/ringway-certificates-XXXXXX";

static int make_files(void **state UNUSED)
{
	if (!mkdtemp(directory) || chdir(directory))
		return -1;
	return system("sh " SCRIPT);
}

static int remove_files(void **state UNUSED)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return chdir("/") || system(command);
}

/* The report of a file with this text, the directory cut out. */
static void expect(const char *text, const char *expected)
{
	static char *printed;
	static size_t len;
	FILE *file = fopen("t.yaml", "w"), *out = open_memstream(&printed, &len);
	struct config_report report;
	struct config *config = NULL;
	bool good;

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	if (config_load("t.yaml", &config, &report)) {
		config_report_print(&report, stderr, false);
		fail_msg("not good: %s", text);
	}
	good = check_certificates(config, NOW_S, &report);
	assert_int_equal(good, report.errors == 0);
	config_report_print(&report, out, false);
	fclose(out);
	config_report_fini(&report);
	config_destroy(config);
	if (strcmp(printed, expected) != 0)
		fail_msg("said:\n%s\nwanted:\n%s", printed, expected);
	free(printed);
}

#define SERVICES(hosts)                                                                            \
	"services: {api: {respond: {status: 200}, routes: [{host: [" hosts "], path: /*}]}}\n"

static void good_certificates_say_nothing(void **state UNUSED)
{
	expect("gateway: {port: 80}\n"
	       "listeners:\n"
	       "  - address: 127.0.0.1:443\n"
	       "    tls:\n"
	       "      certificates: [{cert: chain.pem, key: p256.key}, {cert: rsa.pem, key: rsa.key}]\n"
	       "      client_auth: require\n"
	       "      client_ca: root.pem\n"
	       "      crl: crl.pem\n" SERVICES("api.example.org, '*.example.org', 192.0.2.1"),
	       "");
}

static void a_file_without_tls_says_nothing(void **state UNUSED)
{
	expect("gateway: {port: 80}\n" SERVICES("example.com"), "");
}

static void a_certificate_that_no_response_can_be_fetched_for_is_said(void **state UNUSED)
{
	expect("listeners:\n"
	       "  - address: 127.0.0.1:443\n"
	       "    tls:\n"
	       "      certificates: [{cert: chain.pem, key: p256.key}]\n"
	       "      ocsp: {fetch: true}\n" SERVICES("api.example.org"),
	       "t.yaml:4:29: warning: listeners[0].tls.ocsp.fetch: chain.pem: the certificate names "
	       "no OCSP responder\n"
	       "    4 |       certificates: [{cert: chain.pem, key: p256.key}]\n"
	       "      |                             ^^^^^^^^^\n");
}

static void each_finding_is_at_the_name_of_its_file(void **state UNUSED)
{
	expect("gateway: {port: 80}\n"
	       "listeners:\n"
	       "  - address: 127.0.0.1:443\n"
	       "    tls:\n"
	       "      certificates: [{cert: chain.pem, key: \"p384.key\"}, {cert: sha1.pem, key: "
	       "p256.key}]\n"
	       "      client_auth: request\n"
	       "      client_ca: p256.pem\n"
	       "      crl: root.pem\n"
	       "  - address: 127.0.0.1:444\n"
	       "    tls: {certificates: [{cert: chain.pem, key: p256.key}], ocsp: {file: cut.ocsp}}\n"
	       SERVICES("nowhere.test"),
	       "t.yaml:5:45: error: listeners[0].tls.certificates[0].key: p384.key: the key does not "
	       "match the certificate (/CN=not-a-name-then)\n"
	       "    5 |       certificates: [{cert: chain.pem, key: \"p384.key\"}, {cert: sha1.pem, "
	       "key: p256.key}]\n"
	       "      |                                             ^^^^^^^^^^\n"
	       "t.yaml:5:65: warning: listeners[0].tls.certificates[1].cert: sha1.pem: the "
	       "certificate is signed with SHA-1, which clients refuse\n"
	       "    5 |       certificates: [{cert: chain.pem, key: \"p384.key\"}, {cert: sha1.pem, "
	       "key: p256.key}]\n"
	       "      |                                                                 ^^^^^^^^\n"
	       "t.yaml:7:18: error: listeners[0].tls.client_ca: p256.pem: has no certificate of an "
	       "authority that can be used\n"
	       "    7 |       client_ca: p256.pem\n"
	       "      |                  ^^^^^^^^\n"
	       "t.yaml:7:18: warning: listeners[0].tls.client_ca: p256.pem: the certificate in line 1 "
	       "(/CN=not-a-name-then) is not an authority's: it vouches for nobody\n"
	       "    7 |       client_ca: p256.pem\n"
	       "      |                  ^^^^^^^^\n"
	       "t.yaml:8:12: error: listeners[0].tls.crl: root.pem: has no revocation list: found "
	       "`CERTIFICATE`\n"
	       "    8 |       crl: root.pem\n"
	       "      |            ^^^^^^^^\n"
	       "t.yaml:10:74: error: listeners[1].tls.ocsp.file: cut.ocsp: it is no OCSP response\n"
	       "   10 |     tls: {certificates: [{cert: chain.pem, key: p256.key}], ocsp: {file: "
	       "cut.ocsp}}\n"
	       "      |                                                                          "
	       "^^^^^^^^\n");
}

#define LINE_4                                                                                     \
	"    4 | services: {api: {respond: {status: 200}, routes: [{host: [api.example.org, "      \
	"example.org, '*.b.example.org', a.b.example.org], path: /*}]}}\n"                        \
	"      |                                                   ^\n"

static void a_host_that_no_certificate_is_for_is_said(void **state UNUSED)
{
	expect("listeners:\n"
	       "  - address: 127.0.0.1:443\n"
	       "    tls: {certificates: [{cert: p256.pem, key: p256.key}]}\n" SERVICES(
		       "api.example.org, example.org, '*.b.example.org', a.b.example.org"),
	       "t.yaml:4:51: warning: services.api.routes: route `api[0]`: no certificate of any TLS "
	       "listener is for host `*.b.example.org`\n" LINE_4
	       "t.yaml:4:51: warning: services.api.routes: route `api[0]`: no certificate of any TLS "
	       "listener is for host `a.b.example.org`\n" LINE_4
	       "t.yaml:4:51: warning: services.api.routes: route `api[0]`: no certificate of any TLS "
	       "listener is for host `example.org`\n" LINE_4);
}

static void of_two_certificates_for_one_name_the_first_is_used(void **state UNUSED)
{
	expect("listeners:\n"
	       "  - address: 127.0.0.1:443\n"
	       "    tls:\n"
	       "      certificates:\n"
	       "        - {cert: p256.pem, key: p256.key}\n"
	       "        - {cert: rsa.pem, key: rsa.key}\n"
	       "        - {cert: chain.pem, key: p256.key}\n" SERVICES("api.example.org"),
	       "t.yaml:7:18: warning: listeners[0].tls.certificates[2].cert: chain.pem: "
	       "`*.example.org` has an ECDSA certificate already, in line 5: that one is used\n"
	       "    7 |         - {cert: chain.pem, key: p256.key}\n"
	       "      |                  ^^^^^^^^^\n");
}

static void what_services_show_and_trust_is_read_as_well(void **state UNUSED)
{
	expect("gateway: {port: 80}\n"
	       "services:\n"
	       "  api:\n"
	       "    url: https://127.0.0.1:8443\n"
	       "    tls: {ca: root.pem, client_cert: client.pem, client_key: p256.key}\n"
	       "    routes: [{path: /*}]\n"
	       "  bad:\n"
	       "    url: https://127.0.0.1:8443\n"
	       "    tls: {ca: missing.pem, client_cert: client.pem, client_key: rsa.key}\n"
	       "    routes: [{path: /bad}]\n",
	       "t.yaml:9:15: error: services.bad.tls.ca: missing.pem: cannot be read: No such file or "
	       "directory\n"
	       "    9 |     tls: {ca: missing.pem, client_cert: client.pem, client_key: rsa.key}\n"
	       "      |               ^^^^^^^^^^^\n"
	       "t.yaml:9:65: error: services.bad.tls.client_key: rsa.key: the key does not match the "
	       "certificate: this one is RSA, the certificate's ECDSA\n"
	       "    9 |     tls: {ca: missing.pem, client_cert: client.pem, client_key: rsa.key}\n"
	       "      |                                                                 ^^^^^^^\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_certificates_say_nothing),
		cmocka_unit_test(a_file_without_tls_says_nothing),
		cmocka_unit_test(a_certificate_that_no_response_can_be_fetched_for_is_said),
		cmocka_unit_test(each_finding_is_at_the_name_of_its_file),
		cmocka_unit_test(a_host_that_no_certificate_is_for_is_said),
		cmocka_unit_test(of_two_certificates_for_one_name_the_first_is_used),
		cmocka_unit_test(what_services_show_and_trust_is_read_as_well),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}

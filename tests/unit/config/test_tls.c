#include "expect.h"

/* What goes into a listener's tls beside one certificate, or into a service's, and the only
 * thing that is wrong with it. */
struct refusal {
	const char *keys, *line;
};

static void expect_refusals(const char *head, const char *tail, const struct refusal *table,
			    size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char text[2000];

		snprintf(text, sizeof(text), "%s%s%s", head, table[i].keys, tail);
		expect_one(text, table[i].line);
	}
}

static void expect_numbers(const uint16_t *numbers, size_t len, const uint16_t *wanted,
			   size_t wanted_len)
{
	assert_int_equal(len, wanted_len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(numbers[i], wanted[i]);
}

static const char everything[] =
	"listeners:\n"
	"- address: ':443'\n"
	"  tls:\n"
	"    certificates:\n"
	"    - {cert: a.pem, key: a.key}\n"
	"    - {cert: '/x/${PLACE:-b}.pem', key: ../b.key}\n"
	"    min_version: 1.3\n"
	"    alpn: http/1.1\n"
	"    client_auth: request\n"
	"    client_ca: ca.pem\n"
	"    crl: crl.pem\n"
	"    verify_depth: 0\n"
	"    strict_sni: true\n"
	"    groups: [P-384, P-256, X25519MLKEM768, X25519]\n"
	"    suites: [TLS_CHACHA20_POLY1305_SHA256, TLS_AES_256_GCM_SHA384, "
	"TLS_AES_128_GCM_SHA256]\n"
	"    tickets: off\n"
	"- address: ':444'\n"
	"  tls:\n"
	"    certificates: [{cert: a, key: b}]\n"
	"    min_version: '1.2'\n"
	"    groups: X25519\n"
	"    suites: [TLS_AES_128_GCM_SHA256,\n"
	"      TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,\n"
	"      TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,\n"
	"      TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,\n"
	"      TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n"
	"    tickets: {lifetime: 7d, rotate: 7d}\n"
	"    ocsp: {fetch: true}\n"
	"- address: ':445'\n"
	"  tls: {certificates: [{cert: a, key: b}], client_auth: require, client_ca: c}\n"
	"- address: ':446'\n"
	"  tls: {certificates: [{cert: a, key: b}], ocsp: {file: a.ocsp}}\n"
	"services: {a: {respond: {}, routes: [{path: /}]}}\n";

static void keys_of_a_listener_are_read(void **state UNUSED)
{
	static const uint16_t groups[] = {0x0018, 0x0017, 0x11ec, 0x001d};
	static const uint16_t suites[] = {0x1303, 0x1302, 0x1301};
	static const uint16_t suites_1_2[] = {0x1301, 0xc02b, 0xc02c, 0xc02f,
					      0xc030, 0xcca8, 0xcca9};
	struct config *c = config_of(everything);
	const struct config_tls *t = c->listeners[0].tls;

	assert_int_equal(t->place.line, 4);
	assert_int_equal(t->certificates_len, 2);
	assert_string_equal(t->certificates[0].cert.path, "a.pem");
	assert_int_equal(t->certificates[0].cert.place.line, 5);
	assert_int_equal(t->certificates[0].cert.place.column, 14);
	assert_string_equal(t->certificates[0].key.path, "a.key");
	assert_string_equal(t->certificates[1].cert.path, "/x/b.pem");
	assert_string_equal(t->certificates[1].key.path, "../b.key");
	assert_int_equal(t->min_version, 0x0304);
	assert_int_equal(t->alpn_len, 1);
	assert_string_equal(t->alpn[0], "http/1.1");
	assert_int_equal(t->client_auth, CONFIG_CLIENT_AUTH_REQUEST);
	assert_string_equal(t->client_ca.path, "ca.pem");
	assert_string_equal(t->crl.path, "crl.pem");
	assert_int_equal(t->verify_depth, 0);
	assert_true(t->strict_sni);
	expect_numbers(t->groups, t->groups_len, groups, ARRAY_LEN(groups));
	expect_numbers(t->suites, t->suites_len, suites, ARRAY_LEN(suites));
	assert_int_equal(t->ticket_lifetime_ns, 0);
	t = c->listeners[1].tls;
	assert_int_equal(t->min_version, 0x0303);
	expect_numbers(t->groups, t->groups_len, &groups[3], 1);
	expect_numbers(t->suites, t->suites_len, suites_1_2, ARRAY_LEN(suites_1_2));
	assert_int_equal(t->ticket_lifetime_ns, 7 * 86400 * NS_PER_S);
	assert_int_equal(t->ticket_rotate_ns, 7 * 86400 * NS_PER_S);
	assert_null(t->ocsp.path);
	assert_true(t->ocsp_fetch);
	t = c->listeners[2].tls;
	assert_int_equal(t->client_auth, CONFIG_CLIENT_AUTH_REQUIRE);
	assert_int_equal(t->ticket_lifetime_ns, 0);
	t = c->listeners[3].tls;
	assert_string_equal(t->ocsp.path, "a.ocsp");
	assert_false(t->ocsp_fetch);
	config_destroy(c);
}

static void defaults_of_a_listener_are_as_documented(void **state UNUSED)
{
	struct config *c = config_of("listeners: [{address: ':443', tls: {groups: [], suites: [], "
				     "certificates: [{cert: a, key: b}], ocsp:, tickets: }}]\n");
	const struct config_tls *t = c->listeners[0].tls;

	assert_int_equal(t->min_version, 0x0303);
	assert_int_equal(t->alpn_len, 1);
	assert_string_equal(t->alpn[0], "http/1.1");
	assert_int_equal(t->client_auth, CONFIG_CLIENT_AUTH_NONE);
	assert_null(t->client_ca.path);
	assert_null(t->crl.path);
	assert_int_equal(t->verify_depth, 3);
	assert_false(t->strict_sni || t->ocsp_fetch);
	assert_int_equal(t->groups_len + t->suites_len, 0);
	assert_int_equal(t->ticket_lifetime_ns, 3600 * NS_PER_S);
	assert_int_equal(t->ticket_rotate_ns, 6 * 3600 * NS_PER_S);
	assert_null(t->ocsp.path);
	config_destroy(c);
}

static void certificates_are_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{"5", "t.yaml:1:35: error: listeners[0].tls: must be a mapping of keys"},
		{"", "t.yaml:1:30: error: listeners[0].tls: `certificates` is missing"},
		{"{}", "t.yaml:1:35: error: listeners[0].tls: `certificates` is missing"},
		{"{certificates: []}",
		 "t.yaml:1:50: error: listeners[0].tls.certificates: the list is empty"},
		{"{certificates: {cert: a, key: b}}",
		 "t.yaml:1:50: error: listeners[0].tls.certificates: must be a list"},
		{"{certificates: [a]}",
		 "t.yaml:1:51: error: listeners[0].tls.certificates[0]: must be a mapping of keys"},
		{"{certificates: [{cert: a}]}",
		 "t.yaml:1:51: error: listeners[0].tls.certificates[0]: `key` is missing"},
		{"{certificates: [{cert: a, key: b}, {key: a}]}",
		 "t.yaml:1:70: error: listeners[0].tls.certificates[1]: `cert` is missing"},
		{"{certificates: [{cert: '', key: b}]}",
		 "t.yaml:1:58: error: listeners[0].tls.certificates[0].cert: must not be empty"},
		{"{certificates: [{cert: [a], key: b}]}",
		 "t.yaml:1:58: error: listeners[0].tls.certificates[0].cert: must be a single "
		 "value, "
		 "not a list"},
		{"{certificates: [{cert: '${NOT_SET_HERE}', key: b}]}",
		 "t.yaml:1:59: error: listeners[0].tls.certificates[0].cert: environment variable "
		 "NOT_SET_HERE is not set and has no default"},
		{"{certificates: [{cert: a, keyy: b, key: b}]}",
		 "t.yaml:1:61: error: listeners[0].tls.certificates[0]: unknown key `keyy`; did "
		 "you "
		 "mean `key`?"},
	};

	expect_refusals("listeners: [{address: ':81', tls: ", "}]\n", table, ARRAY_LEN(table));
}

/* What is in between begins line 2. */
#define TLS     "listeners: [{address: ':81', tls: {certificates: [{cert: a, key: b}],\n "
#define TLS_END "}}]\n"
#define AT      "error: listeners[0].tls"

static void how_tls_is_spoken_is_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{"min_version: 1.1",
		 "t.yaml:2:15: " AT ".min_version: `1.1` is neither `1.2` nor `1.3`; "
		 "TLS 1.0 and 1.1 are not supported"},
		{"min_version: SSLv3",
		 "t.yaml:2:15: " AT ".min_version: `SSLv3` is neither `1.2` nor "
		 "`1.3`; TLS 1.0 and 1.1 are not supported"},
		{"alpn: [h2, http/1.1]", "t.yaml:2:9: " AT ".alpn[0]: `h2` is not supported yet"},
		{"alpn: [http/1.1, http/1.1]",
		 "t.yaml:2:19: " AT ".alpn[1]: `http/1.1`: it stands twice"},
		{"alpn: http/1.0",
		 "t.yaml:2:8: " AT ".alpn: `http/1.0` is none of `http/1.1`; did you "
		 "mean `http/1.1`?"},
		{"alpn: []", "t.yaml:2:8: " AT ".alpn: the list is empty"},
		{"strict_sni: on",
		 "t.yaml:2:14: " AT ".strict_sni: `on` is none of `true` or `false`"},
		{"groups: [P-265]",
		 "t.yaml:2:11: " AT ".groups[0]: `P-265` is none of the groups "
		 "X25519MLKEM768, X25519, P-256 and P-384; did you mean `P-256`?"},
		{"groups: [X25519, prime256v1]",
		 "t.yaml:2:19: " AT
		 ".groups[1]: `prime256v1` is none of the groups X25519MLKEM768, "
		 "X25519, P-256 and P-384; did you mean `P-256`?"},
		{"groups: ffdhe2048",
		 "t.yaml:2:10: " AT ".groups: `ffdhe2048` is none of the groups "
		 "X25519MLKEM768, X25519, P-256 and P-384"},
		{"groups: [X25519, X25519]",
		 "t.yaml:2:19: " AT ".groups[1]: `X25519`: it stands twice"},
		{"groups: {}", "t.yaml:2:10: " AT ".groups: must be a list"},
		{"groups: X25519MLKEM768",
		 "t.yaml:2:2: " AT ": `groups` leaves none for TLS 1.2; add one "
		 "or set `min_version: \"1.3\"`"},
		{"suites: [TLS_AES_128_CCM_SHA256]",
		 "t.yaml:2:11: " AT
		 ".suites[0]: `TLS_AES_128_CCM_SHA256` is none of the suites of TLS "
		 "1.3 and of ECDHE with AES-GCM or CHACHA20 in TLS 1.2; did you mean "
		 "`TLS_AES_128_GCM_SHA256`?"},
		{"suites: ECDHE-RSA-CHACHA20-POLY1305",
		 "t.yaml:2:10: " AT
		 ".suites: `ECDHE-RSA-CHACHA20-POLY1305` is none of the suites of TLS "
		 "1.3 and of ECDHE with AES-GCM or CHACHA20 in TLS 1.2; did you mean "
		 "`TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256`?"},
		{"suites: TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA265",
		 "t.yaml:2:10: " AT
		 ".suites: `TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA265` is none of "
		 "the suites of TLS 1.3 and of ECDHE with AES-GCM or CHACHA20 in TLS 1.2; did you "
		 "mean "
		 "`TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256`?"},
		{"suites: RC4-MD5",
		 "t.yaml:2:10: " AT ".suites: `RC4-MD5` is none of the suites of TLS 1.3 "
		 "and of ECDHE with AES-GCM or CHACHA20 in TLS 1.2"},
		{"suites: [TLS_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]",
		 "t.yaml:2:35: " AT ".suites[1]: `TLS_AES_128_GCM_SHA256`: it stands twice"},
		{"suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]",
		 "t.yaml:2:2: " AT ": `suites` leaves none for TLS 1.3"},
		{"suites: [TLS_AES_128_GCM_SHA256]",
		 "t.yaml:2:2: " AT
		 ": `suites` leaves none for TLS 1.2; add one or set `min_version: "
		 "\"1.3\"`"},
		{"suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256], "
		 "min_version: "
		 "1.3",
		 "t.yaml:2:2: " AT ": `suites` has some of TLS 1.2, which `min_version` rules out"},
		/* What is wrong already is not counted as missing. */
		{"suites: [TLS_AES_128_GCM_SHA256, x]",
		 "t.yaml:2:35: " AT
		 ".suites[1]: `x` is none of the suites of TLS 1.3 and of ECDHE with "
		 "AES-GCM or CHACHA20 in TLS 1.2"},
		{"suites: [TLS_AES_128_GCM_SHA256], min_version: 1.4",
		 "t.yaml:2:49: " AT
		 ".min_version: `1.4` is neither `1.2` nor `1.3`; TLS 1.0 and 1.1 are "
		 "not supported"},
	};

	expect_refusals(TLS, TLS_END, table, ARRAY_LEN(table));
}

static void who_may_come_in_is_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{"client_auth: required, client_ca: c",
		 "t.yaml:2:15: " AT ".client_auth: `required` is none of `none`, `request` or "
		 "`require`; did you mean `require`?"},
		{"client_auth: require", "t.yaml:2:2: " AT ": `client_auth` needs `client_ca`"},
		{"client_auth: request, crl: c",
		 "t.yaml:2:2: " AT ": `client_auth` needs `client_ca`"},
		{"client_ca: c",
		 "t.yaml:2:2: " AT
		 ": `client_ca` needs `client_auth: request` or `require`: without it "
		 "no client is asked for a certificate"},
		{"crl: c",
		 "t.yaml:2:2: " AT ": `crl` needs `client_auth: request` or `require`: without "
		 "it no client is asked for a certificate"},
		{"client_auth: none, client_ca: c", "t.yaml:2:21: warning: listeners[0].tls: "
						    "`client_ca` is not used: `client_auth` is "
						    "`none`"},
		{"client_auth: none, crl: c", "t.yaml:2:21: warning: listeners[0].tls: `crl` is "
					      "not used: `client_auth` is `none`"},
		{"verify_depth: 9",
		 "t.yaml:2:16: " AT ".verify_depth: `9` is no whole number from 0 to 8"},
		{"client_auth: request, client_ca: c, ocsp: {fetch: true}",
		 "t.yaml:2:38: " AT ": `ocsp` and `client_auth` exclude each other: the TLS library "
		 "staples nothing where clients show certificates"},
		{"ocsp: {file: o}, client_auth: require, client_ca: c",
		 "t.yaml:2:2: " AT ": `ocsp` and `client_auth` exclude each other: the TLS library "
		 "staples nothing where clients show certificates"},
		{"client_auth: request, client_ca: c, tickets: {}",
		 "t.yaml:2:38: " AT
		 ": listeners with client authentication issue none: a session that "
		 "is resumed skips the client's certificate"},
		{"tickets: {rotate: 2h}, client_auth: require, client_ca: c",
		 "t.yaml:2:2: " AT
		 ": listeners with client authentication issue none: a session that "
		 "is resumed skips the client's certificate"},
	};

	expect_refusals(TLS, TLS_END, table, ARRAY_LEN(table));
}

static void tickets_and_ocsp_are_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{"tickets: on",
		 "t.yaml:2:11: " AT ".tickets: `on` is neither `off` nor a mapping of "
		 "`lifetime` and `rotate`"},
		{"tickets: [off]", "t.yaml:2:11: " AT ".tickets: must be a mapping of keys"},
		{"tickets: {lifetime: 0}",
		 "t.yaml:2:22: " AT ".tickets.lifetime: `0` is too small, at least 1s"},
		{"tickets: {lifetime: 8d}",
		 "t.yaml:2:22: " AT ".tickets.lifetime: `8d` is too big, at most 7d"},
		{"tickets: {rotate: 500ms}",
		 "t.yaml:2:20: " AT ".tickets.rotate: `500ms` is too small, at least 1s"},
		{"tickets: {rotate: 2w}",
		 "t.yaml:2:20: " AT ".tickets.rotate: `2w` is too big, at most 7d"},
		{"tickets: {lifetime: 12h}",
		 "t.yaml:2:22: " AT
		 ".tickets: `lifetime` (12h) is more than `rotate` (6h): a key goes "
		 "two rotations after it came, and the last tickets that it made would end before "
		 "their "
		 "time"},
		{"tickets: {rotate: 30m}",
		 "t.yaml:2:20: " AT
		 ".tickets: `lifetime` (1h) is more than `rotate` (30m): a key goes "
		 "two rotations after it came, and the last tickets that it made would end before "
		 "their "
		 "time"},
		{"ocsp: x", "t.yaml:2:8: " AT ".ocsp: must be a mapping of keys"},
		{"ocsp: {file: ''}", "t.yaml:2:15: " AT ".ocsp.file: must not be empty"},
		{"ocsp: {fetch: maybe}",
		 "t.yaml:2:16: " AT ".ocsp.fetch: `maybe` is none of `true` or `false`"},
		{"ocsp: {fetch: true, file: a.ocsp}",
		 "t.yaml:2:22: " AT ".ocsp: `file` and `fetch: true` exclude each other"},
	};

	expect_refusals(TLS, TLS_END, table, ARRAY_LEN(table));
}

static void every_error_of_a_listener_comes_in_one_run(void **state UNUSED)
{
	expect_report(
		"listeners:\n"
		"- address: x\n"
		"  proxy_protocol: v1\n"
		"  tls:\n"
		"    certificates: [{key: k}]\n"
		"    min_version: 1\n"
		"    suits: []\n"
		"    crl: x\n",
		"t.yaml:2:12: error: listeners[0].address: `x` is no address with a port, like "
		"0.0.0.0:8080 or [::]:8080\n"
		"    2 | - address: x\n"
		"      |            ^\n"
		"t.yaml:3:3: error: listeners[0]: `proxy_protocol` needs `trusted`: the peers "
		"that may send it\n"
		"    3 |   proxy_protocol: v1\n"
		"      |   ^^^^^^^^^^^^^^\n"
		"t.yaml:5:20: error: listeners[0].tls.certificates[0]: `cert` is missing\n"
		"    5 |     certificates: [{key: k}]\n"
		"      |                    ^\n"
		"t.yaml:6:18: error: listeners[0].tls.min_version: `1` is neither `1.2` nor "
		"`1.3`; TLS 1.0 and 1.1 are not supported\n"
		"    6 |     min_version: 1\n"
		"      |                  ^\n"
		"t.yaml:7:5: error: listeners[0].tls: unknown key `suits`; did you mean "
		"`suites`?\n"
		"    7 |     suits: []\n"
		"      |     ^^^^^\n"
		"t.yaml:8:5: error: listeners[0].tls: `crl` needs `client_auth: request` or "
		"`require`: without it no client is asked for a certificate\n"
		"    8 |     crl: x\n"
		"      |     ^^^\n");
}

static void keys_of_targets_are_read(void **state UNUSED)
{
	struct config *c =
		config_of("gateway: {port: 80}\n"
			  "services:\n"
			  "  a:\n"
			  "    tls: {ca: ca.pem, server_name: api.internal, client_cert: c.pem, "
			  "client_key: /c}\n"
			  "    targets: [{url: 'https://x'}, {url: 'https://[::1]:8443/'}, {url: "
			  "'http://y:443'},\n"
			  "              {url: 'https://z:80'}, {url: 'https://10.0.0.1:443'}]\n"
			  "    routes: [{path: /}]\n"
			  "  b: {url: 'https://x', tls:, routes: [{path: /b}]}\n");
	const struct config_service *a = &c->services[0], *b = &c->services[1];
	static const struct {
		const char *authority;
		uint16_t port;
		bool tls;
	} wanted[] = {{"x", 443, true},
		      {"[::1]:8443", 8443, true},
		      {"y:443", 443, false},
		      {"z:80", 80, true},
		      {"10.0.0.1", 443, true}};

	assert_int_equal(a->targets_len, ARRAY_LEN(wanted));
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		assert_string_equal(a->targets[i].authority, wanted[i].authority);
		assert_int_equal(a->targets[i].port, wanted[i].port);
		assert_int_equal(a->targets[i].tls, wanted[i].tls);
	}
	assert_int_equal(address_port(&a->targets[4].address), 443);
	assert_int_equal(a->tls.place.line, 4);
	assert_string_equal(a->tls.ca.path, "ca.pem");
	assert_int_equal(a->tls.ca.place.column, 15);
	assert_string_equal(a->tls.server_name, "api.internal");
	assert_string_equal(a->tls.client_cert.path, "c.pem");
	assert_string_equal(a->tls.client_key.path, "/c");
	assert_true(a->tls.verify && b->tls.verify);
	assert_null(b->tls.ca.path);
	assert_null(b->tls.server_name);
	assert_null(b->tls.client_cert.path);
	config_destroy(c);
}

static void how_targets_are_spoken_to_is_checked(void **state UNUSED)
{
	static const struct refusal of_https[] = {
		{"ca: ''", "t.yaml:2:7: error: services.a.tls.ca: must not be empty"},
		{"cert: x", "t.yaml:2:3: error: services.a.tls: unknown key `cert`"},
		{"server_name: 10.0.0.1",
		 "t.yaml:2:16: error: services.a.tls.server_name: `10.0.0.1` is "
		 "no host name, like api.internal"},
		{"server_name: 'x:443'",
		 "t.yaml:2:16: error: services.a.tls.server_name: `x:443` is no "
		 "host name, like api.internal"},
		{"server_name: '*.x'",
		 "t.yaml:2:16: error: services.a.tls.server_name: `*.x` is no host "
		 "name, like api.internal"},
		{"server_name: x.",
		 "t.yaml:2:16: error: services.a.tls.server_name: `x.` is no host "
		 "name, like api.internal"},
		{"client_cert: x",
		 "t.yaml:2:3: error: services.a.tls: `client_cert` needs `client_key`"},
		{"client_key: x",
		 "t.yaml:2:3: error: services.a.tls: `client_key` needs `client_cert`"},
		{"verify: no",
		 "t.yaml:2:11: error: services.a.tls.verify: `no` is none of `true` or "
		 "`false`"},
		{"verify: false", "t.yaml:2:11: warning: services.a.tls: the targets' certificates "
				  "are not verified: "
				  "whoever stands between can read and change everything"},
	};
	static const struct refusal of_targets[] = {
		{"url: 'http://x'",
		 "t.yaml:3:2: error: services.a: `tls` has no meaning: no target is https://"},
		{"targets: [{url: 'http://x'}, {url: 'http://y:443'}]",
		 "t.yaml:3:2: error: services.a: `tls` has no meaning: no target is https://"},
		/* It may have been meant to be one. */
		{"targets: [{url: 'http://x'}, {url: 'https//y'}]",
		 "t.yaml:2:37: error: services.a.targets[1].url: `https//y`: a url begins with "
		 "http:// "
		 "or https://"},
	};

	expect_refusals("services: {a: {routes: [{path: /}], url: 'https://x', tls:\n {",
			"}}}\ngateway: {port: 80}\n", of_https, ARRAY_LEN(of_https));
	expect_refusals("services: {a: {routes: [{path: /}],\n ",
			",\n tls: {}}}\ngateway: {port: 80}\n", of_targets, ARRAY_LEN(of_targets));
}

/* As for includes: beside the file that names them, not where the process was started. */
static void files_lie_beside_the_file_that_names_them(void **state UNUSED)
{
	static const char text[] = "listeners: [{address: ':1', tls: {certificates: [{cert: a.pem, "
				   "key: /k}]}}]\n";
	struct config_report report;
	struct config *c = NULL;

	assert_int_equal(config_load_text("/etc/x/t.yaml", span_str(text), &c, &report), 0);
	assert_string_equal(c->listeners[0].tls->certificates[0].cert.path, "/etc/x/a.pem");
	assert_string_equal(c->listeners[0].tls->certificates[0].cert.place.file, "/etc/x/t.yaml");
	assert_string_equal(c->listeners[0].tls->certificates[0].key.path, "/k");
	config_report_fini(&report);
	config_destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_of_a_listener_are_read),
		cmocka_unit_test(defaults_of_a_listener_are_as_documented),
		cmocka_unit_test(certificates_are_checked),
		cmocka_unit_test(how_tls_is_spoken_is_checked),
		cmocka_unit_test(who_may_come_in_is_checked),
		cmocka_unit_test(tickets_and_ocsp_are_checked),
		cmocka_unit_test(every_error_of_a_listener_comes_in_one_run),
		cmocka_unit_test(keys_of_targets_are_read),
		cmocka_unit_test(how_targets_are_spoken_to_is_checked),
		cmocka_unit_test(files_lie_beside_the_file_that_names_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

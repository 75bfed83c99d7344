#include "readers.h"

#include <ringway/config/suggest.h>

#include "substitute.h"

/* Each is read into every shard; more names go into one certificate. */
#define CERTIFICATES_MAX 64
/* RFC 8446 section 4.1.2: what versions are called since TLS 1.0 was 0x0301. */
#define TLS_1_2 0x0303
#define TLS_1_3 0x0304

/* A word of the configuration and its number at IANA ("TLS Parameters"). */
struct named {
	const char *name;
	uint16_t number;
	bool tls_1_3;
	const char *others; /* what other programs call it, a list with commas */
};

static const struct named groups[] = {
	{"X25519MLKEM768", 0x11ec, .tls_1_3 = true, .others = ""},
	{"X25519", 0x001d, .others = ""},
	{"P-256", 0x0017, .others = "secp256r1,prime256v1"},
	{"P-384", 0x0018, .others = "secp384r1"},
};

/* What RFC 9325 section 4.2 recommends: forward secrecy and authenticated encryption. */
static const struct named suites[] = {
	{"TLS_AES_128_GCM_SHA256", 0x1301, true, ""},
	{"TLS_AES_256_GCM_SHA384", 0x1302, true, ""},
	{"TLS_CHACHA20_POLY1305_SHA256", 0x1303, true, ""},
	{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b, false, "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c, false, "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc02f, false, "ECDHE-RSA-AES128-GCM-SHA256"},
	{"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030, false, "ECDHE-RSA-AES256-GCM-SHA384"},
	{"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca8, false,
	 "ECDHE-RSA-CHACHA20-POLY1305"},
	{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9, false,
	 "ECDHE-ECDSA-CHACHA20-POLY1305"},
};

struct names {
	const char *all; /* as an error lists them */
	const struct named *first;
	size_t len;
};

static const struct names group_names = {"of the groups X25519MLKEM768, X25519, P-256 and P-384",
					 groups, ARRAY_LEN(groups)};
static const struct names suite_names = {
	"of the suites of TLS 1.3 and of ECDHE with AES-GCM or CHACHA20 in TLS 1.2", suites,
	ARRAY_LEN(suites)};

void read_file_name(struct loader *l, const struct schema_key *key UNUSED,
		    const struct yaml_node *value, void *field)
{
	const char *path;
	struct span text;

	if (!scalar_text(l, value, &text))
		return;
	if (!text.len) {
		say_error(l, value, "must not be empty");
		return;
	}
	path = path_beside(l, value->at.source, text);
	*(struct config_file *)field =
		(struct config_file){place_of(value), arena_str(&l->config->arena, span_str(path))};
}

void read_certificates(struct loader *l, const struct schema_key *key UNUSED,
		       const struct yaml_node *value, void *field)
{
	static const char *const required[] = {"cert", "key"};
	struct config_tls *tls = field;
	struct list_cursor at;
	size_t len = list_begin(l, value, false, &at);
	struct config_certificate *all = arena_alloc(&l->config->arena, len * sizeof(*all) + 1);
	const struct yaml_node *n;

	if (len > CERTIFICATES_MAX) {
		say_error(l, value, "more than %d certificates", CERTIFICATES_MAX);
		return;
	}
	while ((n = list_next(l, &at))) {
		struct config_certificate *c = &all[tls->certificates_len++];

		*c = (struct config_certificate){0};
		schema_read(l, keys_certificate, n, c);
		for (size_t i = 0; i < ARRAY_LEN(required); i++)
			if ((n->kind == YAML_MAPPING || yaml_is_null(n)) &&
			    !yaml_find(n, required[i]))
				say_error(l, n, "`%s` is missing", required[i]);
	}
	tls->certificates = all;
}

void read_min_version(struct loader *l, const struct schema_key *key UNUSED,
		      const struct yaml_node *value, void *field)
{
	struct span text;

	if (!scalar_text(l, value, &text))
		return;
	if (span_eq(text, SPAN("1.2")))
		*(int *)field = TLS_1_2;
	else if (span_eq(text, SPAN("1.3")))
		*(int *)field = TLS_1_3;
	else
		/* RFC 8996 forbids what is older. */
		say_error(l, value,
			  "%s is neither `1.2` nor `1.3`; TLS 1.0 and 1.1 are not supported",
			  shown(l, value));
}

void read_alpn(struct loader *l, const struct schema_key *key UNUSED, const struct yaml_node *value,
	       void *field)
{
	static const struct schema_choice words[] = {{"http/1.1", 0}, {"h2", 1, true}, {0}};
	const struct schema_key choice = {.choices = words};
	struct config_tls *tls = field;
	struct list_cursor at;
	size_t len = list_begin(l, value, true, &at);
	const char **all = arena_alloc(&l->config->arena, len * sizeof(*all) + 1);
	bool given[ARRAY_LEN(words)] = {false};
	const struct yaml_node *n;

	if (len) {
		tls->alpn = all;
		tls->alpn_len = 0;
	}
	while ((n = list_next(l, &at))) {
		int chosen = -1;

		read_choice(l, &choice, n, &chosen);
		if (chosen < 0)
			continue;
		if (given[chosen]) {
			say_error(l, n, "%s: it stands twice", shown(l, n));
			continue;
		}
		given[chosen] = true;
		all[tls->alpn_len++] = words[chosen].word;
	}
}

static const struct named *find_named(const struct names *names, struct span text)
{
	for (size_t i = 0; i < names->len; i++)
		if (span_eq(text, span_str(names->first[i].name)))
			return &names->first[i];
	return NULL;
}

/* What was meant, NULL when nothing is near. */
static const char *near_name(const struct names *names, struct span text)
{
	struct suggestion near;

	suggestion_init(&near, text);
	for (size_t i = 0; i < names->len; i++) {
		struct span others = span_str(names->first[i].others), other;

		while (span_next_token(&others, &other))
			if (span_ieq(other, text))
				return names->first[i].name;
		suggestion_try(&near, names->first[i].name);
	}
	return near.best;
}

static bool has_number(const uint16_t *numbers, size_t len, uint16_t number)
{
	for (size_t i = 0; i < len; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

/* Numbers in the order of their names. None for an empty list, which asks for the default,
 * and when something is wrong with one: then nothing is said about the list as a whole. */
static void read_names(struct loader *l, const struct names *names, const struct yaml_node *value,
		       const uint16_t **ret_numbers, size_t *ret_len)
{
	size_t errors = l->report->errors, len = 0;
	const struct yaml_node *n;
	struct list_cursor at;
	uint16_t *numbers;

	if (value->kind == YAML_LIST && !value->entries)
		return;
	numbers = arena_alloc(&l->config->arena, names->len * sizeof(*numbers));
	list_begin(l, value, true, &at);
	while ((n = list_next(l, &at))) {
		const struct named *named;
		const char *near;
		struct span text;

		if (!scalar_text(l, n, &text))
			continue;
		named = find_named(names, text);
		near = named ? NULL : near_name(names, text);
		if (!named)
			say_error(l, n,
				  near ? "%s is none %s; did you mean `%s`?" : "%s is none %s",
				  shown(l, n), names->all, near);
		else if (has_number(numbers, len, named->number))
			say_error(l, n, "%s: it stands twice", shown(l, n));
		else
			numbers[len++] = named->number;
	}
	if (l->report->errors > errors)
		return;
	*ret_numbers = numbers;
	*ret_len = len;
}

void read_groups(struct loader *l, const struct schema_key *key UNUSED,
		 const struct yaml_node *value, void *field)
{
	struct config_tls *tls = field;

	read_names(l, &group_names, value, &tls->groups, &tls->groups_len);
}

void read_suites(struct loader *l, const struct schema_key *key UNUSED,
		 const struct yaml_node *value, void *field)
{
	struct config_tls *tls = field;

	read_names(l, &suite_names, value, &tls->suites, &tls->suites_len);
}

void read_tickets(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		  void *field)
{
	struct config_tls *tls = field;
	size_t errors = l->report->errors;
	const struct yaml_entry *e;
	struct span text;

	if (value->kind == YAML_SCALAR && !yaml_is_null(value)) {
		if (!scalar_text(l, value, &text))
			return;
		if (span_eq(text, SPAN("off")))
			tls->ticket_lifetime_ns = 0;
		else
			say_error(l, value,
				  "%s is neither `off` nor a mapping of `lifetime` and `rotate`",
				  shown(l, value));
		return;
	}
	schema_read(l, key->keys, value, tls);
	if (l->report->errors > errors || tls->ticket_lifetime_ns <= tls->ticket_rotate_ns)
		return;
	e = yaml_find(value, "lifetime");
	if (!e)
		e = yaml_find(value, "rotate");
	/* The key that made a ticket opens it until the second rotation from then. For a
	 * ticket from the end of its key's time that is hardly more than one `rotate`. */
	say_error(l, e->value,
		  "`lifetime` (%s) is more than `rotate` (%s): a key goes two rotations after it "
		  "came, and the last tickets that it made would end before their time",
		  shown_duration(l, tls->ticket_lifetime_ns),
		  shown_duration(l, tls->ticket_rotate_ns));
}

void read_ocsp(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
	       void *field)
{
	struct config_tls *tls = field;

	schema_read(l, key->keys, value, tls);
	if (tls->ocsp_fetch && yaml_find(value, "file"))
		say_error(l, yaml_find(value, "file")->key,
			  "`file` and `fetch: true` exclude each other");
}

static bool has_version(const struct names *names, const uint16_t *numbers, size_t len,
			bool tls_1_3)
{
	for (size_t i = 0; i < names->len; i++)
		if (names->first[i].tls_1_3 == tls_1_3 &&
		    has_number(numbers, len, names->first[i].number))
			return true;
	return false;
}

/* Each version that is spoken has something to be spoken with, and nothing is given that
 * none of them can use. */
static void check_versions(struct loader *l, const struct yaml_node *mapping,
			   const struct config_tls *tls)
{
	const struct yaml_entry *suites_given = yaml_find(mapping, "suites");
	const struct yaml_entry *groups_given = yaml_find(mapping, "groups");
	bool suites_1_2 = has_version(&suite_names, tls->suites, tls->suites_len, false);
	bool suites_1_3 = has_version(&suite_names, tls->suites, tls->suites_len, true);

	if (tls->suites_len && !suites_1_3)
		say_error(l, suites_given->key, "`suites` leaves none for TLS 1.3");
	if (tls->suites_len && !suites_1_2 && tls->min_version == TLS_1_2)
		say_error(
			l, suites_given->key,
			"`suites` leaves none for TLS 1.2; add one or set `min_version: \"1.3\"`");
	if (tls->suites_len && suites_1_2 && tls->min_version == TLS_1_3)
		say_error(l, suites_given->key,
			  "`suites` has some of TLS 1.2, which `min_version` rules out");
	if (tls->groups_len && !has_version(&group_names, tls->groups, tls->groups_len, false) &&
	    tls->min_version == TLS_1_2)
		say_error(
			l, groups_given->key,
			"`groups` leaves none for TLS 1.2; add one or set `min_version: \"1.3\"`");
}

static void check_client_auth(struct loader *l, const struct yaml_node *mapping,
			      struct config_tls *tls)
{
	static const char *const keys[] = {"client_ca", "crl"};
	const struct yaml_entry *auth = yaml_find(mapping, "client_auth");
	const struct yaml_entry *tickets = yaml_find(mapping, "tickets");

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct yaml_entry *e = yaml_find(mapping, keys[i]);

		if (!e || tls->client_auth != CONFIG_CLIENT_AUTH_NONE)
			continue;
		/* Forgotten, it would leave a door open that looks shut; written, someone has
		 * opened it. */
		if (auth)
			say(l, CONFIG_WARNING, e->key->at, l->path.ptr,
			    "`%s` is not used: `client_auth` is `none`", keys[i]);
		else
			say_error(l, e->key,
				  "`%s` needs `client_auth: request` or `require`: without it no "
				  "client is asked for a certificate",
				  keys[i]);
	}
	if (tls->client_auth == CONFIG_CLIENT_AUTH_NONE)
		return;
	if (!yaml_find(mapping, "client_ca"))
		say_error(l, auth->key, "`client_auth` needs `client_ca`");
	/* wolfSSL has one set of authorities for both: whoever signs the response would vouch
	 * for clients, too. */
	if (tls->ocsp.path || tls->ocsp_fetch)
		say_error(l, yaml_find(mapping, "ocsp")->key,
			  "`ocsp` and `client_auth` exclude each other: the TLS library staples "
			  "nothing where clients show certificates");
	if (!tickets)
		tls->ticket_lifetime_ns = 0;
	else if (tls->ticket_lifetime_ns)
		say_error(l, tickets->key,
			  "listeners with client authentication issue none: a session that is "
			  "resumed "
			  "skips the client's certificate");
}

void read_tls(struct loader *l, const struct schema_key *key UNUSED, const struct yaml_node *value,
	      void *field)
{
	static const char *const alpn[] = {"http/1.1"};
	struct tls_draft draft = {
		.tls = {.place = place_of(value),
			.alpn = alpn,
			.alpn_len = ARRAY_LEN(alpn),
			.verify_depth = 3,
			.ticket_lifetime_ns = 3600 * NS_PER_S,
			.ticket_rotate_ns = 6 * 3600 * NS_PER_S},
		.min_version = -1,
		.client_auth = -1,
	};
	struct config_tls *tls = arena_alloc(&l->config->arena, sizeof(*tls));

	schema_read(l, keys_tls, value, &draft);
	if (value->kind != YAML_MAPPING && !yaml_is_null(value))
		return;
	if (!yaml_find(value, "certificates"))
		say_error(l, value, "`certificates` is missing");
	*tls = draft.tls;
	tls->min_version = draft.min_version < 0 ? TLS_1_2 : (uint16_t)draft.min_version;
	if (draft.min_version >= 0 || !yaml_find(value, "min_version"))
		check_versions(l, value, tls);
	tls->client_auth = draft.client_auth < 0 ? CONFIG_CLIENT_AUTH_NONE
						 : (enum config_client_auth)draft.client_auth;
	if (draft.client_auth >= 0 || !yaml_find(value, "client_auth"))
		check_client_auth(l, value, tls);
	*(const struct config_tls **)field = tls;
}

/* A name as a certificate and SNI have it, without the root's dot (RFC 6066 section 3). */
void read_server_name(struct loader *l, const struct schema_key *key UNUSED,
		      const struct yaml_node *value, void *field)
{
	struct span text;

	if (!scalar_text(l, value, &text))
		return;
	if (!is_host_name(text) || ends_in_digits(text) || span_ends_with(text, SPAN(".")))
		say_error(l, value, "%s is no host name, like api.internal", shown(l, value));
	else
		*(const char **)field = arena_str(&l->config->arena, text);
}

void read_upstream_tls(struct loader *l, const struct schema_key *key,
		       const struct yaml_node *value, void *field)
{
	struct config_upstream_tls *tls = field;
	const struct yaml_entry *cert = yaml_find(value, "client_cert");
	const struct yaml_entry *client_key = yaml_find(value, "client_key");

	tls->place = place_of(value);
	schema_read(l, key->keys, value, tls);
	if (cert && !client_key)
		say_error(l, cert->key, "`client_cert` needs `client_key`");
	if (client_key && !cert)
		say_error(l, client_key->key, "`client_key` needs `client_cert`");
	if (!tls->verify)
		say(l, CONFIG_WARNING, yaml_find(value, "verify")->value->at, l->path.ptr,
		    "the targets' certificates are not verified: whoever stands between can read "
		    "and change everything");
}

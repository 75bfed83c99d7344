#include "check_certificates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/tls/file_check.h>
#include <ringway/tls/identity.h>
#include <ringway/tls/ocsp.h>

#define PATH_BYTES 256

struct check {
	struct tls_findings findings;
	const struct config *config;
	struct config_report *report;
	int64_t now_s;
	size_t errors;
	struct tls_identity **identities; /* of all listeners, those that are good */
	size_t identities_len;
	bool has_unknown_names; /* some certificate could not be loaded */
};

static void add(struct check *c, enum config_severity severity, struct config_place place,
		const char *path, const char *message)
{
	c->errors += severity == CONFIG_ERROR;
	config_report_add(c->report, severity, place, path, message);
}

/* The source line shows the name of the file as it was written; this is where it was found. */
static void say(struct tls_findings *f, enum config_severity severity,
		const struct config_file *file, const char *path, const char *message)
{
	struct check *c = container_of(f, struct check, findings);
	char text[512];

	snprintf(text, sizeof(text), "%s: %s", file->path, message);
	add(c, severity, file->place, path, text);
}

/* ---- listeners ---- */

/* The listener of `gateway` has no place in the list, and stands before it. */
static const char *tls_path(const struct config *config, size_t index, char out[static PATH_BYTES])
{
	const struct config_listener *first = &config->listeners[0];

	if (!first->tls && strcmp(first->name, "gateway") == 0)
		index--;
	snprintf(out, PATH_BYTES, "listeners[%zu].tls", index);
	return out;
}

static bool has_name(const struct tls_identity *i, const char *name)
{
	for (size_t n = 0; n < i->names_len; n++)
		if (strcmp(i->names[n], name) == 0)
			return true;
	return false;
}

/* What a client would get from an earlier one; NULL: it is needed for something. Each of the
 * two has it as written, since a wildcard beside one of its names is of use. */
static const char *shared_name(const struct tls_identity *earlier, const struct tls_identity *later)
{
	if (earlier->kind != later->kind)
		return NULL;
	for (size_t n = 0; n < later->names_len; n++)
		if (has_name(earlier, later->names[n]))
			return later->names[n];
	return NULL;
}

static void check_twice(struct check *c, struct tls_identity *const *earlier, size_t earlier_len,
			const struct tls_identity *later, const char *path)
{
	char message[512];

	for (size_t i = 0; i < earlier_len; i++) {
		const char *name = shared_name(earlier[i], later);

		if (!name)
			continue;
		snprintf(message, sizeof(message),
			 "%s: `%.200s` has an %s certificate already, in line %u: that one is used",
			 later->config->cert.path, name, tls_key_kind_name(later->kind),
			 earlier[i]->config->cert.place.line);
		add(c, CONFIG_WARNING, later->config->cert.place, path, message);
		return;
	}
}

static void check_ocsp(struct check *c, const struct config_tls *tls,
		       struct tls_identity *const *identities, size_t len, const char *base)
{
	struct tls_staple_request request;
	struct tls_staple *staple = NULL;
	char path[PATH_BYTES + 64];
	const char *detail;
	size_t index;

	if (tls->ocsp.path) {
		snprintf(path, sizeof(path), "%s.ocsp.file", base);
		tls_staple_choose(&tls->ocsp, path, identities, len, c->now_s, &c->findings,
				  &staple, &index);
		tls_staple_destroy(staple);
	}
	for (size_t i = 0; i < len && tls->ocsp_fetch; i++) {
		if (!tls_staple_request(identities[i]->chain_pem, &request, &detail))
			continue;
		snprintf(path, sizeof(path), "%s.ocsp.fetch", base);
		say(&c->findings, CONFIG_WARNING, &identities[i]->config->cert, path, detail);
	}
}

static void check_listener(struct check *c, size_t index)
{
	const struct config_tls *tls = c->config->listeners[index].tls;
	struct tls_identity **own = c->identities + c->identities_len;
	size_t own_len = 0;
	char base[PATH_BYTES], path[PATH_BYTES + 64], cert_path[PATH_BYTES + 80];

	tls_path(c->config, index, base);
	for (size_t i = 0; i < tls->certificates_len; i++) {
		snprintf(path, sizeof(path), "%s.certificates[%zu]", base, i);
		snprintf(cert_path, sizeof(cert_path), "%s.cert", path);
		if (tls_identity_load(&tls->certificates[i], path, c->now_s, &c->findings,
				      &own[own_len])) {
			c->has_unknown_names = true;
			continue;
		}
		check_twice(c, own, own_len, own[own_len], cert_path);
		own_len++;
	}
	c->identities_len += own_len;
	snprintf(path, sizeof(path), "%s.client_ca", base);
	if (tls->client_ca.path)
		tls_check_ca_file(&tls->client_ca, path, c->now_s, &c->findings);
	snprintf(path, sizeof(path), "%s.crl", base);
	if (tls->crl.path)
		tls_check_crl_file(&tls->crl, path, &c->findings);
	/* Whom a response is about is known when all of them are. */
	if (own_len == tls->certificates_len)
		check_ocsp(c, tls, own, own_len, base);
}

static bool check_listeners(struct check *c)
{
	size_t most = 0;

	for (size_t i = 0; i < c->config->listeners_len; i++)
		if (c->config->listeners[i].tls)
			most += c->config->listeners[i].tls->certificates_len;
	c->identities = calloc(most + 1, sizeof(*c->identities));
	must(c->identities);
	for (size_t i = 0; i < c->config->listeners_len; i++)
		if (c->config->listeners[i].tls)
			check_listener(c, i);
	return most > 0;
}

/* ---- routes ---- */

static bool is_covered(const struct check *c, const char *host)
{
	for (size_t i = 0; i < c->identities_len; i++)
		if (tls_identity_covers(c->identities[i], host))
			return true;
	return false;
}

static void check_host(struct check *c, const struct config_service *s,
		       const struct config_route *route, const struct config_host *host)
{
	char name[300], path[PATH_BYTES], message[512];
	struct address address;

	/* For an address no client sends a name (RFC 6066 section 3): the default answers. */
	if (address_from_ip(span_str(host->name), 0, &address))
		return;
	snprintf(name, sizeof(name), "%s%s", host->is_suffix ? "*" : "", host->name);
	if (is_covered(c, name))
		return;
	snprintf(path, sizeof(path), "services.%s.routes", s->id);
	snprintf(message, sizeof(message),
		 "route `%s`: no certificate of any TLS listener is for host `%s`", route->name,
		 name);
	add(c, CONFIG_WARNING, route->place, path, message);
}

static void check_routes(struct check *c)
{
	for (size_t i = 0; i < c->config->services_len; i++) {
		const struct config_service *s = &c->config->services[i];

		for (size_t r = 0; r < s->routes_len; r++)
			for (size_t h = 0; h < s->routes[r].hosts_len; h++)
				check_host(c, s, &s->routes[r], &s->routes[r].hosts[h]);
	}
}

/* ---- services ---- */

static void check_service(struct check *c, const struct config_service *s)
{
	const struct config_certificate client = {s->tls.client_cert, s->tls.client_key};
	struct tls_identity *identity = NULL;
	char base[PATH_BYTES], path[PATH_BYTES + 8];

	snprintf(base, sizeof(base), "services.%s.tls", s->id);
	snprintf(path, sizeof(path), "%s.ca", base);
	if (s->tls.ca.path)
		tls_check_ca_file(&s->tls.ca, path, c->now_s, &c->findings);
	if (client.cert.path && client.key.path)
		tls_identity_load_client(&client, base, c->now_s, &c->findings, &identity);
	tls_identity_destroy(identity);
}

bool check_certificates(const struct config *config, int64_t now_s, struct config_report *report)
{
	struct check c = {.findings = {say}, .config = config, .report = report, .now_s = now_s};

	/* What a certificate that cannot be read is for would be a guess. */
	if (check_listeners(&c) && !c.has_unknown_names)
		check_routes(&c);
	for (size_t i = 0; i < config->services_len; i++)
		check_service(&c, &config->services[i]);
	for (size_t i = 0; i < c.identities_len; i++)
		tls_identity_destroy(c.identities[i]);
	free(c.identities);
	return c.errors == 0;
}

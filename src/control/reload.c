/* Reload: a thread of its own reads the file and builds a snapshot, control hands it to
 * the shards, each of which swaps a pointer between two turns.
 *
 * A file with errors changes nothing. What cannot change while the process runs (listeners,
 * shards, sizes that pools were made by) is an error, too: half a reload would be a third
 * configuration that nobody has written.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/base/clock.h>
#include <ringway/observe/event.h>
#include <ringway/tls/credentials.h>

#include <ringway/proxy/answer.h>
#include "instance.h"
#include "live_limits.h"

struct reload {
	struct instance *instance;
	struct exchange *x; /* who asked, NULL: a signal */
	pthread_t thread;
	bool joined;
	bool only_certificates; /* the configuration is the one in force */
	uint64_t began_ns;
	/* The config thread's results. */
	struct snapshot *snapshot; /* NULL: it failed */
	char *report;              /* errors and warnings as text */
	size_t errors;
	size_t warnings;
	json_t *undone; /* lines: what was set live, and is not in force any more; may be NULL */
};

struct retired {
	struct list link;
	struct snapshot *snapshot;
	unsigned users; /* shards that still have requests on it */
};

/* ---- the config thread ---- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_changed(const struct config_listener *was, const struct config_listener *is)
{
	return !address_eq(&was->address, &is->address) || !was->tls != !is->tls ||
	       was->proxy_protocol != is->proxy_protocol ||
	       was->redirect_https != is->redirect_https;
}

static const char *changed_listener(const struct config *was, const struct config *is)
{
	if (was->listeners_len != is->listeners_len)
		return "listeners";
	for (size_t i = 0; i < was->listeners_len; i++)
		if (is_changed(&was->listeners[i], &is->listeners[i]))
			return is->listeners[i].name;
	return NULL;
}

static bool same_resolver(const struct config_resolver *a, const struct config_resolver *b)
{
	if (a->timeout_ns != b->timeout_ns || a->max_ttl_ns != b->max_ttl_ns ||
	    a->servers_len != b->servers_len)
		return false;
	for (size_t i = 0; i < a->servers_len; i++)
		if (!address_eq(&a->servers[i], &b->servers[i]))
			return false;
	return true;
}

/* What of the new file asks for a restart; NULL: nothing. */
static const char *needs_restart(const struct instance *in, const struct config *was,
				 const struct config *is)
{
	const char *listener = changed_listener(was, is);

	if (listener)
		return listener;
	if (strcmp(was->instance, is->instance) != 0)
		return "instance";
	if (was->monitoring.enabled != is->monitoring.enabled ||
	    (is->monitoring.enabled &&
	     !address_eq(&was->monitoring.address, &is->monitoring.address)))
		return "monitoring.metrics_port";
	if (!same_resolver(&was->resolver, &is->resolver))
		return "resolver";
	if (!same_text(was->admin.socket, is->admin.socket))
		return "admin.socket";
	if (was->runtime.shards != is->runtime.shards ||
	    !same_text(was->runtime.cpus, is->runtime.cpus) || was->runtime.pin != is->runtime.pin)
		return "runtime";
	if (was->runtime.limit_keys != is->runtime.limit_keys ||
	    was->runtime.limit_windows != is->runtime.limit_windows)
		return "runtime.limit_keys and limit_windows";
	if (was->runtime.metrics_shared != is->runtime.metrics_shared)
		return "runtime.metrics_memory";
	if (was->runtime.metric_routes != is->runtime.metric_routes)
		return "monitoring.label_budget";
	if (capacity_of(is, in->shards_len).clients > in->capacity.clients)
		return "gateway.max_connections (it was raised)";
	return NULL;
}

static void say(struct reload *r, FILE *out, const char *path, const char *what)
{
	fprintf(out, "%s: error: %s\n", path, what);
	r->errors++;
}

static void build(struct reload *r, struct config *config, FILE *out)
{
	struct instance *in = r->instance;
	const char *restart = needs_restart(in, in->snapshot->config, config);
	uint32_t known = in->registry.endpoints_len;
	struct tls_credentials *credentials = NULL;
	int err;

	if (restart) {
		fprintf(out, "%s: error: %s: the change needs a restart\n", config->path, restart);
		r->errors++;
		config_destroy(config);
		return;
	}
	err = certificates_read(in, config, out, &r->errors, &r->warnings, &credentials);
	if (err) {
		if (!r->errors)
			say(r, out, config->path, strerror(-err));
		config_destroy(config);
		return;
	}
	err = snapshot_create(config, credentials, &in->common, in->snapshot->generation + 1,
			      in->shards_len + 1, &r->snapshot);
	if (err) {
		say(r, out, config->path,
		    err == -ENOSPC ? "more services, targets or limits than a process can ever "
				     "have known: restart it"
				   : strerror(-err));
		config_destroy(config);
		tls_credentials_destroy(credentials);
		return;
	}
	/* New names get a fair chance to be there when the first request comes. */
	if (names_watch(in, known) == 0 && in->registry.endpoints_len > known)
		resolver_settle(in->resolver, config->resolver.timeout_ns);
}

static void on_built(void *to, const struct mail *mail);

static void *run(void *arg)
{
	struct reload *r = arg;
	struct mail mail = {.deliver = on_built, .to = r->instance, .ptr = {r}};
	const char *path = r->instance->snapshot->config->path;
	struct config *config = NULL;
	struct config_report report;
	size_t len = 0;
	FILE *out;
	int err;

	pthread_setname_np(pthread_self(), "ringway-config");
	out = open_memstream(&r->report, &len);
	must(out);
	if (r->only_certificates) {
		build(r, config_ref(r->instance->snapshot->config), out);
		fclose(out);
		must(mailbox_post(&r->instance->control.mailbox, CONTROL_FROM_CONFIG, &mail));
		return NULL;
	}
	err = config_load(path, &config, &report);
	config_report_print(&report, out, false);
	r->errors = report.errors;
	r->warnings = report.warnings;
	config_report_fini(&report);
	if (err && !r->errors)
		say(r, out, path, strerror(-err));
	if (!err)
		build(r, config, out);
	fclose(out);
	must(mailbox_post(&r->instance->control.mailbox, CONTROL_FROM_CONFIG, &mail));
	return NULL;
}

/* ---- control ---- */

/* An answer is one block: what has happened stays, and the words go. */
static char *dump(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	if (text && strlen(text) > BLOCK_DATA_BYTES) {
		free(text);
		json_object_set_new(json, "report",
				    json_string("the report is too long: run `ringway check`\n"));
		text = json_dumps(json, JSON_COMPACT);
	}
	if (text && strlen(text) > BLOCK_DATA_BYTES) {
		free(text);
		json_object_set_new(json, "limits_undone",
				    json_pack("[s]", "many limits are again as the file says: the "
						     "events name them"));
		text = json_dumps(json, JSON_COMPACT);
	}
	return text;
}

static void answer(struct reload *r, bool ok, uint64_t took_ms)
{
	struct http_field type = {.name = SPAN("Content-Type"), .value = SPAN("application/json")};
	struct instance *in = r->instance;
	struct exchange *x = r->x;
	json_t *json;
	char *text;

	if (!x)
		return;
	x->source_data = NULL;
	r->x = NULL;
	json = ok ? json_pack("{s:b,s:I,s:i,s:I,s:I,s:s,s:O*}", "ok", 1, "generation",
			      (json_int_t)in->snapshot->generation, "shards", (int)in->shards_len,
			      "ms", (json_int_t)took_ms, "warnings", (json_int_t)r->warnings,
			      "report", r->report, "limits_undone", r->undone)
		  : json_pack("{s:b,s:I,s:s}", "ok", 0, "errors", (json_int_t)r->errors, "report",
			      r->report);
	text = json ? dump(json) : NULL;
	json_decref(json);
	if (text)
		exchange_answer(x, ok ? 200 : 422, &type, 1, span_str(text));
	else
		answer_problem(x, 503, "the gateway is out of resources", NULL, 0);
	free(text);
}

/* A line of the report each, since an event is one line. */
static void say_failure(const struct reload *r)
{
	event_error("reload: %zu errors, generation %llu stays in force", r->errors,
		    (unsigned long long)r->instance->snapshot->generation);
	for (const char *line = r->report, *end; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		event_error("reload: %.*s", (int)(end - line), line);
	}
}

static void end_reload(struct instance *in, struct reload *r)
{
	in->reload = NULL;
	json_decref(r->undone);
	free(r->report);
	free(r);
	if (in->reload_again) {
		in->reload_again = false;
		reload_begin(in, NULL);
	} else if (in->read_certificates_again) {
		in->read_certificates_again = false;
		reload_certificates(in);
	}
	limits_resume(in);
}

static void finish(struct reload *r, bool ok)
{
	struct instance *in = r->instance;
	uint64_t took_ms = (in->control.now_ns - r->began_ns) / NS_PER_MS;

	if (ok && r->only_certificates)
		event_info("certificates: read again, generation %llu",
			   (unsigned long long)in->snapshot->generation);
	else if (ok)
		event_info("reload: generation %llu live on %u shards in %llu ms",
			   (unsigned long long)in->snapshot->generation, in->shards_len,
			   (unsigned long long)took_ms);
	else
		say_failure(r);
	counters_on_reload(in, ok);
	answer(r, ok, took_ms);
	end_reload(in, r);
}

static void on_built(void *to, const struct mail *mail)
{
	struct instance *in = to;
	struct reload *r = mail->ptr[0];
	const struct config_logging *logging;
	struct access_log_output output;
	struct retired *old;

	pthread_join(r->thread, NULL);
	r->joined = true;
	if (!r->snapshot) {
		finish(r, false);
		return;
	}
	old = malloc(sizeof(*old));
	must(old);
	logging = &r->snapshot->config->monitoring.logging;
	logging_apply(logging);
	output = logging_output(logging);
	if (access_log_switch(in->access_log, &output) != 0)
		event_error("reload: the access log `%s` cannot be opened; the old one stays in use",
			    logging->output);
	old->snapshot = in->snapshot;
	old->users = in->shards_len + 1;
	list_push_back(&in->retired, &old->link);
	in->snapshot = r->snapshot;
	if (!r->only_certificates)
		r->undone = limits_follow_file(in, old->snapshot->config);
	atomic_store(&in->shared.gate.limit, in->snapshot->config->max_connections);
	atomic_store(&in->shared.handshakes.limit, in->snapshot->config->client.max_handshakes);
	in->swaps_pending = in->shards_len;
	for (unsigned i = 0; i < in->shards_len; i++) {
		/* Addresses first: letters keep their order. */
		for (uint32_t e = 0; e < in->registry.endpoints_len; e++) {
			const struct registry_endpoint *endpoint = &in->registry.endpoints[e];
			struct name_answer literal = {.addresses = {endpoint->address}, .len = 1};

			if (endpoint->address.len && e >= in->endpoints_told)
				data_shard_post_addresses(&in->shards[i], e, &literal,
							  endpoint->port);
		}
		data_shard_post_swap(&in->shards[i], in->snapshot);
	}
	in->endpoints_told = in->registry.endpoints_len;
	front_swap(&in->control_front, in->snapshot);
}

void reload_all_swapped(struct instance *in)
{
	finish(in->reload, true);
}

static struct reload *begin(struct instance *in)
{
	struct reload *r = calloc(1, sizeof(*r));

	must(r);
	r->instance = in;
	r->began_ns = in->control.now_ns;
	in->reload = r;
	return r;
}

/* A host that has no thread left keeps what is in force. */
static void launch(struct reload *r)
{
	int err = pthread_create(&r->thread, NULL, run, r);

	if (!err)
		return;
	r->joined = true;
	r->errors = 1;
	must(asprintf(&r->report, "%s: error: no thread to read it: %s\n",
		      r->instance->snapshot->config->path, strerror(err)) >= 0);
	finish(r, false);
}

void reload_certificates(struct instance *in)
{
	struct reload *r;

	if (in->reload) {
		in->read_certificates_again = true;
		return;
	}
	if (in->draining)
		return;
	r = begin(in);
	r->only_certificates = true;
	launch(r);
}

bool reload_begin(struct instance *in, struct exchange *x)
{
	struct reload *r;

	if (in->reload)
		return false;
	if (!in->options.can_reload || in->draining) {
		const char *why = in->draining ? "the process is draining"
					       : "there is no file to reload";

		if (x)
			answer_problem(x, 409, why, NULL, 0);
		else
			event_warn("reload: %s", why);
		return true;
	}
	r = begin(in);
	r->x = x;
	if (x)
		x->source_data = r;
	launch(r);
	return true;
}

void reload_forget(struct instance *in, struct exchange *x)
{
	if (in->reload && in->reload->x == x)
		in->reload->x = NULL;
}

void reload_snapshot_unused(struct instance *in, struct snapshot *s)
{
	list_for_each (link, &in->retired) {
		struct retired *old = list_entry(link, struct retired, link);

		if (old->snapshot != s)
			continue;
		if (--old->users == 0) {
			list_remove(&old->link);
			snapshot_destroy(s);
			free(old);
		}
		return;
	}
	must(!"a snapshot that was never retired");
}

void reload_fini(struct instance *in)
{
	struct list *link;

	if (in->reload) {
		struct reload *r = in->reload;

		/* Joined, when the shards had no time left to swap. */
		if (!r->joined)
			pthread_join(r->thread, NULL);
		if (r->snapshot != in->snapshot)
			snapshot_destroy(r->snapshot);
		json_decref(r->undone);
		free(r->report);
		free(r);
		in->reload = NULL;
	}
	while ((link = list_pop_front(&in->retired))) {
		struct retired *old = list_entry(link, struct retired, link);

		snapshot_destroy(old->snapshot);
		free(old);
	}
}

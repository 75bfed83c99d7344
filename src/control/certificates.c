/* The process's certificates: read at start, on reload, and when a file has changed.
 *
 * OCSP responses that are fetched are another's (staples.h), who has all of this read again
 * when there is a new one.
 *
 * A thread of its own looks at the files once a second; one that has changed, and then has
 * stood still for a second, makes control have all of them read again. What is wrong then is
 * said and changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <ringway/observe/event.h>
#include <ringway/tls/credentials.h>
#include <ringway/tls/findings.h>
#include <ringway/tls/ticket_keys.h>

#include "instance.h"
#include "staples.h"

/* What tells one content of a file from another without reading it. */
struct stamp {
	struct timespec changed;
	off_t bytes;
	ino_t inode;
};

struct watched {
	char *path;
	struct stamp read; /* when it was read last */
	struct stamp seen; /* at the last look */
};

/* `lock` guards `files`: the config thread writes, the watcher reads. */
struct certificates {
	struct tls_ticket_keys *ticket_keys;
	struct staples *staples;
	pthread_mutex_t lock;
	struct watched *files;
	size_t files_len;
	pthread_t watcher;
	bool has_watcher;
	sem_t stop;
};

/* ---- what is wrong ---- */

struct printed_findings {
	struct tls_findings findings; /* first */
	FILE *out;
	size_t errors;
	size_t warnings;
};

static void print_finding(struct tls_findings *f, enum config_severity severity,
			  const struct config_file *file, const char *path, const char *message)
{
	struct printed_findings *p = container_of(f, struct printed_findings, findings);

	fprintf(p->out, "%s:%u:%u: %s: %s: %s: %s\n", file->place.file ? file->place.file : "",
		file->place.line, file->place.column, severity == CONFIG_ERROR ? "error" : "warning",
		path, file->path ? file->path : "", message);
	if (severity == CONFIG_ERROR)
		p->errors++;
	else
		p->warnings++;
}

/* ---- which files ---- */

static bool stamp_of(const char *path, struct stamp *ret)
{
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	if (stat(path, &st) != 0)
		return false;
	ret->changed = st.st_mtim;
	ret->bytes = st.st_size;
	ret->inode = st.st_ino;
	return true;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
	       a->bytes == b->bytes && a->inode == b->inode;
}

static void watch_file(struct watched *files, size_t *len, const struct config_file *file)
{
	struct watched *w = &files[*len];

	if (!file->path)
		return;
	w->path = strdup(file->path);
	must(w->path);
	stamp_of(w->path, &w->read);
	w->seen = w->read;
	++*len;
}

static struct watched *list_files(const struct config *config, size_t *ret_len)
{
	struct watched *files;
	size_t most = 0, len = 0;

	for (size_t i = 0; i < config->listeners_len; i++)
		if (config->listeners[i].tls)
			most += 2 * config->listeners[i].tls->certificates_len + 3;
	most += 3 * config->services_len;
	files = calloc(most + 1, sizeof(*files));
	must(files);
	for (size_t i = 0; i < config->listeners_len; i++) {
		const struct config_tls *tls = config->listeners[i].tls;

		if (!tls)
			continue;
		for (size_t k = 0; k < tls->certificates_len; k++) {
			watch_file(files, &len, &tls->certificates[k].cert);
			watch_file(files, &len, &tls->certificates[k].key);
		}
		watch_file(files, &len, &tls->client_ca);
		watch_file(files, &len, &tls->crl);
		watch_file(files, &len, &tls->ocsp);
	}
	for (size_t i = 0; i < config->services_len; i++) {
		const struct config_upstream_tls *tls = &config->services[i].tls;

		watch_file(files, &len, &tls->ca);
		watch_file(files, &len, &tls->client_cert);
		watch_file(files, &len, &tls->client_key);
	}
	*ret_len = len;
	return files;
}

static void free_files(struct watched *files, size_t len)
{
	for (size_t i = 0; i < len; i++)
		free(files[i].path);
	free(files);
}

/* ---- reading ---- */

int certificates_read(struct instance *in, const struct config *config, FILE *out,
		      size_t *errors, size_t *warnings, struct tls_credentials **ret_credentials)
{
	struct printed_findings findings = {.findings = {.say = print_finding}, .out = out};
	struct certificates *c = in->certificates;
	size_t len, old_len;
	/* Stamped before they are read: what changes meanwhile is a change. */
	struct watched *files = list_files(config, &len), *old;
	int err = tls_credentials_create(config, in->shards_len, c->ticket_keys,
					 staples_begin(c->staples), &findings.findings,
					 ret_credentials);

	staples_end(c->staples, !err);
	*errors += findings.errors;
	*warnings += findings.warnings;
	/* Of a configuration that does not come into force nothing is watched. Else after an
	 * error, too: another try needs another change. */
	if (err && in->snapshot && in->snapshot->config != config) {
		free_files(files, len);
		return err;
	}
	pthread_mutex_lock(&c->lock);
	old = c->files;
	old_len = c->files_len;
	c->files = files;
	c->files_len = len;
	pthread_mutex_unlock(&c->lock);
	free_files(old, old_len);
	return err;
}

/* ---- watching ---- */

static bool look(struct certificates *c)
{
	bool changed = false;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->files_len; i++) {
		struct watched *w = &c->files[i];
		struct stamp now;

		/* One that is missing is about to be replaced. */
		if (!stamp_of(w->path, &now))
			continue;
		if (!same_stamp(&now, &w->read) && same_stamp(&now, &w->seen))
			changed = true;
		w->seen = now;
	}
	for (size_t i = 0; i < c->files_len && changed; i++)
		c->files[i].read = c->files[i].seen;
	pthread_mutex_unlock(&c->lock);
	return changed;
}

static void *watch(void *arg)
{
	struct instance *in = arg;
	struct certificates *c = in->certificates;
	struct mail mail = {.deliver = control_on_files_changed, .to = in};
	struct timespec until;

	pthread_setname_np(pthread_self(), "ringway-files");
	pthread_setaffinity_np(pthread_self(), sizeof(in->topology.others), &in->topology.others);
	clock_gettime(CLOCK_REALTIME, &until);
	do {
		if (look(c))
			/* A full mailbox means that such letters wait already. */
			mailbox_post(&in->control.mailbox, CONTROL_FROM_FILES, &mail);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
	} while (sem_timedwait(&c->stop, &until) != 0);
	return NULL;
}

int certificates_watch(struct instance *in)
{
	struct certificates *c = in->certificates;
	int err = -pthread_create(&c->watcher, NULL, watch, in);

	c->has_watcher = !err;
	return err ? err : staples_start(c->staples);
}

int certificates_init(struct instance *in)
{
	struct certificates *c = calloc(1, sizeof(*c));
	int err = c ? tls_init() : -ENOMEM;

	if (!err)
		err = staples_create(in, &c->staples);
	if (err) {
		free(c);
		return err;
	}
	c->ticket_keys = tls_ticket_keys_init(in->private.ticket_keys);
	pthread_mutex_init(&c->lock, NULL);
	sem_init(&c->stop, 0, 0);
	in->certificates = c;
	return 0;
}

void certificates_stop_watching(struct instance *in)
{
	struct certificates *c = in->certificates;

	if (!c)
		return;
	staples_stop(c->staples);
	if (!c->has_watcher)
		return;
	sem_post(&c->stop);
	pthread_join(c->watcher, NULL);
	c->has_watcher = false;
}

void certificates_fini(struct instance *in)
{
	struct certificates *c = in->certificates;

	if (!c)
		return;
	free_files(c->files, c->files_len);
	tls_ticket_keys_fini(c->ticket_keys);
	staples_destroy(c->staples);
	pthread_mutex_destroy(&c->lock);
	free(c);
	in->certificates = NULL;
}

void certificates_say(const char *report, bool is_error)
{
	for (const char *line = report, *end; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		if (is_error)
			event_error("%.*s", (int)(end - line), line);
		else
			event_warn("%.*s", (int)(end - line), line);
	}
}

/* The process: standard names of Prometheus' clients, the configuration, the access log, and
 * /metrics itself. */
#include "exposition.h"

#define NS_DECIMALS 9
#define US_DECIMALS 6

static void put_standard(struct exposition *e)
{
	static const struct exposition_family
		cpu = {"process_cpu_seconds_total", EXPOSITION_COUNTER,
		       "CPU time of all threads, user and system."},
		resident = {"process_resident_memory_bytes", EXPOSITION_GAUGE,
			    "Memory that is in RAM now, shared mappings included."},
		virtual = {"process_virtual_memory_bytes", EXPOSITION_GAUGE,
			   "Address space; most of it is reserved and never touched."},
		open = {"process_open_fds", EXPOSITION_GAUGE, "Open file descriptors."},
		max = {"process_max_fds", EXPOSITION_GAUGE, "File descriptors that may be open."},
		start = {"process_start_time_seconds", EXPOSITION_GAUGE,
			 "When the process started, in Unix time."};
	const struct process_figures *p = &e->from->process;

	exposition_single(e, &cpu, (struct exposition_number){p->cpu_us, US_DECIMALS});
	exposition_single(e, &resident, (struct exposition_number){p->resident_bytes});
	exposition_single(e, &virtual, (struct exposition_number){p->virtual_bytes});
	exposition_single(e, &open, (struct exposition_number){p->descriptors});
	exposition_single(e, &max, (struct exposition_number){p->descriptors_max});
	exposition_single(
		e, &start,
		(struct exposition_number){e->from->view.head->started_unix_us, US_DECIMALS});
}

static void put_build(struct exposition *e)
{
	static const struct exposition_family build = {
		"ringway_build_info", EXPOSITION_INFO,
		"Versions of Ringway and of the wolfSSL that it is linked with; always 1."};
	char instance[108], version[32];

	metrics_view_texts(&e->from->view, instance, version);
	exposition_head(&e->text, &build);
	e->labels.len = 0;
	exposition_label(&e->labels, "version", version);
	exposition_label(&e->labels, "wolfssl", e->from->wolfssl);
	exposition_label(&e->labels, "instance_name", instance);
	exposition_put(e, &build, (struct exposition_number){1});
}

static void put_reloads(struct exposition *e)
{
	static const struct exposition_family reloads = {
		"ringway_config_reloads_total", EXPOSITION_COUNTER,
		"Reloads of the configuration, by their result."};
	const struct metrics_process *p = e->from->view.process;

	exposition_head(&e->text, &reloads);
	e->labels.len = 0;
	exposition_label(&e->labels, "result", "ok");
	exposition_put(e, &reloads, (struct exposition_number){counter_get(&p->reloads)});
	e->labels.len = 0;
	exposition_label(&e->labels, "result", "failed");
	exposition_put(e, &reloads, (struct exposition_number){counter_get(&p->reloads_failed)});
}

/* Fields of struct metrics_process. */
static const struct exposition_figure figures[] = {
	{{"ringway_config_generation", EXPOSITION_GAUGE,
	  "Generation of the configuration in force: 1 at the start, 1 more with each reload."},
	 offsetof(struct metrics_process, generation)},
	{{"ringway_config_last_reload_timestamp_seconds", EXPOSITION_GAUGE,
	  "When the configuration in force took effect, in Unix time."},
	 offsetof(struct metrics_process, reloaded_unix_us),
	 US_DECIMALS},
	{{"ringway_draining", EXPOSITION_GAUGE,
	  "1 while the process ends: no new connections, what is in flight is answered."},
	 offsetof(struct metrics_process, draining)},
	{{"ringway_connections_max", EXPOSITION_GAUGE,
	  "Connections of clients that the process takes (gateway.max_connections)."},
	 offsetof(struct metrics_process, connections_max)},
};

static void put_uptime(struct exposition *e)
{
	static const struct exposition_family uptime = {"ringway_uptime_seconds", EXPOSITION_GAUGE,
							"Time since the process started."};
	uint64_t now = e->from->now_unix_us, then = e->from->view.head->started_unix_us;

	/* The wall clock may have been set back. */
	exposition_single(e, &uptime,
			  (struct exposition_number){now > then ? now - then : 0, US_DECIMALS});
}

static uint64_t sum_of_blocks(const struct metrics_view *v, size_t offset)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < v->size.shards; i++)
		sum += exposition_counter(metrics_block_of(v, i), offset);
	return sum;
}

static void put_log(struct exposition *e)
{
	static const struct exposition_family
		written = {"ringway_access_log_written_total", EXPOSITION_COUNTER,
			   "Records that are in the access log."},
		dropped = {"ringway_access_log_dropped_total", EXPOSITION_COUNTER,
			   "Records that were dropped because the writer was behind."},
		errors = {"ringway_access_log_errors_total", EXPOSITION_COUNTER,
			  "Records lost to writes that failed, and files that could not be opened "
			  "again."};
	const struct exposition_sources *s = e->from;
	uint64_t lost = sum_of_blocks(&s->view, offsetof(struct metrics_block, log_dropped));

	exposition_single(e, &written,
			  (struct exposition_number){counter_get(&s->view.process->log_written)});
	exposition_single(e, &dropped, (struct exposition_number){lost});
	exposition_single(e, &errors,
			  (struct exposition_number){counter_get(&s->view.process->log_errors)});
}

static void put_refused_names(struct exposition *e)
{
	static const struct exposition_family overflow = {
		"ringway_label_overflow_total", EXPOSITION_COUNTER,
		"Names that found the label budget used up and count under __overflow__."};
	const struct metrics_view *v = &e->from->view;
	const struct {
		const char *label;
		const struct metrics_names *names;
	} tables[] = {{"route", v->routes}, {"target", v->endpoints}, {"limit", v->limits}};

	exposition_head(&e->text, &overflow);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		e->labels.len = 0;
		exposition_label(&e->labels, "label", tables[i].label);
		exposition_put(e, &overflow,
			       (struct exposition_number){counter_get(&tables[i].names->refused)});
	}
}

static void put_scrapes(struct exposition *e)
{
	static const struct exposition_family
		scrapes = {"ringway_scrapes_total", EXPOSITION_COUNTER,
			   "Texts that were made for /metrics before this one."},
		refused = {"ringway_scrapes_refused_total", EXPOSITION_COUNTER,
			   "Scrapes that were answered with 503 since too many were in progress."},
		build = {"ringway_scrape_build_seconds", EXPOSITION_GAUGE,
			 "What making the last text took the control thread."};

	exposition_single(e, &scrapes, (struct exposition_number){e->from->scrapes});
	exposition_single(e, &refused, (struct exposition_number){e->from->scrapes_refused});
	exposition_single(e, &build, (struct exposition_number){e->from->build_ns, NS_DECIMALS});
}

void exposition_process(struct exposition *e)
{
	put_standard(e);
	put_build(e);
	put_uptime(e);
	for (size_t i = 0; i < ARRAY_LEN(figures); i++)
		exposition_single(
			e, &figures[i].family,
			(struct exposition_number){
				exposition_counter(e->from->view.process, figures[i].offset),
				figures[i].decimals});
	put_reloads(e);
	put_log(e);
	put_refused_names(e);
	put_scrapes(e);
}

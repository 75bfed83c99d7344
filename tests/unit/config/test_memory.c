#include "expect.h"

/* Everything that a load allocates in one place: errors, a tree, drafts, a config. */
static const char text[] =
	"gateway: {port: 8080}\n"
	"trusted: [10.0.0.0/8, 192.0.2.1]\n"
	"listeners: [{address: ':443', tls: {certificates: [{cert: a, key: b}], groups: [P-256]}}]\n"
	"services:\n"
	"  a: {url: 'http://${HOME:-x}:80', routes: [{path: /a, host: [A.example]}]}\n"
	"  b: {redirect: {to: 'https://x{path}'}, routes: [{path: /b/*, methods: [GET]}]}\n"
	"  c: &c {respond: {body: hello, headers: {A: b}}, routes: [{path: /c}]}\n"
	"  d: *c\n"
	"  e: {respond: {}, routes: [{path: /e, rate_limit: {rate: 9/s}, limits: [l]}]}\n"
	"limits: {l: {key: [ip, header:A], rate: 5/m}}\n"
	"rate_limit: {default: {requests_per_second: 0.5}}\n";

static size_t left;
static void *(*take_really)(struct arena_source *, size_t, size_t *);

/* Small chunks, so that many allocations reach the source. */
static void *take_while_there_is_some(struct arena_source *source, size_t bytes, size_t *ret_size)
{
	void *chunk;

	(void)source;
	if (!left)
		return NULL;
	left--;
	chunk = malloc(bytes);
	if (chunk)
		*ret_size = bytes;
	return chunk;
}

/* The leak checker of the sanitizer build sees what stays behind. */
static void a_load_without_memory_ends_clean_wherever_it_runs_out(void **state UNUSED)
{
	static const char *const texts[] = {text, "a: b\nc: {d: [e, f, {g: h}]}\ntimeouts: x\n"};
	size_t refused = 0;

	take_really = arena_malloc_source.take;
	arena_malloc_source.take = take_while_there_is_some;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t limit = 0;; limit++) {
			struct config *config = NULL;
			struct config_report report;
			int err;

			left = limit;
			err = config_load_text("t.yaml", span_str(texts[i]), &config, &report);
			config_report_fini(&report);
			config_destroy(config);
			if (err != -ENOMEM)
				break;
			assert_null(config);
			refused++;
		}
	}
	arena_malloc_source.take = take_really;
	assert_true(refused > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_load_without_memory_ends_clean_wherever_it_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

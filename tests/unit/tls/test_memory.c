#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <ringway/base/base.h>
#include <ringway/tls/memory.h>
#include <ringway/tls/random.h>

#define SPAN TLS_MEMORY_SPAN_BYTES

static struct tls_memory memory;

static int enter_an_arena(void **state UNUSED)
{
	assert_int_equal(tls_memory_init(&memory, 256 * MIB), 0);
	tls_memory_enter(&memory);
	return 0;
}

static int leave_it(void **state UNUSED)
{
	tls_memory_enter(NULL);
	tls_memory_fini(&memory);
	return 0;
}

static size_t resident_bytes(const struct tls_memory *m)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = m->bytes / page, count = 0;
	unsigned char *map = malloc(pages);

	assert_non_null(map);
	assert_int_equal(mincore(m->base, m->bytes, map), 0);
	for (size_t i = 0; i < pages; i++)
		count += map[i] & 1;
	free(map);
	return count * page;
}

static void every_size_gets_room_of_its_own(void **state UNUSED)
{
	static uint8_t *cells[2500];

	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		cells[i] = tls_memory_alloc(i * 16 + i % 16);
		assert_non_null(cells[i]);
		assert_int_equal((uintptr_t)cells[i] % 16, 0);
		memset(cells[i], (int)(i % 251), i * 16 + i % 16);
	}
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		for (size_t at = 0; at < i * 16 + i % 16; at++)
			assert_int_equal(cells[i][at], i % 251);
		tls_memory_free(cells[i]);
	}
	assert_int_equal(tls_memory_stats(&memory).in_use_bytes, 0);
	assert_int_equal(tls_memory_stats(&memory).calls, ARRAY_LEN(cells));
	/* What is larger than 32 KiB. */
	assert_int_equal(tls_memory_stats(&memory).fallbacks, ARRAY_LEN(cells) - 2049);
}

static void what_sessions_keep_is_rounded_by_little(void **state UNUSED)
{
	static const size_t kept[] = {1776, 1344, 848, 528, 448, 400, 240, 136, 56, 32};

	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		uint64_t before = tls_memory_stats(&memory).in_use_bytes;

		tls_memory_alloc(kept[i]);
		assert_in_range(tls_memory_stats(&memory).in_use_bytes - before, kept[i],
				kept[i] + 16);
	}
}

static void the_last_one_given_back_is_the_first_one_taken(void **state UNUSED)
{
	void *a = tls_memory_alloc(800), *b = tls_memory_alloc(800);

	tls_memory_free(a);
	tls_memory_free(b);
	assert_ptr_equal(tls_memory_alloc(797), b);
	assert_ptr_equal(tls_memory_alloc(795), a);
}

static void what_malloc_gave_goes_back_to_malloc(void **state UNUSED)
{
	char *text;

	tls_memory_enter(NULL);
	text = tls_memory_alloc(100);
	strcpy(text, "from outside");
	tls_memory_enter(&memory);
	text = tls_memory_realloc(text, 50000);
	assert_string_equal(text, "from outside");
	tls_memory_free(text);
	tls_memory_free(NULL);
	assert_int_equal(tls_memory_stats(&memory).calls, 0);
}

static void a_cell_that_grows_or_shrinks_keeps_its_bytes(void **state UNUSED)
{
	static const size_t sizes[] = {10, 16, 17, 1000, 990, 40000, 32768, 5, 100000, 64};
	uint8_t *cell = tls_memory_realloc(NULL, 5);

	memcpy(cell, "bytes", 5);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		cell = tls_memory_realloc(cell, sizes[i]);
		assert_memory_equal(cell, "bytes", 5);
		memset(cell + 5, 'x', sizes[i] - 5);
	}
	tls_memory_free(cell);
	assert_int_equal(tls_memory_stats(&memory).in_use_bytes, 0);
}

static void a_full_arena_hands_over_to_malloc(void **state UNUSED)
{
	struct tls_memory small;
	void *cells[5];

	assert_int_equal(tls_memory_init(&small, 2 * SPAN - 1), 0);
	tls_memory_enter(&small);
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		cells[i] = tls_memory_alloc(32768);
		assert_non_null(cells[i]);
		memset(cells[i], 1, 32768);
	}
	assert_int_equal(tls_memory_stats(&small).fallbacks, 1);
	assert_int_equal(tls_memory_stats(&small).in_use_bytes, 2 * SPAN);
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		tls_memory_free(cells[i]);
	assert_int_equal(tls_memory_stats(&small).in_use_bytes, 0);
	tls_memory_enter(&memory);
	tls_memory_fini(&small);
}

static void an_arena_of_nothing_is_refused(void **state UNUSED)
{
	struct tls_memory none;

	assert_int_equal(tls_memory_init(&none, 0), -EINVAL);
	assert_int_equal(tls_memory_init(&none, (size_t)1 << 40), -EINVAL);
}

static void expect_abort_of(void (*wrong)(void *), void *cell)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit none = {0, 0};

		/* Neither a core file nor the words of what is expected. */
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		fclose(stderr);
		wrong(cell);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void free_in_an_empty_span(void *cell)
{
	tls_memory_free(cell);
	tls_memory_free(cell);
}

static void a_cell_that_was_freed_twice_is_a_bug(void **state UNUSED)
{
	expect_abort_of(free_in_an_empty_span, tls_memory_alloc(3000));
}

static void *frees_and_grows(void *cells)
{
	char **cell = cells, *grown;

	tls_memory_free(cell[0]);
	grown = tls_memory_realloc(cell[1], 5000);
	assert_memory_equal(grown, "kept", 5);
	tls_memory_free(grown);
	return NULL;
}

static void what_another_thread_frees_comes_home_at_the_next_trim(void **state UNUSED)
{
	char *cells[2] = {tls_memory_alloc(100), tls_memory_alloc(200)};
	uint64_t in_use = tls_memory_stats(&memory).in_use_bytes;
	pthread_t thread;

	memcpy(cells[1], "kept", 5);
	assert_int_equal(pthread_create(&thread, NULL, frees_and_grows, cells), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(tls_memory_stats(&memory).in_use_bytes, in_use);
	tls_memory_trim(&memory);
	assert_int_equal(tls_memory_stats(&memory).in_use_bytes, 0);
}

/* 1 KiB cells, 64 to a span. */
static void fill_spans(void *cells[][64], size_t spans)
{
	for (size_t s = 0; s < spans; s++)
		for (size_t i = 0; i < 64; i++) {
			cells[s][i] = tls_memory_alloc(1024);
			memset(cells[s][i], 1, 1024);
		}
}

static size_t span_index(const void *cell)
{
	return ((uintptr_t)cell - (uintptr_t)memory.base) / SPAN;
}

static void dense_spans_are_filled_before_sparse_ones(void **state UNUSED)
{
	void *cells[4][64];
	size_t dense;

	fill_spans(cells, 4);
	dense = span_index(cells[1][0]);
	for (size_t i = 0; i < 10; i++)
		tls_memory_free(cells[1][i]);
	for (size_t i = 0; i < 60; i++)
		tls_memory_free(cells[0][i]);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(span_index(tls_memory_alloc(1024)), dense);
	assert_int_equal(span_index(tls_memory_alloc(1024)), span_index(cells[0][63]));
}

static void spans_that_stay_empty_go_back(void **state UNUSED)
{
	void *cells[6][64];

	fill_spans(cells, 6);
	assert_int_equal(resident_bytes(&memory), 6 * SPAN);
	for (size_t s = 0; s < 5; s++)
		for (size_t i = 0; i < 64; i++)
			tls_memory_free(cells[s][i]);
	assert_int_equal(tls_memory_trim(&memory), 0);
	/* One is wanted again in time. */
	tls_memory_free(cells[5][0]);
	fill_spans(cells, 1);
	assert_int_equal(tls_memory_trim(&memory), 4 * SPAN);
	assert_int_equal(resident_bytes(&memory), 2 * SPAN);
	assert_int_equal(tls_memory_stats(&memory).held_bytes, 2 * SPAN);
	/* They serve again, another class too. */
	for (size_t i = 0; i < 8; i++)
		memset(tls_memory_alloc(32768), 1, 32768);
	assert_int_equal(resident_bytes(&memory), 6 * SPAN);
	assert_int_equal(memory.spans_cut, 6);
}

static void a_trim_takes_no_longer_than_32_spans(void **state UNUSED)
{
	static void *cells[100][64];

	fill_spans(cells, 100);
	for (size_t s = 0; s < 100; s++)
		for (size_t i = 0; i < 64; i++)
			tls_memory_free(cells[s][i]);
	assert_int_equal(tls_memory_trim(&memory), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(tls_memory_trim(&memory), 32 * SPAN);
	assert_int_equal(tls_memory_trim(&memory), 4 * SPAN);
	assert_int_equal(resident_bytes(&memory), 0);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Takes, moves and gives at random, and looks whether anybody else wrote. */
static void storm(struct tls_memory *m, uint32_t seed, unsigned steps)
{
	struct {
		uint8_t *cell;
		size_t bytes;
	} held[500] = {0};

	for (unsigned step = 0; step < steps; step++) {
		unsigned i = next_random(&seed) % ARRAY_LEN(held);
		uint8_t mark = (uint8_t)i;
		size_t bytes = 1 + next_random(&seed) % (next_random(&seed) % 8 ? 2000 : 40000);

		if (held[i].cell) {
			assert_int_equal(held[i].cell[0], mark);
			assert_int_equal(held[i].cell[held[i].bytes - 1], mark);
		}
		if (held[i].cell && next_random(&seed) % 4) {
			tls_memory_free(held[i].cell);
			held[i].cell = NULL;
		} else {
			bool had = held[i].cell;

			held[i].cell = tls_memory_realloc(held[i].cell, bytes);
			assert_true(!had || held[i].cell[0] == mark);
			held[i].bytes = bytes;
			memset(held[i].cell, mark, bytes);
		}
		if (step % 1000 == 0)
			tls_memory_trim(m);
	}
	for (unsigned i = 0; i < ARRAY_LEN(held); i++)
		tls_memory_free(held[i].cell);
	assert_int_equal(tls_memory_stats(m).in_use_bytes, 0);
	tls_memory_trim(m);
	while (tls_memory_trim(m) > 0)
		;
	assert_int_equal(tls_memory_stats(m).held_bytes, 0);
	assert_int_equal(resident_bytes(m), 0);
}

static void a_storm_leaves_nothing_behind(void **state UNUSED)
{
	for (uint32_t seed = 0; seed < 5; seed++)
		storm(&memory, seed, 20000);
}

static void *thread_with_an_arena(void *handed_over)
{
	struct tls_memory m;

	must(tls_memory_init(&m, 64 * MIB) == 0);
	tls_memory_enter(&m);
	storm(&m, (uint32_t)(uintptr_t)handed_over, 20000);
	tls_memory_free(handed_over);
	tls_memory_enter(NULL);
	tls_memory_fini(&m);
	return NULL;
}

static void threads_do_not_meet(void **state UNUSED)
{
	pthread_t threads[4];

	tls_memory_enter(NULL);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread_with_an_arena,
						tls_memory_alloc(100)),
				 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	tls_memory_enter(&memory);
}

/* Sessions of the real library, both ends in this thread: the server's in the arena, the
 * client's outside. */

struct pipe_end {
	char bytes[64 * 1024];
	int end, at;
};
static struct pipe_end to_server, to_client;
static WOLFSSL_CTX *server_ctx, *client_ctx;

static int pull(WOLFSSL *ssl UNUSED, char *to, int bytes, void *from)
{
	struct pipe_end *p = from;

	bytes = (int)min_u64((uint64_t)bytes, (uint64_t)(p->end - p->at));
	if (bytes == 0)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(to, p->bytes + p->at, (size_t)bytes);
	p->at += bytes;
	if (p->at == p->end)
		p->at = p->end = 0;
	return bytes;
}

static int push(WOLFSSL *ssl UNUSED, char *from, int bytes, void *to)
{
	struct pipe_end *p = to;

	must(p->end + bytes <= (int)sizeof(p->bytes));
	memcpy(p->bytes + p->end, from, (size_t)bytes);
	p->end += bytes;
	return bytes;
}

static WOLFSSL *session_open(struct tls_memory *m)
{
	WOLFSSL *server, *client;
	int accepted = 0, connected = 0;
	char said;

	to_server.end = to_server.at = to_client.end = to_client.at = 0;
	tls_memory_enter(m);
	server = wolfSSL_new(server_ctx);
	tls_memory_enter(NULL);
	client = wolfSSL_new(client_ctx);
	assert_non_null(server);
	assert_non_null(client);
	wolfSSL_SetIOReadCtx(server, &to_server);
	wolfSSL_SetIOWriteCtx(server, &to_client);
	wolfSSL_SetIOReadCtx(client, &to_client);
	wolfSSL_SetIOWriteCtx(client, &to_server);
	for (int i = 0; i < 10 && !(accepted == 1 && connected == 1); i++) {
		if (connected != 1)
			connected = wolfSSL_connect(client);
		tls_memory_enter(m);
		if (accepted != 1)
			accepted = wolfSSL_accept(server);
		tls_memory_enter(NULL);
	}
	assert_int_equal(accepted, 1);
	assert_int_equal(connected, 1);
	assert_int_equal(wolfSSL_write(client, "?", 1), 1);
	tls_memory_enter(m);
	assert_int_equal(wolfSSL_read(server, &said, 1), 1);
	assert_int_equal(wolfSSL_write(server, "!", 1), 1);
	tls_memory_enter(NULL);
	assert_int_equal(wolfSSL_read(client, &said, 1), 1);
	wolfSSL_free(client);
	tls_memory_enter(m);
	return server;
}

/* How many bytes one established session really asks for. */
static struct {
	void *at;
	size_t bytes;
} pieces[2000];
static size_t piece_count, pieces_bytes;

static void *count_alloc(size_t bytes)
{
	void *at = malloc(bytes);

	must(at && piece_count < ARRAY_LEN(pieces));
	pieces[piece_count].at = at;
	pieces[piece_count++].bytes = bytes;
	pieces_bytes += bytes;
	return at;
}

static void count_free(void *at)
{
	for (size_t i = 0; i < piece_count; i++)
		if (pieces[i].at == at) {
			pieces_bytes -= pieces[i].bytes;
			pieces[i] = pieces[--piece_count];
			break;
		}
	free(at);
}

static void *count_realloc(void *at, size_t bytes)
{
	void *moved = count_alloc(bytes);

	for (size_t i = 0; at && i < piece_count; i++)
		if (pieces[i].at == at)
			memcpy(moved, at, min_u64(bytes, pieces[i].bytes));
	count_free(at);
	return moved;
}

/* The client's pieces come and go: all that stays when it is gone is the server's. The
 * first session also makes what the library and its contexts keep. */
static size_t live_bytes_of_a_session(void)
{
	WOLFSSL *first, *second;
	size_t live;

	must(wolfSSL_SetAllocators(count_alloc, count_free, count_realloc) == 0);
	first = session_open(NULL);
	live = pieces_bytes;
	second = session_open(NULL);
	live = pieces_bytes - live;
	wolfSSL_free(first);
	wolfSSL_free(second);
	tls_memory_enter(&memory);
	assert_int_equal(tls_memory_install(), 0);
	return live;
}

static void make_certificate(const char *dir)
{
	char command[1024];

	snprintf(command, sizeof(command),
		 "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
		 "-subj /CN=localhost -days 2 -keyout k.pem -out c.pem >/dev/null 2>&1",
		 dir);
	if (system(command) != 0)
		fail_msg("openssl makes no certificate");
}

static int begin_tls(void **state)
{
	char dir[] = "/tmp/ringway-memory-XXXXXX", path[64];

	/* What the library keeps for the process is malloc's. */
	assert_int_equal(tls_memory_install(), 0);
	assert_int_equal(wolfSSL_Init(), WOLFSSL_SUCCESS);
	assert_int_equal(tls_random_install(), 0);
	/* A context grows when its first session comes, so it lives in the arena too. */
	enter_an_arena(state);
	server_ctx = wolfSSL_CTX_new(wolfSSLv23_server_method());
	assert_non_null(mkdtemp(dir));
	make_certificate(dir);
	snprintf(path, sizeof(path), "%s/c.pem", dir);
	assert_int_equal(wolfSSL_CTX_use_certificate_chain_file(server_ctx, path), 1);
	unlink(path);
	snprintf(path, sizeof(path), "%s/k.pem", dir);
	assert_int_equal(wolfSSL_CTX_use_PrivateKey_file(server_ctx, path, WOLFSSL_FILETYPE_PEM),
			 1);
	unlink(path);
	rmdir(dir);
	tls_memory_enter(NULL);
	client_ctx = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
	wolfSSL_CTX_set_verify(client_ctx, WOLFSSL_VERIFY_NONE, NULL);
	wolfSSL_CTX_set_session_cache_mode(server_ctx, WOLFSSL_SESS_CACHE_OFF);
	wolfSSL_CTX_set_session_cache_mode(client_ctx, WOLFSSL_SESS_CACHE_OFF);
	wolfSSL_CTX_SetIORecv(server_ctx, pull);
	wolfSSL_CTX_SetIORecv(client_ctx, pull);
	wolfSSL_CTX_SetIOSend(server_ctx, push);
	wolfSSL_CTX_SetIOSend(client_ctx, push);
	tls_memory_enter(&memory);
	return 0;
}

static int end_tls(void **state)
{
	wolfSSL_CTX_free(server_ctx);
	assert_int_equal(tls_memory_stats(&memory).in_use_bytes, 0);
	leave_it(state);
	wolfSSL_CTX_free(client_ctx);
	wolfSSL_Cleanup();
	return 0;
}

/* Sessions that stay; RINGWAY_TEST_SESSIONS=10000 takes half a minute. */
static size_t sessions_wanted(void)
{
	const char *wanted = getenv("RINGWAY_TEST_SESSIONS");

	return wanted ? strtoul(wanted, NULL, 10) : 1000;
}

static void sessions_that_stay_cost_little_more_than_their_bytes(void **state UNUSED)
{
	size_t count = sessions_wanted(), window = count / 20, live = live_bytes_of_a_session();
	WOLFSSL **staying = calloc(count, sizeof(*staying));
	WOLFSSL **passing = calloc(window, sizeof(*passing));
	struct tls_memory_stats stats;

	assert_in_range(live, 3000, 6000);
	for (size_t i = 0; i < count; i++) {
		staying[i] = session_open(&memory);
		if (passing[i % window])
			wolfSSL_free(passing[i % window]);
		passing[i % window] = session_open(&memory);
		/* As often as seconds pass at a thousand handshakes a second. */
		if (i % 500 == 0)
			tls_memory_trim(&memory);
	}
	for (size_t i = 0; i < window; i++)
		wolfSSL_free(passing[i]);
	tls_memory_trim(&memory);
	while (tls_memory_trim(&memory) > 0)
		;
	stats = tls_memory_stats(&memory);
	printf("# %zu sessions of %zu bytes stay: cells %.3f, resident %.3f, spans %.3f of that; "
	       "%llu allocations, %llu by malloc\n",
	       count, live, (double)stats.in_use_bytes / (double)(count * live),
	       (double)resident_bytes(&memory) / (double)(count * live),
	       (double)stats.held_bytes / (double)(count * live), (unsigned long long)stats.calls,
	       (unsigned long long)stats.fallbacks);
	assert_true(resident_bytes(&memory) * 100 <= count * live * 115);
	assert_int_equal(stats.fallbacks, 0);
	for (size_t i = 0; i < count; i++)
		wolfSSL_free(staying[i]);
	tls_memory_trim(&memory);
	while (tls_memory_trim(&memory) > 0)
		;
	/* What is left is the context's. */
	assert_in_range(resident_bytes(&memory), 0, 256 * KIB);
	free(passing);
	free(staying);
}

/* Nothing can be given back of spans whose every second session left at once, but they
 * take as many new ones as left. */
static void holes_that_leavers_left_are_filled(void **state UNUSED)
{
	size_t count = sessions_wanted() / 2, peak;
	WOLFSSL **sessions = calloc(count, sizeof(*sessions));

	for (size_t i = 0; i < count; i++)
		sessions[i] = session_open(&memory);
	peak = resident_bytes(&memory);
	for (size_t i = 0; i < count; i += 2)
		wolfSSL_free(sessions[i]);
	tls_memory_trim(&memory);
	tls_memory_trim(&memory);
	printf("# every second of %zu sessions left at once: resident %.3f of the peak\n", count,
	       (double)resident_bytes(&memory) / (double)peak);
	for (size_t i = 0; i < count; i += 2)
		sessions[i] = session_open(&memory);
	/* The handshakes needed some cells of their own, in which holes are left. */
	assert_in_range(resident_bytes(&memory), 0, peak + peak / 8);
	for (size_t i = 0; i < count; i++)
		wolfSSL_free(sessions[i]);
	free(sessions);
}

#define IN_AN_ARENA(test) cmocka_unit_test_setup_teardown(test, enter_an_arena, leave_it)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_AN_ARENA(every_size_gets_room_of_its_own),
		IN_AN_ARENA(what_sessions_keep_is_rounded_by_little),
		IN_AN_ARENA(the_last_one_given_back_is_the_first_one_taken),
		IN_AN_ARENA(what_malloc_gave_goes_back_to_malloc),
		IN_AN_ARENA(a_cell_that_grows_or_shrinks_keeps_its_bytes),
		IN_AN_ARENA(a_full_arena_hands_over_to_malloc),
		IN_AN_ARENA(an_arena_of_nothing_is_refused),
		IN_AN_ARENA(a_cell_that_was_freed_twice_is_a_bug),
		IN_AN_ARENA(what_another_thread_frees_comes_home_at_the_next_trim),
		IN_AN_ARENA(dense_spans_are_filled_before_sparse_ones),
		IN_AN_ARENA(spans_that_stay_empty_go_back),
		IN_AN_ARENA(a_trim_takes_no_longer_than_32_spans),
		IN_AN_ARENA(a_storm_leaves_nothing_behind),
		IN_AN_ARENA(threads_do_not_meet),
		cmocka_unit_test_setup_teardown(
			sessions_that_stay_cost_little_more_than_their_bytes, begin_tls, end_tls),
		cmocka_unit_test_setup_teardown(holes_that_leavers_left_are_filled, begin_tls,
						end_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

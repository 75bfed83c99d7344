#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <ringway/base/arena.h>

/* Hands out a bounded number of chunks and counts what is out. */
struct counting_source {
	struct arena_source source;
	size_t chunk_bytes;
	unsigned left;
	unsigned out;
};

static void *counting_take(struct arena_source *source, size_t bytes, size_t *ret_size)
{
	struct counting_source *s = container_of(source, struct counting_source, source);

	if (!s->left || bytes > s->chunk_bytes)
		return NULL;
	s->left--;
	s->out++;
	*ret_size = s->chunk_bytes;
	return malloc(s->chunk_bytes);
}

static void counting_give(struct arena_source *source, void *chunk)
{
	container_of(source, struct counting_source, source)->out--;
	free(chunk);
}

static struct counting_source counting(size_t chunk_bytes, unsigned chunks)
{
	return (struct counting_source){.source = {counting_take, counting_give},
					.chunk_bytes = chunk_bytes,
					.left = chunks};
}

static void memory_comes_aligned_and_apart(void **state UNUSED)
{
	char mem[256];
	struct arena a;
	char *last_end = mem;

	arena_init(&a, mem, sizeof(mem), NULL);
	for (size_t bytes = 1; bytes <= 12; bytes++) {
		char *p = arena_alloc(&a, bytes);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 8, 0);
		assert_true(p >= last_end && p + bytes <= mem + sizeof(mem));
		memset(p, (int)bytes, bytes);
		last_end = p + bytes;
	}
}

static void without_a_source_it_ends_at_its_first_memory(void **state UNUSED)
{
	_Alignas(8) char mem[64];
	struct arena a;

	arena_init(&a, mem, sizeof(mem), NULL);
	assert_non_null(arena_alloc(&a, 48));
	assert_null(arena_alloc(&a, 17));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_text(&a, 17));
	assert_null(arena_text(&a, SIZE_MAX));
	assert_non_null(arena_alloc(&a, 16));
	assert_null(arena_alloc(&a, 1));
	arena_reset(&a);
	assert_ptr_equal(arena_alloc(&a, 64), mem);
}

static void it_starts_without_memory_of_its_own(void **state UNUSED)
{
	struct arena a;

	arena_init(&a, NULL, 0, &arena_malloc_source);
	assert_non_null(arena_alloc(&a, 100));
	assert_non_null(arena_alloc(&a, 100 * KIB));
	arena_reset(&a);
	assert_null(a.chunks);
}

static void grown_chunks_are_used_up_and_given_back(void **state UNUSED)
{
	struct counting_source s = counting(256, 3);
	_Alignas(8) char mem[32];
	struct arena a;
	char *p[3];

	arena_init(&a, mem, sizeof(mem), &s.source);
	assert_non_null(arena_alloc(&a, 32));
	for (int i = 0; i < 3; i++) {
		p[i] = arena_alloc(&a, 200);
		assert_non_null(p[i]);
		memset(p[i], i, 200);
	}
	assert_int_equal(s.out, 3);
	assert_null(arena_alloc(&a, 200));
	for (int i = 0; i < 3; i++)
		assert_int_equal(p[i][199], i);
	arena_reset(&a);
	assert_int_equal(s.out, 0);
	assert_ptr_equal(arena_alloc(&a, 32), mem);
}

static void more_than_a_chunk_is_refused(void **state UNUSED)
{
	struct counting_source s = counting(256, 1);
	struct arena a;

	arena_init(&a, NULL, 0, &s.source);
	assert_null(arena_alloc(&a, 256));
	assert_null(arena_alloc(&a, SIZE_MAX - 4));
	assert_int_equal(s.out, 0);
	/* What did not fit has not used up what does. */
	assert_non_null(arena_alloc(&a, 128));
	arena_reset(&a);
}

static void text_is_packed(void **state UNUSED)
{
	char mem[16];
	struct arena a;
	struct span s;

	arena_init(&a, mem, sizeof(mem), NULL);
	s = arena_span(&a, SPAN("abc"));
	assert_true(span_eq(s, SPAN("abc")));
	assert_ptr_equal(s.ptr, mem);
	assert_ptr_equal(arena_str(&a, SPAN("defg")), mem + 3);
	assert_string_equal(mem + 3, "defg");
	s = arena_printf(&a, "%d-%s", 42, "xy");
	assert_true(span_eq(s, SPAN("42-xy")));
	assert_null(arena_str(&a, SPAN("abc")));
	assert_null(arena_span(&a, SPAN("abc")).ptr);
	assert_null(arena_printf(&a, "%s", "abc").ptr);
}

static void an_empty_span_copies_to_an_empty_one(void **state UNUSED)
{
	char mem[16];
	struct arena a;

	arena_init(&a, mem, sizeof(mem), NULL);
	assert_non_null(arena_span(&a, SPAN_NONE).ptr);
	assert_string_equal(arena_str(&a, SPAN_NONE), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_comes_aligned_and_apart),
		cmocka_unit_test(without_a_source_it_ends_at_its_first_memory),
		cmocka_unit_test(it_starts_without_memory_of_its_own),
		cmocka_unit_test(grown_chunks_are_used_up_and_given_back),
		cmocka_unit_test(more_than_a_chunk_is_refused),
		cmocka_unit_test(text_is_packed),
		cmocka_unit_test(an_empty_span_copies_to_an_empty_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

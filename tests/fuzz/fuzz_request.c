#include "heads.h"

#include <ringway/base/arena.h>

/* The copy that the proxy works on: means the same, and is finished in bounded room. */
static void must_copy_and_finish(const struct http_head *head, struct http_head *copy,
				 struct arena *arena)
{
	must(http_head_copy(head, arena, 2, copy));
	must_mean_the_same(head, copy);
	must(copy->fields.len == head->fields.len && copy->fields.cap == head->fields.len + 2);
	must(h1_request_finish(copy, arena));
	must(copy->path.len && copy->path.len <= head->path.len);
	must(copy->path.ptr[0] == '/' || span_eq(copy->path, SPAN("*")));
	must(span_ieq(copy->host, head->host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome o;
	struct arena arena;
	struct http_head copy;
	char mem[8192];

	outcome_every_way(&o, span_of((const char *)data, size), true, HTTP_METHOD_OTHER);
	if (o.parse == H1_PARSE_DONE) {
		arena_init(&arena, mem, sizeof(mem), NULL);
		must_copy_and_finish(&o.head, &copy, &arena);
		memset(o.input, 'x', o.used); /* nothing points here any more */
		must_survive_the_round_trip(&copy, true, HTTP_METHOD_OTHER);
	}
	free(o.input);
	return 0;
}

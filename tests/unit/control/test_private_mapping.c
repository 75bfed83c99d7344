#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <ringway/shard/mailbox.h>
#include <ringway/tls/ticket_keys.h>

#include "private_mapping.h"

static const struct private_sizes sizes = {
	.limiter_bytes = 10000, .shards = 3, .control_senders = 8, .shard_senders = 1};

static void fill(void *at, size_t bytes, char with)
{
	for (size_t i = 0; i < bytes; i++)
		assert_true(((char *)at)[i] == 0);
	memset(at, with, bytes);
}

static void the_parts_lie_side_by_side(void **state UNUSED)
{
	struct private_mapping p;
	uint64_t room = 0;
	uint8_t seed[SEED_BYTES];

	assert_int_equal(private_mapping_create(&sizes, &p, &room), 0);
	memcpy(seed, p.seed, sizeof(seed));
	/* What another part has written would be seen as not zero. */
	fill(p.limiter, sizes.limiter_bytes, 'l');
	fill(p.ticket_keys, tls_ticket_keys_bytes(), 't');
	fill(private_mapping_control_mailbox(&p), mailbox_bytes(8), 'c');
	for (unsigned i = 0; i < sizes.shards; i++)
		fill(private_mapping_shard_mailbox(&p, i), mailbox_bytes(1), 's');
	assert_memory_equal(p.seed, seed, sizeof(seed));
	assert_int_equal((uintptr_t)p.limiter % 4096, 0);
	assert_int_equal((uintptr_t)p.ticket_keys % 4096, 0);
	assert_int_equal((uintptr_t)private_mapping_control_mailbox(&p) % CACHE_LINE, 0);
	assert_int_equal((uintptr_t)private_mapping_shard_mailbox(&p, 1) % CACHE_LINE, 0);
	assert_true((char *)private_mapping_shard_mailbox(&p, 2) + mailbox_bytes(1) <=
		    (char *)p.segment.at + private_mapping_bytes(&sizes));
	private_mapping_fini(&p);
	private_mapping_fini(&p);
}

static void every_process_has_its_own_seed(void **state UNUSED)
{
	static const uint8_t zeros[SEED_BYTES];
	struct private_mapping a, b;
	uint64_t room = 0;

	assert_int_equal(private_mapping_create(&sizes, &a, &room), 0);
	assert_int_equal(private_mapping_create(&sizes, &b, &room), 0);
	assert_memory_not_equal(a.seed, zeros, SEED_BYTES);
	assert_memory_not_equal(a.seed, b.seed, SEED_BYTES);
	private_mapping_fini(&a);
	private_mapping_fini(&b);
}

static void more_than_the_host_has_is_not_tried(void **state UNUSED)
{
	struct private_sizes large = sizes;
	struct private_mapping p;
	uint64_t room = 0;

	large.limiter_bytes = 1024 * 1024 * GIB;
	assert_int_equal(private_mapping_create(&large, &p, &room), -ENOMEM);
	assert_true(room > 0 && room < large.limiter_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_parts_lie_side_by_side),
		cmocka_unit_test(every_process_has_its_own_seed),
		cmocka_unit_test(more_than_the_host_has_is_not_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

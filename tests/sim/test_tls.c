/* Sessions of the real library on a network that follows a seed: what is changed on the way
 * is found, and what is cut off is not taken for the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "seeds.h"
#include "tls_pair.h"

static uint32_t below(uint64_t *random, uint32_t n)
{
	*random = *random * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)((*random >> 33) % n);
}

static void run(uint64_t seed)
{
	uint64_t random = seed;
	struct tls_edit edits[3];
	struct tls_pair_plan plan = {
		.network = fake_plan_of(seed),
		.edits = edits,
		.edits_len = seed % 3 ? 1 + below(&random, 3) : 0,
		.tls12 = below(&random, 3) == 0,
		.client_auth = below(&random, 4) == 0,
	};
	bool is_slow = plan.network.late_most_ns > NS_PER_MS && plan.network.window_most < 4096;

	plan.client_bytes = below(&random, is_slow ? 2000 : 150000);
	plan.server_bytes = below(&random, is_slow ? 2000 : 150000);
	for (size_t i = 0; i < plan.edits_len; i++)
		edits[i] = (struct tls_edit){
			/* In the handshake as often as behind it. */
			.after = below(&random, below(&random, 2) ? 600 : plan.client_bytes + 600),
			.kind = (enum tls_edit_kind)below(&random, TLS_EDITS),
			.value = (uint8_t)below(&random, 256),
		};
	tls_pair_run(&plan);
}

static void what_is_changed_is_found_and_what_is_not_arrives(void **state UNUSED)
{
	tls_pair_init();
	seeds_run(1500, run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_is_changed_is_found_and_what_is_not_arrives,
					  seeds_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

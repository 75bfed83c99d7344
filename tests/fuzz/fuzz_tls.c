/* A client's handshake and records, made anew for each input, with the input's changes on
 * the way to our server: see tests/sim/tls_pair.h for what must hold.
 *
 *   byte 0     bit 0 TLS 1.2, bit 1 client certificates asked for, bits 2-3 the network
 *   byte 1, 2  how much each side sends, in 64 bytes
 *   byte 3     seed
 *   then edits of 4 bytes: after (little endian), kind, value
 */
#include "fuzz.h"

#include "tls_pair.h"

#define EDITS_MOST 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t windows[] = {262144, 65536, 700, 16};
	static bool is_ready;
	struct tls_edit edits[EDITS_MOST];
	struct tls_pair_plan plan = {.edits = edits};

	if (!is_ready)
		tls_pair_init();
	is_ready = true;
	if (size < 4)
		return 0;
	plan.tls12 = data[0] & 1;
	plan.client_auth = data[0] & 2;
	plan.client_bytes = data[1] * 64U;
	plan.server_bytes = data[2] * 64U;
	plan.network = fake_plan_of(data[3]);
	plan.network.window_most = windows[data[0] >> 2 & 3];
	plan.network.late_most_ns = 0;
	for (size_t at = 4; at + 4 <= size && plan.edits_len < EDITS_MOST; at += 4)
		edits[plan.edits_len++] = (struct tls_edit){
			.after = data[at] | (uint32_t)data[at + 1] << 8,
			.kind = (enum tls_edit_kind)(data[at + 2] % TLS_EDITS),
			.value = data[at + 3],
		};
	tls_pair_run(&plan);
	return 0;
}

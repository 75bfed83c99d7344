/* Two connections with a codec, one at each end of a network that follows a seed: what goes
 * in at one end comes out at the other, whatever happens between, and its end with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "fake_ring.h"
#include "seeds.h"
#include "toy_codec.h"

#define NOTHING_TOLD 1

enum mode {
	CLEAN,        /* the first end finishes when it has sent and received everything */
	CUT,          /* it closes in the middle, without its codec's word */
	RESET,        /* or resets */
	GARBAGE,      /* its codec says what the other one does not understand */
	ENCODE_FAILS, /* one encoding of its fails */
	FEW_BLOCKS,
	MODES
};

struct world;

struct end {
	struct conn conn;
	struct toy toy;
	struct world *w;
	struct fake_peer *peer; /* of the network */
	struct end *other;
	uint32_t to_send, given; /* handed to conn_send() */
	uint32_t told, checked;  /* received */
	int last_word; /* on_recv's at the end; NOTHING_TOLD until then */
	bool was_cut;
	unsigned sends_failed;
	bool connected, finished, gone;
};

struct world {
	struct shard shard;
	struct ring *ring;
	struct end ends[2];
	enum mode mode;
	bool is_quick;      /* the network: everything arrives while an end lingers */
	uint32_t breaks_at; /* bytes given until what the mode says happens */
	uint32_t before_garbage;
	bool is_inside; /* of a call to the connection */
};

static struct world w;

#define inside(call) (w.is_inside = true, (call), w.is_inside = false)

/* No two places of a stream look alike for long, and the directions differ. */
static uint8_t byte_at(const struct end *e, uint32_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 13 + (e == &w.ends[0] ? 1 : 101));
}

static uint32_t below(uint64_t n)
{
	return (uint32_t)fake_below(w.ring, n);
}

static bool is_first(const struct end *e)
{
	return e == &w.ends[0];
}

/* ---- the owner of each end ---- */

static void finish(struct end *e)
{
	if (e->finished)
		return;
	e->finished = true;
	inside(conn_finish(&e->conn, below(4) > 0 || w.mode != RESET));
}

static void check_bytes(struct end *e, const char *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal((uint8_t)bytes[i], byte_at(e->other, e->checked + i));
	e->checked += len;
}

static void read_some(struct end *e)
{
	struct block *b = e->conn.rx;
	uint32_t n;

	if (!b)
		return;
	if (below(3) == 0) {
		b = conn_take_rx(&e->conn);
		check_bytes(e, block_begin(b), block_len(b));
		block_give(b);
		return;
	}
	n = below(2) ? block_len(b) : below(block_len(b) + 1);
	check_bytes(e, block_begin(b), n);
	if (n)
		inside(conn_consume(&e->conn, n));
}

static bool is_complete(const struct end *e)
{
	return e->given == e->to_send && e->checked == e->other->to_send && !e->toy.answers_due;
}

static void break_it(struct end *e)
{
	w.breaks_at = UINT32_MAX;
	switch (w.mode) {
	case CUT:
		e->finished = true;
		inside(conn_close(&e->conn));
		break;
	case RESET:
		if (below(2)) {
			e->finished = true;
			inside(conn_reset(&e->conn));
		} else {
			fake_reset(e->peer);
			fake_reset(e->other->peer);
		}
		break;
	case GARBAGE:
		w.before_garbage = e->given;
		assert_true(toy_say(&e->toy, TOY_GARBAGE));
		break;
	case ENCODE_FAILS: e->toy.fails_after = 1; break;
	case CLEAN:
	case FEW_BLOCKS:
	case MODES: break;
	}
}

static void send_one(struct end *e)
{
	struct block *b = block_take(&w.shard.blocks);
	uint32_t n = 1 + below(below(3) ? 2000 : BLOCK_DATA_BYTES);

	if (!b)
		return;
	n = (uint32_t)min_u64(n, e->to_send - e->given);
	if (is_first(e) && e->given < w.breaks_at)
		n = (uint32_t)min_u64(n, w.breaks_at - e->given);
	for (uint32_t i = 0; i < n; i++) {
		char byte = (char)byte_at(e, e->given + i);

		block_append(b, &byte, 1);
	}
	e->given += n;
	inside(conn_send(&e->conn, b));
}

static void send_some(struct end *e)
{
	for (uint32_t i = 1 + below(3); i > 0 && e->given < e->to_send; i--) {
		if (e->conn.state != CONN_OPEN)
			return;
		if (below(3) == 0 && !e->sends_failed)
			toy_say(&e->toy, TOY_ASK);
		if (is_first(e) && e->given >= w.breaks_at)
			break_it(e);
		else
			send_one(e);
	}
}

/* Asks for more, now or after a while. */
static void go_on(struct end *e)
{
	if (e->conn.state != CONN_OPEN)
		return;
	if (is_first(e) && is_complete(e)) {
		finish(e);
		return;
	}
	/* The codec's answers are no news for us: look again. */
	conn_set_deadline(&e->conn, w.shard.now_ns + 5 * NS_PER_MS);
	if (below(4))
		inside(conn_recv(&e->conn));
	if (below(8) == 0)
		inside(conn_recv(&e->conn));
}

static void on_recv(struct conn *c, int res)
{
	struct end *e = container_of(c, struct end, conn);

	assert_false(w.is_inside);
	assert_int_equal(e->last_word, NOTHING_TOLD);
	if (res <= 0) {
		e->last_word = res;
		e->was_cut = c->cut;
		while (e->conn.rx)
			read_some(e);
		if (w.mode == ENCODE_FAILS && is_first(e))
			return; /* what it does then is go on_sent's way */
		finish(e);
		return;
	}
	e->told += (uint32_t)res;
	assert_int_equal(e->told, e->checked + block_len(c->rx));
	read_some(e);
	go_on(e);
	/* An answer, while more may be there undecoded. */
	if (c->state == CONN_OPEN && !conn_is_sending(c))
		send_some(e);
}

static void on_connect(struct conn *c, int err)
{
	struct end *e = container_of(c, struct end, conn);

	assert_int_equal(err, 0);
	e->connected = true;
	if (!e->other->connected)
		return;
	for (unsigned i = 0; i < 2; i++) {
		toy_start(&w.ends[i].toy, &w.ends[i].conn, below(UINT32_MAX));
		send_some(&w.ends[i]);
		go_on(&w.ends[i]);
	}
}

static void on_sent(struct conn *c, int err)
{
	struct end *e = container_of(c, struct end, conn);

	assert_false(w.is_inside);
	if (err) {
		assert_int_not_equal(w.mode, CLEAN);
		/* Who failed to encode reads on, as the client of an upstream does. */
		if (err == -ENOBUFS && w.mode == ENCODE_FAILS) {
			e->sends_failed++;
			e->given = e->to_send;
			return;
		}
		e->finished = true;
		inside(conn_close(c));
		return;
	}
	/* Never said of what could not be encoded. */
	assert_int_equal(e->toy.codec.failed, 0);
	send_some(e);
}

static void on_deadline(struct conn *c)
{
	struct end *e = container_of(c, struct end, conn);

	assert_false(w.is_inside);
	read_some(e);
	if (c->state == CONN_OPEN && !conn_is_sending(c))
		send_some(e);
	if (e->last_word == NOTHING_TOLD)
		go_on(e);
	else
		finish(e);
}

static void on_gone(struct conn *c)
{
	struct end *e = container_of(c, struct end, conn);

	assert_false(w.is_inside);
	assert_false(e->gone);
	e->gone = true;
}

static const struct conn_events events = {
	.on_recv = on_recv,
	.on_connect = on_connect,
	.on_sent = on_sent,
	.on_deadline = on_deadline,
	.on_gone = on_gone,
};

/* ---- the network between them ---- */

static void on_open(struct fake_peer *p)
{
	struct end *e = p->mine;

	e->peer = p;
}

static void on_bytes(struct fake_peer *p, struct span bytes)
{
	struct end *e = p->mine;

	if (e->other->peer)
		fake_write(e->other->peer, bytes);
}

static void on_end(struct fake_peer *p, int err)
{
	struct end *e = p->mine;

	if (!e->other->peer)
		return;
	if (err)
		fake_reset(e->other->peer);
	else
		fake_shutdown(e->other->peer);
}

static const struct fake_script between = {
	.on_open = on_open,
	.on_bytes = on_bytes,
	.on_end = on_end,
};

static void begin(uint64_t seed)
{
	struct fake_plan plan = fake_plan_of(seed);
	uint32_t most = plan.late_most_ns > NS_PER_MS && plan.window_most < 4096 ? 3000 : 200000;
	struct address at;

	memset(&w, 0, sizeof(w));
	w.mode = (enum mode)(seed % MODES);
	w.is_quick = plan.late_most_ns < NS_PER_MS && plan.window_most > 60000;
	assert_int_equal(shard_init(&w.shard, 0, w.mode == FEW_BLOCKS ? 4 + seed % 7 : 256, 1), 0);
	assert_int_equal(fake_ring_create(&w.shard.blocks, &plan, &w.ring), 0);
	shard_open(&w.shard, w.ring, fake_now(w.ring));
	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &w.ends[i];

		e->w = &w;
		e->other = &w.ends[!i];
		e->to_send = below(most);
		e->last_word = NOTHING_TOLD;
		address_from_ip(SPAN("198.51.100.1"), (uint16_t)(1000 + i), &at);
		fake_origin(w.ring, &at, &between, e);
		conn_init(&e->conn, &w.shard, &events);
		assert_int_equal(conn_connect(&e->conn, &at, 0), 0);
	}
	w.ends[0].to_send++;
	w.breaks_at = below(w.ends[0].to_send);
}

static void check(void)
{
	struct end *a = &w.ends[0], *b = &w.ends[1];

	assert_int_equal(a->toy.gone, 1);
	assert_int_equal(b->toy.gone, 1);
	/* What a clean end says is never said of less than everything. */
	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &w.ends[i];

		if (e->last_word == 0 && !e->was_cut) {
			assert_int_equal(e->other->toy.ends_said, 1);
			assert_int_equal(e->checked, e->other->to_send);
		}
	}
	switch (w.mode) {
	case CLEAN:
		assert_int_equal(a->checked, b->to_send);
		assert_int_equal(b->checked, a->to_send);
		assert_int_equal(b->last_word, 0);
		assert_false(b->was_cut);
		break;
	case CUT:
	case RESET:
		/* Or a send of its own failed first. */
		assert_true(b->was_cut || b->last_word == NOTHING_TOLD);
		break;
	case GARBAGE:
		assert_int_equal(b->last_word, -EPROTO);
		assert_false(b->was_cut);
		assert_int_equal(b->checked, w.before_garbage);
		assert_int_equal(b->toy.ends_said, 0);
		if (w.is_quick)
			assert_int_equal(a->checked, b->given);
		break;
	case ENCODE_FAILS:
		assert_int_equal(a->sends_failed, 1);
		assert_int_equal(a->checked, b->to_send);
		assert_int_equal(a->toy.ends_said, 0);
		assert_true(b->was_cut);
		break;
	case FEW_BLOCKS:
	case MODES: break;
	}
}

static void run(uint64_t seed)
{
	begin(seed);
	while (!w.ends[0].gone || !w.ends[1].gone) {
		assert_true(w.shard.now_ns < 100000 * NS_PER_S);
		shard_turn(&w.shard, UINT64_MAX);
	}
	check();
	assert_int_equal(w.shard.blocks.in_use, 0);
	assert_int_equal(fake_open(w.ring), 0);
	shard_fini(&w.shard);
}

static void what_one_end_says_the_other_one_hears(void **state UNUSED)
{
	seeds_run(1200, run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_one_end_says_the_other_one_hears, seeds_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

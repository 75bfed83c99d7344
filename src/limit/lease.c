#include "shared.h"

bool lease_is_wanted(struct leases *s, uint64_t key, uint64_t now_ns)
{
	struct sketch *k = &s->sketch[(key >> 11) % SKETCH_PLACES];
	uint32_t tag = (uint32_t)(key >> 32);

	if (k->tag != tag || now_ns - k->since_ns >= HOT_WITHIN_NS) {
		k->tag = tag;
		k->takes = 0;
		k->since_ns = now_ns;
	}
	return ++k->takes >= HOT_TAKES;
}

static struct lease *free_place(struct leases *s, uint64_t key)
{
	struct lease *set = &s->places[(key >> 20) % (LEASE_PLACES / LEASE_WAYS) * LEASE_WAYS];

	for (unsigned i = 0; i < LEASE_WAYS; i++) {
		if (set[i].key == 0)
			return &set[i];
	}
	return NULL;
}

/* Brings the counters up to what was spent without them. */
static void sync_counters(struct leases *s, struct lease *e)
{
	count_up(&s->hits, e->hits);
	e->hits = 0;
	count_up(&s->out, (uint64_t)e->tokens - e->counted);
	e->counted = e->tokens;
}

static void begin(struct leases *s, struct lease *e, const struct taking *by, unsigned record)
{
	*e = (struct lease){.key = by->key,
			    .line = by->line,
			    .seq = by->terms.seq,
			    .since_ns = by->now_ns,
			    .record = (uint16_t)record};
	if (s->count++ == 0)
		atomic_store_explicit(&s->upkeep_ns, by->now_ns, memory_order_relaxed);
	count_up(&s->promoted, 1);
}

/* `back` tokens of the lease go into the record, and with `leave` the lease ends. This shard
 * is one of the holders, so the record is LIVE and of this life until it leaves. */
static void give_back(struct taking *by, struct lease *e, uint32_t back, bool leave)
{
	struct leases *s = &by->shard->leases;
	struct limiter *l = by->shard->limiter;
	struct hot_record *r = &l->hot[e->record];
	uint64_t ticks = (uint64_t)back * by->terms.price, tat, meta, next, next_meta;
	uint32_t done = e->owed - e->tokens + back, out;
	unsigned holders;

	for (;;) {
		meta = cell_state(&r->pair);
		tat = cell_key(&r->pair);
		next = max_u64(tat, hot_floor(&by->terms, by->moment.v, hot_out(meta)));
		next = next > ticks ? next - ticks : 0;
		out = hot_out(meta) - done;
		next = max_u64(next, hot_floor(&by->terms, by->moment.v, out));
		holders = hot_holders(meta) - leave;
		next_meta = hot_meta(holders ? HOT_LIVE : HOT_FROZEN, holders, out,
				     hot_generation(meta));
		/* A torn reading may give anything here, and the swap fails. */
		if (cell_cas(&r->pair, tat, meta, next, next_meta))
			break;
		count_up(&by->shard->retries, 1);
	}
	e->tokens -= back;
	e->owed = e->tokens;
	e->filled -= back;
	count_up(&s->unleased, back);
	sync_counters(s, e);
	if (!leave)
		return;
	if (holders == 0)
		hot_thaw(l->hot, &l->slots, e->record, e->key, next, next_meta);
	e->key = 0;
	if (--s->count == 0)
		atomic_store_explicit(&s->upkeep_ns, 0, memory_order_relaxed);
	count_up(&s->demoted, 1);
}

/* Under other terms than before: what is above the cap of now goes back. False: leases of
 * this limit are no more. */
static bool renew(struct taking *by, struct lease *e)
{
	if (e->seq == by->terms.seq)
		return true;
	e->seq = by->terms.seq;
	if (by->terms.lease_max == 0) {
		give_back(by, e, e->tokens, true);
		return false;
	}
	if (e->tokens > by->terms.lease_max)
		give_back(by, e, e->tokens - by->terms.lease_max, false);
	return true;
}

/* How many more would serve what was spent lately for a while. */
static uint32_t demand(const struct lease *e, uint64_t now_ns)
{
	uint64_t spent = e->had - e->tokens;
	uint64_t passed_ns = now_ns > e->since_ns ? now_ns - e->since_ns : 0;

	if (e->tokens > e->had) /* something was given */
		return 0;
	/* All of it within one reading of the clock: twice as many the next time. */
	if (passed_ns < LEASE_AHEAD_NS / 64)
		return (uint32_t)(2 * spent);
	return (uint32_t)(spent * LEASE_AHEAD_NS / passed_ns);
}

static void fill(struct taking *by, struct lease *e, uint32_t tokens)
{
	struct leases *s = &by->shard->leases;

	e->tokens += tokens;
	e->filled += tokens;
	e->had = e->tokens;
	e->since_ns = by->now_ns;
	count_up(&s->leased, tokens);
	if (unlikely(e->tokens > by->terms.lease_max))
		count_up(&s->over_admitted, e->tokens - by->terms.lease_max);
}

/* The bound, looked at after each swap: what the record has left and what is out is no more
 * than the burst. */
static void check_bound(struct taking *by, uint64_t tat, uint32_t out)
{
	uint64_t least = hot_floor(&by->terms, by->moment.v, out);

	if (unlikely(tat < least))
		count_up(&by->shard->leases.over_admitted,
			 (least - tat + by->terms.price - 1) / by->terms.price);
}

/* For a holder, or who becomes one: as many as it wants, the decision's own among them. */
static bool take_lease(struct taking *by, struct lease *e, bool join, uint64_t link, uint64_t tat,
		       uint64_t meta, struct limit_verdict *verdict)
{
	const struct terms *t = &by->terms;
	struct cell *pair = &by->shard->limiter->hot[hot_index(link)].pair;
	unsigned holders = hot_holders(meta) + join;
	uint32_t have = join ? 0 : e->tokens, spent = join ? 0 : e->owed - e->tokens;
	uint32_t least = by->cost > have ? by->cost - have : 0, out;
	uint64_t base = max_u64(tat, hot_floor(t, by->moment.v, hot_out(meta)));
	uint64_t end = by->moment.v + (uint64_t)t->burst * t->price, next, left, wanted;

	if (!bucket_take(t, by->moment.v, base, least, &next, verdict))
		return cell_is(pair, tat, meta);
	left = (end - base) / t->price;
	wanted = join ? HOT_TAKES : demand(e, by->now_ns);
	/* At most what makes it full, which the decision's own tokens do not stay in. */
	wanted = min_u64(max_u64(wanted, least), t->lease_max - have);
	wanted = min_u64(wanted, left);
	next = base + wanted * t->price;
	out = hot_out(meta) - spent + (uint32_t)wanted;
	if (!cell_cas(pair, tat, meta, next,
		      hot_meta(HOT_LIVE, holders, out, hot_generation(meta)))) {
		count_up(&by->shard->retries, 1);
		return false;
	}
	check_bound(by, next, out);
	if (join)
		begin(&by->shard->leases, e, by, hot_index(link));
	fill(by, e, (uint32_t)wanted);
	e->owed = e->tokens;
	e->tokens -= by->cost;
	e->rest = (uint32_t)(next < end ? (end - next) / t->price : 0);
	e->fresh_ns = by->now_ns + terms_real_ns(t, next - by->moment.v);
	sync_counters(&by->shard->leases, e);
	verdict->counted = true;
	verdict->remaining = (uint64_t)e->tokens + e->rest;
	verdict->reset_ns = e->fresh_ns - by->now_ns;
	return true;
}

bool hot_take(struct taking *by, uint64_t link, struct limit_verdict *verdict)
{
	struct limiter *l = by->shard->limiter;
	struct leases *s = &by->shard->leases;
	struct cell *pair = &l->hot[hot_index(link)].pair;
	struct lease *e = lease_find(s, by->key);
	uint64_t meta, tat, base, next;
	bool join = false;

	if (e && !renew(by, e))
		return false;
	if (e && lease_spend(s, by->key, by->cost, by->now_ns, verdict))
		return true;
	meta = cell_state(pair);
	tat = cell_key(pair);
	if (!cell_is(pair, tat, meta) || !hot_is_of(meta, link))
		return false;
	if (hot_state(meta) == HOT_FROZEN) {
		hot_thaw(l->hot, &l->slots, hot_index(link), by->key, tat, meta);
		return false;
	}
	s->last_now_ns = by->now_ns;
	if (!e && by->terms.lease_max && lease_is_wanted(s, by->key, by->now_ns)) {
		e = free_place(s, by->key);
		join = e;
	}
	if (e && by->cost <= by->terms.lease_max)
		return take_lease(by, e, join, link, tat, meta, verdict);
	base = max_u64(tat, hot_floor(&by->terms, by->moment.v, hot_out(meta)));
	if (!bucket_take(&by->terms, by->moment.v, base, by->cost, &next, verdict))
		return cell_is(pair, tat, meta);
	if (!cell_cas(pair, tat, meta, next, meta)) {
		count_up(&by->shard->retries, 1);
		return false;
	}
	verdict->counted = true;
	return true;
}

void hot_promote(struct taking *by, struct cell *c, uint64_t tat, struct span bytes)
{
	struct limiter *l = by->shard->limiter;
	struct leases *s = &by->shard->leases;
	struct lease *e = free_place(s, by->key);
	struct cell *pair;
	uint64_t setup, live, had;
	unsigned index;

	if (!e || !hot_record_take(l->hot, by->key, bytes, &index))
		return;
	s->last_now_ns = by->now_ns;
	pair = &l->hot[index].pair;
	setup = cell_state(pair);
	live = hot_meta(HOT_LIVE, 1, 0, hot_generation(setup));
	had = tat;
	cell_cas(pair, 0, setup, had, live);
	for (int tries = 0; tries < 4; tries++) {
		if (cell_cas(c, by->key, tat, by->key, hot_link(index, live))) {
			begin(s, e, by, index);
			return;
		}
		/* Somebody took from it meanwhile. Nobody knows the record yet. */
		tat = cell_state(c);
		if (tat & (SLOT_PENDING | SLOT_HOT) || cell_key(c) != by->key)
			break;
		cell_cas(pair, had, live, tat, live);
		had = tat;
	}
	hot_record_give(&l->hot[index]);
}

bool hot_give(struct taking *by, uint64_t link)
{
	struct limiter *l = by->shard->limiter;
	struct leases *s = &by->shard->leases;
	struct cell *pair = &l->hot[hot_index(link)].pair;
	struct lease *e = lease_find(s, by->key);
	uint64_t meta, tat, floor, next, ticks = (uint64_t)by->cost * by->terms.price;

	/* `owed` may date from terms under which more could be held. */
	if (e && e->seq == by->terms.seq &&
	    (uint64_t)e->tokens + by->cost <= min_u64(e->owed, by->terms.lease_max)) {
		e->tokens += by->cost;
		e->filled += by->cost;
		return true;
	}
	meta = cell_state(pair);
	tat = cell_key(pair);
	if (!cell_is(pair, tat, meta) || !hot_is_of(meta, link))
		return false;
	if (hot_state(meta) == HOT_FROZEN) {
		hot_thaw(l->hot, &l->slots, hot_index(link), by->key, tat, meta);
		return false;
	}
	floor = hot_floor(&by->terms, by->moment.v, hot_out(meta));
	next = max_u64(tat, floor);
	next = next > floor + ticks ? next - ticks : floor;
	return cell_cas(pair, tat, meta, next, meta);
}

/* The terms for giving back; of a limit that began anew nothing is worth anything. */
static void read_terms(struct taking *by, struct limiter_shard *s, struct lease *e, uint64_t now_ns)
{
	by->shard = s;
	by->line = e->line;
	by->now_ns = now_ns;
	by->key = e->key;
	terms_read(e->line, &by->terms);
	if (by->terms.lane == (e->key & LANE_MASK)) {
		moment_init(&by->moment, e->line, &by->terms, now_ns, 0);
		return;
	}
	by->terms.lease_max = by->terms.price = 0;
	by->moment.v = 0;
}

static void upkeep_one(struct limiter_shard *s, struct lease *e, uint64_t now_ns)
{
	uint32_t spent = e->filled - e->tokens, keep;
	struct taking by;

	read_terms(&by, s, e, now_ns);
	if (!renew(&by, e))
		return;
	if (spent < LEASE_SPENT_MIN) {
		give_back(&by, e, e->tokens, true);
		return;
	}
	/* Enough for twice as long as a lease is for. */
	keep = (uint32_t)(spent * (2 * LEASE_AHEAD_NS) / LIMITER_UPKEEP_NS);
	if (e->tokens > keep)
		give_back(&by, e, e->tokens - keep, false);
	e->filled = e->tokens;
	sync_counters(&s->leases, e);
}

void limiter_upkeep(struct limiter_shard *s, uint64_t now_ns)
{
	struct leases *all = &s->leases;

	if (!all->count)
		return;
	all->last_now_ns = now_ns;
	atomic_store_explicit(&all->upkeep_ns, now_ns, memory_order_relaxed);
	for (unsigned i = 0; i < LEASE_PLACES; i++) {
		if (all->places[i].key)
			upkeep_one(s, &all->places[i], now_ns);
	}
}

bool limiter_shard_has_leases(const struct limiter_shard *s)
{
	return s->leases.count != 0;
}

void leases_end(struct limiter_shard *s)
{
	for (unsigned i = 0; i < LEASE_PLACES; i++) {
		struct lease *e = &s->leases.places[i];
		struct taking by;

		if (!e->key)
			continue;
		read_terms(&by, s, e, s->leases.last_now_ns);
		give_back(&by, e, e->tokens, true);
	}
}

bool limiter_hot(const struct limiter *l, unsigned index, uint64_t now_ns,
		 struct limit_hot *ret_hot)
{
	const struct hot_record *r = &l->hot[index];
	uint64_t meta, tat, key, end;
	uint16_t limit;
	struct terms t;
	struct moment m;

	must(index < LIMITER_HOT_MAX);
	meta = cell_state(&r->pair);
	tat = cell_key(&r->pair);
	if (hot_state(meta) != HOT_LIVE)
		return false;
	key = atomic_load_explicit(&r->fingerprint, memory_order_relaxed);
	ret_hot->key_len = hot_bytes(r, ret_hot->key);
	limit = atomic_load_explicit(&l->shared->lane_limit[key & LANE_MASK], memory_order_acquire);
	if (limit == LANE_RETIRED || hot_generation(cell_state(&r->pair)) != hot_generation(meta))
		return false;
	terms_read(&l->lines[limit], &t);
	moment_init(&m, &l->lines[limit], &t, now_ns, 0);
	tat = max_u64(tat, hot_floor(&t, m.v, hot_out(meta)));
	end = m.v + (uint64_t)t.burst * t.price;
	ret_hot->limit = limit;
	ret_hot->fingerprint = key;
	ret_hot->shards = hot_holders(meta);
	ret_hot->may_hold = hot_out(meta);
	ret_hot->remaining = end > tat ? (end - tat) / t.price : 0;
	return true;
}

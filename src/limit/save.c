/* A limiter's state as a file, for a restart that asks for it.
 *
 *   header    magic, layout, seed, number of limits, of keys, of windows
 *   limits    name, terms, price of a token, in the order of their numbers
 *   keys      fingerprint, state; of buckets the ticks used, of fixed windows as it is
 *   windows   fingerprint, age of the latest sub-window in it, tokens of each
 *   check     XXH3 of all that
 *
 * The fingerprint's low bits are the limit's number here, not its lane. All numbers are in
 * the byte order of the machine, which the magic shows: the file goes nowhere else. It is
 * read whole and checked before the first byte counts, but it is not trusted for that:
 * every number in it is checked against its range.
 */
#include "shared.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#define SAVE_MAGIC   0x31746d696c776772 /* "rgwlimt1" */
#define SAVE_LAYOUT  1
#define BUFFER_BYTES ((size_t)65536)

struct saved_header {
	uint64_t magic;
	uint32_t layout, limits;
	uint64_t seed[2];
	uint64_t unix_ns;
	uint64_t keys, windows;
};

struct saved_limit {
	char name[LIMIT_NAME_BYTES];
	uint64_t tokens, period_ns, burst;
	uint64_t birth_tokens, birth_period_ns;
	uint32_t algorithm, on_full;
	uint32_t price, unused;
};

struct saved_key {
	uint64_t fingerprint, state;
};

struct saved_window {
	uint64_t fingerprint;
	uint64_t begun_ns; /* so long ago the latest sub-window began */
	uint32_t tokens[WINDOW_KEPT + 1];
	uint32_t unused;
};

/* ---- writing ---- */

struct writer {
	int fd, err;
	size_t used;
	XXH3_state_t *hash;
	char buffer[BUFFER_BYTES];
};

static void flush(struct writer *w)
{
	for (size_t at = 0; at < w->used && !w->err;) {
		ssize_t n = write(w->fd, w->buffer + at, w->used - at);

		if (n > 0)
			at += (size_t)n;
		else if (n == 0 || errno != EINTR)
			w->err = n == 0 ? -EIO : -errno;
	}
	w->used = 0;
}

static void put(struct writer *w, const void *bytes, size_t len)
{
	if (w->used + len > sizeof(w->buffer))
		flush(w);
	memcpy(w->buffer + w->used, bytes, len);
	w->used += len;
	XXH3_64bits_update(w->hash, bytes, len);
}

/* What a key's cell amounts to; false: it is fresh, or stands for something in flight. */
static bool key_of_cell(const struct limiter *l, const struct cell *c, uint64_t now_ns,
			struct saved_key *ret_key)
{
	uint64_t key = cell_key(c), state = cell_state(c);
	uint16_t limit = l->shared->lane_limit[key & LANE_MASK];
	struct terms t;
	struct moment m;

	if (key < FINGERPRINT_MIN || state & SLOT_PENDING || limit == LANE_RETIRED)
		return false;
	terms_read(&l->lines[limit], &t);
	if (t.algorithm == LIMIT_CONCURRENCY)
		return false;
	moment_init(&m, &l->lines[limit], &t, now_ns, wall_offset(l));
	if (state & SLOT_HOT) /* a lease was lost with its shard: what it held stays used */
		state = cell_key(&l->hot[hot_index(state)].pair);
	if (state_is_idle(&t, &m, state))
		return false;
	ret_key->fingerprint = (key & ~LANE_MASK) | limit;
	ret_key->state = t.algorithm == LIMIT_TOKEN_BUCKET ? state - m.v : state;
	return true;
}

static bool window_of_cell(const struct limiter *l, const struct cell *c, uint64_t now_ns,
			   struct saved_window *ret_window)
{
	uint64_t key = cell_key(c), begin_ns;
	uint16_t limit = l->shared->lane_limit[key & LANE_MASK];
	struct window_state state;
	struct terms t;

	if (key < FINGERPRINT_MIN || cell_state(c) & SLOT_PENDING || limit == LANE_RETIRED)
		return false;
	terms_read(&l->lines[limit], &t);
	windows_state(&l->windows, c, &state);
	begin_ns = state.number * t.span_ns;
	if (state.number + WINDOW_KEPT < now_ns / t.span_ns)
		return false;
	*ret_window = (struct saved_window){
		.fingerprint = (key & ~LANE_MASK) | limit,
		.begun_ns = now_ns > begin_ns ? now_ns - begin_ns : 0,
	};
	memcpy(ret_window->tokens, state.tokens, sizeof(state.tokens));
	return true;
}

static void put_limits(struct writer *w, const struct limiter *l)
{
	for (uint32_t i = 0; i < limiter_limits(l); i++) {
		const struct terms_line *line = &l->lines[i];
		struct limit_terms terms;
		struct saved_limit s = {.name = ""};

		terms_public(line, &terms);
		/* Numbers stay, since keys are hashed with them. No limit is called that. */
		if (l->names[i].is_known)
			strcpy(s.name, l->names[i].text);
		else
			snprintf(s.name, sizeof(s.name), "#%u", i);
		s.tokens = terms.tokens;
		s.period_ns = terms.period_ns;
		s.burst = terms.burst;
		s.birth_tokens = line->birth_tokens;
		s.birth_period_ns = line->birth_period_ns;
		s.algorithm = terms.algorithm;
		s.on_full = terms.on_full;
		s.price = line->now.price;
		put(w, &s, sizeof(s));
	}
}

/* Twice: the first time to count. */
static void put_keys(struct writer *w, const struct limiter *l, uint64_t now_ns,
		     struct saved_header *header)
{
	size_t keys = (size_t)l->slots.buckets * SLOTS_BUCKET;
	size_t windows = (size_t)l->windows.slots.buckets * SLOTS_BUCKET;
	struct saved_key key;
	struct saved_window window;

	for (size_t i = 0; i < keys; i++) {
		if (!key_of_cell(l, &l->slots.cells[i], now_ns, &key))
			continue;
		if (w)
			put(w, &key, sizeof(key));
		else
			header->keys++;
	}
	for (size_t i = 0; i < windows; i++) {
		if (!window_of_cell(l, &l->windows.slots.cells[i], now_ns, &window))
			continue;
		if (w)
			put(w, &window, sizeof(window));
		else
			header->windows++;
	}
}

int limiter_save(const struct limiter *l, int fd, uint64_t now_ns, uint64_t unix_ns)
{
	struct saved_header header = {.magic = SAVE_MAGIC,
				      .layout = SAVE_LAYOUT,
				      .limits = limiter_limits(l),
				      .unix_ns = unix_ns};
	struct writer *w = malloc(sizeof(*w));
	uint64_t check;
	int err = -ENOMEM;

	if (!w)
		return -ENOMEM;
	w->fd = fd;
	w->err = 0;
	w->used = 0;
	w->hash = XXH3_createState();
	if (!w->hash)
		goto done;
	XXH3_64bits_reset(w->hash);
	memcpy(header.seed, l->shared->seed, sizeof(header.seed));
	put_keys(NULL, l, now_ns, &header);
	put(w, &header, sizeof(header));
	put_limits(w, l);
	put_keys(w, l, now_ns, NULL);
	check = XXH3_64bits_digest(w->hash);
	put(w, &check, sizeof(check));
	flush(w);
	err = w->err;
done:
	XXH3_freeState(w->hash);
	free(w);
	return err;
}

/* ---- reading ---- */

static int read_all(int fd, char **ret_bytes, size_t *ret_len)
{
	size_t room = BUFFER_BYTES, len = 0;
	char *bytes = malloc(room);

	while (bytes) {
		ssize_t n;

		if (len == room) {
			char *more = realloc(bytes, room *= 2);

			if (!more)
				break;
			bytes = more;
		}
		n = read(fd, bytes + len, room - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int err = -errno;

			free(bytes);
			return err;
		}
		if (n == 0) {
			*ret_bytes = bytes;
			*ret_len = len;
			return 0;
		}
		len += (size_t)n;
	}
	free(bytes);
	return -ENOMEM;
}

/* Whether the file is as long as it says. */
static bool is_whole(const struct saved_header *h, size_t len)
{
	size_t fixed = sizeof(*h) + sizeof(uint64_t);

	if (h->magic != SAVE_MAGIC || h->layout != SAVE_LAYOUT || h->limits > LIMITS_MAX ||
	    h->keys > len / sizeof(struct saved_key) ||
	    h->windows > len / sizeof(struct saved_window))
		return false;
	return len == fixed + h->limits * sizeof(struct saved_limit) +
			      h->keys * sizeof(struct saved_key) +
			      h->windows * sizeof(struct saved_window);
}

/* Asked before anything is read: a file that claims less than it holds may hold anything. */
static bool has_its_length(int fd)
{
	struct saved_header header;
	struct stat st;

	return fstat(fd, &st) == 0 && pread(fd, &header, sizeof(header), 0) == sizeof(header) &&
	       is_whole(&header, (size_t)st.st_size);
}

#define LONGEST_NS (366 * 86400 * NS_PER_S)

static bool rate_is_sound(uint64_t tokens, uint64_t period_ns)
{
	return tokens >= 1 && tokens <= LIMIT_TOKENS_MAX && period_ns >= 1 &&
	       period_ns <= (unsigned __int128)tokens * LONGEST_NS &&
	       tokens * NS_PER_S / period_ns <= LIMIT_RATE_MAX;
}

static bool is_window(uint64_t period_ns)
{
	return period_ns >= NS_PER_S && period_ns <= LONGEST_NS;
}

static bool limit_is_sound(const struct saved_limit *s)
{
	if (!memchr(s->name, '\0', sizeof(s->name)) || s->algorithm > LIMIT_CONCURRENCY ||
	    s->on_full > LIMIT_FULL_CLOSED || s->burst < 1 || s->burst > LIMIT_TOKENS_MAX ||
	    !rate_is_sound(s->tokens, s->period_ns) ||
	    !rate_is_sound(s->birth_tokens, s->birth_period_ns))
		return false;
	if (s->algorithm != LIMIT_TOKEN_BUCKET)
		return s->algorithm == LIMIT_CONCURRENCY ||
		       (is_window(s->period_ns) && is_window(s->birth_period_ns));
	return s->price == terms_price(s->birth_tokens, s->birth_period_ns);
}

static bool names_are_unique(const struct saved_limit *limits, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		for (uint32_t j = 0; j < i; j++) {
			if (strcmp(limits[i].name, limits[j].name) == 0)
				return false;
		}
	}
	return true;
}

static bool limits_are_sound(const struct saved_limit *limits, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!limit_is_sound(&limits[i]))
			return false;
	}
	return names_are_unique(limits, n);
}

static void load_limits(struct limiter *l, const struct saved_limit *limits, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct saved_limit *s = &limits[i];
		struct limit_terms terms = {.algorithm = (enum limit_algorithm)s->algorithm,
					    .on_full = (enum limit_on_full)s->on_full,
					    .tokens = s->birth_tokens,
					    .period_ns = s->birth_period_ns,
					    .burst = s->burst};
		uint32_t limit;

		/* As it was born, then as it had become: tokens keep their price. */
		limiter_add(l, s->name, &terms, &limit);
		terms.tokens = s->tokens;
		terms.period_ns = s->period_ns;
		limiter_set(l, limit, &terms, 0);
	}
}

/* A place for a key of a table in which nobody decides; NULL: none. */
static struct cell *vacant(struct slots *t, uint64_t key)
{
	struct slots_path path;

	slots_path(t, key, &path);
	for (unsigned i = 0; i < 2 * SLOTS_BUCKET; i++) {
		struct cell *c = slots_at(&path, i);

		if (cell_key(c) == 0 || cell_key(c) == key)
			return c;
	}
	return NULL;
}

/* The terms of a fingerprint's limit; false: there is no such limit. */
static bool terms_of(const struct limiter *l, uint64_t fingerprint, struct terms *ret_terms,
		     uint32_t *ret_limit)
{
	*ret_limit = fingerprint & LANE_MASK;
	if (*ret_limit >= limiter_limits(l) || fingerprint < FINGERPRINT_MIN)
		return false;
	terms_read(&l->lines[*ret_limit], ret_terms);
	return true;
}

/* 1: loaded; 0: fresh by now, or makes no sense; -1: no room. */
static int load_key(struct limiter *l, struct saved_key k, uint64_t now_ns, uint64_t passed_ns)
{
	struct cell *c;
	struct moment m;
	struct terms t;
	uint32_t limit;
	uint64_t state = k.state, key;

	if (!terms_of(l, k.fingerprint, &t, &limit))
		return 0;
	key = lane_key(&t, k.fingerprint);
	moment_init(&m, &l->lines[limit], &t, now_ns, wall_offset(l));
	if (t.algorithm == LIMIT_TOKEN_BUCKET) {
		uint64_t most = (uint64_t)LIMIT_TOKENS_MAX * t.price;
		unsigned __int128 passed = (unsigned __int128)passed_ns * t.mult >> t.shift;

		state = min_u64(state, most);
		if (passed >= state)
			return 0;
		state = m.v + state - (uint64_t)passed;
	} else if (t.algorithm == LIMIT_FIXED_WINDOW) {
		/* A number that lies ahead of the clock would never end. */
		if (state >> 62 || state >> WINDOW_COUNT_BITS > m.window + 1)
			return 0;
	} else {
		return 0;
	}
	if (state_is_idle(&t, &m, state))
		return 0;
	c = vacant(&l->slots, key);
	if (!c)
		return -1;
	cell_cas(c, cell_key(c), cell_state(c), key, state);
	return 1;
}

static int load_window(struct limiter *l, const struct saved_window *s, uint64_t now_ns,
		       uint64_t passed_ns)
{
	struct window_state state;
	struct cell *c;
	struct terms t;
	uint32_t limit;
	uint64_t begun_ns, key, sum = 0;

	if (!terms_of(l, s->fingerprint, &t, &limit) || t.algorithm != LIMIT_SLIDING_WINDOW)
		return 0;
	key = lane_key(&t, s->fingerprint);
	for (unsigned i = 0; i <= WINDOW_KEPT; i++) {
		if (s->tokens[i] > LIMIT_TOKENS_MAX)
			return 0;
		state.tokens[i] = s->tokens[i];
		sum += s->tokens[i];
	}
	begun_ns = s->begun_ns + passed_ns;
	if (begun_ns < s->begun_ns || begun_ns / t.span_ns > WINDOW_KEPT || sum == 0)
		return 0;
	/* It began at no edge of this clock: it counts as the later of the two. */
	state.number = now_ns > begun_ns ? (now_ns - begun_ns + t.span_ns - 1) / t.span_ns : 0;
	c = vacant(&l->windows.slots, key);
	if (!c)
		return -1;
	windows_restore(&l->windows, c, key, &state);
	return 1;
}

static void load_keys(struct limiter *l, const struct saved_header *h, const char *at,
		      uint64_t now_ns, uint64_t passed_ns, uint64_t *ret_keys,
		      uint64_t *ret_left_out)
{
	struct saved_key key;
	struct saved_window window;

	*ret_keys = *ret_left_out = 0;
	for (uint64_t i = 0; i < h->keys; i++, at += sizeof(key)) {
		int got;

		memcpy(&key, at, sizeof(key));
		got = load_key(l, key, now_ns, passed_ns);
		*ret_keys += got > 0;
		*ret_left_out += got < 0;
	}
	for (uint64_t i = 0; i < h->windows; i++, at += sizeof(window)) {
		int got;

		memcpy(&window, at, sizeof(window));
		got = load_window(l, &window, now_ns, passed_ns);
		*ret_keys += got > 0;
		*ret_left_out += got < 0;
	}
}

int limiter_load(struct limiter *l, int fd, uint64_t now_ns, uint64_t unix_ns, uint64_t *ret_keys,
		 uint64_t *ret_left_out)
{
	const struct saved_limit *limits;
	struct saved_header header;
	uint64_t check;
	char *bytes = NULL;
	size_t len = 0;
	int err;

	must(limiter_limits(l) == 0);
	if (!has_its_length(fd))
		return -EBADMSG;
	err = read_all(fd, &bytes, &len);
	if (err)
		return err;
	err = -EBADMSG;
	if (len < sizeof(header) + sizeof(check))
		goto done;
	memcpy(&header, bytes, sizeof(header));
	memcpy(&check, bytes + len - sizeof(check), sizeof(check));
	if (!is_whole(&header, len) || XXH3_64bits(bytes, len - sizeof(check)) != check)
		goto done;
	limits = (const void *)(bytes + sizeof(header));
	if (!limits_are_sound(limits, header.limits))
		goto done;
	memcpy(l->shared->seed, header.seed, sizeof(header.seed));
	load_limits(l, limits, header.limits);
	load_keys(l, &header, (const char *)(limits + header.limits), now_ns,
		  unix_ns > header.unix_ns ? unix_ns - header.unix_ns : 0, ret_keys, ret_left_out);
	err = 0;
done:
	free(bytes);
	return err;
}

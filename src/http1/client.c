#include <ringway/http1/client.h>

#include <errno.h>

#include <ringway/tls/session.h>

/* Interim answers to one request; more are no conversation but an attack. */
#define INTERIM_MAX 10
/* Fields that the proxy may add to an answer: Date, Via, and what policies say. */
#define SPARE_FIELDS 10

static const struct conn_events client_conn_events;
static const struct http_stream_ops client_stream_ops;

static struct h1_client *client_of(struct conn *c)
{
	return container_of(c, struct h1_client, conn);
}

static struct h1_client *client_of_stream(struct http_stream *st)
{
	return container_of(st, struct h1_client, stream);
}

void h1_client_init(struct h1_client *c, struct shard *shard,
		    const struct h1_client_events *events, const struct h1_limits *limits,
		    struct h1_parser *parser)
{
	memset(c, 0, sizeof(*c));
	conn_init(&c->conn, shard, &client_conn_events);
	http_stream_clear(&c->stream);
	c->stream.ops = &client_stream_ops;
	c->events = events;
	c->limits = limits;
	c->parser = parser;
}

static void begin(struct h1_client *c, const struct h1_client_timeouts *timeouts)
{
	c->timeouts = *timeouts;
	c->conn.write_idle_ns = timeouts->idle_ns;
	c->reused = c->requests > 0;
	c->requests++;
	c->interim_answers = 0;
	c->answered = false;
	c->any_bytes = false;
	c->chunked_out = false;
	c->pulling = false;
	c->keep = false;
	c->write_failed = false;
	http_stream_clear(&c->stream);
}

static void set_deadline(struct h1_client *c, uint64_t limit_ns)
{
	conn_set_deadline(&c->conn, limit_ns ? c->conn.shard->now_ns + limit_ns : 0);
}

int h1_client_connect(struct h1_client *c, const struct address *to,
		      const struct h1_client_tls *tls, const struct h1_client_timeouts *timeouts)
{
	int err = conn_connect(&c->conn, to, timeouts->idle_ns);

	if (err)
		return err;
	begin(c, timeouts);
	if (tls)
		c->tls = *tls;
	c->state = H1_CLIENT_CONNECTING;
	set_deadline(c, timeouts->connect_ns);
	return 0;
}

void h1_client_begin(struct h1_client *c, const struct h1_client_timeouts *timeouts)
{
	must(c->state == H1_CLIENT_IDLE);
	begin(c, timeouts);
	c->state = H1_CLIENT_BUSY;
}

static void end(struct h1_client *c)
{
	if (c->state == H1_CLIENT_ENDED)
		return;
	c->state = H1_CLIENT_ENDED;
	if (c->events->on_ended)
		c->events->on_ended(c);
}

/* Where TLS has something to say to the upstream it is said: what was wrong in the
 * handshake, or that this is the end (RFC 8446 section 6.1). Half a request is no end. */
static bool has_last_word(const struct h1_client *c)
{
	if (c->conn.state != CONN_OPEN || !c->tls.caller)
		return false;
	return c->connected ? !conn_is_sending(&c->conn) : conn_is_sending(&c->conn);
}

void h1_client_close(struct h1_client *c)
{
	end(c);
	if (has_last_word(c))
		conn_finish(&c->conn, false);
	else
		conn_close(&c->conn);
}

void h1_client_fini(struct h1_client *c)
{
	struct conn_codec *k = c->conn.codec;

	if (k)
		k->ops->gone(k);
	else
		tls_session_destroy(c->session);
	c->conn.codec = NULL;
	c->session = NULL;
}

/* Tells the owner, who releases or aborts; with no owner the connection just ends. */
static void fail(struct h1_client *c, enum access_cause cause)
{
	if (c->stream.owner) {
		if (!c->stream.fault)
			c->stream.fault = cause;
		c->stream.sending = false;
		c->keep = false;
		http_stream_tell(&c->stream);
		return;
	}
	h1_client_close(c);
}

/* ---- answers ---- */

static bool on_head(struct h1_client *c, const struct http_head *head, size_t used)
{
	struct http_stream *st = &c->stream;
	struct http_head *copy = arena_alloc(st->arena, sizeof(*copy));

	/* Room for what the proxy adds to an answer: Via, Date, and a few of a policy's. */
	if (!copy || !http_head_copy(head, st->arena, SPARE_FIELDS, copy)) {
		fail(c, ACCESS_OUT_OF_MEMORY);
		return false;
	}
	conn_consume(&c->conn, (uint32_t)used);
	if (head->status < 200) {
		/* We never offer an upgrade, so nothing can have been switched. */
		if (head->status == 101 || ++c->interim_answers > INTERIM_MAX) {
			fail(c, ACCESS_UPSTREAM_BAD_RESPONSE);
			return false;
		}
		st->head = copy;
		return true;
	}
	c->answered = true;
	c->keep = copy->keep_alive && copy->framing != HTTP_FRAMING_CLOSE;
	h1_body_begin(&c->body, copy);
	st->head = copy;
	return true;
}

/* Reads what is in rx as far as the owner has taken the news before it. */
static void take(struct h1_client *c)
{
	struct http_stream *st = &c->stream;
	struct http_head head;
	size_t used;

	if (!c->answered && !st->head && c->conn.rx) {
		c->any_bytes = true;
		h1_parser_init(c->parser, c->limits, c->parser->fields);
		switch (h1_parse_response(c->parser, block_span(c->conn.rx), c->method, &head,
					  &used)) {
		case H1_PARSE_DONE:
			if (!on_head(c, &head, used))
				return;
			break;
		case H1_PARSE_BAD: fail(c, ACCESS_UPSTREAM_BAD_RESPONSE); return;
		case H1_PARSE_MORE: break;
		}
	}
	if (c->answered) {
		c->parser->limits = c->limits;
		if (!h1_body_take(&c->body, &c->conn, st, c->parser))
			fail(c, st->fault ? st->fault : ACCESS_UPSTREAM_BAD_RESPONSE);
	}
}

static bool has_news(const struct h1_client *c)
{
	return c->stream.head || c->stream.piece || c->stream.in_ended || c->stream.fault;
}

static void on_conn_end(struct h1_client *c, int res)
{
	struct http_stream *st = &c->stream;

	if (res == 0 && !c->conn.cut && c->answered && !st->in_ended &&
	    h1_body_ends_with_connection(&c->body)) {
		st->in_ended = true;
		http_stream_tell(st);
		return;
	}
	if (st->in_ended) {
		c->keep = false; /* the answer is whole */
		return;
	}
	if (res == -EPROTO) /* a codec's: an alert, or a record that was tampered with */
		fail(c, ACCESS_UPSTREAM_TLS_FAILED);
	else
		fail(c, res == 0 ? ACCESS_UPSTREAM_CLOSED : ACCESS_UPSTREAM_RESET);
}

/* ---- TLS ---- */

static void be_connected(struct h1_client *c)
{
	c->connected = true;
	c->state = H1_CLIENT_BUSY;
	conn_set_deadline(&c->conn, 0);
	conn_recv(&c->conn);
	http_stream_tell(&c->stream);
}

static void shake(struct h1_client *c)
{
	enum access_cause cause = ACCESS_UPSTREAM_TLS_FAILED;

	switch (tls_session_shake(c->session, &cause)) {
	case TLS_STEP_MORE: conn_recv(&c->conn); return;
	case TLS_STEP_FAILED: fail(c, cause); return;
	case TLS_STEP_DONE: break;
	}
	/* The connection's from here on. */
	tls_session_start(c->session);
	be_connected(c);
}

static void begin_shaking(struct h1_client *c)
{
	c->session = tls_session_connect(c->tls.caller, &c->conn, c->tls.server_name, c->tls.saved);
	if (!c->session) {
		fail(c, ACCESS_OUT_OF_MEMORY);
		return;
	}
	c->resuming = tls_session_is_resuming(c->session);
	c->state = H1_CLIENT_SHAKING;
	set_deadline(c, c->timeouts.connect_ns);
	shake(c);
}

/* ---- news ---- */

static void on_conn_recv(struct conn *conn, int res)
{
	struct h1_client *c = client_of(conn);

	switch (c->state) {
	case H1_CLIENT_IDLE:
		h1_client_close(c);
		return;
	case H1_CLIENT_SHAKING:
		if (res > 0)
			shake(c);
		else
			fail(c, ACCESS_UPSTREAM_TLS_FAILED);
		return;
	case H1_CLIENT_BUSY: break;
	case H1_CLIENT_CONNECTING:
	case H1_CLIENT_ENDED: return;
	}
	if (res <= 0) {
		on_conn_end(c, res);
		return;
	}
	take(c);
	/* Many servers write head and body one after the other. When the body is there
	 * already, both go on in one send; else the head does not wait. */
	if (c->stream.head && c->answered && !c->stream.piece && !c->stream.in_ended &&
	    conn->more && !c->stream.fault) {
		conn_recv(conn);
		return;
	}
	if (has_news(c)) {
		c->pulling = false;
		conn_set_deadline(conn, 0);
		http_stream_tell(&c->stream);
		return;
	}
	if (!c->answered && block_len(conn->rx) >= BLOCK_DATA_BYTES) {
		fail(c, ACCESS_UPSTREAM_BAD_RESPONSE);
		return;
	}
	if (c->answered)
		set_deadline(c, c->timeouts.idle_ns);
	conn_recv(conn);
}

/* ---- connection ---- */

static void on_conn_connect(struct conn *conn, int err)
{
	struct h1_client *c = client_of(conn);

	if (err) {
		fail(c, err == -ECONNREFUSED ? ACCESS_UPSTREAM_CONNECT_REFUSED
					     : ACCESS_UPSTREAM_CONNECT_FAILED);
		return;
	}
	if (c->tls.caller)
		begin_shaking(c);
	else
		be_connected(c);
}

static void on_conn_sent(struct conn *conn, int err)
{
	struct h1_client *c = client_of(conn);

	if (err && c->state == H1_CLIENT_SHAKING) {
		fail(c, ACCESS_UPSTREAM_TLS_FAILED);
		return;
	}
	if (err && c->state == H1_CLIENT_IDLE) {
		h1_client_close(c);
		return;
	}
	if (err == -ETIMEDOUT) {
		fail(c, ACCESS_UPSTREAM_IDLE_TIMEOUT);
		return;
	}
	if (err) {
		/* What it answered before it stopped listening may lie there unread, or the
		 * rest of it: a refusal of a body, most of the time. Reading goes on; the
		 * stream's end tells. */
		c->write_failed = true;
		c->stream.sending = false;
		c->stream.out_ended = true;
		if (!c->answered)
			set_deadline(c, c->timeouts.first_byte_ns);
		http_stream_tell(&c->stream);
		return;
	}
	if (c->state != H1_CLIENT_BUSY)
		return;
	c->stream.sending = false;
	if (!c->stream.out_ended) {
		http_stream_tell(&c->stream);
		return;
	}
	/* The owner has nothing more to send: what it waits for is the answer. */
	if (!c->answered)
		set_deadline(c, c->timeouts.first_byte_ns);
}

static void on_conn_deadline(struct conn *conn)
{
	struct h1_client *c = client_of(conn);

	if (c->state == H1_CLIENT_CONNECTING)
		fail(c, ACCESS_UPSTREAM_CONNECT_TIMEOUT);
	else if (c->state == H1_CLIENT_SHAKING)
		fail(c, ACCESS_UPSTREAM_TLS_TIMEOUT);
	else if (c->state == H1_CLIENT_IDLE)
		h1_client_close(c);
	else if (c->state == H1_CLIENT_BUSY)
		fail(c, c->answered ? ACCESS_UPSTREAM_IDLE_TIMEOUT
				    : ACCESS_UPSTREAM_FIRST_BYTE_TIMEOUT);
}

static void on_conn_gone(struct conn *conn)
{
	struct h1_client *c = client_of(conn);

	if (!c->connected)
		tls_session_destroy(c->session);
	c->session = NULL;
	c->events->on_gone(c);
}

static const struct conn_events client_conn_events = {
	.on_recv = on_conn_recv,
	.on_connect = on_conn_connect,
	.on_sent = on_conn_sent,
	.on_deadline = on_conn_deadline,
	.on_gone = on_conn_gone,
};

/* ---- the stream ---- */

static void stream_send(struct http_stream *st, const struct http_head *head, struct block *piece,
			bool last, const struct http_fields *trailers)
{
	struct h1_client *c = client_of_stream(st);

	if (st->fault) {
		if (piece)
			block_give(piece);
		return;
	}
	if (head) {
		c->method = head->method;
		c->chunked_out = head->framing == HTTP_FRAMING_CHUNKED;
	}
	st->out_ended = last;
	if (!head && !piece && !c->chunked_out)
		return;
	st->sending = true;
	if (!h1_message_send(&c->conn, head, piece, last, trailers, c->chunked_out))
		fail(c, ACCESS_OUT_OF_MEMORY);
}

static void stream_pull(struct http_stream *st)
{
	struct h1_client *c = client_of_stream(st);

	if (c->pulling || st->fault)
		return;
	if (c->conn.rx && !conn_is_receiving(&c->conn)) {
		take(c);
		if (has_news(c)) {
			http_stream_tell(st);
			return;
		}
	}
	c->pulling = true;
	if (c->answered)
		set_deadline(c, c->timeouts.idle_ns);
	else if (st->out_ended && !st->sending)
		set_deadline(c, c->timeouts.first_byte_ns);
	conn_recv(&c->conn);
	/* The end came while nobody asked. */
	if (c->conn.at_end && !st->in_ended)
		on_conn_end(c, 0);
}

/* Bytes behind the answer that a codec has not decoded yet. */
static bool has_unread(const struct h1_client *c)
{
	const struct conn_codec *k = c->conn.codec;

	return k && (k->raw || k->ops->has_more(k));
}

static void stream_release(struct http_stream *st)
{
	struct h1_client *c = client_of_stream(st);

	if (st->piece)
		block_give(http_stream_take_piece(st));
	st->owner = NULL;
	if (c->session && st->in_ended && !st->fault)
		tls_session_keep(c->session);
	if (!c->keep || c->write_failed || !st->in_ended || !st->out_ended || st->sending ||
	    st->fault || c->conn.rx || c->conn.at_end || has_unread(c)) {
		h1_client_close(c);
		return;
	}
	c->state = H1_CLIENT_IDLE;
	set_deadline(c, c->timeouts.keepalive_ns);
	conn_recv(&c->conn);
	c->events->on_idle(c);
}

static void stream_abort(struct http_stream *st)
{
	struct h1_client *c = client_of_stream(st);

	if (st->piece)
		block_give(http_stream_take_piece(st));
	st->owner = NULL;
	h1_client_close(c);
}

static const struct http_stream_ops client_stream_ops = {
	.send = stream_send,
	.pull = stream_pull,
	.release = stream_release,
	.abort = stream_abort,
};

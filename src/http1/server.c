#include <ringway/http1/server.h>

#include <errno.h>

static const struct conn_events server_conn_events;
static const struct http_stream_ops server_stream_ops;

static struct h1_server *server_of(struct conn *c)
{
	return container_of(c, struct h1_server, conn);
}

static struct h1_server *server_of_stream(struct http_stream *st)
{
	return container_of(st, struct h1_server, stream);
}

int h1_server_open(struct h1_server *s, struct shard *shard, int fd,
		   const struct h1_server_events *events,
		   const struct h1_server_settings *settings, struct h1_parser *parser)
{
	int err;

	memset(s, 0, sizeof(*s));
	conn_init(&s->conn, shard, &server_conn_events);
	http_stream_clear(&s->stream);
	s->stream.ops = &server_stream_ops;
	s->events = events;
	s->settings = settings;
	s->parser = parser;
	err = conn_open(&s->conn, fd, settings->write_idle_ns);
	if (err)
		return err;
	s->state = H1_SERVER_IDLE;
	return 0;
}

/* ---- requests ---- */

static void set_idle(struct h1_server *s, bool idle)
{
	if (s->events->on_idle)
		s->events->on_idle(s, idle);
}

static void begin_request(struct h1_server *s)
{
	conn_set_deadline(&s->conn, 0);
	s->state = H1_SERVER_REQUEST;
	s->head_sent = false;
	s->closes = false;
	s->chunked_out = false;
	s->pulling = false;
	s->refused = false;
	http_stream_clear(&s->stream);
	s->conn.write_idle_ns = s->settings->write_idle_ns;
}

/* Answered by the layer above; whatever else is in the connection cannot be trusted. */
static void refuse(struct h1_server *s, uint16_t status, const char *detail,
		   enum access_cause cause)
{
	begin_request(s);
	s->refused = true;
	s->awaits_continue = false;
	s->keep_alive = false;
	s->client_is_1_0 = false;
	s->stream.in_ended = true;
	s->events->on_refused(s, status, detail, cause);
}

static uint16_t status_of(enum h1_error error)
{
	switch (error) {
	case H1_ERROR_NONE:
	case H1_ERROR_SYNTAX:
	case H1_ERROR_TARGET:
	case H1_ERROR_HOST:
	case H1_ERROR_FRAMING:
	case H1_ERROR_CONNECTION_OPTION: return 400;
	case H1_ERROR_CODING:
	case H1_ERROR_METHOD: return 501;
	case H1_ERROR_EXPECT: return 417;
	case H1_ERROR_VERSION: return 505;
	case H1_ERROR_LINE_TOO_LONG: return 414;
	case H1_ERROR_HEAD_TOO_LARGE:
	case H1_ERROR_TOO_MANY_FIELDS: return 431;
	}
	return 400;
}

/* Keeps one receive on the connection while a request runs, so that the client's end
 * is seen; but never reads ahead of what was asked for. */
static void watch(struct h1_server *s)
{
	if (!s->conn.rx && s->stream.in_ended)
		conn_recv(&s->conn);
}

static void take_body(struct h1_server *s)
{
	struct http_stream *st = &s->stream;

	/* Bytes of a body: it is not held back, or not any more. */
	if (s->conn.rx)
		s->awaits_continue = false;
	s->parser->limits = &s->settings->limits;
	if (!h1_body_take(&s->body, &s->conn, st, s->parser)) {
		if (!st->fault)
			st->fault = ACCESS_CLIENT_BAD_REQUEST;
		s->closes = true;
	}
}

/* The client's time for its body does not run while it waits for our 100 (Continue), and
 * we for the upstream's (RFC 9110 section 10.1.1). */
static void set_body_deadline(struct h1_server *s)
{
	uint64_t due_ns = s->conn.shard->now_ns + s->settings->body_idle_ns;

	conn_set_deadline(&s->conn, s->awaits_continue ? 0 : due_ns);
}

static void on_head(struct h1_server *s, const struct http_head *head, size_t used)
{
	begin_request(s);
	s->awaits_continue = head->expects_continue;
	s->keep_alive = head->keep_alive;
	s->client_is_1_0 = head->minor == 0;
	h1_body_begin(&s->body, head);
	s->events->on_request(s, head);
	/* From here on the exchange has a copy of the head. */
	conn_consume(&s->conn, (uint32_t)used);
	if (s->stream.fault || s->state != H1_SERVER_REQUEST)
		return;
	take_body(s);
	if (s->stream.piece || s->stream.in_ended || s->stream.fault)
		http_stream_tell(&s->stream);
	watch(s);
}

/* A head that comes in pieces is read again only when another line is complete. */
static bool has_new_line(struct h1_server *s)
{
	struct block *b = s->conn.rx;
	bool has = s->head_read == 0 ||
		   memchr(block_begin(b) + s->head_read, '\n', block_len(b) - s->head_read) ||
		   block_len(b) > s->settings->limits.max_line_bytes;

	s->head_read = block_len(b);
	return has;
}

static void read_head(struct h1_server *s)
{
	const struct h1_server_settings *settings = s->settings;
	struct http_head head;
	size_t used;

	if (s->state == H1_SERVER_IDLE) {
		s->state = H1_SERVER_HEAD;
		s->head_read = 0;
		s->head_began_ns = s->conn.shard->now_ns;
		s->bytes_in_before = s->conn.bytes_in - block_len(s->conn.rx);
		s->bytes_out_before = s->conn.bytes_out;
		set_idle(s, false);
	}
	if (has_new_line(s)) {
		h1_parser_init(s->parser, &settings->limits, s->parser->fields);
		switch (h1_parse_request(s->parser, block_span(s->conn.rx), &head, &used)) {
		case H1_PARSE_DONE: on_head(s, &head, used); return;
		case H1_PARSE_BAD:
			refuse(s, status_of(s->parser->error), s->parser->detail,
			       ACCESS_CLIENT_BAD_REQUEST);
			return;
		case H1_PARSE_MORE: break;
		}
	}
	conn_set_deadline(&s->conn, s->head_began_ns + settings->head_time_ns);
	conn_recv(&s->conn);
}

void h1_server_start(struct h1_server *s)
{
	s->conn.events = &server_conn_events;
	if (s->conn.rx) {
		read_head(s);
		return;
	}
	/* Who connects has something to say: the first head gets its time, not the
	 * pause between two requests. */
	conn_set_deadline(&s->conn, s->conn.shard->now_ns + s->settings->head_time_ns);
	conn_recv(&s->conn);
}

void h1_server_refuse(struct h1_server *s, uint16_t status, const char *detail,
		      enum access_cause cause)
{
	s->conn.events = &server_conn_events;
	s->head_began_ns = s->conn.shard->now_ns;
	refuse(s, status, detail, cause);
}

/* The connection waits for a request, or has one already. */
static void next_request(struct h1_server *s)
{
	s->state = H1_SERVER_IDLE;
	if (s->conn.rx) {
		read_head(s);
		return;
	}
	if (s->half_closed) {
		conn_finish(&s->conn, false);
		s->state = H1_SERVER_ENDED;
		return;
	}
	conn_set_deadline(&s->conn, s->conn.shard->now_ns + s->settings->keepalive_ns);
	set_idle(s, true);
	conn_recv(&s->conn);
}

/* ---- news of the connection ---- */

/* The message in is broken off; an answer may still reach the client. */
static void fail(struct h1_server *s, enum access_cause cause)
{
	if (s->state == H1_SERVER_REQUEST && s->stream.owner) {
		if (!s->stream.fault)
			s->stream.fault = cause;
		s->closes = true;
		http_stream_tell(&s->stream);
		return;
	}
	s->state = H1_SERVER_ENDED;
	conn_close(&s->conn);
}

/* Nothing reaches the client any more, also not what was being sent: its message has no
 * end then, whatever was asked for. */
static void die(struct h1_server *s, enum access_cause cause)
{
	s->dead = true;
	if (s->stream.sending)
		s->stream.out_ended = false;
	s->stream.sending = false;
	fail(s, cause);
}

static void on_end(struct h1_server *s)
{
	s->half_closed = true;
	switch (s->state) {
	case H1_SERVER_IDLE: s->state = H1_SERVER_ENDED; conn_close(&s->conn); break;
	case H1_SERVER_HEAD:
		/* Half a request and its end: who sent it may still read an answer. */
		refuse(s, 400, "the request head is cut off", ACCESS_CLIENT_CLOSED);
		break;
	case H1_SERVER_REQUEST:
		/* A client may end its side behind a whole request and wait for the answer
		 * (RFC 9112 section 9.6); in the middle of a body it has gone. */
		if (!s->stream.in_ended)
			fail(s, ACCESS_CLIENT_CLOSED);
		break;
	case H1_SERVER_ENDED: break;
	}
}

static void on_conn_recv(struct conn *c, int res)
{
	struct h1_server *s = server_of(c);

	if (res < 0) {
		die(s, ACCESS_CLIENT_CLOSED);
		return;
	}
	if (res == 0) {
		on_end(s);
		return;
	}
	switch (s->state) {
	case H1_SERVER_IDLE:
	case H1_SERVER_HEAD: read_head(s); break;
	case H1_SERVER_REQUEST:
		if (s->stream.in_ended)
			break; /* the next request: it waits in rx */
		take_body(s);
		if (s->stream.piece || s->stream.in_ended || s->stream.fault) {
			s->pulling = false;
			conn_set_deadline(c, 0);
			http_stream_tell(&s->stream);
			watch(s);
		} else {
			set_body_deadline(s);
			conn_recv(c);
		}
		break;
	case H1_SERVER_ENDED: break;
	}
}

static void on_conn_sent(struct conn *c, int err)
{
	struct h1_server *s = server_of(c);

	if (err) {
		die(s, err == -ETIMEDOUT ? ACCESS_CLIENT_TIMEOUT : ACCESS_CLIENT_CLOSED);
		return;
	}
	if (s->state == H1_SERVER_REQUEST) {
		s->stream.sending = false;
		http_stream_tell(&s->stream);
	}
}

static void on_conn_deadline(struct conn *c)
{
	struct h1_server *s = server_of(c);

	switch (s->state) {
	case H1_SERVER_IDLE: /* nothing was asked: nothing to answer */
		s->state = H1_SERVER_ENDED;
		conn_close(c);
		break;
	case H1_SERVER_HEAD:
		refuse(s, 408, "the request head took too long", ACCESS_CLIENT_TIMEOUT);
		break;
	case H1_SERVER_REQUEST: fail(s, ACCESS_CLIENT_TIMEOUT); break;
	case H1_SERVER_ENDED: break;
	}
}

static void on_conn_gone(struct conn *c)
{
	struct h1_server *s = server_of(c);

	s->events->on_gone(s);
}

static const struct conn_events server_conn_events = {
	.on_recv = on_conn_recv,
	.on_sent = on_conn_sent,
	.on_deadline = on_conn_deadline,
	.on_gone = on_conn_gone,
};

/* ---- the stream ---- */

/* How the body of this answer is framed, and whether the connection goes on. */
static void frame_answer(struct h1_server *s, const struct http_head *from, struct http_head *head)
{
	*head = *from;
	head->minor = 1;
	if (head->framing == HTTP_FRAMING_CHUNKED || head->framing == HTTP_FRAMING_CLOSE) {
		/* Its length is not known. HTTP/1.0 has no chunks (RFC 9112 section 6.1). */
		head->framing = s->client_is_1_0 ? HTTP_FRAMING_CLOSE : HTTP_FRAMING_CHUNKED;
	}
	s->chunked_out = head->framing == HTTP_FRAMING_CHUNKED;
	if (head->framing == HTTP_FRAMING_CLOSE || !s->keep_alive || s->settings->draining ||
	    !s->stream.in_ended)
		s->closes = true;
	head->keep_alive = !s->closes;
	if (s->client_is_1_0)
		head->minor = 0;
	s->head_sent = true;
}

static void stream_send(struct http_stream *st, const struct http_head *head, struct block *piece,
			bool last, const struct http_fields *trailers)
{
	struct h1_server *s = server_of_stream(st);
	struct http_head framed;

	if (s->dead) {
		if (piece)
			block_give(piece);
		st->out_ended = last;
		return;
	}
	if (head && head->status >= 200) {
		frame_answer(s, head, &framed);
		head = &framed;
	} else if (head && s->awaits_continue) {
		s->awaits_continue = false;
		if (s->pulling)
			set_body_deadline(s);
	}
	st->out_ended = last;
	/* The end of a body that is not chunked is nothing on the wire. */
	if (!head && !piece && !s->chunked_out)
		return;
	st->sending = true;
	if (!h1_message_send(&s->conn, head, piece, last, trailers, s->chunked_out)) {
		die(s, ACCESS_OUT_OF_MEMORY);
	}
}

static void stream_pull(struct http_stream *st)
{
	struct h1_server *s = server_of_stream(st);

	if (s->pulling || st->piece || st->in_ended || st->fault)
		return;
	if (s->conn.rx && !conn_is_receiving(&s->conn)) {
		take_body(s);
		if (st->piece || st->in_ended || st->fault) {
			http_stream_tell(st);
			watch(s);
			return;
		}
	}
	s->pulling = true;
	set_body_deadline(s);
	conn_recv(&s->conn);
}

static void stream_release(struct http_stream *st)
{
	struct h1_server *s = server_of_stream(st);

	if (st->piece)
		block_give(http_stream_take_piece(st));
	st->owner = NULL;
	conn_set_deadline(&s->conn, 0);
	if (!s->closes && st->in_ended && !st->fault) {
		next_request(s);
		return;
	}
	s->state = H1_SERVER_ENDED;
	if (s->dead) {
		conn_close(&s->conn);
		return;
	}
	/* Input that nobody will read would make a reset of the close, and the reset
	 * would overtake the answer. A client that did not ask for the end may be sending
	 * its next request right now. */
	conn_finish(&s->conn, !st->in_ended || st->fault || s->conn.rx || s->refused ||
			      s->keep_alive);
}

static void stream_abort(struct http_stream *st)
{
	struct h1_server *s = server_of_stream(st);

	if (st->piece)
		block_give(http_stream_take_piece(st));
	st->owner = NULL;
	s->state = H1_SERVER_ENDED;
	conn_reset(&s->conn);
}

static const struct http_stream_ops server_stream_ops = {
	.send = stream_send,
	.pull = stream_pull,
	.release = stream_release,
	.abort = stream_abort,
};

void h1_server_drain(struct h1_server *s)
{
	if (s->state == H1_SERVER_IDLE)
		h1_server_close(s);
}

void h1_server_close(struct h1_server *s)
{
	if (s->state == H1_SERVER_REQUEST && s->stream.owner) {
		die(s, ACCESS_CLIENT_CLOSED);
		return;
	}
	s->state = H1_SERVER_ENDED;
	conn_close(&s->conn);
}

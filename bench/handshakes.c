/* New TLS connections, one request on each, as fast as the peer takes them: the load of
 * the bench's rows tls-full and tls-resumed, and an independent TLS client (OpenSSL).
 *
 * Some connections at a time, in a closed loop on one thread. Each handshakes, asks once
 * with Connection: close, takes the answer and waits for the peer to end it; then its
 * place starts the next one. After the given time no place starts another, and what is
 * under way ends, so that every handshake has its request:
 *
 *   HANDSHAKING -> ASKING -> ANSWER_HEAD -> ANSWER_BODY -> ENDING -> HANDSHAKING ...
 *
 * Only TLS 1.3 with X25519 and AES-128-GCM is offered, and PSK only together with a key
 * exchange: a handshake that succeeds had these. Full handshakes are never offered a
 * ticket. Resumed ones are offered the newest that their place got; the first comes from
 * a connection ahead of the rest, which counts for nothing. Whether a handshake was
 * resumed is the peer's choice, so both kinds are counted, and the caller judges.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNECTIONS_MOST = 10000,
	HEAD_BYTES_MOST = 8192,
	REQUEST_BYTES_MOST = 1024,
	READ_BYTES = 65536,
	EVENTS_PER_TURN = 64,
	/* What takes longer than this is taken for an error. */
	TIMEOUT_S = 10,
};

#define NS_PER_S UINT64_C(1000000000)

enum state { HANDSHAKING, ASKING, ANSWER_HEAD, ANSWER_BODY, ENDING, IDLE };

/* What a connection failed at. */
static const char *const doing[] = {
	[HANDSHAKING] = "handshake", [ASKING] = "request", [ANSWER_HEAD] = "answer",
	[ANSWER_BODY] = "body",      [ENDING] = "end",
};

struct load;

/* One place: at most one connection at a time. */
struct conn {
	struct load *load;
	enum state state;
	int fd;              /* -1 in IDLE */
	SSL *ssl;            /* NULL in IDLE */
	SSL_SESSION *ticket; /* the newest; NULL without any */
	uint64_t started_ns; /* of this connection */
	uint64_t body_left;  /* in ANSWER_BODY */
	size_t head_len;     /* in ANSWER_HEAD */
	char head[HEAD_BYTES_MOST + 1];
};

struct counts {
	uint64_t requests, bytes, full, resumed, errors;
};

struct load {
	struct sockaddr_in peer;
	SSL_CTX *tls;
	bool resume;
	uint64_t body_bytes;
	char request[REQUEST_BYTES_MOST];
	int request_len;
	int epoll;
	unsigned open;     /* places that are not IDLE */
	uint64_t until_ns; /* no connection starts after this, or after an error */
	uint64_t last_ns;  /* when the last one ended */
	struct counts counts;
	char first_error[256];
	char buffer[READ_BYTES];
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "handshakes: %s%s%s\n", what, errno ? ": " : "",
		errno ? strerror(errno) : "");
	ERR_print_errors_fp(stderr);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- one connection ---- */

/* OpenSSL takes no session of TLS 1.3 twice, as the RFC advises. Places share the first
 * one, and a peer need not send another each time: so each connection gets a copy. */
static bool conn_offer_ticket(struct conn *c)
{
	SSL_SESSION *copy = SSL_SESSION_dup(c->ticket);
	bool done = copy && SSL_set_session(c->ssl, copy);

	SSL_SESSION_free(copy);
	return done;
}

static void conn_open(struct conn *c)
{
	const int one = 1;
	struct load *l = c->load;
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				    .data.ptr = c};

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	c->ssl = SSL_new(l->tls);
	if (c->fd < 0 || !c->ssl || !SSL_set_fd(c->ssl, c->fd) ||
	    !SSL_set_tlsext_host_name(c->ssl, "localhost") || !SSL_set1_host(c->ssl, "localhost") ||
	    (c->ticket && !conn_offer_ticket(c)))
		die("a new connection");
	SSL_set_app_data(c->ssl, c);
	SSL_set_connect_state(c->ssl);
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* A refusal shows at the first write, as any other end does. */
	if (connect(c->fd, (struct sockaddr *)&l->peer, sizeof(l->peer)) && errno != EINPROGRESS &&
	    errno != ECONNREFUSED)
		die("connect");
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event))
		die("epoll");
	c->state = HANDSHAKING;
	c->started_ns = now_ns();
	c->head_len = 0;
	l->open++;
}

static void conn_close(struct conn *c)
{
	/* Else OpenSSL takes the connection for broken and its ticket for spoiled. */
	SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	close(c->fd);
	c->ssl = NULL;
	c->fd = -1;
	c->state = IDLE;
	c->load->open--;
}

__attribute__((format(printf, 2, 3))) static void conn_fail(struct conn *c, const char *why, ...)
{
	struct load *l = c->load;
	va_list args;

	if (!l->counts.errors++) {
		va_start(args, why);
		vsnprintf(l->first_error, sizeof(l->first_error), why, args);
		va_end(args);
	}
	conn_close(c);
}

/* After a call of OpenSSL that did not go through: waits, or ends the connection. */
static void conn_stalled(struct conn *c, int ret)
{
	int err = errno;
	int kind = SSL_get_error(c->ssl, ret);
	unsigned long code = ERR_get_error();

	if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
		return;
	if (kind == SSL_ERROR_ZERO_RETURN)
		conn_fail(c, "%s: the peer ended the connection", doing[c->state]);
	else if (code)
		conn_fail(c, "%s: %s", doing[c->state], ERR_reason_error_string(code));
	else
		conn_fail(c, "%s: %s", doing[c->state], strerror(err));
	ERR_clear_error();
}

/* The value of a field in a head that ends with an empty line; NULL without it. */
static const char *field(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = head; (line = strstr(line, "\r\n"));) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1;
	}
	return NULL;
}

/* Takes what came; false when the connection failed by it. */
static bool conn_take(struct conn *c, const char *bytes, size_t len)
{
	const char *end, *length;
	size_t room = HEAD_BYTES_MOST - c->head_len;
	size_t n = len < room ? len : room;
	size_t before = c->head_len, body;

	if (c->state == ANSWER_HEAD) {
		memcpy(c->head + c->head_len, bytes, n);
		c->head_len += n;
		c->head[c->head_len] = '\0';
		end = strstr(c->head, "\r\n\r\n");
		if (!end && n == len)
			return true;
		if (!end || strncmp(c->head, "HTTP/1.1 200 ", 13) != 0) {
			conn_fail(c, "not an answer with 200: %.40s", c->head);
			return false;
		}
		length = field(c->head, "Content-Length");
		if (!length || strtoull(length, NULL, 10) != c->load->body_bytes) {
			conn_fail(c, "the answer's length is not %" PRIu64, c->load->body_bytes);
			return false;
		}
		c->body_left = c->load->body_bytes;
		c->state = ANSWER_BODY;
		body = (size_t)(end - c->head) + 4 - before;
		bytes += body;
		len -= body;
	}
	if (len > c->body_left) {
		conn_fail(c, "%zu bytes came after the body", len - (size_t)c->body_left);
		return false;
	}
	c->load->counts.bytes += len;
	c->body_left -= len;
	if (!c->body_left)
		c->state = ENDING;
	return true;
}

/* Goes as far as it goes without waiting. */
static void conn_advance(struct conn *c)
{
	struct load *l = c->load;
	int ret;

	for (;;) {
		errno = 0;
		switch (c->state) {
		case HANDSHAKING:
			ret = SSL_connect(c->ssl);
			if (ret != 1) {
				conn_stalled(c, ret);
				return;
			}
			if (SSL_session_reused(c->ssl))
				l->counts.resumed++;
			else
				l->counts.full++;
			c->state = ASKING;
			break;
		case ASKING:
			ret = SSL_write(c->ssl, l->request, l->request_len);
			if (ret <= 0) {
				conn_stalled(c, ret);
				return;
			}
			c->state = ANSWER_HEAD;
			break;
		case ANSWER_HEAD:
		case ANSWER_BODY:
			ret = SSL_read(c->ssl, l->buffer, sizeof(l->buffer));
			if (ret <= 0) {
				conn_stalled(c, ret);
				return;
			}
			if (!conn_take(c, l->buffer, (size_t)ret))
				return;
			break;
		case ENDING:
			ret = SSL_read(c->ssl, l->buffer, sizeof(l->buffer));
			if (ret > 0) {
				conn_fail(c, "bytes came after the body");
				return;
			}
			if (SSL_get_error(c->ssl, ret) != SSL_ERROR_ZERO_RETURN) {
				conn_stalled(c, ret);
				return;
			}
			l->counts.requests++;
			conn_close(c);
			return;
		case IDLE: return;
		}
	}
}

/* Tickets come with the answer or ahead of it. */
static int on_ticket(SSL *ssl, SSL_SESSION *ticket)
{
	struct conn *c = SSL_get_app_data(ssl);

	SSL_SESSION_free(c->ticket);
	c->ticket = ticket;
	return 1; /* it is ours now */
}

/* ---- all of them ---- */

static bool load_goes_on(const struct load *l, uint64_t now)
{
	return now < l->until_ns && !l->counts.errors;
}

static void load_time_out(struct conn *conns, unsigned n)
{
	uint64_t now = now_ns();

	for (unsigned i = 0; i < n; i++)
		if (conns[i].state != IDLE && now - conns[i].started_ns > TIMEOUT_S * NS_PER_S)
			conn_fail(&conns[i], "%s: nothing for %d s", doing[conns[i].state],
				  TIMEOUT_S);
}

/* Each place makes one connection, and another as long as there is time. */
static void load_run(struct load *l, struct conn *conns, unsigned n)
{
	struct epoll_event events[EVENTS_PER_TURN];
	uint64_t now = now_ns(), looked_ns = now;
	int ready;

	for (unsigned i = 0; i < n; i++)
		conn_open(&conns[i]);
	while (l->open) {
		ready = epoll_wait(l->epoll, events, EVENTS_PER_TURN, 1000);
		if (ready < 0 && errno != EINTR)
			die("epoll");
		now = now_ns();
		for (int i = 0; i < ready; i++) {
			struct conn *c = events[i].data.ptr;

			conn_advance(c);
			if (c->state == IDLE && load_goes_on(l, now))
				conn_open(c);
		}
		if (now - looked_ns > NS_PER_S) {
			load_time_out(conns, n);
			looked_ns = now;
		}
	}
	l->last_ns = now_ns();
}

/* The ticket that all places begin with. */
static void load_first_ticket(struct load *l, struct conn *conns, unsigned n)
{
	load_run(l, conns, 1);
	if (!l->counts.errors && !conns[0].ticket) {
		l->counts.errors = 1;
		snprintf(l->first_error, sizeof(l->first_error), "the peer gives no ticket");
	}
	if (l->counts.errors)
		return;
	for (unsigned i = 1; i < n; i++) {
		SSL_SESSION_up_ref(conns[0].ticket);
		conns[i].ticket = conns[0].ticket;
	}
	l->counts = (struct counts){0};
}

static SSL_CTX *client_tls(const char *ca, bool resume)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") ||
	    !SSL_CTX_set1_groups_list(tls, "X25519") || !SSL_CTX_load_verify_file(tls, ca))
		die(ca);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	/* The length says where an answer ends. */
	SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (resume) {
		SSL_CTX_set_session_cache_mode(tls,
					       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(tls, on_ticket);
	}
	return tls;
}

/* ---- command line ---- */

static _Noreturn void usage(FILE *to, int status)
{
	fprintf(to,
		"usage: handshakes --connect IPV4:PORT --ca FILE --kind full|resumed\n"
		"                  [--path PATH] [--body BYTES] [--connections N] [--seconds S]\n"
		"Opens TLS 1.3 connections, N (64) at a time, for S (5) seconds, with one GET of\n"
		"PATH (/) on each, whose body must have BYTES (0). Prints what it counted as\n"
		"JSON; 1 when something failed. FILE is the certificate to trust, for "
		"localhost.\n");
	exit(status);
}

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n > most) {
		fprintf(stderr, "handshakes: not a number up to %" PRIu64 ": %s\n", most, text);
		exit(2);
	}
	return n;
}

static struct sockaddr_in parse_address(const char *text)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN] = "";

	if (colon && (size_t)(colon - text) < sizeof(host))
		memcpy(host, text, (size_t)(colon - text));
	if (!colon || inet_pton(AF_INET, host, &a.sin_addr) != 1) {
		fprintf(stderr, "handshakes: an address is IPV4:PORT, not %s\n", text);
		exit(2);
	}
	a.sin_port = htons((uint16_t)number(colon + 1, UINT16_MAX));
	return a;
}

static void print_string(const char *text)
{
	putchar('"');
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			putchar('?');
		else
			putchar(*text);
	putchar('"');
}

static void print_counts(const struct load *l, uint64_t ns)
{
	const struct counts *n = &l->counts;

	printf("{\"requests\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"duration_us\": %" PRIu64
	       ", \"full\": %" PRIu64 ", \"resumed\": %" PRIu64 ", \"errors\": %" PRIu64
	       ", \"first_error\": ",
	       n->requests, n->bytes, ns / 1000, n->full, n->resumed, n->errors);
	print_string(l->first_error);
	printf("}\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"connect", required_argument, NULL, 't'},
		{"ca", required_argument, NULL, 'a'},
		{"kind", required_argument, NULL, 'k'},
		{"path", required_argument, NULL, 'p'},
		{"body", required_argument, NULL, 'b'},
		{"connections", required_argument, NULL, 'c'},
		{"seconds", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	static struct load l;
	const char *to = NULL, *ca = NULL, *kind = NULL, *path = "/";
	unsigned connections = 64;
	uint64_t seconds = 5, start;
	struct conn *conns;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 't': to = optarg; break;
		case 'a': ca = optarg; break;
		case 'k': kind = optarg; break;
		case 'p': path = optarg; break;
		case 'b': l.body_bytes = number(optarg, UINT64_MAX); break;
		case 'c': connections = (unsigned)number(optarg, CONNECTIONS_MOST); break;
		case 's': seconds = number(optarg, 86400); break;
		default: usage(c == 'h' ? stdout : stderr, c == 'h' ? 0 : 2);
		}
	}
	if (!to || !ca || !kind || (strcmp(kind, "full") && strcmp(kind, "resumed")) ||
	    !connections || optind != argc)
		usage(stderr, 2);
	l.request_len =
		snprintf(l.request, sizeof(l.request),
			 "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
	if (l.request_len >= (int)sizeof(l.request))
		usage(stderr, 2);
	l.peer = parse_address(to);
	l.resume = strcmp(kind, "resumed") == 0;
	/* Writes to a peer that is gone fail like any other. */
	signal(SIGPIPE, SIG_IGN);
	errno = 0;
	l.tls = client_tls(ca, l.resume);
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	conns = calloc(connections, sizeof(*conns));
	if (l.epoll < 0 || !conns)
		die("start");
	for (unsigned i = 0; i < connections; i++) {
		conns[i].load = &l;
		conns[i].fd = -1;
		conns[i].state = IDLE;
	}

	if (l.resume)
		load_first_ticket(&l, conns, connections);
	start = l.last_ns = now_ns();
	l.until_ns = start + seconds * NS_PER_S;
	if (!l.counts.errors)
		load_run(&l, conns, connections);
	print_counts(&l, l.last_ns - start);

	for (unsigned i = 0; i < connections; i++)
		SSL_SESSION_free(conns[i].ticket);
	free(conns);
	close(l.epoll);
	SSL_CTX_free(l.tls);
	return l.counts.errors ? 1 : 0;
}

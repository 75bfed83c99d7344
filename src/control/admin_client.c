#include "admin_client.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <ringway/base/clock.h>
#include <ringway/config/load.h>
#include <ringway/http1/parse.h>

/* A thousand limits with as many hot keys are half of it. */
#define ANSWER_MAX (1 * MIB)
#define FIELDS_MAX 64

static const struct h1_limits answer_limits = {
	.max_line_bytes = 4 * KIB,
	.max_head_bytes = 16 * KIB,
	.max_fields = FIELDS_MAX,
};

struct call {
	const struct command *command;
	struct arena arena;
	const char *socket;
	int fd;
	uint64_t due_ns;
	char *answer; /* head and body; ANSWER_MAX bytes of the arena */
	size_t answer_len;
};

static bool PRINTF(2, 3) say(const struct call *call, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "ringway %s: ", call->command->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return false;
}

/* ---- finding it ---- */

/* False: it contradicts itself, which was said. */
static bool where_is_good(const struct command *c, const struct admin_options *where)
{
	if (where->instance && where->socket)
		command_misused(c, "--instance and --socket say the same: one of them is enough");
	else if (where->instance && !config_instance_is_valid(span_str(where->instance)))
		command_misused(c, "`%s` is no name of an instance", where->instance);
	else
		return true;
	return false;
}

static bool find_socket(struct call *call, const struct admin_options *where)
{
	const char *instance = where->instance ? where->instance : "default";
	const char *tried[CONFIG_ADMIN_SOCKETS], *directories[CONFIG_ADMIN_SOCKETS];

	call->socket = where->socket;
	if (call->socket)
		return true;
	for (unsigned i = 0; i < CONFIG_ADMIN_SOCKETS; i++) {
		tried[i] = config_admin_socket(&call->arena, instance, i, &directories[i]);
		if (!tried[i])
			return say(call, "%s", strerror(ENOMEM));
		if (access(tried[i], F_OK) == 0) {
			call->socket = tried[i];
			return true;
		}
	}
	say(call, "instance `%s` is not running here: there is none of", instance);
	for (unsigned i = 0; i < CONFIG_ADMIN_SOCKETS; i++)
		if (access(directories[i], F_OK) == 0)
			fprintf(stderr, "  %s\n", tried[i]);
	fprintf(stderr, "--instance NAME asks another one, --socket PATH the one whose "
			"`admin.socket` is there\n");
	return false;
}

static bool say_connect_error(const struct call *call, int err)
{
	switch (err) {
	case ENOENT: return say(call, "%s is not there: is the gateway running?", call->socket);
	case ECONNREFUSED:
		return say(call, "nobody listens on %s: its process has ended", call->socket);
	case EACCES:
		return say(call, "%s: permission denied; it belongs to another user", call->socket);
	default: return say(call, "%s: %s", call->socket, strerror(err));
	}
}

static bool open_socket(struct call *call)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(call->socket);

	if (len >= sizeof(address.sun_path))
		return say(call, "%s: the path of a socket has at most %zu bytes", call->socket,
			   sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, call->socket, len);
	call->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (call->fd < 0)
		return say(call, "socket: %s", strerror(errno));
	if (connect(call->fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		return say_connect_error(call, errno);
	return true;
}

/* ---- talking ---- */

/* The next call on the socket may last until the whole is due. */
static bool set_time_left(const struct call *call, int option)
{
	uint64_t now = clock_monotonic_ns();
	uint64_t left = call->due_ns > now ? call->due_ns - now : 0;
	struct timeval tv = {.tv_sec = (time_t)(left / NS_PER_S),
			     .tv_usec = (suseconds_t)(left % NS_PER_S / NS_PER_US)};

	if (!tv.tv_sec && !tv.tv_usec)
		return false; /* 0 would be "for ever" */
	setsockopt(call->fd, SOL_SOCKET, option, &tv, sizeof(tv));
	return true;
}

static bool say_late(const struct call *call)
{
	return say(call, "%s: no answer in time", call->socket);
}

static bool send_request(struct call *call, const struct admin_request *r)
{
	const char *form = r->form ? r->form : "";
	struct span request = arena_printf(&call->arena,
					   "%s %s HTTP/1.1\r\n"
					   "Host: localhost\r\n"
					   "%s"
					   "Content-Length: %zu\r\n"
					   "Connection: close\r\n\r\n%s",
					   r->method, r->path,
					   r->form ? "Content-Type: "
						     "application/x-www-form-urlencoded\r\n"
						   : "",
					   strlen(form), form);

	if (!request.ptr)
		return say(call, "%s", strerror(ENOMEM));
	if (!set_time_left(call, SO_SNDTIMEO))
		return say_late(call);
	if (send(call->fd, request.ptr, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
		return say(call, "%s: %s", call->socket, strerror(errno));
	return true;
}

/* Until the peer closes, as we asked it to. */
static bool read_answer(struct call *call)
{
	for (;;) {
		ssize_t got;

		if (call->answer_len == ANSWER_MAX)
			return say(call, "%s: the answer is too long", call->socket);
		if (!set_time_left(call, SO_RCVTIMEO))
			return say_late(call);
		got = recv(call->fd, call->answer + call->answer_len, ANSWER_MAX - call->answer_len,
			   0);
		if (got == 0)
			return true;
		if (got > 0)
			call->answer_len += (size_t)got;
		else if (errno == EAGAIN)
			return say_late(call);
		else if (errno != EINTR)
			return say(call, "%s: %s", call->socket, strerror(errno));
	}
}

static json_t *parse_answer(struct call *call, enum http_method method, unsigned *ret_status)
{
	struct http_field fields[FIELDS_MAX];
	struct span in = span_of(call->answer, call->answer_len);
	struct h1_parser parser;
	struct http_head head;
	json_t *json = NULL;
	size_t used;

	h1_parser_init(&parser, &answer_limits, fields);
	if (h1_parse_response(&parser, in, method, &head, &used) == H1_PARSE_DONE &&
	    head.framing == HTTP_FRAMING_LENGTH && in.len - used == head.content_length) {
		json = json_loadb(in.ptr + used, in.len - used, 0, NULL);
		*ret_status = head.status;
	}
	if (json && json_is_object(json))
		return json;
	json_decref(json);
	say(call, "%s: the answer is none of ringway's", call->socket);
	return NULL;
}

json_t *admin_send(const struct command *c, const struct admin_options *options,
		   const struct admin_request *request, unsigned *ret_status)
{
	struct call call = {.command = c,
			    .fd = -1,
			    .due_ns = clock_monotonic_ns() + request->timeout_s * NS_PER_S};
	json_t *json = NULL;

	arena_init(&call.arena, NULL, 0, &arena_malloc_source);
	call.answer = arena_alloc(&call.arena, ANSWER_MAX);
	if (!call.answer)
		say(&call, "%s", strerror(ENOMEM));
	else if (find_socket(&call, options) && open_socket(&call) &&
		 send_request(&call, request) && read_answer(&call))
		json = parse_answer(&call, http_method_of(span_str(request->method)), ret_status);
	if (call.fd >= 0)
		close(call.fd);
	arena_reset(&call.arena);
	return json;
}

bool admin_read_arguments(const struct command *c, const struct argument *operands,
			  size_t operands_len, int len, char **arguments,
			  struct admin_options *ret_options, int *ret_exit)
{
	struct argument known[ADMIN_OPERANDS_MAX + 3];

	must(operands_len <= ADMIN_OPERANDS_MAX);
	*ret_options = (struct admin_options){NULL, NULL, false};
	for (size_t i = 0; i < operands_len; i++)
		known[i] = operands[i];
	known[operands_len] = (struct argument){.name = "--json", .flag = &ret_options->as_json};
	known[operands_len + 1] =
		(struct argument){.name = "--instance", .text = &ret_options->instance};
	known[operands_len + 2] =
		(struct argument){.name = "--socket", .text = &ret_options->socket};
	if (!command_read_arguments(c, known, operands_len + 3, len, arguments, ret_exit))
		return false;
	*ret_exit = COMMAND_USAGE;
	return where_is_good(c, ret_options);
}

json_t *admin_ask(const struct command *c, const struct admin_request *request, int len,
		  char **arguments, bool *ret_as_json, unsigned *ret_status, int *ret_exit)
{
	struct admin_options options;

	if (!admin_read_arguments(c, NULL, 0, len, arguments, &options, ret_exit))
		return NULL;
	*ret_as_json = options.as_json;
	*ret_exit = COMMAND_ERRORS;
	return admin_send(c, &options, request, ret_status);
}

void admin_print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

#include <sys/utsname.h>

#include <ringway/control/refusal.h>
#include <ringway/http1/parse.h>
#include <ringway/shard/uring.h>

#include "command.h"
#include "library_text.h"

static void print_words(const char *title, const char *const *words)
{
	printf("  %-11s", title);
	for (; *words; words++)
		printf(" %s", *words);
	putchar('\n');
}

static void print_tls(void)
{
	struct tls_library tls = tls_library();

	printf("  wolfSSL     ");
	library_print(&tls, stdout);
	putchar('\n');
	library_print_warnings(&tls, "              ", stdout);
	print_words("", tls.features);
	if (*tls.burdens) {
		printf("              built with what costs memory per connection:\n");
		print_words("", tls.burdens);
	}
}

static void print_io_uring(void)
{
	struct refusal_facts facts;
	char why[REFUSAL_TEXT_BYTES];
	int err = uring_probe();

	if (!err) {
		printf("  io_uring    usable\n");
		return;
	}
	refusal_read_facts("", -err, &facts);
	refusal_explain(&facts, why);
	printf("  io_uring    %s\n", why);
}

static int run(const struct command *c, int len, char **arguments)
{
	struct utsname kernel;
	int exit_code;

	if (!command_read_arguments(c, NULL, 0, len, arguments, &exit_code))
		return exit_code;
	printf("ringway %s\n", RINGWAY_VERSION);
	printf("  built with  %s\n", RINGWAY_BUILT_WITH);
	printf("  heads       %s\n", h1_scan_name());
	print_tls();
	if (uname(&kernel) == 0)
		printf("  kernel      %s %s\n", kernel.release, kernel.machine);
	print_io_uring();
	return COMMAND_GOOD;
}

const struct command command_version = {
	.name = "version",
	.summary = "version, libraries, and what this host offers",
	.help = "usage: ringway version\n"
		"\n"
		"Prints the version, the libraries it was built with, which vector code reads\n"
		"HTTP heads, the linked wolfSSL with its acceleration and features, the kernel,\n"
		"and whether io_uring can be used here: if not, what refuses it and how that is\n"
		"cured.\n",
	.run = run,
};

/* The table of crypto.sh: what the linked wolfSSL makes of this CPU. */
#include <stdio.h>
#include <string.h>

#include <ringway/base/base.h>
#include <ringway/tls/library.h>
#include <ringway/tls/measure.h>

enum {
	/* The best of several short runs is what the CPU can do: whatever else ran on it
	 * meanwhile only ever takes away. */
	RUNS = 9,
	RUN_MS = 2,
};

static int print_one(size_t i, const struct tls_measure *m)
{
	double per_second;
	int err = tls_measure_run(i, RUNS, RUN_MS * NS_PER_MS, &per_second);

	printf("%-18s", m->name);
	if (m->record_bytes)
		printf("%8u B", m->record_bytes);
	else
		printf("%10s", "-");
	if (err) {
		printf("  failed: %s\n", strerror(-err));
		return err;
	}
	printf("%12.0f", per_second);
	if (m->record_bytes)
		printf("%10.3f", per_second * m->record_bytes / 1e9);
	else
		printf("%10s", "-");
	printf("%11.3f\n", 1e6 / per_second);
	return 0;
}

int main(int argc, char **argv UNUSED)
{
	struct tls_library library = tls_library();
	const struct tls_measure *m;
	int failed = 0;

	if (argc > 1) {
		fprintf(stderr, "usage: crypto\nTakes no arguments; bench/README.md says what it "
				"prints.\n");
		return 2;
	}
	printf("wolfSSL %s, assembler: AES %s, hashes and ChaCha20 %s, keys %s\n\n",
	       library.version, library.has_aes_asm && library.cpu_has_aes ? "yes" : "no",
	       library.has_hash_asm ? "yes" : "no", library.has_key_asm ? "yes" : "no");
	printf("%-18s%10s%12s%10s%11s\n", "", "record", "per second", "GB/s", "us each");
	for (size_t i = 0; (m = tls_measure_entry(i)); i++)
		if (print_one(i, m))
			failed = 1;
	return failed;
}

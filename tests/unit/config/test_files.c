#include "expect.h"

/* The files of the documented configuration against what is built: each key that is
 * not is refused by name at its place, and nothing else is said. A key that gets built
 * leaves its table here. */
struct refusal {
	unsigned line, column;
	const char *path;
	const char *word; /* the key or value that is refused; NULL: the message says it */
	const char *message;
	enum config_severity severity;
};

static const struct refusal of_the_real_file[] = {
	{10, 5, "services.svg-parser", "health"},
	{12, 5, "services.svg-parser", "retries"},
	{17, 9, "services.svg-parser.routes[0]", "auth"},
	{24, 5, "services.cmms-service", "health"},
	{26, 5, "services.cmms-service", "retries"},
	{31, 9, "services.cmms-service.routes[0]", "auth"},
	{36, 5, "services.database-infra", "health"},
	{38, 5, "services.database-infra", "retries"},
	{43, 9, "services.database-infra.routes[0]", "auth"},
	{45, 1, "", "auth"},
	{52, 3, "rate_limit", "authenticated"},
	{53, 3, "rate_limit", "admin"},
	{56, 3, "monitoring", "health_check_interval"},
	{57, 3, "monitoring", "circuit_breaker"},
};

static const struct refusal of_the_superset[] = {
	{11, 3, "runtime", "steering"},
	{12, 3, "runtime", "tune_plan"},
	{22, 14, "listeners[0].tls.alpn[0]", "h2"},
	/* The file shows all keys at once, some of which need another value of a neighbour. */
	{24, 7, "listeners[0].tls", NULL, "`client_ca` is not used: `client_auth` is `none`",
	 CONFIG_WARNING},
	{25, 7, "listeners[0].tls", NULL, "`crl` is not used: `client_auth` is `none`",
	 CONFIG_WARNING},
	{36, 39, "services.api.targets[0]", "weight"},
	{37, 40, "services.api.targets[1]", "backup"},
	{38, 15, "services.api.targets[2].url", NULL,
	 "`unix:/run/app.sock`: unix: targets are not supported yet"},
	{39, 5, "services.api", "discovery"},
	{40, 5, "services.api", "slow_start"},
	{41, 5, "services.api", "panic"},
	{46, 5, "services.api", "sticky"},
	{47, 5, "services.api", "health"},
	{48, 5, "services.api", "outlier"},
	{49, 5, "services.api", "circuit_breaker"},
	{50, 5, "services.api", "concurrency"},
	{52, 48, "services.api.retry.on[1]", "502"},
	{52, 53, "services.api.retry.on[2]", "503"},
	{52, 58, "services.api.retry.on[3]", "504"},
	{52, 63, "services.api.retry.on[4]", "reset"},
	{52, 71, "services.api.retry", "budget"},
	{52, 84, "services.api.retry", "backoff"},
	{58, 9, "services.api.routes[0]", "headers"},
	{59, 9, "services.api.routes[0]", "query"},
	{60, 9, "services.api.routes[0]", "cookies"},
	{61, 9, "services.api.routes[0]", "version"},
	{62, 9, "services.api.routes[0]", "upgrade"},
	{63, 9, "services.api.routes[0]", "grpc_web"},
	{64, 9, "services.api.routes[0]", "stream_idle"},
	{65, 9, "services.api.routes[0]", "priority"},
	{66, 9, "services.api.routes[0]", "rewrite"},
	{67, 9, "services.api.routes[0]", "split"},
	{68, 9, "services.api.routes[0]", "mirror"},
	{69, 9, "services.api.routes[0]", "auth"},
	{71, 9, "services.api.routes[0]", "cors"},
	{72, 9, "services.api.routes[0]", "headers_out"},
	{73, 9, "services.api.routes[0]", "cache"},
	{74, 9, "services.api.routes[0]", "compress"},
	{84, 18, "limits.per-key.key", "consumer"},
	{89, 1, "", "consumers"},
	{91, 1, "", "ip"},
	{92, 1, "", "cors"},
	{93, 1, "", "security_headers"},
	{94, 42, "admin", "address"},
	{95, 1, "", "explain"},
	{96, 1, "", "cluster"},
	{97, 1, "", "store"},
	{98, 1, "", "tracing"},
};

static void expect_refusal(const struct config_issue *issue, const struct refusal *wanted)
{
	char message[100];

	if (wanted->word)
		snprintf(message, sizeof(message), "`%s` is not supported yet", wanted->word);
	else
		snprintf(message, sizeof(message), "%s", wanted->message);
	assert_int_equal(issue->severity, wanted->severity);
	if (issue->place.line != wanted->line || issue->place.column != wanted->column ||
	    strcmp(issue->path, wanted->path) != 0 || strcmp(issue->message, message) != 0)
		fail_msg("%u:%u: %s: %s; wanted %u:%u: %s: %s", issue->place.line,
			 issue->place.column, issue->path, issue->message, wanted->line,
			 wanted->column, wanted->path, message);
	if (!wanted->word)
		return;
	/* What is underlined is the word, whole. */
	assert_int_equal(issue->width, strlen(wanted->word));
	assert_memory_equal(issue->source_line + issue->place.column - 1, wanted->word,
			    issue->width);
}

static void expect_refusals(const char *path, const struct refusal *table, size_t len)
{
	struct config *config = NULL;
	struct config_report report;
	size_t warnings = 0;

	assert_int_equal(config_load(path, &config, &report), -EINVAL);
	assert_null(config);
	for (size_t i = 0; i < report.issues_len && i < len; i++)
		expect_refusal(&report.issues[i], &table[i]);
	for (size_t i = 0; i < len; i++)
		warnings += table[i].severity == CONFIG_WARNING;
	assert_int_equal(report.issues_len, len);
	assert_int_equal(report.errors, len - warnings);
	assert_int_equal(report.warnings, warnings);
	config_report_fini(&report);
}

/* Its secret is below a key that is refused: whether it is set must not matter. */
static void the_real_file_is_refused_for_what_is_not_built_only(void **state UNUSED)
{
	unsetenv("JWT_SECRET");
	expect_refusals(TREE "/configs/arx-gateway.yaml", of_the_real_file,
			ARRAY_LEN(of_the_real_file));
	setenv("JWT_SECRET", "short", 1);
	expect_refusals(TREE "/configs/arx-gateway.yaml", of_the_real_file,
			ARRAY_LEN(of_the_real_file));
}

static void every_documented_key_is_known(void **state UNUSED)
{
	expect_refusals(TREE "/tests/unit/config/superset.yaml", of_the_superset,
			ARRAY_LEN(of_the_superset));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_real_file_is_refused_for_what_is_not_built_only),
		cmocka_unit_test(every_documented_key_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

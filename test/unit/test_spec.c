#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/strbuf.h"
#include "libprober/spec.h"

static struct problems *problems;
static struct probe_spec *spec;

static int begin(void **state)
{
    (void)state;
    spec = NULL;
    return problems_create(&problems);
}

static int end(void **state)
{
    (void)state;
    probe_spec_destroy(spec);
    problems_destroy(problems);
    return 0;
}

static void given_spec(const char *text)
{
    if (probe_spec_read_text(&spec, "p.yaml", text, strlen(text), problems))
        fail_msg("%s", problems_text(problems, 0));
    assert_int_equal(problems_count(problems), 0);
}

/* Reads a file of one ICMP entry with the target "a" and these further lines. */
static const struct icmp_spec *given_icmp(const char *block)
{
    char text[512];

    end(NULL);
    begin(NULL);
    snprintf(text, sizeof(text), "prober_configs:\n- prober_type: icmp\n  targets: [a]\n%s", block);
    given_spec(text);
    return &spec->entries[0].icmp;
}

static void expect_problem(const char *text, const char *told)
{
    end(NULL);
    begin(NULL);
    assert_int_equal(probe_spec_read_text(&spec, "p.yaml", text, strlen(text), problems),
                     PROBER_ERR_SYNTAX);
    assert_null(spec);
    if (!strstr(problems_text(problems, 0), told) || problems_count(problems) != 1)
        fail_msg("%s\nwas told (%zu): %s", text, problems_count(problems),
                 problems_text(problems, 0));
}

static void the_originals_sample_file_loads(void **state)
{
    (void)state;
    given_spec("prober_configs:\n"
               "  - prober_type: http\n"
               "    region: project-01\n"
               "    http:\n"
               "      valid_status_codes:\n"
               "      - 200\n"
               "      - 201\n"
               "      method: GET\n"
               "      headers:\n"
               "        Accept: text/html,application/xml;q=0.9,image/webp,*/*;q=0.8\n"
               "      fail_if_body_matches_regexp:\n"
               "      - text.*\n"
               "    targets:\n"
               "      - http://www.baidu.com\n"
               "      - www.ladjflajfl.ccc\n"
               "  - prober_type: http\n"
               "    region: cn-chengdu\n"
               "    targets:\n"
               "      - www.taobao.com\n"
               "  - prober_type: icmp\n"
               "    region: cn-hangzhou\n"
               "    targets:\n"
               "      - 180.101.49.12\n"
               "      - 8.8.8.8\n"
               "  - prober_type: icmp\n"
               "    region: cn-shanghai\n"
               "    targets:\n"
               "      - 8.8.8.8\n");
    assert_int_equal(spec->count, 4);
    assert_int_equal(spec->entries[0].kind, PROBE_HTTP);
    assert_string_equal(spec->entries[0].region, "project-01");
    assert_string_equal(spec->entries[0].targets[0], "http://www.baidu.com");
    assert_int_equal(spec->entries[0].http->valid_status_codes.items[1], 201);
    assert_string_equal(spec->entries[0].http->headers.items[0].name, "Accept");
    assert_string_equal(spec->entries[0].http->fail_if_body_matches_regexp.items[0], "text.*");
    assert_int_equal(spec->entries[1].http->valid_status_codes.count, 0);
    assert_null(spec->entries[2].http);
    assert_int_equal(spec->entries[2].kind, PROBE_ICMP);
    assert_int_equal(spec->entries[2].target_count, 2);
    assert_string_equal(spec->entries[2].targets[1], "8.8.8.8");
    assert_int_equal(spec->entries[2].line, 20);
}

static void an_icmp_entry_without_settings_has_the_defaults(void **state)
{
    const struct icmp_spec *icmp = given_icmp("");

    (void)state;
    assert_int_equal(icmp->payload_size, 64);
    assert_int_equal(icmp->packet_count, 64);
    assert_int_equal(icmp->interval_ns, 0);
    assert_int_equal(icmp->timeout_ns, 0);
    assert_int_equal(icmp->family, PROBER_FAMILY_IPV4);
}

static void icmp_settings_are_read(void **state)
{
    const struct icmp_spec *icmp =
        given_icmp("  icmp:\n    payload_size: 24\n    packet_count: 0x10\n    interval: 15ms\n"
                   "    timeout: 1.5s\n    preferred_ip_protocol: ip6\n");

    (void)state;
    assert_int_equal(icmp->payload_size, 24);
    assert_int_equal(icmp->packet_count, 16);
    assert_true(icmp->interval_ns == 15 * CLOCK_NS_PER_MS);
    assert_true(icmp->timeout_ns == 1500 * CLOCK_NS_PER_MS);
    assert_int_equal(icmp->family, PROBER_FAMILY_IPV6);
}

static void the_timeout_of_an_icmp_entry_is_that_of_its_block_or_its_own(void **state)
{
    (void)state;
    given_icmp("  timeout: 700ms\n  source_regions: [eu]\n");
    assert_true(spec->entries[0].icmp.timeout_ns == 700 * CLOCK_NS_PER_MS);
    assert_true(probe_entry_takes_source(&spec->entries[0], "eu"));
    assert_false(probe_entry_takes_source(&spec->entries[0], "us"));
    given_icmp("  timeout: 700ms\n  icmp: {timeout: 2s}\n");
    assert_true(spec->entries[0].icmp.timeout_ns == 2 * CLOCK_NS_PER_S);
    given_icmp("  icmp: {payload_size: 56}\n  timeout: 300ms\n");
    assert_true(spec->entries[0].icmp.timeout_ns == 300 * CLOCK_NS_PER_MS);
}

static void counts_that_are_not_above_zero_stand_for_the_default(void **state)
{
    const struct icmp_spec *icmp = given_icmp("  icmp: {payload_size: 0, packet_count: -5}\n");

    (void)state;
    assert_int_equal(icmp->payload_size, 64);
    assert_int_equal(icmp->packet_count, 64);
}

static void settings_without_a_value_keep_the_default(void **state)
{
    const struct icmp_spec *icmp =
        given_icmp("  region:\n  icmp:\n    payload_size:\n    interval:\n");

    (void)state;
    assert_int_equal(icmp->payload_size, 64);
    assert_string_equal(spec->entries[0].region, "");
    given_icmp("  region: ~\n  icmp:\n  http: ~\n");
    assert_string_equal(spec->entries[0].region, "");
}

static void an_entry_may_have_no_region_and_several_may_share_one(void **state)
{
    (void)state;
    given_spec("prober_configs:\n"
               "- {prober_type: icmp, targets: [a]}\n"
               "- {prober_type: icmp, region: r, targets: [b]}\n"
               "- {prober_type: icmp, region: r, targets: [c]}\n");
    assert_int_equal(spec->count, 3);
    assert_string_equal(spec->entries[0].region, "");
    assert_string_equal(spec->entries[1].targets[0], "b");
    assert_string_equal(spec->entries[2].targets[0], "c");
}

static void a_target_that_stands_twice_is_kept_once_in_its_first_place(void **state)
{
    (void)state;
    given_spec("prober_configs:\n"
               "- {prober_type: icmp, targets: [c, a, b, a, c, a, d]}\n");
    assert_int_equal(spec->entries[0].target_count, 4);
    assert_string_equal(spec->entries[0].targets[0], "c");
    assert_string_equal(spec->entries[0].targets[1], "a");
    assert_string_equal(spec->entries[0].targets[2], "b");
    assert_string_equal(spec->entries[0].targets[3], "d");
}

static void a_file_without_entries_is_an_empty_spec(void **state)
{
    static const char *const texts[] = {"", "prober_configs:\n", "prober_configs: []\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        end(NULL);
        begin(NULL);
        given_spec(texts[i]);
        assert_int_equal(spec->count, 0);
    }
}

static void each_fault_is_told_with_file_line_and_key(void **state)
{
#define ENTRY(more) "prober_configs:\n- prober_type: icmp\n  targets: [a]\n" more
#define HTTP(more) "prober_configs:\n- prober_type: http\n  targets: [a]\n" more
    static const char *const cases[][2] = {
        {"- a\n", "p.yaml:1: expected the key prober_configs"},
        {"probes: []\n", "p.yaml:1:probes: unknown key; expected prober_configs"},
        {"prober_configs: {a: 1}\n", "p.yaml:1:prober_configs: expected a list"},
        {"prober_configs:\n- icmp\n", "p.yaml:2:prober_configs[0]: expected a mapping"},
        {"prober_configs:\n- targets: [a]\n",
         "p.yaml:2:prober_configs[0].prober_type: expected icmp or http"},
        {"prober_configs:\n- prober_type: tcp\n", "prober_configs[0].prober_type: expected icmp"},
        {"prober_configs:\n- prober_type: [icmp]\n", "prober_type: expected icmp or http"},
        {"prober_configs:\n- prober_type: icmp\n",
         "p.yaml:2:prober_configs[0].targets: an entry needs targets"},
        {"prober_configs:\n- prober_type: icmp\n  targets:\n", "expected a list of one or more"},
        {"prober_configs:\n- prober_type: icmp\n  targets: a\n", "expected a list of one or more"},
        {"prober_configs:\n- prober_type: icmp\n  targets: []\n", "expected a list of one or more"},
        {"prober_configs:\n- prober_type: icmp\n  targets:\n  - a\n  - ''\n",
         "p.yaml:5:prober_configs[0].targets: an empty target"},
        {"prober_configs:\n- prober_type: icmp\n  targets: [a, ]\n  targetz: 1\n",
         "p.yaml:4:prober_configs[0].targetz: unknown key; known are"},
        {"prober_configs:\n- prober_type: icmp\n  targets:\n  -\n", "an empty target"},
        {"prober_configs:\n- prober_type: icmp\n  targets: [[a]]\n", "a target must be a text"},
        {"prober_configs:\n- prober_type: icmp\n  targets: [a b]\n", "no blanks"},
        {"prober_configs:\n- prober_type: icmp\n  targets: [\"a\\nb\"]\n", "no blanks"},
        {"prober_configs:\n- prober_type: icmp\n  targets: [\"a\\0b\"]\n", "no blanks"},
        {"prober_configs:\n- prober_type: icmp\n  targets: ['http://a']\n",
         "without scheme, port or path: 'http://a'"},
        {"prober_configs:\n- prober_type: icmp\n  targets: ['a:80']\n", "without scheme"},
        {ENTRY("  region: [x]\n"), "p.yaml:4:prober_configs[0].region: expected a name"},
        {ENTRY("  region: \"a\\nb\"\n"), "no control characters"},
        {ENTRY("  icmp: fast\n"), "p.yaml:4:prober_configs[0].icmp: expected a mapping"},
        {ENTRY("  http: {method: GET}\n"), "for entries whose prober_type is http"},
        {ENTRY("  icmp:\n    ttl: 3\n"), "p.yaml:5:prober_configs[0].icmp.ttl: unknown key"},
        {ENTRY("  icmp: {payload_size: 23}\n"),
         "p.yaml:4:prober_configs[0].icmp.payload_size: must be at least 24, got 23"},
        {ENTRY("  icmp: {payload_size: 1}\n"), "must be at least 24, got 1"},
        {ENTRY("  icmp: {payload_size: 65001}\n"), "must be at most 65000"},
        {ENTRY("  icmp: {payload_size: 99999999999999999999}\n"), "must be at most 65000"},
        {ENTRY("  icmp: {payload_size: big}\n"), "expected a whole number"},
        {ENTRY("  icmp: {packet_count: 65536}\n"), "must be at most 65535"},
        {ENTRY("  icmp: {packet_count: '3'}\n"), "expected a whole number"},
        {ENTRY("  icmp: {interval: 15}\n"), "icmp.interval: expected a duration"},
        {ENTRY("  icmp: {interval: [1s]}\n"), "icmp.interval: expected a duration"},
        {ENTRY("  icmp: {interval: 61m}\n"), "icmp.interval: must be at most 1h"},
        {ENTRY("  icmp: {interval: 999y}\n"), "icmp.interval: must be at most 1h"},
        {ENTRY("  icmp: {timeout: 61s}\n"), "icmp.timeout: must be at most 1m"},
        {ENTRY("  icmp: {preferred_ip_protocol: ipv4}\n"), "expected ip4 or ip6"},
        {ENTRY("  targets: [b]\n"), "p.yaml:4:targets: this key stands twice"},
        {"prober_configs:\n- prober_type: http\n  targets: [a]\n  http: GET\n",
         "prober_configs[0].http: expected a mapping"},
        {"prober_configs:\n- prober_type: http\n  targets: [a]\n  icmp: {interval: 1s}\n",
         "for entries whose prober_type is icmp"},
        {ENTRY("  source_regions: []\n"), "source_regions: expected a list of 1 to 1000"},
        {ENTRY("  timeout: 61s\n"), "p.yaml:4:prober_configs[0].timeout: must be at most 1m"},
        {ENTRY("  name: {a: b}\n"), "p.yaml:4:prober_configs[0].name: expected a name"},
        {HTTP("  timeout: 5\n"), "p.yaml:4:prober_configs[0].timeout: expected a duration"},
        {HTTP("  timeout: 61m\n"), "prober_configs[0].timeout: must be at most 1h"},
        {HTTP("  source_regions: eu\n"), "source_regions: expected a list of 1 to 1000"},
        {HTTP("  source_regions: []\n"), "source_regions: expected a list of 1 to 1000"},
        {HTTP("  source_regions: [eu, ~]\n"), "source_regions[1]: expected a name"},
        {HTTP("  source_regions:\n  - eu\n  - '=~:['\n"),
         "p.yaml:6:prober_configs[0].source_regions[1]: not a regular expression: missing ]"},
        {HTTP("  source_regions: ['=~a)|(b']\n"), "not a regular expression"},
        {HTTP("  http:\n    method: GET\n    mathod: GET\n"),
         "p.yaml:6:prober_configs[0].http.mathod: unknown key"},
        {HTTP("  http:\n    tls_config:\n      min_version: TLS9\n"),
         "p.yaml:6:prober_configs[0].http.tls_config.min_version: expected TLS10"},
    };
#undef ENTRY
#undef HTTP

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_problem(cases[i][0], cases[i][1]);
}

static void all_faults_of_all_entries_are_told_at_once(void **state)
{
    static const char text[] =
        "prober_configs:\n"
        "- {prober_type: icmp, targets: [a], icmp: {payload_size: 5, x: 1}}\n"
        "- {prober_type: dns, targets: [a]}\n"
        "- {prober_type: icmp, region: eu}\n";

    (void)state;
    assert_int_equal(probe_spec_read_text(&spec, "p.yaml", text, strlen(text), problems),
                     PROBER_ERR_SYNTAX);
    assert_int_equal(problems_count(problems), 4);
    assert_non_null(strstr(problems_text(problems, 3), "p.yaml:4:prober_configs[2].targets"));
}

static void addresses_of_both_families_are_icmp_targets(void **state)
{
    (void)state;
    given_spec("prober_configs:\n- {prober_type: icmp, targets: [192.0.2.1, '2001:db8::1', "
               "'::1', example.org]}\n");
    assert_int_equal(spec->entries[0].target_count, 4);
}

static void a_target_or_region_over_its_limit_is_refused(void **state)
{
    struct strbuf text = STRBUF_INIT;

    (void)state;
    for (size_t len = PROBE_SPEC_TARGET_MAX; len <= PROBE_SPEC_TARGET_MAX + 1; len++) {
        strbuf_clear(&text);
        strbuf_puts(&text, "prober_configs:\n- prober_type: http\n  targets: [");
        for (size_t i = 0; i < len; i++)
            strbuf_putc(&text, 'a');
        strbuf_puts(&text, "]\n");
        if (len == PROBE_SPEC_TARGET_MAX)
            given_spec(text.bytes);
        else
            expect_problem(text.bytes, "a target of more than 2048 bytes");
    }
    strbuf_clear(&text);
    strbuf_printf(&text, "prober_configs:\n- prober_type: icmp\n  targets: [a]\n  region: %0129d\n",
                  0);
    expect_problem(text.bytes, "at most 128 bytes");
    strbuf_free(&text);
}

static void targets_are_bounded_over_all_entries(void **state)
{
    struct strbuf text = STRBUF_INIT;

    (void)state;
    strbuf_puts(&text, "prober_configs:\n");
    for (int entry = 0; entry < 2; entry++) {
        strbuf_puts(&text, "- prober_type: icmp\n  targets:\n");
        for (int i = 0; i < PROBE_SPEC_TARGETS_MAX / 2; i++)
            strbuf_printf(&text, "  - h%d.%d\n", entry, i);
    }
    given_spec(text.bytes);
    assert_int_equal(spec->entries[1].target_count, PROBE_SPEC_TARGETS_MAX / 2);
    strbuf_puts(&text, "  - one.more\n");
    expect_problem(text.bytes, "prober_configs[1].targets: more than 200000 targets");
    strbuf_free(&text);
}

static void a_file_is_read_by_its_path(void **state)
{
    char path[] = "/tmp/test_spec.XXXXXX";
    static const char text[] = "prober_configs:\n- {prober_type: icmp, targets: [a]}\n";

    (void)state;
    close(mkstemp(path));
    assert_int_equal(file_replace(path, text, strlen(text), 0600, NULL), PROBER_OK);
    assert_int_equal(probe_spec_read_file(&spec, path, problems), PROBER_OK);
    assert_int_equal(spec->count, 1);
    unlink(path);
    probe_spec_destroy(spec);
    spec = NULL;
    assert_int_equal(probe_spec_read_file(&spec, path, problems), PROBER_ERR_NOT_FOUND);
    assert_null(spec);
}

static const struct probe_entry *given_http(const char *more)
{
    char text[512];

    end(NULL);
    begin(NULL);
    snprintf(text, sizeof(text), "prober_configs:\n- prober_type: http\n%s", more);
    given_spec(text);
    return &spec->entries[0];
}

static void an_http_entry_has_a_name_a_timeout_and_its_settings(void **state)
{
    const struct probe_entry *entry = given_http("  name: shop\n  timeout: 1500ms\n  http:\n"
                                                 "    method: HEAD\n  targets: [a.test]\n");

    (void)state;
    assert_string_equal(entry->name, "shop");
    assert_true(entry->timeout_ns == 1500 * CLOCK_NS_PER_MS);
    assert_string_equal(entry->http->method, "HEAD");
    entry = given_http("  name:\n  timeout:\n  http:\n  source_regions:\n  targets: [a.test]\n");
    assert_string_equal(entry->name, "");
    assert_true(entry->timeout_ns == 0);
    assert_string_equal(entry->http->method, "GET");
}

static void the_single_regexp_of_the_originals_manual_is_taken(void **state)
{
    (void)state;
    given_http("  http: {fail_if_body_matches_regexp: text.*}\n  targets: [a]\n");
    assert_string_equal(spec->entries[0].http->fail_if_body_matches_regexp.items[0], "text.*");
}

static void a_target_that_may_hold_a_password_is_not_quoted(void **state)
{
    (void)state;
    expect_problem("prober_configs:\n- prober_type: http\n  targets: ['http://u:hush@a b/']\n",
                   "no control characters");
    assert_null(strstr(problems_text(problems, 0), "hush"));
}

static void sources_are_names_or_regexps_of_whole_names(void **state)
{
    const struct probe_entry *entry =
        given_http("  source_regions: [eu, '=~us-.*|ap']\n  targets: [a]\n");

    (void)state;
    assert_int_equal(entry->source_count, 2);
    assert_string_equal(entry->sources[1].text, "=~us-.*|ap");
    assert_true(probe_entry_takes_source(entry, "eu"));
    assert_true(probe_entry_takes_source(entry, "us-1"));
    assert_true(probe_entry_takes_source(entry, "ap"));
    assert_false(probe_entry_takes_source(entry, "eu-1"));
    assert_false(probe_entry_takes_source(entry, "apx"));
    assert_false(probe_entry_takes_source(entry, "us"));
    assert_true(probe_entry_takes_source(given_http("  targets: [a]\n"), "anything"));
}

static void an_entry_with_secrets_in_block_or_target_is_confidential(void **state)
{
    (void)state;
    assert_false(probe_entry_is_confidential(given_http("  targets: ['http://a/@b', a]\n")));
    assert_true(probe_entry_is_confidential(given_http("  targets: [a, 'http://u:p@a/']\n")));
    assert_true(probe_entry_is_confidential(given_http("  targets: ['u:p@a/']\n")));
    assert_true(
        probe_entry_is_confidential(given_http("  http: {body_file: f}\n  targets: [a]\n")));
    given_icmp("");
    assert_false(probe_entry_is_confidential(&spec->entries[0]));
}

static void a_dumped_spec_has_the_defaults_and_no_secrets_and_reads_back(void **state)
{
    struct strbuf first = STRBUF_INIT, second = STRBUF_INIT;

    (void)state;
    given_http("  name: n\n  timeout: 5s\n  source_regions: [eu]\n  http: {bearer_token: hush}\n"
               "  targets: ['http://u:hush@a/', b]\n"
               "- {prober_type: icmp, targets: [c], icmp: {timeout: 1s}}\n");
    probe_spec_put(&first, spec);
    assert_null(strstr(first.bytes, "hush"));
    assert_non_null(strstr(first.bytes, "  timeout: 5s\n"));
    assert_non_null(strstr(first.bytes, "\n    \"method\": \"GET\",\n"));
    assert_non_null(strstr(first.bytes, "\n    \"follow_redirects\": true,\n"));
    assert_non_null(strstr(first.bytes, "  targets:\n  - \"http://a/\"\n  - \"b\"\n"));
    assert_non_null(strstr(first.bytes, "    payload_size: 64\n"));
    end(NULL);
    begin(NULL);
    given_spec(first.bytes);
    probe_spec_put(&second, spec);
    assert_string_equal(first.bytes, second.bytes);
    strbuf_free(&first);
    strbuf_free(&second);
    end(NULL);
    begin(NULL);
    given_spec("");
    probe_spec_put(&second, spec);
    assert_string_equal(second.bytes, "prober_configs: []\n");
    strbuf_free(&second);
}

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(probe_kind_name(PROBE_ICMP), "icmp");
    assert_string_equal(probe_kind_name(PROBE_HTTP), "http");
    assert_string_equal(probe_kind_name(PROBE_KIND_COUNT), "unknown");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_originals_sample_file_loads),
        TEST(an_icmp_entry_without_settings_has_the_defaults),
        TEST(icmp_settings_are_read),
        TEST(the_timeout_of_an_icmp_entry_is_that_of_its_block_or_its_own),
        TEST(counts_that_are_not_above_zero_stand_for_the_default),
        TEST(settings_without_a_value_keep_the_default),
        TEST(an_entry_may_have_no_region_and_several_may_share_one),
        TEST(a_target_that_stands_twice_is_kept_once_in_its_first_place),
        TEST(a_file_without_entries_is_an_empty_spec),
        TEST(each_fault_is_told_with_file_line_and_key),
        TEST(all_faults_of_all_entries_are_told_at_once),
        TEST(addresses_of_both_families_are_icmp_targets),
        TEST(a_target_or_region_over_its_limit_is_refused),
        TEST(targets_are_bounded_over_all_entries),
        TEST(a_file_is_read_by_its_path),
        TEST(an_http_entry_has_a_name_a_timeout_and_its_settings),
        TEST(the_single_regexp_of_the_originals_manual_is_taken),
        TEST(a_target_that_may_hold_a_password_is_not_quoted),
        TEST(sources_are_names_or_regexps_of_whole_names),
        TEST(an_entry_with_secrets_in_block_or_target_is_confidential),
        TEST(a_dumped_spec_has_the_defaults_and_no_secrets_and_reads_back),
        TEST(kinds_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/options.h"

struct settings {
    char *config;
    bool help, version, upgrade, self;
    char *region, *token, *once;
    int64_t level, any;
    uint64_t interval_ns, upgrade_ns, spool;
    int discovery;
    struct option_list networks;
};

static const char *const discoveries[] = {"static", "dynamic", NULL};

#define AT(member) offsetof(struct settings, member)
static const struct option table[] = {
    {.name = "config",
     .type = OPTION_STRING,
     .offset = AT(config),
     .group = "General",
     .argument = "file",
     .flags = OPTION_NO_FILE,
     .help = "A file."},
    {.name = "h",
     .type = OPTION_BOOL,
     .offset = AT(help),
     .group = "General",
     .flags = OPTION_NO_FILE,
     .help = "Show this help."},
    {.name = "help",
     .type = OPTION_BOOL,
     .offset = AT(help),
     .group = "General",
     .flags = OPTION_NO_FILE,
     .help = "Show this help."},
    {.name = "v",
     .type = OPTION_BOOL,
     .offset = AT(version),
     .group = "General",
     .flags = OPTION_NO_FILE,
     .help = "Show the version."},
    {.name = "agent.region",
     .type = OPTION_STRING,
     .offset = AT(region),
     .group = "Agent",
     .fallback = "cn-shanghai",
     .help = "The region."},
    {.name = "agent.probe.interval",
     .type = OPTION_DURATION,
     .offset = AT(interval_ns),
     .group = "Agent",
     .fallback = "15s",
     .min = 100000000,
     .max = INT64_C(3600000000000),
     .help = "How often to probe every target, with a text so long that it has to be broken into "
             "more than one line, and a last word."},
    {.name = "log.level",
     .type = OPTION_INT,
     .offset = AT(level),
     .group = "General",
     .fallback = "3",
     .min = 0,
     .max = 6,
     .argument = "0-6",
     .help = "The level."},
    {.name = "agent.upgrade",
     .type = OPTION_BOOL,
     .offset = AT(upgrade),
     .group = "Agent",
     .help = "Upgrade."},
    {.name = "agent.upgrade.interval",
     .type = OPTION_DURATION,
     .offset = AT(upgrade_ns),
     .group = "Agent",
     .fallback = "1m",
     .help = "How often."},
    {.name = "agent.icmp.network-type",
     .type = OPTION_CHOICE,
     .offset = AT(discovery),
     .group = "Agent",
     .fallback = "dynamic",
     .choices = discoveries,
     .help = "Which."},
    {.name = "agent.spool.size",
     .type = OPTION_SIZE,
     .offset = AT(spool),
     .group = "Agent",
     .fallback = "64MB",
     .help = "How much."},
    {.name = "agent.networks",
     .type = OPTION_LIST,
     .offset = AT(networks),
     .group = "Agent",
     .help = "Where."},
    {.name = "agent.token",
     .type = OPTION_SECRET,
     .offset = AT(token),
     .group = "Agent",
     .help = "A secret."},
    {.name = "agent.once",
     .type = OPTION_SECRET,
     .offset = AT(once),
     .group = "Agent",
     .help = "A secret that is read late.",
     .flags = OPTION_READ_LATE},
    {.name = "probe.self",
     .type = OPTION_BOOL,
     .offset = AT(self),
     .fallback = "true",
     .help = "Self."},
    {.name = "any", .type = OPTION_INT, .offset = AT(any), .help = "Any number."},
};

static struct settings settings;
static struct problems *problems;
static char file[64];
static char *words[32], *variables[32];
static size_t word_count, variable_count;

static int begin(void **state)
{
    (void)state;
    memset(&settings, 0, sizeof(settings));
    word_count = variable_count = 0;
    file[0] = '\0';
    return problems_create(&problems);
}

static int end(void **state)
{
    (void)state;
    options_free(table, ARRAY_LEN(table), &settings);
    problems_destroy(problems);
    for (size_t i = 0; i < word_count; i++)
        free(words[i]);
    for (size_t i = 0; i < variable_count; i++)
        free(variables[i]);
    if (*file)
        unlink(file);
    return 0;
}

static void given_word(const char *word)
{
    words[word_count++] = strdup(word);
}

static void given_words(const char *line)
{
    char *copy = strdup(line), *rest;

    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        given_word(word);
    free(copy);
}

static void given_variable(const char *text)
{
    variables[variable_count++] = strdup(text);
    variables[variable_count] = NULL;
}

static void given_file(const char *text)
{
    strcpy(file, "/tmp/test_options.XXXXXX");
    close(mkstemp(file));
    assert_int_equal(file_replace(file, text, strlen(text), 0600, NULL), PROBER_OK);
    given_word("-config");
    given_word(file);
}

static enum prober_error load(void)
{
    return options_load(&(struct options_source){table, ARRAY_LEN(table), &settings,
                                                 (int)word_count, words,
                                                 variable_count ? variables : NULL, "config"},
                        problems);
}

static void expect_loaded(void)
{
    if (load() != PROBER_OK)
        fail_msg("%s", problems_text(problems, 0));
}

/* Expects exactly these problems, in any part of whose texts these words stand. */
static void expect_problems(size_t count, const char *const *told)
{
    assert_int_equal(load(), PROBER_ERR_SYNTAX);
    for (size_t i = 0; i < problems_count(problems); i++)
        if (i >= count || !strstr(problems_text(problems, i), told[i]))
            fail_msg("problem %zu: %s", i, problems_text(problems, i));
    assert_int_equal(problems_count(problems), count);
}

#define EXPECT_PROBLEMS(...)                                                                       \
    do {                                                                                           \
        const char *const told[] = {__VA_ARGS__};                                                  \
        expect_problems(ARRAY_LEN(told), told);                                                    \
    } while (0)

static void without_sources_the_defaults_hold(void **state)
{
    (void)state;
    expect_loaded();
    assert_string_equal(settings.config, "");
    assert_string_equal(settings.region, "cn-shanghai");
    assert_string_equal(settings.token, "");
    assert_int_equal(settings.level, 3);
    assert_int_equal(settings.any, 0);
    assert_true(settings.interval_ns == 15 * CLOCK_NS_PER_S);
    assert_true(settings.upgrade_ns == 60 * CLOCK_NS_PER_S);
    assert_true(settings.spool == 64u << 20);
    assert_int_equal(settings.discovery, 1);
    assert_false(settings.help || settings.version || settings.upgrade);
    assert_true(settings.self);
    assert_int_equal(settings.networks.count, 0);
}

static void flags_take_one_or_two_dashes_and_a_value_after_a_blank_or_an_equals_sign(void **state)
{
    (void)state;
    given_words("-agent.region eu --log.level=0x5 -agent.probe.interval=1m30s --agent.spool.size "
                "1KiB -agent.icmp.network-type static -any=-7 -agent.networks=10.0.0.0/8,");
    given_word("-agent.token=a=b c");
    expect_loaded();
    assert_string_equal(settings.region, "eu");
    assert_int_equal(settings.level, 5);
    assert_true(settings.interval_ns == 90 * CLOCK_NS_PER_S);
    assert_true(settings.spool == 1024);
    assert_int_equal(settings.discovery, 0);
    assert_int_equal(settings.any, -7);
    assert_int_equal(settings.networks.count, 1);
    assert_string_equal(settings.networks.items[0], "10.0.0.0/8");
    assert_string_equal(settings.token, "a=b c");
}

static void a_bool_flag_stands_alone_or_has_an_equals_sign(void **state)
{
    (void)state;
    given_words("-h -agent.upgrade=T --probe.self=FALSE -v=1");
    expect_loaded();
    assert_true(settings.help);
    assert_true(settings.upgrade);
    assert_false(settings.self);
    assert_true(settings.version);
}

static void two_names_of_one_setting_do_not_undo_each_other(void **state)
{
    (void)state;
    given_words("--help");
    expect_loaded();
    assert_true(settings.help);
}

static void a_value_may_look_like_a_flag_or_be_empty(void **state)
{
    (void)state;
    given_words("-agent.region -v -agent.token=");
    expect_loaded();
    assert_string_equal(settings.region, "-v");
    assert_string_equal(settings.token, "");
    assert_false(settings.version);
}

static void the_last_of_a_repeated_flag_wins(void **state)
{
    (void)state;
    given_words("-agent.region a -agent.networks x,y -agent.region=b -agent.networks z -any 1 "
                "--any 2");
    expect_loaded();
    assert_string_equal(settings.region, "b");
    assert_int_equal(settings.networks.count, 1);
    assert_string_equal(settings.networks.items[0], "z");
    assert_int_equal(settings.any, 2);
}

static void an_unknown_flag_is_told_with_the_nearest_known_one(void **state)
{
    (void)state;
    given_words("-agent.icmp.netowrk-type=static -region=x -zzz --agent.probe.intervall=1s -x -h2 "
                "-agent.regio=x ---v -=1");
    EXPECT_PROBLEMS("-agent.icmp.netowrk-type: unknown flag; did you mean "
                    "-agent.icmp.network-type?",
                    "-region: unknown flag; did you mean -agent.region?", "-zzz: unknown flag",
                    "-agent.probe.intervall: unknown flag; did you mean -agent.probe.interval?",
                    "-x: unknown flag", "-h2: unknown flag", "did you mean -agent.region?",
                    "--v: unknown flag", "-: unknown flag");
    assert_string_equal(problems_text(problems, 2), "-zzz: unknown flag");
}

static void the_value_of_an_unknown_flag_is_not_told_apart(void **state)
{
    (void)state;
    given_words("-agent.regoin eu -zzz=1 eu");
    EXPECT_PROBLEMS("-agent.regoin: unknown flag", "-zzz: unknown flag", "stray word 'eu'");
}

static void stray_words_are_errors(void **state)
{
    (void)state;
    given_words("start -agent.upgrade false -v=true true - -agent.region eu");
    EXPECT_PROBLEMS("stray word 'start'", "write -agent.upgrade=false", "stray word 'true': flags",
                    "stray word '-'");
    assert_string_equal(settings.region, "eu");
}

static void after_two_dashes_all_words_are_stray(void **state)
{
    (void)state;
    given_words("-any 1 -- -any 2");
    EXPECT_PROBLEMS("stray word '-any'", "stray word '2'");
    assert_int_equal(settings.any, 1);
}

static void two_dashes_at_the_end_are_fine(void **state)
{
    (void)state;
    given_words("-any 1 --");
    expect_loaded();
    assert_int_equal(settings.any, 1);
}

static void a_flag_without_its_value_is_told(void **state)
{
    (void)state;
    given_words("-agent.region");
    EXPECT_PROBLEMS("-agent.region: needs a value");
}

static void every_malformed_value_is_told_and_says_what_is_wanted(void **state)
{
    (void)state;
    given_words("-any 010 -any=1.5 -any= -log.level 7 -log.level=-1 -any 99999999999999999999 "
                "-agent.probe.interval 15 -agent.probe.interval 1ms -agent.probe.interval 2h "
                "-agent.upgrade.interval=300y -agent.upgrade=maybe -agent.spool.size 10mb "
                "-agent.spool.size 99999999999TB -agent.icmp.network-type=both");
    EXPECT_PROBLEMS("-any: expected an integer", "-any: expected an integer",
                    "-any: expected an integer (decimal, 0x, 0o or 0b), got ''",
                    "-log.level: must be from 0 to 6, got 7", "must be from 0 to 6, got -1",
                    "-any: does not fit 64 bits", "-agent.probe.interval: expected a duration such",
                    "must be from 100ms to 1h, got 1ms", "must be from 100ms to 1h, got 2h",
                    "longer than 292 years", "-agent.upgrade: expected true or false, got 'maybe'",
                    "-agent.spool.size: expected a size", "-agent.spool.size: does not fit",
                    "-agent.icmp.network-type: expected static or dynamic, got 'both'");
}

static void flags_go_before_environment_before_file_before_default(void **state)
{
    (void)state;
    given_file("agent.region: file\nlog.level: 1\nany: 1\nprobe.self: false\n");
    given_variable("PROBERMESH_AGENT_REGION=environment");
    given_variable("PROBERMESH_LOG_LEVEL=2");
    given_words("-agent.region flag");
    expect_loaded();
    assert_string_equal(settings.region, "flag");
    assert_int_equal(settings.level, 2);
    assert_int_equal(settings.any, 1);
    assert_false(settings.self);
    assert_true(settings.interval_ns == 15 * CLOCK_NS_PER_S);
}

static void a_variable_has_underscores_for_dots_and_dashes(void **state)
{
    (void)state;
    given_variable("PROBERMESH_AGENT_ICMP_NETWORK_TYPE=static");
    given_variable("PROBERMESH_AGENT_UPGRADE=1");
    given_variable("PROBERMESH_AGENT_NETWORKS= a , b,,c ");
    given_variable("PROBERMESH_SERVER_PROBE_FILE=of another daemon");
    given_variable("PROBERMESH_ANYTHING");
    given_variable("PROBERMESH_AGENT_REGION=");
    expect_loaded();
    assert_int_equal(settings.discovery, 0);
    assert_true(settings.upgrade);
    assert_int_equal(settings.networks.count, 3);
    assert_string_equal(settings.networks.items[0], "a");
    assert_string_equal(settings.networks.items[2], "c");
    assert_string_equal(settings.region, "cn-shanghai");
}

static void a_malformed_variable_is_told_by_its_name_even_if_a_flag_goes_before_it(void **state)
{
    (void)state;
    given_variable("PROBERMESH_ANY=x");
    given_words("-any 5");
    EXPECT_PROBLEMS("PROBERMESH_ANY: expected an integer");
    assert_int_equal(settings.any, 5);
}

static void the_environment_can_name_the_file_and_a_flag_another(void **state)
{
    char text[128];

    (void)state;
    given_file("any: 7\n");
    snprintf(text, sizeof(text), "PROBERMESH_CONFIG=%s", file);
    given_variable(text);
    free(words[--word_count]);
    free(words[--word_count]);
    expect_loaded();
    assert_int_equal(settings.any, 7);
    given_words("-config /dev/null");
    options_free(table, ARRAY_LEN(table), &settings);
    expect_loaded();
    assert_int_equal(settings.any, 0);
}

static void keys_are_nested_or_dotted(void **state)
{
    (void)state;
    given_file("agent:\n"
               "  region: eu\n"
               "  probe: {interval: 5s}\n"
               "  upgrade: true\n"
               "  upgrade.interval: 2m\n"
               "  icmp.network-type: static\n"
               "  networks:\n"
               "    - 10.0.0.0/8\n"
               "    - '::1'\n"
               "  spool:\n"
               "log: {level: 0x2}\n"
               "any:\n");
    expect_loaded();
    assert_string_equal(settings.region, "eu");
    assert_true(settings.interval_ns == 5 * CLOCK_NS_PER_S);
    assert_true(settings.upgrade);
    assert_true(settings.upgrade_ns == 120 * CLOCK_NS_PER_S);
    assert_int_equal(settings.discovery, 0);
    assert_int_equal(settings.networks.count, 2);
    assert_string_equal(settings.networks.items[1], "::1");
    assert_int_equal(settings.level, 2);
}

static void a_key_may_be_a_setting_and_hold_further_ones(void **state)
{
    (void)state;
    given_file("agent:\n  upgrade:\n    interval: 3m\n");
    expect_loaded();
    assert_false(settings.upgrade);
    assert_true(settings.upgrade_ns == 180 * CLOCK_NS_PER_S);
}

static void every_fault_of_a_file_is_told_with_file_line_and_key(void **state)
{
    (void)state;
    given_file("agent.regoin: x\n"
               "log.level: 9\n"
               "agent: 5\n"
               "config: x\n"
               "probe.self: 'true'\n"
               "any: \"1\"\n"
               "agent.spool.size: many\n"
               "agent.networks: {a: 1}\n"
               "zzz: 1\n"
               "agent.region: [1]\n"
               "agent.token: \"a\\0b\"\n"
               "agent.upgrade: yes\n"
               "log.level.x: 1\n");
    EXPECT_PROBLEMS(
        ":1:agent.regoin: unknown key; did you mean agent.region?",
        ":2:log.level: must be from 0 to 6, got 9", ":3:agent: expected a mapping of further keys",
        ":4:config: this setting cannot be in a file",
        ":5:probe.self: expected true or false without quotes",
        ":6:any: expected an integer without quotes", ":7:agent.spool.size: expected a size",
        ":8:agent.networks: expected a list", ":9:zzz: unknown key",
        ":10:agent.region: expected one value, not a list", ":11:agent.token: a NUL character",
        ":12:agent.upgrade: expected true or false, got 'yes'", ":13:log.level.x: unknown key");
    assert_int_equal(strncmp(problems_text(problems, 0), file, strlen(file)), 0);
}

static void a_setting_that_stands_twice_in_different_forms_is_told(void **state)
{
    (void)state;
    given_file("agent:\n  region: a\nagent.region: b\n");
    EXPECT_PROBLEMS(":3:agent.region: this setting stands twice, first in line 2");
    assert_string_equal(settings.region, "a");
}

static void a_list_of_something_else_is_told_with_the_line_of_the_item(void **state)
{
    (void)state;
    given_file("agent.networks:\n  - a\n  - [b]\n  - {c: d}\n");
    EXPECT_PROBLEMS(":3:agent.networks: expected a list of texts", ":4:agent.networks: expected");
}

static void a_missing_or_broken_file_is_told_beside_the_other_faults(void **state)
{
    (void)state;
    given_words("-config /nonexistent/x.yaml -any x");
    EXPECT_PROBLEMS("cannot open /nonexistent/x.yaml", "-any: expected");
}

static void a_file_that_is_no_mapping_is_told(void **state)
{
    (void)state;
    given_file("- a\n- b\n");
    EXPECT_PROBLEMS(":1: expected a mapping of settings");
}

static void a_secret_can_be_in_a_file_of_its_own(void **state)
{
    char text[128];

    (void)state;
    given_file("");
    assert_int_equal(file_replace(file, "s3cret\n", 7, 0600, NULL), PROBER_OK);
    free(words[--word_count]);
    free(words[--word_count]);
    snprintf(text, sizeof(text), "-agent.token=@%s", file);
    given_word(text);
    expect_loaded();
    assert_string_equal(settings.token, "s3cret");
}

static void a_secret_that_is_overridden_is_not_read(void **state)
{
    (void)state;
    given_words("-agent.token=@/nonexistent -agent.token=x");
    expect_loaded();
    assert_string_equal(settings.token, "x");
}

static void a_secret_file_that_is_missing_or_empty_is_told(void **state)
{
    (void)state;
    given_words("-agent.token=@/nonexistent");
    EXPECT_PROBLEMS("agent.token: cannot open /nonexistent");
    problems_destroy(problems);
    problems_create(&problems);
    options_free(table, ARRAY_LEN(table), &settings);
    given_words("-agent.token=@/dev/null");
    EXPECT_PROBLEMS("agent.token: /dev/null holds no secret");
}

static void a_secret_that_is_read_late_stays_as_it_was_given(void **state)
{
    struct prober_failure why;
    char text[128], *read = NULL;

    (void)state;
    given_words("-agent.once=@/nonexistent");
    expect_loaded();
    assert_string_equal(settings.once, "@/nonexistent");
    assert_int_equal(options_read_secret(settings.once, &read, &why), PROBER_ERR_NOT_FOUND);
    assert_int_equal(options_read_secret("@/dev/null", &read, &why), PROBER_ERR_SYNTAX);
    given_file("");
    assert_int_equal(file_replace(file, "s3cret\r\n", 8, 0600, NULL), PROBER_OK);
    snprintf(text, sizeof(text), "@%s", file);
    assert_int_equal(options_read_secret(text, &read, &why), PROBER_OK);
    assert_string_equal(read, "s3cret");
    free(read);
    assert_int_equal(options_read_secret("word", &read, &why), PROBER_OK);
    assert_string_equal(read, "word");
    free(read);
}

static char *printed(void (*print)(FILE *))
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    print(out);
    fclose(out);
    return text;
}

static void print_help(FILE *out)
{
    options_help(table, ARRAY_LEN(table), out);
}

static void print_dump(FILE *out)
{
    options_dump(table, ARRAY_LEN(table), &settings, out);
}

static void the_help_stands_in_groups_and_shows_defaults(void **state)
{
    char *text = printed(print_help), *rest;

    (void)state;
    assert_int_equal(strncmp(text,
                             "General:\n"
                             "  -config file\n"
                             "        A file.\n"
                             "  -h\n"
                             "        Show this help.\n",
                             60),
                     0);
    assert_non_null(strstr(text, "  -log.level 0-6\n        The level. (default 3)\n\nAgent:\n"
                                 "  -agent.region string\n"
                                 "        The region. (default cn-shanghai)\n"));
    assert_non_null(strstr(text, "  -agent.icmp.network-type static|dynamic\n"
                                 "        Which. (default dynamic)\n"));
    assert_non_null(strstr(text, "\nFlags:\n  -probe.self\n        Self. (default true)\n"));
    assert_non_null(strstr(text, "  -agent.token secret\n        A secret.\n"));
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        assert_true(strlen(line) <= 80);
    free(text);
}

static void dumped_settings_read_back_as_themselves_without_the_secret(void **state)
{
    char *first, *second;

    (void)state;
    given_words("-agent.region=a\"b:\\-#x -log.level 6 -any=-5 -agent.probe.interval 1.5s "
                "-agent.spool.size 3KB -agent.icmp.network-type static -agent.upgrade "
                "-probe.self=false");
    given_word("-agent.networks=a b,c: d,{e},#f");
    given_word("-agent.token=s3cret");
    expect_loaded();
    first = printed(print_dump);
    assert_null(strstr(first, "s3cret"));
    assert_non_null(strstr(first, "# agent.token: (set, not shown)\n"));
    assert_null(strstr(first, "config:"));
    assert_non_null(strstr(first, "agent.probe.interval: 1.5s\n"));
    end(NULL);
    begin(NULL);
    given_file(first);
    given_word("-agent.token=s3cret");
    expect_loaded();
    second = printed(print_dump);
    assert_string_equal(first, second);
    assert_string_equal(settings.region, "a\"b:\\-#x");
    assert_int_equal(settings.networks.count, 4);
    free(first);
    free(second);
}

static void settings_differ_in_the_options_that_were_given_other_values(void **state)
{
    static const char *const given[] = {
        "-agent.region=x",     "-agent.probe.interval=1s", "-log.level=4",
        "-agent.upgrade",      "-agent.networks=a,c",      "-agent.icmp.network-type=static",
        "-agent.spool.size=1", "-agent.token=t",           "-any=-1"};
    struct settings others = {0};
    struct options_source source = {
        .table = table, .count = ARRAY_LEN(table), .settings = &others};
    char *own[ARRAY_LEN(given)];
    size_t differing = 0;

    (void)state;
    given_word("-agent.networks=a,b");
    expect_loaded();
    for (size_t i = 0; i < ARRAY_LEN(given); i++)
        own[i] = strdup(given[i]);
    source.argc = (int)ARRAY_LEN(own);
    source.argv = own;
    assert_int_equal(options_load(&source, problems), PROBER_OK);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        assert_false(options_differ(&table[i], &settings, &settings));
        differing += options_differ(&table[i], &settings, &others);
    }
    assert_int_equal(differing, ARRAY_LEN(given));
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        free(own[i]);
    options_free(table, ARRAY_LEN(table), &others);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_sources_the_defaults_hold),
        TEST(flags_take_one_or_two_dashes_and_a_value_after_a_blank_or_an_equals_sign),
        TEST(a_bool_flag_stands_alone_or_has_an_equals_sign),
        TEST(two_names_of_one_setting_do_not_undo_each_other),
        TEST(a_value_may_look_like_a_flag_or_be_empty),
        TEST(the_last_of_a_repeated_flag_wins),
        TEST(an_unknown_flag_is_told_with_the_nearest_known_one),
        TEST(the_value_of_an_unknown_flag_is_not_told_apart),
        TEST(stray_words_are_errors),
        TEST(after_two_dashes_all_words_are_stray),
        TEST(two_dashes_at_the_end_are_fine),
        TEST(a_flag_without_its_value_is_told),
        TEST(every_malformed_value_is_told_and_says_what_is_wanted),
        TEST(flags_go_before_environment_before_file_before_default),
        TEST(a_variable_has_underscores_for_dots_and_dashes),
        TEST(a_malformed_variable_is_told_by_its_name_even_if_a_flag_goes_before_it),
        TEST(the_environment_can_name_the_file_and_a_flag_another),
        TEST(keys_are_nested_or_dotted),
        TEST(a_key_may_be_a_setting_and_hold_further_ones),
        TEST(every_fault_of_a_file_is_told_with_file_line_and_key),
        TEST(a_setting_that_stands_twice_in_different_forms_is_told),
        TEST(a_list_of_something_else_is_told_with_the_line_of_the_item),
        TEST(a_missing_or_broken_file_is_told_beside_the_other_faults),
        TEST(a_file_that_is_no_mapping_is_told),
        TEST(a_secret_can_be_in_a_file_of_its_own),
        TEST(a_secret_that_is_overridden_is_not_read),
        TEST(a_secret_file_that_is_missing_or_empty_is_told),
        TEST(a_secret_that_is_read_late_stays_as_it_was_given),
        TEST(the_help_stands_in_groups_and_shows_defaults),
        TEST(dumped_settings_read_back_as_themselves_without_the_secret),
        TEST(settings_differ_in_the_options_that_were_given_other_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

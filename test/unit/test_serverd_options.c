#include "test/unit/unit.h"

#include <stdbool.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "serverd/options.h"

#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)

static enum prober_error load(struct serverd_settings *settings, struct problems *problems,
                              const char *const *words)
{
    char *argv[16];
    int argc = 0;

    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    memset(settings, 0, sizeof(*settings));
    return serverd_settings_load(settings, argc, argv, NULL, problems);
}

static struct serverd_settings given_settings(const char *const *words)
{
    struct serverd_settings settings;
    struct problems *problems;

    assert_int_equal(problems_create(&problems), PROBER_OK);
    if (load(&settings, problems, words))
        fail_msg("%s", problems_text(problems, 0));
    problems_destroy(problems);
    return settings;
}

static void assert_refused(const char *const *words, enum prober_error expected, const char *says)
{
    struct serverd_settings settings;
    struct problems *problems;

    assert_int_equal(problems_create(&problems), PROBER_OK);
    assert_int_equal(load(&settings, problems, words), expected);
    assert_true(problems_count(problems) > 0);
    if (!strstr(problems_text(problems, 0), says))
        fail_msg("'%s' does not say '%s'", problems_text(problems, 0), says);
    problems_destroy(problems);
    serverd_settings_free(&settings);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void the_defaults_are_those_of_the_original(void **state)
{
    struct serverd_settings s = given_settings(&(const char *){NULL});

    (void)state;
    assert_string_equal(s.http_listen, "localhost:6001");
    assert_string_equal(s.rpc_listen, "localhost:6000");
    assert_int_equal(s.discovery, SERVERD_DISCOVERY_DYNAMIC);
    assert_int_equal(s.aggregation_interval_ns, S(15));
    assert_int_equal(s.series_cache_ratio, 5);
    assert_false(s.probe_self);
    assert_false(s.task);
    assert_string_equal(s.task_meta_dir, "./task_meta/");
    assert_string_equal(s.state_dir, "/var/lib/probermesh/server");
    assert_int_equal(s.log_level, 3);
    assert_int_equal(s.plain, SERVERD_PLAIN_ACCEPT);
    serverd_settings_free(&s);
}

static void the_originals_command_line_works_as_it_stands(void **state)
{
    struct serverd_settings s = given_settings(
        WORDS("-server.rpc.listen.addr", "0.0.0.0:6000", "-server.http.listen.addr=:6001",
              "--server.aggregation.interval", "1m30s", "-server.probe.self",
              "-server.icmp.discovery", "dynamic", "-server.series.cache.ratio", "0"));

    (void)state;
    assert_string_equal(s.rpc_listen, "0.0.0.0:6000");
    assert_string_equal(s.http_listen, ":6001");
    assert_int_equal(s.aggregation_interval_ns, S(90));
    assert_true(s.probe_self);
    serverd_settings_free(&s);
}

static void what_cannot_work_is_told_with_its_option(void **state)
{
    (void)state;
    assert_refused(WORDS("-server.icmp.discovery", "dynamik"), PROBER_ERR_SYNTAX,
                   "server.icmp.discovery");
    assert_refused(WORDS("-server.icmp.discovery", "static"), PROBER_ERR_STATE,
                   "-server.probe.file");
    assert_refused(WORDS("-server.http.listen.addr", "nonsense"), PROBER_ERR_STATE,
                   "server.http.listen.addr");
    assert_refused(WORDS("-server.rpc.listen.addr", "host:99999"), PROBER_ERR_STATE,
                   "server.rpc.listen.addr: 'host:99999': port 99999 is above 65535");
    assert_refused(WORDS("-server.plain.networks", "10.0.0.0/8,wrong"), PROBER_ERR_STATE, "wrong");
    assert_refused(WORDS("-server.aggregation.interval", "1.5.5s"), PROBER_ERR_SYNTAX,
                   "server.aggregation.interval");
    assert_refused(WORDS("-server.aggregation.interval", "0"), PROBER_ERR_SYNTAX,
                   "server.aggregation.interval");
    assert_refused(WORDS("-server.plain", "maybe"), PROBER_ERR_SYNTAX, "server.plain");
    assert_refused(WORDS("-server.state.dir", ""), PROBER_ERR_STATE, "server.state.dir");
    assert_refused(WORDS("-no.such.flag", "1"), PROBER_ERR_SYNTAX, "no.such.flag");
    assert_refused(WORDS("stray"), PROBER_ERR_SYNTAX, "stray");
}

static void an_agent_lives_for_ratio_times_interval_even_when_series_never_go(void **state)
{
    struct serverd_settings s = {.aggregation_interval_ns = S(15), .series_cache_ratio = 4};

    (void)state;
    assert_int_equal(serverd_alive_ns(&s), S(60));
    s.series_cache_ratio = 0;
    assert_int_equal(serverd_alive_ns(&s), S(75));
    s.series_cache_ratio = -1;
    assert_int_equal(serverd_alive_ns(&s), S(75));
}

static void agents_call_often_enough_to_be_alive(void **state)
{
    struct serverd_settings s = {.aggregation_interval_ns = S(15), .series_cache_ratio = 5};

    (void)state;
    assert_int_equal(serverd_heartbeat_ns(&s), S(10));
    s.aggregation_interval_ns = S(3);
    assert_int_equal(serverd_heartbeat_ns(&s), S(5));
    s.series_cache_ratio = 1;
    s.aggregation_interval_ns = S(1) / 10;
    assert_int_equal(serverd_alive_ns(&s), S(3));
    assert_int_equal(serverd_heartbeat_ns(&s), S(1));
}

static void each_option_is_there_once_and_has_a_help(void **state)
{
    (void)state;
    for (size_t i = 0; i < serverd_options_count; i++) {
        assert_true(strlen(serverd_options[i].help) > 10);
        assert_non_null(serverd_options[i].group);
        assert_ptr_equal(
            options_find(serverd_options, serverd_options_count, serverd_options[i].name),
            &serverd_options[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_the_original),
        cmocka_unit_test(the_originals_command_line_works_as_it_stands),
        cmocka_unit_test(what_cannot_work_is_told_with_its_option),
        cmocka_unit_test(an_agent_lives_for_ratio_times_interval_even_when_series_never_go),
        cmocka_unit_test(agents_call_often_enough_to_be_alive),
        cmocka_unit_test(each_option_is_there_once_and_has_a_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/options.h"
#include "common/join_token.h"
#include "agentd/task_command.h"

struct loaded {
    struct agentd_settings settings;
    struct problems *problems;
    enum prober_error err;
};

static struct loaded load(const char *const *argv)
{
    struct loaded l = {0};
    int argc = 0;

    while (argv[argc])
        argc++;
    assert_int_equal(problems_create(&l.problems), PROBER_OK);
    l.err = agentd_settings_load(&l.settings, argc, (char *const *)argv, NULL, l.problems);
    return l;
}

static void unload(struct loaded *l)
{
    agentd_settings_free(&l->settings);
    problems_destroy(l->problems);
}

static void the_defaults_are_those_of_the_original(void **state)
{
    struct loaded l = load((const char *[]){NULL});

    (void)state;
    assert_int_equal(l.err, PROBER_OK);
    assert_int_equal(l.settings.probe_interval_ns, UINT64_C(15000000000));
    assert_int_equal(l.settings.sync_interval_ns, UINT64_C(60000000000));
    assert_string_equal(l.settings.report_addr, "localhost:6000");
    assert_string_equal(l.settings.region, "");
    assert_int_equal(l.settings.network_type, AGENTD_INTRANET);
    assert_int_equal(l.settings.log_level, 3);
    assert_false(l.settings.upgrade);
    assert_string_equal(l.settings.state_dir, "/var/lib/probermesh/agent");
    unload(&l);
}

static void what_is_run_is_the_allowlist_unless_more_is_said(void **state)
{
    struct loaded l = load((const char *[]){NULL});

    (void)state;
    assert_int_equal(l.settings.task, TASK_POLICY_ALLOWLIST);
    assert_int_equal(l.settings.task_output, 1 << 20);
    unload(&l);
    l = load((const char *[]){"-agent.task", "shell", NULL});
    assert_int_equal(l.settings.task, TASK_POLICY_SHELL);
    unload(&l);
    l = load((const char *[]){"-agent.task", "off", NULL});
    assert_int_equal(l.settings.task, TASK_POLICY_OFF);
    unload(&l);
}

static void the_timeout_is_worked_out_of_the_interval(void **state)
{
    struct loaded l = load((const char *[]){NULL});

    (void)state;
    assert_int_equal(l.settings.icmp_timeout_ns, UINT64_C(3000000000));
    assert_int_equal(l.settings.http_timeout_ns, UINT64_C(12000000000));
    unload(&l);
    l = load((const char *[]){"-agent.probe.interval", "2s", NULL});
    assert_int_equal(l.settings.icmp_timeout_ns, UINT64_C(1600000000));
    assert_int_equal(l.settings.http_timeout_ns, UINT64_C(1600000000));
    unload(&l);
    l = load((const char *[]){"-agent.icmp.timeout=700ms", "-agent.http.timeout=15s", NULL});
    assert_int_equal(l.settings.http_timeout_ns, UINT64_C(15000000000));
    assert_int_equal(l.settings.icmp_timeout_ns, UINT64_C(700000000));
    unload(&l);
}

static void the_original_s_command_line_is_taken(void **state)
{
    struct loaded l = load((const char *[]){"--agent.region=cn-beijing", "-agent.probe.interval",
                                            "15s", "-agent.icmp.network-type=public",
                                            "-agent.upgrade", "-agent.upgrade.interval", "1m",
                                            "--agent.rpc.report.addr", "10.0.0.1:6000", NULL});

    (void)state;
    assert_int_equal(l.err, PROBER_OK);
    assert_string_equal(l.settings.region, "cn-beijing");
    assert_int_equal(l.settings.network_type, AGENTD_PUBLIC);
    assert_true(l.settings.upgrade);
    unload(&l);
}

static void each_wrong_value_is_named(void **state)
{
    static const struct {
        const char *argv[3];
        const char *key;
    } cases[] = {
        {{"-agent.region", "a\nb", NULL}, "agent.region"},
        {{"-agent.rpc.report.addr", "", NULL}, "agent.rpc.report.addr"},
        {{"-agent.rpc.report.addr", ":6000", NULL}, "agent.rpc.report.addr"},
        {{"-agent.rpc.report.addr", "host", NULL}, "agent.rpc.report.addr"},
        {{"-agent.icmp.address", "10.0.0.256", NULL}, "agent.icmp.address"},
        {{"-agent.icmp.address", "0.0.0.0", NULL}, "agent.icmp.address"},
        {{"-agent.probe.allow", "10.0.0.0/99", NULL}, "agent.probe.allow"},
        {{"-agent.probe.deny", "x", NULL}, "agent.probe.deny"},
        {{"-agent.probe.interval", "5ms", NULL}, "agent.probe.interval"},
        {{"-agent.icmp.identifier", "65536", NULL}, "agent.icmp.identifier"},
        {{"-agent.icmp.network-type", "privat", NULL}, "agent.icmp.network-type"},
        {{"-agent.state.dir", "", NULL}, "agent.state.dir"},
        {{"-agent.secrets.dir", "secrets", NULL}, "agent.secrets.dir"},
        {{"-agent.icmp.timeout", "1us", NULL}, "agent.icmp.timeout"},
        {{"-agent.http.timeout", "1us", NULL}, "agent.http.timeout"},
        {{"-agent.task", "anything", NULL}, "agent.task"},
        {{"-agent.task.running", "17", NULL}, "agent.task.running"},
        {{"-agent.task.rate", "0", NULL}, "agent.task.rate"},
        {{"-agent.task.output", "4095", NULL}, "agent.task.output"},
        {{"-agent.task.output", "17MB", NULL}, "agent.task.output"},
        {{"-agent.task.deadline", "25h", NULL}, "agent.task.deadline"},
        {{"-agent.http.timeout", "16s", NULL}, "agent.http.timeout"},
        {{"-agent.http.max.running", "0", NULL}, "agent.http.max.running"},
        {{"-agent.icmp.netowrk-type", "public", NULL}, "agent.icmp.netowrk-type"},
        {{"-log.level", "7", NULL}, "log.level"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct loaded l = load(cases[i].argv);

        assert_int_equal(l.err, PROBER_ERR_SYNTAX);
        assert_int_equal(problems_count(l.problems), 1);
        if (!strstr(problems_text(l.problems, 0), cases[i].key))
            fail_msg("%s does not name %s", problems_text(l.problems, 0), cases[i].key);
        unload(&l);
    }
}

static void what_agents_are_trusted_by_goes_together(void **state)
{
    const struct join_token token = {{1}, {2}};
    char word[JOIN_TOKEN_TEXT_MAX];
    const char *given = join_token_format(&token, word);
    const struct {
        const char *argv[9];
        const char *says; /* NULL: nothing is wrong */
    } cases[] = {
        {{"-agent.join", given, NULL}, NULL},
        {{"-agent.join", "@/nonexistent", NULL}, NULL}, /* needed only by who has not joined */
        {{"-agent.join", "-", NULL}, NULL},
        {{"-agent.plain", NULL}, NULL},
        {{"-agent.pki.ca", "a", "-agent.pki.certificate", "b", "-agent.pki.key", "c", NULL}, NULL},
        {{"-agent.join", "guessed", NULL}, "agent.join"},
        {{"-agent.join", given, "-agent.plain", NULL}, "does not go together with agent.plain"},
        {{"-agent.join", given, "-agent.pki.ca", "a", "-agent.pki.certificate", "b",
          "-agent.pki.key", "c", NULL},
         "does not go together with the certificates"},
        {{"-agent.pki.ca", "a", NULL}, "name all three or none"},
        {{"-agent.pki.ca", "a", "-agent.pki.key", "c", NULL}, "name all three or none"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct loaded l = load(cases[i].argv);

        assert_int_equal(problems_count(l.problems), cases[i].says ? 1 : 0);
        if (cases[i].says && !strstr(problems_text(l.problems, 0), cases[i].says))
            fail_msg("%s does not say %s", problems_text(l.problems, 0), cases[i].says);
        if (cases[i].says)
            assert_null(strstr(problems_text(l.problems, 0), "guessed"));
        unload(&l);
    }
}

static void a_change_is_told_by_whether_it_needs_a_restart(void **state)
{
    struct loaded a = load((const char *[]){"-agent.probe.deny", "10.0.0.0/8", NULL});
    struct loaded b = load((const char *[]){"-agent.probe.deny", "10.0.0.0/9", "-log.level", "4",
                                            "-agent.region", "x", NULL});
    const char *names[8];

    (void)state;
    assert_int_equal(agentd_settings_changed(&a.settings, &b.settings, true, names, 8), 2);
    assert_string_equal(names[0], "log.level");
    assert_string_equal(names[1], "agent.probe.deny");
    assert_int_equal(agentd_settings_changed(&a.settings, &b.settings, false, names, 8), 1);
    assert_string_equal(names[0], "agent.region");
    assert_int_equal(agentd_settings_changed(&a.settings, &a.settings, false, names, 8), 0);
    unload(&a);
    unload(&b);
}

static void asking_for_help_or_version_is_no_error(void **state)
{
    static const char *const flags[] = {"-h", "--help", "-v", "-version"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct loaded l = load((const char *[]){flags[i], NULL});

        assert_int_equal(l.err, PROBER_OK);
        assert_true(i < 2 ? l.settings.help : l.settings.version);
        unload(&l);
    }
}

static void every_setting_has_help_and_stands_with_its_group(void **state)
{
    (void)state;
    for (size_t i = 0; i < agentd_options_count; i++) {
        assert_true(strlen(agentd_options[i].help) > 0);
        for (size_t j = 0; j + 1 < i; j++)
            if (strcmp(agentd_options[j].group, agentd_options[i].group) == 0)
                assert_string_equal(agentd_options[i - 1].group, agentd_options[i].group);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_the_original),
        cmocka_unit_test(what_is_run_is_the_allowlist_unless_more_is_said),
        cmocka_unit_test(the_timeout_is_worked_out_of_the_interval),
        cmocka_unit_test(the_original_s_command_line_is_taken),
        cmocka_unit_test(each_wrong_value_is_named),
        cmocka_unit_test(what_agents_are_trusted_by_goes_together),
        cmocka_unit_test(a_change_is_told_by_whether_it_needs_a_restart),
        cmocka_unit_test(asking_for_help_or_version_is_no_error),
        cmocka_unit_test(every_setting_has_help_and_stands_with_its_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/unit/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serverd/check_config.h"
#include "serverd/reload.h"

#define GOOD_TARGETS "prober_configs:\n- {prober_type: icmp, region: dns, targets: [192.0.2.53]}\n"
#define MORE_TARGETS GOOD_TARGETS "- {prober_type: icmp, region: ntp, targets: [192.0.2.123]}\n"

static struct {
    char dir[64], config[128], targets[128];
    struct directory_board *board;
    struct ingest *ingest;
    struct target_lists *lists;
    struct rpc *rpc;
    struct reload *reload;
    struct serverd_settings settings;
    char *argv[2];
    struct problems *problems;
} world;

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void write_config(const char *more)
{
    char text[512];

    snprintf(text, sizeof(text),
             "server: {rpc: {listen: {addr: '127.0.0.1:0'}}, probe: {file: %s}}\n%s", world.targets,
             more);
    write_file(world.config, text);
}

static enum prober_error publish(void *context, struct target_book *book)
{
    (void)context;
    return rpc_set_lists(world.rpc, book);
}

static int make_world(void **state)
{
    const struct ingest_config ingest = {.shards = 1};
    struct rpc_config config = {.listen = "127.0.0.1:0", .hint_listen = ""};
    struct control_change change;
    struct prober_failure why;

    (void)state;
    snprintf(world.dir, sizeof(world.dir), "/tmp/test_reload.XXXXXX");
    if (!mkdtemp(world.dir))
        return -1;
    snprintf(world.config, sizeof(world.config), "%s/serverd.yaml", world.dir);
    snprintf(world.targets, sizeof(world.targets), "%s/probe.yaml", world.dir);
    write_file(world.targets, GOOD_TARGETS);
    write_config("");
    world.argv[0] = strdup("-config");
    world.argv[1] = world.config;
    if (problems_create(&world.problems) ||
        serverd_settings_load(&world.settings, 2, world.argv, NULL, world.problems) ||
        reload_read(&world.settings, &change, world.problems) ||
        directory_board_create(&world.board) || ingest_create(&world.ingest, &ingest, &why) ||
        target_lists_create(&world.lists, &(struct target_lists_config){.publish = publish}))
        return -1;
    config.ingest = world.ingest;
    config.control.board = world.board;
    if (rpc_open(&world.rpc, &config, &change, &why))
        return -1;
    return reload_create(&world.reload, &(struct reload_config){.argc = 2,
                                                                .argv = world.argv,
                                                                .settings = &world.settings,
                                                                .rpc = world.rpc,
                                                                .board = world.board,
                                                                .lists = world.lists});
}

static int end_world(void **state)
{
    (void)state;
    reload_destroy(world.reload);
    target_lists_destroy(world.lists);
    rpc_stop(world.rpc);
    ingest_destroy(world.ingest);
    rpc_close(world.rpc);
    directory_board_destroy(world.board);
    problems_destroy(world.problems);
    serverd_settings_free(&world.settings);
    free(world.argv[0]);
    unlink(world.config);
    unlink(world.targets);
    return rmdir(world.dir);
}

static bool plan_has(const char *region)
{
    struct directory *d = directory_get(world.board);
    bool there = plan_region_find(d->plan, region) != NULL;

    directory_put(d);
    return there;
}

static void assert_fails(const char *says)
{
    struct problems *problems;

    assert_int_equal(problems_create(&problems), PROBER_OK);
    assert_true(reload_run(world.reload, problems) != PROBER_OK);
    assert_true(problems_count(problems) > 0);
    if (!strstr(problems_text(problems, 0), says))
        fail_msg("'%s' does not say '%s'", problems_text(problems, 0), says);
    problems_destroy(problems);
}

static void new_targets_are_probed_after_a_reload(void **state)
{
    (void)state;
    assert_true(plan_has("dns"));
    write_file(world.targets, MORE_TARGETS);
    assert_int_equal(reload_run(world.reload, world.problems), PROBER_OK);
    assert_true(plan_has("ntp"));
    write_file(world.targets, GOOD_TARGETS);
    assert_int_equal(reload_run(world.reload, world.problems), PROBER_OK);
    assert_false(plan_has("ntp"));
}

static void a_fault_in_either_file_changes_nothing(void **state)
{
    (void)state;
    write_file(world.targets, MORE_TARGETS "- {prober_type: nonsense}\n");
    assert_fails("probe.yaml:4");
    write_file(world.targets, MORE_TARGETS);
    write_config("log.level: 99\n");
    assert_fails("serverd.yaml:2");
    write_config("no.such.key: 1\n");
    assert_fails("no.such.key");
    unlink(world.targets);
    write_config("");
    assert_fails("probe.yaml");
    write_file(world.targets, GOOD_TARGETS);
    assert_int_equal(reload_run(world.reload, world.problems), PROBER_OK);
    assert_true(plan_has("dns"));
    assert_false(plan_has("ntp"));
}

/* How many faults a start with these settings would find; the first is stored. */
static size_t faults_at_start(const char *listen, const char *probe_file, char first[256])
{
    struct serverd_settings settings = world.settings;
    char address[64];
    struct control_change c = {.spec = NULL};
    struct problems *problems;
    size_t count;

    write_file(world.targets, probe_file);
    snprintf(address, sizeof(address), "%s", listen);
    settings.rpc_listen = address;
    assert_int_equal(problems_create(&problems), PROBER_OK);
    reload_read(&settings, &c, problems);
    count = problems_count(problems);
    snprintf(first, 256, "%s", count ? problems_text(problems, 0) : "");
    problems_destroy(problems);
    control_change_free(&c);
    return count;
}

static void too_many_series_are_refused_at_a_start_and_a_reload(void **state)
{
    static const char *const two =
        "prober_configs:\n- {prober_type: http, region: web, targets: [x, y]}\n";
    char first[256];

    (void)state;
    write_config("server.http.series.max: 50\n");
    write_file(world.targets, two);
    assert_fails("2 HTTP targets (source regions: at least 1) make about 74 series");
    write_config("server.http.series.max: 74\n");
    assert_int_equal(reload_run(world.reload, world.problems), PROBER_OK);
    assert_true(plan_has("web"));
    assert_int_equal(faults_at_start("127.0.0.1:6000", two, first), 0);
    world.settings.http_series_max = 1;
    assert_int_equal(faults_at_start("127.0.0.1:6000", two, first), 1);
    assert_non_null(strstr(first, "-server.http.series.max"));
}

static void what_needs_a_restart_keeps_its_value(void **state)
{
    (void)state;
    write_config("server.aggregation.interval: 1s\nserver.state.dir: /elsewhere\n");
    assert_int_equal(reload_run(world.reload, world.problems), PROBER_OK);
    assert_int_equal(world.settings.aggregation_interval_ns, UINT64_C(15000000000));
}

static void check_config_tells_by_its_exit_status(void **state)
{
    char dump[] = "-dump";
    char *good[] = {world.config, dump}, *targets[] = {world.targets}, *both[] = {good[0], good[0]};

    (void)state;
    assert_int_equal(check_config(2, good), 0);
    assert_int_equal(check_config(1, targets), 0);
    assert_int_equal(check_config(0, targets), 2);
    assert_int_equal(check_config(2, both), 2);
    write_file(world.targets, "prober_configs:\n- {prober_type: icmp, tragets: []}\n");
    assert_int_equal(check_config(1, targets), 1);
    assert_int_equal(check_config(1, good), 1); /* it names the probe file */
    unlink(world.targets);
    assert_int_equal(check_config(1, targets), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(new_targets_are_probed_after_a_reload),
        TEST(a_fault_in_either_file_changes_nothing),
        TEST(too_many_series_are_refused_at_a_start_and_a_reload),
        TEST(what_needs_a_restart_keeps_its_value),
        TEST(check_config_tells_by_its_exit_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

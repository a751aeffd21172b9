#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "libprober/spec.h"
#include "serverd/target_files.h"

static struct {
    char dir[64], probe_file[128];
    struct problems *problems;
    struct probe_spec *spec;
    struct target_files *files;
    uint64_t later_ns; /* how much later than now it is */
} world;

static void path_of(char out[256], const char *name)
{
    snprintf(out, 256, "%s/%s", world.dir, name);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    FILE *f;

    path_of(path, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void remove_file(const char *name)
{
    char path[256];

    path_of(path, name);
    assert_int_equal(remove(path), 0);
}

static int make_world(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    snprintf(world.dir, sizeof(world.dir), "/tmp/test_target_files.XXXXXX");
    return !mkdtemp(world.dir) || problems_create(&world.problems);
}

static int end_world(void **state)
{
    char command[128];

    (void)state;
    target_files_destroy(world.files);
    probe_spec_destroy(world.spec);
    problems_destroy(world.problems);
    snprintf(command, sizeof(command), "rm -rf %s", world.dir);
    return system(command);
}

static void given_files(const char *patterns)
{
    char text[512], path[256];

    snprintf(text, sizeof(text),
             "prober_configs:\n- {prober_type: http, file_sd_configs: [{files: [%s]}]}\n",
             patterns);
    write_file("probe.yaml", text);
    path_of(path, "probe.yaml");
    assert_int_equal(probe_spec_read_file(&world.spec, path, world.problems), PROBER_OK);
    assert_int_equal(target_files_create(&world.files, PROBE_HTTP, world.spec->entries[0].lists[0]),
                     PROBER_OK);
}

/* Scans; what is listed must be `wanted`, and the first fault, if any, must hold `fault`. */
static void expect(const char *wanted, const char *fault)
{
    struct target_list *list = NULL;
    struct strbuf text = STRBUF_INIT;

    problems_destroy(world.problems);
    assert_int_equal(problems_create(&world.problems), PROBER_OK);
    assert_int_equal(
        target_files_scan(world.files, clock_realtime_ns() + world.later_ns, world.problems),
        PROBER_OK);
    assert_int_equal(target_files_list(world.files, &list), PROBER_OK);
    for (size_t i = 0; i < list->count; i++)
        strbuf_printf(&text, "%s%s", i ? " " : "", list->items[i].text);
    assert_string_equal(text.bytes ? text.bytes : "", wanted);
    strbuf_free(&text);
    target_list_put(list);
    if (!fault)
        assert_int_equal(problems_count(world.problems), 0);
    else if (!problems_count(world.problems) || !strstr(problems_text(world.problems, 0), fault))
        fail_msg("%s", problems_count(world.problems) ? problems_text(world.problems, 0) : "none");
}

static void files_of_both_languages_are_read(void **state)
{
    (void)state;
    given_files("a.json, b.yml, C.YAML");
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    write_file("b.yml", "- targets: [b]\n");
    write_file("C.YAML", "- targets: [c]\n");
    expect("a b c", NULL);
}

static void a_pattern_finds_what_is_there(void **state)
{
    (void)state;
    given_files("'t_*.json'");
    expect("", NULL);
    write_file("t_1.json", "[{\"targets\":[\"a\"]}]");
    write_file("t_.json", "[{\"targets\":[\"b\"]}]");
    write_file("u_1.json", "[{\"targets\":[\"no\"]}]");
    write_file("t_1.json.tmp", "[{\"targets\":[\"no\"]}]");
    write_file(".t_1.json", "[{\"targets\":[\"no\"]}]");
    expect("a b", NULL);
    remove_file("t_.json");
    expect("a", NULL);
}

static void a_pattern_finds_no_hidden_files(void **state)
{
    (void)state;
    given_files("'*.json'");
    write_file(".x.json", "[{\"targets\":[\"no\"]}]");
    write_file("x.json", "[{\"targets\":[\"a\"]}]");
    expect("a", NULL);
}

static void a_changed_file_is_read_again(void **state)
{
    (void)state;
    given_files("a.json");
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    expect("a", NULL);
    write_file("a.json", "[{\"targets\":[\"b\"]}]");
    expect("b", NULL);
    write_file("new", "[{\"targets\":[\"c\"]}]");
    {
        char from[256], to[256];

        path_of(from, "new");
        path_of(to, "a.json");
        assert_int_equal(rename(from, to), 0);
    }
    expect("c", NULL);
}

static void a_file_that_has_not_changed_for_long_lists_what_it_did(void **state)
{
    (void)state;
    given_files("a.json");
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    world.later_ns = 3600 * CLOCK_NS_PER_S;
    expect("a", NULL);
    expect("a", NULL);
    write_file("a.json", "[{\"targets\":[\"longer\"]}]");
    expect("longer", NULL);
}

static void a_file_that_became_bad_goes_on_listing_what_it_did(void **state)
{
    (void)state;
    given_files("'*.json'");
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    write_file("b.json", "[{\"targets\":[\"b\"]}]");
    expect("a b", NULL);
    write_file("a.json", "[{\"targets\":[\"x\"]},\n");
    write_file("b.json", "[{\"targets\":[\"c\"]}]");
    expect("a c", "a.json: JSON, line 2");
    expect("a c", "a.json: JSON, line 2"); /* it stays a fault */
    write_file("a.json", "[]");
    expect("c", NULL);
}

static void a_named_file_that_is_missing_is_a_fault(void **state)
{
    (void)state;
    given_files("a.json");
    expect("", "a.json: No such file");
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    expect("a", NULL);
    remove_file("a.json");
    expect("a", "a.json: No such file");
}

static void a_directory_that_cannot_be_read_is_a_fault(void **state)
{
    char dir[256], away[256];

    (void)state;
    given_files("'d/*.json'");
    expect("", "d/: No such file");
    path_of(dir, "d");
    path_of(away, "e");
    assert_int_equal(mkdir(dir, 0700), 0);
    write_file("d/a.json", "[{\"targets\":[\"a\"]}]");
    expect("a", NULL);
    assert_int_equal(rename(dir, away), 0);
    expect("a", "d/: No such file");
}

static void what_is_no_file_is_a_fault(void **state)
{
    char path[256];

    (void)state;
    given_files("a.json, f.json");
    path_of(path, "a.json");
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(path, "f.json");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect("", "a.json: no regular file");
    assert_int_equal(problems_count(world.problems), 2);
}

static void a_file_that_two_patterns_find_is_read_once(void **state)
{
    (void)state;
    given_files("'*.json', a.json, 'a*.json'");
    write_file("a.json", "[{\"targets\":[\"a b\"]}]");
    expect("", "a.json:[0].targets[0]");
    assert_int_equal(problems_count(world.problems), 1);
}

static void the_directory_of_a_pattern_is_told(void **state)
{
    char *dir;

    (void)state;
    given_files("a.json, d/b.json, /etc/c.json");
    dir = target_files_dir(world.files, 0);
    assert_memory_equal(dir, world.dir, strlen(world.dir));
    assert_string_equal(dir + strlen(world.dir), "/");
    free(dir);
    dir = target_files_dir(world.files, 1);
    assert_string_equal(dir + strlen(world.dir), "/d/");
    free(dir);
    dir = target_files_dir(world.files, 2);
    assert_string_equal(dir, "/etc/");
    free(dir);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(files_of_both_languages_are_read),
        TEST(a_pattern_finds_what_is_there),
        TEST(a_pattern_finds_no_hidden_files),
        TEST(a_changed_file_is_read_again),
        TEST(a_file_that_has_not_changed_for_long_lists_what_it_did),
        TEST(a_file_that_became_bad_goes_on_listing_what_it_did),
        TEST(a_named_file_that_is_missing_is_a_fault),
        TEST(a_directory_that_cannot_be_read_is_a_fault),
        TEST(what_is_no_file_is_a_fault),
        TEST(a_file_that_two_patterns_find_is_read_once),
        TEST(the_directory_of_a_pattern_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

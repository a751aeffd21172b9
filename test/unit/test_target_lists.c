#include "test/unit/unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/queue.h"
#include "serverd/target_lists.h"
#include "test/unit/fakes/http_server.h"

#define JSON "Content-Type: application/json\r\n"
#define LONG_NS (20 * CLOCK_NS_PER_S)

static const struct http_route routes[] = {
    {.method = "GET", .path = "/good", .headers = JSON, .body = "[{\"targets\":[\"url\"]}]"},
    {.method = "GET", .path = "/other", .headers = JSON, .body = "[{\"targets\":[\"more\"]}]"},
    {.method = "GET", .path = "/silent", .behaviour = HTTP_IS_SILENT},
    {.method = "GET", .path = "/bad", .headers = JSON, .body = "[{\"targets\":[\"a b\"]}]"},
    {0},
};

static struct {
    char dir[64], state_dir[80];
    struct http_server *server;
    struct queue *published; /* struct target_book */
    struct problems *problems;
    struct probe_spec *spec; /* in force */
    struct target_lists *lists;
    size_t targets_max; /* that check lets pass */
} world;

static void path_of(char out[256], const char *name)
{
    snprintf(out, 256, "%s/%s", world.dir, name);
}

/* Replaces a file at once, as careful writers do. */
static void write_file(const char *name, const char *text)
{
    char path[256], temporary[256];
    FILE *f;

    path_of(path, name);
    path_of(temporary, "temporary");
    f = fopen(temporary, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(temporary, path), 0);
}

static enum prober_error publish(void *context, struct target_book *book)
{
    (void)context;
    return queue_push(world.published, book);
}

static const struct plan_config plan = {.dynamic = true};

static enum prober_error check(void *context, const struct probe_spec *spec,
                               const struct plan_config *how, struct problems *problems)
{
    size_t targets = 0;

    (void)context;
    assert_true(how->dynamic);
    for (size_t i = 0; i < spec->count; i++)
        targets += spec->entries[i].target_count;
    if (targets <= world.targets_max)
        return PROBER_OK;
    problems_add(problems, NULL, 0, NULL, "%zu are too many", targets);
    return PROBER_ERR_RANGE;
}

static void create_lists(void)
{
    const struct target_lists_config config = {
        .state_dir = world.state_dir, .publish = publish, .check = check};

    assert_int_equal(target_lists_create(&world.lists, &config), PROBER_OK);
}

static int make_world(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    world.targets_max = 1000;
    snprintf(world.dir, sizeof(world.dir), "/tmp/test_target_lists.XXXXXX");
    world.server = http_server_start(routes);
    if (!mkdtemp(world.dir) || problems_create(&world.problems) ||
        queue_create(&world.published, 1024))
        return -1;
    snprintf(world.state_dir, sizeof(world.state_dir), "%s/state", world.dir);
    create_lists();
    return 0;
}

static int end_world(void **state)
{
    char command[128];
    void *book;

    (void)state;
    target_lists_destroy(world.lists);
    while (queue_pop(world.published, &book, 1, 0))
        target_book_put(book);
    queue_destroy(world.published);
    probe_spec_destroy(world.spec);
    problems_destroy(world.problems);
    http_server_stop(world.server);
    snprintf(command, sizeof(command), "rm -rf %s", world.dir);
    return system(command);
}

/* The texts of all that a book and the spec in force list. */
static void put_targets(struct strbuf *out, struct target_book *book)
{
    struct probe_spec *extended = NULL;

    assert_int_equal(probe_spec_extend(&extended, world.spec, book), PROBER_OK);
    for (size_t i = 0; i < extended->count; i++)
        for (size_t k = 0; k < extended->entries[i].target_count; k++)
            strbuf_printf(out, "%s%s", out->len ? " " : "", extended->entries[i].targets[k]);
    probe_spec_extended_free(extended);
}

static void expect_book(struct target_book *book, const char *wanted)
{
    struct strbuf text = STRBUF_INIT;

    put_targets(&text, book);
    assert_string_equal(text.bytes ? text.bytes : "", wanted);
    strbuf_free(&text);
    target_book_put(book);
}

/* Prepares for a probe file; its entries have the server's URL in the place of "URL". */
static struct target_book *begin_with(const char *entries, struct probe_spec **spec)
{
    struct strbuf text = STRBUF_INIT;
    struct target_book *book = NULL;
    char path[256];
    const char *url;

    strbuf_puts(&text, "prober_configs:\n");
    while ((url = strstr(entries, "URL"))) {
        strbuf_put(&text, entries, (size_t)(url - entries));
        strbuf_puts(&text, http_server_url(world.server));
        entries = url + 3;
    }
    strbuf_puts(&text, entries);
    write_file("probe.yaml", text.bytes);
    strbuf_free(&text);
    path_of(path, "probe.yaml");
    if (probe_spec_read_file(spec, path, world.problems))
        fail_msg("%s", problems_text(world.problems, 0));
    assert_int_equal(target_lists_begin(world.lists, *spec, &plan, &book), PROBER_OK);
    return book;
}

/* Puts a probe file in force; what its lists hold at once must be this. */
static void given(const char *entries, const char *wanted)
{
    struct probe_spec *spec = NULL;
    struct target_book *book = begin_with(entries, &spec);

    target_lists_end(world.lists, true);
    probe_spec_destroy(world.spec);
    world.spec = spec;
    expect_book(book, wanted);
}

/* Waits until what is published lists this. */
static void wait_for(const char *wanted)
{
    uint64_t end_ns = clock_monotonic_ns() + LONG_NS;
    struct strbuf text = STRBUF_INIT;
    bool found = false;
    void *book;

    while (!found && clock_monotonic_ns() < end_ns &&
           queue_pop(world.published, &book, 1, LONG_NS)) {
        strbuf_clear(&text);
        put_targets(&text, book);
        found = strcmp(text.bytes ? text.bytes : "", wanted) == 0;
        target_book_put(book);
    }
    if (!found)
        fail_msg("'%s' was never published; last: '%s'", wanted, text.bytes);
    strbuf_free(&text);
}

static char *metrics(void)
{
    struct strbuf text = STRBUF_INIT;
    struct metrics_writer writer = {.out = &text};

    target_lists_write_metrics(world.lists, &writer);
    return strbuf_take(&text, NULL);
}

static void expect_metric(const char *line)
{
    char *text = metrics();

    if (!strstr(text, line))
        fail_msg("no '%s' in:\n%s", line, text);
    free(text);
}

#define FILE_ENTRY(file) "- {prober_type: http, file_sd_configs: [{files: [" file "]}]}\n"
#define URL_ENTRY(path)                                                                            \
    "- {prober_type: http, http_sd_configs: [{url: 'URL" path "', refresh_interval: 1s}]}\n"

static void files_are_there_at_once_and_seen_when_they_change(void **state)
{
    (void)state;
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    given(FILE_ENTRY("a.json") FILE_ENTRY("'t_*.yml'"), "a");
    assert_int_equal(target_lists_start(world.lists), PROBER_OK);
    wait_for("a");
    write_file("a.json", "[{\"targets\":[\"b\"]}]");
    wait_for("b");
    write_file("t_1.yml", "- targets: [c]\n");
    wait_for("b c");
    {
        char path[256];

        path_of(path, "t_1.yml");
        assert_int_equal(unlink(path), 0);
    }
    wait_for("b");
}

static void urls_are_asked_once_serving_has_begun(void **state)
{
    (void)state;
    given(URL_ENTRY("/good"), "");
    assert_int_equal(target_lists_start(world.lists), PROBER_OK);
    wait_for("url");
    expect_metric("prober_server_target_list_failures_total{prober_type=\"http\",list=\"http://");
}

static void a_url_that_hangs_holds_up_no_other_list(void **state)
{
    (void)state;
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    given(URL_ENTRY("/silent") URL_ENTRY("/good") FILE_ENTRY("a.json"), "a");
    assert_int_equal(target_lists_start(world.lists), PROBER_OK);
    wait_for("url a");
    write_file("a.json", "[{\"targets\":[\"b\"]}]");
    wait_for("url b");
}

static void a_list_that_entries_share_is_asked_for_once(void **state)
{
    (void)state;
    given("- {prober_type: http, http_sd_configs: [{url: 'URL/good', refresh_interval: 1h}]}\n"
          "- {prober_type: http, region: r, http_sd_configs: [{url: 'URL/good'}]}\n",
          "");
    assert_int_equal(target_lists_start(world.lists), PROBER_OK);
    wait_for("url url");
    assert_int_equal(http_server_requests(world.server), 1);
}

static void a_reload_keeps_the_lists_that_stay(void **state)
{
    (void)state;
    given(URL_ENTRY("/good"), "");
    assert_int_equal(target_lists_start(world.lists), PROBER_OK);
    wait_for("url");
    http_server_stop(world.server); /* so that it cannot be had again */
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    {
        char entries[512];

        snprintf(entries, sizeof(entries),
                 FILE_ENTRY("a.json") "- {prober_type: http, region: r, http_sd_configs: "
                                      "[{url: '%s', refresh_interval: 7s}]}\n",
                 world.spec->entries[0].lists[0]->url);
        world.server = http_server_start(routes);
        given(entries, "a url");
    }
    wait_for("a url");
}

static void a_reload_that_fails_changes_nothing(void **state)
{
    struct probe_spec *other = NULL;

    (void)state;
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    write_file("b.json", "[{\"targets\":[\"b\"]}]");
    given(FILE_ENTRY("a.json"), "a");
    assert_int_equal(target_lists_start(world.lists), PROBER_OK);
    wait_for("a");
    target_book_put(begin_with(FILE_ENTRY("b.json"), &other));
    target_lists_end(world.lists, false);
    probe_spec_destroy(other);
    wait_for("a");
    write_file("a.json", "[{\"targets\":[\"c\"]}]");
    wait_for("c");
    expect_metric("targets{prober_type=\"http\",list=\"a.json\"} 1");
}

static void what_a_url_listed_survives_a_restart(void **state)
{
    char entries[512], path[256];
    struct stat about;

    (void)state;
    given(URL_ENTRY("/good"), "");
    assert_int_equal(target_lists_start(world.lists), PROBER_OK);
    wait_for("url");
    snprintf(entries, sizeof(entries),
             "- {prober_type: http, http_sd_configs: [{url: '%s', refresh_interval: 1h}]}\n",
             world.spec->entries[0].lists[0]->url);
    target_lists_destroy(world.lists); /* by now it is kept */
    create_lists();
    given(entries, "url");
    path_of(path, "state/lists");
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    given(FILE_ENTRY("'none_*.json'"), "");
    given(entries, ""); /* what was no longer named is not kept */
}

static void a_list_that_cannot_be_planned_stays_as_it_was(void **state)
{
    (void)state;
    world.targets_max = 2;
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    write_file("b.json", "[{\"targets\":[\"b\"]}]");
    given(FILE_ENTRY("a.json") FILE_ENTRY("b.json"), "a b");
    assert_int_equal(target_lists_start(world.lists), PROBER_OK);
    wait_for("a b");
    write_file("a.json", "[{\"targets\":[\"a\",\"c\"]}]");
    write_file("b.json", "[{\"targets\":[\"d\"]}]");
    wait_for("a d");
    write_file("b.json", "[]");
    wait_for("a");
    write_file("a.json", "[{\"targets\":[\"a\",\"e\"]}]");
    wait_for("a e");
}

static void lists_for_which_another_probe_file_leaves_no_room_are_left_out(void **state)
{
    (void)state;
    world.targets_max = 2;
    write_file("a.json", "[{\"targets\":[\"a\"]}]");
    write_file("b.json", "[{\"targets\":[\"b\"]}]");
    given(FILE_ENTRY("a.json") FILE_ENTRY("b.json"), "a b");
    given("- {prober_type: http, targets: [x]}\n" FILE_ENTRY("a.json") FILE_ENTRY("b.json"), "x a");
    given(FILE_ENTRY("a.json") FILE_ENTRY("b.json"), "a b");
}

static void a_list_that_never_loaded_is_empty_and_counted(void **state)
{
    (void)state;
    write_file("a.json", "[{\"targets\":[\"a b\"]}]");
    given(FILE_ENTRY("a.json") FILE_ENTRY("gone.json"), "");
    expect_metric("targets{prober_type=\"http\",list=\"a.json\"} 0\n");
    expect_metric("refreshes_total{prober_type=\"http\",list=\"a.json\"} 1\n");
    expect_metric("failures_total{prober_type=\"http\",list=\"a.json\"} 1\n");
    expect_metric("success_timestamp_seconds{prober_type=\"http\",list=\"gone.json\"} 0\n");
}

static void metrics_tell_lists_apart_and_hold_no_secret(void **state)
{
    char *text;

    (void)state;
    given("- {prober_type: http, http_sd_configs: [{url: 'http://sd.test/t?key=hush'},\n"
          "   {url: 'http://sd.test/t', basic_auth: {password: hush}}]}\n"
          "- {prober_type: icmp, http_sd_configs: [{url: 'http://sd.test/t'}]}\n",
          "");
    expect_metric("targets{prober_type=\"http\",list=\"http://sd.test/t\"} 0\n");
    expect_metric("targets{prober_type=\"http\",list=\"http://sd.test/t#2\"} 0\n");
    expect_metric("targets{prober_type=\"icmp\",list=\"http://sd.test/t\"} 0\n");
    text = metrics();
    assert_null(strstr(text, "hush"));
    free(text);
}

static void without_lists_there_is_nothing_to_tell(void **state)
{
    struct target_book *book;
    char *text = metrics();

    (void)state;
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(target_lists_begin(world.lists, NULL, &plan, &book), PROBER_OK);
    target_lists_end(world.lists, true);
    assert_int_equal(book->count, 0);
    target_book_put(book);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(files_are_there_at_once_and_seen_when_they_change),
        TEST(urls_are_asked_once_serving_has_begun),
        TEST(a_url_that_hangs_holds_up_no_other_list),
        TEST(a_list_that_entries_share_is_asked_for_once),
        TEST(a_reload_keeps_the_lists_that_stay),
        TEST(a_reload_that_fails_changes_nothing),
        TEST(what_a_url_listed_survives_a_restart),
        TEST(a_list_that_cannot_be_planned_stays_as_it_was),
        TEST(lists_for_which_another_probe_file_leaves_no_room_are_left_out),
        TEST(a_list_that_never_loaded_is_empty_and_counted),
        TEST(metrics_tell_lists_apart_and_hold_no_secret),
        TEST(without_lists_there_is_nothing_to_tell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

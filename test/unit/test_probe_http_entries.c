#include "agentd/probe_http_entries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

#define HEAD "prober_configs:\n"
#define PING "- {prober_type: icmp, name: a, region: r, targets: [192.0.2.1]}\n"
#define ENTRY(name, more)                                                                          \
    "- {prober_type: http, region: r, name: " name ", targets: [x, y]" more "}\n"

struct fixture {
    char path[64];
    struct probe_http_entries entries;
    struct problems *problems;
};

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    snprintf(f.path, sizeof(f.path), "/tmp/test_probe_http_entries.XXXXXX");
    close(mkstemp(f.path));
    *state = &f;
    return problems_create(&f.problems);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    probe_http_entries_close(&f->entries);
    problems_destroy(f->problems);
    return unlink(f->path);
}

static enum prober_error open_file(struct fixture *f, const char *text, const char *prober,
                                   enum prober_family family)
{
    const struct probe_http_wanted wanted = {.file = f->path, .prober = prober, .family = family};
    FILE *file = fopen(f->path, "w");

    fputs(text, file);
    fclose(file);
    return probe_http_entries_open(&f->entries, &wanted, f->problems);
}

/* The one problem, without the file's name. */
static void assert_problem(struct fixture *f, const char *expected)
{
    assert_int_equal(problems_count(f->problems), 1);
    assert_string_equal(problems_text(f->problems, 0) + strlen(f->path), expected);
}

static void without_a_file_the_defaults_hold(void **state)
{
    struct fixture *f = *state;
    const struct probe_http_wanted wanted = {.prober = ""};

    assert_int_equal(probe_http_entries_open(&f->entries, &wanted, f->problems), PROBER_OK);
    assert_int_equal(f->entries.count, 1);
    assert_int_equal(f->entries.items[0].target_count, 0);
    assert_int_equal(f->entries.items[0].timeout_ns, 0);
    assert_int_equal(f->entries.defaults->preferred_family, PROBER_FAMILY_IPV6);
    assert_true(f->entries.defaults->ip_protocol_fallback);
}

static void what_is_wanted_goes_before_the_defaults(void **state)
{
    struct fixture *f = *state;
    const struct probe_http_wanted wanted = {
        .prober = "", .method = "HEAD", .status = 301, .no_redirects = true};
    const struct http_spec *spec;

    assert_int_equal(probe_http_entries_open(&f->entries, &wanted, f->problems), PROBER_OK);
    spec = f->entries.items[0].spec;
    assert_string_equal(spec->method, "HEAD");
    assert_int_equal(spec->valid_status_codes.count, 1);
    assert_int_equal(spec->valid_status_codes.items[0], 301);
    assert_false(spec->follow_redirects);
}

static void every_entry_of_the_name_is_taken_and_no_other(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_file(f,
                               HEAD PING ENTRY("a", ", timeout: 3s") ENTRY("b", "")
                                   ENTRY("a", ", http: {method: POST}"),
                               "a", PROBER_FAMILY_NONE),
                     PROBER_OK);
    assert_int_equal(f->entries.count, 2);
    assert_int_equal(f->entries.items[0].timeout_ns, UINT64_C(3000000000));
    assert_int_equal(f->entries.items[0].line, 3);
    assert_int_equal(f->entries.items[0].target_count, 2);
    assert_string_equal(f->entries.items[1].targets[1], "y");
    assert_int_equal(f->entries.items[1].line, 5);
}

static void the_family_of_the_command_line_goes_first_and_alone(void **state)
{
    struct fixture *f = *state;
    const struct http_spec *spec;

    assert_int_equal(open_file(f, HEAD ENTRY("a", ""), "a", PROBER_FAMILY_IPV4), PROBER_OK);
    spec = f->entries.file->entries[0].http;
    assert_int_equal(spec->preferred_family, PROBER_FAMILY_IPV4);
    assert_false(spec->ip_protocol_fallback);
}

static void a_name_that_is_not_there_brings_the_names_that_are(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_file(f, HEAD PING ENTRY("x", "") ENTRY("y", "") ENTRY("x", ""), "a",
                               PROBER_FAMILY_NONE),
                     PROBER_ERR_SYNTAX);
    assert_problem(f, ":prober_configs[].name: no entry of type http is called 'a'; "
                      "there are: x, y");
}

static void a_file_without_names_says_so(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_file(f, HEAD ENTRY("\"\"", ""), "", PROBER_FAMILY_NONE),
                     PROBER_ERR_SYNTAX);
    assert_problem(f, ":prober_configs[].name: -prober must name an entry of type http; "
                      "there is none with a name");
}

static void a_fault_in_the_file_has_its_place(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_file(f, HEAD ENTRY("a", "") ENTRY("b", ", http: {methud: GET}"), "a",
                               PROBER_FAMILY_NONE),
                     PROBER_ERR_SYNTAX);
    assert_memory_equal(problems_text(f->problems, 0) + strlen(f->path),
                        ":3:prober_configs[1].http.methud: ", 34);
}

static void an_entry_that_cannot_be_probed_by_has_its_place(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_file(f, HEAD ENTRY("b", "") ENTRY("a", ", http: {tls_config: {ca: x}}"),
                               "a", PROBER_FAMILY_NONE),
                     PROBER_ERR_SYNTAX);
    assert_problem(f, ":3:prober_configs[1].http: there is no certificate in the ca");
}

static void a_file_that_is_not_there_is_told(void **state)
{
    struct fixture *f = *state;
    const struct probe_http_wanted wanted = {.file = "/nonexistent/file", .prober = "a"};

    assert_int_not_equal(probe_http_entries_open(&f->entries, &wanted, f->problems), PROBER_OK);
    assert_int_equal(problems_count(f->problems), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(without_a_file_the_defaults_hold),
        CASE(what_is_wanted_goes_before_the_defaults),
        CASE(every_entry_of_the_name_is_taken_and_no_other),
        CASE(the_family_of_the_command_line_goes_first_and_alone),
        CASE(a_name_that_is_not_there_brings_the_names_that_are),
        CASE(a_file_without_names_says_so),
        CASE(a_fault_in_the_file_has_its_place),
        CASE(an_entry_that_cannot_be_probed_by_has_its_place),
        CASE(a_file_that_is_not_there_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

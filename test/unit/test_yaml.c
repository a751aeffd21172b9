#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/file.h"
#include "common/strbuf.h"
#include "common/yaml.h"

static struct problems *problems;

static int begin(void **state)
{
    (void)state;
    return problems_create(&problems);
}

static int end(void **state)
{
    (void)state;
    problems_destroy(problems);
    return 0;
}

static struct yaml_document *parsed(const char *text)
{
    struct yaml_document *doc = NULL;

    if (yaml_read_text(&doc, "f.yaml", text, strlen(text), problems))
        fail_msg("%s", problems_count(problems) ? problems_text(problems, 0) : "no reason");
    assert_int_equal(problems_count(problems), 0);
    return doc;
}

static void a_document_becomes_a_tree_that_knows_its_lines(void **state)
{
    struct yaml_document *doc = parsed("# comment\n"
                                       "agent:\n"
                                       "  region: cn-shanghai\n"
                                       "  probe: {interval: 15s}\n"
                                       "list:\n"
                                       "  - a\n"
                                       "  - 'b c'\n");
    const struct yaml_node *root = yaml_root(doc), *agent = yaml_get(root, "agent"),
                           *list = yaml_get(root, "list");

    (void)state;
    assert_string_equal(yaml_name(doc), "f.yaml");
    assert_int_equal(yaml_kind(root), YAML_MAPPING);
    assert_int_equal(yaml_count(root), 2);
    assert_string_equal(yaml_text(yaml_key(root, 1)), "list");
    assert_int_equal(yaml_kind(agent), YAML_MAPPING);
    assert_string_equal(yaml_text(yaml_get(agent, "region")), "cn-shanghai");
    assert_int_equal(yaml_line(yaml_get(agent, "region")), 3);
    assert_string_equal(yaml_text(yaml_get(yaml_get(agent, "probe"), "interval")), "15s");
    assert_int_equal(yaml_kind(list), YAML_SEQUENCE);
    assert_int_equal(yaml_count(list), 2);
    assert_string_equal(yaml_text(yaml_item(list, 1)), "b c");
    assert_int_equal(yaml_line(yaml_item(list, 1)), 7);
    assert_true(yaml_is_quoted(yaml_item(list, 1)));
    assert_false(yaml_is_quoted(yaml_item(list, 0)));
    assert_null(yaml_get(root, "none"));
    assert_null(yaml_get(list, "none"));
    assert_string_equal(yaml_text(list), "");
    assert_int_equal(yaml_count(yaml_item(list, 0)), 0);
    yaml_destroy(doc);
}

static void an_empty_document_is_an_empty_mapping(void **state)
{
    static const char *const texts[] = {"",    "\n\n", "# only a comment\n", "---\n", "---\n...\n",
                                        "~\n", "null"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct yaml_document *doc = parsed(texts[i]);

        assert_int_equal(yaml_kind(yaml_root(doc)), YAML_MAPPING);
        assert_int_equal(yaml_count(yaml_root(doc)), 0);
        yaml_destroy(doc);
    }
    yaml_destroy(NULL);
}

static void expect_problem(const char *text, enum prober_error err, const char *told)
{
    struct yaml_document *doc = NULL;

    problems_destroy(problems);
    problems_create(&problems);
    assert_int_equal(yaml_read_text(&doc, "f.yaml", text, strlen(text), problems), err);
    assert_null(doc);
    assert_true(problems_count(problems) > 0);
    if (!strstr(problems_text(problems, 0), told))
        fail_msg("%s\nwas told: %s", text, problems_text(problems, 0));
}

static void what_libyaml_lets_pass_is_refused_with_its_line(void **state)
{
    static const char *const cases[][2] = {
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3:a: this key stands twice, first in line 1"},
        {"a: 1\n\"a\": 3\n", "f.yaml:2:a: this key stands twice"},
        {"x:\n  - {k: 1, k: 2}\n", "f.yaml:2:k: this key stands twice"},
        {"a: &x 1\nb: 2\n", "f.yaml:1: anchors"},
        {"a: &x {k: 1}\n", "f.yaml:1: anchors"},
        {"a: &x [1]\n", "f.yaml:1: anchors"},
        {"a: !!str 1\n", "f.yaml:1: tags"},
        {"a: !x [1]\n", "f.yaml:1: tags"},
        {"a: !x {b: 1}\n", "f.yaml:1: tags"},
        {"a: 1\n---\nb: 1\n", "f.yaml:2: a second document"},
        {"? [a, b]\n: 1\n", "f.yaml:1: a key must be a plain word"},
        {"\"a\\0b\": c\n", "f.yaml:1: a key must be a plain word"},
        {"{a: b}: c\n", "f.yaml:1: a key must be a plain word"},
        {"a: b: c\n", "f.yaml:1: mapping values are not allowed"},
        {"a: 1\n\tb: 2\n", "f.yaml:2: "},
        {"a: [1, 2\n", "f.yaml:2: "},
        {"a: \"open\n", "f.yaml:2: "},
        {"a: \xff\n", "f.yaml:1: invalid leading UTF-8 octet"},
        {"a: \x01\n", "f.yaml:1: control characters are not allowed"},
        {"%YAML 3.0\n---\na: 1\n", "f.yaml:1: "},
        {"- a\nb: 1\n", "f.yaml:2: "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_problem(cases[i][0], PROBER_ERR_SYNTAX, cases[i][1]);
}

static void an_alias_is_refused_before_it_multiplies(void **state)
{
    (void)state;
    expect_problem("a: &a [x]\nb: [*a, *a]\n", PROBER_ERR_SYNTAX, "f.yaml:1: anchors");
    assert_int_equal(problems_count(problems), 3);
    assert_string_equal(problems_text(problems, 2), "f.yaml:2: aliases (*name) are not taken");
}

static void all_duplicate_keys_are_told_at_once(void **state)
{
    (void)state;
    expect_problem("a: 1\nb: {c: 1, c: 2}\na: 2\n", PROBER_ERR_SYNTAX, "f.yaml:2:c");
    assert_int_equal(problems_count(problems), 2);
}

static void nesting_has_a_limit(void **state)
{
    static char text[20001];

    (void)state;
    memset(text, '[', 20000);
    expect_problem(text, PROBER_ERR_SYNTAX, "f.yaml:1: nested too deep");
    memset(text, '[', YAML_DEPTH_MAX);
    memset(text + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
    text[2 * YAML_DEPTH_MAX] = '\0';
    problems_destroy(problems);
    problems_create(&problems);
    yaml_destroy(parsed(text));
}

static void a_text_or_a_number_of_values_without_end_is_refused(void **state)
{
    struct strbuf text = STRBUF_INIT;
    struct yaml_document *doc = NULL;

    (void)state;
    strbuf_puts(&text, "[");
    for (unsigned i = 0; i < YAML_NODES_MAX; i++)
        strbuf_puts(&text, "a,");
    strbuf_puts(&text, "]");
    expect_problem(text.bytes, PROBER_ERR_SYNTAX, "too many values");
    strbuf_free(&text);
    strbuf_reserve(&text, YAML_FILE_MAX + 1);
    memset(text.bytes, '#', YAML_FILE_MAX + 1);
    assert_int_equal(yaml_read_text(&doc, "f.yaml", text.bytes, YAML_FILE_MAX + 1, problems),
                     PROBER_ERR_RANGE);
    strbuf_free(&text);
}

static void null_is_only_what_is_written_plainly(void **state)
{
    struct yaml_document *doc =
        parsed("a:\nb: ~\nc: null\nd: ''\ne: 'null'\nf: nil\ng: []\nh: {}\n");
    const struct yaml_node *root = yaml_root(doc);

    (void)state;
    for (size_t i = 0; i < yaml_count(root); i++)
        assert_int_equal(yaml_is_null(yaml_value(root, i)), i < 3);
    yaml_destroy(doc);
}

static void plain_scalars_are_numbers_and_truths(void **state)
{
    struct yaml_document *doc =
        parsed("[15, 0x10, true, False, 1, '15', 'true', yes, 1.5, {}, 99999999999999999999,\n"
               "\"1\\0\"]");
    const struct yaml_node *list = yaml_root(doc);
    int64_t number = 0;
    bool truth = false;

    (void)state;
    assert_int_equal(yaml_int(yaml_item(list, 0), &number), PROBER_OK);
    assert_int_equal(number, 15);
    assert_int_equal(yaml_int(yaml_item(list, 1), &number), PROBER_OK);
    assert_int_equal(number, 16);
    assert_int_equal(yaml_bool(yaml_item(list, 2), &truth), PROBER_OK);
    assert_true(truth);
    assert_int_equal(yaml_bool(yaml_item(list, 3), &truth), PROBER_OK);
    assert_false(truth);
    assert_int_equal(yaml_bool(yaml_item(list, 4), &truth), PROBER_OK);
    assert_true(truth);
    assert_int_equal(yaml_int(yaml_item(list, 5), &number), PROBER_ERR_SYNTAX);
    assert_int_equal(yaml_bool(yaml_item(list, 6), &truth), PROBER_ERR_SYNTAX);
    assert_int_equal(yaml_bool(yaml_item(list, 7), &truth), PROBER_ERR_SYNTAX);
    assert_int_equal(yaml_int(yaml_item(list, 8), &number), PROBER_ERR_SYNTAX);
    assert_int_equal(yaml_int(yaml_item(list, 9), &number), PROBER_ERR_SYNTAX);
    assert_int_equal(yaml_int(yaml_item(list, 10), &number), PROBER_ERR_RANGE);
    assert_int_equal(yaml_int(yaml_item(list, 11), &number), PROBER_ERR_SYNTAX);
    assert_int_equal(yaml_len(yaml_item(list, 11)), 2);
    assert_int_equal(number, 16);
    yaml_destroy(doc);
}

static void a_file_is_read_by_its_path(void **state)
{
    char path[] = "/tmp/test_yaml.XXXXXX";
    int fd = mkstemp(path);
    struct yaml_document *doc = NULL;

    (void)state;
    assert_int_equal(write(fd, "a: 1\n", 5), 5);
    close(fd);
    assert_int_equal(yaml_read_file(&doc, path, problems), PROBER_OK);
    assert_string_equal(yaml_name(doc), path);
    yaml_problem(problems, doc, yaml_get(yaml_root(doc), "a"), "a", "is %d", 1);
    assert_non_null(strstr(problems_text(problems, 0), ":1:a: is 1"));
    yaml_destroy(doc);
    unlink(path);
    assert_int_equal(yaml_read_file(&doc, path, problems), PROBER_ERR_NOT_FOUND);
    assert_non_null(strstr(problems_text(problems, 1), "No such file"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_document_becomes_a_tree_that_knows_its_lines),
        TEST(an_empty_document_is_an_empty_mapping),
        TEST(what_libyaml_lets_pass_is_refused_with_its_line),
        TEST(an_alias_is_refused_before_it_multiplies),
        TEST(all_duplicate_keys_are_told_at_once),
        TEST(nesting_has_a_limit),
        TEST(a_text_or_a_number_of_values_without_end_is_refused),
        TEST(null_is_only_what_is_written_plainly),
        TEST(plain_scalars_are_numbers_and_truths),
        TEST(a_file_is_read_by_its_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "libprober/target_list.h"

static struct problems *problems;
static struct target_list *list;

static int begin(void **state)
{
    (void)state;
    list = NULL;
    return problems_create(&problems);
}

static int end(void **state)
{
    (void)state;
    target_list_put(list);
    problems_destroy(problems);
    return 0;
}

static enum prober_error read_as(enum probe_kind kind, enum target_format format, const char *text)
{
    end(NULL);
    begin(NULL);
    return target_list_read(&list, kind, format, "t", text, strlen(text), problems);
}

static void given(enum target_format format, const char *text)
{
    if (read_as(PROBE_HTTP, format, text))
        fail_msg("%s", problems_text(problems, 0));
}

/* "region/text" of every target, in order, with commas between. */
static void expect_items(const char *wanted)
{
    struct strbuf text = STRBUF_INIT;

    for (size_t i = 0; i < list->count; i++)
        strbuf_printf(&text, "%s%s/%s", i ? "," : "",
                      list->items[i].region ? list->items[i].region : "", list->items[i].text);
    assert_string_equal(text.bytes ? text.bytes : "", wanted);
    strbuf_free(&text);
}

static void both_languages_say_the_same(void **state)
{
    (void)state;
    given(TARGET_FORMAT_JSON, "[{\"targets\": [\"b\", \"a:80\"], \"labels\": {\"env\": \"x\"}},\n"
                              " {\"labels\": {\"region\": \"r\"}, \"targets\": [\"https://c/\"]}]");
    expect_items("/a:80,/b,r/https://c/");
    given(TARGET_FORMAT_YAML, "- targets: [b, 'a:80']\n  labels: {env: x}\n"
                              "- labels: {region: r}\n  targets:\n  - https://c/\n");
    expect_items("/a:80,/b,r/https://c/");
}

static void a_target_listed_twice_is_there_once(void **state)
{
    (void)state;
    given(TARGET_FORMAT_JSON, "[{\"targets\": [\"a\", \"a\"]}, {\"targets\": [\"b\", \"a\"]},\n"
                              "{\"targets\": [\"a\"], \"labels\": {\"region\": \"r\"}}]");
    expect_items("/a,/b,r/a");
}

static void lists_may_be_empty(void **state)
{
    static const char *const texts[] = {"[]", "[{}]", "[{\"targets\":[]}]",
                                        "[{\"targets\":null,\"labels\":null}]",
                                        "[{\"targets\":[],\"labels\":{\"region\":\"\"}}]"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        given(TARGET_FORMAT_JSON, texts[i]);
        assert_int_equal(list->count, 0);
        given(TARGET_FORMAT_YAML, texts[i]);
        assert_int_equal(list->count, 0);
    }
}

static void an_empty_region_is_no_region(void **state)
{
    (void)state;
    given(TARGET_FORMAT_JSON, "[{\"targets\":[\"a\"],\"labels\":{\"region\":\"\"}}]");
    assert_null(list->items[0].region);
}

static void faults_say_what_and_where(void **state)
{
    static const struct {
        enum target_format format;
        const char *text, *told;
    } cases[] = {
        {TARGET_FORMAT_JSON, "", "t: JSON, line 1"},
        {TARGET_FORMAT_JSON, "[\n{\"targets\": [\"a\",]}]", "t: JSON, line 2, byte"},
        {TARGET_FORMAT_JSON, "[] x", "something follows"},
        {TARGET_FORMAT_JSON, "{}", "t: expected a list of groups"},
        {TARGET_FORMAT_JSON, "[[]]", "t:[0]: expected a group"},
        {TARGET_FORMAT_JSON, "[{}, \"a\"]", "t:[1]: expected a group"},
        {TARGET_FORMAT_JSON, "[{\"target\": []}]", "t:[0].target: unknown key"},
        {TARGET_FORMAT_JSON, "[{\"targets\": \"a\"}]", "t:[0].targets: expected a list"},
        {TARGET_FORMAT_JSON, "[{\"targets\": [\"a\", 7]}]", "t:[0].targets[1]: a target must be"},
        {TARGET_FORMAT_JSON, "[{\"targets\": [\"\"]}]", "t:[0].targets[0]: an empty target"},
        {TARGET_FORMAT_JSON, "[{\"targets\": [\"a b\"]}]", "no control characters: 'a b'"},
        {TARGET_FORMAT_JSON, "[{\"labels\": []}]", "t:[0].labels: expected a mapping"},
        {TARGET_FORMAT_JSON, "[{\"labels\": {\"a\": 1}}]", "t:[0].labels.a: a label's value"},
        {TARGET_FORMAT_JSON, "[{\"labels\": {\"region\": \"a\\nb\"}}]", "t:[0].labels.region: a n"},
        {TARGET_FORMAT_YAML, "", "t:1: expected a list of groups"},
        {TARGET_FORMAT_YAML, "- targets: [a\n", "t:2:"},
        {TARGET_FORMAT_YAML, "- targets: [a]\n- tragets: [b]\n", "t:2:[1].tragets: unknown key"},
        {TARGET_FORMAT_YAML, "- targets:\n  - a\n  - {}\n", "t:3:[0].targets[1]: a target must"},
        {TARGET_FORMAT_YAML, "- targets: &x [a]\n", "anchors"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(read_as(PROBE_HTTP, cases[i].format, cases[i].text), PROBER_ERR_SYNTAX);
        assert_null(list);
        if (!strstr(problems_text(problems, 0), cases[i].told))
            fail_msg("%s\nwas told: %s", cases[i].text, problems_text(problems, 0));
    }
}

static void a_faulty_target_with_a_password_is_not_quoted(void **state)
{
    (void)state;
    read_as(PROBE_HTTP, TARGET_FORMAT_JSON, "[{\"targets\": [\"http://me:hush@a b\"]}]");
    assert_int_equal(problems_count(problems), 1);
    assert_null(strstr(problems_text(problems, 0), "hush"));
}

static void what_is_a_target_depends_on_the_kind(void **state)
{
    (void)state;
    assert_int_equal(read_as(PROBE_ICMP, TARGET_FORMAT_JSON, "[{\"targets\": [\"::1\", \"a\"]}]"),
                     PROBER_OK);
    assert_int_equal(read_as(PROBE_ICMP, TARGET_FORMAT_JSON, "[{\"targets\": [\"a:80\"]}]"),
                     PROBER_ERR_SYNTAX);
}

/* Appends `count` times a text that holds %zu once. */
static void repeat(struct strbuf *out, const char *before, const char *after, size_t count)
{
    for (size_t i = 0; i < count; i++)
        strbuf_printf(out, "%s%s%zu%s", i ? "," : "", before, i, after);
}

static void a_list_that_is_too_large_is_refused(void **state)
{
    struct strbuf text = STRBUF_INIT;

    (void)state;
    strbuf_puts(&text, "[{\"targets\":[");
    repeat(&text, "\"t", "\"", PROBE_SPEC_TARGETS_MAX);
    strbuf_puts(&text, "]}]");
    assert_int_equal(read_as(PROBE_HTTP, TARGET_FORMAT_JSON, text.bytes), PROBER_OK);
    assert_int_equal(list->count, PROBE_SPEC_TARGETS_MAX);
    strbuf_clear(&text);
    strbuf_puts(&text, "[{\"targets\":[");
    repeat(&text, "\"t", "\"", PROBE_SPEC_TARGETS_MAX + 1);
    strbuf_puts(&text, "]}]");
    assert_int_equal(read_as(PROBE_HTTP, TARGET_FORMAT_JSON, text.bytes), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(problems_text(problems, 0), "more than 200000 targets"));
    strbuf_clear(&text);
    strbuf_puts(&text, "[");
    repeat(&text, "{\"targets\":[\"a\"],\"labels\":{\"region\":\"", "\"}}",
           TARGET_LIST_REGIONS_MAX + 1);
    strbuf_puts(&text, "]");
    assert_int_equal(read_as(PROBE_HTTP, TARGET_FORMAT_JSON, text.bytes), PROBER_ERR_RANGE);
    strbuf_free(&text);
}

static void a_document_of_too_many_bytes_or_values_is_refused(void **state)
{
    size_t len = TARGET_LIST_BYTES_MAX + 1;
    char *text = malloc(len + 1);

    (void)state;
    memset(text, ' ', len);
    text[len] = '\0';
    memcpy(text, "[]", 2);
    assert_int_equal(read_as(PROBE_HTTP, TARGET_FORMAT_JSON, text), PROBER_ERR_RANGE);
    text[len - 1] = '\0';
    assert_int_equal(read_as(PROBE_HTTP, TARGET_FORMAT_JSON, text), PROBER_OK);
    memset(text, '[', TARGET_LIST_VALUES_MAX + 1);
    assert_int_equal(read_as(PROBE_HTTP, TARGET_FORMAT_JSON, text), PROBER_ERR_RANGE);
    free(text);
}

static void what_is_written_reads_back_as_equal(void **state)
{
    struct strbuf text = STRBUF_INIT;
    struct target_list *before;

    (void)state;
    given(TARGET_FORMAT_YAML, "- targets: [b, a]\n- targets: ['x\"y']\n  labels: {region: 华东}\n"
                              "- targets: [c]\n  labels: {region: s}\n");
    before = target_list_get(list);
    target_list_write(&text, list);
    given(TARGET_FORMAT_JSON, text.bytes);
    assert_true(target_list_equal(before, list));
    target_list_put(before);
    given(TARGET_FORMAT_JSON, "[]");
    strbuf_clear(&text);
    target_list_write(&text, list);
    given(TARGET_FORMAT_JSON, text.bytes);
    assert_int_equal(list->count, 0);
    strbuf_free(&text);
}

static void merged_lists_hold_each_target_once(void **state)
{
    struct target_list *a, *b, *merged = NULL;

    (void)state;
    given(TARGET_FORMAT_YAML, "- targets: [c, a]\n- targets: [x]\n  labels: {region: r}\n");
    a = target_list_get(list);
    given(TARGET_FORMAT_YAML, "- targets: [b, a]\n- targets: [x, y]\n  labels: {region: r}\n");
    b = target_list_get(list);
    assert_int_equal(target_list_merge(&merged, (const struct target_list *[]){a, NULL, b}, 3),
                     PROBER_OK);
    target_list_put(a);
    target_list_put(b);
    target_list_put(list);
    list = merged;
    expect_items("/a,/b,/c,r/x,r/y");
    assert_false(target_list_equal(list, NULL));
    assert_true(target_list_equal(NULL, NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(both_languages_say_the_same),
        TEST(a_target_listed_twice_is_there_once),
        TEST(lists_may_be_empty),
        TEST(an_empty_region_is_no_region),
        TEST(faults_say_what_and_where),
        TEST(a_faulty_target_with_a_password_is_not_quoted),
        TEST(what_is_a_target_depends_on_the_kind),
        TEST(a_list_that_is_too_large_is_refused),
        TEST(a_document_of_too_many_bytes_or_values_is_refused),
        TEST(what_is_written_reads_back_as_equal),
        TEST(merged_lists_hold_each_target_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

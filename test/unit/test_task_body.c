#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/strbuf.h"
#include "serverd/task_body.h"

static struct task_body body;
static struct prober_failure why;

static enum prober_error read_body(const char *text)
{
    task_body_free(&body);
    why.text[0] = '\0';
    return task_body_read(&body, text, strlen(text), &why);
}

static int free_body(void **state)
{
    (void)state;
    task_body_free(&body);
    return 0;
}

static void assert_refused(const char *text, const char *said)
{
    enum prober_error err = read_body(text);

    if (!err || !strstr(why.text, said))
        fail_msg("%.100s: '%s' does not say '%s'", text, why.text, said);
    assert_null(body.root);
    assert_null(body.region);
}

static void the_example_of_the_originals_documentation_is_taken_as_printed(void **state)
{
    (void)state;
    assert_int_equal(read_body("{\n"
                               "\"region\": \"欧洲-美国-*\",\n"
                               "\"expr\": \"=~\",\n"
                               "\"cmd\": \"mtr -r www.baidu.com -c 20 -i0.1\",\n"
                               "}\n"),
                     PROBER_OK);
    assert_string_equal(body.region, "欧洲-美国-*");
    assert_string_equal(body.expr, "=~");
    assert_string_equal(body.line, "mtr -r www.baidu.com -c 20 -i0.1");
    assert_int_equal(body.timeout_ns, 0);
}

static void the_four_operators_are_taken_and_no_other(void **state)
{
    static const char *const all[] = {"=", "!=", "=~", "!~"};
    static const char *const others[] = {"", "==", "~", "=~ ", "like", "!"};
    char text[128];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        snprintf(text, sizeof(text), "{\"region\":\"a\",\"expr\":\"%s\",\"cmd\":\"x\"}", all[i]);
        assert_int_equal(read_body(text), PROBER_OK);
        assert_string_equal(body.expr, all[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        snprintf(text, sizeof(text), "{\"region\":\"a\",\"expr\":\"%s\",\"cmd\":\"x\"}", others[i]);
        assert_refused(text, "\"expr\": expected \"=\"");
    }
}

static void a_timeout_is_a_duration_within_a_day(void **state)
{
    (void)state;
    assert_int_equal(
        read_body("{\"timeout\":\"1m30s\",\"region\":\"a\",\"expr\":\"=\",\"cmd\":\"x\"}"),
        PROBER_OK);
    assert_int_equal(body.timeout_ns, 90 * UINT64_C(1000000000));
    assert_refused("{\"timeout\":\"0\"}", "\"timeout\": from 1s to 1d");
    assert_refused("{\"timeout\":\"25h\"}", "\"timeout\": from 1s to 1d");
    assert_refused("{\"timeout\":\"soon\"}", "\"timeout\": expected a duration");
    assert_refused("{\"timeout\":\"\"}", "\"timeout\": expected a duration");
    assert_refused("{\"timeout\":30}", "\"timeout\": expected a duration");
}

static void what_is_wrong_is_told_by_its_key(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"{\"region\":\"a\",\"expr\":\"=\"}", "\"cmd\": is missing"},
        {"{\"region\":\"a\",\"cmd\":\"x\"}", "\"expr\": is missing"},
        {"{\"expr\":\"=\",\"cmd\":\"x\"}", "\"region\": is missing"},
        {"{}", "\"region\": is missing"},
        {"{\"region\":\"\"}", "\"region\": is empty"},
        {"{\"cmd\":\" \\t\\n\"}", "\"cmd\": is empty"},
        {"{\"region\":null}", "\"region\": expected a string"},
        {"{\"region\":1}", "\"region\": expected a string"},
        {"{\"cmd\":true}", "\"cmd\": expected a string"},
        {"{\"cmd\":[\"mtr\"]}", "\"cmd\": expected a string"},
        {"{\"cmd\":{\"cmd\":\"x\"}}", "\"cmd\": expected a string"},
        {"{\"region\":[[[[[[[[", "\"region\": expected a string"},
        {"{\"region\":\"a\",\"region\":\"b\"}", "\"region\" stands twice"},
        {"{\"command\":\"x\"}", "\"command\": is not known here"},
        {"{\"CMD\":\"x\"}", "\"CMD\": is not known here"},
        {"{\"\":\"x\"}", "\"\": is not known here"},
        {"{\"a\\nb\":\"x\"}", "\"a\\nb\": is not known here"},
        {"{\"cmd\":\"a\\u0000b\"}", "\"cmd\": has a NUL"},
        {"{\"a\\u0000b\":\"\"}", "has a NUL"},
        {"{\"cmd\":\"a\\u001bb\"}", "\"cmd\": has a control character (0x1b)"},
        {"{\"region\":\"a\\nb\"}", "\"region\": has a control character (0x0a)"},
        {"{\"region\":\"a\\u007f\"}", "\"region\": has a control character (0x7f)"},
        {"{\"region\":\"\xff\"}", "\"region\": is not UTF-8"},
        {"{\"cmd\":\"\xed\xa0\x80\"}", "\"cmd\": is not UTF-8"},
        {"{\"\xc0\x80\":\"\"}", "\"\\xc0\\x80\": is not UTF-8"},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_refused(cases[i].text, cases[i].said);
}

static void what_is_no_object_is_refused(void **state)
{
    static const char *const texts[] = {
        "",     " ",    "[]",        "\"region\"", "null",
        "{",    "}",    "{\"region", "{,}",        "{\"a\":\"b\",,}",
        "[1,]", "{}{}", "{} ,",      ",",          "{\"cmd\":\"x\\"};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_refused(texts[i], "");
}

static void a_nul_byte_anywhere_is_refused(void **state)
{
    char text[] = "{\"region\":\"a\",\"expr\":\"=\",\"cmd\":\"x y\"}";
    (void)state;

    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char kept = text[i];

        text[i] = '\0';
        assert_int_not_equal(task_body_read(&body, text, sizeof(text) - 1, &why), PROBER_OK);
        text[i] = kept;
    }
    assert_int_equal(read_body(text), PROBER_OK);
}

static void put_long(struct strbuf *text, const char *key, size_t len)
{
    strbuf_clear(text);
    strbuf_printf(text, "{\"%s\":\"", key);
    for (size_t i = 0; i < len; i++)
        strbuf_putc(text, 'a');
    strbuf_puts(text, "\",\"timeout\":\"1s\",\"expr\":\"=\"");
    strbuf_puts(text, strcmp(key, "region") == 0 ? ",\"cmd\":\"x\"}" : ",\"region\":\"x\"}");
}

static void what_is_too_long_is_refused(void **state)
{
    struct strbuf text = STRBUF_INIT;
    (void)state;

    put_long(&text, "region", 10240);
    assert_refused(text.bytes, "\"region\": has 10240 bytes, 1024 are the most");
    put_long(&text, "region", TASK_BODY_REGION_MAX);
    assert_int_equal(read_body(text.bytes), PROBER_OK);
    put_long(&text, "cmd", TASK_BODY_LINE_MAX + 1);
    assert_refused(text.bytes, "\"cmd\": has 4097 bytes, 4096 are the most");
    put_long(&text, "cmd", TASK_BODY_LINE_MAX);
    assert_int_equal(read_body(text.bytes), PROBER_OK);
    put_long(&text, "cmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmd", 1);
    assert_refused(text.bytes, "\"cmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdcmdc\": is not known here");
    strbuf_free(&text);
}

static void escapes_and_commas_in_strings_are_theirs(void **state)
{
    (void)state;
    assert_int_equal(read_body("{\"region\":\"\\u534e,}\",\"expr\":\"=\",\"cmd\":\"echo \\\",}\\\" "
                               "\\\\u0000\" , \r\n}"),
                     PROBER_OK);
    assert_string_equal(body.region, "华,}");
    assert_string_equal(body.line, "echo \",}\" \\u0000");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, free_body)
    const struct CMUnitTest tests[] = {
        TEST(the_example_of_the_originals_documentation_is_taken_as_printed),
        TEST(the_four_operators_are_taken_and_no_other),
        TEST(a_timeout_is_a_duration_within_a_day),
        TEST(what_is_wrong_is_told_by_its_key),
        TEST(what_is_no_object_is_refused),
        TEST(a_nul_byte_anywhere_is_refused),
        TEST(what_is_too_long_is_refused),
        TEST(escapes_and_commas_in_strings_are_theirs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

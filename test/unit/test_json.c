#include "test/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/json.h"

static struct json *parsed(const char *text)
{
    struct json *value = NULL;
    struct prober_failure why;

    if (json_parse(&value, text, strlen(text), &why))
        fail_msg("%s: %s", text, why.text);
    return value;
}

static void a_document_is_read(void **state)
{
    struct json *v =
        parsed(" {\"name\": \"z\\u00fcrich \\ud83d\\ude00\", \"n\": -1.5e2, \"big\": 12,"
               "\"list\": [1, true, null, \"x\"], \"empty\": {}, \"off\": false}\n");
    double number;
    uint64_t whole;
    bool flag;

    (void)state;
    assert_true(json_is_object(v));
    assert_int_equal(json_count(v), 6);
    assert_string_equal(json_string(json_get(v, "name")), "z\xc3\xbcrich \xf0\x9f\x98\x80");
    assert_int_equal(json_number(json_get(v, "n"), &number), PROBER_OK);
    assert_true(number == -150);
    assert_int_equal(json_u64(json_get(v, "big"), &whole), PROBER_OK);
    assert_int_equal(whole, 12);
    assert_true(json_is_array(json_get(v, "list")));
    assert_int_equal(json_count(json_get(v, "list")), 4);
    assert_int_equal(json_bool(json_at(json_get(v, "list"), 1), &flag), PROBER_OK);
    assert_true(flag);
    assert_int_equal(json_bool(json_get(v, "off"), &flag), PROBER_OK);
    assert_false(flag);
    assert_true(json_is_null(json_at(json_get(v, "list"), 2)));
    assert_null(json_at(json_get(v, "list"), 4));
    assert_string_equal(json_key(v, 1), "n");
    assert_null(json_get(v, "NAME"));
    json_free(v);
}

static void members_are_walked_in_order(void **state)
{
    struct json *v = parsed("{\"a\":1,\"b\":2,\"c\":3}");
    char names[4] = "";
    size_t i = 0;

    (void)state;
    for (const struct json *m = json_first(v); m; m = json_next(m))
        names[i++] = *json_name(m);
    assert_string_equal(names, "abc");
    json_free(v);
}

static void nothing_is_fine_everywhere(void **state)
{
    double number;
    uint64_t whole;
    bool flag;

    (void)state;
    assert_null(json_get(NULL, "x"));
    assert_null(json_at(NULL, 0));
    assert_null(json_key(NULL, 0));
    assert_null(json_first(NULL));
    assert_null(json_next(NULL));
    assert_null(json_name(NULL));
    assert_int_equal(json_count(NULL), 0);
    assert_null(json_string(NULL));
    assert_false(json_is_object(NULL) || json_is_array(NULL) || json_is_null(NULL));
    assert_int_equal(json_number(NULL, &number), PROBER_ERR_SYNTAX);
    assert_int_equal(json_u64(NULL, &whole), PROBER_ERR_SYNTAX);
    assert_int_equal(json_bool(NULL, &flag), PROBER_ERR_SYNTAX);
    assert_null(json_print(NULL, false));
    json_free(NULL);
}

static void what_is_not_strictly_json_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text;
        const char *told;
    } cases[] = {
        {"", "byte 0: the text ends"},
        {"  ", "byte 2: the text ends"},
        {"{} x", "byte 3: something follows"},
        {"{}{}", "byte 2: something follows"},
        {"{\"a\":1,}", "expected a string"},
        {"[1,]", "expected a value"},
        {"[1 2]", "expected ',' or ']'"},
        {"{\"a\" 1}", "expected ':'"},
        {"{\"a\":1 \"b\":2}", "expected ',' or '}'"},
        {"{a:1}", "expected a string"},
        {"{\"a\":1,\"a\":2}", "\"a\" stands twice"},
        {"[{\"x\":{\"k\":1,\"j\":2,\"k\":1}}]", "\"k\" stands twice"},
        {"{\"a\":1,\"\\u0061\":2}", "\"a\" stands twice"},
        {"\"a\\u0000b\"", "\\u0000"},
        {"\"\\ud800\"", "half a surrogate"},
        {"\"\\ud800\\u0041\"", "half a surrogate"},
        {"\"\\udc00\"", "half a surrogate"},
        {"\"\\u12g4\"", "four hexadecimal"},
        {"\"\\x41\"", "unknown escape"},
        {"\"\\", "unknown escape"},
        {"\"abc", "without an end"},
        {"\"a\nb\"", "control character"},
        {"\"\xff\"", "not UTF-8"},
        {"\"\xc0\x80\"", "not UTF-8"},
        {"01", "malformed number"},
        {"-", "malformed number"},
        {"1.", "malformed number"},
        {"1e", "malformed number"},
        {".5", "expected a value"},
        {"+1", "expected a value"},
        {"0x10", "something follows"},
        {"nul", "expected a value"},
        {"True", "expected a value"},
        {"NaN", "expected a value"},
        {"\xef\xbb\xbf{}", "expected a value"},
        {"// x\n{}", "expected a value"},
        {"'a'", "expected a value"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json *v = NULL;
        struct prober_failure why = {0};

        if (json_parse(&v, cases[i].text, strlen(cases[i].text), &why) != PROBER_ERR_SYNTAX)
            fail_msg("'%s' was taken", cases[i].text);
        if (!strstr(why.text, cases[i].told))
            fail_msg("'%s' was told: %s", cases[i].text, why.text);
        assert_null(v);
    }
}

static void a_nul_byte_is_no_end(void **state)
{
    struct json *v = NULL;

    (void)state;
    assert_int_equal(json_parse(&v, "{}\0{}", 5, NULL), PROBER_ERR_SYNTAX);
    assert_int_equal(json_parse(&v, "\"a\0b\"", 5, NULL), PROBER_ERR_SYNTAX);
}

static void nesting_has_a_limit(void **state)
{
    static char text[400000];
    struct json *v = NULL;
    struct prober_failure why;

    (void)state;
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    assert_int_equal(json_parse(&v, text, 2 * JSON_DEPTH_MAX, &why), PROBER_OK);
    json_free(v);
    memset(text, '[', sizeof(text));
    assert_int_equal(json_parse(&v, text, sizeof(text), &why), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "too deep"));
}

static void whole_numbers_are_exact_or_refused(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0},
                {"9007199254740991", UINT64_C(9007199254740991)},
                {"1e3", 1000},
                {"\"18446744073709551615\"", UINT64_MAX},
                {"\"7\"", 7}};
    static const char *const bad[] = {"9007199254740992",
                                      "9007199254740993",
                                      "-1",
                                      "1.5",
                                      "1e400",
                                      "\"\"",
                                      "\"-1\"",
                                      "\"1 \"",
                                      "\"18446744073709551616\"",
                                      "\"0x1\"",
                                      "true",
                                      "null",
                                      "[]"};
    uint64_t whole = 99;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct json *v = parsed(good[i].text);

        assert_int_equal(json_u64(v, &whole), PROBER_OK);
        assert_true(whole == good[i].value);
        json_free(v);
    }
    whole = 99;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct json *v = parsed(bad[i]);

        if (json_u64(v, &whole) != PROBER_ERR_SYNTAX)
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(whole, 99);
        json_free(v);
    }
}

static void a_made_document_is_printed_and_reads_back(void **state)
{
    struct json *v = json_object(), *list = json_array();
    char *text;

    (void)state;
    json_add_string(v, "text", "a\"b\\\n\x01\xff\xc2\x9b/z\xc3\xbcrich");
    json_add_double(v, "rtt", 0.1);
    json_add_double(v, "third", 1.0 / 3);
    json_add_double(v, "inf", INFINITY);
    json_add_u64(v, "count", 9007199254740991);
    json_add_u64(v, "id", 9007199254740993);
    json_add_bool(v, "up", true);
    json_add_null(v, "none");
    json_append(list, json_new_u64(1));
    json_append(list, json_object());
    json_add(v, "list", list);
    json_add(v, "empty", json_array());
    text = json_print(v, false);
    assert_string_equal(text, "{\"text\":\"a\\\"b\\\\\\n\\u0001\\ufffd\\u009b/z\xc3\xbcrich\","
                              "\"rtt\":0.1,\"third\":0.3333333333333333,\"inf\":null,"
                              "\"count\":9007199254740991,\"id\":\"9007199254740993\","
                              "\"up\":true,\"none\":null,\"list\":[1,{}],\"empty\":[]}");
    json_free(parsed(text));
    free(text);
    text = json_print(json_get(v, "list"), true);
    assert_string_equal(text, "[\n  1,\n  {}\n]");
    free(text);
    text = json_print(v, true);
    assert_non_null(strstr(text, "\n  \"rtt\": 0.1,\n"));
    free(text);
    json_free(v);
}

static void a_number_that_no_double_holds_is_none(void **state)
{
    struct json *v = parsed("[1e999]");
    double number = 7;
    char *text = json_print(v, false);

    (void)state;
    assert_int_equal(json_number(json_at(v, 0), &number), PROBER_ERR_SYNTAX);
    assert_string_equal(text, "[null]");
    free(text);
    json_free(v);
}

static void what_could_not_be_made_makes_its_parents_fail(void **state)
{
    struct json *v = json_object(), *inner = json_array();

    (void)state;
    json_append(inner, NULL);
    json_add_u64(v, "before", 1);
    json_add(v, "inner", inner);
    assert_null(json_print(v, false));
    json_add(NULL, "lost", json_new_string("not leaked"));
    json_append(NULL, json_new_string("not leaked"));
    json_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_read),
        cmocka_unit_test(members_are_walked_in_order),
        cmocka_unit_test(nothing_is_fine_everywhere),
        cmocka_unit_test(what_is_not_strictly_json_is_refused_with_its_place),
        cmocka_unit_test(a_nul_byte_is_no_end),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(whole_numbers_are_exact_or_refused),
        cmocka_unit_test(a_made_document_is_printed_and_reads_back),
        cmocka_unit_test(a_number_that_no_double_holds_is_none),
        cmocka_unit_test(what_could_not_be_made_makes_its_parents_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/unit/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/regex.h"

static bool matches_bytes(const char *pattern, const char *bytes, size_t len)
{
    struct prober_failure why = {.code = PROBER_OK};
    struct regex_subject subject;
    struct regex *r = NULL;
    bool matched;

    if (regex_create(&r, pattern, &why))
        fail_msg("%s: %s", pattern, why.text);
    assert_int_equal(regex_subject_init(&subject, bytes, len), PROBER_OK);
    matched = regex_matches(r, &subject);
    regex_subject_free(&subject);
    regex_destroy(r);
    return matched;
}

static bool matches(const char *pattern, const char *text)
{
    return matches_bytes(pattern, text, strlen(text));
}

static void expect_fault(const char *pattern, enum prober_error expected, const char *told)
{
    struct prober_failure why = {.code = PROBER_OK};
    struct regex *r = NULL;

    if (regex_create(&r, pattern, &why) != expected || r || !strstr(why.text, told))
        fail_msg("'%s' gave: %s", pattern, why.text);
}

static void a_pattern_matches_anywhere_in_the_text(void **state)
{
    (void)state;
    assert_true(matches("needle", "hay needle hay"));
    assert_false(matches("needle", "hay"));
    assert_true(matches("", ""));
}

static void a_dot_is_anything_but_a_newline_unless_s_is_set(void **state)
{
    (void)state;
    assert_false(matches("a.b", "a\nb"));
    assert_true(matches("(?s)a.b", "a\nb"));
    assert_true(matches("a.b", "a\rb"));
}

static void carets_and_dollars_are_the_ends_of_the_text_unless_m_is_set(void **state)
{
    (void)state;
    assert_false(matches("^b", "a\nb"));
    assert_true(matches("(?m)^b$", "a\nb"));
    assert_false(matches("abc$", "abc\n"));
    assert_true(matches("abc$", "abc"));
    assert_true(matches("(?m)abc$", "abc\n"));
    assert_true(matches("\\Aabc\\z", "abc"));
}

static void text_is_read_by_character_and_word_classes_are_of_ascii(void **state)
{
    (void)state;
    assert_true(matches("^.$", "\xc3\xa9"));
    assert_false(matches("^\\w+$", "\xc3\xa9"));
    assert_false(matches("^\\d$", "\xd9\xa1"));
    assert_true(matches("^\\pL$", "\xc3\xa9"));
    assert_true(matches("^\\p{Greek}$", "\xce\xb1"));
    assert_true(matches("(?i)^\xc3\x89$", "\xc3\xa9"));
}

static void a_byte_that_is_no_utf8_acts_as_one_replacement_character(void **state)
{
    (void)state;
    assert_true(matches("^a.b$", "a\xff"
                                 "b"));
    assert_true(matches("^a\\x{FFFD}{2}b$", "a\xed\xa0"
                                            "b"));
    assert_true(matches("^[^x]$", "\x80"));
    assert_true(matches("^.{3}$", "\xf0\x90\x80"));
    assert_true(matches("^.$", "\xf0\x90\x80\x80"));
    assert_false(matches("^\\xff$", "\xff")); /* the character U+00FF, not the byte */
}

static void invalid_bytes_and_nul_do_not_end_matching(void **state)
{
    (void)state;
    assert_true(matches("needle", "\xff\xfe\x80needle"));
    assert_true(matches_bytes("needle$", "a\0b\xffneedle", 10));
    assert_true(matches_bytes("^a\\x00b$", "a\0b", 3));
    assert_true(matches("12345678.needle", "12345678\xff"
                                           "needle"));
}

static void nested_quantifiers_do_not_hang(void **state)
{
    (void)state;
    assert_false(matches("^(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"));
    assert_false(matches("(x+x+)+y", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
}

static void what_go_knows_is_taken(void **state)
{
    static const char *const patterns[] = {
        "(?P<n>a)",    "a+?",        "a{2,3}?",   "\\Qa.b\\E", "\\Q\\C",  "\\pN",
        "[[:alpha:]]", "\\x{1F600}", "a{1000}",   "(?imsU)a",  "(?i:a)b", "a|b|",
        "[^\\d\\n]",   "\\bx",       "\\Q\\E\\n", "\\\\C",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        struct prober_failure why;
        struct regex *r = NULL;

        if (regex_create(&r, patterns[i], &why))
            fail_msg("%s: %s", patterns[i], why.text);
        regex_destroy(r);
    }
}

static void what_go_refuses_is_refused_with_the_reason(void **state)
{
    static const char *const patterns[] = {
        ":[",
        "(?=a)",
        "(?!a)",
        "(?<=a)b",
        "(a)\\1",
        "a++",
        "a**",
        "a{1001}",
        "a\\Z",
        "(?x)a",
        "(?>a)",
        "[z-a]",
        "\\p{Nope}",
        "a)",
        "(a",
        "\\C",
        "\\Qa\\E\\C",
        "*a",
        "a\\",
        "\xff",
        "[[:no:]]",
        "a{2,1}",
        "((a{100}){100}){100}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
        expect_fault(patterns[i], PROBER_ERR_SYNTAX, " ");
    expect_fault(":[", PROBER_ERR_SYNTAX, "missing ]");
    expect_fault("a\\Z", PROBER_ERR_SYNTAX, "\\Z");
}

static void a_pattern_or_program_of_absurd_size_is_refused(void **state)
{
    char *pattern = malloc(REGEX_PATTERN_MAX + 2);

    (void)state;
    memset(pattern, 'a', REGEX_PATTERN_MAX + 1);
    pattern[REGEX_PATTERN_MAX + 1] = '\0';
    expect_fault(pattern, PROBER_ERR_RANGE, "longer than");
    free(pattern);
    expect_fault("(\\pL{500}|\\pN{500}|\\PL{500}){2}", PROBER_ERR_RANGE, "too large");
}

static struct regex *shared;

static void *match_often(void *arg)
{
    size_t found = 0;

    for (int i = 0; i < 500; i++) {
        struct regex_subject s;
        char text[32];

        memset(text, 'a' + i % 26, sizeof(text));
        if (regex_subject_init(&s, text, sizeof(text)) == PROBER_OK)
            found += regex_matches(shared, &s);
        regex_subject_free(&s);
    }
    *(size_t *)arg = found;
    return NULL;
}

static void one_regex_serves_several_threads(void **state)
{
    pthread_t threads[4];
    size_t found[ARRAY_LEN(threads)];

    (void)state;
    assert_int_equal(regex_create(&shared, "^[a-m]+$", NULL), PROBER_OK);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_often, &found[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(found[i], 19 * 13 + 6);
    regex_destroy(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_matches_anywhere_in_the_text),
        cmocka_unit_test(a_dot_is_anything_but_a_newline_unless_s_is_set),
        cmocka_unit_test(carets_and_dollars_are_the_ends_of_the_text_unless_m_is_set),
        cmocka_unit_test(text_is_read_by_character_and_word_classes_are_of_ascii),
        cmocka_unit_test(a_byte_that_is_no_utf8_acts_as_one_replacement_character),
        cmocka_unit_test(invalid_bytes_and_nul_do_not_end_matching),
        cmocka_unit_test(nested_quantifiers_do_not_hang),
        cmocka_unit_test(what_go_knows_is_taken),
        cmocka_unit_test(what_go_refuses_is_refused_with_the_reason),
        cmocka_unit_test(a_pattern_or_program_of_absurd_size_is_refused),
        cmocka_unit_test(one_regex_serves_several_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

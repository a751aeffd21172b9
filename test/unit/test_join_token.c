#include "test/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "common/join_token.h"

static struct join_token token;
static char text[JOIN_TOKEN_TEXT_MAX];
static struct prober_failure why;

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(token.secret); i++)
        token.secret[i] = (uint8_t)(17 * i);
    for (size_t i = 0; i < sizeof(token.ca_fingerprint); i++)
        token.ca_fingerprint[i] = (uint8_t)(255 - 7 * i);
    join_token_format(&token, text);
    return 0;
}

static enum prober_error parse(const char *word)
{
    struct join_token read;

    return join_token_parse(word, strlen(word), &read, &why);
}

static void a_token_is_one_word_that_reads_back(void **state)
{
    struct join_token read;
    (void)state;

    assert_int_equal(strlen(text), JOIN_TOKEN_LEN);
    assert_int_equal(strspn(text, "abcdefghijklmnopqrstuvwxyz1234567"), JOIN_TOKEN_LEN);
    assert_int_equal(join_token_parse(text, strlen(text), &read, &why), PROBER_OK);
    assert_memory_equal(&read, &token, sizeof(read));
}

static void its_spelling_stays_as_it_is(void **state)
{
    (void)state;
    memset(&token, 0, sizeof(token));
    assert_string_equal(join_token_format(&token, text),
                        "pmj1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                        "aaaaaaakemhk4q");
}

static void blanks_around_it_and_capitals_do_no_harm(void **state)
{
    char noisy[JOIN_TOKEN_LEN + 16];
    (void)state;

    snprintf(noisy, sizeof(noisy), " \t%s\r\n\n", text);
    for (char *c = noisy; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 32);
    assert_int_equal(parse(noisy), PROBER_OK);
}

static void any_one_character_mistyped_is_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < JOIN_TOKEN_LEN; i++)
        for (const char *c = "abz2789 \x01\xff"; *c; c++) {
            char before = text[i];

            if (*c == before)
                continue;
            text[i] = *c;
            assert_int_not_equal(parse(text), PROBER_OK);
            assert_null(strstr(why.text, text + 4));
            text[i] = before;
        }
    assert_int_equal(parse(text), PROBER_OK);
}

static void two_characters_swapped_are_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < JOIN_TOKEN_LEN; i++) {
        char first = text[i];

        if (first == text[i + 1])
            continue;
        text[i] = text[i + 1];
        text[i + 1] = first;
        assert_int_not_equal(parse(text), PROBER_OK);
        text[i + 1] = text[i];
        text[i] = first;
    }
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *word, *says;
        enum prober_error err;
    } cases[] = {
        {"", "is empty", PROBER_ERR_SYNTAX},
        {"  \n", "is empty", PROBER_ERR_SYNTAX},
        {"hello", "begins with pmj", PROBER_ERR_SYNTAX},
        {"pm", "begins with pmj", PROBER_ERR_SYNTAX},
        {"pmj", "has 3 characters instead of 88", PROBER_ERR_SYNTAX},
        {"pmj1abc", "has 7 characters instead of 88", PROBER_ERR_SYNTAX},
        {"pmj2", "later kind", PROBER_ERR_VERSION},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].word), cases[i].err);
        assert_non_null(strstr(why.text, cases[i].says));
    }
    text[50] = '!';
    assert_int_equal(parse(text), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "mistyped"));
    text[3] = 'x';
    assert_int_equal(parse(text), PROBER_ERR_SYNTAX);
}

static void a_zero_byte_within_it_is_refused(void **state)
{
    struct join_token read;
    (void)state;

    text[40] = '\0';
    assert_int_equal(join_token_parse(text, JOIN_TOKEN_LEN, &read, &why), PROBER_ERR_SYNTAX);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, set_up)
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_one_word_that_reads_back),      TEST(its_spelling_stays_as_it_is),
        TEST(blanks_around_it_and_capitals_do_no_harm), TEST(any_one_character_mistyped_is_noticed),
        TEST(two_characters_swapped_are_noticed),       TEST(what_is_wrong_is_said),
        TEST(a_zero_byte_within_it_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

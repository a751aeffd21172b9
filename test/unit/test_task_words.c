#include "test/unit/unit.h"

#include <string.h>

#include "agentd/task_words.h"
#include "common/array.h"

static struct task_words words;
static struct prober_failure why;

static enum prober_error split(const char *line)
{
    why.text[0] = '\0';
    return task_words_split(&words, line, strlen(line), &why);
}

static void assert_words(const char *line, const char *joined)
{
    char text[256] = "";

    if (split(line))
        fail_msg("%s: %s", line, why.text);
    for (size_t i = 0; i < words.count; i++) {
        strcat(text, words.items[i]);
        strcat(text, "|");
    }
    assert_string_equal(text, joined);
}

static void words_stand_between_blanks(void **state)
{
    (void)state;
    assert_words("mtr -r -c 20 -i0.1 example.com", "mtr|-r|-c|20|-i0.1|example.com|");
    assert_words("  ping\t\t::1  ", "ping|::1|");
    assert_words("dig +short @8.8.8.8 a.b, x=y/z:1%2_3", "dig|+short|@8.8.8.8|a.b,|x=y/z:1%2_3|");
}

static void quotes_keep_what_is_between_them(void **state)
{
    (void)state;
    assert_words("'ping' \"a b\"", "ping|a b|");
    assert_words("a'b c'\"d'e\"", "ab cd'e|");
    assert_words("ping '' \"\"", "ping|||");
    assert_words("'$(reboot)' \"`x`;\\\"", "$(reboot)|`x`;\\|");
}

static void what_a_shell_would_act_on_is_refused(void **state)
{
    static const char chars[] = "|&;<>()$`\\*?[]{}~!#^";
    char line[] = "ping a?b";

    (void)state;
    for (size_t i = 0; chars[i]; i++) {
        line[6] = chars[i];
        assert_int_equal(split(line), PROBER_ERR_SYNTAX);
        assert_non_null(strchr(why.text, chars[i]));
    }
}

static void bytes_that_are_no_text_are_refused_in_quotes_as_well(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char bare[] = "ping a?b", quoted[] = "ping 'a?b'";

        bare[6] = quoted[7] = (char)c;
        if ((c >= 0x20 && c < 0x7f) || c == '\t')
            continue;
        assert_int_equal(task_words_split(&words, bare, 8, &why), PROBER_ERR_SYNTAX);
        assert_int_equal(task_words_split(&words, quoted, 10, &why), PROBER_ERR_SYNTAX);
    }
}

static void a_quote_that_does_not_end_is_refused(void **state)
{
    static const char *const lines[] = {"'", "\"", "ping 'a", "ping \"a'", "ping 'a\"", "a'b'c'"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(split(lines[i]), PROBER_ERR_SYNTAX);
}

static void nothing_is_no_command(void **state)
{
    (void)state;
    assert_int_equal(split(""), PROBER_ERR_SYNTAX);
    assert_int_equal(split(" \t "), PROBER_ERR_SYNTAX);
}

static void the_longest_line_and_the_most_words_are_taken_and_no_more(void **state)
{
    static char line[TASK_LINE_MAX + 2];

    (void)state;
    memset(line, 'a', TASK_LINE_MAX + 1);
    assert_int_equal(task_words_split(&words, line, TASK_LINE_MAX, &why), PROBER_OK);
    assert_int_equal(strlen(words.items[0]), TASK_LINE_MAX);
    assert_int_equal(task_words_split(&words, line, TASK_LINE_MAX + 1, &why), PROBER_ERR_RANGE);
    for (size_t i = 1; i < TASK_LINE_MAX; i += 2)
        line[i] = ' ';
    assert_int_equal(task_words_split(&words, line, TASK_WORDS_MAX * 2, &why), PROBER_OK);
    assert_int_equal(words.count, TASK_WORDS_MAX);
    assert_int_equal(task_words_split(&words, line, TASK_WORDS_MAX * 2 + 1, &why),
                     PROBER_ERR_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_stand_between_blanks),
        cmocka_unit_test(quotes_keep_what_is_between_them),
        cmocka_unit_test(what_a_shell_would_act_on_is_refused),
        cmocka_unit_test(bytes_that_are_no_text_are_refused_in_quotes_as_well),
        cmocka_unit_test(a_quote_that_does_not_end_is_refused),
        cmocka_unit_test(nothing_is_no_command),
        cmocka_unit_test(the_longest_line_and_the_most_words_are_taken_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/task_words.h"
#include "common/array.h"
#include "probermesh/task_line.h"

static char *line_of(const char *const *words, size_t count)
{
    struct strbuf line = STRBUF_INIT;

    task_line_put(&line, (char *const *)(uintptr_t)words, count);
    return strbuf_take(&line, NULL);
}

static void plain_words_stay_as_they_are(void **state)
{
    static const char *const words[] = {"mtr",          "-r",     "-c",         "20",       "-i0.1",
                                        "fe80::1%eth0", "+noall", "@192.0.2.1", "--count=3"};
    char *line = line_of(words, ARRAY_LEN(words));
    (void)state;

    assert_string_equal(line, "mtr -r -c 20 -i0.1 fe80::1%eth0 +noall @192.0.2.1 --count=3");
    free(line);
}

static void the_agent_reads_the_same_words(void **state)
{
    static const char *const words[] = {"ss",
                                        "-tn",
                                        "state established",
                                        "( dport = :22 )",
                                        "",
                                        "it's",
                                        "''",
                                        "\"",
                                        "a'b\"c'd",
                                        "$HOME",
                                        "`id`",
                                        "a;b|c&d",
                                        "*",
                                        "~",
                                        "#",
                                        "\\",
                                        "!",
                                        "{a,b}",
                                        "a\tb",
                                        "-",
                                        "--"};
    static struct task_words read_back;
    char *line = line_of(words, ARRAY_LEN(words));
    struct prober_failure why = {.text = ""};
    (void)state;

    assert_int_equal(task_words_split(&read_back, line, strlen(line), &why), PROBER_OK);
    assert_int_equal(read_back.count, ARRAY_LEN(words));
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        assert_string_equal(read_back.items[i], words[i]);
    free(line);
}

static void a_shell_reads_the_same_words(void **state)
{
    static const char *const words[] = {"printf", "<%s>", "it's", "", "$HOME`id`\\", "a\"b'c;"};
    char *line = line_of(words, ARRAY_LEN(words)), answer[128] = "";
    FILE *shell = popen(line, "r");
    (void)state;

    assert_non_null(shell);
    answer[fread(answer, 1, sizeof(answer) - 1, shell)] = '\0';
    assert_int_equal(pclose(shell), 0);
    assert_string_equal(answer, "<it's><><$HOME`id`\\><a\"b'c;>");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_words_stay_as_they_are),
        cmocka_unit_test(the_agent_reads_the_same_words),
        cmocka_unit_test(a_shell_reads_the_same_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "probermesh/table.h"
#include "probermesh/view.h"

typedef enum prober_error (*view_fn)(const struct json *, struct view_style, struct strbuf *,
                                     struct prober_failure *);

/* What the view prints for an answer; the caller frees it. */
static char *printed(view_fn view, const char *answer, struct view_style style)
{
    struct strbuf out = STRBUF_INIT;
    struct prober_failure why;
    struct json *json;

    assert_int_equal(json_parse(&json, answer, strlen(answer), &why), PROBER_OK);
    assert_int_equal(view(json, style, &out, &why), PROBER_OK);
    json_free(json);
    return strbuf_take(&out, NULL);
}

static void expect_print(view_fn view, const char *answer, struct view_style style, const char *text)
{
    char *page = printed(view, answer, style);

    assert_string_equal(page, text);
    free(page);
}

static const char mesh[] =
    "{\"pairs\":["
    "{\"source\":\"b\",\"target\":\"a\",\"loss_ratio\":1,\"mean\":null,\"sent\":64},"
    "{\"source\":\"a\",\"target\":\"b\",\"loss_ratio\":0.031,\"mean\":0.0812,\"sent\":64}]}";

static void the_matrix_has_sources_as_rows_and_targets_as_columns(void **state)
{
    (void)state;
    expect_print(view_matrix, mesh, (struct view_style){0, false},
                 "from \\ to          a             b\n"
                 "a                     3.1% 81.2 ms\n"
                 "b          100% lost              \n");
}

static void a_pair_that_received_nothing_shows_no_rtt(void **state)
{
    char *page = printed(view_matrix, mesh, (struct view_style){0, false});

    (void)state;
    assert_non_null(strstr(page, "100% lost"));
    assert_null(strstr(page, "0 ms"));
    free(page);
}

static void a_pair_without_data_says_why(void **state)
{
    (void)state;
    expect_print(view_matrix,
                 "{\"pairs\":[{\"source\":\"a\",\"target\":\"b\",\"loss_ratio\":null,\"unsent\":3},"
                 "{\"source\":\"a\",\"target\":\"c\",\"loss_ratio\":null,\"unknown\":3},"
                 "{\"source\":\"a\",\"target\":\"d\"}]}",
                 (struct view_style){0, false},
                 "from \\ to  a         b        c  d\n"
                 "a             not sent  unknown  -\n"
                 "b                                 \n"
                 "c                                 \n"
                 "d                                 \n");
}

static void colours_follow_the_loss(void **state)
{
    char *page = printed(view_matrix, mesh, (struct view_style){0, true});

    (void)state;
    assert_non_null(strstr(page, "\033[33m3.1% 81.2 ms\033[0m"));
    assert_non_null(strstr(page, "\033[1;31m100% lost\033[0m"));
    free(page);
}

static void a_narrow_terminal_gets_blocks_that_repeat_the_region(void **state)
{
    (void)state;
    expect_print(view_matrix, mesh, (struct view_style){24, false},
                 "from \\ to          a\n"
                 "a                   \n"
                 "b          100% lost\n"
                 "\n"
                 "from \\ to             b\n"
                 "a          3.1% 81.2 ms\n"
                 "b                      \n");
}

static void wide_characters_and_control_bytes_keep_the_columns(void **state)
{
    (void)state;
    assert_int_equal(table_text_width("欧洲-1"), 6);
    assert_int_equal(table_text_width("\xff"), 1);
    expect_print(view_matrix,
                 "{\"pairs\":[{\"source\":\"欧洲\",\"target\":\"a\\u001b[2J\",\"loss_ratio\":0,"
                 "\"mean\":1.2}]}",
                 (struct view_style){0, false},
                 "from \\ to      a?[2J  欧洲\n"
                 "a?[2J                     \n"
                 "欧洲       0% 1.20 s      \n");
}

/* U+009B begins a command to a terminal as ESC [ does; U+202E turns the direction of text. */
static void no_character_of_a_name_commands_the_terminal(void **state)
{
    (void)state;
    expect_print(view_matrix,
                 "{\"pairs\":[{\"source\":\"a\\u009b2J\",\"target\":\"b\\u202e\",\"loss_ratio\":0,"
                 "\"mean\":1.2}]}",
                 (struct view_style){0, false},
                 "from \\ to  a?2J         b?\n"
                 "a?2J             0% 1.20 s\n"
                 "b?                        \n");
}

static void no_pairs_yet_is_said_in_words(void **state)
{
    char *page = printed(view_matrix, "{\"pairs\":[]}", (struct view_style){0, false});

    (void)state;
    assert_non_null(strstr(page, "no region pairs yet"));
    free(page);
}

static void pairs_are_listed_with_their_numbers(void **state)
{
    (void)state;
    expect_print(view_pairs,
                 "{\"pairs\":[{\"source\":\"a\",\"target\":\"b\",\"loss_ratio\":0.5,\"sent\":10,"
                 "\"received\":5,\"lost\":5,\"unknown\":0,\"unsent\":2,\"min\":0.000153,\"mean\":0.001,"
                 "\"p50\":null,\"age\":3.5}]}",
                 (struct view_style){0, false},
                 "SOURCE  TARGET  LOSS  SENT  RECEIVED  LOST  UNKNOWN  UNSENT     MIN     MEAN  P50  "
                 "P90  P99  MAX  STDDEV     AGE\n"
                 "a       b        50%    10         5     5        0       2  153 us  1.00 ms    -    "
                 "-    -    -       -  3.50 s\n");
}

static void agents_are_listed_with_their_state(void **state)
{
    (void)state;
    expect_print(view_agents,
                 "{\"agents\":[{\"region\":\"eu\",\"alive\":true,\"addresses\":[\"10.0.0.1\",\"fd00::1\"],"
                 "\"version\":\"1.0\",\"trust\":\"joined\",\"observed_address\":\"10.0.0.1\",\"id\":\"00ff\","
                 "\"last_seen_age\":61.2},{\"region\":\"us\",\"alive\":false,\"addresses\":[]}]}",
                 (struct view_style){0, false},
                 "REGION  STATE  ADDRESSES         VERSION  TRUST   LINK FROM  ID    LAST SEEN\n"
                 "eu      alive  10.0.0.1 fd00::1  1.0      joined  10.0.0.1   00ff       1m1s\n"
                 "us      gone   -                 -        -       -          -             -\n");
}

static void changes_are_listed_with_who_made_them(void **state)
{
    (void)state;
    expect_print(view_audit,
                 "{\"records\":[{\"id\":2,\"time\":1700000000.5,\"who\":\"token:ci\","
                 "\"client\":\"10.0.0.1\",\"method\":\"POST\",\"target\":\"/-/reload\","
                 "\"body\":\"\",\"status\":200},{\"who\":\"uid:0\",\"status\":null}]}",
                 (struct view_style){0, false},
                 "TIME                  WHO       FROM      METHOD  TARGET     STATUS\n"
                 "2023-11-14 22:13:20Z  token:ci  10.0.0.1  POST    /-/reload     200\n"
                 "-                     uid:0     -         -       -               -\n");
}

static void urls_are_listed_with_what_most_agents_say(void **state)
{
    static const char answer[] =
        "{\"urls\":["
        "{\"source\":\"eu\",\"target_region\":\"web\",\"target\":\"https://a.test/\",\"succeeded\":2,"
        "\"failed\":{},\"phases\":{\"resolve\":0.001,\"connect\":0.01,\"tls\":0.02,"
        "\"processing\":0.03,\"transfer\":0.001},\"duration\":0.0625,\"status_code\":200,"
        "\"ssl_earliest_cert_expiry\":1900000000,\"age\":1.5},"
        "{\"source\":\"eu\",\"target_region\":\"web\",\"target\":\"b.test\",\"succeeded\":1,"
        "\"failed\":{\"timeout\":1,\"status_code\":3},\"phases\":null,\"status_code\":500},"
        "{\"source\":\"us\",\"target_region\":\"\",\"target\":\"c.test\",\"succeeded\":0}]}";

    (void)state;
    expect_print(
        view_urls, answer, (struct view_style){0, false},
        "FROM  REGION  URL              STATE            STATUS    TOTAL  RESOLVE  CONNECT      TLS  "
        "PROCESSING  TRANSFER  CERTIFICATE     AGE\n"
        "eu    web     https://a.test/  ok                  200  62.5 ms  1.00 ms  10.0 ms  20.0 ms  "
        "   30.0 ms   1.00 ms   2030-03-17  1.50 s\n"
        "eu    web     b.test           status_code 4/5     500        -        -        -        -  "
        "         -         -            -       -\n"
        "us            c.test           -                     -        -        -        -        -  "
        "         -         -            -       -\n");
}

static void no_urls_is_said_in_words(void **state)
{
    (void)state;
    expect_print(view_urls, "{\"urls\":[]}", (struct view_style){0, false},
                 "no URLs: the server's probe file (-server.probe.file) names them\n");
}

static void an_answer_of_another_shape_is_refused(void **state)
{
    static const char *const answers[] = {"{}", "[]", "{\"pairs\":3,\"agents\":{}}", "null",
                                          "{\"pairs\":[{\"source\":\"a\"}]}", "{\"pairs\":[7]}"};
    struct prober_failure why;

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct strbuf out = STRBUF_INIT;
        struct json *json;

        assert_int_equal(json_parse(&json, answers[i], strlen(answers[i]), &why), PROBER_OK);
        assert_int_equal(view_matrix(json, (struct view_style){0, false}, &out, &why),
                         PROBER_ERR_PROTOCOL);
        assert_non_null(strstr(why.text, "ProberMesh server"));
        json_free(json);
        strbuf_free(&out);
    }
}

static void seconds_take_the_unit_that_reads_best(void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0.00 us"},        {0.000001, "1.00 us"}, {0.0000123, "12.3 us"},
                 {0.000999, "999 us"},  {0.001, "1.00 ms"},    {0.0812, "81.2 ms"},
                 {0.9994, "999 ms"},    {0.9996, "1.00 s"},    {12.34, "12.3 s"}};
    char text[VIEW_SECONDS_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(view_seconds(cases[i].seconds, text), cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_matrix_has_sources_as_rows_and_targets_as_columns),
        cmocka_unit_test(a_pair_that_received_nothing_shows_no_rtt),
        cmocka_unit_test(a_pair_without_data_says_why),
        cmocka_unit_test(colours_follow_the_loss),
        cmocka_unit_test(a_narrow_terminal_gets_blocks_that_repeat_the_region),
        cmocka_unit_test(wide_characters_and_control_bytes_keep_the_columns),
        cmocka_unit_test(no_character_of_a_name_commands_the_terminal),
        cmocka_unit_test(no_pairs_yet_is_said_in_words),
        cmocka_unit_test(pairs_are_listed_with_their_numbers),
        cmocka_unit_test(agents_are_listed_with_their_state),
        cmocka_unit_test(changes_are_listed_with_who_made_them),
        cmocka_unit_test(urls_are_listed_with_what_most_agents_say),
        cmocka_unit_test(no_urls_is_said_in_words),
        cmocka_unit_test(an_answer_of_another_shape_is_refused),
        cmocka_unit_test(seconds_take_the_unit_that_reads_best),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

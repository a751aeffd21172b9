#include "test/unit/unit.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "probermesh/task_view.h"

static const struct view_style plain = {0, false};
static struct json *given;
static struct strbuf out;
static struct prober_failure why;

static int clean(void **state)
{
    (void)state;
    json_free(given);
    given = NULL;
    strbuf_free(&out);
    return 0;
}

static const struct json *given_json(const char *text)
{
    json_free(given);
    given = NULL;
    if (json_parse(&given, text, strlen(text), &why))
        fail_msg("%s", why.text);
    return given;
}

#define EXITED(code)                                                                               \
    "{\"region\":\"a\",\"state\":\"done\",\"ended\":true,\"exit_code\":" #code ",\"duration\":2."  \
                                                                               "31}"
#define REFUSED                                                                                    \
    "{\"region\":\"b\",\"state\":\"refused\",\"ended\":true,\"exit_code\":null,\"text\":\"no "     \
    "such\\u001b[2J command\"}"
#define RUNNING "{\"region\":\"c\",\"state\":\"running\",\"ended\":false}"

static void outcomes_are_told_in_a_line(void **state)
{
    static const struct {
        const char *row, *text;
    } cases[] = {
        {EXITED(0), "exit 0, 2.31 s"},
        {REFUSED, "refused: no such\\x1b[2J command"},
        {RUNNING, "running"},
        {"{\"state\":\"done\",\"signal\":11,\"exit_code\":null,\"left_behind\":2}",
         "signal 11, 2 left behind and killed"},
        {"{}", ""},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        strbuf_clear(&out);
        task_view_outcome(given_json(cases[i].row), &out);
        assert_string_equal(out.bytes ? out.bytes : "", cases[i].text);
    }
}

static void the_verdict_is_that_of_the_worst_agent(void **state)
{
    (void)state;
    assert_int_equal(task_view_verdict(given_json("{\"agents\":[" EXITED(0) "," EXITED(0) "]}")),
                     TASK_ALL_WELL);
    assert_int_equal(task_view_verdict(given_json("{\"agents\":[" EXITED(1) "," EXITED(0) "]}")),
                     TASK_SOME_FAILED);
    assert_int_equal(task_view_verdict(given_json("{\"agents\":[" EXITED(1) "," REFUSED "]}")),
                     TASK_SOME_NOT_RUN);
}

static void progress_is_counted_by_state(void **state)
{
    (void)state;
    task_view_progress(given_json("{\"counts\":{\"running\":1,\"queued\":2,\"done\":1,\"sent\":0},"
                                  "\"agents\":[" EXITED(0) "," RUNNING "," RUNNING "," RUNNING
                                                           "]}"),
                       &out);
    assert_string_equal(out.bytes, "1 of 4 have ended (1 running, 2 queued)");
    strbuf_clear(&out);
    task_view_progress(given_json("{\"agents\":[" EXITED(0) "]}"), &out);
    assert_string_equal(out.bytes, "1 of 1 have ended");
}

static void tasks_are_listed(void **state)
{
    (void)state;
    assert_int_equal(
        task_view_list(given_json("{\"tasks\":[{\"id\":\"t1\",\"made\":1700000000.5,\"who\":"
                                  "\"token:ops\",\"agent_count\":3,\"ended_count\":2,\"expr\":"
                                  "\"=~\",\"region\":\"欧洲-.*\",\"cmd\":\"mtr\\nx\"}]}"),
                       plain, &out, &why),
        PROBER_OK);
    assert_string_equal(out.bytes,
                        "ID  MADE                  WHO        ENDED   REGION      COMMAND\n"
                        "t1  2023-11-14 22:13:20Z  token:ops  2 of 3  =~ 欧洲-.*  mtr?x\n");
    strbuf_clear(&out);
    assert_int_equal(task_view_list(given_json("{\"tasks\":[]}"), plain, &out, &why), PROBER_OK);
    assert_string_equal(out.bytes, "no tasks\n");
    assert_int_equal(task_view_list(given_json("{}"), plain, &out, &why), PROBER_ERR_PROTOCOL);
}

static void a_task_is_shown_agent_by_agent(void **state)
{
    (void)state;
    assert_int_equal(
        task_view_show(given_json("{\"cmd\":\"ping x\",\"who\":\"uid:0\",\"agents\":[" EXITED(
                           0) "," REFUSED "]}"),
                       plain, &out, &why),
        PROBER_OK);
    assert_non_null(strstr(out.bytes, "command  ping x\nby       uid:0\n"
                                      "agents   2 of 2 have ended\n\nREGION  "));
    assert_non_null(strstr(out.bytes, "refused"));
    assert_null(strchr(out.bytes, '\x1b'));
    assert_int_equal(task_view_show(given_json("[]"), plain, &out, &why), PROBER_ERR_PROTOCOL);
}

#define PANEL(row_, out_, err_)                                                                    \
    {                                                                                              \
        .row = row_, .out = out_, .out_len = strlen(out_), .err = err_, .err_len = strlen(err_)    \
    }

static void panels_follow_one_another_where_there_is_no_terminal(void **state)
{
    const struct json *rows = given_json("[" EXITED(0) "," REFUSED "]");
    const struct task_panel panels[] = {PANEL(json_at(rows, 0), "one\ttwo\x1b[2J\r\n\xff", "oh"),
                                        PANEL(json_at(rows, 1), "", "")};
    (void)state;

    task_view_panels(panels, 2, plain, &out);
    assert_string_equal(out.bytes, "a    exit 0, 2.31 s\none\ttwo\x1b[2J\r\n\xff\nstderr:\noh\n\n"
                                   "b    refused: no such\\x1b[2J command\n\n");
}

static void panels_stand_side_by_side_where_they_fit(void **state)
{
    const struct json *rows = given_json("[" EXITED(0) "," EXITED(1) "," RUNNING "]");
    const struct task_panel panels[] = {PANEL(json_at(rows, 0), "华\n", ""),
                                        PANEL(json_at(rows, 1), "1\n2\n", ""),
                                        PANEL(json_at(rows, 2), "a line as long as this", "")};
    (void)state;

    task_view_panels(panels, 3, (struct view_style){60, false}, &out);
    assert_string_equal(out.bytes, "a    exit 0, 2.31 s │ a    exit 1, 2.31 s\n"
                                   "华                  │ 1\n"
                                   "                    │ 2\n"
                                   "\n"
                                   "c    running\n"
                                   "a line as long as this\n"
                                   "\n");
    strbuf_clear(&out);
    task_view_panels(panels, 3, (struct view_style){10, false}, &out);
    assert_null(strstr(out.bytes, "│"));
}

static void nothing_that_an_agent_wrote_commands_a_terminal(void **state)
{
    const struct json *rows = given_json("[" EXITED(0) "]");
    const struct task_panel panels[] = {
        PANEL(json_at(rows, 0), "a\tb\x1b]0;x\x07\r\n\xff\xe2\x80\xae\rz\n", "\xc2\x9b")};
    (void)state;

    task_view_panels(panels, 1, (struct view_style){80, false}, &out);
    assert_string_equal(out.bytes, "a    exit 0, 2.31 s\n"
                                   "a       b\\x1b]0;x\\x07\n"
                                   "\\xff\\u202e\\rz\n"
                                   "stderr:\n"
                                   "\\u009b\n"
                                   "\n");
}

static void titles_have_the_colour_of_what_came_of_it(void **state)
{
    const struct json *rows = given_json("[" EXITED(0) "," EXITED(2) "]");
    const struct task_panel panels[] = {PANEL(json_at(rows, 0), "", ""),
                                        PANEL(json_at(rows, 1), "", "")};
    (void)state;

    task_view_panels(panels, 2, (struct view_style){80, true}, &out);
    assert_string_equal(out.bytes, "\033[32ma    exit 0, 2.31 s\033[0m │ "
                                   "\033[1;31ma    exit 2, 2.31 s\033[0m\n\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, clean)
    const struct CMUnitTest tests[] = {
        TEST(outcomes_are_told_in_a_line),
        TEST(the_verdict_is_that_of_the_worst_agent),
        TEST(progress_is_counted_by_state),
        TEST(tasks_are_listed),
        TEST(a_task_is_shown_agent_by_agent),
        TEST(panels_follow_one_another_where_there_is_no_terminal),
        TEST(panels_stand_side_by_side_where_they_fit),
        TEST(nothing_that_an_agent_wrote_commands_a_terminal),
        TEST(titles_have_the_colour_of_what_came_of_it),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

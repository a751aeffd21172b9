#include "test/unit/unit.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "test/unit/fakes/fake_clock.h"

#define DAY_NS (86400 * CLOCK_NS_PER_S)
#define NOV_25 (UINT64_C(1764028800) * CLOCK_NS_PER_S) /* 2025-11-25T00:00:00Z */

static char dir[64];
static int real_stderr;

/* Each test has a directory, and stderr in a file of it. */
static int begin(void **state)
{
    char path[128];
    int fd;

    (void)state;
    strcpy(dir, "/tmp/test_log.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/stderr", dir);
    fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    real_stderr = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
    fake_clock.real_ns = NOV_25 + 12345 * CLOCK_NS_PER_MS;
    return 0;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    log_close();
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

static char *content_of(const char *name)
{
    char path[256], *bytes;
    size_t len;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return file_read(path, 10 << 20, &bytes, &len, NULL) ? strdup("") : bytes;
}

static void expect_file(const char *name, const char *text)
{
    char *bytes = content_of(name);

    assert_string_equal(bytes, text);
    free(bytes);
}

static bool exists(const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void touch(const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(file_replace(path, "old", 3, 0600, NULL), PROBER_OK);
}

static void given_log(const char *subdir, enum log_level level, enum log_format format)
{
    struct prober_failure why;

    if (log_open(&(struct log_config){"agentd", subdir, level, format, 0}, &why))
        fail_msg("%s", why.text);
}

static void a_line_has_time_level_message_and_fields(void **state)
{
    (void)state;
    given_log(NULL, LOG_INFO, LOG_LOGFMT);
    log_info("agent joined", LOG_S("region", "cn-shanghai"), LOG_I("n", -3), LOG_U("u", 7),
             LOG_F("f", 0.25), LOG_D("age", 90 * CLOCK_NS_PER_S));
    expect_file("stderr", "time=2025-11-25T00:00:12.345Z level=info msg=\"agent joined\" "
                          "region=cn-shanghai n=-3 u=7 f=0.25 age=1m30s\n");
}

static void the_same_line_in_json(void **state)
{
    (void)state;
    given_log("", LOG_INFO, LOG_JSON);
    log_warn("agent \"joined\"", LOG_S("region", "a\nb"), LOG_I("n", -3), LOG_F("f", NAN),
             LOG_S("none", NULL), LOG_D("age", CLOCK_NS_PER_MS));
    expect_file("stderr",
                "{\"time\":\"2025-11-25T00:00:12.345Z\",\"level\":\"warn\",\"msg\":\"agent "
                "\\\"joined\\\"\",\"region\":\"a\\nb\",\"n\":-3,\"f\":null,\"none\":null,\"age\":"
                "\"1ms\"}\n");
}

static void before_it_is_opened_warnings_go_to_stderr(void **state)
{
    (void)state;
    log_info("not shown");
    log_warn("shown");
    expect_file("stderr", "time=2025-11-25T00:00:12.345Z level=warn msg=shown\n");
}

static void only_the_level_and_more_severe_ones_are_written(void **state)
{
    char *bytes;

    (void)state;
    given_log(NULL, LOG_ERROR, LOG_LOGFMT);
    log_fatal("one");
    log_error("two");
    log_warn("three");
    log_trace("four");
    bytes = content_of("stderr");
    assert_non_null(strstr(bytes, "level=fatal msg=one"));
    assert_non_null(strstr(bytes, "level=error msg=two"));
    assert_null(strstr(bytes, "three"));
    assert_null(strstr(bytes, "four"));
    free(bytes);
}

static void nothing_from_the_network_can_forge_a_line(void **state)
{
    (void)state;
    given_log(NULL, LOG_INFO, LOG_LOGFMT);
    log_info("m", LOG_S("a", "x\ntime=now level=panic"), LOG_S("b", "say \"hi\" \\"),
             LOG_S("c", "\x1b[2J\xff"), LOG_S("d", ""), LOG_S("e", "k=v"), LOG_S("f", NULL));
    expect_file("stderr", "time=2025-11-25T00:00:12.345Z level=info msg=m "
                          "a=\"x\\ntime=now level=panic\" b=\"say \\\"hi\\\" \\\\\" "
                          "c=\"\\x1b[2J\\xff\" d=\"\" e=\"k=v\" f=\"\"\n");
}

static void a_value_without_end_is_cut_at_a_character(void **state)
{
    static char text[100000];
    char *bytes;

    (void)state;
    given_log(NULL, LOG_INFO, LOG_LOGFMT);
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text + 4095, "\xc3\xbc", 2);
    log_info("m", LOG_S("a", text));
    bytes = content_of("stderr");
    assert_true(strlen(bytes) < 4200);
    assert_null(strchr(bytes, '\\'));
    assert_non_null(strstr(bytes, "xxx\n"));
    free(bytes);
}

static void lines_go_to_the_days_file_and_its_link(void **state)
{
    static const char line[] = "time=2025-11-25T00:00:12.345Z level=info msg=hello\n";
    char path[128];
    struct stat st;

    (void)state;
    snprintf(path, sizeof(path), "%s/a/b", dir);
    given_log(path, LOG_INFO, LOG_LOGFMT);
    log_info("hello");
    expect_file("stderr", line);
    expect_file("a/b/agentd-20251125.log", line);
    expect_file("a/b/agentd.log", line);
    stat(path, &st);
    assert_int_equal(st.st_mode & 0777, 0750);
    strcat(path, "/agentd-20251125.log");
    stat(path, &st);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void a_new_day_has_a_new_file_and_old_ones_go(void **state)
{
    char *bytes;

    (void)state;
    touch("agentd-20251118.log");
    touch("agentd-20251119.log");
    touch("agentd-20251117.log");
    touch("serverd-20200101.log");
    touch("agentd-20200101.log.gz");
    touch("agentd-2020010.log");
    given_log(dir, LOG_INFO, LOG_LOGFMT);
    assert_false(exists("agentd-20251117.log"));
    assert_true(exists("agentd-20251118.log"));
    log_info("first");
    fake_clock.real_ns += DAY_NS;
    log_info("second");
    assert_false(exists("agentd-20251118.log"));
    assert_true(exists("agentd-20251119.log"));
    assert_true(exists("serverd-20200101.log"));
    assert_true(exists("agentd-20200101.log.gz"));
    assert_true(exists("agentd-2020010.log"));
    bytes = content_of("agentd-20251125.log");
    assert_non_null(strstr(bytes, "first"));
    assert_null(strstr(bytes, "second"));
    free(bytes);
    bytes = content_of("agentd.log");
    assert_non_null(strstr(bytes, "second"));
    assert_null(strstr(bytes, "first"));
    free(bytes);
}

static void a_clock_that_steps_back_keeps_the_file(void **state)
{
    (void)state;
    given_log(dir, LOG_INFO, LOG_LOGFMT);
    fake_clock.real_ns -= 2 * DAY_NS;
    log_info("back");
    assert_false(exists("agentd-20251123.log"));
    expect_file("agentd-20251125.log", "time=2025-11-23T00:00:12.345Z level=info msg=back\n");
}

static void a_rotation_that_fails_is_told_and_tried_again(void **state)
{
    char path[128];
    char *bytes;

    (void)state;
    given_log(dir, LOG_INFO, LOG_LOGFMT);
    snprintf(path, sizeof(path), "%s/agentd-20251126.log", dir);
    mkdir(path, 0700); /* in the way */
    fake_clock.real_ns += DAY_NS;
    log_info("one");
    log_info("two");
    bytes = content_of("agentd-20251125.log");
    assert_non_null(strstr(bytes, "cannot open the log file"));
    assert_non_null(strstr(bytes, "msg=one"));
    assert_non_null(strstr(bytes, "msg=two"));
    free(bytes);
    rmdir(path);
    fake_clock.real_ns += 61 * CLOCK_NS_PER_S;
    log_info("three");
    bytes = content_of("agentd-20251126.log");
    assert_non_null(strstr(bytes, "msg=three"));
    free(bytes);
}

static void a_directory_that_cannot_be_made_keeps_the_old_settings(void **state)
{
    struct prober_failure why;
    char path[128];

    (void)state;
    given_log(dir, LOG_INFO, LOG_LOGFMT);
    snprintf(path, sizeof(path), "%s/stderr/sub", dir); /* stderr is a file */
    assert_int_equal(log_open(&(struct log_config){"agentd", path, LOG_ERROR, LOG_JSON, 0}, &why),
                     PROBER_ERR_IO);
    assert_non_null(strstr(why.text, "Not a directory"));
    log_info("still here");
    expect_file("agentd.log", "time=2025-11-25T00:00:12.345Z level=info msg=\"still here\"\n");
}

static void opening_again_takes_the_new_settings(void **state)
{
    char path[128];

    (void)state;
    given_log(dir, LOG_INFO, LOG_LOGFMT);
    snprintf(path, sizeof(path), "%s/new", dir);
    given_log(path, LOG_DEBUG, LOG_JSON);
    log_debug("hello");
    expect_file("agentd.log", "");
    expect_file("new/agentd.log",
                "{\"time\":\"2025-11-25T00:00:12.345Z\",\"level\":\"debug\",\"msg\":\"hello\"}\n");
}

static void a_file_where_the_link_should_be_is_left_alone(void **state)
{
    (void)state;
    touch("agentd.log");
    given_log(dir, LOG_INFO, LOG_LOGFMT);
    log_info("x");
    expect_file("agentd.log", "old");
    assert_true(exists("agentd-20251125.log"));
}

#define LINES_EACH 300

static void *write_lines(void *argument)
{
    for (int i = 0; i < LINES_EACH; i++)
        log_info("line", LOG_S("who", argument), LOG_I("i", i));
    return NULL;
}

static void lines_of_many_threads_stay_whole(void **state)
{
    pthread_t threads[4];
    static char names[4][5] = {"aaaa", "bbbb", "cccc", "dddd"};
    char *bytes, *rest, *line;
    int count = 0;

    (void)state;
    given_log(dir, LOG_INFO, LOG_LOGFMT);
    fake_clock.real_ns += DAY_NS; /* they rotate, too */
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, write_lines, names[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    bytes = content_of("stderr");
    for (line = strtok_r(bytes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), count++)
        assert_int_equal(
            strncmp(line, "time=2025-11-26T00:00:12.345Z level=info msg=line who=", 54), 0);
    assert_int_equal(count, 4 * LINES_EACH);
    free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_has_time_level_message_and_fields),
        TEST(the_same_line_in_json),
        TEST(before_it_is_opened_warnings_go_to_stderr),
        TEST(only_the_level_and_more_severe_ones_are_written),
        TEST(nothing_from_the_network_can_forge_a_line),
        TEST(a_value_without_end_is_cut_at_a_character),
        TEST(lines_go_to_the_days_file_and_its_link),
        TEST(a_new_day_has_a_new_file_and_old_ones_go),
        TEST(a_clock_that_steps_back_keeps_the_file),
        TEST(a_rotation_that_fails_is_told_and_tried_again),
        TEST(a_directory_that_cannot_be_made_keeps_the_old_settings),
        TEST(opening_again_takes_the_new_settings),
        TEST(a_file_where_the_link_should_be_is_left_alone),
        TEST(lines_of_many_threads_stay_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Result files of tasks: their names, their content, and that nothing else is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "serverd/task_files.h"

#define NOW_NS (UINT64_C(1700000000) * CLOCK_NS_PER_S)
#define STAMP "2023-11-14_22-13-20"

static char top[] = "/tmp/test_task_files.XXXXXX";
static char dir[sizeof(top) + 8];
static unsigned tests_run;

static struct task_files *given_files(uint64_t size_max, uint64_t age_ns)
{
    struct task_files *files;
    const struct task_files_config config = {.dir = dir, .size_max = size_max, .age_ns = age_ns};

    snprintf(dir, sizeof(dir), "%s/%u", top, tests_run++);
    assert_int_equal(task_files_create(&files, &config), PROBER_OK);
    return files;
}

static enum prober_error write_one(struct task_files *files, const char *region, const char *output,
                                   uint64_t now_ns)
{
    const struct task_files_result result = {region, "192.0.2.1", "ping -c 1 a", output,
                                             strlen(output)};
    struct prober_failure why;

    return task_files_write(files, &result, now_ns, &why);
}

static char *content(const char *name)
{
    char path[512], *bytes;
    struct prober_failure why;
    size_t len;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return file_read(path, 1 << 20, &bytes, &len, &why) ? NULL : bytes;
}

static bool is_there(const char *name)
{
    char *bytes = content(name);

    free(bytes);
    return bytes != NULL;
}

static void a_file_has_the_name_and_the_layout_of_the_original(void **state)
{
    struct task_files *files = given_files(0, 0);
    char *bytes, path[512];
    struct stat st;

    (void)state;
    assert_int_equal(write_one(files, "欧洲-柏林", "PING a\n1 sent", NOW_NS), PROBER_OK);
    bytes = content("欧洲-柏林_192.0.2.1_" STAMP);
    assert_non_null(bytes);
    assert_string_equal(bytes, "commond:\nping -c 1 a \n\noutput:\nPING a\n1 sent");
    free(bytes);
    snprintf(path, sizeof(path), "%s/欧洲-柏林_192.0.2.1_" STAMP, dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777 & ~0640, 0);
    task_files_destroy(files);
}

static void a_second_result_of_the_same_second_gets_a_suffix(void **state)
{
    struct task_files *files = given_files(0, 0);
    struct task_files_counts counts;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(write_one(files, "eu",
                                   i == 0   ? "a"
                                   : i == 1 ? "b"
                                            : "c",
                                   NOW_NS),
                         PROBER_OK);
    assert_true(is_there("eu_192.0.2.1_" STAMP));
    assert_true(is_there("eu_192.0.2.1_" STAMP ".2"));
    assert_true(is_there("eu_192.0.2.1_" STAMP ".3"));
    task_files_counts(files, &counts);
    assert_int_equal(counts.written, 3);
    task_files_destroy(files);
}

static void named(const char *region, const char *address, const char *expected)
{
    struct strbuf name = STRBUF_INIT;

    task_files_name(&name, region, address, NOW_NS);
    assert_string_equal(name.bytes, expected);
    strbuf_free(&name);
}

static void a_name_holds_nothing_that_leads_elsewhere(void **state)
{
    char large[10241];
    struct strbuf name = STRBUF_INIT;

    (void)state;
    named("../../etc/cron.d/x", "::1", "%2E.%2F..%2Fetc%2Fcron.d%2Fx_::1_" STAMP);
    named("/etc/passwd", "a", "%2Fetc%2Fpasswd_a_" STAMP);
    named(".", "a", "%2E_a_" STAMP);
    named("-rf", "a", "%2Drf_a_" STAMP);
    named("a\nb", "a", "a%0Ab_a_" STAMP);
    named("50%", "a", "50%25_a_" STAMP);
    named("\xff\xc3", "a", "%FF%C3_a_" STAMP);
    named("a\u202eb", "a", "a%E2%80%AEb_a_" STAMP);
    named("eu", "fe80::1%../x", "eu_fe80::1%25..%2Fx_" STAMP);
    named("eu", "", "eu_none_" STAMP);
    named("", "a", "_a_" STAMP);
    memset(large, '/', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    task_files_name(&name, large, large, NOW_NS);
    assert_true(name.len <= 210);
    assert_null(strchr(name.bytes, '/'));
    strbuf_free(&name);
}

static void long_regions_that_begin_alike_have_names_that_differ(void **state)
{
    struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;
    char region[400];

    (void)state;
    memset(region, 'r', sizeof(region) - 1);
    region[sizeof(region) - 1] = '\0';
    task_files_name(&a, region, "a", NOW_NS);
    region[398] = 'x';
    task_files_name(&b, region, "a", NOW_NS);
    assert_string_not_equal(a.bytes, b.bytes);
    strbuf_free(&a);
    strbuf_free(&b);
}

static void a_link_in_the_way_is_not_followed(void **state)
{
    struct task_files *files = given_files(0, 0);
    char target[512], link[512];
    int fd;

    (void)state;
    snprintf(target, sizeof(target), "%s/target", top);
    fd = open(target, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(write_one(files, "first", "", NOW_NS), PROBER_OK);
    snprintf(link, sizeof(link), "%s/eu_192.0.2.1_" STAMP, dir);
    assert_int_equal(symlink(target, link), 0);
    assert_int_equal(write_one(files, "eu", "x", NOW_NS), PROBER_OK);
    assert_true(is_there("eu_192.0.2.1_" STAMP ".2"));
    fd = open(target, O_RDONLY);
    assert_int_equal(read(fd, link, 1), 0);
    close(fd);
    task_files_destroy(files);
}

static void set_time(const char *name, uint64_t real_ns)
{
    char path[512];
    const struct timespec times[2] = {{(time_t)(real_ns / CLOCK_NS_PER_S), 0},
                                      {(time_t)(real_ns / CLOCK_NS_PER_S), 0}};

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_file(const char *name, uint64_t real_ns)
{
    char path[512];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "1234567890", 10), 10);
    close(fd);
    set_time(name, real_ns);
}

static void old_files_go_and_others_stay(void **state)
{
    static const char *const strangers[] = {
        "notes.txt", "eu_192.0.2.1_2023-11-14", "eu_192.0.2.1_2023-11-14_22-13-20.bak",
        "eu-192.0.2.1-2023-11-14_22-13-20", ".eu_192.0.2.1_2023-11-14_22-13-20"};
    struct task_files *files = given_files(0, 100 * CLOCK_NS_PER_S);
    struct task_files_counts counts;
    char path[512];

    (void)state;
    assert_int_equal(write_one(files, "young", "x", NOW_NS), PROBER_OK);
    set_time("young_192.0.2.1_" STAMP, NOW_NS);
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
        make_file(strangers[i], NOW_NS - 1000 * CLOCK_NS_PER_S);
    make_file("old_192.0.2.1_2023-11-14_22-00-00", NOW_NS - 1000 * CLOCK_NS_PER_S);
    make_file("old_192.0.2.1_2023-11-14_22-00-00.12", NOW_NS - 1000 * CLOCK_NS_PER_S);
    snprintf(path, sizeof(path), "%s/dir_192.0.2.1_2023-11-14_22-00-00", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    task_files_prune(files, NOW_NS);
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
        assert_true(is_there(strangers[i]));
    assert_false(is_there("old_192.0.2.1_2023-11-14_22-00-00"));
    assert_false(is_there("old_192.0.2.1_2023-11-14_22-00-00.12"));
    assert_true(is_there("young_192.0.2.1_" STAMP));
    assert_int_equal(access(path, F_OK), 0);
    task_files_counts(files, &counts);
    assert_int_equal(counts.removed, 2);
    task_files_destroy(files);
}

static void the_oldest_files_go_when_all_are_too_large(void **state)
{
    struct task_files *files = given_files(1000, 0);
    struct task_files_counts counts;
    char name[64], large[401];

    (void)state;
    memset(large, 'x', 400);
    large[400] = '\0';
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(write_one(files, (const char *[]){"a", "b", "c"}[i], large, NOW_NS),
                         PROBER_OK);
        snprintf(name, sizeof(name), "%c_192.0.2.1_" STAMP, 'a' + (int)i);
        if (i < 2)
            set_time(name, NOW_NS - (9 - i) * CLOCK_NS_PER_S);
    }
    assert_false(is_there("a_192.0.2.1_" STAMP));
    assert_true(is_there("b_192.0.2.1_" STAMP));
    assert_true(is_there("c_192.0.2.1_" STAMP));
    task_files_counts(files, &counts);
    assert_true(counts.bytes <= 1000);
    task_files_destroy(files);
}

static void a_directory_that_cannot_be_made_is_told_and_tried_again(void **state)
{
    struct task_files *files = given_files(0, 0);
    struct task_files_counts counts;
    int fd = open(dir, O_WRONLY | O_CREAT, 0600);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_not_equal(write_one(files, "eu", "x", NOW_NS), PROBER_OK);
    assert_int_equal(unlink(dir), 0);
    assert_int_equal(write_one(files, "eu", "x", NOW_NS), PROBER_OK);
    task_files_counts(files, &counts);
    assert_int_equal(counts.failed, 1);
    assert_int_equal(counts.written, 1);
    task_files_destroy(files);
}

static void a_directory_that_was_removed_is_made_anew(void **state)
{
    struct task_files *files = given_files(0, 0);
    char path[512];

    (void)state;
    assert_int_equal(write_one(files, "eu", "x", NOW_NS), PROBER_OK);
    snprintf(path, sizeof(path), "%s/eu_192.0.2.1_" STAMP, dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_not_equal(write_one(files, "eu", "x", NOW_NS), PROBER_OK);
    assert_int_equal(write_one(files, "eu", "x", NOW_NS), PROBER_OK);
    assert_true(is_there("eu_192.0.2.1_" STAMP));
    task_files_destroy(files);
}

static void a_disk_that_is_full_leaves_no_half_file(void **state)
{
    struct task_files *files = given_files(0, 0);
    struct rlimit limit, small;
    char *large = calloc(1, 65536);

    (void)state;
    assert_non_null(large);
    memset(large, 'x', 65535);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = (struct rlimit){4096, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_not_equal(write_one(files, "eu", large, NOW_NS), PROBER_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_false(is_there("eu_192.0.2.1_" STAMP));
    assert_false(is_there(".probermesh-result"));
    assert_int_equal(write_one(files, "eu", large, NOW_NS), PROBER_OK);
    assert_true(is_there("eu_192.0.2.1_" STAMP));
    free(large);
    task_files_destroy(files);
}

static void what_a_crash_left_unfinished_is_in_nobodys_way(void **state)
{
    struct task_files *files = given_files(0, 0);
    char *bytes;

    (void)state;
    assert_int_equal(write_one(files, "first", "", NOW_NS), PROBER_OK);
    make_file(".probermesh-result", NOW_NS);
    assert_int_equal(write_one(files, "eu", "x", NOW_NS), PROBER_OK);
    assert_false(is_there(".probermesh-result"));
    bytes = content("eu_192.0.2.1_" STAMP);
    assert_string_equal(bytes, "commond:\nping -c 1 a \n\noutput:\nx");
    free(bytes);
    task_files_destroy(files);
}

static int set_up(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    umask(027);
    return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[sizeof(top) + 16];

    (void)state;
    snprintf(command, sizeof(command), "rm -r '%s'", top);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_the_name_and_the_layout_of_the_original),
        cmocka_unit_test(a_second_result_of_the_same_second_gets_a_suffix),
        cmocka_unit_test(a_name_holds_nothing_that_leads_elsewhere),
        cmocka_unit_test(long_regions_that_begin_alike_have_names_that_differ),
        cmocka_unit_test(a_link_in_the_way_is_not_followed),
        cmocka_unit_test(old_files_go_and_others_stay),
        cmocka_unit_test(the_oldest_files_go_when_all_are_too_large),
        cmocka_unit_test(a_directory_that_cannot_be_made_is_told_and_tried_again),
        cmocka_unit_test(a_directory_that_was_removed_is_made_anew),
        cmocka_unit_test(what_a_crash_left_unfinished_is_in_nobodys_way),
        cmocka_unit_test(a_disk_that_is_full_leaves_no_half_file),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

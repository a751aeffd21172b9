#include "test/unit/unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"

static char dir[64];

static int make_directory(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_file.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

static const char *in_dir(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static size_t files_in_dir(void)
{
    DIR *d = opendir(dir);
    size_t count = 0;

    for (struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void what_was_written_is_read(void **state)
{
    char *bytes;
    size_t len;
    struct stat st;

    (void)state;
    assert_int_equal(file_replace(in_dir("a"), "on\0e", 4, 0640, NULL), PROBER_OK);
    assert_int_equal(file_read(in_dir("a"), 4, &bytes, &len, NULL), PROBER_OK);
    assert_int_equal(len, 4);
    assert_memory_equal(bytes, "on\0e", 5);
    free(bytes);
    assert_int_equal(stat(in_dir("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(files_in_dir(), 1);
}

static void replacing_leaves_only_the_new_content(void **state)
{
    char *bytes;
    size_t len;

    (void)state;
    assert_int_equal(file_replace(in_dir("a"), "a long text", 11, 0600, NULL), PROBER_OK);
    assert_int_equal(file_replace(in_dir("a"), "", 0, 0600, NULL), PROBER_OK);
    assert_int_equal(file_read(in_dir("a"), 100, &bytes, &len, NULL), PROBER_OK);
    assert_int_equal(len, 0);
    assert_string_equal(bytes, "");
    free(bytes);
    assert_int_equal(files_in_dir(), 1);
}

static void a_file_over_the_limit_is_refused(void **state)
{
    char *bytes = NULL;
    size_t len;
    struct prober_failure why;

    (void)state;
    file_replace(in_dir("a"), "12345", 5, 0600, NULL);
    assert_int_equal(file_read(in_dir("a"), 4, &bytes, &len, &why), PROBER_ERR_RANGE);
    assert_non_null(strstr(why.text, "larger than 4 bytes"));
    assert_null(bytes);
    assert_int_equal(file_read("/dev/zero", 1 << 20, &bytes, &len, &why), PROBER_ERR_RANGE);
}

static void a_missing_file_and_a_directory_are_told_apart(void **state)
{
    char *bytes;
    size_t len;
    struct prober_failure why;

    (void)state;
    assert_int_equal(file_read(in_dir("none"), 4, &bytes, &len, &why), PROBER_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "/none: No such file"));
    assert_int_equal(file_read(dir, 4, &bytes, &len, &why), PROBER_ERR_IO);
    assert_int_equal(file_replace(in_dir("none/x"), "", 0, 0600, &why), PROBER_ERR_NOT_FOUND);
}

static void a_file_that_cannot_be_replaced_leaves_nothing_behind(void **state)
{
    struct prober_failure why;

    (void)state;
    mkdir(in_dir("taken"), 0700);
    assert_int_equal(file_replace(in_dir("taken"), "x", 1, 0600, &why), PROBER_ERR_IO);
    assert_non_null(strstr(why.text, "cannot replace"));
    assert_int_equal(files_in_dir(), 1);
}

static void a_name_too_long_to_replace_leaves_nothing_behind(void **state)
{
    struct prober_failure why;
    char path[400];

    (void)state;
    /* No name of a file may be longer than 255 bytes: the temporary one would be. */
    snprintf(path, sizeof(path), "%s/%0250d", dir, 1);
    assert_int_equal(file_replace(path, "x", 1, 0600, &why), PROBER_ERR_IO);
    assert_int_equal(files_in_dir(), 0);
}

static void a_directory_is_made_with_its_parents(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(file_make_dir(in_dir("x/y//z/"), 0750, NULL), PROBER_OK);
    assert_int_equal(stat(in_dir("x/y/z"), &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(stat(in_dir("x"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    assert_int_equal(file_make_dir(in_dir("x/y/z"), 0750, NULL), PROBER_OK);
    assert_int_equal(file_make_dir("/", 0750, NULL), PROBER_OK);
}

static void a_file_in_the_way_of_a_directory_is_told(void **state)
{
    struct prober_failure why;

    (void)state;
    file_replace(in_dir("x"), "", 0, 0600, NULL);
    assert_int_equal(file_make_dir(in_dir("x"), 0750, &why), PROBER_ERR_IO);
    assert_non_null(strstr(why.text, "Not a directory"));
    assert_int_equal(file_make_dir(in_dir("x/y"), 0750, &why), PROBER_ERR_IO);
    assert_int_equal(file_make_dir("", 0750, &why), PROBER_ERR_IO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read),
        TEST(replacing_leaves_only_the_new_content),
        TEST(a_file_over_the_limit_is_refused),
        TEST(a_missing_file_and_a_directory_are_told_apart),
        TEST(a_file_that_cannot_be_replaced_leaves_nothing_behind),
        TEST(a_name_too_long_to_replace_leaves_nothing_behind),
        TEST(a_directory_is_made_with_its_parents),
        TEST(a_file_in_the_way_of_a_directory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

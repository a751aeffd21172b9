#include "test/unit/unit.h"

#include <string.h>

#include "agentd/task_program.h"
#include "given_files.h"

static struct given_files files;
static char path[TASK_PROGRAM_MAX];
static struct prober_failure why;

static int given_directories(void **state)
{
    (void)state;
    given_dir(&files);
    assert_int_equal(mkdir(given_path(&files, "one"), 0700), 0);
    assert_int_equal(mkdir(given_path(&files, "two"), 0700), 0);
    return 0;
}

static int no_directories(void **state)
{
    (void)state;
    given_dir_ends(&files);
    return 0;
}

static enum prober_error find(const char *name)
{
    char dirs[128];

    snprintf(dirs, sizeof(dirs), "%s:%s", given_path(&files, "one"), given_path(&files, "two"));
    return task_program_find(name, dirs, path, &why);
}

static void given_program(const char *name, mode_t mode)
{
    given_text(&files, name, "#!/bin/sh\n");
    assert_int_equal(chmod(given_path(&files, name), mode), 0);
}

static void the_first_directory_that_has_a_program_counts(void **state)
{
    (void)state;
    given_program("two/mtr", 0755);
    assert_int_equal(find("mtr"), PROBER_OK);
    assert_string_equal(path, given_path(&files, "two/mtr"));
    given_program("one/mtr", 0755);
    assert_int_equal(find("mtr"), PROBER_OK);
    assert_string_equal(path, given_path(&files, "one/mtr"));
}

static void what_cannot_be_executed_is_no_program(void **state)
{
    (void)state;
    given_program("one/dig", 0644);
    assert_int_equal(mkdir(given_path(&files, "one/host"), 0755), 0);
    assert_int_equal(find("dig"), PROBER_ERR_NOT_FOUND);
    assert_int_equal(find("host"), PROBER_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "host is not installed"));
}

static void a_path_is_no_name(void **state)
{
    (void)state;
    given_program("one/ss", 0755);
    assert_int_equal(find("../one/ss"), PROBER_ERR_SYNTAX);
    assert_int_equal(find("/bin/sh"), PROBER_ERR_SYNTAX);
    assert_int_equal(find(""), PROBER_ERR_SYNTAX);
    assert_int_equal(find(".."), PROBER_ERR_SYNTAX);
}

static void the_shell_is_where_it_always_is(void **state)
{
    (void)state;
    assert_int_equal(task_program_find("sh", TASK_PROGRAM_DIRS, path, &why), PROBER_OK);
    assert_non_null(strstr(path, "bin/sh"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_directory_that_has_a_program_counts,
                                        given_directories, no_directories),
        cmocka_unit_test_setup_teardown(what_cannot_be_executed_is_no_program, given_directories,
                                        no_directories),
        cmocka_unit_test_setup_teardown(a_path_is_no_name, given_directories, no_directories),
        cmocka_unit_test(the_shell_is_where_it_always_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

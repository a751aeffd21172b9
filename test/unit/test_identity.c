#include "test/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agentd/identity.h"
#include "common/file.h"

static char root[] = "/tmp/agent-identity-XXXXXX";

static int make_root(void **state)
{
    (void)state;
    memcpy(root + strlen(root) - 6, "XXXXXX", 6);
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char path[128];
    static const char *const names[] = {"a/agent_id", "a/agentd.lock", "a", ""};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, names[i]);
        remove(path);
    }
    return 0;
}

static const char *in_root(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    return path;
}

static void the_agent_id_survives_and_the_boot_id_does_not(void **state)
{
    struct identity first, second;
    struct prober_failure why;
    struct stat st;

    (void)state;
    assert_int_equal(identity_open(&first, in_root("a"), &why), PROBER_OK);
    identity_close(&first);
    assert_int_equal(identity_open(&second, in_root("a"), &why), PROBER_OK);
    assert_true(prober_id_equal(&first.agent_id, &second.agent_id));
    assert_false(prober_id_is_zero(&first.agent_id));
    assert_false(prober_id_equal(&first.boot_id, &second.boot_id));
    assert_int_equal(stat(in_root("a/agent_id"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    identity_close(&second);
}

static void a_second_agent_is_kept_out_of_the_directory(void **state)
{
    struct identity first, second;
    struct prober_failure why;
    char pid[32];

    (void)state;
    assert_int_equal(identity_open(&first, in_root("a"), &why), PROBER_OK);
    assert_int_equal(identity_open(&second, in_root("a"), &why), PROBER_ERR_IN_USE);
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_non_null(strstr(why.text, pid));
    assert_non_null(strstr(why.text, "-agent.state.dir"));
    identity_close(&second);
    identity_close(&first);
    assert_int_equal(identity_open(&second, in_root("a"), &why), PROBER_OK);
    identity_close(&second);
}

static void a_damaged_id_is_refused_and_left_alone(void **state)
{
    struct identity id;
    struct prober_failure why;
    char *text = NULL;
    size_t len;

    (void)state;
    assert_int_equal(file_make_dir(in_root("a"), 0700, &why), PROBER_OK);
    assert_int_equal(file_replace(in_root("a/agent_id"), "junk\n", 5, 0600, &why), PROBER_OK);
    assert_int_equal(identity_open(&id, in_root("a"), &why), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "agent_id is damaged"));
    assert_int_equal(file_read(in_root("a/agent_id"), 100, &text, &len, &why), PROBER_OK);
    assert_string_equal(text, "junk\n");
    free(text);
}

static void a_directory_that_cannot_be_made_is_said_by_name(void **state)
{
    struct identity id;
    struct prober_failure why;

    (void)state;
    assert_int_equal(file_replace(in_root("a"), "", 0, 0600, &why), PROBER_OK);
    assert_int_not_equal(identity_open(&id, in_root("a/b"), &why), PROBER_OK);
    assert_non_null(strstr(why.text, root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_agent_id_survives_and_the_boot_id_does_not, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(a_second_agent_is_kept_out_of_the_directory, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(a_damaged_id_is_refused_and_left_alone, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(a_directory_that_cannot_be_made_is_said_by_name, make_root,
                                        remove_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

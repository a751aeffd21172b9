#include "test/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "agentd/task_ledger.h"
#include "common/array.h"
#include "common/file.h"
#include "given_files.h"

#define HOUR UINT64_C(3600000000000)
#define NOW (1000000 * HOUR)

static struct given_files files;
static struct task_ledger *ledger;
static struct prober_failure why;

static enum prober_error opens(size_t max)
{
    ledger = NULL;
    return task_ledger_open(&ledger, given_path(&files, "tasks"), max, HOUR, &why);
}

/* As after kill -9: nothing more is written. */
static void dies_and_comes_back(size_t max)
{
    task_ledger_close(ledger);
    if (opens(max))
        fail_msg("%s", why.text);
}

static int given_ledger(void **state)
{
    (void)state;
    given_dir(&files);
    return opens(3) != PROBER_OK;
}

static int no_ledger(void **state)
{
    (void)state;
    task_ledger_close(ledger);
    ledger = NULL;
    given_dir_ends(&files);
    return 0;
}

static void assert_state(const char *id, enum task_ledger_state expected)
{
    const struct task_ledger_entry *entry = task_ledger_find(ledger, id);

    assert_non_null(entry);
    assert_int_equal(entry->state, expected);
}

static void a_task_begins_once(void **state)
{
    (void)state;
    assert_int_equal(task_ledger_begin(ledger, "t-1", NOW, &why), PROBER_OK);
    assert_state("t-1", TASK_LEDGER_RUNNING);
    assert_int_equal(task_ledger_begin(ledger, "t-1", NOW, &why), PROBER_ERR_EXISTS);
    assert_int_equal(task_ledger_end(ledger, "t-1", &why), PROBER_OK);
    assert_int_equal(task_ledger_begin(ledger, "t-1", NOW + HOUR, &why), PROBER_ERR_EXISTS);
    assert_state("t-1", TASK_LEDGER_ENDED);
    assert_false(task_ledger_find(ledger, "t-1")->former);
    assert_int_equal(task_ledger_count(ledger), 1);
}

static void a_crash_interrupts_what_ran_and_it_never_begins_again(void **state)
{
    (void)state;
    assert_int_equal(task_ledger_begin(ledger, "ran", NOW, &why), PROBER_OK);
    assert_int_equal(task_ledger_begin(ledger, "ended", NOW, &why), PROBER_OK);
    assert_int_equal(task_ledger_end(ledger, "ended", &why), PROBER_OK);
    for (int deaths = 0; deaths < 3; deaths++) {
        dies_and_comes_back(3);
        assert_state("ran", TASK_LEDGER_INTERRUPTED);
        assert_state("ended", TASK_LEDGER_ENDED);
        assert_int_equal(task_ledger_begin(ledger, "ran", NOW, &why), PROBER_ERR_EXISTS);
        assert_int_equal(task_ledger_begin(ledger, "ended", NOW, &why), PROBER_ERR_EXISTS);
    }
    assert_int_equal(task_ledger_begin(ledger, "later", NOW, &why), PROBER_OK);
    dies_and_comes_back(3);
    assert_state("ran", TASK_LEDGER_INTERRUPTED);
    assert_string_equal(task_ledger_at(ledger, 0)->id, "ran");
    assert_int_equal(task_ledger_at(ledger, 0)->began_ns, NOW);
    assert_true(task_ledger_at(ledger, 0)->former);
    assert_int_equal(task_ledger_begin(ledger, "latest", NOW, &why), PROBER_ERR_FULL);
    assert_int_equal(task_ledger_tell(ledger, "ran", &why), PROBER_OK);
    dies_and_comes_back(3);
    assert_state("ran", TASK_LEDGER_TOLD);
    assert_state("ended", TASK_LEDGER_ENDED);
    assert_int_equal(task_ledger_begin(ledger, "ran", NOW, &why), PROBER_ERR_EXISTS);
    assert_int_equal(task_ledger_tell(ledger, "unknown", &why), PROBER_ERR_NOT_FOUND);
}

static void the_oldest_is_forgotten_only_when_its_time_is_over_and_room_is_needed(void **state)
{
    (void)state;
    assert_int_equal(task_ledger_begin(ledger, "a", NOW, &why), PROBER_OK);
    assert_int_equal(task_ledger_begin(ledger, "b", NOW + 1, &why), PROBER_OK);
    assert_int_equal(task_ledger_end(ledger, "a", &why), PROBER_OK);
    assert_int_equal(task_ledger_end(ledger, "b", &why), PROBER_OK);
    assert_int_equal(task_ledger_begin(ledger, "c", NOW + 9 * HOUR, &why), PROBER_OK);
    assert_non_null(task_ledger_find(ledger, "a"));
    assert_int_equal(task_ledger_begin(ledger, "d", NOW + HOUR - 1, &why), PROBER_ERR_FULL);
    assert_int_equal(task_ledger_begin(ledger, "d", NOW - HOUR, &why), PROBER_ERR_FULL);
    assert_int_equal(task_ledger_count(ledger), 3);
    assert_int_equal(task_ledger_begin(ledger, "d", NOW + HOUR, &why), PROBER_OK);
    assert_null(task_ledger_find(ledger, "a"));
    assert_non_null(task_ledger_find(ledger, "b"));
    /* With fewer places than there are entries, what is young stays all the same. */
    dies_and_comes_back(1);
    assert_int_equal(task_ledger_count(ledger), 3);
    assert_int_equal(task_ledger_begin(ledger, "e", NOW + 99 * HOUR, &why), PROBER_ERR_FULL);
}

static void what_runs_or_was_interrupted_is_not_forgotten(void **state)
{
    (void)state;
    assert_int_equal(task_ledger_begin(ledger, "a", NOW, &why), PROBER_OK);
    dies_and_comes_back(2);
    assert_int_equal(task_ledger_begin(ledger, "b", NOW, &why), PROBER_OK);
    assert_int_equal(task_ledger_begin(ledger, "c", NOW + 9 * HOUR, &why), PROBER_ERR_FULL);
    assert_state("a", TASK_LEDGER_INTERRUPTED);
    assert_state("b", TASK_LEDGER_RUNNING);
}

static void ids_that_are_none_are_refused(void **state)
{
    static const char *const ids[] = {
        "",     "a b",
        "../x", "a\n",
        "a/b",  "\xc3\xa4",
        "a.b",  "0123456789012345678901234567890123456789012345678901234567890123"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        assert_int_equal(task_ledger_begin(ledger, ids[i], NOW, &why), PROBER_ERR_SYNTAX);
    assert_int_equal(task_ledger_end(ledger, "unknown", &why), PROBER_ERR_NOT_FOUND);
    assert_int_equal(task_ledger_count(ledger), 0);
}

static void a_damaged_file_is_not_guessed_at(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        "probermesh tasks 2\nend 0\n",
        "probermesh tasks 1\n",
        "probermesh tasks 1\nend 0",
        "probermesh tasks 1\nend 1\n",
        "probermesh tasks 1\nend 0\nend 0\n",
        "probermesh tasks 1\na running 1\n",
        "probermesh tasks 1\na running 1\nb runn",
        "probermesh tasks 1\na running\nend 1\n",
        "probermesh tasks 1\na walking 1\nend 1\n",
        "probermesh tasks 1\na running 1x\nend 1\n",
        "probermesh tasks 1\na/b running 1\nend 1\n",
        "probermesh tasks 1\na ended 1\na ended 1\nend 2\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        task_ledger_close(ledger);
        given_text(&files, "tasks", texts[i]);
        assert_int_equal(opens(3), PROBER_ERR_SYNTAX);
        assert_non_null(strstr(why.text, "is damaged"));
    }
    given_file(&files, "tasks", "probermesh tasks 1\nend 0\n\0", 26);
    assert_int_equal(opens(3), PROBER_ERR_SYNTAX);
    given_text(&files, "tasks", "probermesh tasks 1\na running 7\nend 1\n");
    assert_int_equal(opens(3), PROBER_OK);
}

static void on_a_full_disk_nothing_begins(void **state)
{
    struct rlimit before, tiny;
    char *bytes;
    size_t len;

    (void)state;
    assert_int_equal(task_ledger_begin(ledger, "a", NOW, &why), PROBER_OK);
    /* A file that may not grow is to the writer what a full disk is. */
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    tiny = before;
    tiny.rlim_cur = 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    assert_int_equal(task_ledger_begin(ledger, "b", NOW, &why), PROBER_ERR_IO);
    assert_int_equal(task_ledger_end(ledger, "a", &why), PROBER_ERR_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_null(task_ledger_find(ledger, "b"));
    dies_and_comes_back(3);
    assert_state("a", TASK_LEDGER_INTERRUPTED);
    assert_null(task_ledger_find(ledger, "b"));
    assert_int_equal(task_ledger_begin(ledger, "b", NOW, &why), PROBER_OK);
    assert_int_equal(file_read(given_path(&files, "tasks"), 1000, &bytes, &len, &why), PROBER_OK);
    free(bytes);
}

static void a_directory_that_is_gone_is_an_error(void **state)
{
    (void)state;
    given_dir_ends(&files);
    assert_true(task_ledger_begin(ledger, "a", NOW, &why) != PROBER_OK);
    assert_int_equal(task_ledger_count(ledger), 0);
    given_dir(&files);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, given_ledger, no_ledger)
    const struct CMUnitTest tests[] = {
        TEST(a_task_begins_once),
        TEST(a_crash_interrupts_what_ran_and_it_never_begins_again),
        TEST(the_oldest_is_forgotten_only_when_its_time_is_over_and_room_is_needed),
        TEST(what_runs_or_was_interrupted_is_not_forgotten),
        TEST(ids_that_are_none_are_refused),
        TEST(a_damaged_file_is_not_guessed_at),
        TEST(on_a_full_disk_nothing_begins),
        TEST(a_directory_that_is_gone_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tasks in the store: what was committed is there again, what was not is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "given_book.h"
#include "serverd/store.h"
#include "serverd/store_tasks.h"

static char top[] = "/tmp/test_store_tasks.XXXXXX";
static char dir[sizeof(top) + 8];
static unsigned tests_run;

static struct store *given_store(void)
{
    struct store *store;
    struct prober_failure why;

    snprintf(dir, sizeof(dir), "%s/%u", top, tests_run++);
    assert_int_equal(store_open(&store, dir, &why), PROBER_OK);
    assert_int_equal(why.code, PROBER_OK);
    return store;
}

static struct store_tasks *given_tasks(void)
{
    struct store_tasks *tasks;
    struct prober_failure why;

    assert_int_equal(store_tasks_open(&tasks, dir, &why), PROBER_OK);
    return tasks;
}

struct loaded {
    struct task_view views[4];
    int64_t numbers[4];
    size_t count;
};

static void take(void *context, int64_t number, struct task_view *view)
{
    struct loaded *l = context;

    l->numbers[l->count] = number;
    l->views[l->count++] = *view;
}

static struct loaded load(struct store_tasks *tasks)
{
    struct loaded l = {.count = 0};
    struct prober_failure why;

    assert_int_equal(store_tasks_load(tasks, take, &l, &why), PROBER_OK);
    return l;
}

static void loaded_free(struct loaded *l)
{
    for (size_t i = 0; i < l->count; i++)
        task_view_free(&l->views[i]);
}

static void what_was_committed_is_there_again(void **state)
{
    struct store *store = given_store();
    struct store_tasks *tasks = given_tasks();
    struct task_view view = given_task("t-1", 2, 5, 77);
    struct prober_failure why;
    struct loaded l;
    int64_t number;

    (void)state;
    store_tasks_begin(tasks);
    number = store_tasks_add(tasks, &view);
    assert_true(number > 0);
    store_tasks_cancel(tasks, number, "uid:0", 99);
    free(view.rows[1].notes);
    view.rows[1].notes = strdup("a\nb");
    view.rows[1].state = TASK_STATE_DONE;
    view.rows[1].told = true;
    view.rows[1].end = 1;
    view.rows[1].value = -9;
    view.rows[1].duration_ns = 1;
    view.rows[1].left_behind = 2;
    view.rows[1].streams[0] = (struct task_stream){30, 20, 40};
    view.rows[1].streams[1] = (struct task_stream){3, 2, 4};
    view.rows[1].began_real_ns = 81;
    view.rows[1].ended_real_ns = 82;
    store_tasks_put_row(tasks, number, &view.rows[1]);
    assert_int_equal(store_tasks_commit(tasks, &why), PROBER_OK);
    store_tasks_close(tasks);
    tasks = given_tasks();
    l = load(tasks);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.numbers[0], number);
    assert_string_equal(l.views[0].id, "t-1");
    assert_string_equal(l.views[0].line, "ping a");
    assert_string_equal(l.views[0].cancelled_by, "uid:0");
    assert_int_equal(l.views[0].cancelled_real_ns, 99);
    assert_int_equal(l.views[0].row_count, 2);
    assert_int_equal(l.views[0].ended_real_ns, 0);
    assert_int_equal(l.views[0].rows[0].state, TASK_STATE_QUEUED);
    assert_int_equal(l.views[0].rows[0].end, TASK_END_NONE);
    assert_int_equal(l.views[0].rows[1].state, TASK_STATE_DONE);
    assert_true(l.views[0].rows[1].told);
    assert_false(l.views[0].rows[1].filed);
    assert_int_equal(l.views[0].rows[1].value, -9);
    assert_int_equal(l.views[0].rows[1].left_behind, 2);
    assert_memory_equal(l.views[0].rows[1].streams, view.rows[1].streams,
                        sizeof(view.rows[1].streams));
    assert_string_equal(l.views[0].rows[1].notes, "a\nb");
    assert_int_equal(l.views[0].rows[1].began_real_ns, 81);
    assert_int_equal(l.views[0].rows[1].ended_real_ns, 82);
    loaded_free(&l);
    task_view_free(&view);
    store_tasks_close(tasks);
    store_close(store);
}

static void of_what_failed_nothing_is_there(void **state)
{
    struct store *store = given_store();
    struct store_tasks *tasks = given_tasks();
    struct task_view view = given_task("t-1", 2, 5, 77);
    struct prober_failure why;
    struct loaded l;

    (void)state;
    store_tasks_begin(tasks);
    assert_true(store_tasks_add(tasks, &view) > 0);
    assert_int_equal(store_tasks_add(tasks, &view), 0); /* its id is taken */
    assert_int_equal(store_tasks_commit(tasks, &why), PROBER_ERR_IO);
    l = load(tasks);
    assert_int_equal(l.count, 0);
    store_tasks_begin(tasks);
    assert_true(store_tasks_add(tasks, &view) > 0);
    assert_int_equal(store_tasks_commit(tasks, &why), PROBER_OK);
    l = load(tasks);
    assert_int_equal(l.count, 1);
    loaded_free(&l);
    task_view_free(&view);
    store_tasks_close(tasks);
    store_close(store);
}

static void read_back(struct store_tasks *tasks, uint64_t from, uint64_t max, const char *expected)
{
    struct strbuf out = STRBUF_INIT;
    struct prober_id agent = AGENT(1);

    assert_int_equal(store_tasks_read(tasks, 1, &agent, TASK_STREAM_STDERR, from, max, &out),
                     PROBER_OK);
    assert_string_equal(out.bytes ? out.bytes : "", expected);
    strbuf_free(&out);
}

static void outputs_are_read_from_any_byte(void **state)
{
    struct store *store = given_store();
    struct store_tasks *tasks = given_tasks();
    struct task_view view = given_task("t-1", 1, 5, 77);
    const struct task_piece pieces[] = {{TASK_STREAM_STDERR, 0, "abc", 3},
                                        {TASK_STREAM_STDERR, 3, "de", 2},
                                        {TASK_STREAM_STDOUT, 0, "out", 3}};
    struct prober_failure why;

    (void)state;
    store_tasks_begin(tasks);
    assert_int_equal(store_tasks_add(tasks, &view), 1);
    for (size_t i = 0; i < 3; i++)
        store_tasks_put_output(tasks, 1, &view.rows[0].agent, &pieces[i]);
    assert_int_equal(store_tasks_commit(tasks, &why), PROBER_OK);
    read_back(tasks, 0, 100, "abcde");
    read_back(tasks, 2, 100, "cde");
    read_back(tasks, 3, 100, "de");
    read_back(tasks, 1, 3, "bcd");
    read_back(tasks, 5, 100, "");
    read_back(tasks, 0, 0, "");
    store_tasks_begin(tasks);
    store_tasks_remove(tasks, 1);
    assert_int_equal(store_tasks_commit(tasks, &why), PROBER_OK);
    read_back(tasks, 0, 100, "");
    task_view_free(&view);
    store_tasks_close(tasks);
    store_close(store);
}

static void a_store_that_is_not_there_is_told(void **state)
{
    struct store_tasks *tasks;
    struct prober_failure why = {PROBER_OK, ""};

    (void)state;
    assert_int_equal(store_tasks_open(&tasks, "/nonexistent", &why), PROBER_ERR_IO);
    assert_int_equal(why.code, PROBER_ERR_IO);
}

static int set_up(void **state)
{
    (void)state;
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
        cmocka_unit_test(what_was_committed_is_there_again),
        cmocka_unit_test(of_what_failed_nothing_is_there),
        cmocka_unit_test(outputs_are_read_from_any_byte),
        cmocka_unit_test(a_store_that_is_not_there_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

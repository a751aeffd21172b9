/* Where tasks stand: what agents tell, what time does, and that nothing shows before it is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "given_book.h"
#include "serverd/task_book.h"

#define S CLOCK_NS_PER_S
#define START_NS (1000 * S)

static const struct task_book_config config = {.expire_ns = 60 * S,
                                               .grace_ns = 10 * S,
                                               .keep_ns = 3600 * S,
                                               .output_max = 8,
                                               .outputs_max = 1000,
                                               .files = true};

static struct clock_reading at(uint64_t s)
{
    return (struct clock_reading){.mono_ns = START_NS + s * S, .real_ns = 5 * START_NS + s * S};
}

static struct task_book *given_book(const char *id, size_t rows)
{
    struct task_book *book;
    struct clock_reading now = at(0);
    struct task_view task = given_task(id, rows, 30 * S, now.real_ns);

    assert_int_equal(task_book_create(&book, &config, 7), PROBER_OK);
    assert_int_equal(task_book_add(book, 1, &task, &now), PROBER_OK);
    return book;
}

static const struct task_row *row_of(const struct task_book *book, const char *id, size_t agent)
{
    struct book_task *task = task_book_find(book, id);
    struct prober_id who = AGENT(agent);
    size_t row = task_book_row(task, &who);

    return row == SIZE_MAX ? NULL : &task_book_view(task)->rows[row];
}

static const struct task_view *view_of(const struct task_book *book, const char *id)
{
    return task_book_view(task_book_find(book, id));
}

struct asked {
    size_t tasks, cancels;
};

static struct asked ask(struct task_book *book, size_t agent, uint64_t s)
{
    const struct task_view *tasks[WIRE_TASKS_MAX];
    const char *cancels[WIRE_CANCELS_MAX];
    struct clock_reading now = at(s);
    struct prober_id who = AGENT(agent);
    struct asked asked;

    task_book_pending(book, &who, &now, tasks, &asked.tasks, cancels, &asked.cancels);
    return asked;
}

/* An agent reports, and the change is kept. */
static struct wire_task_report_reply tell(struct task_book *book, size_t agent,
                                          const struct wire_task_report *report, uint64_t s)
{
    struct wire_task_report_reply reply;
    struct prober_id who = AGENT(agent);
    struct clock_reading now = at(s);
    struct task_change change;
    bool changes;

    assert_int_equal(task_book_report(book, &who, report, &now, &change, &changes, &reply),
                     PROBER_OK);
    if (changes)
        task_book_apply(book, &change, &now);
    return reply;
}

static bool all_live(void *context, const struct prober_id *agent)
{
    (void)context;
    (void)agent;
    return true;
}

static bool none_lives(void *context, const struct prober_id *agent)
{
    (void)context;
    (void)agent;
    return false;
}

static size_t pass(struct task_book *book, uint64_t s,
                   bool (*is_alive)(void *, const struct prober_id *))
{
    struct task_cursor cursor = {0, 0};
    struct clock_reading now = at(s);
    struct task_change change;
    size_t count = 0;

    for (; task_book_overdue(book, &cursor, is_alive, NULL, &now, &change); count++)
        task_book_apply(book, &change, &now);
    return count;
}

static void an_agent_is_handed_its_task_until_it_speaks_of_it(void **state)
{
    struct task_book *book = given_book("t", 2);
    struct wire_task_report running = given_running("t");

    (void)state;
    assert_int_equal(ask(book, 1, 1).tasks, 1);
    assert_int_equal(ask(book, 1, 2).tasks, 1);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_SENT);
    assert_int_equal(row_of(book, "t", 2)->state, TASK_STATE_QUEUED);
    assert_int_equal(tell(book, 1, &running, 3).outcome, WIRE_TASK_TAKEN);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_RUNNING);
    assert_int_equal(ask(book, 1, 4).tasks, 0);
    assert_int_equal(ask(book, 3, 4).tasks, 0);
    task_book_destroy(book);
}

static void output_is_taken_from_where_it_continues(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct wire_task_chunk chunks[] = {given_chunk(1, 0, "abc"), given_chunk(1, 2, "cd"),
                                       given_chunk(2, 5, "gap"), given_chunk(1, 1, "b")};
    struct wire_task_report report = given_running("t");
    struct wire_task_report_reply reply;
    struct prober_id who = AGENT(1);
    struct clock_reading now = at(1);
    struct task_change change;
    bool changes;

    (void)state;
    report.chunks = chunks;
    report.chunk_count = 4;
    assert_int_equal(task_book_report(book, &who, &report, &now, &change, &changes, &reply),
                     PROBER_OK);
    assert_true(changes);
    assert_int_equal(change.piece_count, 2);
    assert_int_equal(change.pieces[1].offset, 3);
    assert_int_equal(change.pieces[1].len, 1);
    assert_memory_equal(change.pieces[1].bytes, "d", 1);
    task_book_apply(book, &change, &now);
    assert_int_equal(reply.stdout_have, 4);
    assert_int_equal(reply.stderr_have, 0);
    reply = tell(book, 1, &report, 2);
    assert_int_equal(reply.stdout_have, 4);
    assert_int_equal(row_of(book, "t", 1)->streams[TASK_STREAM_STDOUT].kept, 4);
    task_book_destroy(book);
}

static void output_beyond_the_limit_is_counted_and_not_kept(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct wire_task_chunk chunk = given_chunk(1, 0, "0123456789");
    struct wire_task_report report = given_running("t");

    (void)state;
    report.chunks = &chunk;
    report.chunk_count = 1;
    assert_int_equal(tell(book, 1, &report, 1).stdout_have, 10);
    assert_int_equal(row_of(book, "t", 1)->streams[TASK_STREAM_STDOUT].kept, 8);
    chunk.offset = 10;
    assert_int_equal(tell(book, 1, &report, 2).stdout_have, 20);
    assert_int_equal(row_of(book, "t", 1)->streams[TASK_STREAM_STDOUT].kept, 8);
    task_book_destroy(book);
}

static void an_end_is_taken_when_all_output_is_there(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct wire_task_chunk chunk = given_chunk(1, 0, "abc");
    struct wire_task_report end = given_end("t", WIRE_TASK_ENDED, 0, 5, 0);

    (void)state;
    end.chunks = &chunk;
    end.chunk_count = 1;
    assert_int_equal(tell(book, 1, &end, 1).stdout_have, 3);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_RUNNING);
    chunk = given_chunk(1, 3, "de");
    assert_int_equal(tell(book, 1, &end, 2).stdout_have, 5);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_DONE);
    assert_int_equal(row_of(book, "t", 1)->value, 3);
    assert_true(row_of(book, "t", 1)->told);
    assert_true(view_of(book, "t")->ended_real_ns > 0);
    assert_int_equal(tell(book, 1, &end, 3).outcome, WIRE_TASK_TAKEN);
    task_book_destroy(book);
}

static void how_a_task_ends_is_told_by_its_state(void **state)
{
    static const struct {
        uint32_t state, end;
        enum task_state becomes;
    } cases[] = {
        {WIRE_TASK_ENDED, 0, TASK_STATE_DONE},
        {WIRE_TASK_ENDED, 1, TASK_STATE_DONE},
        {WIRE_TASK_ENDED, 2, TASK_STATE_TIMED_OUT},
        {WIRE_TASK_ENDED, 3, TASK_STATE_CANCELLED},
        {WIRE_TASK_ENDED, 4, TASK_STATE_DONE},
        {WIRE_TASK_ENDED, 5, TASK_STATE_REFUSED},
        {WIRE_TASK_ENDED, 6, TASK_STATE_INTERRUPTED},
        {WIRE_TASK_ENDED, 4000000000, TASK_STATE_DONE},
        {WIRE_TASK_REFUSED, 0, TASK_STATE_REFUSED},
        {WIRE_TASK_INTERRUPTED, 0, TASK_STATE_INTERRUPTED},
        {WIRE_TASK_RAN_BEFORE, 0, TASK_STATE_INTERRUPTED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct task_book *book = given_book("t", 1);
        struct wire_task_report end = given_end("t", cases[i].state, cases[i].end, 0, 0);

        tell(book, 1, &end, 1);
        assert_int_equal(row_of(book, "t", 1)->state, cases[i].becomes);
        assert_true(row_of(book, "t", 1)->told);
        task_book_destroy(book);
    }
    assert_string_equal(task_end_name(4), "overflowed");
    assert_string_equal(task_end_name(99), "unknown");
    assert_string_equal(task_end_name(TASK_END_NONE), "");
}

static void nobody_reports_for_another_or_of_what_is_not_there(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct wire_task_report report = given_running("t");

    (void)state;
    assert_int_equal(tell(book, 2, &report, 1).outcome, WIRE_TASK_UNKNOWN);
    report.task = "other";
    assert_int_equal(tell(book, 1, &report, 1).outcome, WIRE_TASK_UNKNOWN);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_QUEUED);
    task_book_destroy(book);
}

static void what_is_not_kept_does_not_show(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct wire_task_report end = given_end("t", WIRE_TASK_ENDED, 0, 0, 0);
    struct wire_task_report_reply reply;
    struct prober_id who = AGENT(1);
    struct clock_reading now = at(1);
    struct task_change change, second;
    bool changes;

    (void)state;
    assert_int_equal(task_book_report(book, &who, &end, &now, &change, &changes, &reply),
                     PROBER_OK);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_QUEUED);
    assert_int_equal(task_book_report(book, &who, &end, &now, &second, &changes, &reply),
                     PROBER_ERR_IN_USE);
    assert_int_equal(ask(book, 1, 1).tasks, 0);
    task_book_drop(book, &change);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_QUEUED);
    assert_int_equal(ask(book, 1, 1).tasks, 1);
    tell(book, 1, &end, 2);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_DONE);
    task_book_destroy(book);
}

static void a_task_that_nobody_asks_for_expires(void **state)
{
    struct task_book *book = given_book("t", 1), *gone = given_book("t", 1);

    (void)state;
    assert_int_equal(pass(book, 59, all_live), 0);
    assert_int_equal(ask(book, 1, 60).tasks, 0);
    assert_int_equal(pass(book, 60, all_live), 1);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_TIMED_OUT);
    assert_int_equal(ask(book, 1, 61).tasks, 0);
    assert_int_equal(pass(gone, 60, none_lives), 1);
    assert_int_equal(row_of(gone, "t", 1)->state, TASK_STATE_AGENT_GONE);
    assert_true(view_of(gone, "t")->ended_real_ns > 0);
    task_book_destroy(book);
    task_book_destroy(gone);
}

static void a_task_that_was_sent_is_given_up_after_its_deadline(void **state)
{
    struct task_book *book = given_book("t", 1), *gone = given_book("t", 1);

    (void)state;
    ask(book, 1, 1);
    ask(gone, 1, 1);
    assert_int_equal(pass(gone, 2, none_lives), 1); /* written as sent */
    assert_int_equal(pass(gone, 40, none_lives), 0);
    assert_int_equal(pass(gone, 41, none_lives), 1);
    assert_int_equal(row_of(gone, "t", 1)->state, TASK_STATE_AGENT_GONE);
    pass(book, 2, all_live);
    assert_int_equal(pass(book, 100, all_live), 0);
    assert_int_equal(pass(book, 101, all_live), 1);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_TIMED_OUT);
    task_book_destroy(book);
    task_book_destroy(gone);
}

static void an_agent_that_still_reports_is_not_given_up(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct wire_task_report running = given_running("t");
    struct wire_task_chunk chunk = given_chunk(1, 0, "abc");

    (void)state;
    ask(book, 1, 1);
    tell(book, 1, &running, 1);
    running.chunks = &chunk;
    running.chunk_count = 1;
    tell(book, 1, &running, 40);
    assert_int_equal(pass(book, 49, all_live), 0);
    assert_int_equal(pass(book, 50, all_live), 1);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_TIMED_OUT);
    task_book_destroy(book);
}

static void what_an_agent_tells_late_still_counts(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct wire_task_report running = given_running("t");
    struct wire_task_report end = given_end("t", WIRE_TASK_ENDED, 0, 0, 0);

    (void)state;
    ask(book, 1, 1);
    pass(book, 500, none_lives);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_AGENT_GONE);
    tell(book, 1, &running, 501);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_AGENT_GONE);
    tell(book, 1, &end, 502);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_DONE);
    assert_int_equal(view_of(book, "t")->counts[TASK_STATE_AGENT_GONE], 0);
    task_book_destroy(book);
}

static void cancel(struct task_book *book, const char *id, uint64_t s)
{
    struct clock_reading now = at(s);
    struct book_task *task = task_book_find(book, id);

    assert_true(task_book_is_open(task));
    task_book_cancel(book, task, strdup("me"), &now);
    assert_false(task_book_is_open(task));
}

static void a_cancelled_task_is_not_handed_out_and_its_agents_are_told(void **state)
{
    struct task_book *book = given_book("t", 2);
    struct asked asked;

    (void)state;
    ask(book, 1, 1);
    cancel(book, "t", 2);
    assert_int_equal(pass(book, 2, all_live), 2);
    assert_int_equal(row_of(book, "t", 2)->state, TASK_STATE_CANCELLED);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_SENT);
    asked = ask(book, 1, 3);
    assert_int_equal(asked.tasks, 0);
    assert_int_equal(asked.cancels, 1);
    asked = ask(book, 2, 3);
    assert_int_equal(asked.tasks + asked.cancels, 0);
    assert_int_equal(pass(book, 11, all_live), 0);
    assert_int_equal(pass(book, 12, all_live), 1);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_CANCELLED);
    assert_int_equal(ask(book, 1, 13).cancels, 0);
    task_book_destroy(book);
}

static void an_agent_that_runs_a_cancelled_task_all_the_same_is_told(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct wire_task_report running = given_running("t");
    struct wire_task_report end = given_end("t", WIRE_TASK_ENDED, 3, 0, 0);

    (void)state;
    cancel(book, "t", 1);
    pass(book, 1, all_live);
    assert_int_equal(ask(book, 1, 2).cancels, 0);
    tell(book, 1, &running, 3);
    assert_int_equal(row_of(book, "t", 1)->state, TASK_STATE_CANCELLED);
    assert_int_equal(ask(book, 1, 4).cancels, 1);
    tell(book, 1, &end, 5);
    assert_int_equal(ask(book, 1, 6).cancels, 0);
    task_book_destroy(book);
}

static void each_change_shows_another_version(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct wire_task_report running = given_running("t");
    uint64_t version = view_of(book, "t")->version;

    (void)state;
    assert_true(version > 7);
    ask(book, 1, 1);
    assert_true(view_of(book, "t")->version > version);
    version = view_of(book, "t")->version;
    ask(book, 1, 1);
    assert_int_equal(view_of(book, "t")->version, version);
    tell(book, 1, &running, 1);
    assert_true(view_of(book, "t")->version > version);
    task_book_destroy(book);
}

static void results_are_filed_once(void **state)
{
    struct task_book *book = given_book("t", 2);
    struct wire_task_report end = given_end("t", WIRE_TASK_ENDED, 0, 0, 0);
    struct task_cursor cursor = {0, 0}, again = {0, 0};
    struct clock_reading later = at(9000);
    struct book_task *task;
    size_t row;

    (void)state;
    assert_false(task_book_unfiled(book, &cursor, &task, &row));
    tell(book, 1, &end, 1);
    tell(book, 2, &end, 1);
    cursor = (struct task_cursor){0, 0};
    assert_true(task_book_unfiled(book, &cursor, &task, &row));
    task_book_filed(book, task, row);
    assert_true(task_book_unfiled(book, &cursor, &task, &row));
    assert_null(task_book_expired(book, &later));
    task_book_filed(book, task, row);
    assert_false(task_book_unfiled(book, &again, &task, &row));
    assert_int_equal(pass(book, 2, all_live), 2); /* written as filed */
    assert_int_equal(pass(book, 2, all_live), 0);
    task_book_destroy(book);
}

static void a_task_that_ended_is_kept_for_its_time(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct clock_reading before = at(3660), after = at(3661);
    struct task_book_totals totals;

    (void)state;
    pass(book, 60, all_live);
    assert_null(task_book_expired(book, &before));
    assert_non_null(task_book_expired(book, &after));
    task_book_remove(book, task_book_expired(book, &after));
    assert_null(task_book_find(book, "t"));
    task_book_totals(book, &totals);
    assert_int_equal(totals.tasks + totals.open + totals.output_bytes, 0);
    task_book_destroy(book);
}

static void outputs_in_all_are_bounded_by_letting_the_oldest_go(void **state)
{
    struct task_book *book;
    struct task_book_config small = config;
    struct clock_reading now = at(0);
    struct wire_task_chunk chunk = given_chunk(1, 0, "12345678");
    struct task_view first = given_task("first", 1, S, now.real_ns);
    struct task_view second = given_task("second", 1, S, now.real_ns);
    struct wire_task_report end = given_end("first", WIRE_TASK_ENDED, 0, 8, 0);

    (void)state;
    small.files = false;
    small.outputs_max = 8;
    assert_int_equal(task_book_create(&book, &small, 0), PROBER_OK);
    assert_int_equal(task_book_add(book, 1, &first, &now), PROBER_OK);
    assert_int_equal(task_book_add(book, 2, &second, &now), PROBER_OK);
    assert_null(task_book_expired(book, &now));
    end.chunks = &chunk;
    end.chunk_count = 1;
    tell(book, 1, &end, 1);
    end.task = "second";
    tell(book, 1, &end, 1);
    assert_int_equal(row_of(book, "second", 1)->state, TASK_STATE_DONE);
    assert_int_equal(row_of(book, "second", 1)->streams[TASK_STREAM_STDOUT].have, 8);
    assert_int_equal(row_of(book, "second", 1)->streams[TASK_STREAM_STDOUT].kept, 0);
    assert_ptr_equal(task_book_expired(book, &now), task_book_find(book, "first"));
    task_book_destroy(book);
}

static void a_loaded_task_gets_the_time_to_be_heard_of_again(void **state)
{
    struct task_book *book;
    struct clock_reading now = at(0);
    struct task_view task = given_task("t", 3, 30 * S, now.real_ns - 1000 * S);

    (void)state;
    task.rows[1].state = TASK_STATE_RUNNING;
    task.rows[2].state = TASK_STATE_DONE;
    task.rows[2].told = task.rows[2].filed = true;
    assert_int_equal(task_book_create(&book, &config, 0), PROBER_OK);
    assert_int_equal(task_book_add(book, 1, &task, &now), PROBER_OK);
    assert_int_equal(pass(book, 9, none_lives), 0);
    assert_int_equal(pass(book, 10, none_lives), 1);
    assert_int_equal(pass(book, 39, none_lives), 0);
    assert_int_equal(pass(book, 40, none_lives), 1);
    assert_int_equal(view_of(book, "t")->counts[TASK_STATE_AGENT_GONE], 2);
    assert_int_equal(view_of(book, "t")->counts[TASK_STATE_DONE], 1);
    task_book_destroy(book);
}

static void tasks_that_have_not_ended_are_bounded(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct prober_failure why = {PROBER_OK, ""};
    struct clock_reading now = at(0);
    char id[16];

    (void)state;
    for (int i = 1; i < TASK_BOOK_OPEN_MAX; i++) {
        struct task_view task;

        assert_int_equal(task_book_room(book, 1, &why), PROBER_OK);
        snprintf(id, sizeof(id), "t%d", i);
        task = given_task(id, 1, S, now.real_ns);
        assert_int_equal(task_book_add(book, i + 1, &task, &now), PROBER_OK);
    }
    assert_int_equal(task_book_room(book, 1, &why), PROBER_ERR_FULL);
    assert_int_equal(ask(book, 1, 1).tasks, WIRE_TASKS_MAX);
    pass(book, 200, all_live);
    assert_int_equal(task_book_room(book, 1, &why), PROBER_OK);
    assert_int_equal(task_book_room(book, TASK_BOOK_ROWS_MAX, &why), PROBER_ERR_FULL);
    task_book_destroy(book);
}

static void an_id_is_given_once(void **state)
{
    struct task_book *book = given_book("t", 1);
    struct clock_reading now = at(0);
    struct task_view task = given_task("t", 1, S, now.real_ns);

    (void)state;
    assert_int_equal(task_book_add(book, 2, &task, &now), PROBER_ERR_EXISTS);
    assert_non_null(task_book_at(book, 0));
    assert_null(task_book_at(book, 1));
    task_book_destroy(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_agent_is_handed_its_task_until_it_speaks_of_it),
        cmocka_unit_test(output_is_taken_from_where_it_continues),
        cmocka_unit_test(output_beyond_the_limit_is_counted_and_not_kept),
        cmocka_unit_test(an_end_is_taken_when_all_output_is_there),
        cmocka_unit_test(how_a_task_ends_is_told_by_its_state),
        cmocka_unit_test(nobody_reports_for_another_or_of_what_is_not_there),
        cmocka_unit_test(what_is_not_kept_does_not_show),
        cmocka_unit_test(a_task_that_nobody_asks_for_expires),
        cmocka_unit_test(a_task_that_was_sent_is_given_up_after_its_deadline),
        cmocka_unit_test(an_agent_that_still_reports_is_not_given_up),
        cmocka_unit_test(what_an_agent_tells_late_still_counts),
        cmocka_unit_test(a_cancelled_task_is_not_handed_out_and_its_agents_are_told),
        cmocka_unit_test(an_agent_that_runs_a_cancelled_task_all_the_same_is_told),
        cmocka_unit_test(each_change_shows_another_version),
        cmocka_unit_test(results_are_filed_once),
        cmocka_unit_test(a_task_that_ended_is_kept_for_its_time),
        cmocka_unit_test(outputs_in_all_are_bounded_by_letting_the_oldest_go),
        cmocka_unit_test(a_loaded_task_gets_the_time_to_be_heard_of_again),
        cmocka_unit_test(tasks_that_have_not_ended_are_bounded),
        cmocka_unit_test(an_id_is_given_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

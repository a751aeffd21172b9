#include "test/unit/unit.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/task_desk.h"
#include "common/array.h"
#include "fakes/fake_task_worker.h"
#include "given_files.h"

#define S CLOCK_NS_PER_S
#define NOW (100 * S)
#define HELD_MAX 100000

static struct given_files files;
static struct task_ledger *ledger;
static struct wakeup wakeup = {.fd = -1};
static struct task_desk *desk;
static struct prober_failure why;
static struct wire_task_report report;
static uint64_t due_ns;

/* ---- givens ---- */

static void opens(void)
{
    const struct task_desk_config config = {.settings.terms.deadline_ns = 600 * S,
                                            .ledger = ledger,
                                            .wakeup = &wakeup,
                                            .held_max = HELD_MAX};

    assert_int_equal(task_desk_create(&desk, &config, &why), PROBER_OK);
}

static void closes(void)
{
    task_desk_destroy(desk);
    desk = NULL;
}

static int given_desk(void **state)
{
    (void)state;
    fake_task_worker_reset();
    given_dir(&files);
    assert_int_equal(wakeup_open(&wakeup, NULL), PROBER_OK);
    assert_int_equal(task_ledger_open(&ledger, given_path(&files, "tasks"), 1000, 1, &why),
                     PROBER_OK);
    opens();
    return 0;
}

static int no_desk(void **state)
{
    (void)state;
    closes();
    task_ledger_close(ledger);
    ledger = NULL;
    wakeup_close(&wakeup);
    given_dir_ends(&files);
    fake_task_worker_reset();
    return 0;
}

static bool is_woken(void)
{
    struct pollfd fd = {.fd = wakeup.fd, .events = POLLIN};
    bool woken = poll(&fd, 1, 0) == 1;

    if (woken)
        wakeup_wait(&wakeup, -1, 0);
    return woken;
}

static void gives(const char *id, uint64_t seconds)
{
    const struct wire_task task = {id, "ping", 4, seconds * S};
    const struct wire_sync_reply sync = {.tasks = &task, .task_count = 1};

    task_desk_take(desk, &sync);
}

static void cancels(const char *id)
{
    const struct wire_sync_reply sync = {.cancels = &id, .cancel_count = 1};

    task_desk_take(desk, &sync);
}

static void begins(const char *id)
{
    fake_task_worker.listener.began(fake_task_worker.listener.context, id);
}

static void writes(const char *id, enum task_stream stream, uint64_t offset, const char *text)
{
    fake_task_worker.listener.wrote(fake_task_worker.listener.context, id, stream, offset, text,
                                    strlen(text));
}

static void is_done(const char *id, enum task_fate fate, const char *text, const char *notes)
{
    const struct task_result result = {.id = id, .fate = fate, .text = text, .notes = notes};

    fake_task_worker.listener.done(fake_task_worker.listener.context, &result);
}

/* It exits with 3, and has written out[len] and err. */
static void exits(const char *id, const char *out, size_t len, const char *err, size_t max)
{
    struct task_outcome outcome = {.end = TASK_END_EXITED, .value = 3, .duration_ns = 7};
    const struct task_result result = {
        .id = id, .fate = TASK_RAN, .text = "", .notes = "a note\n", .outcome = &outcome};

    task_output_init(&outcome.out, max);
    task_output_init(&outcome.err, max);
    task_output_add(&outcome.out, out, len);
    task_output_add(&outcome.err, err, strlen(err));
    fake_task_worker.listener.done(fake_task_worker.listener.context, &result);
    task_output_free(&outcome.out);
    task_output_free(&outcome.err);
}

static bool has_report(uint64_t now_ns)
{
    return task_desk_next(desk, now_ns, &report, &due_ns);
}

static void answers(enum wire_task_outcome outcome, uint64_t out, uint64_t err, uint64_t now_ns)
{
    const struct wire_task_report_reply reply = {outcome, out, err};

    task_desk_answer(desk, &reply, now_ns);
}

/* The report is one that its message can hold. */
static void assert_sendable(void)
{
    struct wire_request request = {.protocol = WIRE_PROTOCOL, .call = WIRE_TASK_REPORT};
    struct strbuf bytes = STRBUF_INIT;

    request.as.task_report = report;
    assert_int_equal(wire_request_encode(&request, &bytes), PROBER_OK);
    strbuf_free(&bytes);
}

static void assert_report(const char *id, uint32_t state)
{
    assert_sendable();
    assert_string_equal(report.task, id);
    assert_int_equal(report.state, state);
    assert_int_equal(report.has_end, state != WIRE_TASK_RUNNING);
}

static void assert_chunk(size_t i, uint32_t stream, uint64_t offset, const char *text)
{
    assert_true(i < report.chunk_count);
    assert_int_equal(report.chunks[i].stream, stream);
    assert_int_equal(report.chunks[i].offset, offset);
    assert_int_equal(report.chunks[i].len, strlen(text));
    assert_memory_equal(report.chunks[i].bytes, text, strlen(text));
}

static void assert_story(const char *expected)
{
    assert_string_equal(fake_task_worker.story.len ? fake_task_worker.story.bytes : "", expected);
    strbuf_clear(&fake_task_worker.story);
}

static struct task_desk_counts counts(void)
{
    struct task_desk_counts c;

    task_desk_counts(desk, &c);
    return c;
}

/* ---- orders ---- */

static void an_order_goes_to_the_worker_once_however_often_it_comes(void **state)
{
    (void)state;
    gives("a", 60);
    gives("a", 60);
    begins("a");
    gives("a", 60);
    assert_story("submit a 'ping' 60;");
    assert_int_equal(counts().taken, 1);
    assert_int_equal(counts().running, 1);
}

static void a_cancel_goes_to_the_worker_once_and_only_for_what_is_held(void **state)
{
    (void)state;
    cancels("a");
    gives("a", 60);
    cancels("a");
    cancels("a");
    assert_story("submit a 'ping' 60;cancel a;");
    gives("b", 60);
    fake_task_worker.word_answer = PROBER_ERR_FULL;
    cancels("b");
    fake_task_worker.word_answer = PROBER_OK;
    cancels("b");
    assert_story("submit b 'ping' 60;cancel b;cancel b;");
}

static void an_order_that_the_worker_refuses_is_reported_as_refused(void **state)
{
    (void)state;
    fake_task_worker.submit_answer = PROBER_ERR_FULL;
    gives("a", 60);
    assert_true(is_woken());
    assert_true(has_report(NOW));
    assert_report("a", WIRE_TASK_REFUSED);
    assert_string_equal(report.end.text, "no\\tmore");
    answers(WIRE_TASK_TAKEN, 0, 0, NOW);
    assert_true(task_desk_is_empty(desk));
    assert_int_equal(counts().refused, 1);
    assert_int_equal(counts().taken, 0);
}

static void an_order_for_which_there_is_no_memory_comes_again(void **state)
{
    (void)state;
    fake_task_worker.submit_answer = PROBER_ERR_NOMEM;
    gives("a", 60);
    assert_false(has_report(NOW));
    assert_true(task_desk_is_empty(desk));
    fake_task_worker.submit_answer = PROBER_OK;
    gives("a", 60);
    assert_int_equal(counts().taken, 1);
}

static void more_orders_than_are_held_wait_with_the_server(void **state)
{
    char id[16];
    (void)state;

    for (int i = 0; i < TASK_DESK_MAX + 5; i++) {
        snprintf(id, sizeof(id), "t%d", i);
        gives(id, 1);
    }
    assert_int_equal(counts().held, TASK_DESK_MAX);
    assert_int_equal(counts().taken, TASK_DESK_MAX);
    is_done("t0", TASK_REFUSED, "", "");
    assert_true(has_report(NOW));
    answers(WIRE_TASK_TAKEN, 0, 0, NOW);
    gives("more", 1);
    assert_int_equal(counts().taken, TASK_DESK_MAX + 1);
}

/* ---- reports ---- */

static void a_beginning_is_reported_at_once_and_its_output_every_half_second(void **state)
{
    (void)state;
    gives("a", 60);
    assert_false(has_report(NOW));
    assert_true(due_ns == UINT64_MAX);
    is_woken();
    begins("a");
    assert_true(is_woken());
    assert_true(has_report(NOW));
    assert_report("a", WIRE_TASK_RUNNING);
    assert_int_equal(report.chunk_count, 0);
    answers(WIRE_TASK_TAKEN, 0, 0, NOW);
    assert_false(has_report(NOW));
    assert_true(due_ns == UINT64_MAX);

    writes("a", TASK_STDOUT, 0, "one");
    assert_true(is_woken());
    assert_false(has_report(NOW));
    assert_true(due_ns == NOW + TASK_DESK_FOLLOW_NS);
    writes("a", TASK_STDERR, 0, "oh");
    writes("a", TASK_STDOUT, 3, "two");
    assert_true(has_report(due_ns));
    assert_report("a", WIRE_TASK_RUNNING);
    assert_chunk(0, WIRE_TASK_STDOUT, 0, "onetwo");
    assert_chunk(1, WIRE_TASK_STDERR, 0, "oh");
    answers(WIRE_TASK_TAKEN, 6, 2, due_ns);
    assert_false(has_report(due_ns + 10 * S));
}

static void an_end_is_reported_at_once_with_what_is_left_of_the_output(void **state)
{
    (void)state;
    gives("a", 60);
    begins("a");
    writes("a", TASK_STDOUT, 0, "one");
    assert_true(has_report(NOW));
    answers(WIRE_TASK_TAKEN, 3, 0, NOW);
    exits("a", "onetwo", 6, "oh", 100);
    assert_true(has_report(NOW + 1));
    assert_report("a", WIRE_TASK_ENDED);
    assert_chunk(0, WIRE_TASK_STDOUT, 3, "two");
    assert_chunk(1, WIRE_TASK_STDERR, 0, "oh");
    assert_int_equal(report.end.end, TASK_END_EXITED);
    assert_int_equal(report.end.value, 3);
    assert_int_equal(report.end.duration_ns, 7);
    assert_int_equal(report.end.stdout_length, 6);
    assert_int_equal(report.end.stderr_length, 2);
    assert_int_equal(report.end.stdout_total, 6);
    assert_string_equal(report.end.notes, "a note\n");
    answers(WIRE_TASK_TAKEN, 6, 2, NOW + 1);
    assert_story("submit a 'ping' 60;told a;");
    assert_true(task_desk_is_empty(desk));
    assert_int_equal(counts().held, 0);
    assert_int_equal(counts().running, 0);
    assert_int_equal(counts().bytes, 0);
    assert_int_equal(counts().ran, 1);
}

static void a_report_without_an_answer_comes_again(void **state)
{
    (void)state;
    gives("a", 60);
    begins("a");
    exits("a", "out", 3, "", 100);
    for (int i = 0; i < 3; i++) {
        assert_true(has_report(NOW));
        assert_report("a", WIRE_TASK_ENDED);
        assert_chunk(0, WIRE_TASK_STDOUT, 0, "out");
    }
    assert_false(task_desk_is_empty(desk));
}

static void much_output_goes_in_several_reports_from_where_the_server_is(void **state)
{
    static char big[90000];
    uint64_t have = 0;
    (void)state;

    memset(big, 'b', sizeof(big));
    gives("a", 60);
    begins("a");
    exits("a", big, sizeof(big), "e", sizeof(big) * 2);
    for (int i = 0; i < 3; i++) {
        assert_true(has_report(NOW));
        assert_int_equal(report.chunks[0].offset, have);
        assert_int_equal(report.chunks[0].len, sizeof(big) - have);
        have += 30000;
        answers(WIRE_TASK_TAKEN, have, i == 2, NOW);
    }
    assert_true(task_desk_is_empty(desk));
}

static void a_report_holds_no_more_than_its_message_takes(void **state)
{
    const struct task_desk_config config = {
        .settings.terms.deadline_ns = S, .ledger = ledger, .wakeup = &wakeup, .held_max = 8u << 20};
    size_t len = WIRE_TASK_CHUNK_BYTES_MAX + 1000;
    char *big = calloc(1, len);
    (void)state;

    closes();
    assert_int_equal(task_desk_create(&desk, &config, &why), PROBER_OK);
    gives("a", 1);
    begins("a");
    exits("a", big, len, "err", 2 * len);
    assert_true(has_report(NOW));
    assert_report("a", WIRE_TASK_ENDED);
    assert_int_equal(report.chunk_count, 1);
    assert_int_equal(report.chunks[0].len, WIRE_TASK_CHUNK_BYTES_MAX);
    answers(WIRE_TASK_TAKEN, WIRE_TASK_CHUNK_BYTES_MAX, 0, NOW);
    assert_true(has_report(NOW));
    assert_int_equal(report.chunk_count, 2);
    assert_int_equal(report.chunks[0].len, 1000);
    assert_chunk(1, WIRE_TASK_STDERR, 0, "err");
    free(big);
}

static void a_server_that_has_lost_output_gets_it_again(void **state)
{
    (void)state;
    gives("a", 60);
    begins("a");
    writes("a", TASK_STDOUT, 0, "onetwo");
    assert_true(has_report(NOW));
    answers(WIRE_TASK_TAKEN, 6, 0, NOW);
    exits("a", "onetwothree", 11, "", 100);
    assert_true(has_report(NOW));
    assert_chunk(0, WIRE_TASK_STDOUT, 6, "three");
    answers(WIRE_TASK_TAKEN, 0, 0, NOW);
    assert_false(has_report(NOW));
    assert_true(due_ns > NOW);
    assert_true(has_report(due_ns));
    assert_chunk(0, WIRE_TASK_STDOUT, 0, "onetwothree");
    answers(WIRE_TASK_TAKEN, 11, 0, due_ns);
    assert_true(task_desk_is_empty(desk));
}

static void a_server_that_cannot_keep_a_report_gets_it_after_growing_pauses(void **state)
{
    uint64_t now_ns = NOW, pause_ns = 0;
    (void)state;

    gives("a", 60);
    is_done("a", TASK_REFUSED, "no", "");
    for (int i = 0; i < 10; i++) {
        assert_true(has_report(now_ns));
        answers(WIRE_TASK_AGAIN, 0, 0, now_ns);
        assert_false(has_report(now_ns));
        assert_true(due_ns - now_ns >= pause_ns && due_ns - now_ns <= 30 * S);
        pause_ns = due_ns - now_ns;
        now_ns = due_ns;
    }
    assert_true(has_report(now_ns));
    answers(WIRE_TASK_TAKEN, 0, 0, now_ns);
    assert_true(task_desk_is_empty(desk));
}

static void what_the_server_does_not_know_is_let_go(void **state)
{
    (void)state;
    gives("ended", 60);
    is_done("ended", TASK_REFUSED, "no", "");
    assert_true(has_report(NOW));
    answers(WIRE_TASK_UNKNOWN, 0, 0, NOW);
    assert_story("submit ended 'ping' 60;told ended;");
    gives("runs", 60);
    begins("runs");
    assert_true(has_report(NOW));
    answers(WIRE_TASK_UNKNOWN, 0, 0, NOW);
    assert_story("submit runs 'ping' 60;cancel runs;");
    assert_true(task_desk_is_empty(desk));
    assert_false(has_report(NOW + 60 * S));
    exits("runs", "", 0, "", 100);
    assert_false(has_report(NOW + 60 * S));
    assert_story("told runs;");
    assert_int_equal(counts().held, 0);
}

static void what_the_server_does_not_understand_is_given_up(void **state)
{
    (void)state;
    task_desk_reject(desk, "nothing was sent");
    gives("a", 60);
    is_done("a", TASK_REFUSED, "no", "");
    assert_true(has_report(NOW));
    task_desk_reject(desk, "task_report.end: none");
    assert_int_equal(counts().held, 0);
}

static void tasks_take_turns(void **state)
{
    char order[8] = "";
    (void)state;

    gives("a", 60);
    gives("b", 60);
    begins("a");
    begins("b");
    for (int i = 0; i < 4; i++) {
        writes("a", TASK_STDOUT, (uint64_t)i, "x");
        writes("b", TASK_STDOUT, (uint64_t)i, "x");
        assert_true(has_report(NOW + (uint64_t)i * S));
        strcat(order, report.task);
        answers(WIRE_TASK_TAKEN, report.chunks[0].offset + 1, 0, NOW + (uint64_t)i * S);
    }
    assert_string_equal(order, "abab");
}

static void a_shorter_deadline_is_told_in_the_notes(void **state)
{
    (void)state;
    gives("a", 601);
    begins("a");
    exits("a", "", 0, "", 100);
    assert_true(has_report(NOW));
    assert_string_equal(report.end.notes,
                        "deadline: it was made 600 s, this agent allows no more\na note\n");
}

static void texts_are_made_fit_for_the_message(void **state)
{
    static char text[2000], notes[9000];
    (void)state;

    memset(text, '\xe4', sizeof(text) - 1); /* no UTF-8 */
    for (size_t i = 0; i < sizeof(notes) - 1; i++)
        notes[i] = "ä\n\x1b"[i % 4];
    gives("a", 60);
    is_done("a", TASK_REFUSED, text, notes);
    assert_true(has_report(NOW));
    assert_report("a", WIRE_TASK_REFUSED);
    assert_in_range(strlen(report.end.text), 500, WIRE_MESSAGE_MAX);
    assert_in_range(strlen(report.end.notes), 4000, WIRE_TASK_NOTES_MAX);
    answers(WIRE_TASK_TAKEN, 0, 0, NOW);
    gives("b", 60);
    is_done("b", TASK_REFUSED, "two\nlines\n", "");
    assert_true(has_report(NOW));
    assert_string_equal(report.end.text, "two lines ");
}

static void output_that_finds_no_room_is_left_out_with_a_line_for_it(void **state)
{
    static char big[HELD_MAX];
    char tail[80];
    const struct wire_task_chunk *chunk;
    (void)state;

    memset(big, 'b', sizeof(big));
    gives("a", 60);
    begins("a");
    exits("a", big, HELD_MAX - 10, "", 2 * HELD_MAX);
    gives("b", 60);
    begins("b");
    writes("b", TASK_STDOUT, 0, "12345678");
    writes("b", TASK_STDOUT, 8, "9012345678"); /* no room */
    writes("b", TASK_STDOUT, 18, "x");         /* goes on behind a gap */
    assert_int_equal(counts().bytes, HELD_MAX - 2);
    exits("b", "123456789012345678x", 19, "", 100);
    assert_true(has_report(NOW));
    answers(WIRE_TASK_AGAIN, 0, 0, NOW);
    assert_true(has_report(NOW));
    assert_report("b", WIRE_TASK_ENDED);
    chunk = &report.chunks[0];
    snprintf(tail, sizeof(tail), "%.*s", (int)chunk->len, chunk->bytes);
    assert_string_equal(tail, "12345678\n[11 bytes are left out here: there was no room for "
                              "them]\n");
    assert_int_equal(report.end.stdout_total, 19);
    assert_int_equal(report.end.stdout_length, chunk->len);
    gives("c", 60);
    begins("c");
    writes("c", TASK_STDOUT, 0, "more than there may be");
    assert_int_equal(counts().bytes, HELD_MAX - 10 + chunk->len);
}

/* ---- lives ---- */

static void what_an_earlier_life_left_untold_is_told_first(void **state)
{
    (void)state;
    closes();
    assert_int_equal(task_ledger_begin(ledger, "told", 1, &why), PROBER_OK);
    assert_int_equal(task_ledger_tell(ledger, "told", &why), PROBER_OK);
    assert_int_equal(task_ledger_begin(ledger, "ran", 1, &why), PROBER_OK);
    assert_int_equal(task_ledger_begin(ledger, "ended", 1, &why), PROBER_OK);
    assert_int_equal(task_ledger_end(ledger, "ended", &why), PROBER_OK);
    task_ledger_close(ledger);
    assert_int_equal(task_ledger_open(&ledger, given_path(&files, "tasks"), 1000, 1, &why),
                     PROBER_OK);
    opens();
    assert_true(is_woken());
    assert_int_equal(counts().held, 2);
    assert_int_equal(counts().interrupted, 1);
    gives("ran", 60);
    assert_story("");
    assert_true(has_report(NOW));
    assert_report("ran", WIRE_TASK_INTERRUPTED);
    answers(WIRE_TASK_TAKEN, 500, 0, NOW); /* which it had from the earlier life */
    assert_true(has_report(NOW));
    assert_report("ended", WIRE_TASK_RAN_BEFORE);
    answers(WIRE_TASK_TAKEN, 0, 0, NOW);
    assert_story("told ran;told ended;");
    assert_true(task_desk_is_empty(desk));
}

static void at_the_stop_results_are_delivered_and_what_did_not_begin_is_let_go(void **state)
{
    (void)state;
    gives("waits", 60);
    gives("runs", 60);
    assert_int_equal(task_ledger_begin(ledger, "runs", 1, &why), PROBER_OK);
    begins("runs");
    task_desk_close(desk);
    exits("runs", "out", 3, "", 100);
    task_desk_stop(desk);
    assert_true(is_woken());
    assert_story("submit waits 'ping' 60;submit runs 'ping' 60;close;stop;");
    assert_false(task_desk_is_empty(desk));
    assert_true(has_report(NOW));
    assert_report("runs", WIRE_TASK_ENDED);
    fake_task_worker.word_answer = PROBER_ERR_CLOSED;
    answers(WIRE_TASK_TAKEN, 3, 0, NOW);
    assert_true(task_desk_is_empty(desk));
    fake_task_worker.submit_answer = PROBER_ERR_CLOSED;
    gives("late", 60);
    assert_false(has_report(NOW));
    assert_int_equal(counts().held, 0);
    closes();
    assert_int_equal(task_ledger_find(ledger, "runs")->state, TASK_LEDGER_TOLD);
}

static void another_policy_goes_to_the_worker(void **state)
{
    (void)state;
    task_desk_set_policy(desk, NULL);
    assert_story("policy;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, given_desk, no_desk)
        TEST(an_order_goes_to_the_worker_once_however_often_it_comes),
        TEST(a_cancel_goes_to_the_worker_once_and_only_for_what_is_held),
        TEST(an_order_that_the_worker_refuses_is_reported_as_refused),
        TEST(an_order_for_which_there_is_no_memory_comes_again),
        TEST(more_orders_than_are_held_wait_with_the_server),
        TEST(a_beginning_is_reported_at_once_and_its_output_every_half_second),
        TEST(an_end_is_reported_at_once_with_what_is_left_of_the_output),
        TEST(a_report_without_an_answer_comes_again),
        TEST(much_output_goes_in_several_reports_from_where_the_server_is),
        TEST(a_report_holds_no_more_than_its_message_takes),
        TEST(a_server_that_has_lost_output_gets_it_again),
        TEST(a_server_that_cannot_keep_a_report_gets_it_after_growing_pauses),
        TEST(what_the_server_does_not_know_is_let_go),
        TEST(what_the_server_does_not_understand_is_given_up),
        TEST(tasks_take_turns),
        TEST(a_shorter_deadline_is_told_in_the_notes),
        TEST(texts_are_made_fit_for_the_message),
        TEST(output_that_finds_no_room_is_left_out_with_a_line_for_it),
        TEST(what_an_earlier_life_left_untold_is_told_first),
        TEST(at_the_stop_results_are_delivered_and_what_did_not_begin_is_let_go),
        TEST(another_policy_goes_to_the_worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

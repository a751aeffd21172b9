/* The desk with the real worker and real programs: what two threads do at the same time. */
#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agentd/task_desk.h"
#include "given_files.h"
#include "given_task.h"

#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)
#define TASKS 12

static struct given_files files;
static char directories[64];
static struct task_ledger *ledger;
static struct policy *policy;
static struct wakeup wakeup;
static struct task_desk *desk;
static struct prober_failure why;

/* What a server knows of a task. */
static struct known {
    char id[TASK_ID_MAX], text[64];
    struct strbuf out;
    uint32_t state;
    struct wire_task_end end; /* without its texts */
    unsigned ends;
} known[TASKS];

static void opens(void)
{
    struct task_desk_config config = {
        .settings = {.terms = {.policy = TASK_POLICY_ALLOWLIST, .root = true, .deadline_ns = S(60)},
                     .grace_ns = S(1) / 10,
                     .output_max = 4096,
                     .output_stop = UINT64_MAX,
                     .running_max = 4,
                     .waiting_max = TASKS,
                     .per_minute = 600,
                     .burst = 60,
                     .servers = "127.0.0.1:1",
                     .directories = directories},
        .policy = policy,
        .wakeup = &wakeup,
        .held_max = 1 << 20};

    assert_int_equal(task_ledger_open(&ledger, given_path(&files, "tasks"), 100, S(3600), &why),
                     PROBER_OK);
    config.ledger = ledger;
    assert_int_equal(task_desk_create(&desk, &config, &why), PROBER_OK);
}

static void closes(void)
{
    task_desk_destroy(desk);
    task_ledger_close(ledger);
}

static int given_desk(void **state)
{
    const struct option_list none = {NULL, 0};

    (void)state;
    given_dir(&files);
    assert_int_equal(symlink("/bin/echo", given_path(&files, "ping")), 0);
    assert_int_equal(symlink("/usr/bin/yes", given_path(&files, "ss")), 0);
    snprintf(directories, sizeof(directories), "%s", files.dir);
    assert_int_equal(policy_create(&policy, &none, &none, NULL), PROBER_OK);
    assert_int_equal(wakeup_open(&wakeup, &why), PROBER_OK);
    memset(known, 0, sizeof(known));
    opens();
    return 0;
}

static int no_desk(void **state)
{
    (void)state;
    closes();
    for (size_t i = 0; i < TASKS; i++)
        strbuf_free(&known[i].out);
    wakeup_close(&wakeup);
    policy_put(policy);
    given_dir_ends(&files);
    return 0;
}

static struct known *find(const char *id)
{
    size_t i = 0;

    while (i < TASKS && known[i].id[0] && strcmp(known[i].id, id) != 0)
        i++;
    assert_true(i < TASKS);
    snprintf(known[i].id, sizeof(known[i].id), "%s", id);
    return &known[i];
}

static void give(size_t i, const char *line)
{
    char id[16];
    const struct wire_task task = {id, line, strlen(line), S(30)};
    const struct wire_sync_reply sync = {.tasks = &task, .task_count = 1};

    snprintf(id, sizeof(id), "t%zu", i);
    task_desk_take(desk, &sync);
}

static void cancel(const char *id)
{
    const struct wire_sync_reply sync = {.cancels = &id, .cancel_count = 1};

    task_desk_take(desk, &sync);
}

static void take(const struct wire_task_report *report)
{
    struct known *k = find(report->task);
    struct wire_task_report_reply reply = {.outcome = WIRE_TASK_TAKEN};

    for (size_t i = 0; i < report->chunk_count; i++) {
        assert_int_equal(report->chunks[i].stream, WIRE_TASK_STDOUT);
        assert_int_equal(report->chunks[i].offset, k->out.len);
        strbuf_put(&k->out, report->chunks[i].bytes, report->chunks[i].len);
    }
    k->state = report->state;
    k->ends += report->has_end;
    k->end = report->end;
    snprintf(k->text, sizeof(k->text), "%s", report->has_end ? report->end.text : "");
    reply.stdout_have = k->out.len;
    task_desk_answer(desk, &reply, clock_monotonic_ns());
}

static bool is_followed(const char *task, uint32_t state)
{
    const struct known *k = task ? find(task) : NULL;

    return k ? k->state == state && (k->out.len > 0 || k->ends > 0) : task_desk_is_empty(desk);
}

/* Takes reports until `task` is in a state and has written something, or with NULL until there is
 * nothing left to tell. */
static void follow(const char *task, uint32_t state)
{
    struct wire_task_report report;
    uint64_t due_ns;

    while (!is_followed(task, state)) {
        uint64_t now_ns = clock_monotonic_ns();

        if (task_desk_next(desk, now_ns, &report, &due_ns))
            take(&report);
        else
            wakeup_wait(&wakeup, -1, due_ns == UINT64_MAX ? S(60) : due_ns - now_ns);
    }
}

static void all_that_is_given_comes_to_one_end_with_its_output(void **state)
{
    struct task_desk_counts counts;
    (void)state;

    for (size_t i = 0; i < TASKS; i++)
        give(i, "ping -c 1 ::1");
    follow(NULL, 0);
    for (size_t i = 0; i < TASKS; i++) {
        assert_int_equal(known[i].state, WIRE_TASK_ENDED);
        assert_int_equal(known[i].ends, 1);
        assert_int_equal(known[i].end.stdout_length, known[i].out.len);
        assert_string_equal(known[i].out.bytes, "-c 1 -i 1 -w 28 ::1\n");
    }
    task_desk_counts(desk, &counts);
    assert_int_equal(counts.ran, TASKS);
    assert_int_equal(counts.held, 0);
    assert_int_equal(counts.bytes, 0);
    closes();
    opens();
    assert_true(task_desk_is_empty(desk)); /* all was told */
}

static void what_writes_without_end_is_followed_until_it_is_cancelled(void **state)
{
    (void)state;
    give(0, "ss");
    follow("t0", WIRE_TASK_RUNNING);
    assert_int_equal(known[0].ends, 0);
    cancel("t0");
    follow("t0", WIRE_TASK_ENDED);
    assert_int_equal(known[0].end.end, TASK_END_CANCELLED);
    assert_string_equal(known[0].text, "");
    assert_int_equal(known[0].end.stdout_length, known[0].out.len);
    assert_memory_equal(known[0].out.bytes, "y\ny\n", 4);
    assert_non_null(strstr(known[0].out.bytes, "bytes are left out here]\n"));
}

static void at_the_stop_what_runs_is_ended_and_told_of(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++) /* four run, two wait */
        give(i, "ss");
    follow("t3", WIRE_TASK_RUNNING);
    task_desk_close(desk);
    task_desk_stop(desk);
    follow(NULL, 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(known[i].end.end, TASK_END_CANCELLED);
        assert_string_equal(known[i].text, "the agent was stopped");
    }
    assert_string_equal(known[4].id, "");
    closes();
    opens();
    assert_true(task_desk_is_empty(desk));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, given_desk, no_desk)
        TEST(all_that_is_given_comes_to_one_end_with_its_output),
        TEST(what_writes_without_end_is_followed_until_it_is_cancelled),
        TEST(at_the_stop_what_runs_is_ended_and_told_of),
    };
    int status;

    if (given_task_exec(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tasks of a server: orders, reports, what outlives the process, and who waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/file.h"
#include "given_book.h"
#include "serverd/plan.h"
#include "serverd/store.h"
#include "serverd/tasks.h"

#define S CLOCK_NS_PER_S

static char top[] = "/tmp/test_tasks.XXXXXX";
static unsigned tests_run;

struct given {
    char dir[64], meta[80];
    struct store *store;
    struct directory_board *board;
    struct tasks_config config;
    struct tasks *tasks;
    atomic_uint hints;
};

static void count_hint(void *context)
{
    struct given *g = context;

    atomic_fetch_add(&g->hints, 1);
}

/* Agents 1 to 3: two with trusted links in "eu-west" and "us-east", a plain one in "eu-north"; and one
 * that is not alive. */
static void publish_agents(struct given *g)
{
    static const char *const regions[] = {"eu-west", "us-east", "eu-north", "eu-gone"};
    struct directory_agent agents[4];
    struct directory from = {.agents = agents, .agent_count = 4};
    struct directory *directory;
    const struct plan_config config = {.probe_self = false};
    struct plan *plan;

    memset(agents, 0, sizeof(agents));
    assert_int_equal(plan_create(&plan, &config, NULL, NULL, 0, 0), PROBER_OK);
    from.plan = plan;
    for (size_t i = 0; i < 4; i++) {
        agents[i].id = AGENT(i + 1);
        agents[i].number = (uint32_t)i + 1;
        agents[i].region = regions[i];
        agents[i].version = agents[i].os = agents[i].architecture = "";
        assert_int_equal(prober_addr_parse("192.0.2.7", &agents[i].observed), PROBER_OK);
        agents[i].trusted = i != 2;
        agents[i].alive = i != 3;
    }
    assert_int_equal(directory_create(&directory, &from), PROBER_OK);
    directory_publish(g->board, directory);
    plan_put(plan);
}

static void open_tasks(struct given *g)
{
    struct prober_failure why = {PROBER_OK, ""};

    if (tasks_open(&g->tasks, &g->config, &why))
        fail_msg("%s", why.text);
}

static struct given *given_tasks(void)
{
    struct given *g = calloc(1, sizeof(*g));
    struct prober_failure why;

    assert_non_null(g);
    snprintf(g->dir, sizeof(g->dir), "%s/%u", top, tests_run++);
    snprintf(g->meta, sizeof(g->meta), "%s/meta", g->dir);
    assert_int_equal(store_open(&g->store, g->dir, &why), PROBER_OK);
    assert_int_equal(directory_board_create(&g->board), PROBER_OK);
    publish_agents(g);
    g->config = (struct tasks_config){
        .state_dir = g->dir,
        .meta_dir = g->meta,
        .board = g->board,
        .timeout_ns = 30 * S,
        .grace_ns = 30 * S,
        .expire_ns = 60 * S,
        .keep_ns = 3600 * S,
        .output_max = 1 << 20,
        .outputs_max = 1 << 30,
        .hint = count_hint,
        .context = g,
    };
    open_tasks(g);
    return g;
}

static void given_free(struct given *g)
{
    tasks_close(g->tasks);
    directory_board_destroy(g->board);
    store_close(g->store);
    free(g);
}

static struct task_view order(struct given *g, const char *region, const char *expr)
{
    const struct tasks_order o = {region, expr, "ping -c 1 a", 0, "token:me", "127.0.0.1"};
    struct prober_failure why = {PROBER_OK, ""};
    struct task_view view;

    if (tasks_create(g->tasks, &o, &view, &why))
        fail_msg("%s", why.text);
    return view;
}

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    struct wire_task_report_reply reply;
};

static void take_answer(void *context, const struct wire_task_report_reply *reply)
{
    struct waiting *w = context;

    pthread_mutex_lock(&w->lock);
    w->reply = *reply;
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static struct wire_task_report_reply tell(struct given *g, size_t agent,
                                          const struct wire_task_report *report)
{
    struct waiting w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, {0}};
    struct wire_request request = {.call = WIRE_TASK_REPORT, .as.task_report = *report};
    struct prober_id who = AGENT(agent);

    tasks_report(g->tasks, &who, &request, take_answer, &w);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    return w.reply;
}

static size_t ask(struct given *g, size_t agent, char *id, size_t *cancels)
{
    struct clock_reading now = clock_read();
    struct prober_id who = AGENT(agent);
    struct tasks_pending pending;
    size_t count;

    tasks_pending(g->tasks, &who, &now, &pending);
    count = pending.task_count;
    if (cancels)
        *cancels = pending.cancel_count;
    if (count && id) {
        snprintf(id, WIRE_TASK_ID_MAX + 1, "%s", pending.tasks[0].id);
        assert_memory_equal(pending.tasks[0].line, "ping -c 1 a", pending.tasks[0].line_len);
        assert_int_equal(pending.tasks[0].deadline_ns, 30 * S);
    }
    tasks_pending_free(&pending);
    return count;
}

static void expect_output(struct given *g, const char *id, size_t agent, const char *expected)
{
    struct strbuf out = STRBUF_INIT;
    struct prober_id who = AGENT(agent);

    assert_int_equal(tasks_output(g->tasks, id, &who, TASK_STREAM_STDOUT, 0, 1000, &out),
                     PROBER_OK);
    assert_string_equal(out.bytes ? out.bytes : "", expected);
    strbuf_free(&out);
}

static void finish(struct given *g, const char *id, size_t agent, const char *output)
{
    struct wire_task_chunk chunk = given_chunk(1, 0, output);
    struct wire_task_report end = given_end(id, WIRE_TASK_ENDED, 0, strlen(output), 0);

    end.chunks = &chunk;
    end.chunk_count = 1;
    assert_int_equal(tell(g, agent, &end).outcome, WIRE_TASK_TAKEN);
}

/* Waits until a row is filed: it is the last that comes of a result. */
static void await_filed(struct given *g, const char *id)
{
    bool filed = false;

    while (!filed) {
        struct task_view view;
        enum prober_error err = PROBER_OK;

        assert_int_equal(tasks_view(g->tasks, id, &view), PROBER_OK);
        filed = true;
        for (size_t k = 0; k < view.row_count; k++)
            filed = filed && (!view.rows[k].told || view.rows[k].filed);
        if (!filed)
            err = tasks_await(g->tasks, id, view.version, clock_monotonic_ns() + 60 * S);
        task_view_free(&view);
        assert_int_equal(err, PROBER_OK);
    }
}

static void a_task_goes_to_the_chosen_agents_and_ends_with_their_results(void **state)
{
    struct given *g = given_tasks();
    struct task_view view = order(g, "^eu-west$", "!~"), ended;
    char id[WIRE_TASK_ID_MAX + 1] = "";

    (void)state;
    assert_int_equal(view.row_count, 2);
    assert_string_equal(view.rows[0].region, "eu-north");
    assert_int_equal(view.rows[0].state, TASK_STATE_REFUSED);
    assert_non_null(strstr(view.rows[0].text, "plain"));
    assert_string_equal(view.rows[1].address, "192.0.2.7");
    assert_int_equal(view.counts[TASK_STATE_QUEUED], 1);
    assert_int_equal(atomic_load(&g->hints), 1);
    assert_int_equal(ask(g, 1, id, NULL), 0);
    assert_int_equal(ask(g, 2, id, NULL), 1);
    assert_string_equal(id, view.id);
    finish(g, id, 2, "1 received");
    assert_int_equal(ask(g, 2, id, NULL), 0);
    assert_int_equal(tasks_view(g->tasks, id, &ended), PROBER_OK);
    assert_int_equal(ended.rows[1].state, TASK_STATE_DONE);
    assert_true(ended.ended_real_ns > 0);
    assert_true(ended.version > view.version);
    expect_output(g, id, 2, "1 received");
    task_view_free(&ended);
    task_view_free(&view);
    given_free(g);
}

static void what_was_acknowledged_outlives_the_server(void **state)
{
    struct given *g = given_tasks();
    struct task_view view = order(g, ".", "=~"), again;
    struct wire_task_chunk chunk = given_chunk(1, 0, "half");
    struct wire_task_report running = given_running(view.id);

    (void)state;
    finish(g, view.id, 2, "whole");
    running.chunks = &chunk;
    running.chunk_count = 1;
    assert_int_equal(tell(g, 1, &running).stdout_have, 4);
    tasks_close(g->tasks);
    open_tasks(g);
    assert_int_equal(tasks_view(g->tasks, view.id, &again), PROBER_OK);
    assert_int_equal(again.counts[TASK_STATE_DONE], 1);
    assert_int_equal(again.counts[TASK_STATE_RUNNING], 1);
    assert_int_equal(again.counts[TASK_STATE_REFUSED], 1);
    assert_true(again.version > view.version);
    expect_output(g, view.id, 1, "half");
    expect_output(g, view.id, 2, "whole");
    assert_int_equal(ask(g, 2, NULL, NULL), 0);
    assert_int_equal(ask(g, 1, NULL, NULL), 0);
    task_view_free(&again);
    task_view_free(&view);
    given_free(g);
}

static void a_result_is_filed(void **state)
{
    struct given *g = given_tasks();
    struct task_view view = order(g, "us-east", "=");
    struct dirent *entry;
    DIR *dir;
    size_t files = 0;

    (void)state;
    finish(g, view.id, 2, "1 received\n");
    await_filed(g, view.id);
    dir = opendir(g->meta);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        char path[512], *bytes;
        struct prober_failure why;
        size_t len;

        if (strncmp(entry->d_name, "us-east_192.0.2.7_", 18) != 0)
            continue;
        files++;
        snprintf(path, sizeof(path), "%s/%s", g->meta, entry->d_name);
        assert_int_equal(file_read(path, 1000, &bytes, &len, &why), PROBER_OK);
        assert_string_equal(bytes, "commond:\nping -c 1 a \n\noutput:\n1 received\n");
        free(bytes);
    }
    closedir(dir);
    assert_int_equal(files, 1);
    task_view_free(&view);
    given_free(g);
}

static void files_that_cannot_be_written_lose_no_result(void **state)
{
    struct given *g = given_tasks();
    struct task_view view;
    struct strbuf text = STRBUF_INIT;
    struct metrics_writer w = {.out = &text};

    (void)state;
    tasks_close(g->tasks);
    snprintf(g->meta, sizeof(g->meta), "%s/" STORE_FILE "/meta", g->dir);
    open_tasks(g);
    view = order(g, "us-east", "=");
    finish(g, view.id, 2, "1 received");
    await_filed(g, view.id);
    expect_output(g, view.id, 2, "1 received");
    tasks_write_metrics(g->tasks, &w);
    assert_non_null(strstr(text.bytes, "\nprober_server_task_files_failed_total 1\n"));
    assert_non_null(strstr(text.bytes, "\nprober_server_task_results{state=\"done\"} 1\n"));
    strbuf_free(&text);
    task_view_free(&view);
    given_free(g);
}

static void refused(struct given *g, const char *region, const char *expr, const char *line,
                    enum prober_error code)
{
    const struct tasks_order o = {region, expr, line, 0, "token:me", "127.0.0.1"};
    struct prober_failure why = {PROBER_OK, ""};
    struct task_view view;

    assert_int_equal(tasks_create(g->tasks, &o, &view, &why), code);
    assert_int_equal(why.code, code);
    assert_true(why.text[0] != '\0');
}

static void count_task(void *context, const struct task_view *view)
{
    assert_null(view->rows);
    (*(size_t *)context)++;
}

static struct rlimit usual;

static void fill_disk(void)
{
    const struct rlimit none = {1, usual.rlim_max};

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
}

static void what_cannot_be_kept_is_not_acknowledged(void **state)
{
    struct given *g = given_tasks();
    struct task_view view = order(g, "us-east", "="), after;
    struct wire_task_chunk chunk = given_chunk(1, 0, "1 received");
    struct wire_task_report end = given_end(view.id, WIRE_TASK_ENDED, 0, 10, 0);
    struct prober_failure why;
    size_t count = 0;

    (void)state;
    end.chunks = &chunk;
    end.chunk_count = 1;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
    signal(SIGXFSZ, SIG_IGN);
    fill_disk();
    refused(g, "us-east", "=", "x", PROBER_ERR_IO);
    assert_int_equal(tell(g, 2, &end).outcome, WIRE_TASK_AGAIN);
    assert_int_equal(tasks_cancel(g->tasks, view.id, "me", &why), PROBER_ERR_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
    assert_int_equal(tasks_view(g->tasks, view.id, &after), PROBER_OK);
    assert_int_equal(after.counts[TASK_STATE_QUEUED], 1);
    assert_int_equal(after.cancelled_real_ns, 0);
    task_view_free(&after);
    assert_int_equal(tell(g, 2, &end).outcome, WIRE_TASK_TAKEN);
    expect_output(g, view.id, 2, "1 received");
    assert_int_equal(tasks_list(g->tasks, NULL, 10, count_task, &count), PROBER_OK);
    assert_int_equal(count, 1);
    task_view_free(&view);
    given_free(g);
}

static void a_cancelled_task_ends_at_once_where_it_was_not_delivered(void **state)
{
    struct given *g = given_tasks();
    struct task_view view = order(g, "eu-west|us-east", "=~"), cancelled;
    struct prober_failure why;
    size_t cancels = 0;

    (void)state;
    assert_int_equal(ask(g, 1, NULL, NULL), 1);
    assert_int_equal(tasks_cancel(g->tasks, view.id, "uid:0", &why), PROBER_OK);
    assert_int_equal(atomic_load(&g->hints), 2);
    assert_int_equal(tasks_view(g->tasks, view.id, &cancelled), PROBER_OK);
    assert_string_equal(cancelled.cancelled_by, "uid:0");
    assert_int_equal(cancelled.counts[TASK_STATE_CANCELLED], 1);
    assert_int_equal(cancelled.counts[TASK_STATE_SENT], 1);
    assert_int_equal(ask(g, 1, NULL, &cancels), 0);
    assert_int_equal(cancels, 1);
    assert_int_equal(ask(g, 2, NULL, &cancels), 0);
    assert_int_equal(cancels, 0);
    assert_int_equal(tasks_cancel(g->tasks, view.id, "uid:1", &why), PROBER_OK);
    assert_int_equal(tasks_cancel(g->tasks, "nothing", "uid:1", &why), PROBER_ERR_NOT_FOUND);
    task_view_free(&cancelled);
    task_view_free(&view);
    given_free(g);
}

static void an_order_that_makes_no_sense_changes_nothing(void **state)
{
    struct given *g = given_tasks();
    char line[WIRE_TASK_LINE_MAX + 2];
    size_t count = 0;

    (void)state;
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    refused(g, "nowhere", "=", "x", PROBER_ERR_NOT_FOUND);
    refused(g, "eu-gone", "=", "x", PROBER_ERR_NOT_FOUND);
    refused(g, "[", "=~", "x", PROBER_ERR_SYNTAX);
    refused(g, "eu-west", "<", "x", PROBER_ERR_SYNTAX);
    refused(g, "eu-west", "=", "", PROBER_ERR_SYNTAX);
    refused(g, "eu-west", "=", line, PROBER_ERR_RANGE);
    assert_int_equal(tasks_list(g->tasks, NULL, 10, count_task, &count), PROBER_OK);
    assert_int_equal(count, 0);
    assert_int_equal(atomic_load(&g->hints), 0);
    given_free(g);
}

static void tasks_are_listed_newest_first(void **state)
{
    struct given *g = given_tasks();
    struct task_view first = order(g, "us-east", "="), second = order(g, "us-east", "=");
    size_t count = 0;

    (void)state;
    assert_int_equal(tasks_list(g->tasks, NULL, 10, count_task, &count), PROBER_OK);
    assert_int_equal(count, 2);
    count = 0;
    assert_int_equal(tasks_list(g->tasks, NULL, 1, count_task, &count), PROBER_OK);
    assert_int_equal(count, 1);
    count = 0;
    assert_int_equal(tasks_list(g->tasks, second.id, 10, count_task, &count), PROBER_OK);
    assert_int_equal(count, 1);
    count = 0;
    assert_int_equal(tasks_list(g->tasks, first.id, 10, count_task, &count), PROBER_OK);
    assert_int_equal(count, 0);
    assert_int_equal(tasks_list(g->tasks, "x", 10, count_task, &count), PROBER_ERR_NOT_FOUND);
    task_view_free(&first);
    task_view_free(&second);
    given_free(g);
}

static void *report_running(void *context)
{
    struct given *g = context;
    char id[WIRE_TASK_ID_MAX + 1];
    struct wire_task_report running;

    assert_int_equal(ask(g, 2, id, NULL), 1);
    running = given_running(id);
    tell(g, 2, &running);
    return NULL;
}

static void who_waits_hears_of_a_change(void **state)
{
    struct given *g = given_tasks();
    struct task_view view = order(g, "us-east", "=");
    pthread_t thread;

    (void)state;
    assert_int_equal(tasks_await(g->tasks, view.id, view.version, 0), PROBER_ERR_TIMEOUT);
    assert_int_equal(tasks_await(g->tasks, "x", 0, 0), PROBER_ERR_NOT_FOUND);
    assert_int_equal(tasks_await(g->tasks, view.id, view.version + 99, 0), PROBER_OK);
    assert_int_equal(pthread_create(&thread, NULL, report_running, g), 0);
    assert_int_equal(tasks_await(g->tasks, view.id, view.version, clock_monotonic_ns() + 60 * S),
                     PROBER_OK);
    pthread_join(thread, NULL);
    task_view_free(&view);
    given_free(g);
}

static void a_server_that_stops_answers_everybody(void **state)
{
    struct given *g = given_tasks();
    struct task_view view = order(g, "us-east", "=");
    struct wire_task_report running = given_running(view.id);
    const struct tasks_order o = {"us-east", "=", "x", 0, "token:me", "127.0.0.1"};
    struct prober_failure why;
    struct task_view none;

    (void)state;
    tasks_stop(g->tasks);
    assert_int_equal(tasks_await(g->tasks, view.id, view.version, UINT64_MAX / 2),
                     PROBER_ERR_CLOSED);
    assert_int_equal(tell(g, 2, &running).outcome, WIRE_TASK_AGAIN);
    assert_int_equal(tasks_create(g->tasks, &o, &none, &why), PROBER_ERR_CLOSED);
    assert_int_equal(tasks_cancel(g->tasks, view.id, "me", &why), PROBER_ERR_CLOSED);
    task_view_free(&view);
    given_free(g);
}

struct crowd {
    struct given *g;
    char id[WIRE_TASK_ID_MAX + 1];
    size_t agent;
};

static void *tell_much(void *context)
{
    struct crowd *c = context;
    uint64_t have = 0;

    for (int i = 0; i < 50; i++) {
        struct wire_task_chunk chunk = given_chunk(1, have, "0123456789");
        struct wire_task_report running = given_running(c->id);

        running.chunks = &chunk;
        running.chunk_count = 1;
        have = tell(c->g, c->agent, &running).stdout_have;
    }
    return NULL;
}

static void agents_that_tell_at_once_are_all_heard(void **state)
{
    struct given *g = given_tasks();
    struct task_view view = order(g, "eu-west|us-east", "=~"), after;
    struct crowd crowd[2] = {{.g = g, .agent = 1}, {.g = g, .agent = 2}};
    pthread_t threads[2];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        memcpy(crowd[i].id, view.id, sizeof(view.id));
        assert_int_equal(pthread_create(&threads[i], NULL, tell_much, &crowd[i]), 0);
    }
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(tasks_view(g->tasks, view.id, &after), PROBER_OK);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(after.rows[i].streams[TASK_STREAM_STDOUT].have, 500);
    task_view_free(&after);
    task_view_free(&view);
    given_free(g);
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
        cmocka_unit_test(a_task_goes_to_the_chosen_agents_and_ends_with_their_results),
        cmocka_unit_test(what_was_acknowledged_outlives_the_server),
        cmocka_unit_test(a_result_is_filed),
        cmocka_unit_test(files_that_cannot_be_written_lose_no_result),
        cmocka_unit_test(what_cannot_be_kept_is_not_acknowledged),
        cmocka_unit_test(a_cancelled_task_ends_at_once_where_it_was_not_delivered),
        cmocka_unit_test(an_order_that_makes_no_sense_changes_nothing),
        cmocka_unit_test(tasks_are_listed_newest_first),
        cmocka_unit_test(who_waits_hears_of_a_change),
        cmocka_unit_test(a_server_that_stops_answers_everybody),
        cmocka_unit_test(agents_that_tell_at_once_are_all_heard),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

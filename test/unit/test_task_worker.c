#include "test/unit/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agentd/task_worker.h"
#include "common/array.h"
#include "given_files.h"
#include "common/process.h"
#include "given_task.h"
#include "fakes/http_server.h"

#define SECONDS(n) ((uint64_t)(n)*CLOCK_NS_PER_S)
#define RESULTS_MAX 64

/* ---- the programs: ping writes its arguments, ss writes without end ---- */

static struct given_files files;
static char directories[64];
static struct task_settings settings;
static struct task_ledger *ledger;
static struct policy *policy;
static struct task_worker *worker;
static struct prober_failure why;

/* ---- results, as they come ---- */

struct told {
    char id[TASK_ID_MAX];
    enum task_fate fate;
    enum prober_error error;
    enum task_end end;
    char text[256], notes[512], out[4096];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t came;
    size_t count;
    struct told items[RESULTS_MAX];
} results = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};

static char story[1024]; /* of what began and wrote; guarded by results.lock */

static void take_result(void *context, const struct task_result *r)
{
    struct told *t;
    struct strbuf out = STRBUF_INIT;

    (void)context;
    pthread_mutex_lock(&results.lock);
    assert_true(results.count < RESULTS_MAX);
    t = &results.items[results.count++];
    memset(t, 0, sizeof(*t));
    snprintf(t->id, sizeof(t->id), "%s", r->id);
    snprintf(t->text, sizeof(t->text), "%s", r->text);
    snprintf(t->notes, sizeof(t->notes), "%s", r->notes);
    t->fate = r->fate;
    t->error = r->error;
    if (r->outcome) {
        task_output_write(&r->outcome->out, &out);
        snprintf(t->out, sizeof(t->out), "%.*s", (int)out.len, out.bytes ? out.bytes : "");
        t->end = r->outcome->end;
    }
    strbuf_free(&out);
    pthread_cond_broadcast(&results.came);
    pthread_mutex_unlock(&results.lock);
}

/* The result of an id, waited for. */
static struct told result_of(const char *id)
{
    struct told found = {0};

    pthread_mutex_lock(&results.lock);
    for (;;) {
        for (size_t i = 0; i < results.count; i++)
            if (strcmp(results.items[i].id, id) == 0)
                found = results.items[i];
        if (found.id[0])
            break;
        pthread_cond_wait(&results.came, &results.lock);
    }
    pthread_mutex_unlock(&results.lock);
    return found;
}

static void forget_results(void)
{
    pthread_mutex_lock(&results.lock);
    results.count = 0;
    story[0] = '\0';
    pthread_mutex_unlock(&results.lock);
}

static size_t results_count(void)
{
    size_t count;

    pthread_mutex_lock(&results.lock);
    count = results.count;
    pthread_mutex_unlock(&results.lock);
    return count;
}

__attribute__((format(printf, 1, 2))) static void add_to_story(const char *format, ...)
{
    va_list arguments;
    size_t len;

    pthread_mutex_lock(&results.lock);
    len = strlen(story);
    va_start(arguments, format);
    vsnprintf(story + len, sizeof(story) - len, format, arguments);
    va_end(arguments);
    pthread_mutex_unlock(&results.lock);
}

static void take_beginning(void *context, const char *id)
{
    (void)context;
    add_to_story("%s began;", id);
}

static void take_bytes(void *context, const char *id, enum task_stream stream, uint64_t offset,
                       const char *bytes, size_t len)
{
    (void)context;
    add_to_story("%s %d %d:%.*s;", id, (int)stream, (int)offset, (int)len, bytes);
}

static const struct task_listener listener = {take_beginning, take_bytes, take_result, NULL};

/* ---- givens ---- */

static void opens(void)
{
    assert_int_equal(
        task_ledger_open(&ledger, given_path(&files, "tasks"), 100, SECONDS(3600), &why),
        PROBER_OK);
    if (task_worker_create(&worker, &settings, ledger, policy, &listener, &why))
        fail_msg("%s", why.text);
}

static void closes(void)
{
    task_worker_destroy(worker);
    task_ledger_close(ledger);
    worker = NULL;
    ledger = NULL;
}

static int given_worker(void **state)
{
    const char *denied[] = {"192.0.2.0/24"};
    const struct option_list none = {NULL, 0}, deny = {(char **)denied, 1};

    (void)state;
    given_dir(&files);
    assert_int_equal(symlink("/bin/echo", given_path(&files, "ping")), 0);
    assert_int_equal(symlink("/usr/bin/yes", given_path(&files, "ss")), 0);
    snprintf(directories, sizeof(directories), "%s", files.dir);
    assert_int_equal(policy_create(&policy, &none, &deny, NULL), PROBER_OK);
    settings = (struct task_settings){
        .terms = {.policy = TASK_POLICY_ALLOWLIST, .root = true, .deadline_ns = SECONDS(60)},
        .grace_ns = SECONDS(1) / 10,
        .output_max = 256,
        .output_stop = UINT64_MAX,
        .running_max = 2,
        .waiting_max = 4,
        .per_minute = 600,
        .burst = 60,
        .servers = "127.0.0.1:1",
        .directories = directories,
    };
    forget_results();
    opens();
    return 0;
}

static int no_worker(void **state)
{
    (void)state;
    closes();
    policy_put(policy);
    given_dir_ends(&files);
    return 0;
}

static void orders(const char *id, const char *line)
{
    if (task_worker_submit(worker, id, line, strlen(line), SECONDS(600), &why))
        fail_msg("%s", why.text);
}

/* ---- the tests ---- */

static void a_command_runs_and_its_result_is_told_with_its_notes(void **state)
{
    struct told t;

    (void)state;
    orders("a", "ping -i 0 ::1");
    t = result_of("a");
    assert_int_equal(t.fate, TASK_RAN);
    assert_int_equal(t.end, TASK_END_EXITED);
    assert_string_equal(t.out, "-c 5 -i 0.2 -w 58 ::1\n");
    assert_non_null(strstr(t.notes, "ping: -i 0 is below"));
}

static void what_a_program_writes_is_told_while_it_runs(void **state)
{
    size_t lines = 0;

    (void)state;
    orders("a", "ping -c 1 ::1");
    result_of("a");
    assert_string_equal(story, "a began;a 0 0:-c 1 -i 1 -w 58 ::1\n;");
    /* Of a stream that is not kept whole, the beginning is told: 128 bytes, "y\n" each. */
    orders("b", "ss");
    assert_int_equal(task_worker_cancel(worker, "b"), PROBER_OK);
    result_of("b");
    for (const char *at = story; (at = strstr(at, "y\n")); at++)
        lines++;
    assert_true(lines <= 64);
}

static void a_name_is_looked_up_and_the_address_is_given_to_the_program(void **state)
{
    struct told t;

    (void)state;
    orders("a", "ping -4 -c 1 localhost");
    t = result_of("a");
    assert_int_equal(t.fate, TASK_RAN);
    assert_string_equal(t.out, "-4 -c 1 -i 1 -w 58 127.0.0.1\n");
    assert_non_null(strstr(t.notes, "ping: localhost is 127.0.0.1\n"));
}

static void what_may_not_run_is_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *id, *line, *text;
        enum prober_error error;
    } cases[] = {
        {"grammar", "ping -f ::1", "option '-f' is not allowed", PROBER_ERR_DENIED},
        {"shell", "ping ::1; id", "without a shell", PROBER_ERR_SYNTAX},
        {"network", "ping 192.0.2.1", "may not send to 192.0.2.1", PROBER_ERR_DENIED},
        {"name", "ping no.such.invalid", "cannot look no.such.invalid up", PROBER_ERR_NOT_FOUND},
        {"missing", "mtr ::1", "mtr is not installed", PROBER_ERR_NOT_FOUND},
        {"../x", "ping ::1", "is no id of a task", PROBER_ERR_SYNTAX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct told t;

        orders(cases[i].id, cases[i].line);
        t = result_of(cases[i].id);
        assert_int_equal(t.fate, TASK_REFUSED);
        if (!strstr(t.text, cases[i].text))
            fail_msg("%s: %s", cases[i].id, t.text);
        assert_int_equal(t.error, cases[i].error);
    }
    closes();
    opens();
    assert_int_equal(task_ledger_count(ledger), 0);
}

static void an_order_given_twice_runs_once(void **state)
{
    (void)state;
    orders("endless", "ss");
    orders("endless", "ss");
    orders("a", "ping ::1");
    result_of("a");
    forget_results();
    orders("a", "ping ::1");
    assert_int_equal(result_of("a").fate, TASK_RAN_BEFORE);
    assert_int_equal(results_count(), 1);
    assert_int_equal(task_worker_cancel(worker, "endless"), PROBER_OK);
    assert_int_equal(result_of("endless").end, TASK_END_CANCELLED);
}

static void what_waits_can_be_cancelled_and_what_does_not_exist_too(void **state)
{
    (void)state;
    orders("one", "ss");
    orders("two", "ss");
    orders("three", "ping ::1");
    orders("four", "ping ::1");
    assert_int_equal(task_worker_cancel(worker, "unknown"), PROBER_OK);
    assert_int_equal(task_worker_cancel(worker, "three"), PROBER_OK);
    assert_int_equal(result_of("three").fate, TASK_REFUSED);
    assert_int_equal(results_count(), 1); /* four waits for its turn */
    assert_int_equal(task_worker_cancel(worker, "one"), PROBER_OK);
    assert_int_equal(result_of("one").end, TASK_END_CANCELLED);
    assert_int_equal(result_of("four").end, TASK_END_EXITED);
    assert_int_equal(task_worker_cancel(worker, "two"), PROBER_OK);
    assert_int_equal(result_of("two").end, TASK_END_CANCELLED);
}

static void more_than_can_wait_are_refused(void **state)
{
    char id[8];

    (void)state;
    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof(id), "t%d", i);
        orders(id, "ss");
    }
    assert_int_equal(task_worker_submit(worker, "more", "ss", 2, SECONDS(600), &why),
                     PROBER_ERR_FULL);
    assert_int_equal(task_worker_cancel(worker, "t5"), PROBER_OK);
    result_of("t5");
    orders("more", "ss");
}

static void more_than_so_many_a_minute_are_refused(void **state)
{
    (void)state;
    closes();
    settings.per_minute = 1;
    settings.burst = 2;
    opens();
    orders("a", "ping ::1");
    result_of("a");
    orders("b", "ping ::1");
    result_of("b");
    assert_int_equal(task_worker_submit(worker, "c", "ss", 2, SECONDS(600), &why), PROBER_ERR_FULL);
    assert_non_null(strstr(why.text, "1 tasks a minute"));
}

static void output_without_end_stops_a_task(void **state)
{
    (void)state;
    closes();
    settings.output_stop = 1 << 20;
    opens();
    orders("a", "ss");
    assert_int_equal(result_of("a").end, TASK_END_OVERFLOWED);
}

static void at_its_deadline_a_task_ends(void **state)
{
    (void)state;
    closes();
    settings.terms.deadline_ns = SECONDS(1) / 5;
    opens();
    orders("a", "ss");
    assert_int_equal(result_of("a").end, TASK_END_TIMED_OUT);
}

static void a_stopped_worker_ends_what_runs_and_takes_nothing_more(void **state)
{
    (void)state;
    orders("runs", "ss");
    orders("too", "ss");
    orders("waits", "ping ::1");
    orders("cancelled", "ping ::1");
    assert_int_equal(task_worker_cancel(worker, "cancelled"), PROBER_OK);
    result_of("cancelled"); /* so the others were taken up before it */
    task_worker_stop(worker);
    assert_int_equal(results_count(), 3);
    assert_int_equal(result_of("runs").end, TASK_END_CANCELLED);
    assert_int_equal(result_of("too").end, TASK_END_CANCELLED);
    assert_int_equal(task_worker_submit(worker, "x", "ss", 2, SECONDS(600), &why),
                     PROBER_ERR_CLOSED);
    assert_int_equal(task_worker_cancel(worker, "x"), PROBER_ERR_CLOSED);
    closes();
    opens();
    orders("waits", "ping ::1");
    assert_int_equal(result_of("waits").fate, TASK_RAN);
}

static void after_a_crash_nothing_runs_a_second_time(void **state)
{
    struct told t;

    (void)state;
    orders("ended", "ping ::1");
    result_of("ended");
    closes();
    /* One that was begun by a process that is no more. */
    assert_int_equal(task_ledger_open(&ledger, given_path(&files, "tasks"), 100, 1, &why),
                     PROBER_OK);
    assert_int_equal(task_ledger_begin(ledger, "crashed", clock_realtime_ns(), &why), PROBER_OK);
    task_ledger_close(ledger);
    opens();
    orders("crashed", "ping ::1");
    t = result_of("crashed");
    assert_int_equal(t.fate, TASK_INTERRUPTED);
    assert_string_equal(t.out, "");
    forget_results();
    orders("ended", "ping ::1");
    assert_int_equal(result_of("ended").fate, TASK_RAN_BEFORE);
}

static void what_the_orderer_knows_of_is_noted(void **state)
{
    (void)state;
    orders("a", "ping ::1");
    result_of("a");
    orders("b", "ping ::1");
    result_of("b");
    assert_int_equal(task_worker_told(worker, "b"), PROBER_OK);
    assert_int_equal(task_worker_told(worker, "never-heard-of"), PROBER_OK);
    orders("c", "ping ::1"); /* taken up after those */
    result_of("c");
    task_worker_close(worker);
    assert_int_equal(task_worker_told(worker, "a"), PROBER_ERR_CLOSED);
    closes();
    assert_int_equal(task_ledger_open(&ledger, given_path(&files, "tasks"), 100, 1, &why),
                     PROBER_OK);
    assert_int_equal(task_ledger_find(ledger, "a")->state, TASK_LEDGER_ENDED);
    assert_int_equal(task_ledger_find(ledger, "b")->state, TASK_LEDGER_TOLD);
    assert_null(task_ledger_find(ledger, "never-heard-of"));
    task_ledger_close(ledger);
    opens();
}

static void an_order_has_a_deadline_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(task_worker_submit(worker, "short", "ss", 2, 1, &why), PROBER_OK);
    assert_int_equal(result_of("short").end, TASK_END_TIMED_OUT);
}

static void when_nothing_can_be_noted_nothing_runs(void **state)
{
    struct told t;

    (void)state;
    assert_int_equal(mkdir(given_path(&files, "tasks"), 0700), 0); /* in the place of the file */
    orders("a", "ping ::1");
    t = result_of("a");
    assert_int_equal(t.fate, TASK_REFUSED);
    assert_non_null(strstr(t.text, "cannot replace"));
    assert_int_equal(rmdir(given_path(&files, "tasks")), 0);
    forget_results();
    orders("a", "ping ::1");
    assert_int_equal(result_of("a").fate, TASK_RAN);
}

static void another_policy_holds_from_the_next_task_on(void **state)
{
    const struct option_list none = {NULL, 0};
    struct policy *open_policy = NULL;

    (void)state;
    orders("a", "ping 192.0.2.1");
    assert_int_equal(result_of("a").fate, TASK_REFUSED);
    assert_int_equal(policy_create(&open_policy, &none, &none, NULL), PROBER_OK);
    task_worker_set_policy(worker, open_policy);
    policy_put(open_policy);
    orders("b", "ping 192.0.2.1");
    assert_int_equal(result_of("b").fate, TASK_RAN);
}

/* ---- built-ins, on a host without tools ---- */

static void given_no_tools(void)
{
    closes();
    settings.directories = "/nonexistent";
    settings.output_max = 8192;
    opens();
}

static void a_url_is_probed_without_any_tool(void **state)
{
    static const struct http_route routes[] = {{.method = "GET", .path = "/a", .body = "hello"},
                                               {0}};
    struct http_server *server = http_server_start(routes);
    char line[128];
    struct told t;

    (void)state;
    given_no_tools();
    snprintf(line, sizeof(line), "http %s/a", http_server_url(server));
    orders("a", line);
    t = result_of("a");
    assert_int_equal(t.fate, TASK_RAN);
    assert_int_equal(t.end, TASK_END_EXITED);
    if (!strstr(t.out, "/a: 200 HTTP/1.1, success, ") || !strstr(t.out, "  address 127.0.0.1\n"))
        fail_msg("%s", t.out);
    snprintf(line, sizeof(line), "probe http -json -method HEAD -status 404 %s/b",
             http_server_url(server));
    orders("b", line);
    t = result_of("b");
    if (!strstr(t.out, "\"success\":true") || !strstr(t.out, "\"status_code\":404"))
        fail_msg("%s", t.out);
    assert_int_equal(http_server_requests(server), 2);
    assert_non_null(strstr(http_server_last(server), "HEAD /b HTTP/1.1\r\n"));
    http_server_stop(server);
}

static void a_redirect_to_a_denied_network_is_not_followed(void **state)
{
    static const struct http_route routes[] = {
        {.method = "GET", .path = "/", .status = 302, .headers = "Location: http://192.0.2.1/\r\n"},
        {0}};
    struct http_server *server = http_server_start(routes);
    char line[128];
    struct told t;

    (void)state;
    given_no_tools();
    snprintf(line, sizeof(line), "http %s/", http_server_url(server));
    orders("a", line);
    t = result_of("a");
    assert_int_equal(t.end, TASK_END_EXITED);
    if (!strstr(t.out, "the address is not permitted"))
        fail_msg("%s", t.out);
    snprintf(line, sizeof(line), "http 0.0.0.0%s/", strrchr(http_server_url(server), ':'));
    orders("b", line);
    t = result_of("b");
    if (!strstr(t.out, "the address is not permitted"))
        fail_msg("%s", t.out);
    assert_int_equal(http_server_requests(server), 1);
    http_server_stop(server);
}

static void a_host_is_pinged_and_traced_without_any_tool(void **state)
{
    struct told t;

    (void)state;
    if (!process_has_net_raw())
        skip();
    given_no_tools();
    orders("a", "ping -c 2 -i 0.2 127.0.0.1");
    t = result_of("a");
    if (!strstr(t.out, "127.0.0.1: 2 sent, 2 received, 0.0 % loss; RTT min "))
        fail_msg("%s %s", t.out, t.text);
    orders("b", "trace -json -c 1 -protocol udp -4 localhost");
    t = result_of("b");
    if (!strstr(t.out, "\"reached\":true") || !strstr(t.out, "\"protocol\":\"udp\""))
        fail_msg("%s %s", t.out, t.text);
    assert_non_null(strstr(t.notes, "trace: localhost is 127.0.0.1\n"));
}

static void settings_out_of_range_make_no_worker(void **state)
{
    struct task_worker *none = NULL;
    struct task_settings s = settings;

    (void)state;
    s.running_max = 0;
    assert_int_equal(task_worker_create(&none, &s, ledger, policy, &listener, &why),
                     PROBER_ERR_RANGE);
    s = settings;
    s.servers = "nonsense";
    assert_true(task_worker_create(&none, &s, ledger, policy, &listener, &why) != PROBER_OK);
    assert_null(none);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, given_worker, no_worker)
    const struct CMUnitTest tests[] = {
        TEST(a_command_runs_and_its_result_is_told_with_its_notes),
        TEST(what_a_program_writes_is_told_while_it_runs),
        TEST(a_name_is_looked_up_and_the_address_is_given_to_the_program),
        TEST(what_may_not_run_is_refused_with_a_sentence),
        TEST(an_order_given_twice_runs_once),
        TEST(what_waits_can_be_cancelled_and_what_does_not_exist_too),
        TEST(more_than_can_wait_are_refused),
        TEST(more_than_so_many_a_minute_are_refused),
        TEST(output_without_end_stops_a_task),
        TEST(at_its_deadline_a_task_ends),
        TEST(a_stopped_worker_ends_what_runs_and_takes_nothing_more),
        TEST(after_a_crash_nothing_runs_a_second_time),
        TEST(what_the_orderer_knows_of_is_noted),
        TEST(an_order_has_a_deadline_of_its_own),
        TEST(when_nothing_can_be_noted_nothing_runs),
        TEST(another_policy_holds_from_the_next_task_on),
        TEST(a_url_is_probed_without_any_tool),
        TEST(a_redirect_to_a_denied_network_is_not_followed),
        TEST(a_host_is_pinged_and_traced_without_any_tool),
        TEST(settings_out_of_range_make_no_worker),
    };
    int status;

    if (given_task_exec(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

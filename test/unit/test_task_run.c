#include "test/unit/unit.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agentd/task_program.h"
#include "common/process.h"
#include "given_files.h"
#include "given_task.h"

#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)
#define LONG MS(60000)

static const char *script[] = {"sh", "-c", NULL, NULL};
static struct task_run_order order;
static struct task_run *run;
static char text[1 << 20]; /* what it wrote, NUL-terminated */

static void given_script(const char *lines)
{
    script[2] = lines;
    order = (struct task_run_order){.path = "/bin/sh",
                                    .argv = script,
                                    .deadline_ns = LONG,
                                    .grace_ns = MS(200),
                                    .output_max = 1 << 16,
                                    .output_stop = 1 << 24};
}

static void starts(void)
{
    struct prober_failure why;

    if (task_run_start(&run, &order, clock_monotonic_ns(), &why))
        fail_msg("%s", why.text);
}

static const char *take_text(const struct task_output *o)
{
    struct strbuf all = STRBUF_INIT;

    task_output_write(o, &all);
    assert_true(all.len < sizeof(text));
    memcpy(text, all.bytes ? all.bytes : "", all.len);
    text[all.len] = '\0';
    strbuf_free(&all);
    return text;
}

/* Steps until it has ended, or has written `awaited` (NULL: is not awaited). */
static const struct task_outcome *steps_until(const char *awaited)
{
    const struct task_outcome *outcome = task_run_outcome(run);

    while (!task_run_step(run, clock_monotonic_ns())) {
        struct pollfd fds[TASK_RUN_FDS];

        if (awaited && strstr(take_text(&outcome->out), awaited))
            return outcome;
        task_run_poll(run, fds);
        assert_true(poll(fds, TASK_RUN_FDS, 30000) > 0);
    }
    if (awaited)
        assert_non_null(strstr(take_text(&outcome->out), awaited));
    take_text(&outcome->out);
    return outcome;
}

static const struct task_outcome *runs(const char *lines)
{
    given_script(lines);
    starts();
    return steps_until(NULL);
}

static int no_run(void **state)
{
    (void)state;
    task_run_destroy(run);
    run = NULL;
    return 0;
}

static void assert_gone(const char *pid)
{
    assert_true(atoi(pid) > 1);
    assert_int_equal(kill(atoi(pid), 0), -1);
    assert_int_equal(errno, ESRCH);
}

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

/* ---- how a program ends ---- */

static void output_and_exit_status_are_told(void **state)
{
    const struct task_outcome *o = runs("echo to out; echo to err >&2; exit 3");

    (void)state;
    assert_string_equal(text, "to out\n");
    assert_string_equal(take_text(&o->err), "to err\n");
    assert_int_equal(o->end, TASK_END_EXITED);
    assert_int_equal(o->value, 3);
    assert_int_equal(o->left_behind, 0);
    assert_true(o->duration_ns > 0 && o->duration_ns < LONG);
}

static void a_signal_is_told(void **state)
{
    const struct task_outcome *o = runs("kill -SEGV $$");

    (void)state;
    assert_int_equal(o->end, TASK_END_SIGNALLED);
    assert_int_equal(o->value, SIGSEGV);
}

static void what_cannot_be_executed_says_so(void **state)
{
    const struct task_outcome *o;

    (void)state;
    given_script("");
    order.path = "/nonexistent/program";
    starts();
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_REFUSED);
    assert_string_equal(o->text, "cannot execute /nonexistent/program: No such file or directory");
}

static void arguments_arrive_as_they_are(void **state)
{
    const char *const argv[] = {"printf", "%s|", "a b", "", "$(id)", "-x", "\xe6\xac\xa7", NULL};

    (void)state;
    given_script("");
    order.path = "/usr/bin/printf";
    order.argv = argv;
    starts();
    steps_until(NULL);
    assert_string_equal(text, "a b||$(id)|-x|\xe6\xac\xa7|");
}

static void bytes_that_are_no_text_arrive(void **state)
{
    const struct task_outcome *o = runs("printf '\\000\\377\\001'");

    (void)state;
    assert_int_equal(o->out.total, 3);
    assert_memory_equal(o->out.head.bytes, "\0\xff\1", 3);
}

static void output_beyond_the_limit_loses_its_middle(void **state)
{
    const struct task_outcome *o;

    (void)state;
    given_script("echo begin; head -c 500000 /dev/zero; echo end");
    order.output_max = 1000;
    starts();
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_EXITED);
    assert_int_equal(o->out.total, 500010);
    assert_int_equal(task_output_left_out(&o->out), 499010);
    assert_memory_equal(o->out.head.bytes, "begin\n", 6);
}

/* ---- how it is ended ---- */

static void output_that_never_ends_stops_the_task(void **state)
{
    const struct task_outcome *o;

    (void)state;
    given_script("exec yes");
    order.output_stop = 1 << 20;
    starts();
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_OVERFLOWED);
    assert_true(o->out.total > 1 << 20 && o->out.total < 1 << 24);
}

static void output_that_never_ends_and_obeys_nothing_stops_as_well(void **state)
{
    const struct task_outcome *o;

    (void)state;
    given_script("trap '' TERM PIPE; while :; do echo y >&2; done");
    order.output_stop = 1 << 12;
    order.grace_ns = MS(20);
    starts();
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_OVERFLOWED);
}

static void at_its_deadline_a_program_is_stopped(void **state)
{
    const struct task_outcome *o;

    (void)state;
    given_script("echo $$; exec sleep 1000");
    order.deadline_ns = MS(300);
    starts();
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_TIMED_OUT);
    if (text[0]) /* it may not have come so far */
        assert_gone(text);
}

static void a_program_is_asked_to_end_first(void **state)
{
    const struct task_outcome *o;

    (void)state;
    given_script("trap 'echo asked; exit 7' TERM; echo $$; sleep 1000 & wait");
    order.grace_ns = LONG;
    starts();
    steps_until("\n");
    task_run_cancel(run, clock_monotonic_ns());
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_CANCELLED);
    assert_int_equal(o->value, 7);
    assert_non_null(strstr(text, "asked"));
    assert_gone(text);
}

static void who_does_not_listen_is_killed(void **state)
{
    const struct task_outcome *o;

    (void)state;
    given_script("trap '' TERM INT HUP; echo $$; while :; do sleep 1000; done");
    order.grace_ns = MS(50);
    starts();
    steps_until("\n");
    task_run_cancel(run, clock_monotonic_ns());
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_CANCELLED);
    assert_int_equal(o->value, SIGKILL);
    assert_gone(text);
}

static void a_cancelled_task_ends(void **state)
{
    const struct task_outcome *o;

    (void)state;
    given_script("echo $$; exec sleep 1000");
    starts();
    steps_until("\n");
    task_run_cancel(run, clock_monotonic_ns());
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_CANCELLED);
    assert_gone(text);
    task_run_cancel(run, clock_monotonic_ns());
    assert_int_equal(o->end, TASK_END_CANCELLED);
}

static void a_stopped_program_can_be_cancelled(void **state)
{
    const struct task_outcome *o;

    (void)state;
    given_script("echo $$; kill -STOP $$; echo never");
    starts();
    steps_until("\n");
    task_run_cancel(run, clock_monotonic_ns());
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_CANCELLED);
    assert_gone(text);
}

/* ---- nothing is left of it ---- */

static void a_child_that_forks_away_is_killed_when_the_program_ends(void **state)
{
    const struct task_outcome *o = runs("sleep 1000 >/dev/null 2>&1 & echo $!; exit 0");

    (void)state;
    assert_int_equal(o->end, TASK_END_EXITED);
    assert_int_equal(o->left_behind, 1);
    assert_gone(text);
}

static void a_daemon_of_its_own_session_is_killed(void **state)
{
    const struct task_outcome *o =
        runs("trap '' HUP TERM; "
             "(setsid sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 1000 >/dev/null\" &' &)"
             " | { read daemon; echo $daemon; }");

    (void)state;
    assert_int_equal(o->end, TASK_END_EXITED);
    assert_true(o->left_behind >= 1);
    assert_gone(text);
}

static void one_that_forks_all_the_time_does_not_escape(void **state)
{
    const struct task_outcome *o;

    (void)state;
    given_script("trap '' TERM; echo $$; f() { (f) & (f) & sleep 1000; }; "
                 "g() { while :; do setsid true; done; }; g & g & echo up; wait");
    order.grace_ns = MS(20);
    starts();
    steps_until("up");
    task_run_cancel(run, clock_monotonic_ns());
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_CANCELLED);
    assert_gone(text);
}

static void a_task_that_is_given_up_leaves_nothing(void **state)
{
    char pid[32];

    (void)state;
    given_script("echo $$; exec sleep 1000");
    starts();
    steps_until("\n");
    snprintf(pid, sizeof(pid), "%.31s", text);
    task_run_destroy(run);
    run = NULL;
    assert_gone(pid);
}

static void when_task_exec_is_killed_the_program_dies_with_it(void **state)
{
    const struct task_outcome *o;
    pid_t program;

    (void)state;
    /* Orphans come to this process, which can so wait for their end. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    given_script("echo $$ $PPID; exec sleep 1000");
    starts();
    steps_until("\n");
    program = atoi(text);
    assert_int_equal(kill(atoi(strchr(text, ' ')), SIGKILL), 0);
    o = steps_until(NULL);
    assert_int_equal(o->end, TASK_END_LOST);
    assert_int_equal(waitpid(program, NULL, 0), program);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

/* The agent in a process of its own: starts a task, tells its pid, and waits to be killed. */
static void __attribute__((noreturn)) be_an_agent(int told_fd)
{
    given_script("trap '' TERM HUP; echo $$; sleep 1000");
    starts();
    steps_until("\n");
    if (write(told_fd, text, strlen(text)) < 0)
        _exit(1);
    for (;;)
        pause();
}

static void when_the_agent_is_killed_its_tasks_die_with_it(void **state)
{
    int told[2];
    char pid[32] = "";
    pid_t agent;

    (void)state;
    /* Orphans come to this process, which can so wait for their end. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    assert_int_equal(pipe(told), 0);
    agent = fork();
    if (agent == 0)
        be_an_agent(told[1]);
    close(told[1]);
    assert_true(read(told[0], pid, sizeof(pid) - 1) > 1);
    close(told[0]);
    assert_int_equal(kill(agent, SIGKILL), 0);
    while (waitpid(-1, NULL, 0) > 0)
        continue;
    assert_int_equal(errno, ECHILD);
    assert_gone(pid);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

/* ---- what it may do ---- */

static void the_environment_is_cleared(void **state)
{
    const char *const argv[] = {"env", NULL};

    (void)state;
    setenv("PROBER_SECRET", "x", 1);
    given_script("");
    order.path = "/usr/bin/env";
    order.argv = argv;
    starts();
    steps_until(NULL);
    assert_string_equal(text, "PATH=" TASK_PROGRAM_DIRS "\nLANG=C.UTF-8\nTERM=dumb\n");
}

static void no_descriptor_is_inherited(void **state)
{
    int leaky = dup(0); /* without O_CLOEXEC */

    (void)state;
    runs("ls /proc/self/fd; readlink /proc/self/fd/0; umask; pwd; cat");
    close(leaky);
    /* The fourth is the directory that ls reads. */
    assert_string_equal(text, "0\n1\n2\n3\n/dev/null\n0077\n/\n");
}

static void resources_are_limited(void **state)
{
    (void)state;
    runs("ulimit -c; ulimit -f; ulimit -n; ulimit -t; ulimit -v; ulimit -H -n");
    assert_string_equal(text, "0\n0\n256\n60\n1048576\n256\n");
}

static void it_is_in_a_session_of_its_own(void **state)
{
    int pid, group, session;

    (void)state;
    runs("echo $$; cat /proc/$$/stat");
    assert_int_equal(sscanf(strrchr(text, ')'), ") %*c %*d %d %d", &group, &session), 2);
    pid = atoi(text);
    assert_int_equal(group, pid);
    assert_int_equal(session, pid);
}

static unsigned long long capabilities(const char *name)
{
    const char *line = strstr(text, name);

    assert_non_null(line);
    return strtoull(line + strlen(name), NULL, 16);
}

static void only_the_capability_to_send_packets_is_left(void **state)
{
    uint64_t raw = process_has_net_raw() ? 1ull << CAP_NET_RAW : 0;
    bool had = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;

    (void)state;
    for (int with = 0; with < 2; with++) {
        given_script("cat /proc/self/status");
        order.raw = with;
        starts();
        steps_until(NULL);
        assert_int_equal(capabilities("CapEff:"), with ? raw : 0);
        assert_int_equal(capabilities("CapPrm:"), with ? raw : 0);
        assert_int_equal(capabilities("NoNewPrivs:"), !with || raw || had);
        no_run(NULL);
    }
}

static void nothing_can_be_written_and_no_secret_read(void **state)
{
    struct given_files files;
    char lines[1024];

    (void)state;
    if (!has_landlock())
        skip();
    given_dir(&files);
    given_text(&files, "key", "secret");
    snprintf(lines, sizeof(lines),
             "cat %s/key; echo x > %s/new; echo x >> %s/key; rm %s/key; mkdir %s/dir; ls %s; "
             "cat /etc/shadow; echo > /dev/null && cat /etc/resolv.conf > /dev/null && echo fine; "
             "cat /proc/%d/environ; kill -0 %d && echo reached",
             files.dir, files.dir, files.dir, files.dir, files.dir, files.dir, (int)getpid(),
             (int)getpid());
    for (int shell = 0; shell < 2; shell++) {
        given_script(lines);
        order.shell = shell;
        starts();
        steps_until(NULL);
        if (strcmp(text, "fine\n") != 0 && strcmp(text, "fine\nreached\n") != 0)
            fail_msg("%s", text);
        assert_int_equal(access(given_path(&files, "key"), F_OK), 0);
        assert_int_equal(access(given_path(&files, "new"), F_OK), -1);
        assert_int_equal(access(given_path(&files, "dir"), F_OK), -1);
        no_run(NULL);
    }
    given_dir_ends(&files);
}

static void a_built_in_reads_nothing_of_its_agent(void **state)
{
    const char *argv[] = {"agentd", "probe", "http", "-config", NULL, "-prober", "a", NULL};
    struct given_files files;
    const struct task_outcome *o;

    (void)state;
    if (!has_landlock())
        skip();
    given_dir(&files);
    argv[4] = given_path(&files, "state");
    given_text(&files, "state", "secret");
    given_script("");
    order.path = TASK_PROGRAM_OWN;
    order.argv = argv;
    order.own = true;
    starts();
    o = steps_until(NULL);
    given_dir_ends(&files);
    assert_int_equal(o->end, TASK_END_EXITED);
    assert_int_equal(o->value, PROBE_EXIT_USAGE);
    if (!strstr(take_text(&o->err), "Permission denied") || strstr(text, "secret"))
        fail_msg("%s", text);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_teardown(name, no_run)
    const struct CMUnitTest tests[] = {
        TEST(output_and_exit_status_are_told),
        TEST(a_signal_is_told),
        TEST(what_cannot_be_executed_says_so),
        TEST(arguments_arrive_as_they_are),
        TEST(bytes_that_are_no_text_arrive),
        TEST(output_beyond_the_limit_loses_its_middle),
        TEST(output_that_never_ends_stops_the_task),
        TEST(output_that_never_ends_and_obeys_nothing_stops_as_well),
        TEST(at_its_deadline_a_program_is_stopped),
        TEST(a_program_is_asked_to_end_first),
        TEST(who_does_not_listen_is_killed),
        TEST(a_cancelled_task_ends),
        TEST(a_stopped_program_can_be_cancelled),
        TEST(a_child_that_forks_away_is_killed_when_the_program_ends),
        TEST(a_daemon_of_its_own_session_is_killed),
        TEST(one_that_forks_all_the_time_does_not_escape),
        TEST(a_task_that_is_given_up_leaves_nothing),
        TEST(when_task_exec_is_killed_the_program_dies_with_it),
        TEST(when_the_agent_is_killed_its_tasks_die_with_it),
        TEST(the_environment_is_cleared),
        TEST(no_descriptor_is_inherited),
        TEST(resources_are_limited),
        TEST(it_is_in_a_session_of_its_own),
        TEST(only_the_capability_to_send_packets_is_left),
        TEST(nothing_can_be_written_and_no_secret_read),
        TEST(a_built_in_reads_nothing_of_its_agent),
    };
    int status;

    if (given_task_exec(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "agentd/task_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agentd/task_exec.h"
#include "agentd/task_program.h"
#include "common/array.h"
#include "common/clock.h"

#define READ_AT_ONCE (256 * 1024) /* of one stream, so that others have their turn */
#define LAST_READ (1024 * 1024)   /* no pipe holds more */
#define PATIENCE_NS (5 * CLOCK_NS_PER_S)
#define FIXED_ARGUMENTS 11

enum { CONTROL, OUT, ERR }; /* of fds */

struct task_run {
    pid_t pid; /* of task-exec; 0 when it was taken */
    int fds[TASK_RUN_FDS];
    uint64_t began_ns, grace_ns, output_stop;
    uint64_t give_up_ns; /* when task-exec itself is killed: it should be long gone */
    enum task_end stop;  /* TASK_END_EXITED: nobody stopped it */
    bool ended;
    struct task_outcome outcome;
};

const char *task_end_text(enum task_end end)
{
    static const char *const texts[] = {"exited",     "signalled", "timed out", "cancelled",
                                        "overflowed", "refused",   "lost"};

    return (size_t)end < ARRAY_LEN(texts) ? texts[end] : "unknown";
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- starting ---- */

/* ours[]: our ends, theirs[]: those of task-exec. */
static bool open_pipes(int ours[TASK_RUN_FDS], int theirs[TASK_RUN_FDS])
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return false;
    ours[CONTROL] = pair[0];
    theirs[CONTROL] = pair[1];
    for (int i = OUT; i <= ERR; i++) {
        if (pipe2(pair, O_CLOEXEC))
            return false;
        ours[i] = pair[0];
        theirs[i] = pair[1];
    }
    for (int i = CONTROL; i <= ERR; i++)
        if (fcntl(ours[i], F_SETFL, O_NONBLOCK))
            return false;
    return true;
}

/* One allocation: its texts are the order's, and `deadline` and `grace`. */
static char **make_arguments(const struct task_run_order *order, char deadline[24], char grace[24])
{
    size_t count = 0, n = 0;
    const char **argv;

    while (order->argv[count])
        count++;
    argv = calloc(count + FIXED_ARGUMENTS + 1, sizeof(*argv));
    if (!argv)
        return NULL;
    snprintf(deadline, 24, "%llu", (unsigned long long)(order->deadline_ns / CLOCK_NS_PER_MS));
    snprintf(grace, 24, "%llu", (unsigned long long)(order->grace_ns / CLOCK_NS_PER_MS));
    argv[n++] = "agentd";
    argv[n++] = TASK_EXEC_NAME;
    argv[n++] = "-deadline";
    argv[n++] = deadline;
    argv[n++] = "-grace";
    argv[n++] = grace;
    if (order->raw)
        argv[n++] = "-raw";
    if (order->shell)
        argv[n++] = "-shell";
    if (order->own)
        argv[n++] = "-own";
    argv[n++] = "--";
    argv[n++] = order->path;
    memcpy(argv + n, order->argv, count * sizeof(*argv));
    return (char **)argv;
}

static int spawn(pid_t *pid, const int theirs[TASK_RUN_FDS], char *const *argv)
{
    static char path[] = "PATH=" TASK_PROGRAM_DIRS, lang[] = "LANG=C.UTF-8";
    char *const environment[] = {path, lang, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    int number;

    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, theirs[OUT], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, theirs[ERR], STDERR_FILENO);
    /* Last: one of the others may have had this number. */
    posix_spawn_file_actions_adddup2(&files, theirs[CONTROL], TASK_EXEC_CONTROL);
    number = posix_spawn(pid, TASK_PROGRAM_OWN, &files, &attributes, argv, environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return number;
}

enum prober_error task_run_start(struct task_run **out, const struct task_run_order *order,
                                 uint64_t now_ns, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;
    int theirs[TASK_RUN_FDS] = {-1, -1, -1}, number;
    char deadline[24], grace[24], **argv = NULL;
    struct task_run *run = calloc(1, sizeof(*run));

    if (!run)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for the task");
    for (int i = CONTROL; i <= ERR; i++)
        run->fds[i] = -1;
    run->ended = true; /* so far */
    task_output_init(&run->outcome.out, order->output_max);
    task_output_init(&run->outcome.err, order->output_max);
    argv = make_arguments(order, deadline, grace);
    if (!argv || !open_pipes(run->fds, theirs)) {
        err = prober_fail(why, PROBER_ERR_IO, "cannot start the task: %s", strerror(errno));
        goto out;
    }
    number = spawn(&run->pid, theirs, argv);
    if (number) {
        run->pid = 0;
        err = prober_fail(why, PROBER_ERR_IO, "cannot start the task: %s", strerror(number));
        goto out;
    }
    run->ended = false;
    run->stop = TASK_END_EXITED;
    run->outcome.end = TASK_END_LOST;
    run->began_ns = now_ns;
    run->grace_ns = order->grace_ns;
    run->give_up_ns = now_ns + order->deadline_ns + order->grace_ns + PATIENCE_NS;
    run->output_stop = order->output_stop;
    *out = run;
    run = NULL;
out:
    for (int i = CONTROL; i <= ERR; i++)
        close_fd(&theirs[i]);
    free(argv);
    task_run_destroy(run);
    return err;
}

/* ---- while it runs ---- */

void task_run_poll(const struct task_run *run, struct pollfd *fds)
{
    for (int i = CONTROL; i <= ERR; i++)
        fds[i] = (struct pollfd){.fd = run->fds[i], .events = POLLIN};
}

uint64_t task_run_due(const struct task_run *run)
{
    return run->ended ? UINT64_MAX : run->give_up_ns;
}

static void stop(struct task_run *run, enum task_end why, uint64_t now_ns)
{
    if (run->ended || run->stop != TASK_END_EXITED)
        return;
    run->stop = why;
    shutdown(run->fds[CONTROL], SHUT_WR);
    if (run->give_up_ns > now_ns + run->grace_ns + PATIENCE_NS)
        run->give_up_ns = now_ns + run->grace_ns + PATIENCE_NS;
}

void task_run_cancel(struct task_run *run, uint64_t now_ns)
{
    stop(run, TASK_END_CANCELLED, now_ns);
}

/* Reads what is there, about `most` bytes of it at most. */
static void read_stream(int *fd, struct task_output *o, size_t most)
{
    char chunk[16384];

    for (size_t got = 0; *fd >= 0 && got < most;) {
        ssize_t len = read(*fd, chunk, sizeof(chunk));

        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0) {
            close_fd(fd);
            return;
        }
        task_output_add(o, chunk, (size_t)len);
        got += (size_t)len;
    }
}

static void take_report(struct task_run *run, const struct task_exec_report *r)
{
    struct task_outcome *o = &run->outcome;

    o->value = r->value;
    o->duration_ns = r->duration_ns;
    o->left_behind = r->left_behind;
    snprintf(o->text, sizeof(o->text), "%.*s", (int)sizeof(r->text) - 1, r->text);
    if (r->end == TASK_EXEC_REFUSED)
        o->end = TASK_END_REFUSED;
    else if (r->stop == TASK_EXEC_DEADLINE)
        o->end = TASK_END_TIMED_OUT;
    else if (r->stop == TASK_EXEC_TOLD)
        o->end = run->stop == TASK_END_EXITED ? TASK_END_CANCELLED : run->stop;
    else
        o->end = r->end == TASK_EXEC_SIGNALLED ? TASK_END_SIGNALLED : TASK_END_EXITED;
}

static void read_control(struct task_run *run)
{
    struct task_exec_report r;

    while (run->fds[CONTROL] >= 0) {
        ssize_t len = recv(run->fds[CONTROL], &r, sizeof(r), MSG_DONTWAIT);

        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno == EAGAIN)
            return;
        if (len == (ssize_t)sizeof(r))
            take_report(run, &r);
        else
            close_fd(&run->fds[CONTROL]);
    }
}

/* Takes task-exec when it has ended, which it does by itself; after `patience_ns` (0: none is
 * needed) it is killed. */
static void take_process(struct task_run *run, uint64_t patience_ns)
{
    if (run->pid <= 0)
        return;
    if (patience_ns > 0) {
        struct pollfd ended = {(int)syscall(SYS_pidfd_open, run->pid, 0), POLLIN, 0};

        if (ended.fd >= 0 && poll(&ended, 1, (int)(patience_ns / CLOCK_NS_PER_MS)) == 0)
            kill(run->pid, SIGKILL);
        close_fd(&ended.fd);
    }
    while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    run->pid = 0;
}

/* task-exec closed its end: it is ending, and whatever it ran has ended. */
static void finish(struct task_run *run, uint64_t now_ns)
{
    take_process(run, 0);
    if (run->outcome.end == TASK_END_LOST)
        run->outcome.duration_ns = now_ns - run->began_ns;
    for (int i = OUT; i <= ERR; i++) {
        read_stream(&run->fds[i], i == OUT ? &run->outcome.out : &run->outcome.err, LAST_READ);
        close_fd(&run->fds[i]);
    }
    run->ended = true;
}

bool task_run_step(struct task_run *run, uint64_t now_ns)
{
    if (run->ended)
        return true;
    read_stream(&run->fds[OUT], &run->outcome.out, READ_AT_ONCE);
    read_stream(&run->fds[ERR], &run->outcome.err, READ_AT_ONCE);
    if (run->outcome.out.total + run->outcome.err.total > run->output_stop)
        stop(run, TASK_END_OVERFLOWED, now_ns);
    if (now_ns >= run->give_up_ns) {
        kill(run->pid, SIGKILL);
        run->give_up_ns = now_ns + PATIENCE_NS;
    }
    read_control(run);
    if (run->fds[CONTROL] < 0)
        finish(run, now_ns);
    return run->ended;
}

const struct task_outcome *task_run_outcome(const struct task_run *run)
{
    return &run->outcome;
}

void task_run_destroy(struct task_run *run)
{
    if (!run)
        return;
    close_fd(&run->fds[CONTROL]);
    close_fd(&run->fds[OUT]);
    close_fd(&run->fds[ERR]);
    take_process(run, run->grace_ns + PATIENCE_NS);
    task_output_free(&run->outcome.out);
    task_output_free(&run->outcome.err);
    free(run);
}

#include "agentd/task_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agentd/task_confine.h"
#include "agentd/task_program.h"
#include "agentd/task_tree.h"
#include "common/array.h"
#include "common/clock.h"
#include "common/number.h"

#define DEADLINE_MAX_MS (24 * 3600 * 1000)
#define END_PATIENCE_NS (2 * CLOCK_NS_PER_S)

struct order {
    int64_t deadline_ms, grace_ms;
    bool raw, shell, own;
    const char *path;
    char *const *argv;
};

struct watch {
    pid_t child;
    int status; /* of the child, as waitpid(2) tells */
    bool ended; /* the child */
    int signal_fd;
    int complaint_fd; /* what the child says before it executes; closed by exec */
    uint64_t began_ns, ended_ns, deadline_ns, grace_ns;
    uint64_t kill_ns; /* UINT64_MAX until it is told to end */
    enum task_exec_stop stop;
};

static bool take_number(const char *text, int64_t *out)
{
    return text && number_parse_i64(text, out) == PROBER_OK && *out > 0 && *out <= DEADLINE_MAX_MS;
}

static bool parse_order(int argc, char *const *argv, struct order *out)
{
    int i = 0;

    *out = (struct order){0};
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "-raw") == 0)
            out->raw = true;
        else if (strcmp(argv[i], "-shell") == 0)
            out->shell = true;
        else if (strcmp(argv[i], "-own") == 0)
            out->own = true;
        else if (strcmp(argv[i], "-deadline") == 0 && i + 1 < argc)
            take_number(argv[++i], &out->deadline_ms);
        else if (strcmp(argv[i], "-grace") == 0 && i + 1 < argc)
            take_number(argv[++i], &out->grace_ms);
        else
            return false;
    }
    if (argc - i < 3 || argv[i + 1][0] != '/' || !out->deadline_ms || !out->grace_ms)
        return false;
    out->path = argv[i + 1];
    out->argv = argv + i + 2;
    return true;
}

/* ---- the child ---- */

static void __attribute__((noreturn))
become_program(const struct order *order, pid_t parent, int complaint_fd)
{
    static char path[] = "PATH=" TASK_PROGRAM_DIRS, lang[] = "LANG=C.UTF-8", term[] = "TERM=dumb";
    char *const environment[] = {path, lang, term, NULL};
    const struct task_confinement confinement = {
        .raw = order->raw,
        .shell = order->shell,
        .own = order->own,
        .cpu_ns = (uint64_t)order->deadline_ms * CLOCK_NS_PER_MS,
    };
    struct prober_failure why;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(127); /* it was gone before the line above */
    if (task_confine(&confinement, &why) == PROBER_OK) {
        execve(order->path, order->argv, environment);
        prober_fail(&why, PROBER_ERR_IO, "cannot execute %.200s: %s", order->path, strerror(errno));
    }
    if (write(complaint_fd, why.text, strlen(why.text)) < 0)
        _exit(126);
    _exit(127);
}

static bool start(struct watch *w, const struct order *order)
{
    int complaint[2];
    pid_t parent;

    if (pipe2(complaint, O_CLOEXEC | O_NONBLOCK))
        return false;
    w->complaint_fd = complaint[0];
    w->began_ns = clock_monotonic_ns();
    w->deadline_ns = w->began_ns + (uint64_t)order->deadline_ms * CLOCK_NS_PER_MS;
    w->grace_ns = (uint64_t)order->grace_ms * CLOCK_NS_PER_MS;
    w->kill_ns = UINT64_MAX;
    parent = getpid();
    w->child = fork();
    if (w->child == 0)
        become_program(order, parent, complaint[1]);
    close(complaint[1]);
    return w->child > 0;
}

/* ---- watching it ---- */

static void tell_to_end(struct watch *w, enum task_exec_stop stop, uint64_t now)
{
    if (w->stop != TASK_EXEC_NOT_STOPPED)
        return;
    w->stop = stop;
    w->kill_ns = now + w->grace_ns;
    task_tree_signal(SIGTERM);
    task_tree_signal(SIGCONT);
}

static void take_signals(struct watch *w, uint64_t now)
{
    struct signalfd_siginfo info;

    while (read(w->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            tell_to_end(w, TASK_EXEC_TOLD, now);
    w->status = -1;
    task_tree_reap(w->child, &w->status, NULL);
    w->ended = w->status != -1;
    if (w->ended)
        w->ended_ns = now;
}

static int timeout_ms(const struct watch *w, uint64_t now)
{
    uint64_t until = w->stop ? w->kill_ns : w->deadline_ns;

    if (until <= now)
        return 0;
    return (int)((until - now + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS);
}

static void watch(struct watch *w)
{
    while (!w->ended) {
        struct pollfd fds[] = {{w->signal_fd, POLLIN, 0}, {TASK_EXEC_CONTROL, POLLIN, 0}};
        uint64_t now = clock_monotonic_ns();
        char byte;

        if (w->stop)
            fds[1].fd = -1; /* it was read to its end */
        if (now >= w->kill_ns)
            return;
        if (now >= w->deadline_ns)
            tell_to_end(w, TASK_EXEC_DEADLINE, now);
        if (poll(fds, ARRAY_LEN(fds), timeout_ms(w, now)) <= 0)
            continue;
        now = clock_monotonic_ns();
        if (fds[1].revents && recv(TASK_EXEC_CONTROL, &byte, 1, MSG_DONTWAIT) <= 0)
            tell_to_end(w, TASK_EXEC_TOLD, now);
        if (fds[0].revents)
            take_signals(w, now);
    }
}

static void report(const struct watch *w, uint32_t left_behind)
{
    struct task_exec_report r;
    ssize_t len;

    memset(&r, 0, sizeof(r));
    r.stop = w->stop;
    r.left_behind = w->stop ? 0 : left_behind;
    r.duration_ns = w->ended_ns - w->began_ns;
    len = read(w->complaint_fd, r.text, sizeof(r.text) - 1);
    if (len > 0) {
        r.end = TASK_EXEC_REFUSED;
    } else if (w->status == -1 || WIFSIGNALED(w->status)) {
        r.end = TASK_EXEC_SIGNALLED;
        r.value = w->status == -1 ? SIGKILL : WTERMSIG(w->status);
    } else {
        r.end = TASK_EXEC_EXITED;
        r.value = WEXITSTATUS(w->status);
    }
    send(TASK_EXEC_CONTROL, &r, sizeof(r), MSG_NOSIGNAL);
}

static void report_refusal(const char *doing)
{
    struct task_exec_report r;

    memset(&r, 0, sizeof(r));
    r.end = TASK_EXEC_REFUSED;
    snprintf(r.text, sizeof(r.text), "cannot %s: %s", doing, strerror(errno));
    send(TASK_EXEC_CONTROL, &r, sizeof(r), MSG_NOSIGNAL);
}

/* Signals come by signal_fd, children in no other way, descriptors do not leak. */
static bool prepare(struct watch *w)
{
    const struct sigaction quiet = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
    sigset_t awaited;

    closefrom(TASK_EXEC_CONTROL + 1);
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGHUP);
    sigaction(SIGCHLD, &quiet, NULL);
    setsid();
    umask(077);
    if (sigprocmask(SIG_SETMASK, &awaited, NULL) || chdir("/") ||
        fcntl(TASK_EXEC_CONTROL, F_SETFD, FD_CLOEXEC) || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
        return false;
    w->signal_fd = signalfd(-1, &awaited, SFD_CLOEXEC | SFD_NONBLOCK);
    return w->signal_fd >= 0;
}

/* The program has /dev/null to read, and this process has it in the place of all three. */
static bool open_null(int *null)
{
    *null = open("/dev/null", O_RDWR | O_CLOEXEC);
    return *null >= 0 && dup2(*null, STDIN_FILENO) == STDIN_FILENO;
}

static void supervise(const struct order *order)
{
    struct watch w = {.status = -1};
    int null = -1;
    uint32_t left_behind;

    if (!prepare(&w) || !open_null(&null)) {
        report_refusal("prepare the task");
        return;
    }
    if (!start(&w, order)) {
        report_refusal("start a process");
        return;
    }
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    watch(&w);
    left_behind = (uint32_t)task_tree_end(w.child, &w.status, END_PATIENCE_NS);
    if (!w.ended)
        w.ended_ns = clock_monotonic_ns();
    report(&w, left_behind);
}

int task_exec_command(int argc, char *const *argv)
{
    struct order order;
    struct stat st;

    if (fstat(TASK_EXEC_CONTROL, &st) || !S_ISSOCK(st.st_mode) ||
        !parse_order(argc, argv, &order)) {
        fputs("agentd task-exec: the agent starts this for a task; it is not for people\n", stderr);
        return 2;
    }
    supervise(&order);
    return 0;
}

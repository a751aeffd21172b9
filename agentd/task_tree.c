#include "agentd/task_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define PROCESSES_MAX 65536
#define CHILDREN_MAX 4096
#define ROUNDS_MAX 64

struct process {
    pid_t pid, parent;
    bool ended; /* waits to be taken */
    bool ours;
};

struct processes {
    struct process *items;
    size_t count;
};

/* proc(5): "pid (name) state ppid …"; the name may hold anything. */
static bool read_process(pid_t pid, struct process *out)
{
    char path[48], text[512], *at, state;
    ssize_t len;
    int parent, fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    len = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
    at = strrchr(text, ')');
    if (!at || sscanf(at + 1, " %c %d", &state, &parent) != 2)
        return false;
    *out = (struct process){.pid = pid, .parent = parent, .ended = state == 'Z' || state == 'X'};
    return true;
}

/* Every process there is. A scan that meets a fork misses it, so callers scan again. */
static void read_all(struct processes *all)
{
    DIR *dir = opendir("/proc");
    size_t room = 0;

    all->items = NULL;
    all->count = 0;
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) && all->count < PROCESSES_MAX;) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid <= 0)
            continue;
        if (all->count == room) {
            struct process *more = realloc(all->items, (room + 256) * sizeof(*more));

            if (!more)
                break;
            all->items = more;
            room += 256;
        }
        all->count += read_process(pid, &all->items[all->count]);
    }
    closedir(dir);
}

/* Adds our children as the kernel lists them: where /proc hides what others may not look into
 * (hidepid), a scan does not meet a child whose file grants it capabilities. Its own children come
 * to us, and into this list, when it ends. */
static void add_children(struct processes *all)
{
    struct process *more = realloc(all->items, (all->count + CHILDREN_MAX) * sizeof(*more));
    FILE *file = fopen("/proc/thread-self/children", "re");
    size_t scanned = all->count;
    int pid;

    if (more)
        all->items = more;
    while (more && file && all->count < scanned + CHILDREN_MAX && fscanf(file, "%d", &pid) == 1) {
        bool known = false;

        for (size_t i = 0; i < scanned && !known; i++)
            known = all->items[i].pid == pid;
        if (!known)
            all->items[all->count++] = (struct process){.pid = pid, .parent = getpid()};
    }
    if (file)
        fclose(file);
}

static bool contains(const pid_t *pids, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* The living descendants, generation by generation; free(3) frees them. */
static pid_t *descendants(size_t *count)
{
    struct processes all;
    pid_t self = getpid(), *pids;
    size_t before, alive = 0;

    *count = 0;
    read_all(&all);
    add_children(&all);
    pids = calloc(all.count + 1, sizeof(*pids));
    do {
        before = *count;
        for (size_t i = 0; pids && i < all.count; i++) {
            struct process *p = &all.items[i];

            if (p->ours || (p->parent != self && !contains(pids, *count, p->parent)))
                continue;
            p->ours = true;
            pids[(*count)++] = p->pid;
        }
    } while (*count > before);
    for (size_t i = 0; pids && i < all.count; i++)
        if (all.items[i].ours && !all.items[i].ended)
            pids[alive++] = all.items[i].pid;
    *count = alive;
    free(all.items);
    return pids;
}

size_t task_tree_signal(int signal)
{
    size_t count;
    pid_t *pids = descendants(&count);

    for (size_t i = 0; i < count; i++)
        kill(pids[i], signal);
    free(pids);
    return count;
}

size_t task_tree_reap(pid_t child, int *status, int *none)
{
    size_t ended = 0;

    for (;;) {
        int how;
        pid_t pid = waitpid(-1, &how, WNOHANG);

        if (pid < 0 && errno == EINTR)
            continue;
        if (none)
            *none = pid < 0;
        if (pid <= 0)
            return ended;
        if (pid == child)
            *status = how;
        ended++;
    }
}

/* Stops all, until a scan finds no one new. Returns how many there are, without `child`. */
static size_t stop_all(pid_t child)
{
    pid_t *before = NULL;
    size_t count_before = 0, others = 0;
    bool found = true;

    for (int round = 0; found && round < ROUNDS_MAX; round++) {
        size_t count;
        pid_t *pids = descendants(&count);

        found = false;
        others = 0;
        for (size_t i = 0; i < count; i++) {
            others += pids[i] != child;
            if (contains(before, count_before, pids[i]))
                continue;
            kill(pids[i], SIGSTOP);
            found = true;
        }
        free(before);
        before = pids;
        count_before = count;
    }
    free(before);
    return others;
}

size_t task_tree_end(pid_t child, int *status, uint64_t patience_ns)
{
    const struct timespec pause = {0, 20 * 1000 * 1000};
    uint64_t until = clock_monotonic_ns() + patience_ns;
    size_t left;
    sigset_t ended;
    int none = 0;

    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    task_tree_reap(child, status, &none);
    if (none)
        return 0; /* as most programs leave it */
    left = stop_all(child);
    for (;;) {
        task_tree_signal(SIGKILL);
        task_tree_reap(child, status, &none);
        if (none || clock_monotonic_ns() >= until)
            return left;
        sigtimedwait(&ended, NULL, &pause);
    }
}

#include "common/process.h"

#include <dirent.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/file.h"

#define PROC_FILE_MAX (1u << 20)

static double seconds(struct timeval tv)
{
    return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static char *read_proc(const char *path)
{
    char *text = NULL;
    size_t len;

    return file_read(path, PROC_FILE_MAX, &text, &len, NULL) ? NULL : text;
}

static bool read_memory(struct process_usage *out)
{
    char *text = read_proc("/proc/self/statm");
    unsigned long long total, resident;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    bool ok = text && sscanf(text, "%llu %llu", &total, &resident) == 2;

    if (ok) {
        out->virtual_bytes = total * page;
        out->resident_bytes = resident * page;
    }
    free(text);
    return ok;
}

/* The time of boot in Unix seconds, proc(5). */
static bool read_boot_time(double *boot_seconds)
{
    char *text = read_proc("/proc/stat"), *line = text ? strstr(text, "\nbtime ") : NULL;

    if (line)
        *boot_seconds = strtod(line + strlen("\nbtime "), NULL);
    free(text);
    return line != NULL;
}

static bool read_threads_and_start(struct process_usage *out)
{
    char *text = read_proc("/proc/self/stat");
    /* The program's name stands in brackets and may hold anything; count from its end. */
    char *at = text ? strrchr(text, ')') : NULL;
    unsigned long long threads, start_ticks;
    double boot_seconds;
    bool ok = at && read_boot_time(&boot_seconds) &&
              sscanf(at + 1,
                     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %llu %*d"
                     " %llu",
                     &threads, &start_ticks) == 2;

    if (ok) {
        out->threads = threads;
        out->start_time_seconds = boot_seconds + (double)start_ticks / (double)sysconf(_SC_CLK_TCK);
    }
    free(text);
    return ok;
}

static bool read_fds(struct process_usage *out)
{
    DIR *dir = opendir("/proc/self/fd");
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        out->max_fds = limit.rlim_cur;
    if (!dir)
        return false;
    out->open_fds = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        out->open_fds += entry->d_name[0] != '.';
    out->open_fds--; /* the directory's own */
    closedir(dir);
    return true;
}

enum prober_error process_usage_read(struct process_usage *out)
{
    struct rusage usage;
    bool memory, start, fds;

    *out = (struct process_usage){0};
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        out->cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    memory = read_memory(out);
    start = read_threads_and_start(out);
    fds = read_fds(out);
    return memory && start && fds ? PROBER_OK : PROBER_ERR_IO;
}

void process_raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

bool process_has_net_raw(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    memset(data, 0, sizeof(data));
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_NET_RAW)].effective & CAP_TO_MASK(CAP_NET_RAW));
}

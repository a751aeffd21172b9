/*
 * process - what this process uses, and what it may do.
 *
 * Threads    Any thread.
 */
#ifndef COMMON_PROCESS_H
#define COMMON_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct process_usage {
    double cpu_seconds;      /* user + system, getrusage(2) */
    uint64_t resident_bytes; /* /proc/self/statm */
    uint64_t virtual_bytes;
    uint64_t open_fds;
    uint64_t max_fds;
    double start_time_seconds; /* Unix time at which the process started */
    uint64_t threads;
};

/* Errors: PROBER_ERR_IO when /proc cannot be read: what could be read is filled in. */
enum prober_error process_usage_read(struct process_usage *out);
/* Raises the soft limit of open files to the hard one. */
void process_raise_fd_limit(void);
/* True when the process has CAP_NET_RAW in its effective set. */
bool process_has_net_raw(void);

#endif

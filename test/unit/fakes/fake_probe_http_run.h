/*
 * fake_probe_http_run - takes note of what it is to probe, and says that `succeeded` probes did.
 */
#ifndef TEST_FAKES_FAKE_PROBE_HTTP_RUN_H
#define TEST_FAKES_FAKE_PROBE_HTTP_RUN_H

#include "agentd/probe_http_run.h"

struct fake_probe_http_run_state {
    enum prober_error err; /* to return */
    size_t unended;        /* probes that are interrupted */
    size_t failed;
    unsigned calls;
    bool is_traced;           /* the last call was */
    char dns_servers[64];     /* of the last call; "(system)" for NULL */
    char targets[256];        /* of the last call, a blank after each */
    uint64_t timeouts_ns[16]; /* of the last call's jobs */
};

extern struct fake_probe_http_run_state fake_probe_http_run;

#endif

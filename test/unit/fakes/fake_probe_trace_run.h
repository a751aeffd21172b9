/*
 * fake_probe_trace_run - takes note of what it is to trace, and says that `reached` targets were.
 */
#ifndef TEST_FAKES_FAKE_PROBE_TRACE_RUN_H
#define TEST_FAKES_FAKE_PROBE_TRACE_RUN_H

#include "agentd/probe_trace_run.h"

struct fake_probe_trace_run_state {
    enum prober_error err; /* to return */
    size_t reached;
    unsigned calls;
    struct probe_trace_config config; /* of the last call; dns_servers is below */
    char dns_servers[64];             /* "(system)" for NULL */
    char targets[256];                /* of the last call, a blank after each */
};

extern struct fake_probe_trace_run_state fake_probe_trace_run;

#endif

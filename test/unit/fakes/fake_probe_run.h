/*
 * fake_probe_run - takes note of what it is to probe, and says that `answered` targets did.
 */
#ifndef TEST_FAKES_FAKE_PROBE_RUN_H
#define TEST_FAKES_FAKE_PROBE_RUN_H

#include "agentd/probe_run.h"

struct fake_probe_run_state {
    enum prober_error err; /* to return */
    size_t answered;
    unsigned calls;
    struct probe_run_config config; /* of the last call; dns_servers is below */
    char dns_servers[64];           /* "(system)" for NULL */
    char targets[256];              /* of the last call, a blank after each */
};

extern struct fake_probe_run_state fake_probe_run;

#endif

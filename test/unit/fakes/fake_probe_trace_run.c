#include "fake_probe_trace_run.h"

#include <stdio.h>
#include <string.h>

struct fake_probe_trace_run_state fake_probe_trace_run;

enum prober_error probe_trace_run(const struct probe_trace_config *config,
                                  struct probe_targets *targets, size_t *reached,
                                  struct prober_failure *why)
{
    struct fake_probe_trace_run_state *s = &fake_probe_trace_run;

    s->calls++;
    s->config = *config;
    snprintf(s->dns_servers, sizeof(s->dns_servers), "%s",
             config->dns_servers ? config->dns_servers : "(system)");
    s->targets[0] = 0;
    for (size_t i = 0; i < targets->count; i++) {
        size_t len = strlen(s->targets);

        snprintf(s->targets + len, sizeof(s->targets) - len, "%s ", targets->list[i].name);
    }
    *reached = s->reached;
    return s->err ? prober_fail(why, s->err, "as the test wants it") : PROBER_OK;
}

#include "fake_probe_http_run.h"

#include <stdio.h>
#include <string.h>

struct fake_probe_http_run_state fake_probe_http_run;

enum prober_error probe_http_run(const struct probe_http_run_config *config,
                                 struct probe_http_summary *summary, struct prober_failure *why)
{
    struct fake_probe_http_run_state *s = &fake_probe_http_run;

    s->calls++;
    s->is_traced = config->is_traced;
    snprintf(s->dns_servers, sizeof(s->dns_servers), "%s",
             config->dns_servers ? config->dns_servers : "(system)");
    s->targets[0] = 0;
    for (size_t i = 0; i < config->count; i++) {
        size_t len = strlen(s->targets);

        snprintf(s->targets + len, sizeof(s->targets) - len, "%s ", config->jobs[i].target);
        if (i < sizeof(s->timeouts_ns) / sizeof(s->timeouts_ns[0]))
            s->timeouts_ns[i] = config->jobs[i].timeout_ns;
    }
    summary->ended = config->count - s->unended;
    summary->succeeded = summary->ended - s->failed;
    return s->err ? prober_fail(why, s->err, "as the test wants it") : PROBER_OK;
}

#include "agentd/agent_health.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/array.h"

static bool is_stuck(uint64_t beat_ns, uint64_t now_ns)
{
    return now_ns > beat_ns && now_ns - beat_ns > AGENT_HEALTH_STUCK_NS;
}

bool agent_health_is_alive(const struct agent_stats_copy *s, uint64_t now_ns,
                           char text[AGENT_HEALTH_TEXT_MAX])
{
    const struct {
        const char *name;
        uint64_t beat_ns;
    } threads[] = {{"icmp", s->icmp_beat_ns}, {"http", s->http_beat_ns}, {"link", s->link_beat_ns}};

    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        if (is_stuck(threads[i].beat_ns, now_ns)) {
            snprintf(text, AGENT_HEALTH_TEXT_MAX, "the %s thread is stuck\n", threads[i].name);
            return false;
        }
    snprintf(text, AGENT_HEALTH_TEXT_MAX, "ok\n");
    return true;
}

bool agent_health_is_ready(const struct agent_stats_copy *s, uint64_t now_ns,
                           char text[AGENT_HEALTH_TEXT_MAX])
{
    if (!agent_health_is_alive(s, now_ns, text))
        return false;
    if (s->link.state != AGENT_LINK_UP) {
        snprintf(text, AGENT_HEALTH_TEXT_MAX, "%s",
                 s->link.state == AGENT_LINK_REFUSED ? "the server refuses this agent\n"
                                                     : "the server does not answer\n");
        return false;
    }
    if (!s->probing.has_plan) {
        snprintf(text, AGENT_HEALTH_TEXT_MAX, "no plan from the server yet\n");
        return false;
    }
    return true;
}

void agent_health_status(const struct agent_stats_copy *s, uint64_t spool_reports,
                         char text[AGENT_HEALTH_TEXT_MAX])
{
    static const char *const link[] = {"server away", "refused by the server", "connected"};

    snprintf(text, AGENT_HEALTH_TEXT_MAX,
             "STATUS=%s, %" PRIu64 " targets and %" PRIu64 " URLs probed (plan %" PRIu64
             "), %" PRIu64 " reports waiting",
             link[s->link.state], s->probing.targets.probed,
             s->http.targets.planned - s->http.targets.unusable, s->probing.plan_revision,
             spool_reports);
}

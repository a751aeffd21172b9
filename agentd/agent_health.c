#include "agentd/agent_health.h"

#include <inttypes.h>
#include <stdio.h>

static bool is_stuck(uint64_t beat_ns, uint64_t now_ns)
{
    return now_ns > beat_ns && now_ns - beat_ns > AGENT_HEALTH_STUCK_NS;
}

bool agent_health_is_alive(const struct agent_stats_copy *s, uint64_t now_ns,
                           char text[AGENT_HEALTH_TEXT_MAX])
{
    bool icmp = is_stuck(s->icmp_beat_ns, now_ns), link = is_stuck(s->link_beat_ns, now_ns);

    snprintf(text, AGENT_HEALTH_TEXT_MAX, "%s",
             icmp   ? "the icmp thread is stuck\n"
             : link ? "the link thread is stuck\n"
                    : "ok\n");
    return !icmp && !link;
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

    snprintf(
        text, AGENT_HEALTH_TEXT_MAX,
        "STATUS=%s, %" PRIu64 " targets probed (plan %" PRIu64 "), %" PRIu64 " reports waiting",
        link[s->link.state], s->probing.targets.probed, s->probing.plan_revision, spool_reports);
}

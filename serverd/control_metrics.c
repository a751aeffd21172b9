#include <stdatomic.h>

#include "common/array.h"
#include "serverd/control.h"

static void write_agents(const struct control_stats *stats, struct metrics_writer *w)
{
    static const struct metric_family agents = {
        "prober_server_agents", METRIC_GAUGE, NULL,
        "Agents in the registry: all that are known, and those that are alive."};
    static const struct metric_family refused = {
        "prober_server_agents_refused_total", METRIC_COUNTER, NULL,
        "Agents that were not taken when they said hello, by reason."};
    static const struct metric_family kinds = {
        "prober_server_agents_alive", METRIC_GAUGE, NULL,
        "Agents that are alive, by their kind of link: plain, or joined (trusted)."};
    static const char *const trust[] = {"plain", "joined"};
    static const char *const states[] = {"known", "alive"};
    const char *reasons[REGISTRY_REFUSAL_COUNT];
    uint64_t numbers[REGISTRY_REFUSAL_COUNT];
    uint64_t alive = atomic_load(&stats->agents_alive),
             trusted = atomic_load(&stats->agents_trusted);
    size_t count = 0;

    metrics_by(w, &agents, "state", states,
             (const uint64_t[]){atomic_load(&stats->agents_known), alive}, ARRAY_LEN(states));
    metrics_by(w, &kinds, "trust", trust,
               (const uint64_t[]){alive > trusted ? alive - trusted : 0, trusted},
               ARRAY_LEN(trust));
    metrics_one(w, "prober_server_agents_excluded_total", METRIC_COUNTER,
                "Agents on plain links that had to leave, as what they claim has joined.",
                atomic_load(&stats->excluded));
    for (int i = REGISTRY_TAKEN + 1; i < REGISTRY_REFUSAL_COUNT; i++, count++) {
        reasons[count] = registry_refusal_text((enum registry_refusal)i);
        numbers[count] = atomic_load(&stats->refused[i]);
    }
    metrics_by(w, &refused, "reason", reasons, numbers, count);
}

static void write_plan(const struct control_stats *stats, struct metrics_writer *w)
{
    metrics_one(w, "prober_server_hellos_total", METRIC_COUNTER, "Agents that were taken at hello.",
              atomic_load(&stats->hellos));
    metrics_one(w, "prober_server_syncs_total", METRIC_COUNTER, "Answered calls for the plan.",
              atomic_load(&stats->syncs));
    metrics_one(w, "prober_server_plans_sent_total", METRIC_COUNTER,
              "Plans sent to agents whose own was another.", atomic_load(&stats->plans_sent));
    metrics_one(w, "prober_server_plan_revision", METRIC_GAUGE,
              "Counts the plans made since the start of the server.",
              atomic_load(&stats->plan_revision));
    metrics_one(w, "prober_server_plan_targets", METRIC_GAUGE, "ICMP targets in the plan.",
              atomic_load(&stats->plan_targets));
    metrics_one(w, "prober_server_plan_http_targets", METRIC_GAUGE, "HTTP targets in the plan.",
              atomic_load(&stats->plan_http_targets));
    metrics_one(w, "prober_server_plan_withheld_entries", METRIC_GAUGE,
              "HTTP entries that some agents do not get, for they hold secrets and their links are plain.",
              atomic_load(&stats->plan_withheld));
    metrics_one(w, "prober_server_plan_shadowed_targets", METRIC_GAUGE,
              "Targets that an earlier entry of their region names too, with other settings.",
              atomic_load(&stats->plan_shadowed));
    metrics_one(w, "prober_server_plan_refused_regions", METRIC_GAUGE,
              "Regions whose agents get no URLs, for they would make too many series.",
              atomic_load(&stats->plan_refused));
    metrics_one(w, "prober_server_plan_regions", METRIC_GAUGE, "Regions in the plan.",
              atomic_load(&stats->plan_regions));
    metrics_one(w, "prober_server_control_failures_total", METRIC_COUNTER,
              "Plans or answers that could not be made for lack of memory, or were too large.",
              atomic_load(&stats->failures));
}

void control_write_metrics(const struct control *c, struct metrics_writer *w)
{
    const struct control_stats *stats = control_stats(c);

    write_agents(stats, w);
    write_plan(stats, w);
}

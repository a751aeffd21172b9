#include "serverd/rpc_state.h"

#include "common/array.h"

#define FAULT_LABEL(name, label) [FAULT_##name] = (label),
const char *const rpc_fault_labels[FAULT_COUNT] = {FAULTS(FAULT_LABEL)};
#undef FAULT_LABEL

static void write_link(const struct rpc *rpc, struct metrics_writer *w)
{
    static const struct metric_family connections = {
        "prober_server_link_connections_total", METRIC_COUNTER, NULL,
        "Connections of agents: accepted, refused over the limit, dropped for misbehaviour."};
    static const struct metric_family faults = {
        "prober_server_link_faults_total", METRIC_COUNTER, NULL,
        "Calls that were not what they should be, by what was wrong with them."};
    static const struct metric_family longest = {
        "prober_server_control_step_max_seconds", METRIC_GAUGE, "seconds",
        "The longest turn of the control thread so far: registry, plan and directory."};
    static const char *const results[] = {"accepted", "refused", "dropped"};
    struct link_server_counts counts;
    uint64_t numbers[FAULT_COUNT];

    link_server_counts(rpc->server, &counts);
    metrics_one(w, "prober_server_link_connections", METRIC_GAUGE, "Connections of agents, open now.",
              counts.connections);
    metrics_by(w, &connections, "result", results,
             (const uint64_t[]){counts.accepted_total, counts.refused_total, counts.dropped_total},
             ARRAY_LEN(results));
    metrics_one(w, "prober_server_link_requests_total", METRIC_COUNTER, "Requests of agents.",
              counts.requests_total);
    for (size_t i = 0; i < FAULT_COUNT; i++)
        numbers[i] = atomic_load(&rpc->faults[i]);
    metrics_by(w, &faults, "reason", rpc_fault_labels, numbers, FAULT_COUNT);
    metrics_one(w, "prober_server_link_busy_total", METRIC_COUNTER,
              "Calls refused because a queue of the link was full.", atomic_load(&rpc->busy));
    metrics_one(w, "prober_server_link_queue_depth", METRIC_GAUGE,
              "Calls that wait for a worker or for the control thread.",
              queue_depth(rpc->calls) + queue_depth(rpc->tasks));
    metrics_one(w, "prober_server_hints_total", METRIC_COUNTER,
              "Hints to agents: another plan, tasks.", atomic_load(&rpc->hints));
    metrics_family(w, &longest);
    metrics_sample_ns(w, NULL, 0, atomic_load(&rpc->step_max_ns));
}

static void write_handshakes(const struct rpc *rpc, struct metrics_writer *w)
{
    static const struct metric_family family = {
        "prober_server_handshakes_total", METRIC_COUNTER, NULL,
        "Handshakes of trusted links, by what came of them."};
    static const char *const results[] = {"done", "resumed", "failed", "expired", "refused"};
    struct handshake_counts half_open;
    struct door_counts counts;

    handshakes_counts(rpc->handshakes, &half_open);
    door_counts(rpc->door, &counts);
    metrics_by(w, &family, "result", results,
               (const uint64_t[]){counts.done, counts.resumed, counts.failed,
                                  half_open.expired_total, counts.refused},
               ARRAY_LEN(results));
    metrics_one(w, "prober_server_handshakes_open", METRIC_GAUGE, "Handshakes that are half open.",
                half_open.open);
}

void rpc_write_metrics(const struct rpc *rpc, struct metrics_writer *w)
{
    write_link(rpc, w);
    write_handshakes(rpc, w);
    control_write_metrics(rpc->control, w);
}

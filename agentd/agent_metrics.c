#include "agentd/agent_metrics.h"

#include <stddef.h>

#include "common/array.h"
#include "libprober/resolver.h"

#define GAUGE(n, u, h)                                                                             \
    {                                                                                              \
        n, METRIC_GAUGE, u, h                                                                      \
    }
#define COUNTER(n, h)                                                                              \
    {                                                                                              \
        n, METRIC_COUNTER, NULL, h                                                                 \
    }

/* Families of one series each, whose value is a uint64_t in the counters. */
static const struct single {
    struct metric_family family;
    size_t offset; /* in struct agent_stats_copy */
} singles[] = {
#define AT(member) offsetof(struct agent_stats_copy, member)
    {COUNTER("prober_agent_probes_sent_total", "Probes that the kernel took, of finished windows."),
     AT(probing.totals.sent)},
    {COUNTER("prober_agent_probes_received_total", "Probes that were answered in time."),
     AT(probing.totals.received)},
    {COUNTER("prober_agent_probes_doubtful_total",
             "Of the received: while other replies may have been missed."),
     AT(probing.totals.doubtful)},
    {COUNTER("prober_agent_probes_unknown_total",
             "Probes whose reply could not have been seen: local drop, clock step, suspend."),
     AT(probing.totals.unknown)},
    {COUNTER("prober_agent_probes_late_sent_total", "Of the sent: later than planned."),
     AT(probing.totals.late_sent)},
    {COUNTER("prober_agent_windows_total", "Windows that ended."), AT(probing.windows)},
    {COUNTER("prober_agent_results_lost_total", "Results of targets that found no memory."),
     AT(probing.rows_lost)},
    {COUNTER("prober_agent_arrivals_missed_total",
             "Probes of other agents that could not be counted."),
     AT(probing.arrivals_missed)},
    {GAUGE("prober_agent_plan_revision", NULL, "Revision of the plan that is being probed."),
     AT(probing.plan_revision)},
    {COUNTER("prober_agent_engine_packets_sent_total", "Echo requests sent."),
     AT(probing.engine.packets_sent)},
    {COUNTER("prober_agent_engine_packets_received_total", "ICMP packets that passed the filter."),
     AT(probing.engine.packets_received)},
    {COUNTER("prober_agent_engine_receive_drops_total",
             "Packets that the kernel dropped for lack of receive buffer."),
     AT(probing.engine.receive_drops)},
    {COUNTER("prober_agent_engine_foreign_replies_total",
             "Replies to another prober with our identifier."),
     AT(probing.engine.foreign_replies)},
    {COUNTER("prober_agent_engine_malformed_total", "Packets too short or with a bad checksum."),
     AT(probing.engine.malformed)},
    {COUNTER("prober_agent_engine_errors_total", "ICMP errors that quoted a probe of ours."),
     AT(probing.engine.errors_received)},
    {COUNTER("prober_agent_engine_foreign_errors_total", "ICMP errors about others' packets."),
     AT(probing.engine.errors_foreign)},
    {COUNTER("prober_agent_engine_clock_steps_total", "Steps of the wall clock."),
     AT(probing.engine.clock_steps)},
    {COUNTER("prober_agent_engine_suspends_total", "Times that the machine was suspended."),
     AT(probing.engine.suspends)},
    {COUNTER("prober_agent_engine_identifier_changes_total",
             "Times that the ICMP identifier was drawn again."),
     AT(probing.engine.identifier_changes)},
    {GAUGE("prober_agent_engine_in_flight", NULL, "Probes that wait for a reply."),
     AT(probing.engine.in_flight)},
    {COUNTER("prober_agent_engine_wakeups_total", "Turns of the engine."),
     AT(probing.engine.wakeups)},
    {COUNTER("prober_agent_engine_late_wakeups_total",
             "Turns of the engine more than 10 ms too late."),
     AT(probing.engine.late_wakeups)},
    {GAUGE("prober_agent_http_probes_in_flight", NULL, "Probes of URLs that run."),
     AT(http.in_flight)},
    {COUNTER("prober_agent_http_results_lost_total", "Probes of URLs that found no memory."),
     AT(http.rows_lost)},
    {COUNTER("prober_agent_link_connections_total", "Connections made to the server."),
     AT(link.connections)},
    {COUNTER("prober_agent_link_handshakes_total", "TLS handshakes that were begun."),
     AT(link.handshakes)},
    {COUNTER("prober_agent_link_handshakes_resumed_total",
             "TLS handshakes that resumed the session before."),
     AT(link.resumed)},
    {COUNTER("prober_agent_link_handshakes_failed_total", "TLS handshakes that failed."),
     AT(link.failed_handshakes)},
    {COUNTER("prober_agent_link_hellos_total", "Times that the server accepted this agent."),
     AT(link.hellos)},
    {COUNTER("prober_agent_link_syncs_total", "Answers about the plan."), AT(link.syncs)},
    {COUNTER("prober_agent_link_hints_total", "Hints of the server that were acted on."),
     AT(link.hints)},
    {COUNTER("prober_agent_link_failed_calls_total", "Calls of the server without an answer."),
     AT(link.failed_calls)},
    {COUNTER("prober_agent_link_busy_total", "Calls that a busy server put off."), AT(link.busy)},
};

/* A label's value and where its number is. */
struct slice {
    const char *value;
    size_t offset;
};

#define TOTAL(member) offsetof(struct icmp_totals, member)
static const struct slice lost_by[] = {{"timeout", TOTAL(lost_timeout)},
                                       {"unreachable", TOTAL(lost_unreachable)},
                                       {"ttl", TOTAL(lost_ttl)}};
static const struct slice unsent_reasons[] = {{"local", TOTAL(unsent_local)},
                                              {"queue", TOTAL(unsent_queue)},
                                              {"late", TOTAL(unsent_late)},
                                              {"cap", TOTAL(unsent_cap)},
                                              {"name", TOTAL(unsent_name)}};
static const struct slice reply_kinds[] = {{"duplicate", TOTAL(duplicates)},
                                           {"late", TOTAL(late_replies)},
                                           {"bad", TOTAL(bad_replies)},
                                           {"corrupt", TOTAL(corrupt_replies)}};

#define TARGETS(member) offsetof(struct targets_counts, member)
static const struct slice target_states[] = {{"probed", TARGETS(probed)},
                                             {"resolving", TARGETS(resolving)},
                                             {"own", TARGETS(own)},
                                             {"denied", TARGETS(denied)},
                                             {"refused", TARGETS(refused)}};

static uint64_t number_at(const void *base, size_t offset)
{
    return *(const uint64_t *)((const char *)base + offset);
}

static void write_slices(struct metrics_writer *w, const struct metric_family *family,
                         const char *label, const struct slice *slices, size_t count,
                         const void *base)
{
    metrics_family(w, family);
    for (size_t i = 0; i < count; i++) {
        const struct metric_label labels[] = {{label, slices[i].value}};

        metrics_sample_u64(w, labels, 1, number_at(base, slices[i].offset));
    }
}

static void write_probing(struct metrics_writer *w, const struct agent_stats_copy *s)
{
    static const struct metric_family
        scheduled = COUNTER("prober_agent_probes_scheduled_total",
                            "Probes planned, of finished windows: sent and unsent."),
        lost = COUNTER("prober_agent_probes_lost_total",
                       "Probes that were not answered in time, by what an ICMP error said."),
        unsent = COUNTER("prober_agent_probes_unsent_total", "Probes not sent, by reason."),
        replies = COUNTER("prober_agent_odd_replies_total",
                          "Replies that answer no probe in time, by kind."),
        targets =
            GAUGE("prober_agent_targets", NULL,
                  "Targets of the plan by state; own: this agent itself, not probed; denied: by "
                  "this agent's policy; refused: by the engine."),
        lookups = COUNTER("prober_agent_lookups_total", "Name look-ups that ended, by status.");
    const struct icmp_totals *t = &s->probing.totals;

    metrics_family(w, &scheduled);
    metrics_sample_u64(w, NULL, 0, t->sent + icmp_totals_unsent(t));
    write_slices(w, &lost, "by", lost_by, ARRAY_LEN(lost_by), t);
    write_slices(w, &unsent, "reason", unsent_reasons, ARRAY_LEN(unsent_reasons), t);
    write_slices(w, &replies, "kind", reply_kinds, ARRAY_LEN(reply_kinds), t);
    write_slices(w, &targets, "state", target_states, ARRAY_LEN(target_states),
                 &s->probing.targets);
    metrics_family(w, &lookups);
    for (unsigned i = 0; i < RESOLVER_STATUS_COUNT; i++) {
        const struct metric_label labels[] = {
            {"status", resolver_status_text((enum resolver_status)i)}};

        metrics_sample_u64(w, labels, 1, s->probing.targets.lookups[i]);
    }
}

static void write_http_failures(struct metrics_writer *w, const struct http_totals *t)
{
    static const struct metric_family failures =
        COUNTER("prober_agent_http_failures_total", "Probes of URLs that failed, by reason.");

    metrics_family(w, &failures);
    for (unsigned i = HTTP_SUCCEEDED + 1; i < HTTP_REASON_COUNT; i++) {
        const struct metric_label labels[] = {
            {"failed_reason", http_reason_text((enum http_reason)i)}};

        if (i != HTTP_FAILED_LOCAL)
            metrics_sample_u64(w, labels, 1, t->by_reason[i]);
    }
}

static void write_http_unsent(struct metrics_writer *w, const uint64_t unsent[HTTP_UNSENT_COUNT])
{
    static const struct metric_family family =
        COUNTER("prober_agent_http_probes_unsent_total",
                "Probes of URLs that measured nothing, by what on this side was the cause.");
    static const char *const causes[] = {
#define CAUSE_TEXT(name, text) text,
        HTTP_UNSENT(CAUSE_TEXT)
#undef CAUSE_TEXT
    };

    metrics_family(w, &family);
    for (unsigned i = 0; i < HTTP_UNSENT_COUNT; i++) {
        const struct metric_label labels[] = {{"reason", causes[i]}};

        metrics_sample_u64(w, labels, 1, unsent[i]);
    }
}

static void write_http(struct metrics_writer *w, const struct agent_stats_http *http)
{
    static const struct metric_family
        scheduled =
            COUNTER("prober_agent_http_probes_scheduled_total",
                    "Probes of URLs that were due and have come to an end: made and unsent."),
        probes = COUNTER("prober_agent_http_probes_total", "Probes of URLs that were made."),
        targets = GAUGE("prober_agent_http_targets", NULL,
                        "URLs of the plan by state; unusable: this agent cannot do what their http "
                        "block asks.");
    const struct metric_label success[] = {{"result", "success"}},
                              failed[] = {{"result", "failed"}};
    const struct metric_label probed[] = {{"state", "probed"}},
                              unusable[] = {{"state", "unusable"}};

    metrics_family(w, &scheduled);
    metrics_sample_u64(w, NULL, 0, http_totals_scheduled(&http->totals));
    metrics_family(w, &probes);
    metrics_sample_u64(w, success, 1, http->totals.by_reason[HTTP_SUCCEEDED]);
    metrics_sample_u64(w, failed, 1, http_totals_failed(&http->totals));
    write_http_failures(w, &http->totals);
    write_http_unsent(w, http->unsent);
    metrics_family(w, &targets);
    metrics_sample_u64(w, probed, 1, http->targets.planned - http->targets.unusable);
    metrics_sample_u64(w, unusable, 1, http->targets.unusable);
}

struct result {
    const char *name;
    uint64_t value;
};

/* `boot` NULL: without that label. */
static void write_results(struct metrics_writer *w, const char *boot, const struct result *results,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct metric_label labels[] = {{"result", results[i].name}, {"server_boot", boot}};

        metrics_sample_u64(w, labels, boot ? 2 : 1, results[i].value);
    }
}

/* The results of which the laws of counts speak. */
static void write_icmp_results(struct metrics_writer *w, const char *boot,
                               const struct probe_totals *totals)
{
    const struct icmp_totals *t = &totals->icmp;
    const struct result results[] = {{"sent", t->sent},
                                     {"received", t->received},
                                     {"lost", icmp_totals_lost(t)},
                                     {"unknown", t->unknown},
                                     {"unsent", icmp_totals_unsent(t)}};

    write_results(w, boot, results, ARRAY_LEN(results));
}

static void write_http_results(struct metrics_writer *w, const char *boot,
                               const struct probe_totals *totals)
{
    const struct http_totals *t = &totals->http;
    const struct result results[] = {{"success", t->by_reason[HTTP_SUCCEEDED]},
                                     {"failed", http_totals_failed(t)},
                                     {"unsent", http_totals_unsent(t)}};

    write_results(w, boot, results, ARRAY_LEN(results));
}

static void write_boots(struct metrics_writer *w, const struct metric_family *family,
                        const struct agent_stats_copy *s, size_t offset,
                        void (*write)(struct metrics_writer *, const char *,
                                      const struct probe_totals *))
{
    char boot[PROBER_ID_TEXT_MAX];

    metrics_family(w, family);
    for (size_t i = 0; i < s->boot_count; i++)
        write(w, prober_id_format(&s->boots[i].id, boot),
              (const struct probe_totals *)(const void *)((const char *)&s->boots[i] + offset));
}

static void write_reports(struct metrics_writer *w, const struct agent_stats_copy *s)
{
    static const struct metric_family
        acked =
            COUNTER("prober_agent_acked_packets_total",
                    "Probes in reports that a server took into its counters, by the server's boot. "
                    "Without those to controls."),
        backfilled = COUNTER("prober_agent_backfilled_packets_total",
                             "Probes in reports that a server took as too old for its counters."),
        acked_http = COUNTER("prober_agent_acked_http_probes_total",
                             "Probes of URLs in reports that a server took into its counters, by "
                             "the server's boot."),
        backfilled_http =
            COUNTER("prober_agent_backfilled_http_probes_total",
                    "Probes of URLs in reports that a server took as too old for its counters."),
        reports = COUNTER("prober_agent_reports_total", "Reports by what the server made of them.");
    static const char *const outcomes[AGENT_STATS_OUTCOMES] = {[WIRE_APPLIED] = "applied",
                                                               [WIRE_DUPLICATE] = "duplicate",
                                                               [WIRE_BACKFILLED] = "backfilled",
                                                               [WIRE_UNKNOWN_TABLE] =
                                                                   "unknown_table",
                                                               [WIRE_INVALID] = "invalid"};

    write_boots(w, &acked, s, offsetof(struct agent_stats_boot, acked), write_icmp_results);
    write_boots(w, &backfilled, s, offsetof(struct agent_stats_boot, backfilled),
                write_icmp_results);
    write_boots(w, &acked_http, s, offsetof(struct agent_stats_boot, acked), write_http_results);
    write_boots(w, &backfilled_http, s, offsetof(struct agent_stats_boot, backfilled),
                write_http_results);
    metrics_family(w, &reports);
    for (size_t i = 0; i < AGENT_STATS_OUTCOMES; i++) {
        const struct metric_label labels[] = {{"outcome", outcomes[i]}};

        metrics_sample_u64(w, labels, 1, s->link.outcomes[i]);
    }
    const struct metric_label rejected[] = {{"outcome", "rejected"}};
    metrics_sample_u64(w, rejected, 1, s->link.rejected);
}

static void write_spool(struct metrics_writer *w, const struct spool_counts *spool,
                        const struct agent_stats_copy *s, const struct clock_reading *now)
{
    static const struct metric_family reports =
                                          GAUGE("prober_agent_spool_reports", NULL,
                                                "Reports that the server has not acknowledged."),
                                      bytes = GAUGE("prober_agent_spool_bytes", "bytes",
                                                    "Memory that they take."),
                                      oldest = GAUGE("prober_agent_spool_oldest_seconds", "seconds",
                                                     "Age of the oldest of them; 0 without any."),
                                      dropped = COUNTER("prober_agent_spool_dropped_reports_total",
                                                        "Reports that found no room in the spool."),
                                      packets = COUNTER(
                                          "prober_agent_spool_dropped_packets_total",
                                          "Probes in those reports, without those to controls."),
                                      http = COUNTER("prober_agent_spool_dropped_http_probes_total",
                                                     "Probes of URLs in those reports."),
                                      lag =
                                          GAUGE("prober_agent_report_lag_seconds", "seconds",
                                                "Age of the last report when the server took it.");

    metrics_family(w, &reports);
    metrics_sample_u64(w, NULL, 0, spool->reports);
    metrics_family(w, &bytes);
    metrics_sample_u64(w, NULL, 0, spool->bytes);
    metrics_family(w, &oldest);
    metrics_sample_ns(w, NULL, 0,
                      spool->oldest_boot_ns && now->boot_ns > spool->oldest_boot_ns
                          ? now->boot_ns - spool->oldest_boot_ns
                          : 0);
    metrics_family(w, &dropped);
    metrics_sample_u64(w, NULL, 0, spool->dropped_total);
    metrics_family(w, &packets);
    write_icmp_results(w, NULL, &spool->dropped);
    metrics_family(w, &http);
    write_http_results(w, NULL, &spool->dropped);
    metrics_family(w, &lag);
    metrics_sample_ns(w, NULL, 0, s->link.lag_ns);
}

static void write_identity(struct metrics_writer *w, const struct agent_metrics_identity *identity,
                           const struct agent_stats_copy *s)
{
    static const struct metric_family info = {"prober_agent_identity_info", METRIC_INFO, NULL,
                                              "Who this agent is."},
                                      up = GAUGE(
                                          "prober_agent_link_up", NULL,
                                          "1 while the server answers and accepts this agent.");
    const struct metric_label labels[] = {{"agent_id", identity->agent_id},
                                          {"boot_id", identity->boot_id},
                                          {"region", identity->region}};

    metrics_family(w, &info);
    metrics_sample_u64(w, labels, ARRAY_LEN(labels), 1);
    metrics_family(w, &up);
    metrics_sample_u64(w, NULL, 0, s->link.state == AGENT_LINK_UP);
}

void agent_metrics_write(struct metrics_writer *w, const struct agent_metrics_identity *identity,
                         const struct agent_stats_copy *stats, const struct spool_counts *spool,
                         const struct clock_reading *now)
{
    write_identity(w, identity, stats);
    for (size_t i = 0; i < ARRAY_LEN(singles); i++) {
        metrics_family(w, &singles[i].family);
        metrics_sample_u64(w, NULL, 0, number_at(stats, singles[i].offset));
    }
    write_probing(w, stats);
    write_http(w, &stats->http);
    write_reports(w, stats);
    write_spool(w, spool, stats, now);
    metrics_process(w, "prober_agent_build_info");
}

void agent_metrics_write_tasks(struct metrics_writer *w, const struct task_desk_counts *tasks)
{
    static const struct metric_family
        taken = COUNTER("prober_agent_tasks_taken_total", "Tasks that this agent accepted."),
        ended = COUNTER("prober_agent_tasks_total", "Tasks that came to an end, by how."),
        running = GAUGE("prober_agent_tasks_running", NULL, "Tasks whose program runs."),
        held = GAUGE("prober_agent_tasks_held", NULL, "Tasks whose end the server does not know."),
        bytes = GAUGE("prober_agent_tasks_held_bytes", "bytes", "Output of those.");
    const struct {
        const char *name;
        uint64_t value;
    } ends[] = {
        {"ran", tasks->ran}, {"refused", tasks->refused}, {"interrupted", tasks->interrupted}};

    metrics_family(w, &taken);
    metrics_sample_u64(w, NULL, 0, tasks->taken);
    metrics_family(w, &ended);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        const struct metric_label label = {"end", ends[i].name};

        metrics_sample_u64(w, &label, 1, ends[i].value);
    }
    metrics_family(w, &running);
    metrics_sample_u64(w, NULL, 0, tasks->running);
    metrics_family(w, &held);
    metrics_sample_u64(w, NULL, 0, tasks->held);
    metrics_family(w, &bytes);
    metrics_sample_u64(w, NULL, 0, tasks->bytes);
}

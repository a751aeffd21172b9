#include "agentd/probe_trace_output.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agentd/oneshot_json.h"
#include "common/array.h"

#define NS_PER_S 1e9
#define NS_PER_MS 1e6
#define PICO 1e12

static const char *protocol_text(const struct trace_flow *flow)
{
    return flow->protocol == TRACE_UDP ? "udp" : "icmp";
}

static const char *end_text(enum trace_end end)
{
    static const char *const texts[] = {
        [TRACE_END_TARGET] = "target", [TRACE_END_UNREACHABLE] = "unreachable",
        [TRACE_END_SILENT] = "silent", [TRACE_END_TOO_FAR] = "too_far",
        [TRACE_END_UNSENT] = "unsent",
    };

    return texts[end];
}

static enum prober_family family_of(const struct trace_report *r)
{
    return (enum prober_family)r->flow->target.family;
}

/* ---- text ---- */

static void put_rtt_text(struct strbuf *out, const struct trace_rtt *rtt)
{
    const double list[] = {(double)rtt->last_ns, rtt->mean_ns, (double)rtt->min_ns,
                           (double)rtt->max_ns, rtt->stddev_ns};

    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        if (rtt->count)
            strbuf_printf(out, " %7.2f", list[i] / NS_PER_MS);
        else
            strbuf_printf(out, " %7s", "-");
    }
}

static void put_labels_text(struct strbuf *out, const struct trace_responder *r)
{
    for (size_t i = 0; i < r->label_count; i++)
        strbuf_printf(out, "%s%u", i ? "/" : "  mpls ", (unsigned)r->labels[i].label);
}

static void put_remarks_text(struct strbuf *out, const struct trace_report *report,
                             const struct trace_hop *h)
{
    if (h->is_unreachable)
        strbuf_printf(out, "  %s", trace_unreachable_sign(family_of(report), h->code));
    if (h->remark == TRACE_NEVER_ANSWERS)
        strbuf_puts(out, "  never answers; the path goes on");
    else if (h->remark == TRACE_LIMITS_ANSWERS)
        strbuf_puts(out, "  limits its answers; the path is better");
    if (h->unknown)
        strbuf_printf(out, "  %u unknown", h->unknown);
    if (h->unsent)
        strbuf_printf(out, "  %u unsent", h->unsent);
    if (h->duplicates)
        strbuf_printf(out, "  %u duplicates", h->duplicates);
    if (h->late)
        strbuf_printf(out, "  %u late", h->late);
}

static void put_hop_text(struct strbuf *out, const struct trace_report *report, size_t at)
{
    const struct trace_hop *h = &report->hops[at];
    char address[PROBER_ADDR_TEXT_MAX] = "???";
    double ratio = trace_hop_loss_ratio(h);

    if (h->responder_count)
        prober_addr_format(&h->responders[0].address, address);
    strbuf_printf(out, "%3zu  %-24s ", at + 1, address);
    if (ratio < 0)
        strbuf_printf(out, "%6s ", "-");
    else
        strbuf_printf(out, "%5.1f%% ", ratio * 100);
    strbuf_printf(out, "%5u", h->sent);
    put_rtt_text(out, &h->rtt);
    if (h->responder_count)
        put_labels_text(out, &h->responders[0]);
    put_remarks_text(out, report, h);
    strbuf_putc(out, '\n');
    for (size_t i = 1; i < h->responder_count; i++) {
        strbuf_printf(out, "     %s", prober_addr_format(&h->responders[i].address, address));
        put_labels_text(out, &h->responders[i]);
        strbuf_putc(out, '\n');
    }
    if (h->has_more_responders)
        strbuf_puts(out, "     and others\n");
}

static void put_end_text(struct strbuf *out, const struct trace_report *r)
{
    switch (r->end) {
    case TRACE_END_TARGET:
        break;
    case TRACE_END_UNREACHABLE:
        strbuf_printf(out, "not reached: %s\n", trace_unreachable_text(family_of(r), r->code));
        break;
    case TRACE_END_SILENT:
        strbuf_puts(out, "not reached: nothing answers any more\n");
        break;
    case TRACE_END_TOO_FAR:
        strbuf_puts(out, "not reached within the highest number of hops\n");
        break;
    case TRACE_END_UNSENT:
        break;
    }
    if (r->send_error)
        strbuf_printf(out, "this host refused to send: %s\n", strerror(r->send_error));
}

void probe_trace_output_text(struct strbuf *out, const struct probe_trace_result *result)
{
    const struct trace_report *r = result->report;
    char text[PROBER_ADDR_TEXT_MAX];

    oneshot_text_put(out, result->target);
    if (result->address.family != PROBER_FAMILY_NONE)
        strbuf_printf(out, " (%s)", prober_addr_format(&result->address, text));
    if (r)
        strbuf_printf(out, " by %s from %s", protocol_text(r->flow),
                      prober_addr_format(&r->flow->source, text));
    if (r && r->hop_count) {
        strbuf_printf(out, "\n%3s  %-24s %6s %5s %7s %7s %7s %7s %7s\n", "hop", "address", "loss",
                      "sent", "last", "avg", "best", "worst", "stdev");
        for (size_t i = 0; i < r->hop_count; i++)
            put_hop_text(out, r, i);
        put_end_text(out, r);
        if (result->error)
            strbuf_printf(out, "%s\n", result->error);
        return;
    }
    strbuf_printf(out, ": %s\n", result->error ? result->error : "nothing was sent");
}

/* ---- JSON ---- */

static void add_estimate(struct strbuf *out, const char *key, double ns)
{
    oneshot_json_key(out, key);
    strbuf_put_double(out, round(ns / NS_PER_S * PICO) / PICO);
}

static void add_bool(struct strbuf *out, const char *key, bool value)
{
    oneshot_json_key(out, key);
    oneshot_json_put_bool(out, value);
}

static void put_rtt_json(struct strbuf *out, const struct trace_rtt *rtt)
{
    oneshot_json_key(out, "rtt");
    if (rtt->count == 0) {
        strbuf_puts(out, "{\"last\":null,\"min\":null,\"mean\":null,\"max\":null,\"stddev\":null,"
                         "\"p50\":null,\"p90\":null,\"p99\":null}");
        return;
    }
    strbuf_putc(out, '{');
    oneshot_json_add_seconds(out, "last", rtt->last_ns);
    oneshot_json_add_seconds(out, "min", rtt->min_ns);
    add_estimate(out, "mean", rtt->mean_ns);
    oneshot_json_add_seconds(out, "max", rtt->max_ns);
    add_estimate(out, "stddev", rtt->stddev_ns);
    oneshot_json_add_seconds(out, "p50", rtt->p50_ns);
    oneshot_json_add_seconds(out, "p90", rtt->p90_ns);
    oneshot_json_add_seconds(out, "p99", rtt->p99_ns);
    strbuf_putc(out, '}');
}

static void put_responder_json(struct strbuf *out, const struct trace_responder *r)
{
    oneshot_json_comma(out);
    strbuf_putc(out, '{');
    oneshot_json_key(out, "address");
    oneshot_json_put_address(out, &r->address);
    oneshot_json_add_count(out, "answers", r->answers);
    if (r->label_count) {
        oneshot_json_key(out, "mpls");
        strbuf_putc(out, '[');
        for (size_t i = 0; i < r->label_count; i++) {
            oneshot_json_comma(out);
            strbuf_putc(out, '{');
            oneshot_json_add_count(out, "label", r->labels[i].label);
            oneshot_json_add_count(out, "class", r->labels[i].class);
            oneshot_json_add_count(out, "ttl", r->labels[i].ttl);
            strbuf_putc(out, '}');
        }
        strbuf_putc(out, ']');
    }
    strbuf_putc(out, '}');
}

static void put_responders_json(struct strbuf *out, const struct trace_hop *h)
{
    oneshot_json_key(out, "address");
    oneshot_json_put_address(out, h->responder_count ? &h->responders[0].address
                                                     : &(struct prober_addr){0});
    oneshot_json_key(out, "responders");
    strbuf_putc(out, '[');
    for (size_t i = 0; i < h->responder_count; i++)
        put_responder_json(out, &h->responders[i]);
    strbuf_putc(out, ']');
    if (h->has_more_responders)
        add_bool(out, "more_responders", true);
}

static void put_hop_json(struct strbuf *out, const struct trace_report *report, size_t at)
{
    static const char *const remarks[] = {
        [TRACE_NO_REMARK] = NULL,
        [TRACE_NEVER_ANSWERS] = "never_answers",
        [TRACE_LIMITS_ANSWERS] = "limits_answers",
    };
    const struct trace_hop *h = &report->hops[at];
    double ratio = trace_hop_loss_ratio(h);

    oneshot_json_comma(out);
    strbuf_putc(out, '{');
    oneshot_json_add_count(out, "hop", at + 1);
    put_responders_json(out, h);
    add_bool(out, "is_target", h->is_target);
    oneshot_json_add_count(out, "sent", h->sent);
    oneshot_json_add_count(out, "received", h->received);
    oneshot_json_add_count(out, "lost", h->lost);
    oneshot_json_add_count(out, "unknown", h->unknown);
    oneshot_json_add_count(out, "unsent", h->unsent);
    oneshot_json_add_count(out, "duplicates", h->duplicates);
    oneshot_json_add_count(out, "late", h->late);
    oneshot_json_key(out, "loss_ratio");
    if (ratio < 0)
        strbuf_puts(out, "null");
    else
        strbuf_put_double(out, round(ratio * PICO) / PICO);
    put_rtt_json(out, &h->rtt);
    if (h->is_unreachable)
        oneshot_json_add_string(out, "unreachable",
                                trace_unreachable_text(family_of(report), h->code));
    if (h->remark != TRACE_NO_REMARK)
        oneshot_json_add_string(out, "remark", remarks[h->remark]);
    strbuf_putc(out, '}');
}

static void put_report_json(struct strbuf *out, const struct trace_report *r)
{
    oneshot_json_add_string(out, "protocol", protocol_text(r->flow));
    oneshot_json_key(out, "source");
    oneshot_json_put_address(out, &r->flow->source);
    if (r->flow->protocol == TRACE_UDP) {
        oneshot_json_add_count(out, "source_port", r->flow->identifier);
        oneshot_json_add_count(out, "port", r->flow->port);
    }
    add_bool(out, "reached", r->end == TRACE_END_TARGET);
    oneshot_json_add_string(out, "end", end_text(r->end));
    if (r->end == TRACE_END_UNREACHABLE)
        oneshot_json_add_string(out, "unreachable", trace_unreachable_text(family_of(r), r->code));
    if (r->send_error)
        oneshot_json_add_string(out, "send_error", strerror(r->send_error));
    oneshot_json_key(out, "hops");
    strbuf_putc(out, '[');
    for (size_t i = 0; i < r->hop_count; i++)
        put_hop_json(out, r, i);
    strbuf_putc(out, ']');
}

void probe_trace_output_json(struct strbuf *out, const struct probe_trace_result *result)
{
    strbuf_putc(out, '{');
    oneshot_json_add_string(out, "target", result->target);
    oneshot_json_key(out, "address");
    oneshot_json_put_address(out, &result->address);
    oneshot_json_add_seconds(out, "resolve_seconds", result->resolve_ns);
    if (result->report)
        put_report_json(out, result->report);
    else
        strbuf_puts(out, ",\"reached\":false,\"hops\":[]");
    if (result->error)
        oneshot_json_add_string(out, "error", result->error);
    strbuf_puts(out, "}\n");
}

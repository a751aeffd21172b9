#include "agentd/probe_output.h"

#include <math.h>

#include "agentd/oneshot_json.h"
#include "common/array.h"

#define NS_PER_S 1e9
#define PICO 1e12

/* A mean is worth no more digits than picoseconds. */
static void put_estimate(struct strbuf *out, double ns)
{
    strbuf_put_double(out, round(ns / NS_PER_S * PICO) / PICO);
}

static void put_counts(struct strbuf *out, const struct icmp_totals *t)
{
    double ratio = icmp_totals_loss_ratio(t);

    oneshot_json_add_count(out, "sent", t->sent);
    oneshot_json_add_count(out, "received", t->received);
    oneshot_json_add_count(out, "lost", icmp_totals_lost(t));
    oneshot_json_add_count(out, "unknown", t->unknown);
    oneshot_json_add_count(out, "unsent", icmp_totals_unsent(t));
    oneshot_json_add_count(out, "late_sent", t->late_sent);
    oneshot_json_add_count(out, "duplicates", t->duplicates);
    oneshot_json_key(out, "loss_ratio");
    if (ratio < 0)
        strbuf_puts(out, "null");
    else
        strbuf_put_double(out, round(ratio * PICO) / PICO);
}

static void put_rtt(struct strbuf *out, const struct moments *rtt, const struct histogram *h)
{
    static const struct {
        const char *key;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};

    oneshot_json_key(out, "rtt");
    if (rtt->count == 0) {
        strbuf_puts(out, "{\"min\":null,\"mean\":null,\"max\":null,\"stddev\":null,\"p50\":null,"
                         "\"p90\":null,\"p99\":null}");
        return;
    }
    strbuf_putc(out, '{');
    oneshot_json_add_seconds(out, "min", rtt->min_ns);
    oneshot_json_key(out, "mean");
    put_estimate(out, moments_mean_ns(rtt));
    oneshot_json_add_seconds(out, "max", rtt->max_ns);
    oneshot_json_key(out, "stddev");
    put_estimate(out, moments_stddev_ns(rtt));
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        oneshot_json_key(out, quantiles[i].key);
        put_estimate(out, histogram_quantile_ns(h, quantiles[i].q, rtt->min_ns, rtt->max_ns));
    }
    strbuf_putc(out, '}');
}

static void add_pairs(struct histogram *h, const struct icmp_window *w)
{
    for (size_t i = 0; i < w->pair_count; i++)
        histogram_add_bins(h, w->pairs[i].bin, w->pairs[i].count);
}

void probe_output_target(struct strbuf *out, const struct probe_result *result)
{
    const struct icmp_window *w = result->window;
    struct icmp_totals totals = {0};
    struct histogram h = {0};

    icmp_totals_add(&totals, &w->counts);
    add_pairs(&h, w);
    strbuf_putc(out, '{');
    oneshot_json_add_string(out, "target", result->target);
    oneshot_json_key(out, "address");
    oneshot_json_put_address(out, &result->address);
    put_counts(out, &totals);
    oneshot_json_add_seconds(out, "resolve_seconds", result->resolve_ns);
    put_rtt(out, &w->rtt, &h);
    if (result->error)
        oneshot_json_add_string(out, "error", result->error);
    strbuf_puts(out, "}\n");
}

void probe_summary_add(struct probe_summary *s, const struct icmp_window *window)
{
    s->targets++;
    s->answered += window->counts.received > 0;
    icmp_totals_add(&s->totals, &window->counts);
    moments_merge(&s->rtt, &window->rtt);
    add_pairs(&s->histogram, window);
}

void probe_output_summary(struct strbuf *out, const struct probe_summary *s)
{
    strbuf_putc(out, '{');
    oneshot_json_add_count(out, "targets", s->targets);
    oneshot_json_add_count(out, "answered", s->answered);
    put_counts(out, &s->totals);
    put_rtt(out, &s->rtt, &s->histogram);
    oneshot_json_add_seconds(out, "elapsed_seconds", s->elapsed_ns);
    strbuf_puts(out, "}\n");
}

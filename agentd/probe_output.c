#include "agentd/probe_output.h"

#include <math.h>
#include <string.h>

#include "agentd/oneshot_json.h"
#include "common/array.h"

#define NS_PER_S 1e9
#define NS_PER_MS 1e6
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

/* ---- text ---- */

static void put_counts_text(struct strbuf *out, const struct icmp_totals *t)
{
    const struct {
        const char *what;
        uint64_t count;
    } rare[] = {{"unknown", t->unknown},
                {"unsent", icmp_totals_unsent(t)},
                {"sent late", t->late_sent},
                {"duplicates", t->duplicates}};
    double ratio = icmp_totals_loss_ratio(t);

    strbuf_printf(out, "%llu sent, %llu received", (unsigned long long)t->sent,
                  (unsigned long long)t->received);
    if (ratio >= 0)
        strbuf_printf(out, ", %.1f %% loss", ratio * 100);
    for (size_t i = 0; i < ARRAY_LEN(rare); i++)
        if (rare[i].count)
            strbuf_printf(out, ", %llu %s", (unsigned long long)rare[i].count, rare[i].what);
}

static void put_rtt_text(struct strbuf *out, const struct moments *rtt)
{
    if (rtt->count)
        strbuf_printf(out, "; RTT min %.3f avg %.3f max %.3f stddev %.3f ms",
                      (double)rtt->min_ns / NS_PER_MS, moments_mean_ns(rtt) / NS_PER_MS,
                      (double)rtt->max_ns / NS_PER_MS, moments_stddev_ns(rtt) / NS_PER_MS);
}

void probe_output_target_text(struct strbuf *out, const struct probe_result *result)
{
    struct icmp_totals totals = {0};
    char address[PROBER_ADDR_TEXT_MAX];

    icmp_totals_add(&totals, &result->window->counts);
    oneshot_text_put(out, result->target);
    if (result->address.family) {
        prober_addr_format(&result->address, address);
        if (strcmp(address, result->target) != 0)
            strbuf_printf(out, " (%s)", address);
    }
    strbuf_puts(out, ": ");
    put_counts_text(out, &totals);
    put_rtt_text(out, &result->window->rtt);
    if (result->error)
        strbuf_printf(out, "; %s", result->error);
    strbuf_putc(out, '\n');
}

void probe_output_summary_text(struct strbuf *out, const struct probe_summary *s)
{
    strbuf_printf(out, "%llu of %llu targets answered: ", (unsigned long long)s->answered,
                  (unsigned long long)s->targets);
    put_counts_text(out, &s->totals);
    put_rtt_text(out, &s->rtt);
    strbuf_printf(out, "; took %.1f s\n", (double)s->elapsed_ns / NS_PER_S);
}

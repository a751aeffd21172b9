#include "agentd/probe_output.h"

#include <math.h>
#include <string.h>

#include "common/array.h"
#include "common/utf8.h"

#define NS_PER_S 1e9
#define PICO 1e12

/* JSON text must be UTF-8 (RFC 8259): a byte that is none becomes the replacement character. */
static void put_string(struct strbuf *out, const char *text)
{
    size_t left = strlen(text), n;
    uint32_t rune;

    strbuf_putc(out, '"');
    for (; left > 0; text += n, left -= n) {
        n = utf8_decode(text, left, &rune);
        if (n == 0) {
            strbuf_puts(out, "\\ufffd");
            n = 1;
        } else if (!utf8_is_shown_safely(rune)) {
            strbuf_printf(out, "\\u%04x", rune);
        } else {
            if (rune == '"' || rune == '\\')
                strbuf_putc(out, '\\');
            strbuf_put(out, text, n);
        }
    }
    strbuf_putc(out, '"');
}

static void put_key(struct strbuf *out, const char *key)
{
    strbuf_puts(out, ",\"");
    strbuf_puts(out, key);
    strbuf_puts(out, "\":");
}

static void put_count(struct strbuf *out, const char *key, uint64_t value)
{
    put_key(out, key);
    strbuf_put_u64(out, value);
}

/* A mean is worth no more digits than picoseconds. */
static void put_estimate(struct strbuf *out, double ns)
{
    strbuf_put_double(out, round(ns / NS_PER_S * PICO) / PICO);
}

static void put_counts(struct strbuf *out, const struct icmp_totals *t)
{
    double ratio = icmp_totals_loss_ratio(t);

    put_count(out, "sent", t->sent);
    put_count(out, "received", t->received);
    put_count(out, "lost", icmp_totals_lost(t));
    put_count(out, "unknown", t->unknown);
    put_count(out, "unsent", icmp_totals_unsent(t));
    put_count(out, "late_sent", t->late_sent);
    put_count(out, "duplicates", t->duplicates);
    put_key(out, "loss_ratio");
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

    put_key(out, "rtt");
    if (rtt->count == 0) {
        strbuf_puts(out, "{\"min\":null,\"mean\":null,\"max\":null,\"stddev\":null,\"p50\":null,"
                         "\"p90\":null,\"p99\":null}");
        return;
    }
    strbuf_puts(out, "{\"min\":");
    strbuf_put_seconds(out, rtt->min_ns);
    put_key(out, "mean");
    put_estimate(out, moments_mean_ns(rtt));
    put_key(out, "max");
    strbuf_put_seconds(out, rtt->max_ns);
    put_key(out, "stddev");
    put_estimate(out, moments_stddev_ns(rtt));
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        put_key(out, quantiles[i].key);
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
    char address[PROBER_ADDR_TEXT_MAX];
    struct icmp_totals totals = {0};
    struct histogram h = {0};

    icmp_totals_add(&totals, &w->counts);
    add_pairs(&h, w);
    strbuf_puts(out, "{\"target\":");
    put_string(out, result->target);
    put_key(out, "address");
    if (result->address.family == PROBER_FAMILY_NONE)
        strbuf_puts(out, "null");
    else
        put_string(out, prober_addr_format(&result->address, address));
    put_counts(out, &totals);
    put_key(out, "resolve_seconds");
    strbuf_put_seconds(out, result->resolve_ns);
    put_rtt(out, &w->rtt, &h);
    if (result->error) {
        put_key(out, "error");
        put_string(out, result->error);
    }
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
    strbuf_puts(out, "{\"targets\":");
    strbuf_put_u64(out, s->targets);
    put_count(out, "answered", s->answered);
    put_counts(out, &s->totals);
    put_rtt(out, &s->rtt, &s->histogram);
    put_key(out, "elapsed_seconds");
    strbuf_put_seconds(out, s->elapsed_ns);
    strbuf_puts(out, "}\n");
}

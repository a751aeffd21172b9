#include "serverd/laws.h"

#include <stdbool.h>

#include "common/array.h"
#include "libprober/histogram.h"
#include "libprober/http_judge.h"
#include "libprober/moments.h"

#define LAWS_COUNT_MAX (UINT32_MAX / 8)
#define LAWS_STATUS_MAX 999
#define LAWS_VERSION_MAX 99 /* of HTTP, in tenths */

static uint64_t at(const uint64_t *column, size_t row)
{
    return column ? column[row] : 0;
}

static bool counts_are_bounded(const struct icmp_counts *c)
{
    /* The sums below are taken in 32 bits. */
#define LAWS_TOO_MANY(name, help) || c->name > LAWS_COUNT_MAX
    return !(c->sent > LAWS_PROBES_MAX ICMP_COUNTS(LAWS_TOO_MANY));
#undef LAWS_TOO_MANY
}

static bool counts_are_lawful(const struct icmp_counts *c)
{
    return c->sent ==
               c->received + c->lost_timeout + c->lost_unreachable + c->lost_ttl + c->unknown &&
           c->doubtful <= c->received && c->late_sent <= c->sent;
}

/* Sums of squares that RTTs within min..max can have: min * sum <= squares <= max * sum, and
 * sum^2 <= n * squares. With the bounds checked before, no product leaves 128 bits. */
static bool rtts_are_lawful(const struct wire_icmp_columns *c, size_t row, uint32_t received)
{
    uint64_t sum = at(c->rtt_sum_ns, row), min = at(c->rtt_min_ns, row),
             max = at(c->rtt_max_ns, row);
    moments_square square =
        (moments_square)at(c->rtt_square_high, row) << 64 | at(c->rtt_square_low, row);

    if (received == 0)
        return sum == 0 && square == 0 && min == 0 && max == 0;
    if (min > max || max > MOMENTS_RTT_MAX_NS || sum < min * received || sum > max * received)
        return false;
    return square >= (moments_square)min * sum && square <= (moments_square)max * sum &&
           (moments_square)sum * sum <= square * received;
}

static bool bins_are_lawful(const struct wire_icmp_columns *c, size_t from, uint32_t bins,
                            uint32_t received)
{
    uint64_t bin = 0, count = 0;

    if (bins == 0)
        return received == 0;
    if (!c->bin_step || !c->bin_count)
        return false;
    for (size_t i = from; i < from + bins; i++) {
        bin += c->bin_step[i];
        count += c->bin_count[i];
        if (c->bin_count[i] == 0 || c->bin_count[i] > received)
            return false;
    }
    return bin < HISTOGRAM_BINS && count == received;
}

static const char *icmp_row_broken(const struct wire_icmp_columns *c, size_t row, size_t from)
{
    struct icmp_counts counts = laws_row_counts(c, row);
    uint32_t bins = c->histogram_bins ? c->histogram_bins[row] : 0;

    if (!counts_are_bounded(&counts))
        return "a count is absurdly large";
    if (!counts_are_lawful(&counts))
        return "sent is not received + lost + unknown";
    if (!rtts_are_lawful(c, row, counts.received))
        return "RTT sums do not fit their count and extremes";
    if (bins > c->bin_total - from || !bins_are_lawful(c, from, bins, counts.received))
        return "the histogram does not hold the received";
    if (at(c->jitter_ns, row) > MOMENTS_RTT_MAX_NS || at(c->resolve_ns, row) > LAWS_RESOLVE_MAX_NS)
        return "a duration is absurdly long";
    return NULL;
}

static const char *icmp_broken(const struct wire_report *report)
{
    const struct wire_icmp_columns *c = &report->icmp;
    const char *broken = NULL;
    size_t from = 0;

    for (size_t row = 0; row < report->rows && !broken; row++) {
        broken = icmp_row_broken(c, row, from);
        from += c->histogram_bins ? c->histogram_bins[row] : 0;
    }
    if (!broken && from != c->bin_total)
        broken = "histogram bins that belong to no row";
    return broken;
}

/* ---- HTTP ---- */

static uint32_t at32(const uint32_t *column, size_t row)
{
    return column ? column[row] : 0;
}

static bool times_are_bounded(const struct wire_http_columns *c, size_t row)
{
    const uint64_t *const columns[] = {c->resolve_ns,    c->connect_ns,  c->tls_ns,
                                       c->processing_ns, c->transfer_ns, c->duration_ns};

    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (at(columns[i], row) > LAWS_HTTP_MAX_NS)
            return false;
    return at(c->age_ns, row) <= WIRE_DURATION_MAX_NS;
}

static bool numbers_are_bounded(const struct wire_http_columns *c, size_t row)
{
    return at32(c->status, row) <= LAWS_STATUS_MAX && at32(c->version, row) <= LAWS_VERSION_MAX &&
           at32(c->tls_version, row) <= UINT16_MAX && at32(c->redirects, row) <= LAWS_COUNT_MAX &&
           at32(c->dns_answers, row) <= LAWS_COUNT_MAX &&
           at32(c->unsent_late, row) <= LAWS_COUNT_MAX;
}

static const char *http_broken(const struct wire_report *report)
{
    const struct wire_http_columns *c = &report->http;

    for (size_t row = 0; row < report->rows; row++) {
        if (!times_are_bounded(c, row))
            return "a duration is absurdly long";
        if (!numbers_are_bounded(c, row))
            return "a number is absurdly large";
        if (at32(c->reason, row) == HTTP_SUCCEEDED && at32(c->status, row) == 0)
            return "a success without an answer";
    }
    return NULL;
}

/* ---- the whole ---- */

static const char *name_broken(const struct wire_target_name *name)
{
    if (name->kind != WIRE_KIND_ICMP && name->kind != WIRE_KIND_HTTP)
        return "a target is of a kind that this server does not know";
    if (name->kind == WIRE_KIND_HTTP && name->control)
        return "a URL is no control";
    if (!wire_target_region_is_valid(name->region))
        return "a target's region is not a valid name";
    if (!wire_name_is_valid(name->target, WIRE_TARGET_MAX))
        return "a target is not a valid name";
    return NULL;
}

const char *laws_broken(const struct wire_report *report)
{
    const char *broken = NULL;

    if (report->sequence == 0)
        return "sequence numbers start at 1";
    if (report->rows > WIRE_REPORT_ROWS_MAX)
        return "too many rows";
    for (size_t i = 0; i < report->name_count && !broken; i++)
        broken = name_broken(&report->names[i]);
    if (broken)
        return broken;
    switch (report->kind) {
    case 0:
    case WIRE_KIND_ICMP:
        return icmp_broken(report);
    case WIRE_KIND_HTTP:
        return http_broken(report);
    default:
        return "rows of a kind that this server does not know";
    }
}

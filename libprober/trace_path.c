#include "libprober/trace_path.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/moments.h"

/* A hop is said to limit its answers when chance alone would make it lose so much more than a hop
 * behind it less than once in some 700 traces. */
#define EVIDENT_DEVIATIONS 3.0

enum probe_state { PROBE_OPEN, PROBE_ANSWERED, PROBE_LOST, PROBE_UNSENT };

struct probe {
    uint64_t sent_ns, rtt_ns;
    uint8_t ttl, state;
    bool has_rtt;
    bool is_answered_late;
};

struct trace_path {
    struct trace_flow flow;
    struct trace_limits limits;
    struct probe *probes; /* [room], by number less 1: in the order of sending */
    size_t room, count;
    size_t oldest;    /* all before it have ended */
    uint8_t answered; /* the highest TTL that was answered */
    uint8_t highest;  /* that was probed */
    int send_error;
    bool was_reached;
    struct {
        uint8_t ttl; /* 0: not known */
        bool is_target;
        uint8_t code;
        uint16_t number; /* of the probe that told */
    } end;
    struct trace_hop hops[TRACE_HOPS_MAX];
};

struct trace_path *trace_path_create(const struct trace_flow *flow,
                                     const struct trace_limits *limits)
{
    struct trace_path *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->flow = *flow;
    p->limits = *limits;
    p->room = (size_t)limits->count * limits->max_hops;
    p->probes = calloc(p->room, sizeof(*p->probes));
    if (!p->probes) {
        trace_path_destroy(p);
        return NULL;
    }
    return p;
}

const struct trace_flow *trace_path_flow(const struct trace_path *p)
{
    return &p->flow;
}

bool trace_path_has_end(const struct trace_path *p)
{
    return p->end.ttl != 0;
}

uint8_t trace_path_limit(const struct trace_path *p)
{
    unsigned limit = (unsigned)p->answered + p->limits.silent_max;

    if (p->end.ttl)
        return p->end.ttl;
    return limit < p->limits.max_hops ? (uint8_t)limit : p->limits.max_hops;
}

uint16_t trace_path_next_number(const struct trace_path *p)
{
    return p->count < p->room ? (uint16_t)(p->count + 1) : 0;
}

void trace_path_note_sent(struct trace_path *p, uint8_t ttl, uint64_t sent_ns, int error)
{
    struct probe *probe = &p->probes[p->count++];

    *probe =
        (struct probe){.sent_ns = sent_ns, .ttl = ttl, .state = error ? PROBE_UNSENT : PROBE_OPEN};
    if (error)
        p->send_error = error;
    if (ttl > p->highest)
        p->highest = ttl;
}

/* ---- answers ---- */

static struct trace_responder *responder_of(struct trace_hop *h, const struct prober_addr *from)
{
    for (size_t i = 0; i < h->responder_count; i++)
        if (prober_addr_equal(&h->responders[i].address, from))
            return &h->responders[i];
    if (h->responder_count == TRACE_RESPONDERS_MAX) {
        h->has_more_responders = true;
        return NULL;
    }
    h->responders[h->responder_count].address = *from;
    return &h->responders[h->responder_count++];
}

static void note_responder(struct trace_hop *h, const struct trace_answer *answer,
                           const struct prober_addr *from, bool in_time)
{
    struct trace_responder *r = responder_of(h, from);

    if (!r)
        return;
    r->answers += in_time;
    if (answer->label_count == 0)
        return;
    r->label_count = answer->label_count;
    memcpy(r->labels, answer->labels, sizeof(r->labels));
}

static bool is_from_target(const struct trace_path *p, const struct trace_answer *answer,
                           const struct prober_addr *from)
{
    if (answer->message == TRACE_ECHO_REPLY)
        return true;
    return answer->message == TRACE_UNREACHABLE && p->flow.protocol == TRACE_UDP &&
           trace_is_port_unreachable((enum prober_family)from->family, answer->code) &&
           prober_addr_equal(from, &p->flow.target);
}

/* What this answer means for where the path ends. */
static void judge_end(struct trace_path *p, uint16_t number, const struct trace_answer *answer,
                      bool is_target)
{
    uint8_t ttl = p->probes[number - 1].ttl;

    if (ttl > p->answered && answer->message == TRACE_TTL_EXCEEDED)
        p->answered = ttl;
    if (answer->message == TRACE_TTL_EXCEEDED) {
        /* The path has become longer, or can be walked again. */
        if (p->end.ttl && ttl >= p->end.ttl && number > p->end.number)
            p->end.ttl = 0;
        return;
    }
    p->was_reached = p->was_reached || is_target;
    if (p->end.ttl && (p->end.is_target != is_target ? !is_target : ttl > p->end.ttl))
        return;
    p->end.ttl = ttl;
    p->end.is_target = is_target;
    p->end.code = answer->code;
    p->end.number = number;
}

static void take_first(struct probe *probe, struct trace_hop *h, uint64_t received_ns, bool in_time)
{
    if (!in_time) {
        probe->state = PROBE_LOST;
        probe->is_answered_late = true;
        h->late++;
        return;
    }
    probe->state = PROBE_ANSWERED;
    /* Only a clock that was set back lets an answer come before its probe. */
    probe->has_rtt = received_ns >= probe->sent_ns;
    probe->rtt_ns = probe->has_rtt ? received_ns - probe->sent_ns : 0;
}

bool trace_path_take(struct trace_path *p, uint16_t number, const struct trace_answer *answer,
                     const struct prober_addr *from, uint64_t received_ns)
{
    struct probe *probe;
    struct trace_hop *h;
    bool is_target, in_time;

    if (number == 0 || number > p->count || p->probes[number - 1].state == PROBE_UNSENT)
        return false;
    probe = &p->probes[number - 1];
    h = &p->hops[probe->ttl - 1];
    if (probe->state == PROBE_ANSWERED || probe->is_answered_late) {
        h->duplicates++;
        return true;
    }
    is_target = is_from_target(p, answer, from);
    in_time = probe->state == PROBE_OPEN && (received_ns < probe->sent_ns ||
                                             received_ns - probe->sent_ns <= p->limits.timeout_ns);
    take_first(probe, h, received_ns, in_time);
    note_responder(h, answer, from, in_time);
    h->is_target = h->is_target || is_target;
    if (answer->message == TRACE_UNREACHABLE && !is_target) {
        h->is_unreachable = true;
        h->code = answer->code;
    }
    judge_end(p, number, answer, is_target);
    return true;
}

/* ---- deadlines ---- */

static void skip_ended(struct trace_path *p)
{
    while (p->oldest < p->count && p->probes[p->oldest].state != PROBE_OPEN)
        p->oldest++;
}

uint64_t trace_path_deadline_ns(const struct trace_path *p)
{
    for (size_t i = p->oldest; i < p->count; i++)
        if (p->probes[i].state == PROBE_OPEN)
            return p->probes[i].sent_ns + p->limits.timeout_ns;
    return UINT64_MAX;
}

void trace_path_expire(struct trace_path *p, uint64_t now_ns)
{
    for (skip_ended(p); p->oldest < p->count; skip_ended(p)) {
        struct probe *probe = &p->probes[p->oldest];

        if (probe->sent_ns + p->limits.timeout_ns >= now_ns)
            return;
        probe->state = PROBE_LOST;
    }
}

/* ---- reports ---- */

double trace_hop_loss_ratio(const struct trace_hop *h)
{
    uint32_t received = h->received - h->doubtful;

    return received + h->lost ? (double)h->lost / (received + h->lost) : -1;
}

static void count_probe(const struct trace_path *p, const struct probe *probe,
                        const struct icmp_episodes *episodes, struct trace_hop *h)
{
    uint64_t until_ns = probe->sent_ns + p->limits.timeout_ns;
    bool doubtful = icmp_episodes_touch(episodes, probe->sent_ns, until_ns);

    if (probe->state == PROBE_UNSENT) {
        h->unsent++;
        return;
    }
    h->sent++;
    if (probe->state == PROBE_ANSWERED) {
        h->received++;
        h->doubtful += doubtful;
    } else if (doubtful) {
        h->unknown++;
    } else {
        h->lost++;
    }
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The nearest rank: the smallest RTT with at least so many in a hundred not above it. */
static uint64_t percentile(const uint64_t *sorted, size_t n, unsigned percent)
{
    return sorted[(n * percent + 99) / 100 - 1];
}

static void sum_up_rtt(const struct trace_path *p, uint8_t ttl, struct trace_rtt *out)
{
    uint64_t list[TRACE_COUNT_MAX];
    struct moments m = {0};
    size_t n = 0;

    *out = (struct trace_rtt){0};
    for (size_t i = 0; i < p->count && n < TRACE_COUNT_MAX; i++) {
        const struct probe *probe = &p->probes[i];

        if (probe->ttl != ttl || !probe->has_rtt)
            continue;
        moments_add(&m, probe->rtt_ns);
        list[n++] = out->last_ns = probe->rtt_ns;
    }
    if (n == 0)
        return;
    qsort(list, n, sizeof(list[0]), compare_u64);
    out->count = (uint32_t)n;
    out->min_ns = list[0];
    out->max_ns = list[n - 1];
    out->p50_ns = percentile(list, n, 50);
    out->p90_ns = percentile(list, n, 90);
    out->p99_ns = percentile(list, n, 99);
    out->mean_ns = moments_mean_ns(&m);
    out->stddev_ns = moments_stddev_ns(&m);
}

/* Two proportions are compared by their pooled variance. */
static bool loses_evidently_more(const struct trace_hop *h, const struct trace_hop *behind)
{
    double n = h->received - h->doubtful + h->lost;
    double m = behind->received - behind->doubtful + behind->lost;
    double pooled, deviation;

    if (n == 0 || m == 0)
        return false;
    pooled = ((double)h->lost + behind->lost) / (n + m);
    deviation = sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
    return trace_hop_loss_ratio(h) - trace_hop_loss_ratio(behind) > EVIDENT_DEVIATIONS * deviation;
}

/* A hop of the path cannot lose packets that hops behind it get: it just does not answer to all. */
static enum trace_remark remark_on(const struct trace_hop *hops, size_t at, size_t count)
{
    const struct trace_hop *h = &hops[at];

    for (size_t i = at + 1; i < count; i++) {
        if (hops[i].received == 0)
            continue;
        if (h->received == 0 && h->lost > 0 && h->late == 0)
            return TRACE_NEVER_ANSWERS;
        if (loses_evidently_more(h, &hops[i]))
            return TRACE_LIMITS_ANSWERS;
    }
    return TRACE_NO_REMARK;
}

static enum trace_end end_of(const struct trace_path *p)
{
    if (p->was_reached)
        return TRACE_END_TARGET;
    if (p->end.ttl)
        return TRACE_END_UNREACHABLE;
    if (p->send_error && p->answered == 0)
        return TRACE_END_UNSENT;
    return p->answered == p->limits.max_hops ? TRACE_END_TOO_FAR : TRACE_END_SILENT;
}

void trace_path_report(struct trace_path *p, const struct icmp_episodes *episodes,
                       struct trace_report *out)
{
    size_t count = p->end.ttl ? p->end.ttl : p->highest;

    for (size_t i = 0; i < TRACE_HOPS_MAX; i++) {
        struct trace_hop *h = &p->hops[i];

        h->sent = h->received = h->lost = h->unknown = h->unsent = h->doubtful = 0;
    }
    for (size_t i = 0; i < p->count; i++)
        count_probe(p, &p->probes[i], episodes, &p->hops[p->probes[i].ttl - 1]);
    for (size_t i = 0; i < count; i++) {
        sum_up_rtt(p, (uint8_t)(i + 1), &p->hops[i].rtt);
        p->hops[i].remark = remark_on(p->hops, i, count);
    }
    *out = (struct trace_report){
        .flow = &p->flow,
        .end = end_of(p),
        .send_error = p->send_error,
        .code = p->end.code,
        .hop_count = count,
        .hops = p->hops,
    };
}

void trace_path_destroy(struct trace_path *p)
{
    if (!p)
        return;
    free(p->probes);
    free(p);
}

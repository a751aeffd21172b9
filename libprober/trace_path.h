/*
 * trace_path - what the probes of one trace have told of its path.
 *
 * Purpose    Takes note of each probe that was sent and of each answer, says how far it is worth
 *            probing, and in the end sums up hop by hop. A hop is a TTL: what answers to probes of that
 *            TTL, which can be several routers. The same law as everywhere: sent = received + lost +
 *            unknown. Unknown is a probe without an answer when the answer could have been missed here;
 *            answers that came in such a time leave the loss ratio as well (`doubtful`).
 *
 *            The path ends where the target answers, or else where a router says that it cannot be
 *            reached; both can change while it is watched. Without either, probes go `silent_max` hops
 *            beyond the last hop that answered.
 * Threads    None of its own; one thread owns it.
 * Ownership  Owns its probes and hops. A report borrows them: it is valid until the path is destroyed.
 */
#ifndef LIBPROBER_TRACE_PATH_H
#define LIBPROBER_TRACE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "libprober/icmp_episodes.h"
#include "libprober/trace_packet.h"

#define TRACE_COUNT_MAX 1000
#define TRACE_HOPS_MAX 64 /* times TRACE_COUNT_MAX: within TRACE_NUMBER_MAX */
#define TRACE_RESPONDERS_MAX 8

struct trace_path;

struct trace_limits {
    uint32_t count;      /* probes a hop, 1..TRACE_COUNT_MAX */
    uint8_t max_hops;    /* 1..TRACE_HOPS_MAX */
    uint8_t silent_max;  /* 1..TRACE_HOPS_MAX */
    uint64_t timeout_ns; /* of a probe */
};

/* *limits are in their bounds. NULL for lack of memory. */
struct trace_path *trace_path_create(const struct trace_flow *flow,
                                     const struct trace_limits *limits);
/* The highest TTL that is worth probing. */
uint8_t trace_path_limit(const struct trace_path *p);
/* The number that the next probe bears; 0 when all numbers are used up. */
uint16_t trace_path_next_number(const struct trace_path *p);
/* The probe of that number was sent at sent_ns (monotonic), or refused with this errno (0: sent). */
void trace_path_note_sent(struct trace_path *p, uint8_t ttl, uint64_t sent_ns, int error);
/* An answer that matches the path's flow (see trace_match) to the probe `number`, received at
 * received_ns (monotonic). False when no such probe was sent. */
bool trace_path_take(struct trace_path *p, uint16_t number, const struct trace_answer *answer,
                     const struct prober_addr *from, uint64_t received_ns);
/* Ends the probes whose time was over at now_ns. */
void trace_path_expire(struct trace_path *p, uint64_t now_ns);
/* When the next probe's time will be over; UINT64_MAX when none waits for an answer. */
uint64_t trace_path_deadline_ns(const struct trace_path *p);
/* Whether the end of the path is known. */
bool trace_path_has_end(const struct trace_path *p);

/* ---- reports ---- */

struct trace_responder {
    struct prober_addr address;
    uint32_t answers;   /* in time */
    size_t label_count; /* MPLS, of the latest answer that told any */
    struct trace_label labels[TRACE_LABELS_MAX];
};

struct trace_rtt {
    uint32_t count;
    uint64_t last_ns, min_ns, max_ns, p50_ns, p90_ns, p99_ns;
    double mean_ns, stddev_ns;
};

enum trace_remark {
    TRACE_NO_REMARK,
    TRACE_NEVER_ANSWERS, /* though hops behind it do */
    TRACE_LIMITS_ANSWERS /* loses clearly more answers than a hop behind it: the path is better */
};

struct trace_hop {
    uint32_t sent, received, lost, unknown, unsent;
    uint32_t doubtful; /* of the received */
    uint32_t duplicates, late;
    struct trace_rtt rtt; /* without those that a step of the clock spoilt */
    struct trace_responder
        responders[TRACE_RESPONDERS_MAX]; /* in the order of their first answer */
    size_t responder_count;
    bool has_more_responders;
    bool is_target;      /* the target answered from here */
    bool is_unreachable; /* it was said from here that the target is, */
    uint8_t code;        /* with this code, the last time */
    enum trace_remark remark;
};

/* lost / (received + lost), without the doubtful; negative when there is nothing to tell it by. */
double trace_hop_loss_ratio(const struct trace_hop *h);

enum trace_end {
    TRACE_END_TARGET,      /* the target answered */
    TRACE_END_UNREACHABLE, /* a router says that it cannot be reached */
    TRACE_END_SILENT,      /* nothing answers any more */
    TRACE_END_TOO_FAR,     /* max_hops was not enough */
    TRACE_END_UNSENT       /* no probe could be sent */
};

struct trace_report {
    const struct trace_flow *flow;
    enum trace_end end;
    int send_error; /* errno of the last probe that was not sent; 0 */
    uint8_t code;   /* of TRACE_END_UNREACHABLE */
    size_t hop_count;
    const struct trace_hop *hops; /* [hop_count]; the first is of TTL 1 */
};

/* Sums up. episodes: when answers may have been missed. */
void trace_path_report(struct trace_path *p, const struct icmp_episodes *episodes,
                       struct trace_report *out);
const struct trace_flow *trace_path_flow(const struct trace_path *p);
/* NULL is fine. */
void trace_path_destroy(struct trace_path *p);

#endif

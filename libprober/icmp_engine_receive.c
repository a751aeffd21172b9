#include "libprober/icmp_engine_state.h"

/* How long the end of a lost probe is remembered, to know a late reply. */
#define LINGER_NS (5 * CLOCK_NS_PER_S)
/* Between two draws of the identifier: replies to the one before are still awaited. */
#define REDRAW_NS (ICMP_TIMEOUT_MAX_NS + 2 * CLOCK_NS_PER_S)
#define BATCHES_PER_DRAIN 1024

/* ---- ends of probes and windows ---- */

static uint64_t deadline_of(const struct icmp_flight *f)
{
    return f->timer.due_ns - ICMP_ENGINE_GRACE_NS;
}

static bool is_doubtful(const struct icmp_engine *e, const struct icmp_flight *f)
{
    return icmp_episodes_touch(&e->episodes, f->sent_ns, deadline_of(f));
}

/* An answered probe leaves the loss denominator when, unanswered, it would have been unknown. */
static void doubt_answer(const struct icmp_engine *e, struct icmp_target_window *w,
                         struct icmp_flight *f)
{
    if (f->state != ICMP_FLIGHT_ANSWERED || f->doubtful || !is_doubtful(e, f))
        return;
    f->doubtful = 1;
    w->counts.doubtful++;
}

static void doubt_answers(const struct icmp_engine *e, struct icmp_target_window *w)
{
    if (w->counts.received == 0 || !icmp_episodes_touch(&e->episodes, w->first_ns, UINT64_MAX))
        return;
    for (uint16_t sequence = w->first_sequence;; sequence++) {
        struct icmp_flight *f = icmp_flights_find(e->flights, &w->target->address, sequence);

        if (f && f->target == w->target->slot && f->window == w->number)
            doubt_answer(e, w, f);
        if (sequence == w->last_sequence)
            return;
    }
}

void icmp_engine_end_window(struct icmp_engine *e, struct icmp_target_window *w)
{
    struct icmp_target_state *t = w->target;

    if (w->pending > 0 || (t->scheduled && t->window == w->number))
        return;
    doubt_answers(e, w);
    icmp_target_detach_window(w);
    icmp_round_take(icmp_rounds_find(&e->rounds, w->number), w);
}

struct icmp_station *icmp_engine_station(struct icmp_engine *e, uint8_t family)
{
    for (size_t i = 0; i < ARRAY_LEN(e->stations); i++)
        if (e->stations[i].socket && e->stations[i].family == family)
            return &e->stations[i];
    return NULL;
}

/* Frees a removed target that nothing refers to any more. */
void icmp_engine_free_if_unused(struct icmp_engine *e, struct icmp_target_state *t)
{
    if (!t->told || t->in_wheel || t->flights > 0)
        return;
    e->targets[t->slot] = NULL;
    if (t->slot < e->free_hint)
        e->free_hint = t->slot;
    icmp_caps_leave(e->caps, t->cap);
    free(t);
}

void icmp_engine_release(struct icmp_engine *e, struct icmp_flight *f)
{
    struct icmp_target_state *t = e->targets[f->target];

    icmp_engine_station(e, f->family)->flights--;
    icmp_flights_release(e->flights, f);
    t->flights--;
    icmp_engine_free_if_unused(e, t);
}

static void count_end(struct icmp_engine *e, const struct icmp_flight *f,
                      struct icmp_target_window *w)
{
    if (is_doubtful(e, f))
        w->counts.unknown++;
    else if (f->cause == ICMP_CAUSE_UNREACHABLE)
        w->counts.lost_unreachable++;
    else if (f->cause == ICMP_CAUSE_TTL)
        w->counts.lost_ttl++;
    else
        w->counts.lost_timeout++;
    w->pending--;
    e->open--;
    icmp_engine_end_window(e, w);
}

static void expire_flight(struct icmp_engine *e, struct icmp_flight *f, uint64_t now_ns)
{
    struct icmp_target_window *w = NULL;

    if (f->state == ICMP_FLIGHT_OPEN || is_doubtful(e, f))
        w = icmp_target_find_window(e->targets[f->target], f->window);
    if (f->state != ICMP_FLIGHT_OPEN) {
        if (w)
            doubt_answer(e, w, f);
        icmp_engine_release(e, f);
        return;
    }
    count_end(e, f, w);
    f->state = ICMP_FLIGHT_EXPIRED;
    if (icmp_flights_count(e->flights) > ICMP_ENGINE_FLIGHTS_MAX / 2) {
        icmp_engine_release(e, f);
        return;
    }
    f->timer.due_ns = now_ns + LINGER_NS;
    timer_wheel_add(e->deadlines, &f->timer);
}

/* Flights end in an order that no cache foresees: have the memory of the next ones fetched. */
static void prefetch_flight(const struct icmp_engine *e, struct timer *timer)
{
    const struct icmp_flight *f;

    if (!timer)
        return;
    f = CONTAINER_OF(timer, struct icmp_flight, timer);
    icmp_flights_prefetch(e->flights, f->address, f->sequence);
    __builtin_prefetch((const char *)e->targets[f->target] + 64, 1);
}

void icmp_engine_expire(struct icmp_engine *e, uint64_t now_ns)
{
    struct timer *timer = timer_wheel_take(e->deadlines, now_ns);

    while (timer) {
        struct timer *next = timer->next;

        prefetch_flight(e, next ? next->next : NULL);
        expire_flight(e, CONTAINER_OF(timer, struct icmp_flight, timer), now_ns);
        timer = next;
    }
}

/* ---- clocks and drops ---- */

void icmp_engine_watch_clocks(struct icmp_engine *e, const struct clock_reading *now)
{
    uint64_t last_ns = e->clocks.last_ns;
    struct clock_changes changes = clock_watch_see(&e->clocks, now);

    e->counts.clock_steps += changes.stepped;
    e->counts.suspends += changes.suspended;
    if (changes.stepped || changes.suspended)
        icmp_episodes_note(&e->episodes, last_ns, now->mono_ns);
}

static void watch_drops(struct icmp_engine *e, struct icmp_station *s, uint64_t now_ns)
{
    uint32_t drops = icmp_socket_drops(s->socket), rise = drops - s->drops;

    if (rise > 0) {
        e->counts.receive_drops += rise;
        icmp_episodes_note(&e->episodes, s->drops_ns, now_ns);
    }
    s->drops = drops;
    s->drops_ns = now_ns;
}

static bool same_address(const struct icmp_flight *f, const struct prober_addr *a)
{
    return f->family == a->family && memcmp(f->address, a->bytes, sizeof(f->address)) == 0;
}

/* ---- replies ---- */

/* Another program's replies bear our identifier: take another, so that its replies need not wake
 * our socket. Not again before the replies to the old one have all come. */
static void draw_identifier(struct icmp_engine *e, struct icmp_station *s, uint64_t now_ns)
{
    uint16_t old = s->identifier, drawn;

    if (e->config.identifier || (s->drawn_ns && now_ns - s->drawn_ns < REDRAW_NS))
        return;
    do {
        random_bytes(&drawn, sizeof(drawn));
    } while (drawn == 0 || drawn == s->identifier || drawn == s->previous);
    if (!icmp_socket_set_identifier(s->socket, drawn, old))
        return;
    s->identifier = drawn;
    s->previous = old;
    s->drawn_ns = now_ns;
    e->counts.identifier_changes++;
}

/* The open probe that a reply with a wrong mark could be meant for. */
static struct icmp_target_state *
suspected(const struct icmp_engine *e, const struct icmp_arriving *in, const struct icmp_echo *echo)
{
    struct icmp_flight *f = icmp_flights_find(e->flights, &in->from, echo->sequence);

    return f && f->state == ICMP_FLIGHT_OPEN ? e->targets[f->target] : NULL;
}

static void take_bad_reply(struct icmp_engine *e, struct icmp_station *s,
                           const struct icmp_arriving *in, const struct icmp_echo *echo,
                           enum icmp_reading reading, uint64_t now_ns)
{
    struct icmp_target_state *t = suspected(e, in, echo);

    if (t && reading == ICMP_READ_MARKED) {
        t->bad_replies++;
    } else if (t) {
        t->corrupt_replies++;
    } else if (reading == ICMP_READ_CORRUPT) {
        e->counts.malformed++;
    } else {
        e->counts.foreign_replies++;
        if (echo->identifier == s->identifier)
            draw_identifier(e, s, now_ns);
    }
}

static void take_answer(struct icmp_engine *e, const struct icmp_arriving *in,
                        struct icmp_flight *f, uint64_t now_ns)
{
    struct icmp_target_state *t = e->targets[f->target];
    uint64_t at_ns = now_ns;

    if (in->real_ns)
        at_ns =
            clock_watch_to_mono(&e->clocks, in->real_ns,
                                f->sent_ns > e->drained_ns ? f->sent_ns : e->drained_ns, now_ns);
    if (f->state == ICMP_FLIGHT_ANSWERED) {
        t->duplicates++;
    } else if (f->state == ICMP_FLIGHT_EXPIRED || at_ns > deadline_of(f)) {
        t->late_replies++;
    } else {
        struct icmp_target_window *w = icmp_target_find_window(t, f->window);

        icmp_target_window_answer(w, at_ns > f->sent_ns ? at_ns - f->sent_ns : 0);
        f->state = ICMP_FLIGHT_ANSWERED;
        e->open--;
        icmp_engine_end_window(e, w);
    }
}

/* What a packet says, before it is believed. */
struct reply {
    struct icmp_echo echo;
    enum icmp_reading reading;
    struct icmp_flight *flight; /* in the slot that it names; NULL: none */
};

static void take_reply(struct icmp_engine *e, struct icmp_station *s,
                       const struct icmp_arriving *in, const struct reply *reply, uint64_t now_ns)
{
    const struct icmp_echo *echo = &reply->echo;
    struct icmp_flight *f = reply->flight;
    struct icmp_target_state *t;

    e->counts.packets_received++;
    if (reply->reading == ICMP_READ_MALFORMED) {
        e->counts.malformed++;
        return;
    }
    if (reply->reading != ICMP_READ_MARKED || echo->token != icmp_token(&e->key, &in->from, echo)) {
        take_bad_reply(e, s, in, echo, reply->reading, now_ns);
        return;
    }
    if (!f || f->sequence != echo->sequence || !same_address(f, &in->from) ||
        f->state == ICMP_FLIGHT_BOARDING) {
        e->counts.stray_replies++;
        return;
    }
    t = e->targets[f->target];
    if (in->len - ICMP_HEAD_SIZE != t->pattern_len ||
        memcmp(in->message + ICMP_HEAD_SIZE, e->pattern, t->pattern_len) != 0) {
        t->corrupt_replies++;
        return;
    }
    take_answer(e, in, f, now_ns);
}

static void read_reply(const struct icmp_engine *e, const struct icmp_station *s,
                       const struct icmp_arriving *in, struct reply *out)
{
    out->reading = ICMP_READ_MALFORMED;
    if (in->message)
        out->reading = icmp_read_reply(s->family, in->message, in->len, &out->echo);
    if (out->reading == ICMP_READ_MARKED)
        icmp_flights_prefetch_slot(e->flights, out->echo.slot);
}

static void find_flight(const struct icmp_engine *e, struct reply *r)
{
    r->flight = NULL;
    if (r->reading == ICMP_READ_MARKED)
        r->flight = icmp_flights_get(e->flights, r->echo.slot, r->echo.generation);
    if (r->flight)
        icmp_target_prefetch(e->targets[r->flight->target]);
}

/* Replies name probes in an order that no cache foresees: each step over a batch has the memory
 * fetched that the next one needs. */
static void take_replies(struct icmp_engine *e, struct icmp_station *s,
                         const struct icmp_arriving *arriving, size_t n, uint64_t now_ns)
{
    struct reply replies[ICMP_SOCKET_BATCH];

    for (size_t i = 0; i < n; i++)
        read_reply(e, s, &arriving[i], &replies[i]);
    for (size_t i = 0; i < n; i++)
        find_flight(e, &replies[i]);
    for (size_t i = 0; i < n; i++) {
        if (i + 2 < n && replies[i + 2].flight)
            icmp_target_prefetch_windows(e->targets[replies[i + 2].flight->target]);
        take_reply(e, s, &arriving[i], &replies[i], now_ns);
    }
}

/* ---- the error queue ---- */

static void take_stamp(struct icmp_engine *e, struct icmp_station *s,
                       const struct icmp_event *event, uint64_t now_ns)
{
    const struct stamp_note *note = &s->notes[event->stamp % ICMP_ENGINE_NOTES];
    struct icmp_flight *f;
    uint64_t at_ns;

    if (note->number != event->stamp)
        return;
    f = icmp_flights_get(e->flights, note->slot, note->generation);
    if (!f || f->state != ICMP_FLIGHT_OPEN)
        return;
    at_ns = clock_watch_to_mono(&e->clocks, event->real_ns, f->sent_ns, now_ns);
    /* A number of before the kernel began to count anew names another packet. Our own estimate is no
     * measure here: while we send we may be preempted for any time. */
    if (at_ns + CLOCK_NS_PER_MS >= note->before_ns && at_ns <= now_ns + CLOCK_NS_PER_MS)
        f->sent_ns = at_ns;
}

/* Errors of all programs' probes come here; those that quote too little of ours to hold the mark
 * are matched by address and sequence alone. */
static void take_error(struct icmp_engine *e, struct icmp_station *s,
                       const struct icmp_event *event)
{
    struct icmp_echo echo;
    enum icmp_cause cause = icmp_error_cause(s->family, event->type);
    enum icmp_reading reading = icmp_read_request(s->family, event->quote, event->len, &echo);
    struct icmp_flight *f = NULL;

    if (reading != ICMP_READ_MALFORMED &&
        (echo.identifier == s->identifier || echo.identifier == s->previous))
        f = icmp_flights_find(e->flights, &event->to, echo.sequence);
    if (f && event->len >= ICMP_HEAD_SIZE &&
        (reading != ICMP_READ_MARKED || echo.token != icmp_token(&e->key, &event->to, &echo)))
        f = NULL;
    if (!f || f->state == ICMP_FLIGHT_BOARDING) {
        e->counts.errors_foreign++;
        return;
    }
    e->counts.errors_received++;
    if (cause != ICMP_CAUSE_NONE)
        f->cause = (uint8_t)cause;
}

static void drain_events(struct icmp_engine *e, struct icmp_station *s, uint64_t now_ns)
{
    struct icmp_event events[ICMP_SOCKET_BATCH];
    bool drained = false;

    for (int i = 0; i < BATCHES_PER_DRAIN && !drained; i++) {
        size_t n = icmp_socket_events(s->socket, events, &drained);

        for (size_t k = 0; k < n; k++) {
            if (events[k].is_stamp)
                take_stamp(e, s, &events[k], now_ns);
            else
                take_error(e, s, &events[k]);
        }
    }
}

/* False when replies remain: then nothing may expire. */
static bool drain_replies(struct icmp_engine *e, struct icmp_station *s, uint64_t now_ns)
{
    struct icmp_arriving arriving[ICMP_SOCKET_BATCH];

    for (int i = 0; i < BATCHES_PER_DRAIN; i++) {
        size_t n = icmp_socket_receive(s->socket, arriving);

        take_replies(e, s, arriving, n, now_ns);
        if (n < ICMP_SOCKET_BATCH)
            return true;
    }
    return false;
}

bool icmp_engine_drain(struct icmp_engine *e, uint64_t now_ns)
{
    bool drained = true;

    for (size_t i = 0; i < ARRAY_LEN(e->stations); i++) {
        struct icmp_station *s = &e->stations[i];

        if (s->flights == 0)
            s->watched = false;
        if (!s->watched)
            continue;
        drain_events(e, s, now_ns);
        drained &= drain_replies(e, s, now_ns);
        watch_drops(e, s, now_ns);
    }
    if (drained)
        e->drained_ns = now_ns;
    return drained;
}

/* Before the first probe after a rest: what came or was dropped meanwhile concerns no probe. */
void icmp_engine_begin_watch(struct icmp_engine *e, struct icmp_station *s, uint64_t now_ns)
{
    drain_events(e, s, now_ns);
    drain_replies(e, s, now_ns);
    s->drops = icmp_socket_drops(s->socket);
    s->drops_ns = now_ns;
    s->watched = true;
}

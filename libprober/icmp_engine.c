#include "libprober/icmp_engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/random.h"
#include "libprober/clock_watch.h"
#include "libprober/icmp_caps.h"
#include "libprober/icmp_episodes.h"
#include "libprober/icmp_flight.h"
#include "libprober/icmp_packet.h"
#include "libprober/icmp_rounds.h"
#include "libprober/icmp_socket.h"
#include "libprober/icmp_target.h"
#include "libprober/timer_wheel.h"

#define FLIGHTS_MAX (4u << 20)
/* Later than this is late: for a probe, and for a step. */
#define LATE_NS (10 * CLOCK_NS_PER_MS)
/* While probes are open the sockets are drained this often. */
#define DRAIN_NS (10 * CLOCK_NS_PER_MS)
/* A packet with a timestamp in time may still be on its way into the socket. */
#define EXPIRY_GRACE_NS (2 * CLOCK_NS_PER_MS)
/* How long the end of a lost probe is remembered, to know a late reply. */
#define LINGER_NS (5 * CLOCK_NS_PER_S)
/* Between two draws of the identifier: replies to the one before are still awaited. */
#define REDRAW_NS (ICMP_TIMEOUT_MAX_NS + 2 * CLOCK_NS_PER_S)
#define RECEIVE_BUFFER_DEFAULT (8u << 20)
#define SENDS_PER_STEP 512
#define BATCHES_PER_DRAIN 1024
#define SEQUENCE_TRIES 8
/* User timestamps are interpolated over a slice of a batch: small slices bound what a preemption
 * can spoil. */
#define SLICE_USER 16
/* Transmit timestamps cost a quarter more per packet: above this rate AUTO does without. */
#define KERNEL_STAMPS_MAX_PPS 5000
#define STAMP_NOTES 8192u
#define PATTERN_SIZE 65536

struct stamp_note {
    uint32_t number, slot;
    uint16_t generation;
};

/* What the engine holds for one address family. */
struct station {
    struct icmp_socket *socket; /* NULL: not there */
    enum prober_family family;
    uint16_t identifier, previous;
    uint64_t drawn_ns;   /* when the identifier was drawn again; 0: never */
    bool watched;        /* drained and read at each step */
    uint32_t drops;      /* of the socket, when last read */
    uint64_t drops_ns;   /* when that was */
    uint32_t flights;    /* in any state */
    size_t boarding;     /* in the next batch */
    struct icmp_departure departures[ICMP_SOCKET_BATCH];
    struct icmp_flight *passengers[ICMP_SOCKET_BATCH];
    bool late[ICMP_SOCKET_BATCH];
    struct stamp_note notes[STAMP_NOTES];
};

struct icmp_engine {
    struct icmp_engine_config config;
    struct icmp_sink sink;
    struct station stations[2];
    struct siphash_key key;
    uint16_t checksum; /* of all probes */
    struct clock_watch clocks;
    struct icmp_episodes episodes;
    struct icmp_caps *caps;
    struct icmp_flights *flights;
    struct timer_wheel *deadlines, *pacing;
    struct timer *due; /* targets whose time came, not served yet */
    struct icmp_rounds rounds;
    struct icmp_target_state **targets; /* [slot]; NULL: free */
    uint32_t *generations;              /* [slot] */
    uint32_t slots, free_hint;
    uint64_t *removed; /* handles of targets whose removal is not told yet */
    size_t removed_count, removed_room;
    uint64_t planned;    /* probes a window */
    uint64_t drained_ns; /* monotonic: the sockets were empty */
    uint64_t asked_ns;   /* the next step was asked for then; 0: none yet */
    uint32_t open;       /* probes without an end */
    uint32_t sends_left; /* in this step */
    bool stamps;
    struct icmp_engine_counts counts;
    uint8_t pattern[PATTERN_SIZE];
};

/* ---- targets ---- */

static struct icmp_target_state *target_of(const struct icmp_engine *e, icmp_target_id id)
{
    uint32_t slot = (uint32_t)id - 1;

    if (id == 0 || slot >= e->slots || !e->targets[slot] ||
        e->targets[slot]->generation != (uint32_t)(id >> 32))
        return NULL;
    return e->targets[slot];
}

static icmp_target_id id_of(const struct icmp_target_state *t)
{
    return (uint64_t)t->generation << 32 | (t->slot + 1);
}

static bool grow_slots(struct icmp_engine *e)
{
    uint32_t slots = e->slots ? e->slots * 2 : 64;
    struct icmp_target_state **targets = realloc(e->targets, slots * sizeof(*targets));
    uint32_t *generations;

    if (!targets)
        return false;
    e->targets = targets;
    generations = realloc(e->generations, slots * sizeof(*generations));
    if (!generations)
        return false;
    e->generations = generations;
    memset(targets + e->slots, 0, (slots - e->slots) * sizeof(*targets));
    memset(generations + e->slots, 0, (slots - e->slots) * sizeof(*generations));
    e->free_hint = e->slots;
    e->slots = slots;
    return true;
}

/* Room to tell a removal is taken when a target is added: removing cannot fail. */
static bool grow_removed(struct icmp_engine *e)
{
    size_t room = e->removed_room ? e->removed_room * 2 : 64;
    uint64_t *removed;

    if (e->counts.targets < e->removed_room)
        return true;
    removed = realloc(e->removed, room * sizeof(*removed));
    if (!removed)
        return false;
    e->removed = removed;
    e->removed_room = room;
    return true;
}

static enum prober_error take_slot(struct icmp_engine *e, struct icmp_target_state *t)
{
    uint32_t slot = e->free_hint;

    while (slot < e->slots && e->targets[slot])
        slot++;
    if (slot == e->slots && !grow_slots(e))
        return PROBER_ERR_NOMEM;
    t->slot = slot;
    t->generation = ++e->generations[slot];
    e->targets[slot] = t;
    e->free_hint = slot + 1;
    return PROBER_OK;
}

/* Frees a removed target that nothing refers to any more. */
static void free_if_unused(struct icmp_engine *e, struct icmp_target_state *t)
{
    if (!t->told || t->in_wheel || t->flights > 0)
        return;
    e->targets[t->slot] = NULL;
    if (t->slot < e->free_hint)
        e->free_hint = t->slot;
    icmp_caps_leave(e->caps, t->cap);
    free(t);
}

static uint64_t due_ns(const struct icmp_engine *e, const struct icmp_target_state *t)
{
    return icmp_rounds_start_ns(&e->rounds, t->window) + t->offset_ns + t->index * t->gap_ns;
}

static void plan_next(struct icmp_engine *e, struct icmp_target_state *t)
{
    t->timer.due_ns = due_ns(e, t);
    t->in_wheel = true;
    timer_wheel_add(e->pacing, &t->timer);
}

/* The target has probes to send in the window of this number. */
static void schedule(struct icmp_engine *e, struct icmp_target_state *t, uint32_t number,
                     uint32_t index)
{
    t->window = number;
    t->index = index;
    t->scheduled = true;
    icmp_rounds_find(&e->rounds, number)->scheduled++;
}

static void unschedule(struct icmp_engine *e, struct icmp_target_state *t)
{
    t->scheduled = false;
    icmp_rounds_find(&e->rounds, t->window)->scheduled--;
}

/* The first window of a target that is added to a running engine begins with the probe that is due
 * next. */
static void join(struct icmp_engine *e, struct icmp_target_state *t, uint64_t now_ns)
{
    uint64_t first_ns = icmp_rounds_start_ns(&e->rounds, e->rounds.current) + t->offset_ns;
    uint64_t index = now_ns > first_ns ? (now_ns - first_ns + t->gap_ns - 1) / t->gap_ns : 0;

    if (index < t->count)
        schedule(e, t, e->rounds.current, (uint32_t)index);
    else
        schedule(e, t, e->rounds.current + 1, 0);
    plan_next(e, t);
}

enum prober_error icmp_engine_add(struct icmp_engine *e, const struct icmp_target *target,
                                  const struct clock_reading *now, icmp_target_id *id)
{
    struct icmp_target_state *t = NULL;
    enum prober_error err = PROBER_ERR_STATE;

    if (e->rounds.finishing)
        goto out;
    err = PROBER_ERR_FULL;
    if (e->counts.targets >= ICMP_TARGETS_MAX)
        goto out;
    err = PROBER_ERR_NOMEM;
    t = calloc(1, sizeof(*t));
    if (!t || !grow_removed(e))
        goto out;
    err = icmp_target_set(t, target, e->config.window_ns);
    if (!err)
        err = take_slot(e, t);
    if (err)
        goto out;
    t->cap = icmp_caps_join(e->caps, &t->address);
    e->counts.targets++;
    e->planned += t->count;
    if (e->rounds.started) {
        icmp_rounds_roll(&e->rounds, now->mono_ns);
        join(e, t, now->mono_ns);
    } else {
        schedule(e, t, e->rounds.current, 0);
    }
    *id = id_of(t);
    t = NULL;
out:
    free(t);
    return err;
}

void icmp_engine_set_address(struct icmp_engine *e, icmp_target_id id,
                             const struct prober_addr *address)
{
    struct icmp_target_state *t = target_of(e, id);
    struct icmp_address_cap *old;

    if (!t || t->removed)
        return;
    old = t->cap;
    t->address = prober_addr_unmap(address);
    t->cap = icmp_caps_join(e->caps, &t->address);
    icmp_caps_leave(e->caps, old);
}

/* ---- ends of probes and windows ---- */

static uint64_t deadline_of(const struct icmp_flight *f)
{
    return f->timer.due_ns - EXPIRY_GRACE_NS;
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

static void end_window_if_complete(struct icmp_engine *e, struct icmp_target_window *w)
{
    struct icmp_target_state *t = w->target;

    if (w->pending > 0 || (t->scheduled && t->window == w->number))
        return;
    doubt_answers(e, w);
    icmp_target_detach_window(w);
    icmp_round_take(icmp_rounds_find(&e->rounds, w->number), w);
}

void icmp_engine_remove(struct icmp_engine *e, icmp_target_id id)
{
    struct icmp_target_state *t = target_of(e, id);

    if (!t || t->removed)
        return;
    t->removed = true;
    e->planned -= t->count;
    if (t->scheduled)
        unschedule(e, t);
    for (struct icmp_target_window *w = t->windows, *next; w; w = next) {
        next = w->next;
        end_window_if_complete(e, w);
    }
    e->removed[e->removed_count++] = id_of(t);
}

static struct station *station_of(struct icmp_engine *e, uint8_t family)
{
    for (size_t i = 0; i < ARRAY_LEN(e->stations); i++)
        if (e->stations[i].socket && e->stations[i].family == family)
            return &e->stations[i];
    return NULL;
}

static void release(struct icmp_engine *e, struct icmp_flight *f)
{
    struct icmp_target_state *t = e->targets[f->target];

    station_of(e, f->family)->flights--;
    icmp_flights_release(e->flights, f);
    t->flights--;
    free_if_unused(e, t);
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
    end_window_if_complete(e, w);
}

static void expire_flight(struct icmp_engine *e, struct icmp_flight *f, uint64_t now_ns)
{
    struct icmp_target_window *w =
        icmp_target_find_window(e->targets[f->target], f->window);

    if (f->state != ICMP_FLIGHT_OPEN) {
        if (w)
            doubt_answer(e, w, f);
        release(e, f);
        return;
    }
    count_end(e, f, w);
    f->state = ICMP_FLIGHT_EXPIRED;
    if (icmp_flights_count(e->flights) > FLIGHTS_MAX / 2) {
        release(e, f);
        return;
    }
    f->timer.due_ns = now_ns + LINGER_NS;
    timer_wheel_add(e->deadlines, &f->timer);
}

static void expire(struct icmp_engine *e, uint64_t now_ns)
{
    struct timer *timer = timer_wheel_take(e->deadlines, now_ns);

    while (timer) {
        struct timer *next = timer->next;

        expire_flight(e, CONTAINER_OF(timer, struct icmp_flight, timer), now_ns);
        timer = next;
    }
}

/* ---- clocks and drops ---- */

static void watch_clocks(struct icmp_engine *e, const struct clock_reading *now)
{
    uint64_t last_ns = e->clocks.last_ns;
    struct clock_changes changes = clock_watch_see(&e->clocks, now);

    e->counts.clock_steps += changes.stepped;
    e->counts.suspends += changes.suspended;
    if (changes.stepped || changes.suspended)
        icmp_episodes_note(&e->episodes, last_ns, now->mono_ns);
}

static void watch_drops(struct icmp_engine *e, struct station *s, uint64_t now_ns)
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
static void draw_identifier(struct icmp_engine *e, struct station *s, uint64_t now_ns)
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
static struct icmp_target_state *suspected(const struct icmp_engine *e,
                                           const struct icmp_arriving *in,
                                           const struct icmp_echo *echo)
{
    struct icmp_flight *f = icmp_flights_find(e->flights, &in->from, echo->sequence);

    return f && f->state == ICMP_FLIGHT_OPEN ? e->targets[f->target] : NULL;
}

static void take_bad_reply(struct icmp_engine *e, struct station *s, const struct icmp_arriving *in,
                           const struct icmp_echo *echo, enum icmp_reading reading, uint64_t now_ns)
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
        at_ns = clock_watch_to_mono(&e->clocks, in->real_ns,
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
        end_window_if_complete(e, w);
    }
}

static void take_reply(struct icmp_engine *e, struct station *s, const struct icmp_arriving *in,
                       uint64_t now_ns)
{
    struct icmp_echo echo;
    enum icmp_reading reading =
        in->message ? icmp_read_reply(s->family, in->message, in->len, &echo)
                    : ICMP_READ_MALFORMED;
    struct icmp_target_state *t;
    struct icmp_flight *f;

    e->counts.packets_received++;
    if (reading == ICMP_READ_MALFORMED) {
        e->counts.malformed++;
        return;
    }
    if (reading != ICMP_READ_MARKED || echo.token != icmp_token(&e->key, &in->from, &echo)) {
        take_bad_reply(e, s, in, &echo, reading, now_ns);
        return;
    }
    f = icmp_flights_get(e->flights, echo.slot, echo.generation);
    if (!f || f->sequence != echo.sequence || !same_address(f, &in->from) ||
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

/* ---- the error queue ---- */

static void take_stamp(struct icmp_engine *e, struct station *s, const struct icmp_event *event,
                       uint64_t now_ns)
{
    const struct stamp_note *note = &s->notes[event->stamp % STAMP_NOTES];
    struct icmp_flight *f;
    uint64_t at_ns;

    if (note->number != event->stamp)
        return;
    f = icmp_flights_get(e->flights, note->slot, note->generation);
    if (!f || f->state != ICMP_FLIGHT_OPEN)
        return;
    at_ns = clock_watch_to_mono(&e->clocks, event->real_ns, f->sent_ns, now_ns);
    /* A number of before the kernel began to count anew names another packet. */
    if (at_ns + CLOCK_NS_PER_MS >= f->sent_ns && at_ns <= now_ns + CLOCK_NS_PER_MS)
        f->sent_ns = at_ns;
}

/* Errors of all programs' probes come here; those that quote too little of ours to hold the mark
 * are matched by address and sequence alone. */
static void take_error(struct icmp_engine *e, struct station *s, const struct icmp_event *event)
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

static void drain_events(struct icmp_engine *e, struct station *s, uint64_t now_ns)
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
static bool drain_replies(struct icmp_engine *e, struct station *s, uint64_t now_ns)
{
    struct icmp_arriving arriving[ICMP_SOCKET_BATCH];

    for (int i = 0; i < BATCHES_PER_DRAIN; i++) {
        size_t n = icmp_socket_receive(s->socket, arriving);

        for (size_t k = 0; k < n; k++)
            take_reply(e, s, &arriving[k], now_ns);
        if (n < ICMP_SOCKET_BATCH)
            return true;
    }
    return false;
}

static bool drain(struct icmp_engine *e, uint64_t now_ns)
{
    bool drained = true;

    for (size_t i = 0; i < ARRAY_LEN(e->stations); i++) {
        struct station *s = &e->stations[i];

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
static void begin_watch(struct icmp_engine *e, struct station *s, uint64_t now_ns)
{
    drain_events(e, s, now_ns);
    drain_replies(e, s, now_ns);
    s->drops = icmp_socket_drops(s->socket);
    s->drops_ns = now_ns;
    s->watched = true;
}

/* ---- sending ---- */

static void count_unsent(struct icmp_engine *e, struct icmp_flight *f, int error)
{
    struct icmp_target_window *w =
        icmp_target_find_window(e->targets[f->target], f->window);

    if (error == EAGAIN || error == ENOBUFS || error == ENOMEM)
        w->counts.unsent_queue++;
    else
        w->counts.unsent_local++;
    w->pending--;
    e->open--;
    release(e, f);
    end_window_if_complete(e, w);
}

static void count_sent(struct icmp_engine *e, struct icmp_flight *f, bool late, uint64_t sent_ns)
{
    struct icmp_target_state *t = e->targets[f->target];
    struct icmp_target_window *w = icmp_target_find_window(t, f->window);

    if (w->counts.sent++ == 0) {
        w->first_sequence = f->sequence;
        w->first_ns = sent_ns;
    }
    w->last_sequence = f->sequence;
    w->counts.late_sent += late;
    f->state = ICMP_FLIGHT_OPEN;
    f->sent_ns = sent_ns;
    f->timer.due_ns = sent_ns + t->timeout_ns + EXPIRY_GRACE_NS;
    timer_wheel_add(e->deadlines, &f->timer);
    e->counts.packets_sent++;
}

/* When the i-th of the packets that departed was sent, on the monotonic clock. */
static uint64_t departure_ns(const struct icmp_engine *e, const struct icmp_departed *d, size_t i)
{
    uint64_t before_ns = d->before_ns - e->clocks.real_offset_ns;
    uint64_t apart = before_ns > d->mono_ns ? before_ns - d->mono_ns : d->mono_ns - before_ns;

    /* The wall clock was stepped since the step began: the next one will see it. */
    if (apart > CLOCK_WATCH_STEP_NS || d->after_ns < d->before_ns)
        return d->mono_ns;
    return before_ns + (d->after_ns - d->before_ns) * (2 * i + 1) / (2 * d->count);
}

static void note_stamp(struct station *s, uint32_t number, const struct icmp_flight *f)
{
    s->notes[number % STAMP_NOTES] =
        (struct stamp_note){.number = number, .slot = f->slot, .generation = f->generation};
}

/* Sends n packets from `from` on. What the kernel refuses is unsent, and the rest is tried. */
static void send_slice(struct icmp_engine *e, struct station *s, size_t from, size_t n)
{
    while (n > 0) {
        struct icmp_departed d = icmp_socket_send(s->socket, s->departures + from, n);

        for (size_t i = 0; i < d.count; i++) {
            if (e->stamps)
                note_stamp(s, d.stamp + (uint32_t)i, s->passengers[from + i]);
            count_sent(e, s->passengers[from + i], s->late[from + i], departure_ns(e, &d, i));
        }
        from += d.count;
        n -= d.count;
        if (n > 0) {
            count_unsent(e, s->passengers[from], d.error);
            from++;
            n--;
        }
    }
}

static void depart(struct icmp_engine *e, struct station *s)
{
    size_t slice = e->stamps ? ICMP_SOCKET_BATCH : SLICE_USER, n = s->boarding;

    s->boarding = 0;
    for (size_t from = 0; from < n; from += slice)
        send_slice(e, s, from, n - from < slice ? n - from : slice);
}

/* A flight with a sequence that no other probe to the address has; NULL when there is no room. */
static struct icmp_flight *take_seat(struct icmp_engine *e, struct icmp_target_state *t)
{
    for (int i = 0; i < SEQUENCE_TRIES; i++) {
        struct icmp_flight *f = icmp_flights_acquire(e->flights, &t->address, t->sequence++);

        if (f)
            return f;
    }
    return NULL;
}

static void write_departure(const struct icmp_engine *e, const struct station *s,
                            const struct icmp_target_state *t, const struct icmp_flight *f,
                            struct icmp_departure *out)
{
    struct icmp_echo echo = {
        .identifier = s->identifier,
        .sequence = f->sequence,
        .sender = e->config.sender,
        .slot = f->slot,
        .generation = f->generation,
        .window = (uint16_t)f->window,
    };

    echo.token = icmp_token(&e->key, &t->address, &echo);
    out->to = t->address;
    out->pattern_len = t->pattern_len;
    icmp_write_request(out->head, s->family, &echo, e->checksum, t->pattern_sum);
}

static void board(struct icmp_engine *e, struct station *s, struct icmp_target_window *w, bool late,
                  uint64_t now_ns)
{
    struct icmp_target_state *t = w->target;
    struct icmp_flight *f;

    if (!s->watched)
        begin_watch(e, s, now_ns);
    f = take_seat(e, t);
    if (!f) {
        w->counts.unsent_queue++;
        return;
    }
    f->target = t->slot;
    f->window = w->number;
    t->flights++;
    s->flights++;
    w->pending++;
    e->open++;
    write_departure(e, s, t, f, &s->departures[s->boarding]);
    s->late[s->boarding] = late;
    s->passengers[s->boarding++] = f;
    if (s->boarding == ICMP_SOCKET_BATCH)
        depart(e, s);
}

static void probe(struct icmp_engine *e, struct icmp_target_window *w, bool late, uint64_t now_ns)
{
    struct icmp_target_state *t = w->target;
    struct station *s = station_of(e, t->address.family);

    if (t->address.family == PROBER_FAMILY_NONE)
        w->counts.unsent_name++;
    else if (!s)
        w->counts.unsent_local++;
    else if (!icmp_caps_allow(e->caps, t->cap, now_ns))
        w->counts.unsent_cap++;
    else
        board(e, s, w, late, now_ns);
    e->sends_left -= e->sends_left > 0;
}

static struct icmp_target_window *open_window(struct icmp_engine *e, struct icmp_target_state *t)
{
    struct icmp_target_window *w = icmp_target_find_window(t, t->window);

    if (w)
        return w;
    w = icmp_target_open_window(t);
    if (w)
        icmp_rounds_find(&e->rounds, t->window)->open++;
    return w;
}

/* Sends the probes that are due in the target's window; those that are late by an interval are
 * given up. */
static void send_due(struct icmp_engine *e, struct icmp_target_state *t, uint64_t now_ns)
{
    uint64_t allowed_ns = t->gap_ns > LATE_NS ? t->gap_ns : LATE_NS, at_ns;
    struct icmp_target_window *w;

    /* Lack of memory may have kept the window from beginning. */
    if (t->window - e->rounds.current == 1)
        return;
    while (t->index < t->count && (at_ns = due_ns(e, t)) <= now_ns) {
        w = open_window(e, t);
        if (!w)
            return;
        t->index++;
        if (now_ns - at_ns >= allowed_ns)
            w->counts.unsent_late++;
        else
            probe(e, w, now_ns - at_ns > LATE_NS, now_ns);
    }
}

/* The target's window is over for it: on to the next. */
static void advance(struct icmp_engine *e, struct icmp_target_state *t)
{
    struct icmp_target_window *w = icmp_target_find_window(t, t->window);
    uint32_t next = t->window + 1;

    unschedule(e, t);
    if (w)
        end_window_if_complete(e, w);
    if ((int32_t)(next - e->rounds.current) < 0)
        next = e->rounds.current;
    if (!e->rounds.finishing)
        schedule(e, t, next, 0);
}

static void serve(struct icmp_engine *e, struct icmp_target_state *t, uint64_t now_ns)
{
    t->in_wheel = false;
    if (!t->scheduled) {
        free_if_unused(e, t);
        return;
    }
    send_due(e, t, now_ns);
    if (t->index == t->count)
        advance(e, t);
    if (t->scheduled)
        plan_next(e, t);
}

/* The wheel's order is as good as any, but what was left the last time goes first. */
static void serve_due(struct icmp_engine *e, uint64_t now_ns)
{
    e->sends_left = SENDS_PER_STEP;
    if (!e->due)
        e->due = timer_wheel_take(e->pacing, now_ns);
    while (e->due && e->sends_left > 0) {
        struct timer *timer = e->due;

        e->due = timer->next;
        serve(e, CONTAINER_OF(timer, struct icmp_target_state, timer), now_ns);
    }
    for (size_t i = 0; i < ARRAY_LEN(e->stations); i++)
        if (e->stations[i].boarding > 0)
            depart(e, &e->stations[i]);
}

/* ---- the step ---- */

static void choose_stamps(struct icmp_engine *e)
{
    bool wanted = e->config.timestamps == ICMP_TIMESTAMPS_KERNEL;

    if (e->config.timestamps == ICMP_TIMESTAMPS_AUTO)
        wanted = e->planned <= KERNEL_STAMPS_MAX_PPS * (e->config.window_ns / CLOCK_NS_PER_MS) / 1000;
    if (wanted == e->stamps)
        return;
    e->stamps = wanted;
    for (size_t i = 0; i < ARRAY_LEN(e->stations); i++)
        if (e->stations[i].socket && !icmp_socket_set_stamps(e->stations[i].socket, wanted))
            e->stamps = false;
}

static void start(struct icmp_engine *e, uint64_t now_ns)
{
    icmp_rounds_start(&e->rounds, now_ns);
    for (uint32_t i = 0; i < e->slots; i++)
        if (e->targets[i] && e->targets[i]->scheduled)
            plan_next(e, e->targets[i]);
}

/* Tells the removals whose last windows were handed out. */
static void tell_removed(struct icmp_engine *e)
{
    size_t kept = 0;

    for (size_t i = 0; i < e->removed_count; i++) {
        struct icmp_target_state *t = target_of(e, e->removed[i]);

        if (t->open > 0) {
            e->removed[kept++] = e->removed[i];
            continue;
        }
        e->counts.targets--;
        t->told = true;
        e->sink.removed(e->sink.context, t->user);
        free_if_unused(e, t);
    }
    e->removed_count = kept;
}

/* A target that has done its part of the running window has none in the next. */
void icmp_engine_finish(struct icmp_engine *e)
{
    if (e->rounds.finishing)
        return;
    for (uint32_t i = 0; i < e->slots; i++) {
        struct icmp_target_state *t = e->targets[i];

        if (t && t->scheduled && (int32_t)(t->window - e->rounds.current) > 0)
            unschedule(e, t);
    }
    icmp_rounds_finish(&e->rounds);
}

bool icmp_engine_is_finished(const struct icmp_engine *e)
{
    return e->rounds.finishing && !e->rounds.first && e->removed_count == 0;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_step_ns(const struct icmp_engine *e, bool drained, uint64_t now_ns)
{
    uint64_t next_ns = timer_wheel_next_ns(e->pacing);

    if (e->due || !drained || icmp_engine_is_finished(e))
        return now_ns;
    if (e->open > 0)
        next_ns = sooner(next_ns, sooner(now_ns + DRAIN_NS, timer_wheel_next_ns(e->deadlines)));
    if (!e->rounds.finishing)
        next_ns = sooner(next_ns, icmp_rounds_start_ns(&e->rounds, e->rounds.current + 1));
    return next_ns > now_ns ? next_ns : now_ns;
}

uint64_t icmp_engine_step(struct icmp_engine *e, const struct clock_reading *now)
{
    uint64_t now_ns = now->mono_ns;
    bool drained;

    e->counts.wakeups++;
    e->counts.late_wakeups += e->asked_ns && now_ns > e->asked_ns + LATE_NS;
    watch_clocks(e, now);
    if (!e->rounds.started)
        start(e, now_ns);
    choose_stamps(e);
    drained = drain(e, now_ns);
    if (drained)
        expire(e, now_ns);
    icmp_rounds_roll(&e->rounds, now_ns);
    serve_due(e, now_ns);
    icmp_rounds_hand_out(&e->rounds, &e->sink, now);
    tell_removed(e);
    e->asked_ns = next_step_ns(e, drained, now_ns);
    return e->asked_ns;
}

void icmp_engine_set_sender(struct icmp_engine *e, uint32_t sender)
{
    e->config.sender = sender;
}

void icmp_engine_counts(const struct icmp_engine *e, struct icmp_engine_counts *out)
{
    *out = e->counts;
    out->in_flight = e->open;
}

/* ---- life ---- */

static enum prober_error open_station(struct icmp_engine *e, struct station *s,
                                      enum prober_family family, struct prober_failure *why)
{
    enum prober_error err;
    size_t buffer = e->config.receive_buffer ? e->config.receive_buffer : RECEIVE_BUFFER_DEFAULT;
    uint16_t identifier = (uint16_t)e->config.identifier;

    while (identifier == 0)
        random_bytes(&identifier, sizeof(identifier));
    err = icmp_socket_open(&s->socket, family, identifier, e->config.identifier != 0, buffer,
                           e->pattern, why);
    if (err)
        return err;
    s->family = family;
    s->identifier = s->previous = icmp_socket_identifier(s->socket);
    return PROBER_OK;
}

static enum prober_error open_stations(struct icmp_engine *e, struct prober_failure *why)
{
    struct prober_failure lacking;
    enum prober_error first = PROBER_ERR_UNSUPPORTED, second = PROBER_ERR_UNSUPPORTED;

    if (!e->config.ipv4 && !e->config.ipv6)
        return prober_fail(why, PROBER_ERR_RANGE, "no address family to probe in");
    if (e->config.ipv4)
        first = open_station(e, &e->stations[0], PROBER_FAMILY_IPV4, why);
    if (e->config.ipv6)
        second = open_station(e, &e->stations[1], PROBER_FAMILY_IPV6, first ? why : &lacking);
    return first == PROBER_OK ? PROBER_OK : second;
}

static enum prober_error check_config(const struct icmp_engine_config *config,
                                      struct prober_failure *why)
{
    if (config->window_ns < ICMP_WINDOW_MIN_NS)
        return prober_fail(why, PROBER_ERR_RANGE, "a window is at least a millisecond long");
    if (config->identifier > UINT16_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "an ICMP identifier is 1..65535, not %u",
                           config->identifier);
    return PROBER_OK;
}

static enum prober_error make_parts(struct icmp_engine *e, const struct clock_reading *now)
{
    e->flights = icmp_flights_create(FLIGHTS_MAX);
    e->deadlines = timer_wheel_create(now->mono_ns);
    e->pacing = timer_wheel_create(now->mono_ns);
    e->caps = icmp_caps_create(e->config.packets_per_second_max,
                               e->config.target_packets_per_second_max);
    if (!e->flights || !e->deadlines || !e->pacing || !e->caps)
        return PROBER_ERR_NOMEM;
    clock_watch_start(&e->clocks, now);
    icmp_pattern_fill(e->pattern, PATTERN_SIZE);
    random_bytes(&e->key, sizeof(e->key));
    while (e->checksum == 0 || e->checksum == UINT16_MAX)
        random_bytes(&e->checksum, sizeof(e->checksum));
    return icmp_rounds_create(&e->rounds, e->config.first_window, e->config.window_ns);
}

enum prober_error icmp_engine_create(struct icmp_engine **out,
                                     const struct icmp_engine_config *config,
                                     const struct icmp_sink *sink, const struct clock_reading *now,
                                     struct prober_failure *why)
{
    struct icmp_engine *e = NULL;
    enum prober_error err = check_config(config, why);

    if (err)
        goto out;
    err = PROBER_ERR_NOMEM;
    e = calloc(1, sizeof(*e));
    if (!e)
        goto out;
    e->config = *config;
    e->sink = *sink;
    err = make_parts(e, now);
    if (!err)
        err = open_stations(e, why);
    if (err)
        goto out;
    *out = e;
    e = NULL;
out:
    if (err == PROBER_ERR_NOMEM)
        prober_fail(why, err, "out of memory for the ICMP engine");
    icmp_engine_destroy(e);
    return err;
}

void icmp_engine_destroy(struct icmp_engine *e)
{
    if (!e)
        return;
    for (uint32_t i = 0; i < e->slots; i++) {
        if (e->targets[i])
            icmp_target_free_windows(e->targets[i]);
        free(e->targets[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(e->stations); i++)
        icmp_socket_close(e->stations[i].socket);
    icmp_rounds_destroy(&e->rounds);
    icmp_caps_destroy(e->caps);
    icmp_flights_destroy(e->flights);
    timer_wheel_destroy(e->deadlines);
    timer_wheel_destroy(e->pacing);
    free(e->removed);
    free(e->generations);
    free(e->targets);
    free(e);
}

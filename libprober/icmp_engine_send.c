#include "libprober/icmp_engine_state.h"

#define SENDS_PER_STEP 512
#define SEQUENCE_TRIES 8
/* User timestamps are interpolated over a slice of a batch: small slices bound what a preemption
 * can spoil. */
#define SLICE_USER 16

static uint64_t due_ns(const struct icmp_engine *e, const struct icmp_target_state *t)
{
    return icmp_rounds_start_ns(&e->rounds, t->window) + t->offset_ns + t->index * t->gap_ns;
}

void icmp_engine_plan_next(struct icmp_engine *e, struct icmp_target_state *t)
{
    t->timer.due_ns = due_ns(e, t);
    t->in_wheel = true;
    timer_wheel_add(e->pacing, &t->timer);
}

/* The target has probes to send in the window of this number. */
void icmp_engine_schedule(struct icmp_engine *e, struct icmp_target_state *t, uint32_t number,
                          uint32_t index)
{
    t->window = number;
    t->index = index;
    t->scheduled = true;
    icmp_rounds_find(&e->rounds, number)->scheduled++;
}

void icmp_engine_unschedule(struct icmp_engine *e, struct icmp_target_state *t)
{
    t->scheduled = false;
    icmp_rounds_find(&e->rounds, t->window)->scheduled--;
}

/* ---- sending ---- */

static void count_unsent(struct icmp_engine *e, struct icmp_flight *f, int error)
{
    struct icmp_target_window *w = icmp_target_find_window(e->targets[f->target], f->window);

    if (error == EAGAIN || error == ENOBUFS || error == ENOMEM)
        w->counts.unsent_queue++;
    else
        w->counts.unsent_local++;
    w->pending--;
    e->open--;
    icmp_engine_release(e, f);
    icmp_engine_end_window(e, w);
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
    f->timer.due_ns = sent_ns + t->timeout_ns + ICMP_ENGINE_GRACE_NS;
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
    /* The packet passes the device in the first half of its part: measured, loopback and veth. */
    return before_ns + (d->after_ns - d->before_ns) * (4 * i + 1) / (4 * d->count);
}

static void note_stamp(struct icmp_station *s, uint32_t number, const struct icmp_flight *f,
                       uint64_t before_ns)
{
    s->notes[number % ICMP_ENGINE_NOTES] = (struct stamp_note){.before_ns = before_ns,
                                                               .number = number,
                                                               .slot = f->slot,
                                                               .generation = f->generation};
}

/* Sends n packets from `from` on. What the kernel refuses is unsent, and the rest is tried. */
static void send_slice(struct icmp_engine *e, struct icmp_station *s, size_t from, size_t n)
{
    while (n > 0) {
        struct icmp_departed d = icmp_socket_send(s->socket, s->departures + from, n);

        for (size_t i = 0; i < d.count; i++) {
            if (e->stamps)
                note_stamp(s, d.stamp + (uint32_t)i, s->passengers[from + i],
                           d.before_ns - e->clocks.real_offset_ns);
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

static void depart(struct icmp_engine *e, struct icmp_station *s)
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

static void write_departure(const struct icmp_engine *e, const struct icmp_station *s,
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

static void board(struct icmp_engine *e, struct icmp_station *s, struct icmp_target_window *w,
                  bool late, uint64_t now_ns)
{
    struct icmp_target_state *t = w->target;
    struct icmp_flight *f;

    if (!s->watched)
        icmp_engine_begin_watch(e, s, now_ns);
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
    struct icmp_station *s = icmp_engine_station(e, t->address.family);

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
    uint64_t allowed_ns = t->gap_ns > ICMP_ENGINE_LATE_NS ? t->gap_ns : ICMP_ENGINE_LATE_NS, at_ns;
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
            probe(e, w, now_ns - at_ns > ICMP_ENGINE_LATE_NS, now_ns);
    }
}

/* The target's window is over for it: on to the next. */
static void advance(struct icmp_engine *e, struct icmp_target_state *t)
{
    struct icmp_target_window *w = icmp_target_find_window(t, t->window);
    uint32_t next = t->window + 1;

    icmp_engine_unschedule(e, t);
    if (w)
        icmp_engine_end_window(e, w);
    if ((int32_t)(next - e->rounds.current) < 0)
        next = e->rounds.current;
    if (!e->rounds.finishing)
        icmp_engine_schedule(e, t, next, 0);
}

static void serve(struct icmp_engine *e, struct icmp_target_state *t, uint64_t now_ns)
{
    t->in_wheel = false;
    if (!t->scheduled) {
        icmp_engine_free_if_unused(e, t);
        return;
    }
    send_due(e, t, now_ns);
    if (t->index == t->count)
        advance(e, t);
    if (t->scheduled)
        icmp_engine_plan_next(e, t);
}

/* Targets come up in an order that no cache foresees: have the memory of the next ones fetched. */
static void prefetch_target(const struct timer *timer)
{
    const struct icmp_target_state *t;

    if (!timer)
        return;
    t = CONTAINER_OF(timer, const struct icmp_target_state, timer);
    icmp_target_prefetch(t);
    icmp_target_prefetch_windows(t);
}

static void prefetch_seat(const struct icmp_engine *e, struct timer *timer)
{
    const struct icmp_target_state *t;

    if (!timer)
        return;
    t = CONTAINER_OF(timer, struct icmp_target_state, timer);
    icmp_flights_prefetch(e->flights, t->address.bytes, t->sequence);
}

/* The wheel's order is as good as any, but what was left the last time goes first. */
void icmp_engine_serve_due(struct icmp_engine *e, uint64_t now_ns)
{
    e->sends_left = SENDS_PER_STEP;
    if (!e->due)
        e->due = timer_wheel_take(e->pacing, now_ns);
    while (e->due && e->sends_left > 0) {
        struct timer *timer = e->due;

        e->due = timer->next;
        prefetch_target(timer->next && timer->next->next ? timer->next->next : NULL);
        prefetch_seat(e, timer->next);
        serve(e, CONTAINER_OF(timer, struct icmp_target_state, timer), now_ns);
    }
    for (size_t i = 0; i < ARRAY_LEN(e->stations); i++)
        if (e->stations[i].boarding > 0)
            depart(e, &e->stations[i]);
}

#include "libprober/icmp_engine_state.h"

/* While probes are open the sockets are drained this often. */
#define DRAIN_NS (10 * CLOCK_NS_PER_MS)
/* After so many in one step the next follows at once: over a short path the replies are there, and
 * all that they concern is still in the cache. */
#define SENT_MANY 16
#define RECEIVE_BUFFER_DEFAULT (8u << 20)
/* Transmit timestamps cost a quarter more per packet: above this rate AUTO does without. */
#define KERNEL_STAMPS_MAX_PPS 12000

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
    /* Sequences begin anywhere, so that two engines with one identifier rarely meet. */
    t->sequence = (uint16_t)siphash24(&e->key, &slot, sizeof(slot));
    e->targets[slot] = t;
    e->free_hint = slot + 1;
    return PROBER_OK;
}

/* The first window of a target that is added to a running engine begins with the probe that is due
 * next. */
static void join(struct icmp_engine *e, struct icmp_target_state *t, uint64_t now_ns)
{
    uint64_t first_ns = icmp_rounds_start_ns(&e->rounds, e->rounds.current) + t->offset_ns;
    uint64_t index = now_ns > first_ns ? (now_ns - first_ns + t->gap_ns - 1) / t->gap_ns : 0;

    if (index < t->count)
        icmp_engine_schedule(e, t, e->rounds.current, (uint32_t)index);
    else
        icmp_engine_schedule(e, t, e->rounds.current + 1, 0);
    icmp_engine_plan_next(e, t);
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
        icmp_engine_schedule(e, t, e->rounds.current, 0);
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

void icmp_engine_remove(struct icmp_engine *e, icmp_target_id id)
{
    struct icmp_target_state *t = target_of(e, id);

    if (!t || t->removed)
        return;
    t->removed = true;
    e->planned -= t->count;
    if (t->scheduled)
        icmp_engine_unschedule(e, t);
    for (struct icmp_target_window *w = t->windows, *next; w; w = next) {
        next = w->next;
        icmp_engine_end_window(e, w);
    }
    e->removed[e->removed_count++] = id_of(t);
}

/* ---- the step ---- */

static void choose_stamps(struct icmp_engine *e)
{
    bool wanted = e->config.timestamps == ICMP_TIMESTAMPS_KERNEL;

    if (e->config.timestamps == ICMP_TIMESTAMPS_AUTO)
        wanted =
            e->planned <= KERNEL_STAMPS_MAX_PPS * (e->config.window_ns / CLOCK_NS_PER_MS) / 1000;
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
            icmp_engine_plan_next(e, e->targets[i]);
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
        icmp_engine_free_if_unused(e, t);
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
            icmp_engine_unschedule(e, t);
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

static uint64_t next_step_ns(const struct icmp_engine *e, bool drained, uint64_t sent,
                             uint64_t now_ns)
{
    uint64_t next_ns = timer_wheel_next_ns(e->pacing);

    if (e->due || !drained || sent >= SENT_MANY || icmp_engine_is_finished(e))
        return now_ns;
    if (e->open > 0)
        next_ns = sooner(next_ns, sooner(now_ns + DRAIN_NS, timer_wheel_next_ns(e->deadlines)));
    if (!e->rounds.finishing)
        next_ns = sooner(next_ns, icmp_rounds_start_ns(&e->rounds, e->rounds.current + 1));
    return next_ns > now_ns ? next_ns : now_ns;
}

uint64_t icmp_engine_step(struct icmp_engine *e, const struct clock_reading *now)
{
    uint64_t now_ns = now->mono_ns, sent = e->counts.packets_sent;
    bool drained;

    e->counts.wakeups++;
    e->counts.late_wakeups += e->asked_ns && now_ns > e->asked_ns + ICMP_ENGINE_LATE_NS;
    icmp_engine_watch_clocks(e, now);
    if (!e->rounds.started)
        start(e, now_ns);
    choose_stamps(e);
    drained = icmp_engine_drain(e, now_ns);
    if (drained)
        icmp_engine_expire(e, now_ns);
    icmp_rounds_roll(&e->rounds, now_ns);
    icmp_engine_serve_due(e, now_ns);
    icmp_rounds_hand_out(&e->rounds, &e->sink, now);
    tell_removed(e);
    e->asked_ns = next_step_ns(e, drained, e->counts.packets_sent - sent, now_ns);
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

static enum prober_error open_station(struct icmp_engine *e, struct icmp_station *s,
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
    e->flights = icmp_flights_create(ICMP_ENGINE_FLIGHTS_MAX);
    e->deadlines = timer_wheel_create(now->mono_ns);
    e->pacing = timer_wheel_create(now->mono_ns);
    e->caps =
        icmp_caps_create(e->config.packets_per_second_max, e->config.target_packets_per_second_max);
    if (!e->flights || !e->deadlines || !e->pacing || !e->caps)
        return PROBER_ERR_NOMEM;
    clock_watch_start(&e->clocks, now);
    icmp_pattern_fill(e->pattern, ICMP_ENGINE_PATTERN);
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

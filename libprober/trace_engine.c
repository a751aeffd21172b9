#include "libprober/trace_engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/array.h"
#include "common/random.h"
#include "libprober/clock_watch.h"
#include "libprober/trace_socket.h"

/* A packet with a timestamp in time may still be on its way into the socket. */
#define GRACE_NS (2 * CLOCK_NS_PER_MS)
#define BATCHES_PER_STEP 64
/* A packet that seems to have left later than this after it was sent: the wall clock was set. */
#define SEND_MAX_NS (10 * CLOCK_NS_PER_S)

/* One that runs. */
struct trace {
    struct trace_path *path; /* NULL: the place is free */
    struct trace_mouth *mouth;
    struct trace_target target;
    uint32_t round;    /* from 1 */
    uint8_t next_ttl;  /* in this round */
    uint64_t start_ns; /* of the round */
    bool is_sent;      /* all of it */
};

struct ear {
    struct trace_ear *socket; /* NULL: not needed yet */
    enum prober_family family;
    uint32_t drops;
    uint64_t read_ns; /* monotonic: when drops was read, and the socket was empty */
};

struct trace_engine {
    struct trace_sink sink;
    int epoll;
    uint16_t block, identifiers; /* of ICMP: the first, and how many were given out */
    uint64_t gap_ns;             /* between packets */
    uint64_t send_ns;            /* when the next packet may go */
    size_t turn;                 /* of the trace that may send next */
    size_t running;
    struct clock_watch clocks;
    struct icmp_episodes episodes;
    struct ear ears[2];
    struct trace traces[TRACE_TARGETS_MAX];
    struct trace_engine_counts counts;
};

enum prober_error trace_engine_create(struct trace_engine **out, uint32_t packets_per_second,
                                      const struct trace_sink *sink,
                                      const struct clock_reading *now, struct prober_failure *why)
{
    struct trace_engine *e;
    uint16_t random;

    if (packets_per_second < 1 || packets_per_second > TRACE_RATE_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "a rate is 1 to %d packets a second",
                           TRACE_RATE_MAX);
    e = calloc(1, sizeof(*e));
    if (!e)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (e->epoll < 0) {
        trace_engine_destroy(e);
        return prober_fail(why, PROBER_ERR_IO, "epoll_create1 failed");
    }
    random_bytes(&random, sizeof(random));
    e->block = (uint16_t)((1 + random % (65536 / TRACE_BLOCK - 1)) * TRACE_BLOCK);
    e->gap_ns = CLOCK_NS_PER_S / packets_per_second;
    e->sink = *sink;
    e->ears[0].family = PROBER_FAMILY_IPV4;
    e->ears[1].family = PROBER_FAMILY_IPV6;
    clock_watch_start(&e->clocks, now);
    *out = e;
    return PROBER_OK;
}

int trace_engine_fd(const struct trace_engine *e)
{
    return e->epoll;
}

size_t trace_engine_running(const struct trace_engine *e)
{
    return e->running;
}

void trace_engine_counts(const struct trace_engine *e, struct trace_engine_counts *out)
{
    *out = e->counts;
}

/* ---- adding ---- */

static enum prober_error check(const struct trace_target *t, struct prober_failure *why)
{
    const struct trace_limits *l = &t->limits;

    switch (t->address.family == PROBER_FAMILY_NONE ? PROBER_ADDR_UNSPECIFIED
                                                    : prober_addr_classify(&t->address)) {
    case PROBER_ADDR_UNSPECIFIED:
    case PROBER_ADDR_MULTICAST:
    case PROBER_ADDR_BROADCAST:
        return prober_fail(why, PROBER_ERR_RANGE, "not the address of a single host");
    default:
        break;
    }
    if (l->count < 1 || l->count > TRACE_COUNT_MAX || l->max_hops < 1 ||
        l->max_hops > TRACE_HOPS_MAX || l->silent_max < 1 || l->silent_max > TRACE_HOPS_MAX ||
        l->timeout_ns < CLOCK_NS_PER_MS || l->timeout_ns > TRACE_TIMEOUT_MAX_NS ||
        (t->protocol == TRACE_UDP && t->port == 0))
        return prober_fail(why, PROBER_ERR_RANGE, "a limit of the trace is out of its range");
    return PROBER_OK;
}

static enum prober_error open_ear(struct trace_engine *e, enum prober_family family,
                                  const struct clock_reading *now, struct prober_failure *why)
{
    struct ear *ear = &e->ears[family == PROBER_FAMILY_IPV6];
    struct epoll_event event = {.events = EPOLLIN};
    enum prober_error err;

    if (ear->socket)
        return PROBER_OK;
    err = trace_ear_open(&ear->socket, family, e->block, why);
    if (err)
        return err;
    if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, trace_ear_fd(ear->socket), &event)) {
        trace_ear_close(ear->socket);
        ear->socket = NULL;
        return prober_fail(why, PROBER_ERR_IO, "epoll_ctl failed");
    }
    ear->drops = trace_ear_drops(ear->socket);
    ear->read_ns = now->mono_ns;
    return PROBER_OK;
}

static struct trace *free_place(struct trace_engine *e)
{
    for (size_t i = 0; i < TRACE_TARGETS_MAX; i++)
        if (!e->traces[i].path)
            return &e->traces[i];
    return NULL;
}

static struct trace_flow make_flow(struct trace_engine *e, const struct trace_target *target)
{
    struct trace_flow flow = {
        .protocol = target->protocol,
        .target = target->address,
        .port = target->port,
        .identifier = (uint16_t)(e->block + e->identifiers++ % TRACE_BLOCK),
    };
    uint16_t random;

    random_bytes(&flow.key, sizeof(flow.key));
    random_bytes(&random, sizeof(random));
    flow.checksum = (uint16_t)(1 + random % 0xfffe);
    return flow;
}

enum prober_error trace_engine_add(struct trace_engine *e, const struct trace_target *target,
                                   const struct clock_reading *now, struct prober_failure *why)
{
    struct trace *t = free_place(e);
    struct trace_target unmapped = *target;
    struct trace_flow flow;
    enum prober_error err;

    unmapped.address = prober_addr_unmap(&target->address);
    err = check(&unmapped, why);
    if (!err && !t)
        err =
            prober_fail(why, PROBER_ERR_FULL, "at most %d traces run at a time", TRACE_TARGETS_MAX);
    if (!err)
        err = open_ear(e, (enum prober_family)unmapped.address.family, now, why);
    if (err)
        return err;
    flow = make_flow(e, &unmapped);
    *t = (struct trace){.target = unmapped, .round = 1, .next_ttl = 1, .start_ns = now->mono_ns};
    err = trace_mouth_open(&t->mouth, &flow, why);
    if (err)
        return err;
    t->path = trace_path_create(&flow, &unmapped.limits);
    if (!t->path) {
        trace_mouth_close(t->mouth);
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory for a trace");
    }
    e->running++;
    return PROBER_OK;
}

/* ---- receiving ---- */

static void watch_clocks(struct trace_engine *e, const struct clock_reading *now)
{
    uint64_t before_ns = e->clocks.last_ns;
    const struct clock_changes changes = clock_watch_see(&e->clocks, now);

    if (changes.stepped || changes.suspended)
        icmp_episodes_note(&e->episodes, before_ns, now->mono_ns);
}

static void take(struct trace_engine *e, const struct ear *ear, const struct trace_arriving *a,
                 uint64_t now_ns)
{
    uint64_t received_ns = now_ns, floor_ns = ear->read_ns > GRACE_NS ? ear->read_ns - GRACE_NS : 0;
    struct trace_answer answer;

    trace_read_answer(ear->family, a->message, a->len, &answer);
    if (a->real_ns)
        received_ns = clock_watch_to_mono(&e->clocks, a->real_ns, floor_ns, now_ns);
    for (size_t i = 0; i < TRACE_TARGETS_MAX; i++) {
        struct trace *t = &e->traces[i];
        uint16_t number;

        if (!t->path || t->target.address.family != ear->family)
            continue;
        number = trace_match(trace_path_flow(t->path), &answer);
        if (number && answer.message == TRACE_ECHO_REPLY &&
            !prober_addr_equal(&a->from, &t->target.address))
            continue;
        if (number && trace_path_take(t->path, number, &answer, &a->from, received_ns)) {
            e->counts.received++;
            return;
        }
    }
    e->counts.foreign++;
}

/* False when something remains: then nothing may expire. */
static bool drain(struct trace_engine *e, struct ear *ear, uint64_t now_ns)
{
    struct trace_arriving list[TRACE_EAR_BATCH];
    uint32_t drops;
    size_t n = 1;

    for (int batch = 0; batch < BATCHES_PER_STEP && n > 0; batch++) {
        n = trace_ear_receive(ear->socket, list);
        for (size_t i = 0; i < n; i++)
            take(e, ear, &list[i], now_ns);
    }
    drops = trace_ear_drops(ear->socket);
    if (drops != ear->drops) {
        e->counts.drops += drops - ear->drops;
        icmp_episodes_note(&e->episodes, ear->read_ns, now_ns);
    }
    ear->drops = drops;
    if (n > 0)
        return false;
    ear->read_ns = now_ns;
    return true;
}

static bool drain_all(struct trace_engine *e, uint64_t now_ns)
{
    bool drained = true;

    for (size_t i = 0; i < ARRAY_LEN(e->ears); i++)
        if (e->ears[i].socket)
            drained = drain(e, &e->ears[i], now_ns) && drained;
    return drained;
}

/* ---- sending ---- */

/* Whether the end of the path is still being looked for, by probes on their way. */
static bool is_searching(const struct trace *t)
{
    return t->round == 1 && !trace_path_has_end(t->path) &&
           trace_path_deadline_ns(t->path) != UINT64_MAX;
}

/* Goes on to the next round if it is time. Returns when this trace wants to send: now_ns or before, if it
 * is now; UINT64_MAX: an answer or a deadline comes first. */
static uint64_t wants_to_send_ns(struct trace *t, uint64_t now_ns)
{
    if (!t->path || t->is_sent)
        return UINT64_MAX;
    if (t->next_ttl <= trace_path_limit(t->path))
        return t->start_ns;
    if (is_searching(t))
        return UINT64_MAX;
    if (t->round == t->target.limits.count) {
        t->is_sent = true;
        return UINT64_MAX;
    }
    if (now_ns < t->start_ns + t->target.interval_ns)
        return t->start_ns + t->target.interval_ns;
    t->start_ns = now_ns;
    t->round++;
    t->next_ttl = 1;
    return t->start_ns;
}

/* When a packet left, on the monotonic clock. If the wall clock was set just then, nobody can say how
 * long its answer takes. */
static uint64_t departure_ns(struct trace_engine *e, uint64_t real_ns, uint64_t now_ns)
{
    uint64_t sent_ns = clock_watch_to_mono(&e->clocks, real_ns, now_ns, now_ns);

    if (sent_ns + CLOCK_WATCH_STEP_NS >= now_ns && sent_ns <= now_ns + SEND_MAX_NS)
        return sent_ns;
    icmp_episodes_note(&e->episodes, now_ns, now_ns);
    return now_ns;
}

static void send_next(struct trace_engine *e, struct trace *t, uint64_t now_ns)
{
    uint16_t number = trace_path_next_number(t->path);
    uint8_t packet[TRACE_PACKET_SIZE];
    uint64_t real_ns, sent_ns = now_ns;
    int error;

    trace_write_probe(packet, trace_path_flow(t->path), number);
    error = trace_mouth_send(t->mouth, t->next_ttl, packet, &real_ns);
    if (!error) {
        e->counts.sent++;
        sent_ns = departure_ns(e, real_ns, now_ns);
    }
    trace_path_note_sent(t->path, t->next_ttl, sent_ns, error);
    t->next_ttl++;
}

/* Sends one packet at most: so they go at an even pace also after a pause. */
static uint64_t send_due(struct trace_engine *e, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = 0; i < TRACE_TARGETS_MAX; i++) {
        size_t at = (e->turn + i) % TRACE_TARGETS_MAX;
        uint64_t wanted_ns = wants_to_send_ns(&e->traces[at], now_ns);

        if (wanted_ns <= now_ns && now_ns >= e->send_ns) {
            send_next(e, &e->traces[at], now_ns);
            e->turn = at + 1;
            e->send_ns = now_ns + e->gap_ns;
            return e->send_ns;
        }
        if (wanted_ns < e->send_ns)
            wanted_ns = e->send_ns;
        if (wanted_ns < next_ns)
            next_ns = wanted_ns;
    }
    return next_ns;
}

/* ---- ends ---- */

static void clear(struct trace *t)
{
    trace_mouth_close(t->mouth);
    trace_path_destroy(t->path);
    *t = (struct trace){0};
}

static void finish(struct trace_engine *e, struct trace *t)
{
    struct trace ended = *t;
    struct trace_report report;

    *t = (struct trace){0};
    e->running--;
    trace_path_report(ended.path, &e->episodes, &report);
    e->sink.done(e->sink.context, ended.target.user, &report);
    clear(&ended);
}

/* Ends the traces whose last probe has ended. Returns when the next probe's time will be over. */
static uint64_t end_due(struct trace_engine *e)
{
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = 0; i < TRACE_TARGETS_MAX; i++) {
        struct trace *t = &e->traces[i];
        uint64_t deadline_ns;

        if (!t->path)
            continue;
        deadline_ns = trace_path_deadline_ns(t->path);
        if (deadline_ns == UINT64_MAX && t->is_sent)
            finish(e, t);
        else if (deadline_ns != UINT64_MAX && deadline_ns + GRACE_NS + 1 < next_ns)
            next_ns = deadline_ns + GRACE_NS + 1;
    }
    return next_ns;
}

uint64_t trace_engine_step(struct trace_engine *e, const struct clock_reading *now)
{
    uint64_t send_ns, end_ns;
    bool drained;

    watch_clocks(e, now);
    drained = drain_all(e, now->mono_ns);
    for (size_t i = 0; i < TRACE_TARGETS_MAX && drained; i++)
        if (e->traces[i].path && now->mono_ns > GRACE_NS)
            trace_path_expire(e->traces[i].path, now->mono_ns - GRACE_NS);
    send_ns = send_due(e, now->mono_ns);
    end_ns = end_due(e);
    if (!drained)
        return now->mono_ns;
    return send_ns < end_ns ? send_ns : end_ns;
}

void trace_engine_stop(struct trace_engine *e)
{
    for (size_t i = 0; i < TRACE_TARGETS_MAX; i++)
        e->traces[i].is_sent = true;
}

void trace_engine_destroy(struct trace_engine *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < TRACE_TARGETS_MAX; i++)
        clear(&e->traces[i]);
    for (size_t i = 0; i < ARRAY_LEN(e->ears); i++)
        trace_ear_close(e->ears[i].socket);
    if (e->epoll >= 0)
        close(e->epoll);
    free(e);
}

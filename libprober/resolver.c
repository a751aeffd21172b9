#include "libprober/resolver.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <arpa/nameser.h>

#include "common/array.h"
#include "common/clock.h"

#define TIMEOUT_DEFAULT_NS (3 * CLOCK_NS_PER_S)
#define NAME_MAX_LEN 253
#define LABEL_MAX_LEN 63
#define ANSWER_ADDRESSES_MAX 64
#define EVENTS_AT_ONCE 16

struct lookup;

/* c-ares turns to the next server when one fails or refuses, and tells in the end only that none
 * answered. So what went wrong is asked once more, of a channel that takes such replies. */
enum channel { CHANNEL_PATIENT, CHANNEL_FRANK, CHANNEL_COUNT };

/* One question of a lookup: the addresses of one family. */
struct leg {
    struct lookup *lookup;
    int family;           /* AF_INET or AF_INET6 */
    enum channel channel; /* that it was asked of last */
    bool ended;
    enum resolver_status status;
    struct prober_addr shown[RESOLVER_SHOWN_MAX];
    size_t count;
};

struct lookup {
    struct resolver *owner;
    struct lookup *prev, *next; /* in the waiting or the flying list */
    resolver_done done;
    void *context;
    uint64_t started_ns, deadline_ns;
    struct leg legs[2]; /* the preferred family first */
    unsigned leg_count;
    unsigned holds; /* questions that c-ares still has, and start_lookup while it runs */
    bool answered;  /* `done` was called: it waits for c-ares to let go */
    char name[];
};

struct lookups {
    struct lookup *first, *last;
};

struct resolver {
    ares_channel channels[CHANNEL_COUNT];
    int epoll_fd;
    char *servers;    /* NULL: the system's */
    struct stat conf; /* of resolv.conf when the channels were made */
    uint64_t timeout_ns;
    uint64_t now_ns;         /* the latest that a call gave */
    struct lookups waiting;  /* not asked yet */
    struct lookups flying;   /* asked, by deadline */
    struct lookups answered; /* c-ares still has a question of theirs */
    size_t flights;          /* of flying and answered */
    bool closing;
};

static const char resolv_conf_path[] = "/etc/resolv.conf";

const char *resolver_status_text(enum resolver_status status)
{
    static const char *const texts[] = {
        [RESOLVER_OK] = "ok",
        [RESOLVER_NXDOMAIN] = "nxdomain",
        [RESOLVER_NODATA] = "nodata",
        [RESOLVER_TIMEOUT] = "timeout",
        [RESOLVER_SERVFAIL] = "servfail",
        [RESOLVER_REFUSED] = "refused",
        [RESOLVER_BAD_NAME] = "bad_name",
        [RESOLVER_CANCELLED] = "cancelled",
    };

    return (unsigned)status < RESOLVER_STATUS_COUNT ? texts[status] : "unknown";
}

static void lookups_append(struct lookups *list, struct lookup *l)
{
    l->prev = list->last;
    l->next = NULL;
    *(list->last ? &list->last->next : &list->first) = l;
    list->last = l;
}

static void lookups_remove(struct lookups *list, struct lookup *l)
{
    *(l->prev ? &l->prev->next : &list->first) = l->next;
    *(l->next ? &l->next->prev : &list->last) = l->prev;
}

static enum resolver_status status_of_ares(int status)
{
    static const struct {
        int ares;
        enum resolver_status status;
    } table[] = {
        {ARES_SUCCESS, RESOLVER_OK},
        {ARES_ENOTFOUND, RESOLVER_NXDOMAIN},
        {ARES_ENODATA, RESOLVER_NODATA},
        {ARES_ETIMEOUT, RESOLVER_TIMEOUT},
        {ARES_EREFUSED, RESOLVER_REFUSED},
        {ARES_ECONNREFUSED, RESOLVER_REFUSED},
        {ARES_EBADNAME, RESOLVER_BAD_NAME},
        {ARES_ECANCELLED, RESOLVER_CANCELLED},
        {ARES_EDESTRUCTION, RESOLVER_CANCELLED},
        {ARES_ENOMEM, RESOLVER_CANCELLED},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].ares == status)
            return table[i].status;
    return RESOLVER_SERVFAIL;
}

/* ---- lookups that were asked ---- */

static void release(struct lookup *l)
{
    if (--l->holds > 0 || !l->answered)
        return;
    lookups_remove(&l->owner->answered, l);
    l->owner->flights--;
    free(l);
}

static void answer(struct lookup *l, enum resolver_status status, const struct leg *leg)
{
    struct resolver_answer a = {.status = status, .elapsed_ns = l->owner->now_ns - l->started_ns};

    if (leg) {
        memcpy(a.shown, leg->shown, sizeof(a.shown));
        a.address = a.shown[0];
        a.count = leg->count;
    }
    l->answered = true;
    l->holds++;
    lookups_remove(&l->owner->flying, l);
    lookups_append(&l->owner->answered, l);
    l->done(l->context, &a);
    release(l);
}

/* What two questions without an address come to: a failure outweighs a "no". */
static enum resolver_status combined_status(const struct lookup *l)
{
    enum resolver_status status = RESOLVER_NXDOMAIN;

    for (unsigned i = 0; i < l->leg_count; i++) {
        enum resolver_status s = l->legs[i].status;

        if (s != RESOLVER_NXDOMAIN && s != RESOLVER_NODATA)
            return s;
        if (s == RESOLVER_NODATA)
            status = s;
    }
    return status;
}

/* The best answer so far, NULL without one. */
static const struct leg *best_leg(const struct lookup *l)
{
    for (unsigned i = 0; i < l->leg_count; i++)
        if (l->legs[i].ended && l->legs[i].status == RESOLVER_OK)
            return &l->legs[i];
    return NULL;
}

static void answer_if_known(struct lookup *l)
{
    const struct leg *best = best_leg(l);
    bool all = l->legs[0].ended && (l->leg_count < 2 || l->legs[1].ended);

    if (all || best == &l->legs[0])
        answer(l, best ? RESOLVER_OK : combined_status(l), best);
}

static void answer_in_time(struct lookup *l)
{
    const struct leg *best = best_leg(l);

    answer(l, best ? RESOLVER_OK : RESOLVER_TIMEOUT, best);
}

static struct prober_addr address_of(int family, const void *bytes)
{
    struct prober_addr a = {.family = family == AF_INET ? PROBER_FAMILY_IPV4 : PROBER_FAMILY_IPV6};

    memcpy(a.bytes, bytes, family == AF_INET ? 4 : 16);
    return a;
}

static void read_addresses(struct leg *leg, const unsigned char *bytes, int len)
{
    struct ares_addrttl v4[ANSWER_ADDRESSES_MAX];
    struct ares_addr6ttl v6[ANSWER_ADDRESSES_MAX];
    int n = ANSWER_ADDRESSES_MAX, status;

    if (leg->family == AF_INET)
        status = ares_parse_a_reply(bytes, len, NULL, v4, &n);
    else
        status = ares_parse_aaaa_reply(bytes, len, NULL, v6, &n);
    if (status == ARES_SUCCESS && n <= 0)
        status = ARES_ENODATA; /* an alias that leads to nothing */
    leg->status = status_of_ares(status);
    if (leg->status != RESOLVER_OK)
        return;
    leg->count = (size_t)n;
    for (size_t i = 0; i < leg->count && i < RESOLVER_SHOWN_MAX; i++)
        leg->shown[i] = leg->family == AF_INET ? address_of(AF_INET, &v4[i].ipaddr)
                                               : address_of(AF_INET6, &v6[i].ip6addr);
}

static void on_reply(void *arg, int status, int timeouts, unsigned char *bytes, int len);

static void ask(struct leg *leg, enum channel channel)
{
    struct resolver *r = leg->lookup->owner;
    int type = leg->family == AF_INET ? ns_t_a : ns_t_aaaa;

    leg->channel = channel;
    leg->lookup->holds++;
    ares_search(r->channels[channel], leg->lookup->name, ns_c_in, type, on_reply, leg);
}

static void on_reply(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    struct leg *leg = arg;
    struct lookup *l = leg->lookup;

    (void)timeouts;
    if (status == ARES_ECONNREFUSED && leg->channel == CHANNEL_PATIENT && !l->answered) {
        ask(leg, CHANNEL_FRANK);
        release(l);
        return;
    }
    leg->ended = true;
    leg->status = status_of_ares(status);
    if (leg->status == RESOLVER_OK)
        read_addresses(leg, bytes, len);
    if (!l->answered)
        answer_if_known(l);
    release(l);
}

/* ---- the channel ---- */

static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = data;
    struct epoll_event ev = {.data.fd = fd};

    ev.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    if (!ev.events)
        epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    else if (epoll_ctl(r->epoll_fd, EPOLL_CTL_MOD, fd, &ev) < 0 && errno == ENOENT)
        epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static enum prober_error open_channel(struct resolver *r, enum channel which, ares_channel *channel,
                                      struct prober_failure *why)
{
    char lookups[] = "b";
    struct ares_options options = {
        .flags = which == CHANNEL_FRANK ? ARES_FLAG_NOCHECKRESP : 0,
        /* Each server gets a third of the time, then all get what is left, doubled. */
        .timeout = (int)(r->timeout_ns / 3 / CLOCK_NS_PER_MS) + 1,
        .tries = 2,
        .socket_receive_buffer_size = 1 << 20,
        .lookups = lookups,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = r,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB;
    int status = ares_init_options(channel, &options, mask);

    if (status != ARES_SUCCESS) {
        *channel = NULL;
        return prober_fail(why, status == ARES_ENOMEM ? PROBER_ERR_NOMEM : PROBER_ERR_IO,
                           "cannot set up name resolution: %s", ares_strerror(status));
    }
    if (r->servers && ares_set_servers_ports_csv(*channel, r->servers) != ARES_SUCCESS)
        return prober_fail(why, PROBER_ERR_SYNTAX, "malformed list of DNS servers '%s'",
                           r->servers);
    return PROBER_OK;
}

/* Calls back for each question that is open. */
static void close_channels(ares_channel channels[CHANNEL_COUNT])
{
    for (unsigned i = 0; i < CHANNEL_COUNT; i++)
        if (channels[i])
            ares_destroy(channels[i]);
}

/* Makes the channels, of which there are none or which are idle; on error those stay. */
static enum prober_error open_channels(struct resolver *r, struct prober_failure *why)
{
    ares_channel made[CHANNEL_COUNT] = {0};
    enum prober_error err = PROBER_OK;

    for (unsigned i = 0; i < CHANNEL_COUNT && !err; i++)
        err = open_channel(r, (enum channel)i, &made[i], why);
    if (!err) {
        close_channels(r->channels);
        memcpy(r->channels, made, sizeof(made));
    } else {
        close_channels(made);
    }
    return err;
}

/* Takes up a changed resolv.conf, when nothing is open. */
static void refresh_channels(struct resolver *r)
{
    struct stat conf = {0};

    if (r->servers || r->flights > 0)
        return;
    (void)!stat(resolv_conf_path, &conf);
    if (conf.st_ino == r->conf.st_ino && conf.st_mtim.tv_sec == r->conf.st_mtim.tv_sec &&
        conf.st_mtim.tv_nsec == r->conf.st_mtim.tv_nsec)
        return;
    if (open_channels(r, NULL) == PROBER_OK)
        r->conf = conf;
}

enum prober_error resolver_create(struct resolver **out, const struct resolver_config *config,
                                  struct prober_failure *why)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct resolver *r = calloc(1, sizeof(*r));

    if (!r)
        goto out;
    r->timeout_ns = config && config->timeout_ns ? config->timeout_ns : TIMEOUT_DEFAULT_NS;
    if (r->timeout_ns > 3600 * CLOCK_NS_PER_S)
        r->timeout_ns = 3600 * CLOCK_NS_PER_S;
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (r->epoll_fd < 0) {
        err = prober_fail(why, PROBER_ERR_IO, "cannot make an epoll set: %s", strerror(errno));
        goto out;
    }
    if (config && config->servers && !(r->servers = strdup(config->servers)))
        goto out;
    (void)!stat(resolv_conf_path, &r->conf);
    err = open_channels(r, why);
    if (err)
        goto out;
    *out = r;
    r = NULL;
out:
    if (err == PROBER_ERR_NOMEM)
        prober_fail(why, err, "out of memory for name resolution");
    resolver_destroy(r);
    return err;
}

/* ---- asking ---- */

static bool label_is_valid(const char *label, size_t len, bool last)
{
    size_t digits = 0;

    for (size_t i = 0; i < len; i++) {
        char c = label[i];
        bool digit = c >= '0' && c <= '9';

        if (!digit && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '-' && c != '_')
            return false;
        digits += digit;
    }
    return len > 0 && len <= LABEL_MAX_LEN && (!last || digits < len);
}

static bool name_is_valid(const char *name)
{
    size_t len = strlen(name), n;
    const char *end = name + len - (len > 0 && name[len - 1] == '.');

    if (end == name || end - name > NAME_MAX_LEN)
        return false;
    for (;; name += n + 1) {
        n = strcspn(name, ".");
        if (!label_is_valid(name, n, name + n == end))
            return false;
        if (name + n == end)
            return true;
    }
}

static bool find_in_hosts(struct resolver *r, const char *name, int family,
                          struct resolver_answer *a)
{
    struct hostent *host = NULL;
    bool found = false;

    if (ares_gethostbyname_file(r->channels[CHANNEL_PATIENT], name, family, &host) != ARES_SUCCESS)
        return false;
    if (host->h_addr_list[0] && host->h_length == (family == AF_INET ? 4 : 16)) {
        a->status = RESOLVER_OK;
        for (; host->h_addr_list[a->count]; a->count++)
            if (a->count < RESOLVER_SHOWN_MAX)
                a->shown[a->count] = address_of(family, host->h_addr_list[a->count]);
        a->address = a->shown[0];
        found = true;
    }
    ares_free_hostent(host);
    return found;
}

static void start_lookup(struct resolver *r, struct lookup *l)
{
    refresh_channels(r);
    l->started_ns = r->now_ns;
    l->deadline_ns = r->now_ns + r->timeout_ns;
    lookups_append(&r->flying, l);
    r->flights++;
    l->holds = 1;
    for (unsigned i = 0; i < l->leg_count; i++)
        ask(&l->legs[i], CHANNEL_PATIENT);
    release(l);
}

static void start_waiting(struct resolver *r)
{
    while (r->waiting.first && r->flights < RESOLVER_FLIGHTS_MAX) {
        struct lookup *l = r->waiting.first;

        lookups_remove(&r->waiting, l);
        start_lookup(r, l);
    }
}

static struct lookup *make_lookup(struct resolver *r, const char *name, const int *families,
                                  unsigned family_count)
{
    size_t len = strlen(name) + 1;
    struct lookup *l = calloc(1, sizeof(*l) + len);

    if (!l)
        return NULL;
    l->owner = r;
    l->leg_count = family_count;
    for (unsigned i = 0; i < family_count; i++) {
        l->legs[i].lookup = l;
        l->legs[i].family = families[i];
    }
    memcpy(l->name, name, len);
    return l;
}

/* Fills *a when the answer needs no server. */
static bool is_known_at_once(struct resolver *r, const char *name, const int *families,
                             unsigned family_count, struct resolver_answer *a)
{
    a->status = RESOLVER_BAD_NAME;
    if (prober_addr_parse(name, &a->address) == PROBER_OK) {
        bool six = a->address.family == PROBER_FAMILY_IPV6;
        bool wanted = family_count > 1 || six == (families[0] == AF_INET6);

        a->status = wanted ? RESOLVER_OK : RESOLVER_NODATA;
        a->count = wanted;
        a->shown[0] = a->address;
        return true;
    }
    if (!name_is_valid(name))
        return true;
    for (unsigned i = 0; i < family_count; i++)
        if (find_in_hosts(r, name, families[i], a))
            return true;
    return false;
}

static void pass_time(struct resolver *r, uint64_t now_ns)
{
    if (now_ns > r->now_ns)
        r->now_ns = now_ns;
}

void resolver_lookup(struct resolver *r, const char *name, enum prober_family preferred,
                     bool strict, uint64_t now_ns, resolver_done done, void *context)
{
    static const int orders[2][2] = {{AF_INET, AF_INET6}, {AF_INET6, AF_INET}};
    const int *families = orders[preferred == PROBER_FAMILY_IPV6];
    unsigned family_count = strict ? 1 : 2;
    struct resolver_answer a = {0};
    struct lookup *l = NULL;

    pass_time(r, now_ns);
    if (!is_known_at_once(r, name, families, family_count, &a)) {
        a.status = RESOLVER_CANCELLED;
        l = r->closing ? NULL : make_lookup(r, name, families, family_count);
    }
    if (!l) {
        done(context, &a);
        return;
    }
    l->done = done;
    l->context = context;
    lookups_append(&r->waiting, l);
    start_waiting(r);
}

int resolver_fd(const struct resolver *r)
{
    return r->epoll_fd;
}

static uint64_t next_call(struct resolver *r)
{
    uint64_t next = r->flying.first ? r->flying.first->deadline_ns : UINT64_MAX, at;
    struct timeval tv;

    for (unsigned i = 0; i < CHANNEL_COUNT && r->flights > 0; i++) {
        if (!ares_timeout(r->channels[i], NULL, &tv))
            continue;
        at = r->now_ns + (uint64_t)tv.tv_sec * CLOCK_NS_PER_S + (uint64_t)tv.tv_usec * 1000 +
             CLOCK_NS_PER_MS;
        if (at < next)
            next = at;
    }
    return next;
}

/* A socket that belongs to the other channel is none of a channel's business, and harmless. */
static void process(struct resolver *r, ares_socket_t readable, ares_socket_t writable)
{
    for (unsigned i = 0; i < CHANNEL_COUNT; i++)
        ares_process_fd(r->channels[i], readable, writable);
}

uint64_t resolver_step(struct resolver *r, uint64_t now_ns)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int n = epoll_wait(r->epoll_fd, events, EVENTS_AT_ONCE, 0);

    pass_time(r, now_ns);
    for (int i = 0; i < n; i++) {
        ares_socket_t fd = events[i].data.fd;
        bool readable = events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP);

        process(r, readable ? fd : ARES_SOCKET_BAD,
                events[i].events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
    }
    if (n <= 0)
        process(r, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    while (r->flying.first && r->flying.first->deadline_ns <= r->now_ns)
        answer_in_time(r->flying.first);
    start_waiting(r);
    return next_call(r);
}

static void cancel(struct lookups *list, struct lookup *l)
{
    struct resolver_answer a = {.status = RESOLVER_CANCELLED};

    lookups_remove(list, l);
    l->done(l->context, &a);
}

void resolver_destroy(struct resolver *r)
{
    if (!r)
        return;
    r->closing = true;
    while (r->flying.first) {
        struct lookup *l = r->flying.first;

        cancel(&r->flying, l);
        l->answered = true;
        lookups_append(&r->answered, l);
    }
    while (r->waiting.first) {
        struct lookup *l = r->waiting.first;

        cancel(&r->waiting, l);
        free(l);
    }
    close_channels(r->channels); /* the lookups that still have questions free themselves */
    if (r->epoll_fd >= 0)
        close(r->epoll_fd);
    free(r->servers);
    free(r);
}

#include "test/lab/network.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT32_MAX

struct host {
    char name[NETWORK_NAME_MAX];
    char region[NETWORK_NAME_MAX];
    bool removed;
    struct path **paths; /* [NETWORK_HOSTS_MAX] by destination; made when they are first needed */
};

struct prefix {
    struct packet_addr addr;
    unsigned bits;
    uint32_t host;
};

/* One key of one `set`, or a `reset` (no key): replayed on each path that is made later. */
struct word {
    char source[NETWORK_NAME_MAX], destination[NETWORK_NAME_MAX];
    char key[16], value[32];
};

struct network {
    uint64_t seed;
    struct network_sink sink;
    struct host *hosts; /* [NETWORK_HOSTS_MAX] */
    uint32_t host_count;
    struct prefix *prefixes; /* sorted; they do not overlap */
    size_t prefix_count;
    struct word *words;
    size_t word_count;
    uint64_t unroutable, malformed;
};

enum prober_error network_create(struct network **out, uint64_t seed,
                                 const struct network_sink *sink)
{
    struct network *n = calloc(1, sizeof(*n));

    if (!n)
        goto out;
    n->seed = seed;
    n->sink = *sink;
    n->hosts = calloc(NETWORK_HOSTS_MAX, sizeof(*n->hosts));
    n->prefixes = calloc(NETWORK_PREFIXES_MAX, sizeof(*n->prefixes));
    n->words = calloc(NETWORK_SETTINGS_MAX, sizeof(*n->words));
    if (!n->hosts || !n->prefixes || !n->words)
        goto out;
    *out = n;
    return PROBER_OK;
out:
    network_destroy(n);
    return PROBER_ERR_NOMEM;
}

void network_destroy(struct network *n)
{
    if (!n)
        return;
    for (uint32_t i = 0; i < n->host_count; i++) {
        for (uint32_t j = 0; n->hosts[i].paths && j < n->host_count; j++)
            free(n->hosts[i].paths[j]);
        free(n->hosts[i].paths);
    }
    free(n->hosts);
    free(n->prefixes);
    free(n->words);
    free(n);
}

/* ---- hosts and prefixes ---- */

static bool is_name(const char *text)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");

    return len && !text[len] && len < NETWORK_NAME_MAX;
}

static uint32_t find_host(const struct network *n, const char *name)
{
    for (uint32_t i = 0; i < n->host_count; i++)
        if (!n->hosts[i].removed && strcmp(n->hosts[i].name, name) == 0)
            return i;
    return NOBODY;
}

enum prober_error network_add_host(struct network *n, const char *name, const char *region,
                                   uint32_t *number, struct prober_failure *why)
{
    struct host *h;

    if (!is_name(name) || !is_name(region))
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%s' or '%s' is no name", name, region);
    if (find_host(n, name) != NOBODY)
        return prober_fail(why, PROBER_ERR_EXISTS, "host '%s' is there already", name);
    if (n->host_count == NETWORK_HOSTS_MAX)
        return prober_fail(why, PROBER_ERR_FULL, "there are %d hosts already", NETWORK_HOSTS_MAX);
    h = &n->hosts[n->host_count];
    h->paths = calloc(NETWORK_HOSTS_MAX, sizeof(struct path *));
    if (!h->paths)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    strcpy(h->name, name);
    strcpy(h->region, region);
    *number = n->host_count++;
    return PROBER_OK;
}

enum prober_error network_remove_host(struct network *n, const char *name, uint32_t *number,
                                      struct prober_failure *why)
{
    uint32_t host = find_host(n, name);
    size_t kept = 0;

    if (host == NOBODY)
        return prober_fail(why, PROBER_ERR_NOT_FOUND, "there is no host '%s'", name);
    for (size_t i = 0; i < n->prefix_count; i++)
        if (n->prefixes[i].host != host)
            n->prefixes[kept++] = n->prefixes[i];
    n->prefix_count = kept;
    n->hosts[host].removed = true;
    *number = host;
    return PROBER_OK;
}

/* Compares the first `bits` of two addresses; families sort apart. */
static int compare_bits(const struct packet_addr *a, const struct packet_addr *b, unsigned bits)
{
    int order = a->family - b->family;
    uint8_t mask = (uint8_t)(0xff00 >> bits % 8);

    if (!order)
        order = memcmp(a->bytes, b->bytes, bits / 8);
    if (!order && bits % 8)
        order = (a->bytes[bits / 8] & mask) - (b->bytes[bits / 8] & mask);
    return order;
}

/* The number of prefixes that start at or before the address. */
static size_t prefix_position(const struct network *n, const struct packet_addr *addr)
{
    size_t low = 0, high = n->prefix_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (compare_bits(&n->prefixes[middle].addr, addr, 128) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t route(const struct network *n, const struct packet_addr *addr)
{
    size_t at = prefix_position(n, addr);
    const struct prefix *p = at ? &n->prefixes[at - 1] : NULL;

    return p && compare_bits(&p->addr, addr, p->bits) == 0 ? p->host : NOBODY;
}

static bool parse_prefix(const char *text, struct prefix *out)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    unsigned whole;
    char *end;

    if (len >= sizeof(address))
        return false;
    memcpy(address, text, len);
    address[len] = 0;
    out->addr.family = strchr(address, ':') ? 6 : 4;
    whole = out->addr.family == 6 ? 128 : 32;
    if (inet_pton(out->addr.family == 6 ? AF_INET6 : AF_INET, address, out->addr.bytes) != 1)
        return false;
    out->bits = whole;
    if (slash) {
        out->bits = (unsigned)strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end || out->bits > whole)
            return false;
    }
    for (unsigned bit = out->bits; bit < whole; bit++)
        out->addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    return true;
}

static bool overlaps(const struct prefix *a, const struct prefix *b)
{
    return compare_bits(&a->addr, &b->addr, a->bits < b->bits ? a->bits : b->bits) == 0;
}

enum prober_error network_add_prefix(struct network *n, const char *host, const char *prefix,
                                     struct prober_failure *why)
{
    struct prefix new = {.host = find_host(n, host)};
    size_t at;

    if (new.host == NOBODY)
        return prober_fail(why, PROBER_ERR_NOT_FOUND, "there is no host '%s'", host);
    if (!parse_prefix(prefix, &new))
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%s' is no address or prefix", prefix);
    if (n->prefix_count == NETWORK_PREFIXES_MAX)
        return prober_fail(why, PROBER_ERR_FULL, "there are %d prefixes already",
                           NETWORK_PREFIXES_MAX);
    at = prefix_position(n, &new.addr);
    if ((at && overlaps(&n->prefixes[at - 1], &new)) ||
        (at < n->prefix_count && overlaps(&n->prefixes[at], &new)))
        return prober_fail(why, PROBER_ERR_EXISTS, "'%s' overlaps another host's", prefix);
    memmove(&n->prefixes[at + 1], &n->prefixes[at], (n->prefix_count - at) * sizeof(new));
    n->prefixes[at] = new;
    n->prefix_count++;
    return PROBER_OK;
}

/* ---- settings ---- */

static bool is_named(const struct host *h, const char *name)
{
    return strcmp(name, "*") == 0 || strcmp(name, h->name) == 0 || strcmp(name, h->region) == 0;
}

static void apply_word(struct path *p, const struct word *w)
{
    if (w->key[0])
        path_settings_set(&p->settings, w->key, w->value, NULL);
    else
        path_settings_defaults(&p->settings);
}

static struct path *path_between(struct network *n, uint32_t from, uint32_t to)
{
    struct path **slot = &n->hosts[from].paths[to];

    if (*slot)
        return *slot;
    *slot = malloc(sizeof(**slot));
    if (!*slot)
        return NULL;
    path_init(*slot, n->seed, n->hosts[from].name, n->hosts[to].name);
    for (size_t i = 0; i < n->word_count; i++)
        if (is_named(&n->hosts[from], n->words[i].source) &&
            is_named(&n->hosts[to], n->words[i].destination))
            apply_word(*slot, &n->words[i]);
    return *slot;
}

static enum prober_error check_named(const struct network *n, const char *name,
                                     struct prober_failure *why)
{
    if (strcmp(name, "*") == 0)
        return PROBER_OK;
    for (uint32_t i = 0; i < n->host_count; i++)
        if (!n->hosts[i].removed && is_named(&n->hosts[i], name))
            return PROBER_OK;
    return prober_fail(why, PROBER_ERR_NOT_FOUND, "no host or region is called '%s'", name);
}

/* What the new word makes pointless goes, so that the list grows with the network, not with time.
 */
static void forget_words(struct network *n, const struct word *new)
{
    size_t kept = 0;

    for (size_t i = 0; i < n->word_count; i++) {
        const struct word *w = &n->words[i];
        bool same =
            strcmp(w->source, new->source) == 0 && strcmp(w->destination, new->destination) == 0;

        if (!same || (new->key[0] && strcmp(w->key, new->key) != 0))
            n->words[kept++] = *w;
    }
    n->word_count = kept;
}

static void say(struct network *n, const struct word *new)
{
    forget_words(n, new);
    n->words[n->word_count++] = *new;
    for (uint32_t i = 0; i < n->host_count; i++) {
        if (!is_named(&n->hosts[i], new->source))
            continue;
        for (uint32_t j = 0; j < n->host_count; j++)
            if (n->hosts[i].paths[j] && is_named(&n->hosts[j], new->destination))
                apply_word(n->hosts[i].paths[j], new);
    }
}

static enum prober_error make_word(const struct network *n, struct word *w, const char *source,
                                   const char *destination, struct prober_failure *why)
{
    enum prober_error err = check_named(n, source, why);

    if (!err)
        err = check_named(n, destination, why);
    if (err)
        return err;
    *w = (struct word){0};
    strcpy(w->source, source);
    strcpy(w->destination, destination);
    return PROBER_OK;
}

enum prober_error network_set(struct network *n, const char *source, const char *destination,
                              char *const words[], size_t count, struct prober_failure *why)
{
    struct path_settings trial = {0};
    struct word w;
    enum prober_error err = make_word(n, &w, source, destination, why);

    if (!count || count % 2)
        return prober_fail(why, PROBER_ERR_SYNTAX, "expected keys and values in turn");
    for (size_t i = 0; i < count && !err; i += 2) {
        err = path_settings_set(&trial, words[i], words[i + 1], why);
        if (!err && strlen(words[i + 1]) >= sizeof(w.value))
            err = prober_fail(why, PROBER_ERR_SYNTAX, "'%s' is too long", words[i + 1]);
    }
    if (!err && n->word_count + count / 2 > NETWORK_SETTINGS_MAX)
        err = prober_fail(why, PROBER_ERR_FULL, "there are too many settings; reset some");
    for (size_t i = 0; i < count && !err; i += 2) {
        strcpy(w.key, words[i]);
        strcpy(w.value, words[i + 1]);
        say(n, &w);
    }
    return err;
}

enum prober_error network_reset(struct network *n, const char *source, const char *destination,
                                struct prober_failure *why)
{
    struct word w;
    enum prober_error err = make_word(n, &w, source, destination, why);

    if (err)
        return err;
    if (strcmp(source, "*") == 0 && strcmp(destination, "*") == 0)
        n->word_count = 0;
    else if (n->word_count == NETWORK_SETTINGS_MAX)
        return prober_fail(why, PROBER_ERR_FULL, "there are too many settings; reset all");
    say(n, &w);
    return PROBER_OK;
}

/* ---- printing ---- */

enum prober_error network_print_settings(struct network *n, const char *source,
                                         const char *destination, struct strbuf *out,
                                         struct prober_failure *why)
{
    struct word w;
    enum prober_error err = make_word(n, &w, source, destination, why);

    for (uint32_t i = 0; i < n->host_count && !err; i++) {
        for (uint32_t j = 0; j < n->host_count; j++) {
            struct path *p;

            if (i == j || n->hosts[i].removed || n->hosts[j].removed ||
                !is_named(&n->hosts[i], source) || !is_named(&n->hosts[j], destination))
                continue;
            p = path_between(n, i, j);
            if (!p)
                return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
            strbuf_printf(out, "%s %s", n->hosts[i].name, n->hosts[j].name);
            path_settings_print(&p->settings, out);
            strbuf_putc(out, '\n');
        }
    }
    return err;
}

void network_print_counters(const struct network *n, struct strbuf *out)
{
    for (uint32_t i = 0; i < n->host_count; i++) {
        for (uint32_t j = 0; j < n->host_count; j++) {
            const struct path *p = n->hosts[i].paths[j];
            uint64_t seen = 0;

            for (size_t c = 0; p && c < PACKET_CLASS_COUNT; c++)
                seen += p->counters[c].seen;
            if (!seen)
                continue;
            strbuf_printf(out, "%s %s", n->hosts[i].name, n->hosts[j].name);
            path_counters_print(p, out);
            strbuf_putc(out, '\n');
        }
    }
    strbuf_printf(out, "* * unroutable=%llu malformed=%llu\n", (unsigned long long)n->unroutable,
                  (unsigned long long)n->malformed);
}

/* ---- forwarding ---- */

/* Each router has an address, told by the source host and the hop: 10.78.HOST.HOP, fd78::HOST:HOP.
 */
static struct packet_addr router_address(uint8_t family, uint32_t from, unsigned hop)
{
    struct packet_addr addr = {.family = family};
    uint8_t *bytes = addr.bytes;

    if (family == 4) {
        memcpy(bytes, (uint8_t[]){10, (uint8_t)(78 + (from >> 8)), (uint8_t)from, (uint8_t)hop}, 4);
        return addr;
    }
    memcpy(bytes, (uint8_t[]){0xfd, 0x78, 0, 0, 0, 0, 0, 0}, 8);
    bytes[12] = (uint8_t)(from >> 8);
    bytes[13] = (uint8_t)from;
    bytes[15] = (uint8_t)hop;
    return addr;
}

/* The error leaves the router when the packet would have reached it, and travels back as far. */
static void answer_error(struct network *n, uint32_t from, uint32_t to, struct path *p,
                         enum packet_error kind, unsigned hop, const uint8_t *data,
                         const struct packet_view *view, uint64_t now_ns)
{
    struct packet_addr router = router_address(view->source.family, from, hop);
    const struct path *back = path_between(n, to, from);
    uint64_t both_ways = p->settings.delay_ns + (back ? back->settings.delay_ns : 0);
    uint8_t error[PACKET_ERROR_MAX];
    size_t len;

    if (path_is_mute(p, hop) || !path_take_error(p, now_ns))
        return;
    len = packet_write_error(error, kind, &router, data, view, p->settings.error_quote);
    if (!len)
        return;
    p->counters[view->class].errors++;
    n->sink.deliver(n->sink.context, from, NULL, PACKET_ICMP,
                    now_ns + both_ways * hop / (p->settings.hops + 1), error, len);
}

/* The TTL runs out on the way. */
static void expire(struct network *n, uint32_t from, uint32_t to, struct path *p,
                   const uint8_t *data, const struct packet_view *view, uint64_t now_ns)
{
    unsigned hop = view->ttl ? view->ttl : 1;

    p->counters[view->class].seen++;
    if (path_loses_before(p, view->class, hop))
        return;
    p->counters[view->class].expired++;
    answer_error(n, from, to, p, PACKET_TIME_EXCEEDED, hop, data, view, now_ns);
}

static void deliver(struct network *n, uint32_t to, struct path *p, const struct path_fate *fate,
                    uint8_t *data, const struct packet_view *view)
{
    struct path_counters *c = &p->counters[view->class];

    packet_age(data, (unsigned)p->settings.hops);
    if (fate->corrupt && packet_flip_bit(data, view, fate->dice, false))
        c->corrupted++;
    if (fate->damage && packet_flip_bit(data, view, fate->dice, true))
        c->damaged++;
    for (unsigned copies = fate->duplicate ? 2 : 1; copies; copies--)
        n->sink.deliver(n->sink.context, to, p, view->class, fate->depart_ns, data, view->len);
}

void network_forward(struct network *n, uint32_t from, uint8_t *data, size_t len, uint64_t now_ns)
{
    struct packet_view view;
    struct path_fate fate;
    struct path *p = NULL;
    uint32_t to;

    if (!packet_parse(data, len, &view)) {
        n->malformed++;
        return;
    }
    to = route(n, &view.destination);
    if (to != NOBODY)
        p = path_between(n, from, to);
    if (!p) {
        n->unroutable++;
        return;
    }
    if (view.ttl <= p->settings.hops) {
        expire(n, from, to, p, data, &view, now_ns);
        return;
    }
    fate = path_decide(p, view.class, now_ns);
    if (fate.verdict == PATH_UNREACHABLE)
        answer_error(n, from, to, p, PACKET_HOST_UNREACHABLE, (unsigned)p->settings.hops, data,
                     &view, now_ns);
    else if (fate.verdict == PATH_DELIVER)
        deliver(n, to, p, &fate, data, &view);
}

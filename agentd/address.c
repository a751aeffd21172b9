#include "agentd/address.h"

#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/routes.h"
#include "common/array.h"
#include "common/clock.h"
#include "libprober/http_fetch.h"
#include "libprober/resolver.h"

#define INTERFACE_ADDRESSES_MAX 256
#define URL_ANSWER_MAX 4096
#define SERVER_PORT 6000

static bool is_reachable_by_others(const struct prober_addr *a)
{
    enum prober_addr_class class = prober_addr_classify(a);

    return a->family != PROBER_FAMILY_NONE &&
           (class == PROBER_ADDR_PRIVATE || class == PROBER_ADDR_GLOBAL);
}

static void add(struct address_set *set, const struct prober_addr *address)
{
    struct prober_addr a = prober_addr_unmap(address);

    for (size_t i = 0; i < set->count; i++)
        if (prober_addr_equal(&set->addresses[i], &a))
            return;
    set->addresses[set->count] = a;
    prober_addr_format(&a, set->texts[set->count]);
    set->count++;
}

enum prober_error address_parse_given(const char *const *texts, size_t count,
                                      struct address_set *out, struct prober_failure *why)
{
    struct address_set set = {.mode = WIRE_ADDRESS_GIVEN};

    for (size_t i = 0; i < count; i++) {
        struct prober_addr a;
        enum prober_addr_class class;

        if (prober_addr_parse(texts[i], &a) != PROBER_OK)
            return prober_fail(why, PROBER_ERR_SYNTAX, "agent.icmp.address: '%s' is no address",
                               texts[i]);
        class = prober_addr_classify(&a);
        if (class == PROBER_ADDR_UNSPECIFIED || class == PROBER_ADDR_MULTICAST ||
            class == PROBER_ADDR_BROADCAST)
            return prober_fail(why, PROBER_ERR_SYNTAX,
                               "agent.icmp.address: '%s' is not the address of one host", texts[i]);
        if (set.count == WIRE_ADDRESSES_MAX)
            return prober_fail(why, PROBER_ERR_RANGE, "agent.icmp.address: more than %d addresses",
                               WIRE_ADDRESSES_MAX);
        add(&set, &a);
    }
    *out = set;
    return PROBER_OK;
}

/* ---- the server's address ---- */

struct name_wait {
    bool done;
    struct resolver_answer answer;
};

static void on_name(void *context, const struct resolver_answer *answer)
{
    struct name_wait *wait = context;

    wait->answer = *answer;
    wait->done = true;
}

static bool resolve(const char *host, const struct address_query *query, uint64_t timeout_ns,
                    struct prober_addr *out)
{
    struct resolver_config config = {.servers = query->dns_servers, .timeout_ns = timeout_ns};
    struct resolver *r = NULL;
    struct name_wait wait = {0};
    uint64_t now = clock_monotonic_ns();

    if (prober_addr_parse(host, out) == PROBER_OK)
        return true;
    if (resolver_create(&r, &config, NULL))
        return false;
    resolver_lookup(r, host, PROBER_FAMILY_IPV4, false, now, on_name, &wait);
    while (!wait.done) {
        struct pollfd pfd = {.fd = resolver_fd(r), .events = POLLIN};
        uint64_t next = resolver_step(r, now), ms = next > now ? (next - now) / CLOCK_NS_PER_MS : 0;

        if (!wait.done)
            poll(&pfd, 1, ms < INT_MAX ? (int)ms + 1 : INT_MAX);
        now = clock_monotonic_ns();
    }
    resolver_destroy(r);
    *out = wait.answer.address;
    return wait.answer.status == RESOLVER_OK;
}

/* ---- intranet ---- */

static bool source_toward(const struct prober_addr *to, struct prober_addr *from)
{
    return routes_source(to, from) == PROBER_OK && is_reachable_by_others(from);
}

static bool source_toward_server(const struct address_query *query, uint64_t timeout_ns,
                                 struct prober_addr *from)
{
    char host[PROBER_HOST_MAX];
    struct prober_addr server;
    uint16_t port;

    return query->server && !prober_hostport_split(query->server, SERVER_PORT, host, &port, NULL) &&
           host[0] && resolve(host, query, timeout_ns, &server) && source_toward(&server, from);
}

/* The addresses of documentation (RFC 5737, RFC 3849) have no route but the default one. */
static bool source_of_default_route(struct prober_addr *from)
{
    static const char *const nowhere[] = {"192.0.2.1", "2001:db8::1"};
    struct prober_addr to;

    for (size_t i = 0; i < ARRAY_LEN(nowhere); i++)
        if (prober_addr_parse(nowhere[i], &to) == PROBER_OK && source_toward(&to, from))
            return true;
    return false;
}

static bool first_of_interfaces(struct prober_addr *out)
{
    static const enum prober_family order[] = {PROBER_FAMILY_IPV4, PROBER_FAMILY_IPV6};
    struct prober_addr all[INTERFACE_ADDRESSES_MAX];
    size_t n = routes_interface_addresses(all, ARRAY_LEN(all));

    for (size_t f = 0; f < ARRAY_LEN(order); f++) {
        for (size_t i = 0; i < n; i++) {
            if (all[i].family == order[f] && is_reachable_by_others(&all[i])) {
                *out = all[i];
                return true;
            }
        }
    }
    return false;
}

static enum prober_error find_intranet(const struct address_query *query, uint64_t timeout_ns,
                                       struct address_set *out, struct prober_failure *why)
{
    struct prober_addr a;

    if (!source_toward_server(query, timeout_ns, &a) && !source_of_default_route(&a) &&
        !first_of_interfaces(&a))
        return prober_fail(why, PROBER_ERR_NOT_FOUND,
                           "this host has no address that another could reach: give one by "
                           "-agent.icmp.address");
    add(out, &a);
    return PROBER_OK;
}

/* ---- public ---- */

static bool read_answer(const struct http_answer *answer, struct prober_addr *out)
{
    char text[PROBER_ADDR_TEXT_MAX];
    const char *start = answer->body;
    size_t len;

    if (answer->err || answer->status != 200)
        return false;
    start += strspn(start, " \t\r\n");
    len = strcspn(start, " \t\r\n");
    if (len >= sizeof(text) || start[len + strspn(start + len, " \t\r\n")] != 0)
        return false;
    memcpy(text, start, len);
    text[len] = 0;
    return prober_addr_parse(text, out) == PROBER_OK && is_reachable_by_others(out);
}

static enum prober_error find_public(const struct address_query *query, uint64_t timeout_ns,
                                     struct address_set *out)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct http_request *requests = calloc(query->url_count + 1, sizeof(*requests));
    struct http_answer *answers = calloc(query->url_count + 1, sizeof(*answers));
    struct prober_addr a;

    if (!requests || !answers)
        goto out;
    for (size_t i = 0; i < query->url_count; i++)
        requests[i] = (struct http_request){.url = query->urls[i], .answer_max = URL_ANSWER_MAX};
    http_fetch(requests, answers, query->url_count, timeout_ns);
    for (size_t i = 0; i < query->url_count && out->count == 0; i++)
        if (read_answer(&answers[i], &a))
            add(out, &a);
    err = PROBER_OK;
out:
    if (answers)
        http_answers_free(answers, query->url_count);
    free(answers);
    free(requests);
    return err;
}

enum prober_error address_find(const struct address_query *query, struct address_set *out,
                               struct prober_failure *why)
{
    uint64_t timeout_ns = query->timeout_ns ? query->timeout_ns : ADDRESS_LOOKUP_NS;

    memset(out, 0, sizeof(*out));
    out->mode = query->mode;
    if (query->mode == WIRE_ADDRESS_PUBLIC)
        return find_public(query, timeout_ns, out);
    return find_intranet(query, timeout_ns, out, why);
}

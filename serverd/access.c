#include "serverd/access.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/array.h"
#include "common/network.h"
#include "common/socket_owner.h"
#include "serverd/tokens.h"

#define HOSTS_MAX 256
#define PROXIES_MAX 256
#define HOPS_MAX 64 /* in what proxies say; more is nonsense */
#define TEXT_MAX 64

struct access_rules {
    atomic_uint references;
    struct token_set *tokens;
    char hosts[HOSTS_MAX][PROBER_HOST_MAX]; /* names that are served, beside loopback and literals */
    size_t host_count;
    struct prober_network proxies[PROXIES_MAX];
    size_t proxy_count;
    bool read_open, plain_tokens;
};

/* ---- rules ---- */

static enum prober_error add_host(struct access_rules *r, const char *host, const char *option,
                                  struct problems *problems)
{
    size_t len = strlen(host);

    if (len > 0 && host[len - 1] == '.')
        len--;
    if (len == 0 || len >= PROBER_HOST_MAX || strpbrk(host, "/:@ ")) {
        problems_add(problems, NULL, 0, option, "'%.100s' is no name of a host, without a port",
                     host);
        return PROBER_ERR_SYNTAX;
    }
    if (r->host_count == HOSTS_MAX) {
        problems_add(problems, NULL, 0, option, "more than %d hosts", HOSTS_MAX);
        return PROBER_ERR_RANGE;
    }
    memcpy(r->hosts[r->host_count], host, len);
    r->hosts[r->host_count++][len] = '\0';
    return PROBER_OK;
}

/* A literal is served anyway, and of "every address" there is no name. */
static enum prober_error add_listen(struct access_rules *r, const char *listen,
                                    const char *option, struct problems *problems)
{
    char host[PROBER_HOST_MAX];
    struct prober_addr literal;
    uint16_t port;

    if (listen[0] == '\0' || prober_hostport_split(listen, 0, host, &port, NULL) ||
        host[0] == '\0' || prober_addr_parse(host, &literal) == PROBER_OK)
        return PROBER_OK;
    return add_host(r, host, option, problems);
}

/* The host's own name: nobody else can lead it elsewhere. */
static enum prober_error add_own_name(struct access_rules *r, struct problems *problems)
{
    char name[PROBER_HOST_MAX] = "";

    if (gethostname(name, sizeof(name) - 1) || name[0] == '\0' || strpbrk(name, "/:@ "))
        return PROBER_OK;
    return add_host(r, name, NULL, problems);
}

static enum prober_error add_proxies(struct access_rules *r, const struct option_list *proxies,
                                     struct problems *problems)
{
    static const char option[] = "server.http.trusted-proxies";
    enum prober_error err = PROBER_OK;

    if (proxies->count > PROXIES_MAX) {
        problems_add(problems, NULL, 0, option, "more than %d networks", PROXIES_MAX);
        return PROBER_ERR_RANGE;
    }
    for (size_t i = 0; i < proxies->count; i++) {
        struct prober_failure why;

        if (prober_network_parse(proxies->items[i], &r->proxies[i], &why)) {
            problems_add(problems, NULL, 0, option, "%s", why.text);
            err = PROBER_ERR_SYNTAX;
        }
    }
    r->proxy_count = proxies->count;
    return err;
}

enum prober_error access_rules_create(struct access_rules **out,
                                      const struct serverd_settings *settings,
                                      struct problems *problems)
{
    struct access_rules *r = calloc(1, sizeof(*r));
    enum prober_error err, other;

    if (!r)
        return PROBER_ERR_NOMEM;
    atomic_init(&r->references, 1);
    r->read_open = settings->http_read == SERVERD_READ_OPEN;
    r->plain_tokens = settings->http_plain_tokens;
    err = add_listen(r, settings->http_listen, "server.http.listen.addr", problems);
    if (!err)
        err = add_listen(r, settings->metrics_listen, "server.http.metrics.addr", problems);
    if (!err)
        err = add_own_name(r, problems);
    for (size_t i = 0; i < settings->http_hosts.count; i++) {
        other = add_host(r, settings->http_hosts.items[i], "server.http.hosts", problems);
        err = err ? err : other;
    }
    other = add_proxies(r, &settings->http_trusted_proxies, problems);
    err = err ? err : other;
    other = tokens_read(&r->tokens, settings->http_tokens, problems);
    err = err ? err : other;
    if (err) {
        access_rules_put(r);
        return err;
    }
    *out = r;
    return PROBER_OK;
}

struct access_rules *access_rules_get(struct access_rules *rules)
{
    atomic_fetch_add(&rules->references, 1);
    return rules;
}

void access_rules_put(struct access_rules *rules)
{
    if (!rules || atomic_fetch_sub(&rules->references, 1) != 1)
        return;
    tokens_free(rules->tokens);
    free(rules);
}

bool access_rules_trust(const struct access_rules *rules, const struct prober_addr *peer)
{
    for (size_t i = 0; i < rules->proxy_count; i++)
        if (prober_network_holds(&rules->proxies[i], peer))
            return true;
    return false;
}

size_t access_rules_tokens(const struct access_rules *rules)
{
    return tokens_count(rules->tokens);
}

/* ---- headers ---- */

static bool is_loopback(const struct prober_addr *addr)
{
    return prober_addr_classify(addr) == PROBER_ADDR_LOOPBACK;
}

static const char *blanks_skipped(const char *text)
{
    return text + strspn(text, " \t");
}

/* How many headers of the name there are; *value is the first one's. */
static size_t count_headers(const struct access_request *q, const char *name, const char **value)
{
    size_t count = 0;

    *value = NULL;
    for (size_t i = 0; i < q->header_count; i++)
        if (strcasecmp(q->headers[i].name, name) == 0 && count++ == 0)
            *value = q->headers[i].value;
    return count;
}

/* Headers that browsers and proxies add; a name that ends in "-" stands for all that begin so. */
static bool has_foreign_header(const struct access_request *q)
{
    static const char *const names[] = {"Origin", "Referer", "Forwarded", "Sec-Fetch-",
                                        "X-Forwarded-", "Via", "X-Real-IP"};

    for (size_t i = 0; i < q->header_count; i++)
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            size_t len = strlen(names[k]);

            if (names[k][len - 1] == '-' ? strncasecmp(q->headers[i].name, names[k], len) == 0
                                         : strcasecmp(q->headers[i].name, names[k]) == 0)
                return true;
        }
    return false;
}

/* ---- Host ---- */

/* host[PROBER_HOST_MAX]: the name without port and last dot; false when it is none. */
static bool read_host(const char *value, char *host)
{
    uint16_t port;
    size_t len;

    if (prober_hostport_split(value, 80, host, &port, NULL))
        return false;
    len = strlen(host);
    if (len > 1 && host[len - 1] == '.')
        host[len - 1] = '\0';
    return host[0] != '\0';
}

static bool host_is_loopback(const char *host)
{
    struct prober_addr addr;

    return strcasecmp(host, "localhost") == 0 ||
           (prober_addr_parse(host, &addr) == PROBER_OK && is_loopback(&addr));
}

/* No other name can be led here by whoever owns it; an address is nobody's to lead. */
static bool is_served_host(const struct access_rules *r, const char *host)
{
    struct prober_addr addr;

    if (strcasecmp(host, "localhost") == 0 || prober_addr_parse(host, &addr) == PROBER_OK)
        return true;
    for (size_t i = 0; i < r->host_count; i++)
        if (strcasecmp(host, r->hosts[i]) == 0)
            return true;
    return false;
}

/* A client of HTTP/1.0 that sends none is no browser. host: "" then. Scrapes by another name go on
 * as they always did. */
static bool check_host(const struct access_rules *r, const struct access_request *q, char *host)
{
    const char *value;
    size_t count = count_headers(q, "Host", &value);

    host[0] = '\0';
    if (count == 0)
        return strcmp(q->version, "1.0") == 0;
    return count == 1 && read_host(value, host) &&
           (q->needed <= ROLE_SCRAPE || is_served_host(r, host));
}

/* ---- behind proxies ---- */

/* What is known of how the client reached us. */
struct way {
    struct prober_addr client;
    bool forwarded; /* a trusted proxy says whom it asks for */
    bool secure;    /* and that it was asked by HTTPS */
};

/* "192.0.2.1", "192.0.2.1:4711", "[2001:db8::1]:4711", "2001:db8::1", in quotes or not. */
static bool read_hop(const char *text, size_t len, struct prober_addr *out)
{
    char copy[PROBER_ADDR_TEXT_MAX + 8], host[PROBER_HOST_MAX];
    uint16_t port;

    while (len > 0 && (text[0] == ' ' || text[0] == '\t')) {
        text++;
        len--;
    }
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (prober_addr_parse(copy, out) != PROBER_OK &&
        (prober_hostport_split(copy, 80, host, &port, NULL) ||
         prober_addr_parse(host, out) != PROBER_OK))
        return false;
    *out = prober_addr_unmap(out);
    return true;
}

/* The addresses of all headers of a name, in order; false when one is none, or there are too many. */
static bool read_hops(const struct access_request *q, const char *name, struct prober_addr *hops,
                      size_t *count)
{
    for (size_t i = 0; i < q->header_count; i++) {
        const char *at = q->headers[i].value;

        if (strcasecmp(q->headers[i].name, name) != 0)
            continue;
        for (;;) {
            size_t len = strcspn(at, ",");

            if (*count == HOPS_MAX || !read_hop(at, len, &hops[(*count)++]))
                return false;
            if (at[len] == '\0')
                break;
            at += len + 1;
        }
    }
    return true;
}

/* The value of a parameter in one element of Forwarded (RFC 7239) into out[TEXT_MAX]. */
static bool forwarded_parameter(const char *element, size_t len, const char *name, char *out)
{
    size_t name_len = strlen(name);

    for (size_t i = 0; i < len;) {
        size_t end = i, value;

        while (end < len && element[end] != ';')
            end++;
        while (i < end && (element[i] == ' ' || element[i] == '\t'))
            i++;
        value = i + name_len + 1;
        if (value <= end && strncasecmp(element + i, name, name_len) == 0 &&
            element[i + name_len] == '=') {
            if (end - value >= TEXT_MAX)
                return false;
            memcpy(out, element + value, end - value);
            out[end - value] = '\0';
            return true;
        }
        i = end + 1;
    }
    return false;
}

/* The nearest proxy's element alone is used: those before it are what others told that proxy. */
static bool read_forwarded(const struct access_request *q, struct way *way)
{
    const char *value, *last;
    char text[TEXT_MAX];

    if (count_headers(q, "Forwarded", &value) != 1)
        return false;
    last = strrchr(value, ',');
    last = last ? last + 1 : value;
    if (!forwarded_parameter(last, strlen(last), "for", text) ||
        !read_hop(text, strlen(text), &way->client))
        return false;
    way->secure = forwarded_parameter(last, strlen(last), "proto", text) &&
                  (strcasecmp(text, "https") == 0 || strcasecmp(text, "\"https\"") == 0);
    return true;
}

/* From the nearest hop back: the first that is no trusted proxy is the client. */
static bool read_x_forwarded(const struct access_rules *r, const struct access_request *q,
                             struct way *way)
{
    struct prober_addr hops[HOPS_MAX];
    size_t count = 0;
    const char *proto;

    if (!read_hops(q, "X-Forwarded-For", hops, &count) || count == 0)
        return false;
    do
        way->client = hops[--count];
    while (count > 0 && access_rules_trust(r, &way->client));
    way->secure = count_headers(q, "X-Forwarded-Proto", &proto) == 1 &&
                  strcasecmp(blanks_skipped(proto), "https") == 0;
    return true;
}

/* False when a trusted proxy says what makes no sense. What others say of themselves is ignored. */
static bool find_way(const struct access_rules *r, const struct access_request *q, struct way *way)
{
    const char *value;

    *way = (struct way){.client = q->peer};
    if (!access_rules_trust(r, &q->peer))
        return true;
    if (count_headers(q, "X-Forwarded-For", &value) > 0) {
        way->forwarded = true;
        return read_x_forwarded(r, q, way);
    }
    if (count_headers(q, "Forwarded", &value) > 0) {
        way->forwarded = true;
        return read_forwarded(q, way);
    }
    return true;
}

/* ---- who ---- */

/* Nobody listens in on the way: this host, or the HTTPS of a trusted proxy. */
static bool is_private_way(const struct access_request *q, const struct way *way)
{
    if (way->forwarded)
        return way->secure;
    return is_loopback(&q->peer) || socket_is_own_address(&q->peer);
}

/* The token of the one Authorization header that is a bearer's; NULL: none. */
static const char *find_token(const struct access_request *q)
{
    const char *value;

    if (count_headers(q, "Authorization", &value) != 1 || strncasecmp(value, "Bearer", 6) != 0 ||
        (value[6] != ' ' && value[6] != '\0'))
        return NULL;
    return blanks_skipped(value + 6);
}

static enum access_refusal judge_token(const struct access_rules *r, const struct access_request *q,
                                       const struct way *way, const char *token,
                                       uint64_t now_real_ns, struct access_caller *caller)
{
    struct token_owner owner;
    enum token_verdict verdict;

    if (!r->plain_tokens && !is_private_way(q, way))
        return ACCESS_PLAIN;
    verdict = tokens_find(r->tokens, token, strlen(token), now_real_ns, &owner);
    if (verdict == TOKEN_UNKNOWN)
        return ACCESS_UNKNOWN;
    snprintf(caller->who, sizeof(caller->who), "token:%s", owner.name);
    if (verdict == TOKEN_EXPIRED)
        return ACCESS_EXPIRED;
    caller->role = owner.role;
    return owner.role >= q->needed ? ACCESS_GRANTED : ACCESS_ROLE;
}

/* Root, or the user that this server runs as, at this very host. */
static enum access_refusal judge_local(const struct access_request *q, const char *host,
                                       struct access_caller *caller)
{
    uid_t uid;

    if (!is_loopback(&q->peer) || !host_is_loopback(host) || has_foreign_header(q) ||
        !socket_owner(&q->peer, q->peer_port, q->own_port, &uid) ||
        (uid != 0 && uid != geteuid()))
        return ACCESS_LOCAL;
    snprintf(caller->who, sizeof(caller->who), "uid:%lu", (unsigned long)uid);
    caller->role = ROLE_ADMIN;
    return ACCESS_GRANTED;
}

enum access_refusal access_judge(const struct access_rules *rules,
                                 const struct access_request *request, uint64_t now_real_ns,
                                 struct access_caller *caller)
{
    char host[PROBER_HOST_MAX];
    const char *token;
    struct way way;

    *caller = (struct access_caller){.client = request->peer,
                                     .role = rules->read_open ? ROLE_READ : ROLE_NONE};
    if (request->path[0] != '/' && strcmp(request->path, "*") != 0)
        return ACCESS_TARGET;
    if (!check_host(rules, request, host))
        return ACCESS_HOST;
    if (!find_way(rules, request, &way))
        return ACCESS_FORWARDED;
    caller->client = way.client;
    if (request->needed <= caller->role)
        return ACCESS_GRANTED;
    if (tokens_count(rules->tokens) == 0)
        return judge_local(request, host, caller);
    token = find_token(request);
    return token ? judge_token(rules, request, &way, token, now_real_ns, caller) : ACCESS_MISSING;
}

/* ---- of a refusal ---- */

#define ACCESS_ROW(name, status, reason, text) [ACCESS_##name] = {status, reason, text},
static const struct {
    int status;
    const char *reason, *text;
} refusals[ACCESS_REFUSAL_COUNT] = {ACCESS_REFUSALS(ACCESS_ROW)};

int access_status(enum access_refusal refusal)
{
    return refusals[refusal].status;
}

const char *access_text(enum access_refusal refusal)
{
    return refusals[refusal].text;
}

const char *access_reason(enum access_refusal refusal)
{
    return refusals[refusal].reason;
}

#include "common/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_link_local6(const uint8_t bytes[16])
{
    return (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) || /* unicast */
           (bytes[0] == 0xff && (bytes[1] & 0x0f) <= 2);      /* multicast, interface or link */
}

static enum prober_error parse_scope(const char *text, uint32_t *scope)
{
    uint32_t index = if_nametoindex(text);

    if (index == 0 && strspn(text, "0123456789") == strlen(text) && strlen(text) <= 9)
        index = (uint32_t)strtoul(text, NULL, 10);
    if (index == 0)
        return PROBER_ERR_SYNTAX;
    *scope = index;
    return PROBER_OK;
}

enum prober_error prober_addr_parse(const char *text, struct prober_addr *out)
{
    struct prober_addr addr = {.family = PROBER_FAMILY_IPV4};
    char literal[INET6_ADDRSTRLEN];
    size_t len = strcspn(text, "%");

    if (inet_pton(AF_INET, text, addr.bytes) == 1) {
        *out = addr;
        return PROBER_OK;
    }
    if (len >= sizeof(literal))
        return PROBER_ERR_SYNTAX;
    memcpy(literal, text, len);
    literal[len] = '\0';
    addr = (struct prober_addr){.family = PROBER_FAMILY_IPV6};
    if (inet_pton(AF_INET6, literal, addr.bytes) != 1)
        return PROBER_ERR_SYNTAX;
    if (text[len] && (!is_link_local6(addr.bytes) || parse_scope(text + len + 1, &addr.scope)))
        return PROBER_ERR_SYNTAX;
    *out = addr;
    return PROBER_OK;
}

char *prober_addr_format(const struct prober_addr *addr, char out[PROBER_ADDR_TEXT_MAX])
{
    char name[IF_NAMESIZE];
    size_t len;

    if (addr->family != PROBER_FAMILY_IPV4 && addr->family != PROBER_FAMILY_IPV6) {
        strcpy(out, "none");
        return out;
    }
    inet_ntop(addr->family == PROBER_FAMILY_IPV4 ? AF_INET : AF_INET6, addr->bytes, out,
              INET6_ADDRSTRLEN);
    if (addr->family == PROBER_FAMILY_IPV6 && addr->scope) {
        len = strlen(out);
        if (if_indextoname(addr->scope, name))
            snprintf(out + len, PROBER_ADDR_TEXT_MAX - len, "%%%s", name);
        else
            snprintf(out + len, PROBER_ADDR_TEXT_MAX - len, "%%%u", addr->scope);
    }
    return out;
}

bool prober_addr_equal(const struct prober_addr *a, const struct prober_addr *b)
{
    return a->family == b->family && a->scope == b->scope &&
           memcmp(a->bytes, b->bytes, a->family == PROBER_FAMILY_IPV4 ? 4 : 16) == 0;
}

struct prober_addr prober_addr_unmap(const struct prober_addr *addr)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct prober_addr v4 = {.family = PROBER_FAMILY_IPV4};

    if (addr->family != PROBER_FAMILY_IPV6 || memcmp(addr->bytes, mapped, sizeof(mapped)) != 0)
        return *addr;
    memcpy(v4.bytes, addr->bytes + 12, 4);
    return v4;
}

struct prefix {
    uint8_t bytes[4];
    uint8_t bits;
    enum prober_addr_class class;
};

/* Addresses that share the first prefix that fits, RFC 6890 and the registries it names. */
static const struct prefix prefixes4[] = {
    {{0, 0, 0, 0}, 8, PROBER_ADDR_UNSPECIFIED},     {{127, 0, 0, 0}, 8, PROBER_ADDR_LOOPBACK},
    {{169, 254, 0, 0}, 16, PROBER_ADDR_LINK_LOCAL}, {{224, 0, 0, 0}, 4, PROBER_ADDR_MULTICAST},
    {{240, 0, 0, 0}, 4, PROBER_ADDR_BROADCAST},     {{10, 0, 0, 0}, 8, PROBER_ADDR_PRIVATE},
    {{172, 16, 0, 0}, 12, PROBER_ADDR_PRIVATE},     {{192, 168, 0, 0}, 16, PROBER_ADDR_PRIVATE},
    {{100, 64, 0, 0}, 10, PROBER_ADDR_PRIVATE},     {{0, 0, 0, 0}, 0, PROBER_ADDR_GLOBAL},
};

static const struct prefix prefixes6[] = {
    {{0xfe, 0x80, 0, 0}, 10, PROBER_ADDR_LINK_LOCAL},
    {{0xff, 0, 0, 0}, 8, PROBER_ADDR_MULTICAST},
    {{0xfc, 0, 0, 0}, 7, PROBER_ADDR_PRIVATE},
    {{0, 0, 0, 0}, 0, PROBER_ADDR_GLOBAL},
};

static uint32_t first_word(const uint8_t bytes[4])
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The last prefix of a table has no bits: it fits all. */
static enum prober_addr_class class_by_prefix(const struct prefix *p, const uint8_t bytes[4])
{
    while (p->bits && (first_word(bytes) ^ first_word(p->bytes)) >> (32 - p->bits))
        p++;
    return p->class;
}

enum prober_addr_class prober_addr_classify(const struct prober_addr *addr)
{
    static const uint8_t loopback[16] = {[15] = 1}, unspecified[16];
    struct prober_addr plain = prober_addr_unmap(addr);

    if (plain.family == PROBER_FAMILY_IPV4)
        return class_by_prefix(prefixes4, plain.bytes);
    if (plain.family != PROBER_FAMILY_IPV6 || memcmp(plain.bytes, unspecified, 16) == 0)
        return PROBER_ADDR_UNSPECIFIED;
    if (memcmp(plain.bytes, loopback, 16) == 0)
        return PROBER_ADDR_LOOPBACK;
    return class_by_prefix(prefixes6, plain.bytes);
}

enum prober_error prober_addr_from_sockaddr(const struct sockaddr *sa, struct prober_addr *out,
                                            uint16_t *port)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct prober_addr addr = {.family = PROBER_FAMILY_NONE};
    in_port_t network_port;

    if (sa->sa_family == AF_INET) {
        memcpy(&v4, sa, sizeof(v4));
        addr.family = PROBER_FAMILY_IPV4;
        memcpy(addr.bytes, &v4.sin_addr, 4);
        network_port = v4.sin_port;
    } else if (sa->sa_family == AF_INET6) {
        memcpy(&v6, sa, sizeof(v6));
        addr.family = PROBER_FAMILY_IPV6;
        memcpy(addr.bytes, &v6.sin6_addr, 16);
        addr.scope = is_link_local6(addr.bytes) ? v6.sin6_scope_id : 0;
        network_port = v6.sin6_port;
    } else {
        return PROBER_ERR_UNSUPPORTED;
    }
    *out = addr;
    if (port)
        *port = ntohs(network_port);
    return PROBER_OK;
}

socklen_t prober_addr_to_sockaddr(const struct prober_addr *addr, uint16_t port,
                                  struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = addr->scope};

    memset(out, 0, sizeof(*out));
    if (addr->family == PROBER_FAMILY_IPV4) {
        memcpy(&v4.sin_addr, addr->bytes, 4);
        memcpy(out, &v4, sizeof(v4));
        return sizeof(v4);
    }
    memcpy(&v6.sin6_addr, addr->bytes, 16);
    memcpy(out, &v6, sizeof(v6));
    return sizeof(v6);
}

static enum prober_error parse_port(const char *whole, const char *text, uint16_t *port,
                                    struct prober_failure *why)
{
    unsigned long value;

    if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 5)
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%.200s': '%.20s' is no port (0 to 65535)",
                           whole, text);
    value = strtoul(text, NULL, 10);
    if (value > UINT16_MAX)
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%.200s': port %lu is above 65535", whole,
                           value);
    *port = (uint16_t)value;
    return PROBER_OK;
}

/* Finds the host inside `text` and the text of the port behind it, NULL when there is none. False
 * when brackets are not as they should be. */
static bool find_parts(const char *text, const char **host, size_t *host_len, const char **port)
{
    const char *colon = strrchr(text, ':'), *end;

    *port = NULL;
    if (*text == '[') {
        end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':'))
            return false;
        *host = text + 1;
        *host_len = (size_t)(end - text - 1);
        if (end[1])
            *port = end + 2;
        return true;
    }
    *host = text;
    *host_len = strlen(text);
    if (colon && strchr(text, ':') == colon) {
        *host_len = (size_t)(colon - text);
        *port = colon + 1;
    }
    return true;
}

static bool host_is_sane(const char *host)
{
    for (const char *c = host; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("[]/\\\"'", *c))
            return false;
    return true;
}

enum prober_error prober_hostport_split(const char *text, uint16_t fallback_port,
                                        char host[PROBER_HOST_MAX], uint16_t *port,
                                        struct prober_failure *why)
{
    const char *host_at, *port_at;
    char name[PROBER_HOST_MAX];
    size_t len;
    uint16_t number = fallback_port;
    struct prober_addr addr;

    if (!find_parts(text, &host_at, &len, &port_at))
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%.200s': expected [address] or [address]:port",
                           text);
    if (len >= sizeof(name))
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%.40s…': the host has over %d bytes", text,
                           PROBER_HOST_MAX - 1);
    memcpy(name, host_at, len);
    name[len] = '\0';
    if (!host_is_sane(name))
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "'%.200s': the host has a character that no "
                           "name or address has",
                           text);
    if ((*text == '[' || strchr(name, ':')) &&
        (prober_addr_parse(name, &addr) || addr.family != PROBER_FAMILY_IPV6))
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%.200s': '%.100s' is no IPv6 address", text,
                           name);
    if (!port_at && (fallback_port == 0 || len == 0))
        return prober_fail(why, PROBER_ERR_SYNTAX,
                           "'%.200s': expected host:port, [IPv6 address]:port or :port", text);
    if (port_at && parse_port(text, port_at, &number, why))
        return PROBER_ERR_SYNTAX;
    memcpy(host, name, len + 1);
    *port = number;
    return PROBER_OK;
}

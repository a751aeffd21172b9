/*
 * addr - IPv4 and IPv6 addresses as values.
 *
 * Purpose    Parsing, printing, comparing and classifying addresses and host:port pairs without
 *            struct sockaddr in every signature.
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/error.h"

enum prober_family { PROBER_FAMILY_NONE = 0, PROBER_FAMILY_IPV4 = 4, PROBER_FAMILY_IPV6 = 6 };

struct prober_addr {
    uint8_t family;    /* enum prober_family */
    uint8_t bytes[16]; /* network order; the first 4 for IPv4, the rest zero */
    uint32_t scope;    /* interface index of a link-local IPv6 address, else 0 */
};

#define PROBER_ADDR_TEXT_MAX 64

/* What kind of address it is (RFC 6890); an IPv4-mapped IPv6 address is judged as IPv4. */
enum prober_addr_class {
    PROBER_ADDR_UNSPECIFIED,
    PROBER_ADDR_LOOPBACK,
    PROBER_ADDR_LINK_LOCAL,
    PROBER_ADDR_MULTICAST,
    PROBER_ADDR_BROADCAST, /* 255.255.255.255, and the rest of 240.0.0.0/4 */
    PROBER_ADDR_PRIVATE,   /* RFC 1918, RFC 6598, RFC 4193 */
    PROBER_ADDR_GLOBAL
};

/* Reads a literal address ("192.0.2.1", "2001:db8::1", "fe80::1%eth0"; no brackets, no port, no
 * blanks). Errors: PROBER_ERR_SYNTAX, with *out untouched. */
enum prober_error prober_addr_parse(const char *text, struct prober_addr *out);
/* Writes the address in its canonical form (RFC 5952) and returns `out`. "none" for no address. */
char *prober_addr_format(const struct prober_addr *addr, char out[PROBER_ADDR_TEXT_MAX]);
bool prober_addr_equal(const struct prober_addr *a, const struct prober_addr *b);
enum prober_addr_class prober_addr_classify(const struct prober_addr *addr);
/* An IPv4-mapped IPv6 address becomes the IPv4 address; others stay. */
struct prober_addr prober_addr_unmap(const struct prober_addr *addr);
/* From and to socket addresses. `port` in host order (may be NULL). to_sockaddr returns the length
 * used. Errors: PROBER_ERR_UNSUPPORTED for another family. */
enum prober_error prober_addr_from_sockaddr(const struct sockaddr *sa, struct prober_addr *out,
                                            uint16_t *port);
socklen_t prober_addr_to_sockaddr(const struct prober_addr *addr, uint16_t port,
                                  struct sockaddr_storage *out);

#define PROBER_HOST_MAX 256

/* Splits "host:port", "[v6]:port", ":port" (empty host: every address) or, when `fallback_port`
 * is not 0, a bare "host" too. host[PROBER_HOST_MAX] gets no brackets.
 * Errors: PROBER_ERR_SYNTAX with a sentence in *why. */
enum prober_error prober_hostport_split(const char *text, uint16_t fallback_port,
                                        char host[PROBER_HOST_MAX], uint16_t *port,
                                        struct prober_failure *why);

#endif

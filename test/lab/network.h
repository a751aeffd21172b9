/*
 * network - the hosts, the addresses behind them, and the paths between them.
 *
 * Purpose    Takes a packet that a host sent and says when which bytes reach which host. It knows
 *            no device and no clock.
 * Threads    One thread.
 * Ownership  Owns its hosts and paths. A path lives as long as the network, so that counters are
 *            never lost, also when one of its hosts is removed.
 */
#ifndef LAB_NETWORK_H
#define LAB_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"
#include "test/lab/packet.h"
#include "test/lab/path.h"

#define NETWORK_HOSTS_MAX 1024
#define NETWORK_PREFIXES_MAX 8192
#define NETWORK_SETTINGS_MAX 4096
#define NETWORK_NAME_MAX 64

struct network;

struct network_sink {
    /* data[len] is to reach host `to` at due_ns, which may be past. It counts as delivered,
     * overflowed or failed in the counters of `path`, which the sink does (NULL: not at all). */
    void (*deliver)(void *context, uint32_t to, struct path *path, enum packet_class class,
                    uint64_t due_ns, const uint8_t *data, size_t len);
    void *context;
};

/* Errors: PROBER_ERR_NOMEM. */
enum prober_error network_create(struct network **out, uint64_t seed,
                                 const struct network_sink *sink);

/* Adds a host and stores its number, which is never used again for another. Names have 1..63
 * characters out of A-Z a-z 0-9 _ . - and neither is '*'.
 * Errors: PROBER_ERR_SYNTAX, _EXISTS, _FULL, _NOMEM. */
enum prober_error network_add_host(struct network *n, const char *name, const char *region,
                                   uint32_t *number, struct prober_failure *why);
/* Packets to the addresses of `prefix` ("10.77.1.1", "10.77.8.0/24", "fd77::1") go to the host.
 * Prefixes must not overlap. Errors: PROBER_ERR_NOT_FOUND, _SYNTAX, _EXISTS, _FULL. */
enum prober_error network_add_prefix(struct network *n, const char *host, const char *prefix,
                                     struct prober_failure *why);
/* The host's prefixes lead nowhere any more; its name can be added again.
 * Errors: PROBER_ERR_NOT_FOUND. */
enum prober_error network_remove_host(struct network *n, const char *name, uint32_t *number,
                                      struct prober_failure *why);

/* Changes settings of every path from a host that `source` names (a host, a region, or '*' for all)
 * to one that `destination` names, also of hosts that come later: the last word on a path and a key
 * wins. words[count] are keys and values in turn, taken all or none.
 * Errors: PROBER_ERR_UNKNOWN_KEY, _SYNTAX, _NOT_FOUND (nobody has that name), _FULL. */
enum prober_error network_set(struct network *n, const char *source, const char *destination,
                              char *const words[], size_t count, struct prober_failure *why);
/* Gives those paths their defaults back. Errors as above. */
enum prober_error network_reset(struct network *n, const char *source, const char *destination,
                                struct prober_failure *why);

/* Appends a line "source destination key value ..." for each path that those name. */
enum prober_error network_print_settings(struct network *n, const char *source,
                                         const char *destination, struct strbuf *out,
                                         struct prober_failure *why);
/* Appends a line "source destination class.counter=value ..." for each path that ever saw a
 * packet, and a line "* * unroutable=N malformed=N". */
void network_print_counters(const struct network *n, struct strbuf *out);

/* Forwards what host `from` sent at now_ns. data[len] is changed. */
void network_forward(struct network *n, uint32_t from, uint8_t *data, size_t len, uint64_t now_ns);

void network_destroy(struct network *n);

#endif

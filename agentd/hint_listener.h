/*
 * hint_listener - listens for the server's hints, and passes each on as a wake-up.
 *
 * Threads    The link thread; `hinted` is called on a thread of the link's and must only wake.
 * Ownership  Owns its subscription.
 */
#ifndef AGENTD_HINT_LISTENER_H
#define AGENTD_HINT_LISTENER_H

#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/link.h"

struct hint_listener {
    char host[PROBER_HOST_MAX]; /* of the server */
    uint16_t port;              /* 0: not listening */
    struct link_subscriber *subscriber;
    void (*hinted)(void *context);
    void *context;
};

/* server: "host:port", of which the host is used.
 * Errors: PROBER_ERR_SYNTAX. */
enum prober_error hint_listener_open(struct hint_listener *h, const char *server,
                                     void (*hinted)(void *context), void *context,
                                     struct prober_failure *why);
/* Listens at this port of the server from now on. A failure is logged: hints only save time. */
void hint_listener_set_port(struct hint_listener *h, uint16_t port);
void hint_listener_close(struct hint_listener *h);

#endif

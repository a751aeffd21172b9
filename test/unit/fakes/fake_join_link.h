/*
 * fake_join_link - a server that shakes hands with who comes to join and answers as the test says,
 * without a network.
 *
 * Purpose    Takes the place of the calling half of the link, with a real channel of TLS behind it.
 */
#ifndef FAKE_JOIN_LINK_H
#define FAKE_JOIN_LINK_H

#include "common/channel_tls.h"
#include "common/link.h"
#include "common/wire.h"

struct fake_join_link {
    struct channel_server *server;
    int64_t now_s;
    /* Answers a call that was opened. */
    void (*serve)(const struct wire_request *request, struct wire_reply *reply);
    enum prober_error fail; /* of the next `failures` calls */
    unsigned failures, calls, opened, closed;
    const char *address; /* the last that was dialled */
};

extern struct fake_join_link fake_join_link;

#endif

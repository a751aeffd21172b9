/*
 * fake_link - a server that answers as the test says, without a network.
 *
 * Purpose    Takes the place of the calling half of the link. Each call is opened, decoded, shown to
 *            the test's `serve`, and its reply encoded and sealed: as a server would.
 */
#ifndef FAKE_LINK_H
#define FAKE_LINK_H

#include <stdbool.h>

#include "common/link.h"
#include "common/wire.h"

struct link_client {
    /* Fills *reply, of which protocol and server_boot_id are set already. An error is what the call
     * ends with. */
    enum prober_error (*serve)(void *context, const struct wire_request *request,
                               struct wire_reply *reply);
    void *context;
    struct prober_id server_boot;
    uint64_t connections;
    unsigned calls;
    bool sends_junk; /* answers with bytes that are no frame */
};

#endif

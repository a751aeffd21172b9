/*
 * fake_tls_link - a server that shakes hands and echoes what it is sent, without a network.
 *
 * Purpose    Takes the place of the calling half of the link, with a real channel of TLS behind it. As
 *            serverd/door it ends a connection on which a handshake follows a session.
 */
#ifndef FAKE_TLS_LINK_H
#define FAKE_TLS_LINK_H

#include <stdbool.h>

#include "common/channel_tls.h"
#include "common/link.h"

struct link_client {
    struct channel_server *server; /* NULL: plain alone */
    struct channel *channel;       /* of the present connection */
    int64_t now_s;
    uint64_t connections;
    unsigned calls, handshakes;
    enum prober_error fail; /* of the next call, once */
    bool reconnects;        /* before the next call */
    bool takes_none;        /* sessions, but no call of them: as for who was revoked */
    bool is_connected, is_interrupted;
};

/* The server forgets the session, as after a restart on the same connection. */
void fake_tls_link_forget(struct link_client *client);

#endif

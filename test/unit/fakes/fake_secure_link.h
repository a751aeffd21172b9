/*
 * fake_secure_link - a server at the other end of a link that is trusted, or not, as the test says.
 *
 * Purpose    Each call is decoded, shown to the test's `serve`, and its reply encoded: as a server
 *            would, without a session or a network.
 */
#ifndef TEST_UNIT_FAKES_FAKE_SECURE_LINK_H
#define TEST_UNIT_FAKES_FAKE_SECURE_LINK_H

#include "agentd/secure_link.h"
#include "common/wire.h"

struct secure_link {
    bool trusted;
    enum prober_error (*serve)(void *context, const struct wire_request *request,
                               struct wire_reply *reply);
    void *context;
};

#endif

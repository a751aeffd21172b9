/*
 * fake_reply - takes the server's replies in place of the link.
 *
 * Purpose    A test gives any pointer as a call, and finds here what was replied to it.
 * Threads    Any; guarded by a lock of its own.
 */
#ifndef TEST_UNIT_FAKES_FAKE_REPLY_H
#define TEST_UNIT_FAKES_FAKE_REPLY_H

#include <stddef.h>

#include "common/wire.h"

#define FAKE_REPLIES_MAX 256

struct fake_reply {
    const struct link_call *call;
    struct wire_reply reply; /* without its message */
};

/* Forgets all replies. */
void fake_reply_reset(void);
size_t fake_reply_count(void);
struct fake_reply fake_reply_at(size_t i);

#endif

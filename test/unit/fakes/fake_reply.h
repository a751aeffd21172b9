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

#define FAKE_REPLY_CERTIFICATE_MAX 4096

struct fake_reply {
    const struct link_call *call;
    struct wire_reply reply; /* without its texts */
    char message[WIRE_MESSAGE_MAX + 1];
    char certificate[FAKE_REPLY_CERTIFICATE_MAX]; /* of a join or a renewal */
};

/* Forgets all replies. */
void fake_reply_reset(void);
size_t fake_reply_count(void);
/* Waits until there are so many. */
void fake_reply_await(size_t count);
struct fake_reply fake_reply_at(size_t i);

#endif

/*
 * reply - sends an answer to an agent: encodes it, and passes it through the channel.
 *
 * Threads    Any; a channel is used by one thread at a time.
 * Ownership  Takes over the call; borrows the rest.
 */
#ifndef SERVERD_REPLY_H
#define SERVERD_REPLY_H

#include "common/channel.h"
#include "common/link.h"
#include "common/strbuf.h"
#include "common/wire.h"

/* Sends the reply. One that cannot be made, for lack of memory, ends the connection: the agent asks
 * again on another. `channel` may be NULL for lack of memory. */
void reply_send(struct link_call *call, struct channel *channel, const struct wire_reply *reply);
/* The same, of a body that is encoded already. */
void reply_send_body(struct link_call *call, struct channel *channel, const struct strbuf *body);

#endif

/*
 * reply - sends an answer to an agent: encodes it, and seals it as the call came.
 *
 * Threads    Any.
 * Ownership  Takes over the call, of a connection that has a peer; borrows the rest.
 */
#ifndef SERVERD_REPLY_H
#define SERVERD_REPLY_H

#include "common/link.h"
#include "common/strbuf.h"
#include "common/wire.h"

/* Sends the reply. One that cannot be made, for lack of memory, ends the connection: the agent asks
 * again on another. */
void reply_send(struct link_call *call, const struct wire_reply *reply);
/* The same, of a body that is encoded already. */
void reply_send_body(struct link_call *call, const struct strbuf *body);

#endif

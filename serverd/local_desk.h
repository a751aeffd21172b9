/*
 * local_desk - does what commands on the server's own host ask for.
 *
 * Purpose    Makes, lists and revokes join tokens; lists and revokes agents. A change is on record
 *            (store_audit) as begun before it is made, and as ended before it is answered; one that
 *            cannot be recorded is not made. Answers are one line of JSON; {"error":…} says why
 *            something was not done.
 * Threads    local_server's, one at a time.
 * Ownership  Borrows what it is made of.
 */
#ifndef SERVERD_LOCAL_DESK_H
#define SERVERD_LOCAL_DESK_H

#include <stddef.h>
#include <sys/types.h>

#include "common/strbuf.h"
#include "serverd/directory.h"
#include "serverd/enrolment.h"
#include "serverd/revocations.h"
#include "serverd/store_audit.h"
#include "serverd/store_trust.h"

struct local_desk {
    struct enrolment *enrolment;
    struct revocations *revocations;
    struct store_trust *store; /* NULL: it does not work */
    struct store_audit *audit; /* NULL: the same */
    struct directory_board *board;
    const char *listen; /* where agents call, as it was configured */
    uint16_t port;      /* and where they do in truth */
    /* Has those who go by the revocations look at them now. */
    void (*wake)(void *context);
    void *context;
};

/* The `handle` of a local_server_config; `desk` is a struct local_desk. */
void local_desk_handle(void *desk, uid_t uid, const char *line, size_t len, struct strbuf *answer);

#endif

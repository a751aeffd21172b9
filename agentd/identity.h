/*
 * identity - who this agent is: an id that survives restarts, and one that names this process.
 *
 * Purpose    The agent id lives in the state directory (file agent_id, mode 0600). The boot id is
 *            new for every process, so that reports of two lives are never mixed. A lock file keeps
 *            a second agent out of the directory: two agents with one id would take each other's
 *            place.
 * Threads    main() only; the ids are immutable after identity_open.
 * Ownership  Owns the lock, until identity_close or the end of the process.
 */
#ifndef AGENTD_IDENTITY_H
#define AGENTD_IDENTITY_H

#include "common/error.h"
#include "common/id.h"

struct identity {
    struct prober_id agent_id;
    struct prober_id boot_id;
    int lock_fd;
};

/* Makes the directory (0700) if need be, locks it, and reads or makes the agent id.
 * Errors: PROBER_ERR_IN_USE (another agent lives there), PROBER_ERR_SYNTAX (agent_id is damaged),
 * PROBER_ERR_DENIED, PROBER_ERR_IO; each with a sentence that says what to do. *out is then as
 * identity_close leaves it. */
enum prober_error identity_open(struct identity *out, const char *state_dir,
                                struct prober_failure *why);
/* Unlocks the directory. Fine on one that is closed. */
void identity_close(struct identity *identity);

#endif

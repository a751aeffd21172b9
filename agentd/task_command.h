/*
 * task_command - what this agent is willing to run: a positive grammar of diagnostic commands.
 *
 * Purpose    A command line becomes a program and its arguments, or is refused with a sentence. In
 *            the allowlist (docs/tasks.md) every option has exact spellings and a bounded value,
 *            and the arguments are written anew from what was understood: nothing is passed
 *            through. Counts and deadlines are always put in; what is adjusted is told in notes.
 *
 *            At most one host is asked, or sent packets, by a command. It comes out of the parser
 *            as a literal address or as a name that the caller looks up; either is then judged
 *            (task_command_settle), and the address alone stands in the arguments: the program can
 *            look up nothing else.
 *
 *            Built-in commands are `agentd probe KIND`: they need no installed tool. The one for
 *            URLs meets further hosts when it is redirected; it is given the networks to judge them
 *            all by, and looks each up once itself.
 * Threads    A command belongs to one thread at a time.
 * Ownership  The command owns its texts.
 */
#ifndef AGENTD_TASK_COMMAND_H
#define AGENTD_TASK_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/policy.h"
#include "common/addr.h"
#include "common/error.h"

enum task_policy {
    TASK_POLICY_OFF,       /* nothing runs */
    TASK_POLICY_ALLOWLIST, /* the grammar */
    TASK_POLICY_SHELL      /* any line, by a shell; hosts are not judged */
};

struct task_terms {
    enum task_policy policy;
    bool root;            /* programs will run as root: they may send faster */
    uint64_t deadline_ns; /* for how long a task may run */
    bool own_ping;        /* `ping` is the built-in one: this host has no other */
    const char *servers;  /* of names, for built-ins that look them up (resolver.h); NULL: the
                             system's */
};

struct task_command;

/* Understands line[len]. Errors: PROBER_ERR_DENIED (policy off, a command or option that is not
 * allowed), PROBER_ERR_SYNTAX, PROBER_ERR_RANGE, PROBER_ERR_NOMEM; with a sentence in *why and *out
 * untouched. */
enum prober_error task_command_parse(struct task_command **out, const struct task_terms *terms,
                                     const char *line, size_t len, struct prober_failure *why);
/* The name to look up before the command can run; NULL when there is none (any more). */
const char *task_command_lookup(const struct task_command *command);
/* The family that the command asks for, PROBER_FAMILY_NONE for either. */
enum prober_family task_command_family(const struct task_command *command);
/* Takes the first of addresses[count] (0 when there was nothing to look up) that the command and
 * `policy` (NULL: any) permit. To be called once, also for a literal, before the command is run;
 * without a host it changes nothing. Multicast, broadcast and unspecified addresses are never
 * permitted. Errors: PROBER_ERR_DENIED, PROBER_ERR_NOT_FOUND (no address of the family),
 * PROBER_ERR_STATE (settled before), PROBER_ERR_NOMEM; with a sentence in *why. */
enum prober_error task_command_settle(struct task_command *command,
                                      const struct prober_addr *addresses, size_t count,
                                      const struct policy *policy, struct prober_failure *why);
/* The arguments, NULL-terminated; the first is the name of the program, without a directory
 * (task_program_find knows where it is). NULL before the command is settled. */
const char *const *task_command_argv(const struct task_command *command);
/* What was adjusted, a line each, ending with a newline; "" when nothing was. */
const char *task_command_notes(const struct task_command *command);
/* True when the program has to send packets of its own making (CAP_NET_RAW). */
bool task_command_needs_raw(const struct task_command *command);
bool task_command_is_shell(const struct task_command *command);
/* True when the program is this very one (TASK_PROGRAM_OWN). */
bool task_command_is_own(const struct task_command *command);
void task_command_destroy(struct task_command *command); /* NULL is fine */

#endif

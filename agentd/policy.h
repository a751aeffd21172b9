/*
 * policy - which targets this agent is willing to probe, whatever a server asks.
 *
 * Threads    Immutable and reference-counted: made by main(), read by the icmp thread.
 * Ownership  policy_get and policy_put count references; the last put frees.
 */
#ifndef AGENTD_POLICY_H
#define AGENTD_POLICY_H

#include <stdbool.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/options.h"
#include "common/problems.h"
#include "common/strbuf.h"

struct policy;

/* Makes a policy of networks ("10.0.0.0/8", "2001:db8::/32", or a bare address). Every malformed
 * one is added to `problems`, unless that is NULL. Errors: PROBER_ERR_SYNTAX, PROBER_ERR_NOMEM, with *out untouched. */
enum prober_error policy_create(struct policy **out, const struct option_list *allow,
                                const struct option_list *deny, struct problems *problems);
/* False for an address inside a denied network, or outside all allowed ones when there are any. An
 * IPv4-mapped IPv6 address is judged as IPv4. */
bool policy_permits(const struct policy *policy, const struct prober_addr *address);
/* Appends the networks as options take them, with commas between them and what was there: those to
 * probe alone to `allow`, those never to probe to `deny`. */
void policy_write(const struct policy *policy, struct strbuf *allow, struct strbuf *deny);
struct policy *policy_get(struct policy *policy);
void policy_put(struct policy *policy); /* NULL is fine */

#endif

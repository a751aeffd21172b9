/*
 * fake_joining - a server that takes who comes to join, or does not, without a network.
 */
#ifndef FAKE_JOINING_H
#define FAKE_JOINING_H

#include "agentd/joining.h"
#include "test/unit/given_pki.h"

struct fake_joining_state {
    enum prober_error err; /* to return */
    struct given_pki *pki; /* who certifies: pki->agent_id, in GIVEN_REGION, at GIVEN_NOW_S */
    unsigned calls;
    char server[64], token[64], region[64]; /* of the last call */
};

extern struct fake_joining_state fake_joining;

#endif

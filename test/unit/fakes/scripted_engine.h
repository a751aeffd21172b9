/*
 * scripted_engine - an ICMP engine whose targets fare as the last byte of their address says.
 */
#ifndef TEST_FAKES_SCRIPTED_ENGINE_H
#define TEST_FAKES_SCRIPTED_ENGINE_H

#include <signal.h>

#include "libprober/icmp_engine.h"

enum scripted_fate {
    SCRIPTED_ANSWERS = 1,     /* each probe, after 1 ms, 2 ms, … */
    SCRIPTED_IS_SILENT,       /* lost by timeout */
    SCRIPTED_IS_UNREACHABLE,  /* lost, and an ICMP error said so */
    SCRIPTED_HAS_NO_ROUTE,    /* not sent */
    SCRIPTED_ANSWERS_ONCE,    /* the first probe alone */
    SCRIPTED_ANSWERS_WHEN_CUT /* goes on until it is removed: then one probe was answered */
};

struct scripted_engine_state {
    enum prober_error refuse;           /* not PROBER_OK: no engine can be made */
    volatile sig_atomic_t *set_at_step; /* set to 1 by the first step; NULL */
    struct icmp_engine_config config;   /* of the last engine made */
    struct icmp_target last_target;
    unsigned targets;
};

extern struct scripted_engine_state scripted_engine;

#endif

/*
 * fake_subscriber - subscriptions that a test can look at and give hints to.
 */
#ifndef FAKE_SUBSCRIBER_H
#define FAKE_SUBSCRIBER_H

#include "common/link.h"

struct link_subscriber {
    char address[300];
    link_hint_fn hint;
    void *context;
};

extern struct link_subscriber *fake_subscriber_open; /* NULL: none */
extern unsigned fake_subscriber_opened;              /* how often */
extern enum prober_error fake_subscriber_fails_with; /* the next opening */

#endif

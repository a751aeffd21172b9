/*
 * control - the emulator's line commands.
 *
 * Purpose    One line in, the answer's lines out, the last of which is "ok" or "error: ...":
 *              host NAME REGION NETNS DEVICE   adds a host behind a new TUN device ("-": our own
 *                                              namespace)
 *              address NAME PREFIX             packets for the prefix go to the host
 *              remove NAME                     takes the host away, device and all
 *              set FROM TO KEY VALUE ...       changes paths; FROM and TO are a host, a region or *
 *              reset FROM TO                   gives paths their defaults back
 *              get FROM TO                     prints settings
 *              stats                           prints counters
 *              ping                            nothing
 * Threads    One thread.
 */
#ifndef LAB_CONTROL_H
#define LAB_CONTROL_H

#include "common/strbuf.h"
#include "test/lab/network.h"

#define CONTROL_LINE_MAX 1024

struct control {
    struct network *network; /* borrowed */
    /* Makes and removes the device of a host; may be NULL where there are none (tests). */
    enum prober_error (*open_device)(void *context, uint32_t host, const char *netns,
                                     const char *device, struct prober_failure *why);
    void (*close_device)(void *context, uint32_t host);
    void *context;
};

/* Carries out one line (without its newline; it is cut up) and appends the answer. */
void control_execute(const struct control *c, char *line, struct strbuf *answer);

#endif

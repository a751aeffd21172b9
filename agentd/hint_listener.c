#include "agentd/hint_listener.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

enum prober_error hint_listener_open(struct hint_listener *h, const char *server,
                                     void (*hinted)(void *context), void *context,
                                     struct prober_failure *why)
{
    uint16_t port;

    *h = (struct hint_listener){.hinted = hinted, .context = context};
    return prober_hostport_split(server, 0, h->host, &port, why);
}

static void on_hint(void *context, const void *bytes, size_t len)
{
    struct hint_listener *h = context;

    (void)bytes;
    (void)len;
    h->hinted(h->context);
}

void hint_listener_set_port(struct hint_listener *h, uint16_t port)
{
    char address[PROBER_HOST_MAX + 16];
    struct prober_failure why;

    if (port == h->port)
        return;
    hint_listener_close(h);
    snprintf(address, sizeof(address), strchr(h->host, ':') ? "[%s]:%u" : "%s:%u", h->host,
             (unsigned)port);
    if (link_subscriber_open(&h->subscriber, address, on_hint, h, &why)) {
        h->subscriber = NULL;
        log_warn(
            "cannot listen for the server's hints; changes of the plan come with the next sync",
            LOG_S("addr", address), LOG_S("cause", why.text));
        return;
    }
    h->port = port;
}

void hint_listener_close(struct hint_listener *h)
{
    link_subscriber_close(h->subscriber);
    h->subscriber = NULL;
    h->port = 0;
}

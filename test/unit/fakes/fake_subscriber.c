#include "test/unit/fakes/fake_subscriber.h"

#include <stdio.h>
#include <stdlib.h>

struct link_subscriber *fake_subscriber_open;
unsigned fake_subscriber_opened;
enum prober_error fake_subscriber_fails_with;

enum prober_error link_subscriber_open(struct link_subscriber **out, const char *address,
                                       link_hint_fn hint, void *context,
                                       struct prober_failure *why)
{
    struct link_subscriber *s;

    if (fake_subscriber_fails_with)
        return prober_fail(why, fake_subscriber_fails_with, "as the test wants it");
    s = calloc(1, sizeof(*s));
    if (!s)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    snprintf(s->address, sizeof(s->address), "%s", address);
    s->hint = hint;
    s->context = context;
    fake_subscriber_opened++;
    *out = fake_subscriber_open = s;
    return PROBER_OK;
}

void link_subscriber_close(struct link_subscriber *subscriber)
{
    if (subscriber)
        fake_subscriber_open = NULL;
    free(subscriber);
}

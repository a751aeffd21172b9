#include "agentd/http_trouble.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/strbuf.h"
#include "libprober/http_url.h"

static const struct {
    const char *begins, *ends; /* NULL: nothing is said */
} texts[HTTP_UNSENT_COUNT] = {
    [HTTP_UNSENT_LATE] = {"probes of URLs are not started in time: too little CPU, or "
                          "-agent.http.max.running of them run and do not end",
                          "probes of URLs are started in time again"},
    [HTTP_UNSENT_LOCAL] = {"probes of URLs cannot be made: memory, descriptors, or the network of "
                           "this host",
                           "probes of URLs can be made again"},
    [HTTP_UNSENT_DENIED] = {"URLs are not probed whose addresses -agent.probe.allow or "
                            "-agent.probe.deny forbids",
                            "no address of a URL is forbidden any more"},
    [HTTP_UNSENT_DISTURBED] = {"the agent stood still, or the machine was suspended; probes of "
                               "URLs of that time count as unsent",
                               NULL},
};

void http_trouble_init(struct http_trouble *t, uint64_t interval_ns)
{
    *t = (struct http_trouble){.quiet_ns = 3 * interval_ns};
    if (t->quiet_ns < TROUBLE_QUIET_NS)
        t->quiet_ns = TROUBLE_QUIET_NS;
}

void http_trouble_note(struct http_trouble *t, enum http_unsent cause, struct target_name *name)
{
    target_name_put(t->causes[cause].example);
    t->causes[cause].example = target_name_get(name);
}

/* The URL as it may be shown; to be freed. */
static char *shown(const char *target)
{
    struct strbuf text = STRBUF_INIT;
    struct http_url url;

    if (http_url_parse(target, &url, NULL) == PROBER_OK)
        http_url_put(&text, &url);
    return strbuf_take(&text, NULL);
}

static void tell_begin(const char *text, uint64_t count, const struct target_name *example)
{
    char *url = example ? shown(example->target) : NULL;

    log_warn(text, LOG_U("unsent", count), LOG_S("for_example", url ? url : ""));
    free(url);
}

void http_trouble_tell(struct http_trouble *t, const uint64_t unsent[HTTP_UNSENT_COUNT],
                       uint64_t now_ns)
{
    for (unsigned i = 0; i < HTTP_UNSENT_COUNT; i++) {
        uint64_t count = unsent[i] - t->causes[i].seen;
        enum trouble_change change = trouble_see(&t->causes[i].kind, count, now_ns, t->quiet_ns);

        t->causes[i].seen = unsent[i];
        if (change == TROUBLE_BEGINS && texts[i].begins)
            tell_begin(texts[i].begins, count, t->causes[i].example);
        else if (change == TROUBLE_ENDS && texts[i].ends)
            log_warn(texts[i].ends);
    }
}

void http_trouble_see_kind(const struct http_trouble *t, struct http_shared_kind *kind,
                           const struct target_name *name, const char *trouble, uint64_t now_ns)
{
    enum trouble_change change = trouble_see(&kind->trouble, trouble != NULL, now_ns, t->quiet_ns);
    char *url;

    if (change == TROUBLE_GOES_ON)
        return;
    url = shown(name->target);
    if (change == TROUBLE_BEGINS)
        log_warn("probes of a URL fail for a cause that is not the target's",
                 LOG_S("region", name->region), LOG_S("target", url ? url : ""),
                 LOG_S("cause", trouble));
    else
        log_warn("probes of a URL do not fail for that cause any more",
                 LOG_S("region", name->region), LOG_S("target", url ? url : ""));
    free(url);
}

void http_trouble_tell_unusable(const struct agent_plan_http_target *target,
                                const struct http_shared_kind *kind)
{
    char *url = shown(target->target);

    log_error(
        "this agent cannot probe a URL as its http block wants it; the probes count as unsent",
        LOG_S("region", target->region), LOG_S("target", url ? url : ""),
        LOG_S("cause", kind->why.text));
    free(url);
}

void http_trouble_clear(struct http_trouble *t)
{
    for (unsigned i = 0; i < HTTP_UNSENT_COUNT; i++) {
        target_name_put(t->causes[i].example);
        t->causes[i].example = NULL;
    }
}

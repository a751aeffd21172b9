#include "agentd/membership.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/joining.h"
#include "common/file.h"
#include "common/log.h"
#include "common/random.h"

/* The region that the operator names outright; "": none. */
static const char *wanted_region(const struct agentd_settings *s)
{
    const char *environment = getenv("PROBER_REGION");

    return s->region[0] ? s->region : environment ? environment : "";
}

static enum prober_error find_region(const struct agentd_settings *s, struct region *out,
                                     struct prober_failure *why)
{
    struct region_query query = {.setting = s->region,
                                 .environment = getenv("PROBER_REGION"),
                                 .metadata_base =
                                     s->region_metadata[0] ? s->region_metadata : NULL};

    if (!s->region_lookup && !wanted_region(s)[0])
        query.setting = REGION_DEFAULT;
    return region_find(&query, out, why);
}

static enum prober_error open_credentials(struct credentials **out, const struct agentd_settings *s,
                                          struct prober_failure *why)
{
    char dir[PATH_MAX];
    struct credentials_config config = {
        .dir = dir, .ca = s->pki_ca, .certificate = s->pki_certificate, .key = s->pki_key};

    if (snprintf(dir, sizeof(dir), "%s/credentials", s->state_dir) >= (int)sizeof(dir))
        return prober_fail(why, PROBER_ERR_RANGE, "agent.state.dir is too long");
    random_bytes(&config.lot, sizeof(config.lot));
    return credentials_open(out, &config, why);
}

static enum prober_error join(struct credentials *credentials, const struct agentd_settings *s,
                              const struct identity *identity, const sigset_t *signals,
                              struct prober_failure *why)
{
    struct joining joining = {.server = s->report_addr,
                              .region = wanted_region(s),
                              .agent_id = identity->agent_id,
                              .boot_id = identity->boot_id};
    struct prober_failure cause;
    char *token = NULL;
    enum prober_error err = options_read_secret(s->join_token, &token, &cause);

    if (err)
        return prober_fail(why, err, "cannot join: agent.join: %s", cause.text);
    log_info("joining", LOG_S("server", s->report_addr));
    joining.token = token;
    err = joining_run(credentials, &joining, signals, &cause);
    explicit_bzero(token, strlen(token));
    free(token);
    if (err)
        return prober_fail(why, err, "cannot join at %s: %s", s->report_addr, cause.text);
    log_info("joined", LOG_S("region", credentials_identity(credentials)->region));
    return PROBER_OK;
}

/* An agent that was away until its certificate expired may join anew; its word alone is not enough any
 * more. */
static bool must_join(const struct credentials *credentials, const struct agentd_settings *s,
                      int64_t now_s)
{
    const struct pki_identity *own = credentials_identity(credentials);

    if (!own)
        return true;
    if (now_s <= own->not_after_s) {
        if (s->join_token[0])
            log_info("this agent has joined before; the token is not used");
        return false;
    }
    log_warn(
        s->pki_certificate[0]
            ? "the certificate of agent.pki.certificate has expired: give another, or check the "
              "clock"
            : "the certificate of this agent has expired: check the clock, or join again with a "
              "new token (-agent.join)");
    return s->join_token[0] != '\0';
}

/* The certificate says who we are; the settings must not say otherwise. */
static enum prober_error take_name(const struct membership *m, const struct agentd_settings *s,
                                   struct region *region, struct identity *identity,
                                   struct prober_failure *why)
{
    const struct pki_identity *own = credentials_identity(m->credentials);
    const char *wanted = wanted_region(s);

    if (wanted[0] && strcmp(wanted, own->region) != 0)
        return prober_fail(
            why, PROBER_ERR_STATE,
            "this agent's certificate is for region '%s', but its settings say '%s': "
            "to move it, remove %s/credentials and join again with a new token",
            own->region, wanted, s->state_dir);
    identity->agent_id = own->agent_id;
    snprintf(region->name, sizeof(region->name), "%s", own->region);
    region->origin = REGION_FROM_CERTIFICATE;
    return PROBER_OK;
}

enum prober_error membership_open(struct membership *out, const struct agentd_settings *settings,
                                  struct identity *identity, const sigset_t *signals, int64_t now_s,
                                  struct prober_failure *why)
{
    struct membership m = {.credentials = NULL};
    enum prober_error err = PROBER_OK;

    if (!settings->plain)
        err = open_credentials(&m.credentials, settings, why);
    if (err)
        goto out;
    if (m.credentials && must_join(m.credentials, settings, now_s)) {
        if (settings->join_token[0])
            err = join(m.credentials, settings, identity, signals, why);
        else
            membership_close(&m);
    }
    if (!err)
        err = m.credentials ? take_name(&m, settings, &m.region, identity, why)
                            : find_region(settings, &m.region, why);
out:
    if (err)
        membership_close(&m);
    *out = m;
    return err;
}

void membership_close(struct membership *m)
{
    credentials_close(m->credentials);
    m->credentials = NULL;
}

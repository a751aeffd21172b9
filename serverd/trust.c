#include "serverd/trust.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/array.h"
#include "common/log.h"

#define STEP_S 60
/* What fails is tried again, and told, no more often. */
#define RETRY_S 3600
/* What we do not renew ourselves is told of once a day, this long before its end. */
#define WARN_S (30 * PKI_DAY_S)

struct trust {
    struct authority *authority;
    struct ticket_keys *tickets;
    struct channel_server *server;
    int64_t renew_due_s, rotate_due_s, warn_due_s;
    atomic_int_fast64_t server_expires_s, ca_expires_s;
};

static struct authority_config authority_config(const struct serverd_settings *s, char *dir,
                                                size_t room)
{
    snprintf(dir, room, "%.*s/pki", PATH_MAX - 8, s->state_dir);
    return (struct authority_config){.dir = dir,
                                     .ca_certificate = s->pki_ca,
                                     .ca_key = s->pki_ca_key,
                                     .certificate = s->pki_certificate,
                                     .key = s->pki_key};
}

static enum prober_error make_server(const struct trust *t, struct channel_server **out,
                                     struct prober_failure *why)
{
    const struct channel_server_config config = {
        .certificate = authority_certificate_text(t->authority),
        .key = authority_key_text(t->authority),
        .ca = authority_ca_text(t->authority),
        .tickets = t->tickets,
    };

    return channel_server_open(out, &config, why);
}

static void note_expiry(struct trust *t)
{
    atomic_store(&t->server_expires_s, authority_server_identity(t->authority)->not_after_s);
    atomic_store(&t->ca_expires_s, authority_ca_identity(t->authority)->not_after_s);
}

static enum prober_error open_tickets(struct trust *t, const char *state_dir, int64_t now_s)
{
    struct prober_failure why = {PROBER_OK, ""};
    char path[PATH_MAX];
    bool were_there;
    enum prober_error err;

    snprintf(path, sizeof(path), "%.*s/ticket_keys", PATH_MAX - 16, state_dir);
    were_there = access(path, F_OK) == 0;
    err = ticket_keys_open(&t->tickets, path, now_s, &why);
    if (!err && why.code && (were_there || access(path, F_OK) != 0))
        log_warn("the keys of session tickets are new: agents shake hands in full once",
                 LOG_S("why", why.text));
    return err;
}

enum prober_error trust_open(struct trust **out, const struct serverd_settings *settings,
                             int64_t now_s, struct prober_failure *why)
{
    char dir[PATH_MAX];
    const struct authority_config config = authority_config(settings, dir, sizeof(dir));
    struct trust *t = calloc(1, sizeof(*t));
    enum prober_error err;

    if (!t)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for certificates");
    err = authority_open(&t->authority, &config, now_s, why);
    if (!err && open_tickets(t, settings->state_dir, now_s))
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for keys of tickets");
    if (!err)
        err = make_server(t, &t->server, why);
    if (err)
        goto out;
    note_expiry(t);
    t->renew_due_s = t->rotate_due_s = now_s + STEP_S;
    *out = t;
    t = NULL;
out:
    trust_close(t);
    return err;
}

bool trust_may_do_without(const struct serverd_settings *settings, bool store_works,
                          enum prober_error err)
{
    bool given = settings->pki_ca[0] || settings->pki_ca_key[0] || settings->pki_certificate[0] ||
                 settings->pki_key[0];

    return !given && !store_works && settings->plain == SERVERD_PLAIN_ACCEPT &&
           (err == PROBER_ERR_DENIED || err == PROBER_ERR_IO || err == PROBER_ERR_NOT_FOUND);
}

enum prober_error trust_check(const struct serverd_settings *settings, int64_t now_s,
                              struct prober_failure *why)
{
    char dir[PATH_MAX];
    const struct authority_config config = authority_config(settings, dir, sizeof(dir));

    return authority_check(&config, now_s, why);
}

struct channel_server *trust_server(const struct trust *t)
{
    return t->server;
}

struct authority *trust_authority(const struct trust *t)
{
    return t->authority;
}

/* ---- what is due ---- */

static enum prober_error renew(struct trust *t, int64_t now_s,
                               void (*take)(void *context, struct channel_server *server),
                               void *context, struct prober_failure *why)
{
    struct channel_server *server;
    bool changed;
    enum prober_error err = authority_renew(t->authority, now_s, &changed, why);

    if (err || !changed)
        return err;
    err = make_server(t, &server, why);
    if (err)
        return err;
    take(context, server);
    channel_server_close(t->server);
    t->server = server;
    note_expiry(t);
    log_info("the server's certificate was renewed");
    return PROBER_OK;
}

/* Without more than this left it was renewed in vain, or is not ours to renew. */
static void warn_of_end(const struct trust *t, int64_t now_s)
{
    const struct {
        const char *what;
        int64_t expires_s;
    } ends[] = {
        {"the server's certificate expires soon: without a new one no agent can call",
         atomic_load(&t->server_expires_s)},
        {"the certificate of the authority expires soon: all agents must then join anew",
         atomic_load(&t->ca_expires_s)},
    };

    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (ends[i].expires_s - now_s < WARN_S)
            log_warn(ends[i].what, LOG_I("days_left", (ends[i].expires_s - now_s) / PKI_DAY_S));
}

void trust_step(struct trust *t, int64_t now_s,
                void (*take)(void *context, struct channel_server *server), void *context)
{
    struct prober_failure why = {PROBER_OK, ""};

    if (now_s >= t->renew_due_s) {
        enum prober_error err = renew(t, now_s, take, context, &why);

        if (err)
            log_error("the server's certificate could not be renewed", LOG_S("why", why.text));
        t->renew_due_s = now_s + (err ? RETRY_S : STEP_S);
    }
    if (now_s >= t->warn_due_s) {
        warn_of_end(t, now_s);
        t->warn_due_s = now_s + PKI_DAY_S;
    }
    if (now_s >= t->rotate_due_s) {
        enum prober_error err = ticket_keys_rotate(t->tickets, now_s, &why);

        if (err)
            log_warn("the keys of session tickets could not be written: after a restart agents "
                     "shake hands in full once",
                     LOG_S("why", why.text));
        t->rotate_due_s = now_s + (err ? RETRY_S : STEP_S);
    }
}

void trust_write_metrics(const struct trust *t, struct metrics_writer *w)
{
    static const struct metric_family expiry = {
        "prober_server_certificate_expiry_timestamp_seconds", METRIC_GAUGE, "seconds",
        "When the certificates of trusted links expire, Unix time."};
    static const char *const which[] = {"server", "authority"};

    metrics_by(w, &expiry, "certificate", which,
               (const uint64_t[]){(uint64_t)atomic_load(&t->server_expires_s),
                                  (uint64_t)atomic_load(&t->ca_expires_s)},
               ARRAY_LEN(which));
}

void trust_close(struct trust *t)
{
    if (!t)
        return;
    channel_server_close(t->server);
    ticket_keys_close(t->tickets);
    authority_close(t->authority);
    free(t);
}

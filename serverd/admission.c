#include "serverd/admission.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "serverd/local_desk.h"
#include "serverd/local_server.h"
#include "serverd/store_trust.h"

#define COMMAND_NS (5 * CLOCK_NS_PER_S)

struct admission {
    struct admission_config config;
    struct store_trust *store; /* NULL: it does not work */
    struct revocations *revocations;
    struct enrolment *enrolment;
    struct local_desk desk;
    struct local_server *local;
};

/* ---- without a store ---- */

static enum prober_error fail_store(struct prober_failure *why)
{
    return prober_fail(why, PROBER_ERR_STATE, "the server's store does not work");
}

static enum prober_error keep_none(void *context, const struct revocation *revocation,
                                   struct prober_failure *why)
{
    (void)context;
    (void)revocation;
    return fail_store(why);
}

static enum prober_error forget_none(void *context, const struct prober_id *agent_id,
                                     struct prober_failure *why)
{
    (void)context;
    (void)agent_id;
    return fail_store(why);
}

/* ---- life ---- */

static enum prober_error load_revocations(struct admission *j, struct prober_failure *why)
{
    struct revocation_store kept = {.save = keep_none, .forget = forget_none};
    enum prober_error err;

    if (j->store)
        kept = store_trust_revocations(j->store);
    else
        log_error("without a store it is not known who is revoked, and nobody can join");
    err = revocations_create(&j->revocations, &kept);
    if (err)
        return prober_fail(why, err, "no memory for revocations");
    return j->store ? store_trust_load_revocations(j->store, j->revocations, why) : PROBER_OK;
}

enum prober_error admission_create(struct admission **out, const struct admission_config *config,
                                   struct prober_failure *why)
{
    struct enrolment_config enrolment = {.ca = config->ca, .server_boot = config->server_boot};
    struct admission *j = calloc(1, sizeof(*j));
    enum prober_error err = PROBER_OK;

    if (!j)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for joining");
    if (config->store_works)
        err = store_trust_open(&j->store, config->state_dir, why);
    if (!err)
        err = load_revocations(j, why);
    if (err)
        goto out;
    j->config = *config;
    memcpy(enrolment.ca_fingerprint, config->ca_fingerprint, sizeof(enrolment.ca_fingerprint));
    enrolment.store = j->store;
    enrolment.revocations = j->revocations;
    err = enrolment_create(&j->enrolment, &enrolment, why);
    if (err)
        goto out;
    *out = j;
    j = NULL;
out:
    admission_destroy(j);
    return err;
}

struct revocations *admission_revocations(const struct admission *j)
{
    return j->revocations;
}

struct enrolment *admission_enrolment(const struct admission *j)
{
    return j->enrolment;
}

enum prober_error admission_listen(struct admission *j, const struct admission_socket *socket,
                                   struct prober_failure *why)
{
    const struct local_server_config config = {.dir = j->config.state_dir,
                                               .timeout_ns = COMMAND_NS,
                                               .handle = local_desk_handle,
                                               .context = &j->desk};

    j->desk = (struct local_desk){.enrolment = j->enrolment,
                                  .revocations = j->revocations,
                                  .store = j->store,
                                  .audit = socket->audit,
                                  .board = socket->board,
                                  .listen = socket->listen,
                                  .port = socket->port,
                                  .wake = socket->wake,
                                  .context = socket->context};
    return local_server_open(&j->local, &config, why);
}

void admission_write_metrics(const struct admission *j, struct metrics_writer *w)
{
    enrolment_write_metrics(j->enrolment, w);
}

void admission_stop(struct admission *j)
{
    if (!j)
        return;
    local_server_close(j->local);
    j->local = NULL;
    enrolment_stop(j->enrolment);
}

void admission_destroy(struct admission *j)
{
    if (!j)
        return;
    admission_stop(j);
    enrolment_destroy(j->enrolment);
    revocations_destroy(j->revocations);
    store_trust_close(j->store);
    free(j);
}

/*
 * admission - what a server needs to take agents in and to throw them out, put together.
 *
 * Purpose    Makes the store of trust, the revocations, the enrolment and the socket for commands, in
 *            this order, and undoes them.
 * Threads    main() only, but admission_write_metrics.
 * Ownership  Owns what it makes. Borrows what it is given.
 */
#ifndef SERVERD_ADMISSION_H
#define SERVERD_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/metrics.h"
#include "common/pki.h"
#include "serverd/directory.h"
#include "serverd/enrolment.h"
#include "serverd/revocations.h"
#include "serverd/store_audit.h"

struct admission;

struct admission_config {
    const char *state_dir;
    bool store_works; /* false: nobody can join, and who is revoked is not known */
    struct pki_ca *ca; /* NULL: nobody can join */
    uint8_t ca_fingerprint[DIGEST_SHA256_LEN];
    struct prober_id server_boot;
};

/* Loads what is kept. Errors: PROBER_ERR_IO, _RANGE, _FULL, _NOMEM with a sentence in *why. */
enum prober_error admission_create(struct admission **out, const struct admission_config *config,
                                 struct prober_failure *why);
struct revocations *admission_revocations(const struct admission *j);
struct enrolment *admission_enrolment(const struct admission *j);

struct admission_socket {
    struct store_audit *audit; /* NULL: there is none */
    struct directory_board *board;
    const char *listen; /* where agents call, as it was configured */
    uint16_t port;      /* and where they do in truth */
    void (*wake)(void *context); /* revocations have changed */
    void *context;
};
/* Has commands served from now on. Errors: as local_server_open. */
enum prober_error admission_listen(struct admission *j, const struct admission_socket *socket,
                                 struct prober_failure *why);
/* Any thread. */
void admission_write_metrics(const struct admission *j, struct metrics_writer *w);
/* Serves no command any more, and answers the agents that wait. NULL is fine for both. */
void admission_stop(struct admission *j);
void admission_destroy(struct admission *j);

#endif

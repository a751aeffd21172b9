/*
 * credentials - an agent's key and certificates on disk: to join with, to be known by, to be renewed.
 *
 * Purpose    In the directory, which is of mode 0700: agent.pem (the key, its certificate, and the
 *            authority's, in one file, as they change together), and while a certificate is asked for,
 *            next.key.
 *            The key that one is asked for with is written before it is used: an agent that was
 *            killed, or did not get its answer, asks again with the same key, and so gets the same id.
 *            What comes back is verified before it takes the place of what there is.
 *            Files that exist already can be used instead; they are never written.
 * Threads    One at a time.
 * Ownership  Copies what it is given. Texts it gives are valid until the next call.
 */
#ifndef AGENTD_CREDENTIALS_H
#define AGENTD_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/pki.h"

struct credentials;

struct credentials_config {
    const char *dir; /* its parent exists */
    /* Files that exist, all three or none; NULL or "": none. */
    const char *ca, *certificate, *key;
    uint32_t lot; /* a random number: when, of the time for it, to renew */
};

/* Reads what there is; that there is nothing is no error. Errors: PROBER_ERR_STATE (files that do not
 * belong together, or can be read by others), _SYNTAX, _NOT_FOUND, _DENIED, _IO, _NOMEM with a
 * sentence in *why. */
enum prober_error credentials_open(struct credentials **out,
                                   const struct credentials_config *config,
                                   struct prober_failure *why);
/* What our certificate says; NULL while there is none. It may have expired. */
const struct pki_identity *credentials_identity(const struct credentials *c);
/* The authority's certificate, ours, and our key, PEM; NULL while there are none. */
const char *credentials_ca(const struct credentials *c);
const char *credentials_certificate(const struct credentials *c);
const char *credentials_key(const struct credentials *c);
/* True when it is time to ask for a new certificate; never of files that were given. */
bool credentials_are_due(const struct credentials *c, int64_t now_s);
/* Replaces *request by a request for a certificate (DER), of a key that is on disk. Errors:
 * PROBER_ERR_STATE (files were given), _IO, _DENIED, _NOMEM with a sentence in *why. */
enum prober_error credentials_request(struct credentials *c, struct strbuf *request,
                                      struct prober_failure *why);
/* Takes the certificate that answered the request, and writes it: of a renewal (ca NULL: the authority
 * is the one we have, agent and region must be the same), or of joining (`ca`: PEM, whose certificates
 * the caller trusts). Errors: PROBER_ERR_STATE (nothing was asked for; not an agent's certificate, not
 * of our key, not of the authority, of another agent or region, not valid now), _SYNTAX, _IO, _DENIED,
 * _NOMEM with a sentence in *why: what there was is still there. */
enum prober_error credentials_accept(struct credentials *c, const char *certificate, const char *ca,
                                     int64_t now_s, struct prober_failure *why);
void credentials_close(struct credentials *c); /* NULL is fine */

#endif

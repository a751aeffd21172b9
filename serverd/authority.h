/*
 * authority - the server's certificates: where they are, and that they are there.
 *
 * Purpose    At its first start a server makes a certificate authority of its own, in a directory of
 *            mode 0700, all at once: after a kill it is there as a whole or not at all. Its own
 *            certificate it issues itself, and again in time. Files that exist already can be used
 *            instead:
 *
 *                authority and its key            joining works, the server's certificate is issued
 *                authority, certificate, key      the server issues nothing: nobody can join, agents
 *                                                 bring certificates that the authority issued
 *                all four                         joining works, with the certificate given
 *
 *            In the directory: ca.crt, ca.key, and server.pem (key and certificate in one file, as
 *            the two change together).
 * Threads    One at a time.
 * Ownership  Copies what it is given. Texts it gives are valid until the next call.
 */
#ifndef SERVERD_AUTHORITY_H
#define SERVERD_AUTHORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/pki.h"

struct authority;

struct authority_config {
    const char *dir; /* its parent exists */
    /* Files that exist; NULL or "": none. */
    const char *ca_certificate, *ca_key, *certificate, *key;
};

/* Reads what there is, and makes what is missing. Errors: PROBER_ERR_STATE (files that do not
 * belong together, have expired, can be read by others, or are there in part), _SYNTAX, _DENIED,
 * _IO, _NOT_FOUND, _NOMEM with a sentence in *why: the server must not go on without. Files that are
 * there are never replaced, but a server's certificate that we issued. */
enum prober_error authority_open(struct authority **out, const struct authority_config *config,
                                 int64_t now_s, struct prober_failure *why);
/* Judges the files that are given, in the same words, and makes nothing. When none are given, nothing
 * is looked at. Errors: as authority_open. */
enum prober_error authority_check(const struct authority_config *config, int64_t now_s,
                                  struct prober_failure *why);
/* Issues the server's certificate anew when two thirds of its life have passed; *changed tells. One
 * that was given is only looked at. Errors: as authority_open; the old one is still there. */
enum prober_error authority_renew(struct authority *a, int64_t now_s, bool *changed,
                                  struct prober_failure *why);
/* Whatever issues certificates; NULL without the authority's key. */
struct pki_ca *authority_ca(const struct authority *a);
/* The authority's certificate, the server's, and its key, PEM. */
const char *authority_ca_text(const struct authority *a);
const char *authority_certificate_text(const struct authority *a);
const char *authority_key_text(const struct authority *a);
/* What the two certificates say. */
const struct pki_identity *authority_ca_identity(const struct authority *a);
const struct pki_identity *authority_server_identity(const struct authority *a);
void authority_close(struct authority *a); /* NULL is fine */

#endif

#include "agentd/credentials.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/pki_file.h"

#define OWN "agent.pem"
#define NEXT_KEY "next.key"
#define BEGIN_CERTIFICATE "-----BEGIN CERTIFICATE-----"
/* For a key that others may have read. */
#define REMEDY "have it revoked and join anew"
#define FILE_PATH_MAX (PATH_MAX + 16)

struct credentials {
    char *dir;
    bool given;
    uint32_t lot;
    struct strbuf ca, certificate, key; /* empty: none */
    struct pki_identity identity;       /* while there is a certificate */
};

static void path_in(const struct credentials *c, const char *name, char out[FILE_PATH_MAX])
{
    snprintf(out, FILE_PATH_MAX, "%.*s/%s", PATH_MAX - 1, c->dir, name);
}

static bool is_given(const char *path)
{
    return path && path[0];
}

/* ---- what there is ---- */

/* Whether three texts make an agent. */
static enum prober_error check(const char *certificate, const char *key, const char *ca,
                               struct pki_identity *identity, struct prober_failure *why)
{
    enum prober_error err = pki_read_certificate(certificate, strlen(certificate), identity, why);

    if (!err && identity->role != PKI_ROLE_AGENT)
        err = prober_fail(why, PROBER_ERR_STATE, "not the certificate of an agent");
    if (!err)
        err = pki_check_key(certificate, key, why);
    return err ? err : pki_check_issued(ca, certificate, why);
}

static enum prober_error read_given(struct credentials *c, const struct credentials_config *config,
                                    struct prober_failure *why)
{
    enum prober_error err;

    if (!is_given(config->ca) || !is_given(config->certificate) || !is_given(config->key))
        return prober_fail(why, PROBER_ERR_STATE,
                           "an authority's certificate, the agent's, and its private key are "
                           "given together");
    c->given = true;
    err = pki_file_read(config->ca, &c->ca, why);
    if (!err)
        err = pki_file_read(config->certificate, &c->certificate, why);
    if (!err)
        err = pki_file_read(config->key, &c->key, why);
    return err ? err
               : pki_file_fault(
                     config->certificate,
                     check(c->certificate.bytes, c->key.bytes, c->ca.bytes, &c->identity, why),
                     why);
}

/* agent.pem as write_all makes it: the key, its certificate, then those of the authority. */
static enum prober_error split(struct credentials *c, const char *text, struct prober_failure *why)
{
    const char *certificate = strstr(text, BEGIN_CERTIFICATE);
    const char *ca = certificate ? strstr(certificate + 1, BEGIN_CERTIFICATE) : NULL;

    if (!ca)
        return prober_fail(why, PROBER_ERR_SYNTAX, "not a key with two certificates behind it");
    strbuf_put(&c->key, text, (size_t)(certificate - text));
    strbuf_put(&c->certificate, certificate, (size_t)(ca - certificate));
    strbuf_puts(&c->ca, ca);
    if (!strbuf_ok(&c->key) || !strbuf_ok(&c->certificate) || !strbuf_ok(&c->ca))
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for certificates");
    return check(c->certificate.bytes, c->key.len ? c->key.bytes : "", c->ca.bytes, &c->identity,
                 why);
}

static enum prober_error read_own(struct credentials *c, struct prober_failure *why)
{
    struct strbuf all = STRBUF_INIT;
    char path[FILE_PATH_MAX];
    enum prober_error err;

    path_in(c, OWN, path);
    if (access(path, F_OK) && errno == ENOENT)
        return PROBER_OK;
    err = pki_file_read_secret(path, REMEDY, &all, why);
    if (!err)
        err = pki_file_fault(path, split(c, all.bytes, why), why);
    pki_forget(&all);
    return err;
}

enum prober_error credentials_open(struct credentials **out,
                                   const struct credentials_config *config,
                                   struct prober_failure *why)
{
    struct credentials *c = calloc(1, sizeof(*c));
    enum prober_error err;

    if (!c || !(c->dir = strdup(config->dir))) {
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for certificates");
        goto out;
    }
    c->lot = config->lot;
    if (strlen(c->dir) > PATH_MAX - 32)
        err = prober_fail(why, PROBER_ERR_IO, "path too long: %.300s", c->dir);
    else if (is_given(config->ca) || is_given(config->certificate) || is_given(config->key))
        err = read_given(c, config, why);
    else
        err = read_own(c, why);
    if (err)
        goto out;
    *out = c;
    c = NULL;
out:
    credentials_close(c);
    return err;
}

const struct pki_identity *credentials_identity(const struct credentials *c)
{
    return c->certificate.len ? &c->identity : NULL;
}

const char *credentials_ca(const struct credentials *c)
{
    return c->ca.len ? c->ca.bytes : NULL;
}

const char *credentials_certificate(const struct credentials *c)
{
    return c->certificate.len ? c->certificate.bytes : NULL;
}

const char *credentials_key(const struct credentials *c)
{
    return c->key.len ? c->key.bytes : NULL;
}

bool credentials_are_due(const struct credentials *c, int64_t now_s)
{
    return !c->given && c->certificate.len && now_s >= pki_renewal_s(&c->identity, c->lot);
}

/* ---- asking for another ---- */

/* The key that was made before, if it is one. */
static enum prober_error read_next(const struct credentials *c, struct strbuf *key,
                                   struct prober_failure *why)
{
    char path[FILE_PATH_MAX];

    path_in(c, NEXT_KEY, path);
    return pki_file_read_secret(path, REMEDY, key, why);
}

static enum prober_error make_next(const struct credentials *c, struct strbuf *key,
                                   struct prober_failure *why)
{
    char path[FILE_PATH_MAX];
    enum prober_error err = pki_make_key(key);

    if (err)
        return prober_fail(why, err, "cannot make a key: %s", prober_error_text(err));
    err = file_make_dir(c->dir, 0700, why);
    if (err)
        return err;
    path_in(c, NEXT_KEY, path);
    return file_replace(path, key->bytes, key->len, 0600, why);
}

enum prober_error credentials_request(struct credentials *c, struct strbuf *request,
                                      struct prober_failure *why)
{
    struct strbuf key = STRBUF_INIT;
    enum prober_error err;

    if (c->given)
        return prober_fail(why, PROBER_ERR_STATE,
                           "the certificate was given as a file: who made it has to renew it");
    if (read_next(c, &key, NULL) != PROBER_OK ||
        pki_make_request(key.bytes, request, NULL) != PROBER_OK) {
        err = make_next(c, &key, why);
        if (!err)
            err = pki_make_request(key.bytes, request, why);
    } else {
        err = PROBER_OK;
    }
    pki_forget(&key);
    return err;
}

static enum prober_error check_same(const struct credentials *c, const struct pki_identity *next,
                                    struct prober_failure *why)
{
    if (c->certificate.len && (!prober_id_equal(&c->identity.agent_id, &next->agent_id) ||
                               strcmp(c->identity.region, next->region) != 0))
        return prober_fail(why, PROBER_ERR_STATE,
                           "the new certificate is of another agent or region than ours");
    return PROBER_OK;
}

static enum prober_error write_all(const struct credentials *c, const struct strbuf *key,
                                   const struct strbuf *certificate, const struct strbuf *ca,
                                   struct prober_failure *why)
{
    struct strbuf all = STRBUF_INIT;
    char path[FILE_PATH_MAX];
    enum prober_error err;

    strbuf_put(&all, key->bytes, key->len);
    strbuf_put(&all, certificate->bytes, certificate->len);
    strbuf_put(&all, ca->bytes, ca->len);
    path_in(c, OWN, path);
    err = strbuf_ok(&all) ? file_replace(path, all.bytes, all.len, 0600, why)
                          : prober_fail(why, PROBER_ERR_NOMEM, "no memory for certificates");
    pki_forget(&all);
    return err;
}

enum prober_error credentials_accept(struct credentials *c, const char *certificate, const char *ca,
                                     int64_t now_s, struct prober_failure *why)
{
    struct strbuf key = STRBUF_INIT, own = STRBUF_INIT, authority = STRBUF_INIT;
    struct pki_identity identity;
    char path[FILE_PATH_MAX];
    enum prober_error err;

    strbuf_puts(&own, certificate);
    strbuf_puts(&authority, ca ? ca : c->ca.len ? c->ca.bytes : "");
    if (c->given || read_next(c, &key, NULL) != PROBER_OK || !authority.len) {
        err = prober_fail(why, PROBER_ERR_STATE, "no certificate was asked for");
        goto out;
    }
    err = strbuf_ok(&own) && strbuf_ok(&authority)
              ? check(own.bytes, key.bytes, authority.bytes, &identity, why)
              : prober_fail(why, PROBER_ERR_NOMEM, "no memory for certificates");
    if (!err)
        err = pki_check_time(&identity, now_s, why);
    if (!err && !ca)
        err = check_same(c, &identity, why);
    if (!err)
        err = write_all(c, &key, &own, &authority, why);
    if (err)
        goto out;
    path_in(c, NEXT_KEY, path);
    unlink(path);
    pki_forget(&c->key);
    strbuf_free(&c->certificate);
    strbuf_free(&c->ca);
    c->key = key;
    c->certificate = own;
    c->ca = authority;
    c->identity = identity;
    key = own = authority = (struct strbuf)STRBUF_INIT;
out:
    pki_forget(&key);
    strbuf_free(&own);
    strbuf_free(&authority);
    return err;
}

void credentials_close(struct credentials *c)
{
    if (!c)
        return;
    strbuf_free(&c->ca);
    strbuf_free(&c->certificate);
    pki_forget(&c->key);
    free(c->dir);
    free(c);
}

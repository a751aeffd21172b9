#include "serverd/authority.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/pki_file.h"

#define CA_CERTIFICATE "ca.crt"
#define CA_KEY "ca.key"
#define SERVER "server.pem"
/* For a key that others may have read. */
#define REMEDY "move the directory away and join all agents anew"
#define FILE_PATH_MAX (PATH_MAX + 16)

struct authority {
    char *dir;
    bool given_server; /* its certificate is not ours to renew */
    struct pki_ca *ca; /* NULL: no key */
    struct strbuf ca_text, certificate, key;
    struct pki_identity ca_identity, server_identity;
};

static bool is_given(const char *path)
{
    return path && path[0];
}

static void path_in(const char *dir, const char *name, char out[FILE_PATH_MAX])
{
    snprintf(out, FILE_PATH_MAX, "%.*s/%s", PATH_MAX - 1, dir, name);
}

/* ---- making an authority ---- */

static enum prober_error sync_dir(const char *path, struct prober_failure *why)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum prober_error err = PROBER_OK;

    if (fd < 0 || fsync(fd))
        err = prober_fail(why, PROBER_ERR_IO, "cannot write %.300s to disk: %s", path,
                          strerror(errno));
    if (fd >= 0)
        close(fd);
    return err;
}

static void remove_draft(const char *draft)
{
    char path[FILE_PATH_MAX];

    path_in(draft, CA_CERTIFICATE, path);
    unlink(path);
    path_in(draft, CA_KEY, path);
    unlink(path);
    rmdir(draft);
}

static enum prober_error write_draft(const char *draft, int64_t now_s, struct prober_failure *why)
{
    struct strbuf key = STRBUF_INIT, certificate = STRBUF_INIT;
    char path[FILE_PATH_MAX];
    enum prober_error err = pki_ca_make(now_s, PKI_CA_LIFE_S, &key, &certificate);

    if (err) {
        prober_fail(why, err, "cannot make a certificate authority: %s", prober_error_text(err));
        goto out;
    }
    path_in(draft, CA_KEY, path);
    err = file_replace(path, key.bytes, key.len, 0600, why);
    if (err)
        goto out;
    path_in(draft, CA_CERTIFICATE, path);
    err = file_replace(path, certificate.bytes, certificate.len, 0600, why);
out:
    pki_forget(&key);
    strbuf_free(&certificate);
    return err;
}

static enum prober_error sync_parent(const char *dir, struct prober_failure *why)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(dir, '/');

    snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - dir) + 1 : 1, slash ? dir : ".");
    return sync_dir(parent, why);
}

/* All of it under another name first: the renaming makes it be there, and only where nothing is. */
static enum prober_error make_authority(const char *dir, int64_t now_s, struct prober_failure *why)
{
    char draft[PATH_MAX];
    enum prober_error err;

    snprintf(draft, sizeof(draft), "%s.XXXXXX", dir);
    if (!mkdtemp(draft)) /* mode 0700 */
        return prober_fail(why, errno == EACCES ? PROBER_ERR_DENIED : PROBER_ERR_IO,
                           "cannot make the directory %.300s: %s", dir, strerror(errno));
    err = write_draft(draft, now_s, why);
    if (!err)
        err = sync_dir(draft, why);
    if (!err && rename(draft, dir))
        err = prober_fail(why, PROBER_ERR_IO, "cannot make the directory %.300s: %s", dir,
                          strerror(errno));
    if (err)
        remove_draft(draft);
    return err ? err : sync_parent(dir, why);
}

/* ---- reading what there is ---- */

static enum prober_error open_ca(struct authority *a, const char *certificate, const char *key,
                                 bool own, struct prober_failure *why)
{
    struct strbuf key_text = STRBUF_INIT;
    enum prober_error err = pki_file_read(certificate, &a->ca_text, why);

    if (err)
        return err;
    err = pki_file_fault(
        certificate, pki_read_certificate(a->ca_text.bytes, a->ca_text.len, &a->ca_identity, why),
        why);
    if (!err && a->ca_identity.role != PKI_ROLE_CA)
        err = prober_fail(why, PROBER_ERR_STATE,
                          "%.300s is not the certificate of a certificate authority", certificate);
    if (err || !is_given(key))
        return err;
    err = own ? pki_file_read_secret(key, REMEDY, &key_text, why)
              : pki_file_read(key, &key_text, why);
    if (!err)
        err = pki_file_fault(key, pki_ca_open(&a->ca, a->ca_text.bytes, key_text.bytes, why), why);
    pki_forget(&key_text);
    return err;
}

static enum prober_error open_own_ca(struct authority *a, int64_t now_s, struct prober_failure *why)
{
    char certificate[FILE_PATH_MAX], key[FILE_PATH_MAX];
    struct stat about;

    path_in(a->dir, CA_CERTIFICATE, certificate);
    path_in(a->dir, CA_KEY, key);
    if (stat(certificate, &about) && errno == ENOENT && stat(key, &about) && errno == ENOENT) {
        enum prober_error err = make_authority(a->dir, now_s, why);

        if (err)
            return err;
    }
    return open_ca(a, certificate, key, true, why);
}

static enum prober_error check_server(struct authority *a, int64_t now_s,
                                      struct prober_failure *why)
{
    enum prober_error err =
        pki_read_certificate(a->certificate.bytes, a->certificate.len, &a->server_identity, why);

    if (!err && a->server_identity.role != PKI_ROLE_SERVER)
        err = prober_fail(why, PROBER_ERR_STATE,
                          "not the certificate of a server (serverAuth, DNS name %s)",
                          PKI_SERVER_NAME);
    if (!err)
        err = pki_check_key(a->certificate.bytes, a->key.bytes, why);
    return err ? err : pki_check_time(&a->server_identity, now_s, why);
}

static enum prober_error open_given_server(struct authority *a,
                                           const struct authority_config *config, int64_t now_s,
                                           struct prober_failure *why)
{
    enum prober_error err = pki_file_read(config->certificate, &a->certificate, why);

    a->given_server = true;
    if (!err)
        err = pki_file_read(config->key, &a->key, why);
    return err ? err : pki_file_fault(config->certificate, check_server(a, now_s, why), why);
}

/* ---- the server's own certificate, issued by us ---- */

static enum prober_error issue_server(struct authority *a, int64_t now_s,
                                      struct prober_failure *why)
{
    struct strbuf key = STRBUF_INIT, certificate = STRBUF_INIT, both = STRBUF_INIT;
    char path[FILE_PATH_MAX];
    enum prober_error err =
        pki_ca_issue_server(a->ca, now_s, PKI_SERVER_LIFE_S, &key, &certificate, why);

    if (err)
        goto out;
    strbuf_puts(&both, key.bytes);
    strbuf_puts(&both, certificate.bytes);
    path_in(a->dir, SERVER, path);
    err = strbuf_ok(&both) ? file_replace(path, both.bytes, both.len, 0600, why)
                           : prober_fail(why, PROBER_ERR_NOMEM, "no memory for a certificate");
    if (!err)
        err = pki_read_certificate(certificate.bytes, certificate.len, &a->server_identity, why);
    if (err)
        goto out;
    pki_forget(&a->key);
    strbuf_free(&a->certificate);
    a->key = key;
    a->certificate = certificate;
    key = certificate = (struct strbuf)STRBUF_INIT;
out:
    pki_forget(&key);
    pki_forget(&both);
    strbuf_free(&certificate);
    return err;
}

/* Whatever is wrong with what we issued, a new one mends. */
static enum prober_error open_own_server(struct authority *a, int64_t now_s,
                                         struct prober_failure *why)
{
    char path[FILE_PATH_MAX];

    path_in(a->dir, SERVER, path);
    if (pki_file_read_secret(path, REMEDY, &a->key, NULL) == PROBER_OK) {
        strbuf_put(&a->certificate, a->key.bytes, a->key.len);
        if (strbuf_ok(&a->certificate) && check_server(a, now_s, NULL) == PROBER_OK &&
            pki_check_issued(a->ca_text.bytes, a->certificate.bytes, NULL) == PROBER_OK &&
            now_s < pki_renewal_s(&a->server_identity, 0))
            return PROBER_OK;
    }
    return issue_server(a, now_s, why);
}

enum prober_error authority_renew(struct authority *a, int64_t now_s, bool *changed,
                                  struct prober_failure *why)
{
    enum prober_error err;

    *changed = false;
    if (a->given_server)
        return pki_check_time(&a->server_identity, now_s, why);
    if (now_s < pki_renewal_s(&a->server_identity, 0))
        return PROBER_OK;
    err = issue_server(a, now_s, why);
    *changed = err == PROBER_OK;
    return err;
}

/* ---- all of it ---- */

static enum prober_error check_config(const struct authority_config *c, struct prober_failure *why)
{
    if (strlen(c->dir) > PATH_MAX - 32)
        return prober_fail(why, PROBER_ERR_IO, "path too long: %.300s", c->dir);
    if (is_given(c->certificate) != is_given(c->key))
        return prober_fail(why, PROBER_ERR_STATE,
                           "a server's certificate and its private key are given together");
    if (is_given(c->ca_key) && !is_given(c->ca_certificate))
        return prober_fail(why, PROBER_ERR_STATE,
                           "the private key of an authority is given with its certificate");
    if (is_given(c->ca_certificate) && !is_given(c->ca_key) && !is_given(c->certificate))
        return prober_fail(why, PROBER_ERR_STATE,
                           "an authority is given with its private key, or with the server's "
                           "certificate and private key");
    return PROBER_OK;
}

enum prober_error authority_open(struct authority **out, const struct authority_config *config,
                                 int64_t now_s, struct prober_failure *why)
{
    struct authority *a = NULL;
    enum prober_error err = check_config(config, why);

    if (err)
        return err;
    a = calloc(1, sizeof(*a));
    if (!a || !(a->dir = strdup(config->dir))) {
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for certificates");
        goto out;
    }
    err = is_given(config->ca_certificate)
              ? open_ca(a, config->ca_certificate, config->ca_key, false, why)
              : open_own_ca(a, now_s, why);
    if (!err)
        err = pki_file_fault("certificate authority", pki_check_time(&a->ca_identity, now_s, why),
                             why);
    if (!err && !is_given(config->certificate) && is_given(config->ca_certificate))
        err = file_make_dir(a->dir, 0700, why);
    if (!err)
        err = is_given(config->certificate) ? open_given_server(a, config, now_s, why)
                                            : open_own_server(a, now_s, why);
    if (err)
        goto out;
    *out = a;
    a = NULL;
out:
    authority_close(a);
    return err;
}

enum prober_error authority_check(const struct authority_config *config, int64_t now_s,
                                  struct prober_failure *why)
{
    struct authority *a = NULL;
    enum prober_error err = check_config(config, why);

    if (err)
        return err;
    a = calloc(1, sizeof(*a));
    if (!a)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for certificates");
    if (is_given(config->ca_certificate)) {
        err = open_ca(a, config->ca_certificate, config->ca_key, false, why);
        if (!err)
            err = pki_file_fault(config->ca_certificate,
                                 pki_check_time(&a->ca_identity, now_s, why), why);
    }
    if (!err && is_given(config->certificate))
        err = open_given_server(a, config, now_s, why);
    authority_close(a);
    return err;
}

struct pki_ca *authority_ca(const struct authority *a)
{
    return a->ca;
}

const char *authority_ca_text(const struct authority *a)
{
    return a->ca_text.bytes;
}

const char *authority_certificate_text(const struct authority *a)
{
    return a->certificate.bytes;
}

const char *authority_key_text(const struct authority *a)
{
    return a->key.bytes;
}

const struct pki_identity *authority_ca_identity(const struct authority *a)
{
    return &a->ca_identity;
}

const struct pki_identity *authority_server_identity(const struct authority *a)
{
    return &a->server_identity;
}

void authority_close(struct authority *a)
{
    if (!a)
        return;
    pki_ca_close(a->ca);
    strbuf_free(&a->ca_text);
    pki_forget(&a->certificate); /* as read from server.pem, it holds the key too */
    pki_forget(&a->key);
    free(a->dir);
    free(a);
}

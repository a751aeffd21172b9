#include "libprober/http_kind.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "libprober/http_filled.h"

/* A kit as its holders do not see it. */
struct own_kit {
    struct http_kit shown;
    struct http_filled *filled;   /* NULL: the spec names no file */
    struct http_tls_trust *trust; /* NULL: it is the kind's */
    size_t holders;
};

struct http_kind {
    const struct http_spec *spec;
    char *secrets_dir;
    char *const *environment;
    struct http_judge *judge;
    struct http_tls_trust *trust; /* of the kits that have none of their own; or NULL */
    struct http_proxies *proxies;
    struct own_kit *kit; /* the latest; NULL: not made, as `why` says */
    struct prober_failure why;
    bool has_files, has_looked, keeps_bodies;
    uint64_t looked_ns;
};

/* ---- kits ---- */

static void let_go(struct own_kit *kit)
{
    if (!kit || --kit->holders > 0)
        return;
    http_oauth2_release(kit->shown.oauth2);
    http_tls_trust_destroy(kit->trust);
    http_filled_destroy(kit->filled);
    free(kit);
}

static enum prober_error fill(struct http_kind *k, struct own_kit *kit)
{
    const struct http_tls *tls = &k->spec->tls;
    struct prober_failure own;
    enum prober_error err = PROBER_OK;

    kit->shown = (struct http_kit){
        .spec = kit->filled ? http_filled_spec(kit->filled) : k->spec,
        .judge = k->judge,
        .trust = k->trust,
        .proxies = k->proxies,
        .keeps_body = k->keeps_bodies || http_judge_wants_body(k->judge),
    };
    if (tls->ca_file && !tls->insecure_skip_verify) {
        err = http_tls_trust_create(&kit->trust, kit->shown.spec->tls.ca, &own);
        kit->shown.trust = kit->trust;
        if (err)
            prober_fail(&k->why, err, "tls_config.ca_file: %.400s", own.text);
    }
    if (!err && k->spec->oauth2)
        err = http_oauth2_create(&kit->shown.oauth2, kit->shown.spec, k->environment, &k->why);
    return err;
}

/* Makes the kit anew, unless that would change nothing. */
static enum prober_error look(struct http_kind *k)
{
    struct own_kit *kit = calloc(1, sizeof(*kit));
    enum prober_error err = prober_fail(&k->why, PROBER_ERR_NOMEM, "out of memory");

    if (!kit)
        return err;
    kit->holders = 1;
    err = k->has_files ? http_filled_create(&kit->filled, k->spec, k->secrets_dir, &k->why)
                       : PROBER_OK;
    if (!err && k->kit && http_filled_equal(k->kit->filled, kit->filled)) {
        let_go(kit);
        return PROBER_OK;
    }
    if (!err)
        err = fill(k, kit);
    let_go(k->kit);
    k->kit = NULL;
    if (err)
        let_go(kit);
    else
        k->kit = kit;
    return err;
}

const struct http_kit *http_kind_hold(struct http_kind *k, uint64_t now_ns, const char **trouble)
{
    if (k->has_files && (!k->has_looked || now_ns - k->looked_ns >= HTTP_KIND_LOOK_NS)) {
        k->has_looked = true;
        k->looked_ns = now_ns;
        look(k);
    }
    if (!k->kit) {
        *trouble = k->why.text;
        return NULL;
    }
    k->kit->holders++;
    return &k->kit->shown;
}

void http_kit_release(const struct http_kit *kit)
{
    let_go((struct own_kit *)kit);
}

/* ---- kinds ---- */

static enum prober_error prepare(struct http_kind *k, const struct http_means *means,
                                 struct prober_failure *why)
{
    const struct http_tls *tls = &k->spec->tls;
    enum prober_error err = http_filled_check(k->spec, means->secrets_dir, why);

    if (err)
        return err;
    k->environment = means->environment;
    k->has_files = http_filled_is_needed(k->spec);
    if (k->has_files) {
        k->secrets_dir = strdup(means->secrets_dir);
        if (!k->secrets_dir)
            return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    }
    err = http_proxies_create(&k->proxies, &k->spec->proxy, means->environment, why);
    if (!err)
        err = http_judge_create(&k->judge, k->spec, why);
    if (!err && !tls->insecure_skip_verify && !tls->ca_file)
        err = means->roots && !tls->ca ? http_tls_roots_trust(means->roots, &k->trust, why)
                                       : http_tls_trust_create(&k->trust, tls->ca, why);
    if (!err && !k->has_files) {
        err = look(k);
        if (err)
            prober_fail(why, err, "%s", k->why.text);
    }
    return err;
}

enum prober_error http_kind_create(struct http_kind **out, const struct http_spec *spec,
                                   const struct http_means *means, struct prober_failure *why)
{
    static const struct http_means none = {0};
    struct http_kind *k = calloc(1, sizeof(*k));
    enum prober_error err;

    if (!k)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    k->spec = spec;
    err = prepare(k, means ? means : &none, why);
    if (!err) {
        *out = k;
        k = NULL;
    }
    http_kind_destroy(k);
    return err;
}

void http_kind_keep_bodies(struct http_kind *k)
{
    k->keeps_bodies = true;
    if (k->kit)
        k->kit->shown.keeps_body = true;
}

void http_kind_destroy(struct http_kind *k)
{
    if (!k)
        return;
    let_go(k->kit);
    http_judge_destroy(k->judge);
    http_tls_trust_destroy(k->trust);
    http_proxies_destroy(k->proxies);
    free(k->secrets_dir);
    free(k);
}

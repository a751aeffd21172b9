#include "libprober/http_kind.h"

#include <stdlib.h>

#include "common/array.h"

struct http_kind {
    const struct http_spec *spec;
    struct http_judge *judge;
    struct http_tls_trust *trust; /* NULL: nothing is verified */
};

static bool has_file_values(const struct http_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        if (headers->items[i].source == HTTP_VALUE_FILE)
            return true;
    return false;
}

static const char *unsupported_key(const struct http_spec *s)
{
    const struct {
        bool is_given;
        const char *key;
    } table[] = {
        {s->proxy.url || s->proxy.from_environment, "a proxy"},
        {s->oauth2 != NULL, "oauth2"},
        {s->body_file != NULL, "body_file"},
        {s->tls.ca_file || s->tls.cert_file || s->tls.key.file, "a file in tls_config"},
        {s->basic_auth && (s->basic_auth->username_file || s->basic_auth->password.file),
         "a file in basic_auth"},
        {s->authorization && s->authorization->credentials.file, "credentials_file"},
        {has_file_values(&s->headers) || has_file_values(&s->http_headers), "a file in headers"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].is_given)
            return table[i].key;
    return NULL;
}

enum prober_error http_kind_create(struct http_kind **out, const struct http_spec *spec,
                                   const struct http_means *means, struct prober_failure *why)
{
    const char *key = unsupported_key(spec);
    struct http_kind *k = calloc(1, sizeof(*k));
    enum prober_error err = PROBER_OK;

    (void)means;
    if (!k)
        err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    else if (key)
        err = prober_fail(why, PROBER_ERR_UNSUPPORTED, "%s cannot be used in probes yet", key);
    if (!err) {
        k->spec = spec;
        err = http_judge_create(&k->judge, spec, why);
    }
    if (!err && !spec->tls.insecure_skip_verify)
        err = http_tls_trust_create(&k->trust, spec->tls.ca, why);
    if (!err) {
        *out = k;
        k = NULL;
    }
    http_kind_destroy(k);
    return err;
}

const struct http_spec *http_kind_spec(const struct http_kind *k)
{
    return k->spec;
}

const struct http_judge *http_kind_judge(const struct http_kind *k)
{
    return k->judge;
}

const struct http_tls_trust *http_kind_trust(const struct http_kind *k)
{
    return k->trust;
}

void http_kind_destroy(struct http_kind *k)
{
    if (!k)
        return;
    http_judge_destroy(k->judge);
    http_tls_trust_destroy(k->trust);
    free(k);
}

#include "libprober/http_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "libprober/http_spec_schema.h"

#define ARENA_FIRST 1024

/* A spec, and what stands in the file only to be turned into other parts of it. */
struct draft {
    struct http_spec spec; /* first, so that a spec is a draft */
    struct http_secret bearer;
    bool no_follow_given, no_follow;
};

#define FIELD(type, name, member, what)                                                            \
    {                                                                                              \
        name, &http_type_##what, offsetof(type, member), NULL                                      \
    }
#define DETAIL(type, name, member, what, detail)                                                   \
    {                                                                                              \
        name, &http_type_##what, offsetof(type, member), detail                                    \
    }
#define REFUSED(name, why)                                                                         \
    {                                                                                              \
        name, &http_type_refused, 0, why                                                           \
    }

#define NO_STORE "there is no store of secrets that it could refer to"
#define NO_JWT "only the grant type client_credentials is"
#define NO_CEL "conditions in CEL are not evaluated"
#define NO_HTTP3 "probes speak HTTP/1.1 and HTTP/2"

/* ---- tls_config ---- */

static const struct http_choices tls_versions = {
    .initial = HTTP_TLS_DEFAULT,
    .expected = "TLS10, TLS11, TLS12 or TLS13",
    .names = {{"TLS10", HTTP_TLS_1_0},
              {"TLS11", HTTP_TLS_1_1},
              {"TLS12", HTTP_TLS_1_2},
              {"TLS13", HTTP_TLS_1_3}},
};

static const struct http_key tls_keys[] = {
    DETAIL(struct http_tls, "ca", ca, text, &http_long_text),
    FIELD(struct http_tls, "ca_file", ca_file, text),
    DETAIL(struct http_tls, "cert", cert, text, &http_long_text),
    FIELD(struct http_tls, "cert_file", cert_file, text),
    DETAIL(struct http_tls, "key", key.text, secret, &http_long_text),
    FIELD(struct http_tls, "key_file", key.file, text),
    FIELD(struct http_tls, "server_name", server_name, text),
    FIELD(struct http_tls, "insecure_skip_verify", insecure_skip_verify, bool),
    DETAIL(struct http_tls, "min_version", min_version, choice, &tls_versions),
    DETAIL(struct http_tls, "max_version", max_version, choice, &tls_versions),
    REFUSED("ca_ref", NO_STORE),
    REFUSED("cert_ref", NO_STORE),
    REFUSED("key_ref", NO_STORE),
};

/* Complains of `b` when both are given. */
static void refuse_both(struct http_reader *r, const struct http_setting *s, const char *a,
                        const void *value_a, const char *b, const void *value_b)
{
    if (value_a && value_b)
        http_complain_of(r, s, b, "either %s or %s, not both", a, b);
}

static void check_tls(struct http_reader *r, const struct http_setting *s, void *fields)
{
    const struct http_tls *tls = fields;
    bool has_cert = tls->cert || tls->cert_file, has_key = tls->key.text || tls->key.file;
    enum http_tls_version least = tls->min_version ? tls->min_version : HTTP_TLS_1_2;

    refuse_both(r, s, "ca", tls->ca, "ca_file", tls->ca_file);
    refuse_both(r, s, "cert", tls->cert, "cert_file", tls->cert_file);
    refuse_both(r, s, "key", tls->key.text, "key_file", tls->key.file);
    if (has_cert && !has_key)
        http_complain_of(r, s, tls->cert ? "cert" : "cert_file", "a certificate without its key");
    if (has_key && !has_cert)
        http_complain_of(r, s, tls->key.text ? "key" : "key_file", "a key without its certificate");
    if (tls->max_version && tls->max_version < least)
        http_complain_of(r, s, "max_version", "less than min_version, which is %s",
                         tls->min_version ? "given" : "TLS12 unless given");
}

static const struct http_block tls_block = {tls_keys, ARRAY_LEN(tls_keys), 0, check_tls};

/* ---- proxies ---- */

static const struct http_schemes proxy_schemes = {
    "http://, https://, socks5:// or socks5h://",
    {"http://", "https://", "socks5://", "socks5h://"},
};

#define PROXY_KEYS(type, member)                                                                   \
    DETAIL(type, "proxy_url", member.url, url, &proxy_schemes),                                    \
        FIELD(type, "no_proxy", member.no_proxy, text),                                            \
        FIELD(type, "proxy_from_environment", member.from_environment, bool),                      \
        FIELD(type, "proxy_connect_header", member.connect_headers, secret_header_lists)

static void check_proxy(struct http_reader *r, const struct http_setting *s,
                        const struct http_proxy *proxy)
{
    if (proxy->from_environment && proxy->url)
        http_complain_of(r, s, "proxy_from_environment", "excludes proxy_url");
    if (proxy->from_environment && proxy->no_proxy)
        http_complain_of(r, s, "proxy_from_environment", "excludes no_proxy");
    else if (proxy->no_proxy && !proxy->url)
        http_complain_of(r, s, "no_proxy", "needs proxy_url");
    if (proxy->connect_headers.count && !proxy->url && !proxy->from_environment)
        http_complain_of(r, s, "proxy_connect_header", "needs proxy_url or proxy_from_environment");
}

/* ---- credentials ---- */

static const struct http_key basic_keys[] = {
    FIELD(struct http_basic_auth, "username", username, text),
    FIELD(struct http_basic_auth, "username_file", username_file, text),
    FIELD(struct http_basic_auth, "password", password.text, secret),
    FIELD(struct http_basic_auth, "password_file", password.file, text),
    REFUSED("username_ref", NO_STORE),
    REFUSED("password_ref", NO_STORE),
};

static void check_basic(struct http_reader *r, const struct http_setting *s, void *fields)
{
    const struct http_basic_auth *basic = fields;

    refuse_both(r, s, "username", basic->username, "username_file", basic->username_file);
    refuse_both(r, s, "password", basic->password.text, "password_file", basic->password.file);
}

static const struct http_block basic_block = {basic_keys, ARRAY_LEN(basic_keys),
                                              sizeof(struct http_basic_auth), check_basic};

static const struct http_key authorization_keys[] = {
    FIELD(struct http_authorization, "type", type, header_text),
    FIELD(struct http_authorization, "credentials", credentials.text, header_secret),
    FIELD(struct http_authorization, "credentials_file", credentials.file, text),
    REFUSED("credentials_ref", NO_STORE),
};

static bool is_basic(const char *type)
{
    type += strspn(type, " \t");
    return strncasecmp(type, "basic", 5) == 0 && type[5 + strspn(type + 5, " \t")] == '\0';
}

static void check_authorization(struct http_reader *r, const struct http_setting *s, void *fields)
{
    struct http_authorization *authorization = fields;

    refuse_both(r, s, "credentials", authorization->credentials.text, "credentials_file",
                authorization->credentials.file);
    if (!authorization->type)
        authorization->type = "Bearer";
    if (is_basic(authorization->type))
        http_complain_of(r, s, "type", "for Basic there is basic_auth");
}

static const struct http_block authorization_block = {
    authorization_keys, ARRAY_LEN(authorization_keys), sizeof(struct http_authorization),
    check_authorization};

static const struct http_schemes token_schemes = {"http:// or https://", {"http://", "https://"}};

static void read_grant_type(struct http_reader *r, const struct http_setting *s,
                            const struct http_key *key, void *field)
{
    const char *text = http_text(r, s, HTTP_SPEC_NAME_MAX);

    (void)key;
    (void)field;
    if (text && *text && strcmp(text, "client_credentials") != 0)
        http_complain(r, s, "not supported: %s", NO_JWT);
}

static const struct http_type http_type_grant = {read_grant_type, NULL};

static const struct http_key oauth2_keys[] = {
    FIELD(struct http_oauth2, "client_id", client_id, text),
    FIELD(struct http_oauth2, "client_secret", client_secret.text, secret),
    FIELD(struct http_oauth2, "client_secret_file", client_secret.file, text),
    FIELD(struct http_oauth2, "scopes", scopes, texts),
    DETAIL(struct http_oauth2, "token_url", token_url, url, &token_schemes),
    FIELD(struct http_oauth2, "endpoint_params", endpoint_params, secret_params),
    DETAIL(struct http_oauth2, "tls_config", tls, block, &tls_block),
    PROXY_KEYS(struct http_oauth2, proxy),
    {"grant_type", &http_type_grant, 0, NULL},
    REFUSED("client_secret_ref", NO_STORE),
    REFUSED("client_certificate_key_id", NO_JWT),
    REFUSED("client_certificate_key", NO_JWT),
    REFUSED("client_certificate_key_file", NO_JWT),
    REFUSED("client_certificate_key_ref", NO_JWT),
    REFUSED("signature_algorithm", NO_JWT),
    REFUSED("iss", NO_JWT),
    REFUSED("audience", NO_JWT),
    REFUSED("claims", NO_JWT),
};

static void check_oauth2(struct http_reader *r, const struct http_setting *s, void *fields)
{
    const struct http_oauth2 *oauth2 = fields;

    refuse_both(r, s, "client_secret", oauth2->client_secret.text, "client_secret_file",
                oauth2->client_secret.file);
    if (!oauth2->client_id)
        http_complain_of(r, s, "client_id", "missing");
    if (!oauth2->token_url && !yaml_get(s->node, "token_url"))
        http_complain_of(r, s, "token_url", "missing");
    for (size_t i = 0; i < oauth2->endpoint_params.count && oauth2->scopes.count > 0; i++)
        if (strcmp(oauth2->endpoint_params.items[i].name, "scope") == 0)
            http_complain_of(r, s, "endpoint_params", "holds a scope, which scopes do too");
    check_proxy(r, s, &oauth2->proxy);
}

static const struct http_block oauth2_block = {oauth2_keys, ARRAY_LEN(oauth2_keys),
                                               sizeof(struct http_oauth2), check_oauth2};

/* ---- the http block ---- */

static const struct http_choices families = {
    .initial = PROBER_FAMILY_IPV6,
    .expected = "ip4 or ip6",
    .names = {{"ip6", PROBER_FAMILY_IPV6}, {"ip4", PROBER_FAMILY_IPV4}, {"", PROBER_FAMILY_IPV6}},
};

static const struct http_choices compressions = {
    .initial = HTTP_COMPRESSION_NONE,
    .any_case = true,
    .expected = "gzip, deflate, br or identity",
    .names = {{"", HTTP_COMPRESSION_NONE},
              {"identity", HTTP_COMPRESSION_IDENTITY},
              {"gzip", HTTP_COMPRESSION_GZIP},
              {"deflate", HTTP_COMPRESSION_DEFLATE},
              {"br", HTTP_COMPRESSION_BR}},
};

static void read_no_follow(struct http_reader *r, const struct http_setting *s,
                           const struct http_key *key, void *field)
{
    struct draft *d = field;

    d->no_follow_given = true;
    http_type_bool.read(r, s, key, &d->no_follow);
}

static const struct http_type http_type_no_follow = {read_no_follow, NULL};

/* The draft's bearer token becomes an authorization; it is never written. */
static void read_bearer(struct http_reader *r, const struct http_setting *s,
                        const struct http_key *key, void *field)
{
    http_type_header_text.read(r, s, key, field);
}

static const struct http_type http_type_bearer = {read_bearer, NULL};

static const struct http_key block_keys[] = {
    FIELD(struct http_spec, "valid_status_codes", valid_status_codes, codes),
    FIELD(struct http_spec, "valid_http_versions", valid_http_versions, texts),
    DETAIL(struct http_spec, "preferred_ip_protocol", preferred_family, choice, &families),
    DETAIL(struct http_spec, "ip_protocol_fallback", ip_protocol_fallback, bool,
           &http_default_true),
    FIELD(struct http_spec, "skip_resolve_phase_with_proxy", skip_resolve_phase_with_proxy, bool),
    {"no_follow_redirects", &http_type_no_follow, 0, NULL},
    FIELD(struct http_spec, "fail_if_ssl", fail_if_ssl, bool),
    FIELD(struct http_spec, "fail_if_not_ssl", fail_if_not_ssl, bool),
    FIELD(struct http_spec, "method", method, token),
    FIELD(struct http_spec, "headers", headers, header_map),
    {"body", &http_type_body, 0, NULL},
    FIELD(struct http_spec, "body_file", body_file, text),
    FIELD(struct http_spec, "fail_if_body_matches_regexp", fail_if_body_matches_regexp, regexps),
    FIELD(struct http_spec, "fail_if_body_not_matches_regexp", fail_if_body_not_matches_regexp,
          regexps),
    FIELD(struct http_spec, "fail_if_header_matches", fail_if_header_matches, header_matches),
    FIELD(struct http_spec, "fail_if_header_not_matches", fail_if_header_not_matches,
          header_matches),
    DETAIL(struct http_spec, "compression", compression, choice, &compressions),
    FIELD(struct http_spec, "body_size_limit", body_size_limit, size),
    REFUSED("fail_if_body_json_matches_cel", NO_CEL),
    REFUSED("fail_if_body_json_not_matches_cel", NO_CEL),
    {"enable_http3", &http_type_refused_true, 0, NO_HTTP3},
};

static const struct http_key client_keys[] = {
    DETAIL(struct http_spec, "follow_redirects", follow_redirects, bool, &http_default_true),
    DETAIL(struct http_spec, "enable_http2", enable_http2, bool, &http_default_true),
    FIELD(struct http_spec, "http_headers", http_headers, header_lines),
    DETAIL(struct http_spec, "tls_config", tls, block, &tls_block),
    DETAIL(struct http_spec, "basic_auth", basic_auth, block, &basic_block),
    DETAIL(struct http_spec, "authorization", authorization, block, &authorization_block),
    DETAIL(struct http_spec, "oauth2", oauth2, block, &oauth2_block),
    PROXY_KEYS(struct http_spec, proxy),
    {"bearer_token", &http_type_bearer, offsetof(struct draft, bearer.text), NULL},
    {"bearer_token_file", &http_type_bearer, offsetof(struct draft, bearer.file), NULL},
};

/* ---- what the keys must be together ---- */

static void check_credentials(struct http_reader *r, const struct http_setting *s,
                              const struct draft *d)
{
    const struct {
        const char *name;
        bool given;
    } kinds[] = {
        {"basic_auth", d->spec.basic_auth != NULL},
        {"authorization", d->spec.authorization != NULL},
        {"oauth2", d->spec.oauth2 != NULL},
        {d->bearer.text ? "bearer_token" : "bearer_token_file", d->bearer.text || d->bearer.file},
    };
    const char *first = NULL;

    refuse_both(r, s, "bearer_token", d->bearer.text, "bearer_token_file", d->bearer.file);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (kinds[i].given && first)
            http_complain_of(r, s, kinds[i].name, "either %s or %s, not both", first,
                             kinds[i].name);
        if (kinds[i].given && !first)
            first = kinds[i].name;
    }
}

static void check_versions(struct http_reader *r, const struct http_setting *s,
                           const struct http_texts *versions)
{
    static const char *const spoken[] = {"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"};
    bool possible = versions->count == 0, http3 = false;

    for (size_t i = 0; i < versions->count; i++) {
        for (size_t k = 0; k < ARRAY_LEN(spoken); k++)
            possible = possible || strcmp(versions->items[i], spoken[k]) == 0;
        http3 = http3 || strcmp(versions->items[i], "HTTP/3.0") == 0;
    }
    if (http3)
        http_complain_of(r, s, "valid_http_versions", "not supported: %s", NO_HTTP3);
    else if (!possible)
        http_complain_of(r, s, "valid_http_versions",
                         "no answer has such a version: they are HTTP/1.0, HTTP/1.1 and HTTP/2.0");
}

/* The name of a compression as it stands in Accept-Encoding. */
static const char *coding_name(enum http_compression compression)
{
    for (size_t i = 0; i < ARRAY_LEN(compressions.names) && compressions.names[i].name; i++)
        if (compressions.names[i].value == compression)
            return compressions.names[i].name;
    return "";
}

static void trim(const char **text, size_t *len)
{
    while (*len && strchr(" \t", **text))
        ++*text, --*len;
    while (*len && strchr(" \t", (*text)[*len - 1]))
        --*len;
}

/* True when "q=0.5" is above zero as three decimals tell it; what is no number is not. */
static bool is_wanted(const char *quality, size_t len)
{
    char number[32] = "";

    trim(&quality, &len);
    if (len > 2 && strncmp(quality, "q=", 2) == 0)
        quality += 2, len -= 2;
    if (len >= sizeof(number) || strspn(quality, "0123456789.") < len)
        return false;
    memcpy(number, quality, len);
    return strtod(number, NULL) >= 0.0005;
}

/* True when the list `accepted` (RFC 9110, 12.5.3) has `coding` or * with a quality above zero. */
static bool accepts(const char *accepted, const char *coding)
{
    while (*accepted) {
        size_t whole = strcspn(accepted, ",");
        const char *quality = memrchr(accepted, ';', whole), *name = accepted;
        size_t len = quality ? (size_t)(quality - accepted) : whole;

        trim(&name, &len);
        if ((len == strlen(coding) && strncasecmp(name, coding, len) == 0) ||
            (len == 1 && *name == '*')) {
            if (!quality || is_wanted(quality + 1, whole - (size_t)(quality + 1 - accepted)))
                return true;
        }
        accepted += whole + (accepted[whole] == ',');
    }
    return false;
}

static void check_compression(struct http_reader *r, const struct http_setting *s,
                              const struct http_spec *spec)
{
    const char *coding = coding_name(spec->compression);

    if (!*coding)
        return;
    for (size_t i = 0; i < spec->headers.count; i++) {
        const struct http_header *header = &spec->headers.items[i];

        if (strcasecmp(header->name, "Accept-Encoding") == 0 && *header->value &&
            !accepts(header->value, coding))
            http_complain_of(r, s, "compression", "the header %s does not accept %s", header->name,
                             coding);
    }
}

static void check_draft(struct http_reader *r, const struct http_setting *s, struct draft *d)
{
    struct http_spec *spec = &d->spec;

    check_credentials(r, s, d);
    check_proxy(r, s, &spec->proxy);
    check_versions(r, s, &spec->valid_http_versions);
    check_compression(r, s, spec);
    refuse_both(r, s, "body", spec->body, "body_file", spec->body_file);
}

/* ---- reading ---- */

bool http_read_key(struct http_reader *r, const struct http_setting *s, const char *name,
                   const struct http_key *keys, size_t count, void *fields)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].name, name) == 0) {
            if (!yaml_is_null(s->node))
                keys[i].type->read(r, s, &keys[i], (char *)fields + keys[i].offset);
            return true;
        }
    return false;
}

/* Complains of the i-th key of a mapping as unknown, at the key's own line. */
static void complain_of_unknown(struct http_reader *r, const struct http_setting *mapping, size_t i)
{
    struct http_setting where = http_setting_at(mapping, i);

    where.node = yaml_key(mapping->node, i);
    http_complain(r, &where, "unknown key");
}

void http_read_block(struct http_reader *r, const struct http_setting *s,
                     const struct http_block *block, void *fields)
{
    for (size_t i = 0; i < yaml_count(s->node); i++) {
        struct http_setting value = http_setting_at(s, i);

        if (!http_read_key(r, &value, yaml_text(yaml_key(s->node, i)), block->keys, block->count,
                           fields))
            complain_of_unknown(r, s, i);
    }
    if (block->check && !r->no_memory)
        block->check(r, s, fields);
}

static void read_nested(struct http_reader *r, const struct http_setting *s,
                        const struct http_key *key, void *field)
{
    const struct http_block *block = key->detail;
    void *fields = field;

    if (yaml_kind(s->node) != YAML_MAPPING) {
        http_complain(r, s, "expected a mapping of settings");
        return;
    }
    if (block->size)
        *(void **)field = fields = http_take(r, 1, block->size);
    if (fields)
        http_read_block(r, s, block, fields);
}

static bool put_nested(const struct http_writer *w, const struct http_key *key, const void *field)
{
    const struct http_block *block = key->detail;
    const void *fields = block->size ? *(const void *const *)field : field;
    struct http_writer on_one_line = *w;
    size_t before;

    if (!fields)
        return false;
    on_one_line.indent = 0;
    strbuf_putc(w->out, '{');
    before = w->out->len;
    http_put_keys(&on_one_line, block->keys, block->count, fields);
    strbuf_putc(w->out, '}');
    return block->size || w->out->len > before + 1;
}

const struct http_type http_type_block = {read_nested, put_nested};

static const struct http_block client_block = {client_keys, ARRAY_LEN(client_keys), 0, NULL};

static void read_root_key(struct http_reader *r, const struct http_setting *s, size_t i,
                          struct draft *d)
{
    struct http_setting value = http_setting_at(s, i);
    const char *name = yaml_text(yaml_key(s->node, i));

    if (strcmp(name, "http_client_config") == 0) {
        if (r->client.node && yaml_kind(r->client.node) == YAML_MAPPING)
            http_read_block(r, &value, &client_block, d);
        else if (r->client.node)
            http_complain(r, &value, "expected a mapping of settings");
    } else if (http_read_key(r, &value, name, client_keys, ARRAY_LEN(client_keys), d)) {
        if (r->client.node)
            http_complain(r, &value,
                          "stands beside http_client_config; the client's keys belong all there, "
                          "or all here");
    } else if (!http_read_key(r, &value, name, block_keys, ARRAY_LEN(block_keys), d)) {
        complain_of_unknown(r, s, i);
    }
}

static void read_root(struct http_reader *r, const struct http_setting *s,
                      const char *const *others, struct draft *d)
{
    (void)others;
    if (yaml_is_null(s->node))
        return;
    if (yaml_kind(s->node) != YAML_MAPPING) {
        http_complain(r, s, "expected a mapping of settings");
        return;
    }
    for (size_t i = 0; i < yaml_count(s->node); i++)
        if (strcmp(yaml_text(yaml_key(s->node, i)), "http_client_config") == 0 &&
            !yaml_is_null(yaml_value(s->node, i)))
            r->client = http_setting_at(s, i);
    for (size_t i = 0; i < yaml_count(s->node) && !r->no_memory; i++)
        read_root_key(r, s, i, d);
    if (!r->no_memory)
        check_draft(r, s, d);
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static void read_client(struct http_reader *r, const struct http_setting *s,
                        const char *const *others, struct draft *d)
{
    for (size_t i = 0; i < yaml_count(s->node) && !r->no_memory; i++) {
        struct http_setting value = http_setting_at(s, i);
        const char *name = yaml_text(yaml_key(s->node, i));

        if (!is_one_of(name, others) &&
            !http_read_key(r, &value, name, client_keys, ARRAY_LEN(client_keys), d))
            complain_of_unknown(r, s, i);
    }
    if (r->no_memory)
        return;
    check_credentials(r, s, d);
    check_proxy(r, s, &d->spec.proxy);
}

static void finish(struct http_reader *r, struct draft *d)
{
    struct http_authorization *bearer;

    if (d->no_follow_given)
        d->spec.follow_redirects = !d->no_follow;
    if (!d->bearer.text && !d->bearer.file)
        return;
    bearer = http_take(r, 1, sizeof(*bearer));
    if (bearer)
        *bearer = (struct http_authorization){.type = "Bearer", .credentials = d->bearer};
    d->spec.authorization = bearer;
}

/* ---- life ---- */

static struct draft *create_draft(void)
{
    struct arena *memory = arena_create(ARENA_FIRST, HTTP_SPEC_MEMORY_MAX);
    struct draft *d = memory ? arena_alloc(memory, sizeof(*d)) : NULL;

    if (!d) {
        arena_destroy(memory);
        return NULL;
    }
    *d = (struct draft){
        .spec = {.memory = memory,
                 .method = "GET",
                 .preferred_family = PROBER_FAMILY_IPV6,
                 .ip_protocol_fallback = true,
                 .follow_redirects = true,
                 .enable_http2 = true},
    };
    return d;
}

enum prober_error http_spec_create(struct http_spec **out)
{
    struct draft *d = create_draft();

    if (!d)
        return PROBER_ERR_NOMEM;
    *out = &d->spec;
    return PROBER_OK;
}

/* Reads a mapping with `read`. */
static enum prober_error read_with(void (*read)(struct http_reader *r, const struct http_setting *s,
                                                const char *const *others, struct draft *d),
                                   const char *const *others, struct http_spec **out,
                                   const struct yaml_document *doc, const struct yaml_node *node,
                                   const char *key, struct problems *problems)
{
    size_t before = problems_count(problems);
    struct draft *d = create_draft();
    struct http_reader r = {.doc = doc, .problems = problems};
    struct http_setting s = {.node = node};
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!d)
        return err;
    r.memory = d->spec.memory;
    snprintf(s.key, sizeof(s.key), "%.180s", key);
    read(&r, &s, others, d);
    if (!r.no_memory && problems_count(problems) == before)
        finish(&r, d);
    if (r.no_memory && arena_is_over_limit(r.memory)) {
        http_complain(&r, &s, "larger than %d bytes in all", HTTP_SPEC_MEMORY_MAX);
        r.no_memory = false;
    }
    if (!r.no_memory)
        err = problems_count(problems) > before ? PROBER_ERR_SYNTAX : PROBER_OK;
    if (err)
        http_spec_destroy(&d->spec);
    else
        *out = &d->spec;
    return err;
}

enum prober_error http_spec_read(struct http_spec **out, const struct yaml_document *doc,
                                 const struct yaml_node *node, const char *key,
                                 struct problems *problems)
{
    return read_with(read_root, NULL, out, doc, node, key, problems);
}

enum prober_error http_spec_read_client(struct http_spec **out, const struct yaml_document *doc,
                                        const struct yaml_node *node, const char *key,
                                        const char *const *others, struct problems *problems)
{
    return read_with(read_client, others, out, doc, node, key, problems);
}

enum prober_error http_spec_read_text(struct http_spec **out, const char *name, const char *text,
                                      size_t len, struct problems *problems)
{
    struct yaml_document *doc = NULL;
    enum prober_error err = yaml_read_text(&doc, name, text, len, problems);

    if (!err)
        err = http_spec_read(out, doc, yaml_root(doc), "", problems);
    yaml_destroy(doc);
    return err;
}

void http_spec_destroy(struct http_spec *spec)
{
    if (spec)
        arena_destroy(spec->memory);
}

/* ---- writing ---- */

static void cut(struct strbuf *out, size_t len)
{
    if (out->bytes && len < out->len) {
        out->len = len;
        out->bytes[len] = '\0';
    }
}

static void put_name(const struct http_writer *w, const char *name)
{
    if (w->out->len && w->out->bytes[w->out->len - 1] != '{')
        strbuf_putc(w->out, ',');
    if (w->indent)
        strbuf_printf(w->out, "\n%*s", w->indent, "");
    strbuf_printf(w->out, "\"%s\":%s", name, w->indent ? " " : "");
}

void http_put_keys(const struct http_writer *w, const struct http_key *keys, size_t count,
                   const void *fields)
{
    for (size_t i = 0; i < count; i++) {
        size_t before = w->out->len, value;

        if (!keys[i].type->put)
            continue;
        put_name(w, keys[i].name);
        value = w->out->len;
        if (!keys[i].type->put(w, &keys[i], (const char *)fields + keys[i].offset) &&
            (!w->with_defaults || w->out->len == value))
            cut(w->out, before);
    }
}

static void put_spec(const struct http_writer *w, const struct http_spec *spec)
{
    strbuf_putc(w->out, '{');
    http_put_keys(w, block_keys, ARRAY_LEN(block_keys), spec);
    http_put_keys(w, client_keys, ARRAY_LEN(client_keys), spec);
    strbuf_putc(w->out, '}');
}

void http_spec_put(struct strbuf *out, const struct http_spec *spec, bool with_secrets)
{
    const struct http_writer w = {.out = out, .with_secrets = with_secrets};

    put_spec(&w, spec);
}

void http_spec_put_whole(struct strbuf *out, const struct http_spec *spec, int indent)
{
    const struct http_writer w = {.out = out, .with_defaults = true, .indent = indent};

    put_spec(&w, spec);
}

/* ---- secrets ---- */

static bool has_secrets(const struct http_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        if (headers->items[i].source != HTTP_VALUE_TEXT)
            return true;
    return false;
}

bool http_spec_is_confidential(const struct http_spec *spec)
{
    const struct http_tls *tls = &spec->tls;

    return spec->basic_auth || spec->authorization || spec->oauth2 || spec->body_file ||
           has_secrets(&spec->headers) || has_secrets(&spec->http_headers) || tls->ca_file ||
           tls->cert_file || tls->key.text || tls->key.file || spec->proxy.connect_headers.count ||
           (spec->proxy.url && strchr(spec->proxy.url, '@'));
}

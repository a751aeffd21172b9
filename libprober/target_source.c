#include "libprober/target_source.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/duration.h"
#include "common/json.h"
#include "libprober/http_url.h"

#define REFRESH_MIN_NS CLOCK_NS_PER_S
#define REFRESH_MAX_NS (30 * 86400 * CLOCK_NS_PER_S)
#define KEY_MAX 160

/* The source that is handed out, and how often it is held. */
struct source_block {
    struct target_source source; /* first: a source is the start of its block */
    atomic_uint references;
};

struct reader {
    const struct yaml_document *doc;
    struct problems *problems;
    bool no_memory;
};

/* A value and the key under which it stands, for messages. */
struct setting {
    const struct yaml_node *node;
    char key[KEY_MAX];
};

static void complain(struct reader *r, const struct setting *s, const char *message)
{
    yaml_problem(r->problems, r->doc, s->node, s->key, "%s", message);
}

static struct setting setting_of(const struct setting *mapping, const char *name)
{
    const struct yaml_node *value = yaml_get(mapping->node, name);
    struct setting s = {.node = value ? value : mapping->node};

    snprintf(s.key, sizeof(s.key), "%.100s.%.50s", mapping->key, name);
    return s;
}

static char *keep(struct reader *r, const char *text)
{
    char *copy = text ? strdup(text) : NULL;

    r->no_memory = r->no_memory || !copy;
    return copy;
}

/* ---- keys of both kinds ---- */

static void read_refresh(struct reader *r, const struct setting *s, struct target_source *out)
{
    uint64_t ns = 0;
    enum prober_error err = PROBER_ERR_SYNTAX;

    if (yaml_kind(s->node) == YAML_SCALAR && strlen(yaml_text(s->node)) == yaml_len(s->node))
        err = duration_parse(yaml_text(s->node), &ns);
    if (err == PROBER_ERR_SYNTAX)
        complain(r, s, "expected a duration such as 30s or 5m");
    else if (err || ns < REFRESH_MIN_NS || ns > REFRESH_MAX_NS)
        complain(r, s, "must be 1s to 30d");
    else
        out->refresh_ns = ns;
}

/* ---- file_sd_configs ---- */

static bool ends_well(const char *path)
{
    static const char *const endings[] = {".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"};
    size_t len = strlen(path);

    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        size_t ending = strlen(endings[i]);

        if (len > ending && strcmp(path + len - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

/* Why a node cannot be a pattern of files, or NULL. */
static const char *fault_of_pattern(const struct yaml_node *node)
{
    const char *path = yaml_text(node), *star = strchr(path, '*');

    if (yaml_kind(node) != YAML_SCALAR || yaml_is_null(node) || yaml_len(node) == 0)
        return "expected a path";
    if (yaml_len(node) > TARGET_SOURCE_PATH_MAX || strlen(path) != yaml_len(node))
        return "a path has at most 4000 bytes, and no NUL";
    if (!ends_well(path))
        return "a path must end in .json, .yml or .yaml";
    if (star && (strchr(star + 1, '*') || strchr(star + 1, '/')))
        return "a path may hold one *, in its last segment";
    return NULL;
}

static void read_files(struct reader *r, const struct setting *s, struct target_source *out)
{
    size_t count = yaml_count(s->node);

    if (yaml_kind(s->node) != YAML_SEQUENCE || count == 0 || count > TARGET_SOURCE_PATTERNS_MAX) {
        complain(r, s, "expected a list of 1 to 100 paths");
        return;
    }
    out->files = calloc(count, sizeof(*out->files));
    r->no_memory = r->no_memory || !out->files;
    for (size_t i = 0; i < count && !r->no_memory; i++) {
        struct setting item = {.node = yaml_item(s->node, i)};
        const char *fault = fault_of_pattern(item.node);

        snprintf(item.key, sizeof(item.key), "%.130s[%zu]", s->key, i);
        if (fault)
            complain(r, &item, fault);
        else if ((out->files[out->file_count] = keep(r, yaml_text(item.node))))
            out->file_count++;
    }
}

/* ---- http_sd_configs ---- */

static bool has_scheme(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

static void read_url(struct reader *r, const struct setting *s, struct target_source *out)
{
    struct http_url url;
    struct prober_failure why;
    struct strbuf text = STRBUF_INIT;

    if (yaml_kind(s->node) != YAML_SCALAR || strlen(yaml_text(s->node)) != yaml_len(s->node) ||
        !has_scheme(yaml_text(s->node))) {
        complain(r, s, "expected a URL that begins with http:// or https://");
    } else if (http_url_parse(yaml_text(s->node), &url, &why)) {
        complain(r, s, why.text);
    } else if (url.has_user) {
        complain(r, s, "a URL holds no credentials here; they belong in basic_auth");
    } else {
        http_url_put(&text, &url);
        out->url = keep(r, strbuf_ok(&text) ? text.bytes : NULL);
    }
    strbuf_free(&text);
}

/* What a client may be told, and the server that fetches cannot do. */
static void refuse_client_keys(struct reader *r, const struct setting *s,
                               const struct http_spec *client)
{
    struct setting tls = setting_of(s, "tls_config");
    const struct {
        const struct setting *in;
        const char *name;
        bool given;
    } refused[] = {
        {s, "oauth2", client->oauth2 != NULL},
        {s, "proxy_from_environment", client->proxy.from_environment},
        {s, "no_proxy", client->proxy.no_proxy != NULL},
        {s, "proxy_connect_header", client->proxy.connect_headers.count > 0},
        {s, "follow_redirects",
         client->follow_redirects && yaml_get(s->node, "follow_redirects") != NULL},
        {&tls, "server_name", client->tls.server_name != NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct setting where = setting_of(refused[i].in, refused[i].name);

        if (refused[i].given)
            complain(r, &where, "not supported where the server fetches a list of targets");
    }
}

static void read_client(struct reader *r, const struct setting *s, struct target_source *out)
{
    static const char *const own[] = {"url", "refresh_interval", NULL};
    enum prober_error err =
        http_spec_read_client(&out->client, r->doc, s->node, s->key, own, r->problems);

    if (err == PROBER_ERR_NOMEM)
        r->no_memory = true;
    else if (!err)
        refuse_client_keys(r, s, out->client);
}

/* ---- a source ---- */

static const struct source_key {
    const char *name;
    void (*read)(struct reader *r, const struct setting *s, struct target_source *out);
    bool needed;
} file_keys[] = {{"files", read_files, true}, {"refresh_interval", read_refresh, false}},
  http_keys[] = {{"url", read_url, true}, {"refresh_interval", read_refresh, false}};

static const struct kind {
    const char *key;
    const struct source_key *keys; /* [count] */
    size_t count;
    uint64_t refresh_ns;
    /* Reads what is not in keys; NULL: nothing else is known. */
    void (*read_rest)(struct reader *r, const struct setting *s, struct target_source *out);
} kinds[TARGET_SOURCE_KIND_COUNT] = {
    [TARGET_SOURCE_FILES] = {"file_sd_configs", file_keys, ARRAY_LEN(file_keys),
                             300 * CLOCK_NS_PER_S, NULL},
    [TARGET_SOURCE_HTTP] = {"http_sd_configs", http_keys, ARRAY_LEN(http_keys), 60 * CLOCK_NS_PER_S,
                            read_client},
};

const char *target_source_key(enum target_source_kind kind)
{
    return kinds[kind].key;
}

static void refuse_unknown(struct reader *r, const struct setting *s, const struct kind *kind)
{
    for (size_t i = 0; i < yaml_count(s->node); i++) {
        const struct yaml_node *key = yaml_key(s->node, i);
        struct setting where = setting_of(s, yaml_text(key));
        bool known = false;

        for (size_t k = 0; k < kind->count; k++)
            known = known || strcmp(kind->keys[k].name, yaml_text(key)) == 0;
        where.node = key;
        if (!known)
            complain(r, &where, "unknown key; known are files and refresh_interval");
    }
}

static void read_source(struct reader *r, const struct setting *s, struct target_source *out)
{
    const struct kind *kind = &kinds[out->kind];

    if (yaml_kind(s->node) != YAML_MAPPING) {
        complain(r, s, "expected a mapping of settings");
        return;
    }
    for (size_t i = 0; i < kind->count; i++) {
        const struct yaml_node *value = yaml_get(s->node, kind->keys[i].name);
        struct setting where = setting_of(s, kind->keys[i].name);

        if (value && !yaml_is_null(value))
            kind->keys[i].read(r, &where, out);
        else if (kind->keys[i].needed)
            complain(r, &where, "missing");
    }
    if (kind->read_rest)
        kind->read_rest(r, s, out);
    else
        refuse_unknown(r, s, kind);
}

/* ---- as texts ---- */

static char *make_id(const struct target_source *s)
{
    struct strbuf text = STRBUF_INIT;

    strbuf_printf(&text, "%s ", kinds[s->kind].key);
    json_put_string(&text, s->dir, strlen(s->dir));
    for (size_t i = 0; i < s->file_count; i++)
        json_put_string(&text, s->files[i], strlen(s->files[i]));
    if (s->url)
        json_put_string(&text, s->url, strlen(s->url));
    if (s->client)
        http_spec_put(&text, s->client, true);
    return strbuf_take(&text, NULL);
}

static char *make_shown(const struct target_source *s)
{
    struct strbuf text = STRBUF_INIT;

    for (size_t i = 0; i < s->file_count; i++)
        strbuf_printf(&text, "%s%s", i ? "," : "", s->files[i]);
    if (s->url)
        strbuf_put(&text, s->url, strcspn(s->url, "?"));
    return strbuf_take(&text, NULL);
}

/* Appends the client's keys, written as a mapping of their own, to a mapping. */
static void write_client(struct strbuf *out, const struct http_spec *client)
{
    struct strbuf text = STRBUF_INIT;

    http_spec_put(&text, client, false);
    if (!strbuf_ok(&text))
        out->failed = true;
    else if (text.len > 2)
        strbuf_printf(out, ",%.*s", (int)text.len - 2, text.bytes + 1);
    strbuf_free(&text);
}

void target_source_write(struct strbuf *out, const struct target_source *source)
{
    char refresh[DURATION_TEXT_MAX];

    strbuf_printf(out, "{\"refresh_interval\":\"%s\"",
                  duration_format(source->refresh_ns, refresh));
    for (size_t i = 0; i < source->file_count; i++) {
        strbuf_puts(out, i ? "," : ",\"files\":[");
        json_put_string(out, source->files[i], strlen(source->files[i]));
    }
    if (source->file_count)
        strbuf_putc(out, ']');
    if (source->url) {
        strbuf_puts(out, ",\"url\":");
        json_put_string(out, source->url, strlen(source->url));
        write_client(out, source->client);
    }
    strbuf_putc(out, '}');
}

char *target_source_path(const struct target_source *source, const char *path)
{
    struct strbuf text = STRBUF_INIT;

    if (path[0] != '/')
        strbuf_puts(&text, source->dir);
    strbuf_puts(&text, path);
    return strbuf_take(&text, NULL);
}

/* ---- life ---- */

static struct source_block *block_of(const struct target_source *source)
{
    return CONTAINER_OF((struct target_source *)(uintptr_t)source, struct source_block, source);
}

enum prober_error target_source_read(struct target_source **out, enum target_source_kind kind,
                                     const char *dir, const struct yaml_document *doc,
                                     const struct yaml_node *node, const char *key,
                                     struct problems *problems)
{
    struct reader r = {.doc = doc, .problems = problems};
    struct setting s = {.node = node};
    size_t before = problems_count(problems);
    enum prober_error err = PROBER_ERR_NOMEM;
    struct source_block *b = calloc(1, sizeof(*b));

    if (!b)
        return err;
    atomic_init(&b->references, 1);
    snprintf(s.key, sizeof(s.key), "%.100s", key);
    b->source.kind = kind;
    b->source.refresh_ns = kinds[kind].refresh_ns;
    b->source.dir = keep(&r, dir);
    read_source(&r, &s, &b->source);
    if (r.no_memory)
        goto out;
    err = problems_count(problems) > before ? PROBER_ERR_SYNTAX : PROBER_OK;
    if (err)
        goto out;
    b->source.id = make_id(&b->source);
    b->source.shown = make_shown(&b->source);
    if (!b->source.id || !b->source.shown) {
        err = PROBER_ERR_NOMEM;
        goto out;
    }
    *out = &b->source;
    b = NULL;
out:
    if (b)
        target_source_put(&b->source);
    return err;
}

struct target_source *target_source_get(const struct target_source *source)
{
    struct source_block *b = block_of(source);

    atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return &b->source;
}

void target_source_put(struct target_source *source)
{
    struct source_block *b;

    if (!source)
        return;
    b = block_of(source);
    if (atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < source->file_count; i++)
        free(source->files[i]);
    free(source->files);
    http_spec_destroy(source->client);
    free(source->url);
    free(source->dir);
    free(source->id);
    free(source->shown);
    free(b);
}

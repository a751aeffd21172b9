#include "agentd/probe_http_entries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"

#define NAMES_SHOWN 20

static bool is_wanted(const struct probe_entry *entry, const char *prober)
{
    return entry->kind == PROBE_HTTP && prober[0] && strcmp(entry->name, prober) == 0;
}

static bool is_named_before(const struct probe_spec *file, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (is_wanted(&file->entries[i], file->entries[at].name))
            return true;
    return false;
}

/* Says which names there are. */
static void complain_of_name(const struct probe_spec *file, const struct probe_http_wanted *wanted,
                             struct problems *problems)
{
    struct strbuf names = STRBUF_INIT;
    size_t shown = 0;

    for (size_t i = 0; i < file->count && shown < NAMES_SHOWN; i++) {
        const struct probe_entry *entry = &file->entries[i];

        if (entry->kind == PROBE_HTTP && entry->name[0] && !is_named_before(file, i))
            strbuf_printf(&names, "%s%s", shown++ ? ", " : "", entry->name);
    }
    problems_add(problems, wanted->file, 0, "prober_configs[].name", "%s%s%s; there %s%s%s",
                 wanted->prober[0] ? "no entry of type http is called '" : "",
                 wanted->prober[0] ? wanted->prober : "-prober must name an entry of type http",
                 wanted->prober[0] ? "'" : "", shown ? "are: " : "is none with a name",
                 names.len ? names.bytes : "", shown == NAMES_SHOWN ? ", …" : "");
    strbuf_free(&names);
}

/* The command line goes before the file. */
static void put_wanted(struct probe_http_entries *entries, struct http_spec *spec,
                       const struct probe_http_wanted *wanted)
{
    if (wanted->family != PROBER_FAMILY_NONE) {
        spec->preferred_family = wanted->family;
        spec->ip_protocol_fallback = false;
    }
    if (wanted->method)
        spec->method = wanted->method;
    entries->status = wanted->status;
    if (wanted->status)
        spec->valid_status_codes = (struct http_codes){&entries->status, 1};
    if (wanted->no_redirects)
        spec->follow_redirects = false;
}

static enum prober_error add(struct probe_http_entries *entries, struct http_spec *spec,
                             const struct probe_http_entry *entry,
                             const struct probe_http_wanted *wanted, struct prober_failure *why)
{
    struct probe_http_entry *more =
        realloc(entries->items, (entries->count + 1) * sizeof(*entries->items));
    enum prober_error err;

    if (!more)
        return PROBER_ERR_NOMEM;
    entries->items = more;
    put_wanted(entries, spec, wanted);
    more[entries->count] = *entry;
    more[entries->count].spec = spec;
    err = http_kind_create(&more[entries->count].kind, spec, &wanted->means, why);
    if (!err)
        entries->count++;
    return err;
}

static enum prober_error add_defaults(struct probe_http_entries *entries,
                                      const struct probe_http_wanted *wanted,
                                      struct problems *problems)
{
    const struct probe_http_entry none = {0};
    struct prober_failure why = {.text = "out of memory"};
    enum prober_error err = http_spec_create(&entries->defaults);

    if (!err)
        err = add(entries, entries->defaults, &none, wanted, &why);
    if (err)
        problems_add(problems, NULL, 0, NULL, "%s", why.text);
    return err;
}

static enum prober_error add_from_file(struct probe_http_entries *entries,
                                       const struct probe_http_wanted *wanted,
                                       struct problems *problems)
{
    enum prober_error err = probe_spec_read_file(&entries->file, wanted->file, problems);

    if (err)
        return err;
    for (size_t i = 0; i < entries->file->count; i++) {
        const struct probe_entry *e = &entries->file->entries[i];
        const struct probe_http_entry entry = {.timeout_ns = e->timeout_ns,
                                               .targets = e->targets,
                                               .target_count = e->target_count,
                                               .line = e->line};
        struct prober_failure why = {.text = "out of memory"};
        char key[64];

        if (!is_wanted(e, wanted->prober))
            continue;
        snprintf(key, sizeof(key), "prober_configs[%zu].http", i);
        if (add(entries, e->http, &entry, wanted, &why))
            problems_add(problems, wanted->file, e->line, key, "%s", why.text);
    }
    if (entries->count == 0 && problems_count(problems) == 0)
        complain_of_name(entries->file, wanted, problems);
    return problems_count(problems) ? PROBER_ERR_SYNTAX : PROBER_OK;
}

enum prober_error probe_http_entries_open(struct probe_http_entries *entries,
                                          const struct probe_http_wanted *wanted,
                                          struct problems *problems)
{
    return wanted->file ? add_from_file(entries, wanted, problems)
                        : add_defaults(entries, wanted, problems);
}

void probe_http_entries_close(struct probe_http_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        http_kind_destroy(entries->items[i].kind);
    free(entries->items);
    probe_spec_destroy(entries->file);
    http_spec_destroy(entries->defaults);
    memset(entries, 0, sizeof(*entries));
}

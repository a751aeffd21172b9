#include "libprober/spec.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/duration.h"
#include "common/strbuf.h"
#include "common/utf8.h"
#include "common/yaml.h"
#include "libprober/http_url.h"

#define INTERVAL_MAX_NS (3600 * CLOCK_NS_PER_S)
#define TIMEOUT_MAX_NS (60 * CLOCK_NS_PER_S)
#define HTTP_TIMEOUT_MAX_NS (3600 * CLOCK_NS_PER_S)
#define KEY_MAX 96

/* One reading of a probe file. */
struct reader {
    const struct yaml_document *doc;
    struct problems *problems;
    size_t targets;  /* so far, in all entries */
    size_t lists;    /* likewise */
    const char *dir; /* where relative paths begin */
    bool no_memory;
};

/* A value and the key under which it stands, for messages. */
struct setting {
    const struct yaml_node *node;
    char key[KEY_MAX]; /* "prober_configs[2].icmp.interval" */
};

static void complain(struct reader *r, const struct setting *s, const char *message)
{
    yaml_problem(r->problems, r->doc, s->node, s->key, "%s", message);
}

struct icmp_spec icmp_spec_default(void)
{
    return (struct icmp_spec){.payload_size = ICMP_SPEC_PAYLOAD_DEFAULT,
                              .packet_count = ICMP_SPEC_COUNT_DEFAULT,
                              .family = PROBER_FAMILY_IPV4};
}

/* ---- the icmp block ---- */

/* Stores a whole number of min..max; what is not above 0 stands for the default and stays. */
static void read_count(struct reader *r, const struct setting *s, int64_t min, int64_t max,
                       uint32_t *out)
{
    int64_t value = 0;
    enum prober_error err = yaml_int(s->node, &value);

    if (err == PROBER_ERR_SYNTAX)
        complain(r, s, "expected a whole number");
    else if (err || value > max)
        yaml_problem(r->problems, r->doc, s->node, s->key, "must be at most %lld", (long long)max);
    else if (value > 0 && value < min)
        yaml_problem(r->problems, r->doc, s->node, s->key, "must be at least %lld, got %lld",
                     (long long)min, (long long)value);
    else if (value > 0)
        *out = (uint32_t)value;
}

static void read_payload_size(struct reader *r, const struct setting *s, struct icmp_spec *out)
{
    read_count(r, s, ICMP_SPEC_PAYLOAD_MIN, ICMP_SPEC_PAYLOAD_MAX, &out->payload_size);
}

static void read_packet_count(struct reader *r, const struct setting *s, struct icmp_spec *out)
{
    read_count(r, s, 1, ICMP_SPEC_COUNT_MAX, &out->packet_count);
}

static void read_duration(struct reader *r, const struct setting *s, uint64_t max_ns, uint64_t *out)
{
    char most[DURATION_TEXT_MAX];
    uint64_t ns = 0;
    enum prober_error err = PROBER_ERR_SYNTAX;

    if (yaml_kind(s->node) == YAML_SCALAR && strlen(yaml_text(s->node)) == yaml_len(s->node))
        err = duration_parse(yaml_text(s->node), &ns);
    if (err == PROBER_ERR_SYNTAX)
        complain(r, s, "expected a duration such as 15ms or 1s");
    else if (err || ns > max_ns)
        yaml_problem(r->problems, r->doc, s->node, s->key, "must be at most %s",
                     duration_format(max_ns, most));
    else
        *out = ns;
}

static void read_interval(struct reader *r, const struct setting *s, struct icmp_spec *out)
{
    read_duration(r, s, INTERVAL_MAX_NS, &out->interval_ns);
}

static void read_timeout(struct reader *r, const struct setting *s, struct icmp_spec *out)
{
    read_duration(r, s, TIMEOUT_MAX_NS, &out->timeout_ns);
}

static void read_family(struct reader *r, const struct setting *s, struct icmp_spec *out)
{
    const char *text = yaml_text(s->node);

    if (strcmp(text, "ip4") == 0)
        out->family = PROBER_FAMILY_IPV4;
    else if (strcmp(text, "ip6") == 0)
        out->family = PROBER_FAMILY_IPV6;
    else
        complain(r, s, "expected ip4 or ip6");
}

static const struct icmp_key {
    const char *name;
    void (*read)(struct reader *r, const struct setting *s, struct icmp_spec *out);
} icmp_keys[] = {
    {"payload_size", read_payload_size},
    {"packet_count", read_packet_count},
    {"interval", read_interval},
    {"timeout", read_timeout},
    {"preferred_ip_protocol", read_family},
};

static void read_icmp_key(struct reader *r, const char *name, const struct setting *s,
                          struct icmp_spec *out)
{
    for (size_t i = 0; i < ARRAY_LEN(icmp_keys); i++)
        if (strcmp(icmp_keys[i].name, name) == 0) {
            if (!yaml_is_null(s->node))
                icmp_keys[i].read(r, s, out);
            return;
        }
    complain(r, s,
             "unknown key; known are payload_size, packet_count, interval, timeout and "
             "preferred_ip_protocol");
}

/* The setting of the i-th key of a mapping; its place is the key's line. */
static struct setting setting_at(const struct setting *mapping, size_t i)
{
    struct setting s = {.node = yaml_value(mapping->node, i)};

    snprintf(s.key, sizeof(s.key), "%.60s.%.30s", mapping->key,
             yaml_text(yaml_key(mapping->node, i)));
    return s;
}

static void read_icmp_block(struct reader *r, const struct setting *s, struct probe_entry *out)
{
    for (size_t i = 0; i < yaml_count(s->node); i++) {
        struct setting value = setting_at(s, i);

        read_icmp_key(r, yaml_text(yaml_key(s->node, i)), &value, &out->icmp);
    }
}

/* ---- kinds of probe ---- */

/* Why a target cannot be one of this kind, or NULL. */
static const char *fault_of_icmp_target(const char *target)
{
    struct prober_addr addr;

    if (strchr(target, '/') || (strchr(target, ':') && prober_addr_parse(target, &addr)))
        return "an ICMP target is a name or an address, without scheme, port or path";
    return NULL;
}

static const char *fault_of_http_target(const char *target)
{
    (void)target;
    return NULL;
}

static void read_http_block(struct reader *r, const struct setting *s, struct probe_entry *out)
{
    if (http_spec_read(&out->http, r->doc, s->node, s->key, r->problems) == PROBER_ERR_NOMEM)
        r->no_memory = true;
}

/* The name of a kind is also the key of its block of settings. */
static const struct kind {
    const char *name;
    void (*read_block)(struct reader *r, const struct setting *s, struct probe_entry *out);
    const char *(*fault_of_target)(const char *target);
} kinds[PROBE_KIND_COUNT] = {
    [PROBE_ICMP] = {"icmp", read_icmp_block, fault_of_icmp_target},
    [PROBE_HTTP] = {"http", read_http_block, fault_of_http_target},
};

const char *probe_kind_name(enum probe_kind kind)
{
    return (unsigned)kind < PROBE_KIND_COUNT ? kinds[kind].name : "unknown";
}

static bool find_kind(const char *name, enum probe_kind *out)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *out = (enum probe_kind)i;
            return true;
        }
    return false;
}

/* ---- targets ---- */

static int compare_texts(const void *a, const void *b)
{
    const char *const *left = *(const char *const *const *)a;
    const char *const *right = *(const char *const *const *)b;
    int order = strcmp(*left, *right);

    return order ? order : left < right ? -1 : left > right;
}

/* Frees every target that an earlier one equals, and closes the gaps. */
static enum prober_error drop_duplicates(struct probe_entry *entry)
{
    char ***order;
    size_t kept = 0;

    if (entry->target_count < 2)
        return PROBER_OK;
    order = calloc(entry->target_count, sizeof(*order));
    if (!order)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < entry->target_count; i++)
        order[i] = &entry->targets[i];
    qsort(order, entry->target_count, sizeof(*order), compare_texts);
    for (size_t i = 1, first = 0; i < entry->target_count; i++) {
        if (strcmp(*order[first], *order[i]) != 0) {
            first = i;
            continue;
        }
        free(*order[i]);
        *order[i] = NULL;
    }
    for (size_t i = 0; i < entry->target_count; i++)
        if (entry->targets[i])
            entry->targets[kept++] = entry->targets[i];
    entry->target_count = kept;
    free(order);
    return PROBER_OK;
}

/* True for UTF-8 without blanks and control characters. */
static bool is_clean(const char *text, size_t len, bool blanks)
{
    while (len > 0) {
        uint32_t rune;
        size_t used = utf8_decode(text, len, &rune);

        if (used == 0 || !utf8_is_shown_safely(rune) || (rune == ' ' && !blanks))
            return false;
        text += used;
        len -= used;
    }
    return true;
}

const char *probe_target_fault(enum probe_kind kind, const char *text, size_t len)
{
    if (len == 0)
        return "an empty target";
    if (len > PROBE_SPEC_TARGET_MAX)
        return "a target of more than 2048 bytes";
    if (!is_clean(text, len, false))
        return "a target has no blanks and no control characters";
    return kinds[kind].fault_of_target(text);
}

static const char *fault_of_target(const struct yaml_node *node, enum probe_kind kind)
{
    if (yaml_kind(node) != YAML_SCALAR)
        return "a target must be a text";
    return probe_target_fault(kind, yaml_text(node), yaml_is_null(node) ? 0 : yaml_len(node));
}

static void read_targets(struct reader *r, const struct setting *s, struct probe_entry *entry)
{
    size_t count = yaml_count(s->node);

    if (yaml_kind(s->node) != YAML_SEQUENCE || count == 0) {
        complain(r, s, "expected a list of one or more targets");
        return;
    }
    if (count > PROBE_SPEC_TARGETS_MAX - r->targets) {
        yaml_problem(r->problems, r->doc, s->node, s->key, "more than %d targets in all entries",
                     PROBE_SPEC_TARGETS_MAX);
        return;
    }
    r->targets += count;
    entry->targets = calloc(count, sizeof(*entry->targets));
    if (!entry->targets) {
        r->no_memory = true;
        return;
    }
    for (size_t i = 0; i < count && !r->no_memory; i++) {
        const struct yaml_node *item = yaml_item(s->node, i);
        const char *fault = fault_of_target(item, entry->kind);

        if (fault && strchr(yaml_text(item), '@')) /* perhaps a password */
            yaml_problem(r->problems, r->doc, item, s->key, "%s", fault);
        else if (fault)
            yaml_problem(r->problems, r->doc, item, s->key, "%s: '%.100s'", fault, yaml_text(item));
        else if ((entry->targets[entry->target_count] = strdup(yaml_text(item))))
            entry->target_count++;
        else
            r->no_memory = true;
    }
    if (drop_duplicates(entry))
        r->no_memory = true;
}

/* ---- entries ---- */

const char *probe_name_fault(const char *text, size_t len)
{
    if (len > PROBE_SPEC_REGION_MAX)
        return "a name has at most 128 bytes";
    if (!is_clean(text, len, true))
        return "a name has no control characters";
    return NULL;
}

static const char *fault_of_name(const struct yaml_node *node)
{
    if (yaml_kind(node) != YAML_SCALAR)
        return "expected a name";
    return probe_name_fault(yaml_text(node), yaml_len(node));
}

static void read_name(struct reader *r, const struct setting *s, char **out)
{
    const char *fault = fault_of_name(s->node);

    if (yaml_is_null(s->node))
        return;
    if (fault) {
        complain(r, s, fault);
        return;
    }
    free(*out);
    *out = strdup(yaml_text(s->node));
    r->no_memory = r->no_memory || !*out;
}

/* Compiles the regexp of a source so that it matches whole names; false after complaining. */
static bool compile_source(struct reader *r, const struct setting *s, struct probe_source *out)
{
    struct strbuf whole = STRBUF_INIT;
    struct prober_failure why;
    enum prober_error err = PROBER_ERR_NOMEM;

    strbuf_printf(&whole, "^(?:%s)$", out->text + 2);
    if (strbuf_ok(&whole))
        err = regex_create(&out->regex, out->text + 2, &why); /* alone: "a)|(b" is a fault */
    if (!err) {
        regex_destroy(out->regex);
        out->regex = NULL;
        err = regex_create(&out->regex, whole.bytes, &why);
    }
    strbuf_free(&whole);
    if (err == PROBER_ERR_NOMEM)
        r->no_memory = true;
    else if (err)
        yaml_problem(r->problems, r->doc, s->node, s->key, "not a regular expression: %s",
                     why.text);
    return !err;
}

static void read_source(struct reader *r, const struct setting *s, struct probe_entry *entry)
{
    const char *fault = yaml_is_null(s->node) ? "expected a name" : fault_of_name(s->node);
    struct probe_source *source = &entry->sources[entry->source_count];

    if (fault) {
        complain(r, s, fault);
        return;
    }
    source->text = strdup(yaml_text(s->node));
    if (!source->text) {
        r->no_memory = true;
        return;
    }
    entry->source_count++;
    if (strncmp(source->text, "=~", 2) == 0)
        compile_source(r, s, source);
}

static void read_sources(struct reader *r, const struct setting *s, struct probe_entry *entry)
{
    size_t count = yaml_count(s->node);

    if (yaml_is_null(s->node))
        return;
    if (yaml_kind(s->node) != YAML_SEQUENCE || count == 0 || count > PROBE_SPEC_SOURCES_MAX)
        complain(r, s, "expected a list of 1 to 1000 names of regions, or =~ and a regexp");
    else if (!(entry->sources = calloc(count, sizeof(*entry->sources))))
        r->no_memory = true;
    for (size_t i = 0; entry->sources && i < count; i++) {
        struct setting item = {.node = yaml_item(s->node, i)};

        snprintf(item.key, sizeof(item.key), "%.70s[%zu]", s->key, i);
        read_source(r, &item, entry);
    }
}

static void read_region(struct reader *r, const struct setting *s, struct probe_entry *entry)
{
    read_name(r, s, &entry->region);
}

static void read_entry_name(struct reader *r, const struct setting *s, struct probe_entry *entry)
{
    read_name(r, s, &entry->name);
}

static void read_entry_timeout(struct reader *r, const struct setting *s, struct probe_entry *entry)
{
    if (!yaml_is_null(s->node))
        read_duration(r, s, entry->kind == PROBE_HTTP ? HTTP_TIMEOUT_MAX_NS : TIMEOUT_MAX_NS,
                      &entry->timeout_ns);
}

/* Room for the sources of both keys is made when the first of them comes. */
static bool make_room(struct reader *r, struct probe_entry *entry)
{
    if (!entry->lists)
        entry->lists = calloc((size_t)2 * PROBE_SPEC_LISTS_MAX, sizeof(*entry->lists));
    r->no_memory = r->no_memory || !entry->lists;
    return entry->lists != NULL;
}

static void read_lists(struct reader *r, const struct setting *s, enum target_source_kind kind,
                       struct probe_entry *entry)
{
    size_t count = yaml_count(s->node);

    if (yaml_is_null(s->node))
        return;
    if (yaml_kind(s->node) != YAML_SEQUENCE || count == 0 || count > PROBE_SPEC_LISTS_MAX) {
        complain(r, s, "expected a list of 1 to 100 mappings of settings");
        return;
    }
    if (count > PROBE_SPEC_ALL_LISTS_MAX - r->lists) {
        complain(r, s, "more than 1000 lists of targets in all entries");
        return;
    }
    r->lists += count;
    for (size_t i = 0; i < count && make_room(r, entry); i++) {
        char key[KEY_MAX];
        enum prober_error err;

        snprintf(key, sizeof(key), "%.70s[%zu]", s->key, i);
        err = target_source_read(&entry->lists[entry->list_count], kind, r->dir, r->doc,
                                 yaml_item(s->node, i), key, r->problems);
        entry->list_count += !err;
        r->no_memory = r->no_memory || err == PROBER_ERR_NOMEM;
    }
}

static void read_file_lists(struct reader *r, const struct setting *s, struct probe_entry *entry)
{
    read_lists(r, s, TARGET_SOURCE_FILES, entry);
}

static void read_http_lists(struct reader *r, const struct setting *s, struct probe_entry *entry)
{
    read_lists(r, s, TARGET_SOURCE_HTTP, entry);
}

/* A block of settings belongs to one kind; under another it would be read and never used. */
static void read_block(struct reader *r, const struct setting *s, enum probe_kind kind,
                       struct probe_entry *entry)
{
    if (yaml_is_null(s->node))
        return;
    if (yaml_kind(s->node) != YAML_MAPPING)
        complain(r, s, "expected a mapping of settings");
    else if (kind != entry->kind)
        yaml_problem(r->problems, r->doc, s->node, s->key,
                     "these settings are for entries whose prober_type is %s", kinds[kind].name);
    else
        kinds[kind].read_block(r, s, entry);
}

static const struct entry_key {
    const char *name;
    void (*read)(struct reader *r, const struct setting *s, struct probe_entry *entry);
} entry_keys[] = {
    {"name", read_entry_name},
    {"region", read_region},
    {"source_regions", read_sources},
    {"targets", read_targets},
    {"file_sd_configs", read_file_lists},
    {"http_sd_configs", read_http_lists},
    {"timeout", read_entry_timeout},
};

static void read_entry_key(struct reader *r, const char *name, const struct setting *s,
                           struct probe_entry *entry)
{
    enum probe_kind kind;

    for (size_t i = 0; i < ARRAY_LEN(entry_keys); i++)
        if (strcmp(entry_keys[i].name, name) == 0) {
            entry_keys[i].read(r, s, entry);
            return;
        }
    if (find_kind(name, &kind))
        read_block(r, s, kind, entry);
    else if (strcmp(name, "prober_type") != 0)
        complain(r, s,
                 "unknown key; known are prober_type, name, region, source_regions, targets, "
                 "file_sd_configs, http_sd_configs, timeout, icmp and http");
}

static bool has_targets(const struct yaml_node *entry)
{
    static const char *const keys[] = {"targets", "file_sd_configs", "http_sd_configs"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct yaml_node *value = yaml_get(entry, keys[i]);

        if (value && (i == 0 || !yaml_is_null(value)))
            return true;
    }
    return false;
}

static void read_entry(struct reader *r, const struct setting *s, struct probe_entry *entry)
{
    const struct yaml_node *type = yaml_get(s->node, "prober_type");
    struct setting where = *s;

    *entry = (struct probe_entry){.icmp = icmp_spec_default(),
                                  .line = yaml_line(s->node),
                                  .name = strdup(""),
                                  .region = strdup("")};
    r->no_memory = r->no_memory || !entry->region || !entry->name;
    if (yaml_kind(s->node) != YAML_MAPPING) {
        complain(r, s, "expected a mapping with prober_type, region and targets");
        return;
    }
    if (!type || !find_kind(yaml_text(type), &entry->kind)) {
        where.node = type ? type : s->node;
        strncat(where.key, ".prober_type", sizeof(where.key) - strlen(where.key) - 1);
        complain(r, &where, "expected icmp or http");
        return; /* what else it holds depends on its kind */
    }
    for (size_t i = 0; i < yaml_count(s->node); i++) {
        struct setting value = setting_at(s, i);

        read_entry_key(r, yaml_text(yaml_key(s->node, i)), &value, entry);
    }
    if (!has_targets(s->node)) {
        strncat(where.key, ".targets", sizeof(where.key) - strlen(where.key) - 1);
        complain(r, &where, "an entry needs targets, file_sd_configs or http_sd_configs");
    }
    if (!entry->icmp.timeout_ns && entry->kind == PROBE_ICMP)
        entry->icmp.timeout_ns = entry->timeout_ns;
    if (entry->kind == PROBE_HTTP && !entry->http && http_spec_create(&entry->http))
        r->no_memory = true;
}

static void read_entries(struct reader *r, const struct yaml_node *list, struct probe_spec *spec)
{
    size_t count = yaml_count(list);

    if (yaml_is_null(list))
        return;
    if (yaml_kind(list) != YAML_SEQUENCE) {
        yaml_problem(r->problems, r->doc, list, "prober_configs", "expected a list");
        return;
    }
    spec->entries = calloc(count + 1, sizeof(*spec->entries));
    if (!spec->entries) {
        r->no_memory = true;
        return;
    }
    for (size_t i = 0; i < count && !r->no_memory; i++) {
        struct setting s = {.node = yaml_item(list, i)};

        snprintf(s.key, sizeof(s.key), "prober_configs[%zu]", i);
        read_entry(r, &s, &spec->entries[spec->count++]);
    }
}

static void read_root(struct reader *r, struct probe_spec *spec)
{
    const struct yaml_node *root = yaml_root(r->doc);

    if (yaml_kind(root) != YAML_MAPPING) {
        yaml_problem(r->problems, r->doc, root, NULL, "expected the key prober_configs");
        return;
    }
    for (size_t i = 0; i < yaml_count(root); i++) {
        const char *key = yaml_text(yaml_key(root, i));

        if (strcmp(key, "prober_configs") == 0)
            read_entries(r, yaml_value(root, i), spec);
        else
            yaml_problem(r->problems, r->doc, yaml_key(root, i), key,
                         "unknown key; expected prober_configs");
    }
}

static enum prober_error read_document(struct probe_spec **out, const struct yaml_document *doc,
                                       const char *dir, struct problems *problems)
{
    struct reader r = {.doc = doc, .dir = dir, .problems = problems};
    size_t before = problems_count(problems);
    struct probe_spec *spec = calloc(1, sizeof(*spec));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!spec)
        goto out;
    atomic_init(&spec->references, 1);
    read_root(&r, spec);
    if (r.no_memory)
        goto out;
    err = problems_count(problems) > before ? PROBER_ERR_SYNTAX : PROBER_OK;
    if (err)
        goto out;
    *out = spec;
    spec = NULL;
out:
    probe_spec_destroy(spec);
    return err;
}

enum prober_error probe_spec_read_file(struct probe_spec **out, const char *path,
                                       struct problems *problems)
{
    struct yaml_document *doc = NULL;
    enum prober_error err = yaml_read_file(&doc, path, problems);
    const char *slash = strrchr(path, '/');
    char *dir;

    if (err)
        return err;
    dir = strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
    err = dir ? read_document(out, doc, dir, problems) : PROBER_ERR_NOMEM;
    free(dir);
    yaml_destroy(doc);
    return err;
}

enum prober_error probe_spec_read_text(struct probe_spec **out, const char *name, const char *text,
                                       size_t len, struct problems *problems)
{
    struct yaml_document *doc = NULL;
    enum prober_error err = yaml_read_text(&doc, name, text, len, problems);

    if (!err)
        err = read_document(out, doc, "", problems);
    yaml_destroy(doc);
    return err;
}

struct probe_spec *probe_spec_get(struct probe_spec *spec)
{
    atomic_fetch_add_explicit(&spec->references, 1, memory_order_relaxed);
    return spec;
}

void probe_spec_destroy(struct probe_spec *spec)
{
    if (!spec || atomic_fetch_sub_explicit(&spec->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < spec->count; i++) {
        struct probe_entry *entry = &spec->entries[i];

        for (size_t j = 0; j < entry->target_count; j++)
            free(entry->targets[j]);
        free(entry->targets);
        for (size_t j = 0; j < entry->source_count; j++) {
            free(entry->sources[j].text);
            regex_destroy(entry->sources[j].regex);
        }
        free(entry->sources);
        for (size_t j = 0; j < entry->list_count; j++)
            target_source_put(entry->lists[j]);
        free(entry->lists);
        http_spec_destroy(entry->http);
        free(entry->region);
        free(entry->name);
    }
    free(spec->entries);
    free(spec);
}

static bool source_is(const struct probe_source *source, const char *region)
{
    struct regex_subject subject;
    bool matched;

    if (!source->regex)
        return strcmp(source->text, region) == 0;
    if (regex_subject_init(&subject, region, strlen(region)))
        return false;
    matched = regex_matches(source->regex, &subject);
    regex_subject_free(&subject);
    return matched;
}

bool probe_entry_takes_source(const struct probe_entry *entry, const char *region)
{
    for (size_t i = 0; i < entry->source_count; i++)
        if (source_is(&entry->sources[i], region))
            return true;
    return entry->source_count == 0;
}

bool probe_target_is_confidential(enum probe_kind kind, const char *target)
{
    struct http_url url;

    return kind == PROBE_HTTP && strchr(target, '@') &&
           (http_url_parse(target, &url, NULL) || url.has_user);
}

bool probe_entry_is_confidential(const struct probe_entry *entry)
{
    if (entry->http && http_spec_is_confidential(entry->http))
        return true;
    for (size_t i = 0; i < entry->target_count; i++)
        if (probe_target_is_confidential(entry->kind, entry->targets[i]))
            return true;
    return false;
}

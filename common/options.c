#include "common/options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/duration.h"
#include "common/file.h"
#include "common/json.h"
#include "common/number.h"
#include "common/strbuf.h"
#include "common/yaml.h"

#define SECRET_FILE_MAX (64u << 10)
#define ENVIRONMENT_PREFIX "PROBERMESH_"
#define KEY_MAX 256 /* of a dotted key in a file; a longer one is unknown anyway */

/* Where a value comes from, for messages. */
struct place {
    const char *file; /* NULL for flags and environment */
    int line;
    const char *key; /* "-agent.region", "PROBERMESH_AGENT_REGION", "agent.region" */
};

struct loader {
    const struct options_source *source;
    struct problems *problems;
    int *set_at_line; /* [count]: where the file sets an option, 0: it does not */
    bool no_memory;
};

static void *member_of(void *settings, const struct option *option)
{
    return (char *)settings + option->offset;
}

const struct option *options_find(const struct option *table, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

/* ---- the nearest known name ---- */

/* Insertions, deletions, replacements and swaps of neighbours that make `b` of `a`. Names longer
 * than OPTION_NAME_MAX are as far away as can be. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][OPTION_NAME_MAX + 2], a_len = strlen(a), b_len = strlen(b);
    size_t *before = rows[0], *last = rows[1], *row = rows[2], *spare;

    if (a_len > OPTION_NAME_MAX || b_len > OPTION_NAME_MAX)
        return SIZE_MAX;
    memset(rows, 0, sizeof(rows));
    for (size_t j = 0; j <= b_len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);

            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b_len];
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len > end_len && strcmp(text + len - end_len, end) == 0 &&
           text[len - end_len - 1] == '.';
}

/* The known name that `name` was probably meant to be, or NULL. */
static const struct option *nearest(const struct options_source *source, const char *name)
{
    const struct option *best = NULL;
    size_t least = strlen(name) / 4 + 2; /* so many edits make another word */

    for (size_t i = 0; i < source->count; i++) {
        const struct option *option = &source->table[i];
        size_t distance = edit_distance(name, option->name);

        if (ends_with(option->name, name))
            return option; /* the front was left out: -region */
        if (distance < least && distance < strlen(option->name)) {
            best = option;
            least = distance;
        }
    }
    return best;
}

static void add_problem(struct loader *l, const struct place *at, const char *message)
{
    problems_add(l->problems, at->file, at->line, at->key, "%s", message);
}

static void complain_of_unknown(struct loader *l, const struct place *at, const char *name,
                                const char *what, const char *dash)
{
    const struct option *option = nearest(l->source, name);

    if (option)
        problems_add(l->problems, at->file, at->line, at->key, "unknown %s; did you mean %s%s?",
                     what, dash, option->name);
    else
        problems_add(l->problems, at->file, at->line, at->key, "unknown %s", what);
}

/* ---- one value ---- */

static void list_clear(struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct option_list){NULL, 0};
}

static enum prober_error set_bool(const struct option *option, void *field, const char *text,
                                  struct prober_failure *why)
{
    (void)option;
    if (number_parse_bool(text, field))
        return prober_fail(why, PROBER_ERR_SYNTAX, "expected true or false, got '%.100s'", text);
    return PROBER_OK;
}

static enum prober_error set_int(const struct option *option, void *field, const char *text,
                                 struct prober_failure *why)
{
    int64_t value = 0;
    enum prober_error err = number_parse_i64(text, &value);

    if (err == PROBER_ERR_SYNTAX)
        return prober_fail(why, err, "expected an integer (decimal, 0x, 0o or 0b), got '%.100s'",
                           text);
    if (err || ((option->min || option->max) && (value < option->min || value > option->max))) {
        if (option->min || option->max)
            return prober_fail(why, PROBER_ERR_RANGE,
                               "must be from %" PRId64 " to %" PRId64 ", got %.100s", option->min,
                               option->max, text);
        return prober_fail(why, PROBER_ERR_RANGE, "does not fit 64 bits: %.100s", text);
    }
    memcpy(field, &value, sizeof(value));
    return PROBER_OK;
}

static enum prober_error set_duration(const struct option *option, void *field, const char *text,
                                      struct prober_failure *why)
{
    uint64_t value = 0, min = (uint64_t)option->min, max = (uint64_t)option->max;
    char low[DURATION_TEXT_MAX], high[DURATION_TEXT_MAX];
    enum prober_error err = duration_parse(text, &value);

    if (err == PROBER_ERR_SYNTAX)
        return prober_fail(why, err,
                           "expected a duration such as 15s, 1m30s or 500ms, got '%.100s'", text);
    if (err || (max && (value < min || value > max))) {
        if (max)
            return prober_fail(why, PROBER_ERR_RANGE, "must be from %s to %s, got %.100s",
                               duration_format(min, low), duration_format(max, high), text);
        return prober_fail(why, PROBER_ERR_RANGE, "longer than 292 years: %.100s", text);
    }
    memcpy(field, &value, sizeof(value));
    return PROBER_OK;
}

static enum prober_error set_size(const struct option *option, void *field, const char *text,
                                  struct prober_failure *why)
{
    uint64_t value = 0;
    enum prober_error err = number_parse_size(text, &value);

    (void)option;
    if (err == PROBER_ERR_SYNTAX)
        return prober_fail(why, err, "expected a size such as 1500, 64KiB or 10MB, got '%.100s'",
                           text);
    if (err)
        return prober_fail(why, err, "does not fit 63 bits: %.100s", text);
    memcpy(field, &value, sizeof(value));
    return PROBER_OK;
}

static void put_choices(struct strbuf *out, const char *const *choices)
{
    for (size_t i = 0; choices[i]; i++) {
        if (i > 0)
            strbuf_puts(out, choices[i + 1] ? ", " : " or ");
        strbuf_puts(out, choices[i]);
    }
}

static enum prober_error set_choice(const struct option *option, void *field, const char *text,
                                    struct prober_failure *why)
{
    struct strbuf known = STRBUF_INIT;

    for (int i = 0; option->choices[i]; i++)
        if (strcmp(option->choices[i], text) == 0) {
            memcpy(field, &i, sizeof(i));
            return PROBER_OK;
        }
    put_choices(&known, option->choices);
    prober_fail(why, PROBER_ERR_SYNTAX, "expected %.300s, got '%.100s'",
                strbuf_ok(&known) ? known.bytes : "another word", text);
    strbuf_free(&known);
    return PROBER_ERR_SYNTAX;
}

static enum prober_error set_string(const struct option *option, void *field, const char *text,
                                    struct prober_failure *why)
{
    char *copy = strdup(text);

    (void)option;
    if (!copy)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory");
    free(*(char **)field);
    *(char **)field = copy;
    return PROBER_OK;
}

/* Adds the item text[len] without the blanks around it; nothing when nothing is left. */
static enum prober_error list_add(struct option_list *list, const char *text, size_t len)
{
    char **items, *item;

    while (len > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        len--;
    }
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    if (len == 0)
        return PROBER_OK;
    items = realloc(list->items, (list->count + 1) * sizeof(*items));
    if (!items)
        return PROBER_ERR_NOMEM;
    list->items = items;
    item = strndup(text, len);
    if (!item)
        return PROBER_ERR_NOMEM;
    items[list->count++] = item;
    return PROBER_OK;
}

static enum prober_error set_list(const struct option *option, void *field, const char *text,
                                  struct prober_failure *why)
{
    struct option_list *list = field;

    (void)option;
    list_clear(list);
    for (;;) {
        size_t len = strcspn(text, ",");

        if (list_add(list, text, len))
            return prober_fail(why, PROBER_ERR_NOMEM, "no memory");
        if (text[len] == '\0')
            return PROBER_OK;
        text += len + 1;
    }
}

static const struct type_info {
    enum prober_error (*set)(const struct option *option, void *field, const char *text,
                             struct prober_failure *why);
    const char *fallback; /* where the table of options names none */
} types[] = {
    [OPTION_BOOL] = {set_bool, "false"},     [OPTION_INT] = {set_int, "0"},
    [OPTION_STRING] = {set_string, ""},      [OPTION_SECRET] = {set_string, ""},
    [OPTION_DURATION] = {set_duration, "0"}, [OPTION_CHOICE] = {set_choice, NULL},
    [OPTION_SIZE] = {set_size, "0"},         [OPTION_LIST] = {set_list, ""},
};

static void set_value(struct loader *l, const struct option *option, const char *text,
                      const struct place *at)
{
    struct prober_failure why;
    enum prober_error err =
        types[option->type].set(option, member_of(l->source->settings, option), text, &why);

    if (err == PROBER_ERR_NOMEM)
        l->no_memory = true;
    else if (err)
        add_problem(l, at, why.text);
}

/* ---- the sources, from the weakest to the strongest ---- */

static void load_fallbacks(struct loader *l)
{
    for (size_t i = 0; i < l->source->count; i++) {
        const struct option *option = &l->source->table[i];
        const char *text = option->fallback ? option->fallback : types[option->type].fallback;

        if (text)
            set_value(l, option, text, &(struct place){NULL, 0, option->name});
    }
}

static void load_yaml_list(struct loader *l, const struct option *option,
                           const struct yaml_node *node, const struct place *at)
{
    struct option_list *list = member_of(l->source->settings, option);

    list_clear(list);
    for (size_t i = 0; i < yaml_count(node); i++) {
        const struct yaml_node *item = yaml_item(node, i);

        if (yaml_kind(item) != YAML_SCALAR || strlen(yaml_text(item)) != yaml_len(item))
            problems_add(l->problems, at->file, yaml_line(item), at->key,
                         "expected a list of texts");
        else if (list_add(list, yaml_text(item), yaml_len(item)))
            l->no_memory = true;
    }
}

static void load_yaml_value(struct loader *l, const struct option *option,
                            const struct yaml_node *node, const struct place *at)
{
    int *line = &l->set_at_line[option - l->source->table];
    bool wants_plain = option->type == OPTION_BOOL || option->type == OPTION_INT;

    if (option->flags & OPTION_NO_FILE) {
        add_problem(l, at, "this setting cannot be in a file; give it as a flag");
    } else if (*line) {
        problems_add(l->problems, at->file, at->line, at->key,
                     "this setting stands twice, first in line %d", *line);
    } else if (yaml_is_null(node)) {
        *line = at->line;
    } else if (option->type == OPTION_LIST && yaml_kind(node) == YAML_SEQUENCE) {
        *line = at->line;
        load_yaml_list(l, option, node, at);
    } else if (yaml_kind(node) != YAML_SCALAR) {
        add_problem(l, at,
                    option->type == OPTION_LIST ? "expected a list"
                                                : "expected one value, not a list or mapping");
    } else if (strlen(yaml_text(node)) != yaml_len(node)) {
        add_problem(l, at, "a NUL character is not taken");
    } else if (wants_plain && yaml_is_quoted(node)) {
        add_problem(l, at,
                    option->type == OPTION_BOOL ? "expected true or false without quotes"
                                                : "expected an integer without quotes");
    } else {
        *line = at->line;
        set_value(l, option, yaml_text(node), at);
    }
}

/* True when some option is called `prefix`.something. */
static bool is_prefix(const struct options_source *source, const char *prefix)
{
    size_t len = strlen(prefix);

    for (size_t i = 0; i < source->count; i++)
        if (strncmp(source->table[i].name, prefix, len) == 0 && source->table[i].name[len] == '.')
            return true;
    return false;
}

/* Takes the settings of a mapping whose keys stand below the dotted `prefix`. */
static void load_yaml_mapping(struct loader *l, const struct yaml_document *doc,
                              const struct yaml_node *mapping, const char *prefix)
{
    for (size_t i = 0; i < yaml_count(mapping); i++) {
        const struct yaml_node *key = yaml_key(mapping, i), *value = yaml_value(mapping, i);
        char path[KEY_MAX];
        struct place at = {yaml_name(doc), yaml_line(key), path};
        const struct option *option;
        bool nests;

        snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", yaml_text(key));
        option = options_find(l->source->table, l->source->count, path);
        nests = is_prefix(l->source, path);
        if (yaml_kind(value) == YAML_MAPPING && nests)
            load_yaml_mapping(l, doc, value, path);
        else if (option)
            load_yaml_value(l, option, value, &at);
        else if (nests && yaml_is_null(value))
            continue; /* "agent:" with everything below it commented out */
        else if (nests)
            add_problem(l, &at, "expected a mapping of further keys");
        else
            complain_of_unknown(l, &at, path, "key", "");
    }
}

static void load_file(struct loader *l, const char *path)
{
    struct yaml_document *doc = NULL;
    enum prober_error err = yaml_read_file(&doc, path, l->problems);

    if (err == PROBER_ERR_NOMEM)
        l->no_memory = true;
    if (err)
        return;
    if (yaml_kind(yaml_root(doc)) == YAML_MAPPING)
        load_yaml_mapping(l, doc, yaml_root(doc), "");
    else
        yaml_problem(l->problems, doc, yaml_root(doc), NULL, "expected a mapping of settings");
    yaml_destroy(doc);
}

/* The variable of an option: agent.probe.interval is PROBERMESH_AGENT_PROBE_INTERVAL. */
static void environment_name(const struct option *option,
                             char out[sizeof(ENVIRONMENT_PREFIX) + OPTION_NAME_MAX])
{
    char *to = out + strlen(ENVIRONMENT_PREFIX);

    strcpy(out, ENVIRONMENT_PREFIX);
    for (const char *from = option->name; *from && from - option->name < OPTION_NAME_MAX; from++)
        *to++ = (char)(*from == '.' || *from == '-'   ? '_'
                       : *from >= 'a' && *from <= 'z' ? *from - 'a' + 'A'
                                                      : *from);
    *to = '\0';
}

static const char *environment_value(char *const *environment, const char *name)
{
    size_t len = strlen(name);

    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return *environment + len + 1;
    return NULL;
}

static void load_environment(struct loader *l)
{
    char name[sizeof(ENVIRONMENT_PREFIX) + OPTION_NAME_MAX];
    const char *text;

    for (size_t i = 0; i < l->source->count; i++) {
        environment_name(&l->source->table[i], name);
        text = environment_value(l->source->environment, name);
        if (text && *text)
            set_value(l, &l->source->table[i], text, &(struct place){NULL, 0, name});
    }
}

/* ---- flags ---- */

/* One flag of the command line, taken apart. */
struct flag {
    const struct option *option;    /* NULL: not a known one */
    const char *text;               /* its value; NULL: it lacks one */
    char name[OPTION_NAME_MAX + 2]; /* with one dash, cut to fit, for messages */
    bool is_stray;                  /* no flag at all */
};

/* Takes argv[*i] apart and moves *i past it and its value. */
static struct flag next_flag(const struct options_source *source, int *i)
{
    const char *word = source->argv[(*i)++], *name, *equals;
    struct flag flag = {.is_stray = word[0] != '-' || word[1] == '\0'};

    if (flag.is_stray)
        return flag;
    name = word + (word[1] == '-' ? 2 : 1);
    equals = strchr(name, '=');
    snprintf(flag.name, sizeof(flag.name), "-%.*s",
             equals ? (int)(equals - name) : (int)strlen(name), name);
    flag.option = options_find(source->table, source->count, flag.name + 1);
    if (equals)
        flag.text = equals + 1;
    else if (flag.option && flag.option->type == OPTION_BOOL)
        flag.text = "true";
    else if (flag.option && *i < source->argc)
        flag.text = source->argv[(*i)++];
    return flag;
}

static void complain_of_stray(struct loader *l, const char *word, const struct option *last_bool)
{
    bool truth;

    if (last_bool && number_parse_bool(word, &truth) == PROBER_OK)
        problems_add(
            l->problems, NULL, 0, NULL,
            "stray word '%.100s': write -%s=%.100s, a flag that is true or false takes its "
            "value after '='",
            word, last_bool->name, word);
    else
        problems_add(l->problems, NULL, 0, NULL, "stray word '%.100s': flags begin with '-'", word);
}

static void load_flags(struct loader *l)
{
    const struct option *last_bool = NULL; /* the flag just before, if it was a bool without '=' */
    bool only_words = false, after_unknown = false;

    for (int i = 0; i < l->source->argc;) {
        const char *word = l->source->argv[i];
        struct flag flag;
        struct place at = {NULL, 0, flag.name};

        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
            i++;
            continue;
        }
        if (only_words) {
            complain_of_stray(l, word, NULL);
            i++;
            continue;
        }
        flag = next_flag(l->source, &i);
        if (flag.is_stray && after_unknown)
            ; /* probably the value of the unknown flag, which was told */
        else if (flag.is_stray)
            complain_of_stray(l, word, last_bool);
        else if (!flag.option)
            complain_of_unknown(l, &at, flag.name + 1, "flag", "-");
        else if (!flag.text)
            add_problem(l, &at, "needs a value");
        else
            set_value(l, flag.option, flag.text, &at);
        last_bool = flag.option && flag.option->type == OPTION_BOOL && !strchr(word, '=')
                        ? flag.option
                        : NULL;
        after_unknown = !flag.is_stray && !flag.option && !strchr(word, '=');
    }
}

/* The file that flags or the environment name, else the default; NULL when there is none. */
static const char *config_path(const struct options_source *source)
{
    const struct option *option =
        source->config_option ? options_find(source->table, source->count, source->config_option)
                              : NULL;
    char name[sizeof(ENVIRONMENT_PREFIX) + OPTION_NAME_MAX];
    const char *path;

    if (!option)
        return NULL;
    environment_name(option, name);
    path = environment_value(source->environment, name);
    if (!path || !*path)
        path = option->fallback;
    for (int i = 0; i < source->argc && strcmp(source->argv[i], "--") != 0;) {
        struct flag flag = next_flag(source, &i);

        if (flag.option == option && flag.text)
            path = flag.text;
    }
    return path && *path ? path : NULL;
}

/* ---- secrets ---- */

static void trim_line_end(char *text)
{
    size_t len = strlen(text);

    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = '\0';
}

enum prober_error options_read_secret(const char *value, char **out, struct prober_failure *why)
{
    const char *path = *value == '@' ? value + 1 : "/dev/stdin";
    char *text = NULL;
    size_t len = strlen(value);
    enum prober_error err = PROBER_OK;

    if (*value == '@' || strcmp(value, "-") == 0)
        err = file_read(path, SECRET_FILE_MAX, &text, &len, why);
    else if (!(text = strdup(value)))
        err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    if (err)
        return err;
    if (strlen(text) != len || (trim_line_end(text), *text == '\0')) {
        free(text);
        return prober_fail(why, PROBER_ERR_SYNTAX, "%s holds no secret", path);
    }
    *out = text;
    return PROBER_OK;
}

/* Replaces "@FILE" and "-" by what is in there. */
static void resolve_secret(struct loader *l, const struct option *option)
{
    char **field = member_of(l->source->settings, option), *text;
    struct prober_failure why;

    if (**field != '@' && strcmp(*field, "-") != 0)
        return;
    if (options_read_secret(*field, &text, &why)) {
        problems_add(l->problems, NULL, 0, option->name, "%s", why.text);
        return;
    }
    free(*field);
    *field = text;
}

enum prober_error options_load(const struct options_source *source, struct problems *problems)
{
    struct loader l = {.source = source, .problems = problems};
    size_t before = problems_count(problems);
    const char *path = config_path(source);

    l.set_at_line = calloc(source->count + 1, sizeof(*l.set_at_line));
    if (!l.set_at_line)
        return PROBER_ERR_NOMEM;
    load_fallbacks(&l);
    if (path)
        load_file(&l, path);
    load_environment(&l);
    load_flags(&l);
    for (size_t i = 0; i < source->count; i++)
        if (source->table[i].type == OPTION_SECRET && !l.no_memory &&
            !(source->table[i].flags & OPTION_READ_LATE))
            resolve_secret(&l, &source->table[i]);
    free(l.set_at_line);
    if (l.no_memory)
        return PROBER_ERR_NOMEM;
    return problems_count(problems) > before ? PROBER_ERR_SYNTAX : PROBER_OK;
}

void options_free(const struct option *table, size_t count, void *settings)
{
    for (size_t i = 0; i < count; i++) {
        char **string = member_of(settings, &table[i]);

        if (table[i].type == OPTION_LIST) {
            list_clear(member_of(settings, &table[i]));
        } else if (table[i].type == OPTION_STRING || table[i].type == OPTION_SECRET) {
            free(*string);
            *string = NULL;
        }
    }
}

static bool lists_differ(const struct option_list *a, const struct option_list *b)
{
    if (a->count != b->count)
        return true;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return true;
    return false;
}

bool options_differ(const struct option *option, const void *settings, const void *others)
{
    const void *a = (const char *)settings + option->offset;
    const void *b = (const char *)others + option->offset;

    switch (option->type) {
    case OPTION_BOOL:
        return *(const bool *)a != *(const bool *)b;
    case OPTION_CHOICE:
        return *(const int *)a != *(const int *)b;
    case OPTION_STRING:
    case OPTION_SECRET:
        return strcmp(*(char *const *)a, *(char *const *)b) != 0;
    case OPTION_LIST:
        return lists_differ(a, b);
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE:
        return memcmp(a, b, sizeof(uint64_t)) != 0;
    }
    return false;
}

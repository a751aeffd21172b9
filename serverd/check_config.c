#include "serverd/check_config.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/problems.h"
#include "common/strbuf.h"
#include "common/yaml.h"
#include "libprober/spec.h"
#include "serverd/access.h"
#include "serverd/options.h"
#include "serverd/plan_limits.h"
#include "serverd/reload.h"
#include "serverd/target_files.h"
#include "serverd/trust.h"

static void dump(const struct probe_spec *spec)
{
    struct strbuf text = STRBUF_INIT;

    probe_spec_put(&text, spec);
    if (strbuf_ok(&text))
        fwrite(text.bytes, 1, text.len, stdout);
    strbuf_free(&text);
}

/* What is wrong with lists is no fault of a server's start, but it is worth to be told. */
static enum prober_error check_lists(const struct probe_spec *spec, struct problems *problems)
{
    enum prober_error err = PROBER_OK;

    for (size_t i = 0; spec && i < spec->count; i++)
        for (size_t k = 0; k < spec->entries[i].list_count; k++) {
            const struct target_source *source = spec->entries[i].lists[k];
            enum prober_error other =
                source->kind == TARGET_SOURCE_FILES
                    ? target_files_check(spec->entries[i].kind, source, problems)
                    : PROBER_OK;

            err = err ? err : other;
        }
    return err;
}

static size_t count_lists(const struct probe_spec *spec)
{
    size_t count = 0;

    for (size_t i = 0; i < spec->count; i++)
        count += spec->entries[i].list_count;
    return count;
}

static enum prober_error check_probe_file(const char *path, bool dump_it, struct problems *problems)
{
    struct probe_spec *spec = NULL;
    size_t targets = 0;
    enum prober_error err = probe_spec_read_file(&spec, path, problems), other;

    if (err)
        return err;
    err = plan_limits_check(spec, path, false, problems);
    other = check_lists(spec, problems);
    err = err ? err : other;
    if (err)
        goto out;
    for (size_t i = 0; i < spec->count; i++)
        targets += spec->entries[i].target_count;
    if (dump_it)
        dump(spec);
    else
        printf("%s: entries: %zu, targets: %zu, lists of targets: %zu\n", path, spec->count,
               targets, count_lists(spec));
out:
    probe_spec_destroy(spec);
    return err;
}

static enum prober_error check_certificates(const struct serverd_settings *settings,
                                            struct problems *problems)
{
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err =
        trust_check(settings, (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S), &why);

    if (err)
        problems_add(problems, NULL, 0, "server.pki", "%s", why.text);
    return err;
}

static enum prober_error check_settings(const char *path, bool dump_it, struct problems *problems)
{
    char option[] = "-config";
    char *const argv[] = {option, (char *)(uintptr_t)path};
    struct serverd_settings settings = {.config = NULL};
    struct control_change change = {.spec = NULL};
    struct access_rules *rules = NULL;
    enum prober_error err = serverd_settings_load(&settings, 2, argv, NULL, problems);

    if (!err)
        err = reload_read(&settings, &change, problems);
    if (!err)
        err = check_lists(change.spec, problems);
    if (!err)
        err = access_rules_create(&rules, &settings, problems);
    if (!err)
        err = check_certificates(&settings, problems);
    if (!err && dump_it)
        options_dump(serverd_options, serverd_options_count, &settings, stdout);
    else if (!err)
        printf("%s: ok\n", path);
    access_rules_put(rules);
    control_change_free(&change);
    serverd_settings_free(&settings);
    return err;
}

static enum prober_error check_file(const char *path, bool dump_it, struct problems *problems)
{
    struct yaml_document *doc = NULL;
    enum prober_error err = yaml_read_file(&doc, path, problems);
    bool is_probe_file;

    if (err)
        return err;
    is_probe_file = yaml_kind(yaml_root(doc)) == YAML_MAPPING &&
                    yaml_get(yaml_root(doc), "prober_configs") != NULL;
    yaml_destroy(doc);
    return is_probe_file ? check_probe_file(path, dump_it, problems)
                         : check_settings(path, dump_it, problems);
}

int check_config(int argc, char *const *argv)
{
    const char *path = NULL;
    struct problems *problems = NULL;
    bool dump_it = false;
    enum prober_error err;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-dump") == 0 || strcmp(argv[i], "--dump") == 0) {
            dump_it = true;
        } else if (path || argv[i][0] == '-') {
            path = NULL;
            break;
        } else {
            path = argv[i];
        }
    }
    if (!path) {
        fprintf(stderr, "usage: serverd check-config FILE [-dump]\n");
        return 2;
    }
    if (problems_create(&problems))
        return 1;
    err = check_file(path, dump_it, problems);
    if (err && problems_count(problems) == 0)
        fprintf(stderr, "%s: %s\n", path, prober_error_text(err));
    for (size_t i = 0; i < problems_count(problems) && i < PROBLEMS_MAX; i++)
        fprintf(stderr, "%s\n", problems_text(problems, i));
    problems_destroy(problems);
    return err ? 1 : 0;
}

/*
 * fuzz_yaml - YAML documents: whatever is taken can be walked to its leaves.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct yaml_document *doc, const struct yaml_node *node, int depth)
{
    int64_t number;
    bool truth;

    if (depth > YAML_DEPTH_MAX || yaml_line(node) < 1 || yaml_text(node)[yaml_len(node)] != '\0')
        abort();
    if (yaml_is_null(node) && (yaml_int(node, &number) == 0 || yaml_bool(node, &truth) == 0))
        abort();
    for (size_t i = 0; i < yaml_count(node); i++) {
        if (yaml_kind(node) == YAML_SEQUENCE) {
            walk(doc, yaml_item(node, i), depth + 1);
            continue;
        }
        /* Keys are words, each once: what is looked up is what stands there. */
        if (yaml_kind(yaml_key(node, i)) != YAML_SCALAR ||
            yaml_get(node, yaml_text(yaml_key(node, i))) != yaml_value(node, i))
            abort();
        walk(doc, yaml_value(node, i), depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yaml_document *doc = NULL;
    struct problems *problems = NULL;
    enum prober_error err;

    if (problems_create(&problems))
        return 0;
    err = yaml_read_text(&doc, "f", (const char *)data, size, problems);
    if ((err == PROBER_OK) != (doc != NULL) ||
        (err == PROBER_ERR_SYNTAX) != (problems_count(problems) > 0))
        abort();
    if (doc)
        walk(doc, yaml_root(doc), 0);
    yaml_destroy(doc);
    problems_destroy(problems);
    return 0;
}

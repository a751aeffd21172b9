/*
 * fuzz_target_list - documents of file and HTTP discovery: what is taken keeps to the bounds that
 * target_list.h promises, is in order, and reads back alike when it is written.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/target_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_item(const struct listed_target *t, enum probe_kind kind)
{
    if (probe_target_fault(kind, t->text, strlen(t->text)))
        abort();
    if (t->region && (!*t->region || probe_name_fault(t->region, strlen(t->region))))
        abort();
}

static void check_order(const struct listed_target *a, const struct listed_target *b)
{
    int regions = !a->region || !b->region ? (a->region != NULL) - (b->region != NULL)
                                           : strcmp(a->region, b->region);

    if (regions > 0 || (regions == 0 && strcmp(a->text, b->text) >= 0))
        abort();
}

static void check_list(const struct target_list *list, enum probe_kind kind)
{
    struct strbuf text = STRBUF_INIT;
    struct target_list *again = NULL;
    struct problems *problems = NULL;

    for (size_t i = 0; i < list->count; i++) {
        check_item(&list->items[i], kind);
        if (i)
            check_order(&list->items[i - 1], &list->items[i]);
    }
    target_list_write(&text, list);
    if (problems_create(&problems) || !strbuf_ok(&text) ||
        target_list_read(&again, kind, TARGET_FORMAT_JSON, "w", text.bytes, text.len, problems) ||
        !target_list_equal(list, again))
        abort();
    target_list_put(again);
    problems_destroy(problems);
    strbuf_free(&text);
}

static void read_one(enum probe_kind kind, enum target_format format, const uint8_t *data,
                     size_t size)
{
    struct target_list *list = NULL;
    struct problems *problems = NULL;
    enum prober_error err;

    if (problems_create(&problems))
        return;
    err = target_list_read(&list, kind, format, "f", (const char *)data, size, problems);
    if (err && err != PROBER_ERR_NOMEM && problems_count(problems) == 0)
        abort();
    if (!err)
        check_list(list, kind);
    target_list_put(list);
    problems_destroy(problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_one(PROBE_HTTP, TARGET_FORMAT_JSON, data, size);
    read_one(PROBE_HTTP, TARGET_FORMAT_YAML, data, size);
    read_one(PROBE_ICMP, TARGET_FORMAT_YAML, data, size);
    return 0;
}

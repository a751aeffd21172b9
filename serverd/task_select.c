#include "serverd/task_select.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/regex.h"
#include "common/utf8.h"

static const struct comparison {
    const char *text;
    bool is_pattern, negates;
} comparisons[] = {
    {"=", false, false},
    {"!=", false, true},
    {"=~", true, false},
    {"!~", true, true},
};

struct task_select {
    const struct comparison *comparison;
    char *region;        /* owned; of those that compare */
    struct regex *regex; /* owned; of those that match */
};

enum prober_error task_select_create(struct task_select **out, const char *region, const char *expr,
                                     struct prober_failure *why)
{
    const struct comparison *comparison = NULL;
    enum prober_error err = PROBER_OK;
    struct prober_failure fault = {.text = ""};
    struct task_select *s;

    for (size_t i = 0; i < ARRAY_LEN(comparisons); i++)
        if (strcmp(expr, comparisons[i].text) == 0)
            comparison = &comparisons[i];
    if (!comparison)
        return prober_fail(why, PROBER_ERR_SYNTAX, "the operator has to be one of = != =~ !~");
    if (!region[0])
        return prober_fail(why, PROBER_ERR_SYNTAX, "no region is given");
    if (strlen(region) > TASK_SELECT_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "the region is longer than %d bytes",
                           TASK_SELECT_MAX);
    if (!utf8_is_valid(region, strlen(region)))
        return prober_fail(why, PROBER_ERR_SYNTAX, "the region is not UTF-8");
    s = calloc(1, sizeof(*s));
    if (!s)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    s->comparison = comparison;
    if (comparison->is_pattern)
        err = regex_create(&s->regex, region, &fault);
    if (err)
        prober_fail(why, err, "the region is no regular expression (RE2): %s", fault.text);
    if (!comparison->is_pattern && !(s->region = strdup(region)))
        err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    if (err) {
        task_select_destroy(s);
        return err;
    }
    *out = s;
    return PROBER_OK;
}

bool task_select_has(const struct task_select *select, const char *region, bool *failed)
{
    struct regex_subject subject;
    bool has;

    if (!select->comparison->is_pattern)
        return (strcmp(region, select->region) == 0) != select->comparison->negates;
    if (regex_subject_init(&subject, region, strlen(region))) {
        *failed = true;
        return false;
    }
    has = regex_matches(select->regex, &subject) != select->comparison->negates;
    regex_subject_free(&subject);
    return has;
}

void task_select_destroy(struct task_select *select)
{
    if (!select)
        return;
    free(select->region);
    regex_destroy(select->regex);
    free(select);
}

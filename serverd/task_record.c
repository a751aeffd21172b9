#include "serverd/task_record.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"

#define STATE_TEXT(name, text) [TASK_STATE_##name] = (text),
static const char *const state_texts[TASK_STATE_COUNT] = {TASK_STATES(STATE_TEXT)};
#undef STATE_TEXT

/* By enum task_end of the agent. */
static const char *const end_names[] = {"exited",     "signalled", "timed_out", "cancelled",
                                        "overflowed", "refused",   "lost"};

const char *task_state_text(enum task_state state)
{
    return state_texts[state];
}

bool task_state_is_final(enum task_state state)
{
    return state >= TASK_STATE_DONE;
}

const char *task_end_name(int end)
{
    if (end == TASK_END_NONE)
        return "";
    return end >= 0 && (size_t)end < ARRAY_LEN(end_names) ? end_names[end] : "unknown";
}

static bool copy_text(char **text)
{
    *text = strdup(*text ? *text : "");
    return *text != NULL;
}

static bool copy_row(struct task_row *out, const struct task_row *from)
{
    char **texts[] = {&out->region, &out->address, &out->text, &out->notes};
    bool good = true;

    *out = *from;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        good = copy_text(texts[i]) && good;
    return good;
}

enum prober_error task_view_copy(struct task_view *out, const struct task_view *from)
{
    char **texts[] = {&out->region, &out->expr,   &out->line,
                      &out->who,    &out->client, &out->cancelled_by};
    bool good;

    *out = *from;
    out->rows = calloc(from->row_count + 1, sizeof(*out->rows));
    good = out->rows != NULL;
    if (!good)
        out->row_count = 0;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        good = copy_text(texts[i]) && good;
    for (size_t i = 0; i < out->row_count; i++)
        good = copy_row(&out->rows[i], &from->rows[i]) && good;
    if (good)
        return PROBER_OK;
    task_view_free(out);
    return PROBER_ERR_NOMEM;
}

void task_row_free(struct task_row *row)
{
    free(row->region);
    free(row->address);
    free(row->text);
    free(row->notes);
}

void task_view_free(struct task_view *view)
{
    for (size_t i = 0; view->rows && i < view->row_count; i++)
        task_row_free(&view->rows[i]);
    free(view->rows);
    free(view->region);
    free(view->expr);
    free(view->line);
    free(view->who);
    free(view->client);
    free(view->cancelled_by);
    *view = (struct task_view){.row_count = 0};
}

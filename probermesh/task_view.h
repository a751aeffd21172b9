/*
 * task_view - tasks and what came of them, for people.
 *
 * Purpose    Answers of /api/v1/tasks as tables and lines, and outputs of agents in panels: side by
 *            side where the terminal is wide enough, else one after the other.
 * Threads    One thread at a time.
 * Ownership  Rows are borrowed JSON; panels borrow all texts.
 */
#ifndef PROBERMESH_TASK_VIEW_H
#define PROBERMESH_TASK_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/json.h"
#include "common/strbuf.h"
#include "probermesh/view.h"

/* /api/v1/tasks: one line a task. Errors: as those of view.h. */
enum prober_error task_view_list(const struct json *answer, struct view_style style,
                                 struct strbuf *out, struct prober_failure *why);
/* /api/v1/tasks/{id}: what it is, and one line an agent. Errors: likewise. */
enum prober_error task_view_show(const struct json *task, struct view_style style,
                                 struct strbuf *out, struct prober_failure *why);
/* How far a task is: "3 of 5 have ended (1 running, 1 queued)". */
void task_view_progress(const struct json *task, struct strbuf *out);
/* An agent of a task: what came of it, without its name: "exit 0, 2.31 s". */
void task_view_outcome(const struct json *row, struct strbuf *out);

/* How all of a task's agents fared: the exit status of a command. */
enum task_verdict {
    TASK_ALL_WELL = 0,
    TASK_SOME_FAILED = 3, /* all ran to their end, some ended with another status than 0 */
    TASK_SOME_NOT_RUN = 4 /* some did not run to their end: refused, timed out, gone, … */
};
enum task_verdict task_view_verdict(const struct json *task);
/* False: more is to come of this agent. */
bool task_view_has_ended(const struct json *row);

/* Appends bytes[len] so that no byte of them commands a terminal, in lines without tabs, the
 * last one ended too. */
void task_view_harmless(struct strbuf *out, const char *bytes, size_t len);

/* What one agent wrote. */
struct task_panel {
    const struct json *row;
    const char *out, *err; /* [out_len], [err_len]: any bytes; NULL: not fetched */
    size_t out_len, err_len;
};

/* Prints panels[count] in their order, each with its agent, outcome and notes above. On a terminal
 * (style.width > 0) nothing that an agent wrote can command it; elsewhere it stays as it is. */
void task_view_panels(const struct task_panel *panels, size_t count, struct view_style style,
                      struct strbuf *out);

#endif

/*
 * api_tasks - the admin API of tasks: giving, watching and cancelling them.
 *
 * Purpose    Handlers of the routes in api_routes. POST /-/task is the original's, with statuses
 *            that say what came of it. Waiting and following take a connection each, of which few
 *            may do so at a time (web_linger), so that scrapes are always served.
 * Threads    Handlers run on the web server's threads.
 * Ownership  Borrows the tasks of struct api.
 */
#ifndef SERVERD_API_TASKS_H
#define SERVERD_API_TASKS_H

#include "common/json.h"
#include "common/web.h"
#include "serverd/tasks.h"

/* POST /-/task */
void api_tasks_post(struct web_exchange *x, void *context);
/* GET /api/v1/tasks */
void api_tasks_list(struct web_exchange *x, void *context);
/* GET /api/v1/tasks/{id} */
void api_tasks_get(struct web_exchange *x, void *context);
/* DELETE /api/v1/tasks/{id} */
void api_tasks_cancel(struct web_exchange *x, void *context);
/* GET /api/v1/tasks/{id}/output/{agent} */
void api_tasks_output(struct web_exchange *x, void *context);
/* GET /api/v1/tasks/{id}/events (api_task_events.c) */
void api_tasks_follow(struct web_exchange *x, void *context);

/* ---- between the files of this module ---- */

/* A task without its rows, and one of its rows without outputs; NULL for lack of memory. */
struct json *api_task_json(const struct task_view *view);
struct json *api_task_row_json(const struct task_row *row);
/* Whether all rows of it have ended. */
bool api_task_has_ended(const struct task_view *view);
/* The tasks and the view that a route's {id} names; false: the client was told. */
bool api_task_find(struct web_exchange *x, void *context, struct tasks **tasks,
                   struct task_view *view);
/* Appends bytes[len] as text: what is not UTF-8, and NUL, becomes U+FFFD. */
void api_task_put_text(struct strbuf *out, const char *bytes, size_t len);

#endif

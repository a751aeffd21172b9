#include "common/array.h"
#include "serverd/tasks_state.h"

static void write_rows(struct metrics_writer *w, const struct task_book_totals *totals)
{
    static const struct metric_family rows = {
        "prober_server_task_results", METRIC_GAUGE, NULL,
        "Tasks that are kept, each counted once for every agent it was given to, by state."};

    metrics_family(w, &rows);
    for (int i = 0; i < TASK_STATE_COUNT; i++) {
        const struct metric_label label = {"state", task_state_text((enum task_state)i)};

        metrics_sample_u64(w, &label, 1, totals->rows[i]);
    }
}

static void write_files(const struct tasks *t, struct metrics_writer *w)
{
    struct task_files_counts c = {0, 0, 0, 0};

    if (t->files)
        task_files_counts(t->files, &c);
    metrics_one(w, "prober_server_task_files_written_total", METRIC_COUNTER,
                "Result files that were written.", c.written);
    metrics_one(w, "prober_server_task_files_failed_total", METRIC_COUNTER,
                "Results that no file could be written of: a full disk, a directory that is out of "
                "reach. The results themselves are kept.",
                c.failed);
    metrics_one(w, "prober_server_task_files_removed_total", METRIC_COUNTER,
                "Result files that were removed for their age, or for the size of all.", c.removed);
    metrics_one(w, "prober_server_task_files_bytes", METRIC_GAUGE, "Bytes of all result files.",
                c.bytes);
}

void tasks_write_metrics(struct tasks *tasks, struct metrics_writer *w)
{
    static const struct metric_family reports = {
        "prober_server_task_reports_total", METRIC_COUNTER, NULL,
        "Reports of agents about tasks, by what they were answered."};
    static const char *const outcomes[TASKS_OUTCOMES] = {
        [WIRE_TASK_TAKEN] = "taken", [WIRE_TASK_UNKNOWN] = "unknown", [WIRE_TASK_AGAIN] = "again"};
    uint64_t numbers[TASKS_OUTCOMES];
    struct task_book_totals totals;

    pthread_mutex_lock(&tasks->lock);
    task_book_totals(tasks->book, &totals);
    pthread_mutex_unlock(&tasks->lock);
    for (size_t i = 0; i < TASKS_OUTCOMES; i++)
        numbers[i] = atomic_load(&tasks->reports[i]);
    metrics_one(w, "prober_server_tasks", METRIC_GAUGE, "Tasks that are kept.", totals.tasks);
    metrics_one(w, "prober_server_tasks_open", METRIC_GAUGE, "Tasks that have not ended.",
                totals.open);
    metrics_one(w, "prober_server_tasks_created_total", METRIC_COUNTER, "Tasks that were made.",
                atomic_load(&tasks->created));
    metrics_one(w, "prober_server_tasks_cancelled_total", METRIC_COUNTER,
                "Tasks that were cancelled.", atomic_load(&tasks->cancelled));
    write_rows(w, &totals);
    metrics_one(w, "prober_server_task_output_bytes", METRIC_GAUGE,
                "Bytes of output that are kept.", totals.output_bytes);
    metrics_by(w, &reports, "outcome", outcomes, numbers, TASKS_OUTCOMES);
    metrics_one(w, "prober_server_task_write_errors_total", METRIC_COUNTER,
                "Attempts to keep tasks that failed: orders are refused, reports repeated.",
                atomic_load(&tasks->write_errors));
    write_files(tasks, w);
}

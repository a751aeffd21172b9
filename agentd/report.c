#include "agentd/report.h"

#include <stdlib.h>

void report_table_init(struct report_table *table)
{
    *table = (struct report_table){.next = 1, .generation = 1};
}

void report_table_forget(struct report_table *table)
{
    table->generation++;
}

/* Numbers every row's target, and collects those that the server does not know. */
static void number_targets(struct report_table *table, const struct batch *batch, uint32_t *numbers,
                           struct wire_target_name *names, size_t *name_count)
{
    table->mark++;
    for (size_t i = 0; i < batch->rows; i++) {
        struct target_name *name = batch->names[i];

        if (!name->number)
            name->number = table->next++;
        numbers[i] = name->number;
        if (name->known_in == table->generation || name->carried_by == table->mark)
            continue;
        name->carried_by = table->mark;
        names[(*name_count)++] = (struct wire_target_name){.number = name->number,
                                                           .kind = batch->kind,
                                                           .region = name->region,
                                                           .target = name->target,
                                                           .control = name->control};
    }
}

enum prober_error report_encode(struct report_table *table, const struct batch *batch,
                                const struct prober_id *agent_id, const struct prober_id *boot_id,
                                uint64_t now_boot_ns, struct strbuf *out)
{
    uint32_t *numbers = calloc(batch->rows + 1, sizeof(*numbers));
    struct wire_target_name *names = calloc(batch->rows + 1, sizeof(*names));
    struct wire_request request = {
        .protocol = WIRE_PROTOCOL, .agent_id = *agent_id, .boot_id = *boot_id, .call = WIRE_REPORT};
    struct wire_report *report = &request.as.report;
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!numbers || !names)
        goto out;
    number_targets(table, batch, numbers, names, &report->name_count);
    report->sequence = batch->sequence;
    report->window = batch->window;
    report->window_ns = batch->window_ns;
    report->age_ns = now_boot_ns > batch->ended_boot_ns ? now_boot_ns - batch->ended_boot_ns : 0;
    report->names = names;
    report->target = numbers;
    report->rows = batch->rows;
    report->kind = batch->kind;
    report->icmp = batch->icmp;
    report->http = batch->http;
    report->arrivals = batch->arrivals;
    err = wire_request_encode(&request, out);
out:
    free(names);
    free(numbers);
    return err;
}

void report_taken(struct report_table *table, const struct batch *batch)
{
    for (size_t i = 0; i < batch->rows; i++)
        batch->names[i]->known_in = table->generation;
}

/*
 * fuzz_task_ledger - the file of tasks that were begun. It is damaged, or holds tasks of which none
 * can begin again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agentd/task_ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("tasks", MFD_CLOEXEC);
    char path[64];
    struct prober_failure why;
    struct task_ledger *ledger = NULL;
    enum prober_error err;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    err = task_ledger_open(&ledger, path, TASK_LEDGER_MAX, 1, &why);
    if (err && (err != PROBER_ERR_SYNTAX || ledger))
        abort();
    for (size_t i = 0; ledger && i < task_ledger_count(ledger); i++) {
        const struct task_ledger_entry *entry = task_ledger_at(ledger, i);

        if (entry->state == TASK_LEDGER_RUNNING || task_ledger_find(ledger, entry->id) != entry ||
            task_ledger_begin(ledger, entry->id, UINT64_MAX, &why) != PROBER_ERR_EXISTS)
            abort();
    }
    task_ledger_close(ledger);
    close(fd);
    return 0;
}

/*
 * target_name - what a target is called, shared by the plan runner and the results that wait.
 *
 * Threads    Reference-counted, atomically. The name is immutable; the number belongs to the link
 *            thread.
 * Ownership  get and put count references; the last put frees.
 */
#ifndef AGENTD_TARGET_NAME_H
#define AGENTD_TARGET_NAME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct target_name {
    atomic_uint references;
    char *region;
    char *target; /* as written in the plan */
    bool control;
    /* owned by the link thread */
    uint32_t number;     /* 0: none yet */
    uint32_t known_in;   /* the generation of the server's table that has this name; 0: none */
    uint32_t carried_by; /* mark of the report that carries this name already */
};

/* Makes a name with one reference; copies the texts. NULL for lack of memory. */
struct target_name *target_name_create(const char *region, const char *target, bool control);
struct target_name *target_name_get(struct target_name *name);
void target_name_put(struct target_name *name); /* NULL is fine */

#endif

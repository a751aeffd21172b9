/*
 * task_output - what a program wrote, bounded: its beginning and its end.
 *
 * Purpose    Of output beyond the limit the middle is left out: the beginning says what was asked,
 *            the end how it went. Bytes stay as they are, text or not.
 * Threads    One thread at a time.
 * Ownership  Owns its bytes.
 */
#ifndef AGENTD_TASK_OUTPUT_H
#define AGENTD_TASK_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

#include "common/strbuf.h"

struct task_output {
    struct strbuf head;
    char *tail;       /* a ring, made when the head is full */
    size_t half;      /* bytes that head and tail keep each */
    size_t tail_at;   /* where the next byte goes */
    uint64_t total;   /* bytes that were written */
    uint64_t forgone; /* bytes for which there was no memory */
};

/* max: the bytes to keep, 2 or more. */
void task_output_init(struct task_output *o, size_t max);
void task_output_add(struct task_output *o, const void *bytes, size_t len);
/* Bytes that are in neither beginning nor end. */
uint64_t task_output_left_out(const struct task_output *o);
/* Appends what was kept, with a line "[N bytes are left out here]" in the place of the others. */
void task_output_write(const struct task_output *o, struct strbuf *to);
void task_output_free(struct task_output *o);

#endif

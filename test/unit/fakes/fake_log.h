/*
 * fake_log - keeps the messages instead of writing them.
 */
#ifndef FAKE_LOG_H
#define FAKE_LOG_H

#include <stddef.h>

#define FAKE_LOG_MAX 64

extern const char *fake_log_messages[FAKE_LOG_MAX];
extern size_t fake_log_count;

#endif

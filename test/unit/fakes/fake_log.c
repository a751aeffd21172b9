#include "test/unit/fakes/fake_log.h"

#include "common/log.h"

const char *fake_log_messages[FAKE_LOG_MAX];
size_t fake_log_count;

void log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
    (void)level;
    (void)fields;
    if (fake_log_count < FAKE_LOG_MAX)
        fake_log_messages[fake_log_count++] = msg;
}

#include "common/error.h"

#include <stdio.h>

const char *prober_error_text(enum prober_error err)
{
#define PROBER_ERROR_TEXT(name, text) [PROBER_ERR_##name] = text,
    static const char *const texts[] = {[PROBER_OK] = "success", PROBER_ERRORS(PROBER_ERROR_TEXT)};
#undef PROBER_ERROR_TEXT

    if ((unsigned)err >= PROBER_ERROR_COUNT)
        return "unknown error";
    return texts[err];
}

enum prober_error prober_fail(struct prober_failure *why, enum prober_error code, const char *format,
                              ...)
{
    va_list args;

    if (!why)
        return code;
    why->code = code;
    va_start(args, format);
    vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
    return code;
}

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test/lab/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_deliver(void *context, uint32_t to, struct path *p, enum packet_class class,
                       uint64_t due_ns, const uint8_t *data, size_t len)
{
    (void)context;
    (void)to;
    (void)p;
    (void)class;
    (void)due_ns;
    (void)data;
    (void)len;
}

/* The input is a session of lines. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct network_sink sink = {.deliver = on_deliver};
    struct control control = {0};
    struct strbuf answer = STRBUF_INIT;
    char *text = malloc(len + 1), *rest;

    if (!text || network_create(&control.network, 1, &sink))
        abort();
    if (len)
        memcpy(text, data, len);
    text[len] = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        strbuf_clear(&answer);
        control_execute(&control, line, &answer);
        if (!answer.len || answer.bytes[answer.len - 1] != '\n')
            abort();
    }
    network_destroy(control.network);
    strbuf_free(&answer);
    free(text);
    return 0;
}

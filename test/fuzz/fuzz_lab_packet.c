#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test/lab/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_deliver(void *context, uint32_t to, struct path *p, enum packet_class class,
                       uint64_t due_ns, const uint8_t *data, size_t len)
{
    struct packet_view view;

    (void)context;
    (void)to;
    (void)p;
    (void)class;
    (void)due_ns;
    if (!packet_parse(data, len, &view))
        abort(); /* what comes out must be a packet */
}

static void say(struct control *control, const char *text)
{
    char line[CONTROL_LINE_MAX];
    struct strbuf answer = STRBUF_INIT;

    strcpy(line, text);
    control_execute(control, line, &answer);
    if (strcmp(answer.bytes, "ok\n") != 0)
        abort();
    strbuf_free(&answer);
}

/* One packet across a path that does everything to packets. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct network_sink sink = {.deliver = on_deliver};
    struct control control = {0};
    uint8_t *copy = malloc(len ? len : 1);

    if (!copy || network_create(&control.network, len, &sink))
        abort();
    if (len)
        memcpy(copy, data, len);
    say(&control, "host a a - -");
    say(&control, "host b b - -");
    say(&control, "address b 0.0.0.0/0");
    say(&control, "address b ::/0");
    say(&control, "set * * corrupt 50% damage 50% duplicate 50% hops 3");
    network_forward(control.network, 0, copy, len, UINT64_C(10000000000));
    network_destroy(control.network);
    free(copy);
    return 0;
}

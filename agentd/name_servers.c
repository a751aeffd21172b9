#include "agentd/name_servers.h"

#include "common/strbuf.h"

enum prober_error name_servers_open(struct resolver **out, const struct option_list *servers,
                                    struct prober_failure *why)
{
    struct strbuf text = STRBUF_INIT;
    struct resolver_config config = {0};
    enum prober_error err;

    for (size_t i = 0; i < servers->count; i++) {
        if (i)
            strbuf_putc(&text, ',');
        strbuf_puts(&text, servers->items[i]);
    }
    config.servers = text.len ? text.bytes : NULL;
    err = strbuf_ok(&text) ? resolver_create(out, &config, why) : PROBER_ERR_NOMEM;
    strbuf_free(&text);
    return err;
}

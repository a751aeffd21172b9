#include "probermesh/agents_command.h"

#include <stdio.h>
#include <stdlib.h>

#include "probermesh/client.h"
#include "probermesh/client_options.h"
#include "probermesh/terminal.h"
#include "probermesh/view.h"

int agents_command(int argc, char *const *argv)
{
    struct client_options options;
    struct prober_failure why;
    struct strbuf page = STRBUF_INIT;
    struct json *answer = NULL;
    char *text = NULL;
    int status;

    if (!client_options_read(&options, CLIENT_AGENTS, argc, argv, &status))
        return status;
    status = 1;
    if (client_get(options.server, "/api/v1/agents", options.timeout_ns, &answer, &text, &why)) {
        fprintf(stderr, "probermesh: %s\n", why.text);
    } else if (options.json) {
        puts(text);
        status = 0;
    } else if (view_agents(answer, terminal_style((enum terminal_colour)options.colour), &page, &why)) {
        fprintf(stderr, "probermesh: %s\n", why.text);
    } else {
        fputs(page.bytes, stdout);
        status = 0;
    }
    json_free(answer);
    free(text);
    strbuf_free(&page);
    client_options_free(&options, CLIENT_AGENTS);
    return status;
}

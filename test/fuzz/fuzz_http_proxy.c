/*
 * fuzz_http_proxy - a line each: proxy_url, no_proxy, then variables of an environment (with '=') and
 * targets. Whatever is read, a proxy that is chosen is one that can be connected to.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/http_proxy.h"

#define ENVIRONMENT_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void choose(const struct http_proxies *proxies, const char *target)
{
    static const struct prober_addr address = {.family = PROBER_FAMILY_IPV4,
                                               .bytes = {10, 1, 2, 3}};
    const struct http_proxy_server *server = NULL;
    struct http_url url;

    if (http_url_parse(target, &url, NULL))
        return;
    if (http_proxies_choose(proxies, &url, &address, &server) == HTTP_PROXY_USED &&
        (!server->host[0] || !server->port))
        abort();
    /* what is reached straight by its name alone is so by its address too */
    if (http_proxies_choose(proxies, &url, NULL, &server) == HTTP_PROXY_NONE &&
        http_proxies_choose(proxies, &url, &address, &server) != HTTP_PROXY_NONE)
        abort();
}

static void choose_all(const struct http_proxy *proxy, char *const *environment,
                       const char *targets)
{
    struct http_proxies *proxies = NULL;
    char *copy = strdup(targets), *rest = copy, *line;

    if (copy && http_proxies_create(&proxies, proxy, environment, NULL) == PROBER_OK)
        while ((line = strsep(&rest, "\n")))
            if (!strchr(line, '='))
                choose(proxies, line);
    http_proxies_destroy(proxies);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest = text, *url, *no_proxy, *targets, *lines, *line;
    char *environment[ENVIRONMENT_MAX + 1] = {NULL};
    size_t count = 0;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    url = strsep(&rest, "\n");
    no_proxy = strsep(&rest, "\n");
    targets = rest ? strdup(rest) : NULL;
    lines = rest;
    while (targets && count < ENVIRONMENT_MAX && (line = strsep(&lines, "\n")))
        if (strchr(line, '='))
            environment[count++] = line;
    if (targets) {
        choose_all(&(struct http_proxy){.url = url, .no_proxy = no_proxy}, NULL, targets);
        choose_all(&(struct http_proxy){.from_environment = true}, environment, targets);
    }
    free(targets);
    free(text);
    return 0;
}

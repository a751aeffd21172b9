/*
 * fuzz_access - headers of requests of the admin API: "Name: value" lines, judged by rules that trust
 * a proxy and know tokens, as from that proxy and as from a stranger.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serverd/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADERS 80
#define TOKEN "operator-0123456789abcdef"

static struct access_rules *make_rules(void)
{
    char path[] = "/tmp/fuzz_access.XXXXXX", text[] = "ops operate " TOKEN "\n";
    char *argv[] = {(char[]){"-server.http.tokens"},          path,
                    (char[]){"-server.http.trusted-proxies"}, (char[]){"192.0.2.0/24"},
                    (char[]){"-server.http.hosts"},           (char[]){"mesh.example"}};
    struct serverd_settings settings = {.config = NULL};
    struct access_rules *rules = NULL;
    struct problems *problems;
    int fd = mkstemp(path);

    if (fd < 0 || write(fd, text, strlen(text)) < 0 || problems_create(&problems) ||
        serverd_settings_load(&settings, 6, argv, NULL, problems) ||
        access_rules_create(&rules, &settings, problems))
        abort();
    close(fd);
    unlink(path);
    serverd_settings_free(&settings);
    problems_destroy(problems);
    return rules;
}

static void judge(const struct access_rules *rules, struct access_request *request,
                  const char *peer, bool has_token)
{
    struct access_caller caller;
    enum access_refusal refusal;

    prober_addr_parse(peer, &request->peer);
    for (int role = ROLE_NONE; role < ROLE_COUNT; role++) {
        request->needed = (enum role)role;
        refusal = access_judge(rules, request, 1, &caller);
        if (refusal == ACCESS_GRANTED && role > ROLE_READ && !has_token)
            abort();
        if (refusal == ACCESS_GRANTED && role == ROLE_ADMIN)
            abort(); /* nobody has that token */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct access_rules *rules;
    struct access_header headers[HEADERS];
    struct access_request request = {.version = "1.1", .path = "/", .headers = headers};
    char *text = calloc(1, size + 1), *rest = text;
    bool has_token;

    if (!rules)
        rules = make_rules();
    if (!text)
        abort();
    memcpy(text, data, size);
    has_token = strstr(text, TOKEN) != NULL;
    for (char *line; request.header_count < HEADERS && (line = strsep(&rest, "\n"));) {
        char *colon = strchr(line, ':');

        if (!colon)
            continue;
        *colon = '\0';
        headers[request.header_count++] =
            (struct access_header){line, colon[1] == ' ' ? colon + 2 : colon + 1};
    }
    judge(rules, &request, "192.0.2.1", has_token);
    judge(rules, &request, "198.51.100.1", has_token);
    free(text);
    return 0;
}

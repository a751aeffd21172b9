/*
 * fuzz_policy - lists of networks, as -agent.probe.allow and -agent.probe.deny take them.
 */
#include <stdlib.h>
#include <string.h>

#include "agentd/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct policy *policy)
{
    static const char *const texts[] = {"0.0.0.0", "10.1.2.3", "255.255.255.255", "::",
                                        "2001:db8::1", "::ffff:10.1.2.3"};
    struct prober_addr address;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (prober_addr_parse(texts[i], &address) == PROBER_OK)
            policy_permits(policy, &address);
}

/* Lines up to an empty one are allowed networks, the rest are denied ones. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct option_list lists[2] = {{NULL, 0}, {NULL, 0}};
    struct problems *problems = NULL;
    struct policy *policy = NULL;
    char *text = calloc(1, size + 1), *items[2][64], *rest = text;
    unsigned which = 0;

    if (!text || problems_create(&problems))
        abort();
    memcpy(text, data, size);
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (!line[0])
            which = 1;
        else if (lists[which].count < 64)
            items[which][lists[which].count++] = line;
    }
    lists[0].items = items[0];
    lists[1].items = items[1];
    if (policy_create(&policy, &lists[0], &lists[1], problems) == PROBER_OK)
        judge(policy);
    else if (problems_count(problems) == 0)
        abort(); /* a refusal says why */
    policy_put(policy);
    problems_destroy(problems);
    free(text);
    return 0;
}

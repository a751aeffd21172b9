/*
 * fuzz_words - single words of a command line: durations, addresses, host:port, numbers, ids. What
 * is taken and written again is read as the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/addr.h"
#include "common/duration.h"
#include "common/id.h"
#include "common/number.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_duration(const char *word)
{
    char text[DURATION_TEXT_MAX];
    uint64_t ns, again;

    if (duration_parse(word, &ns))
        return;
    if (duration_parse(duration_format(ns, text), &again) || again != ns)
        abort();
}

static void check_addr(const char *word)
{
    char text[PROBER_ADDR_TEXT_MAX];
    struct prober_addr addr, again;
    struct sockaddr_storage ss;
    uint16_t port;

    if (prober_addr_parse(word, &addr))
        return;
    if (prober_addr_parse(prober_addr_format(&addr, text), &again) ||
        !prober_addr_equal(&addr, &again))
        abort();
    prober_addr_to_sockaddr(&addr, 7, &ss);
    if (prober_addr_from_sockaddr((struct sockaddr *)&ss, &again, &port) || port != 7 ||
        !prober_addr_equal(&addr, &again))
        abort();
    addr = prober_addr_unmap(&addr);
    if (prober_addr_classify(&addr) != prober_addr_classify(&again))
        abort();
}

static void check_hostport(const char *word)
{
    char host[PROBER_HOST_MAX];
    struct prober_failure why = {PROBER_OK, ""};
    uint16_t port;
    enum prober_error err = prober_hostport_split(word, (uint16_t)(*word % 2), host, &port, &why);

    if ((err != PROBER_OK) != (why.text[0] != '\0'))
        abort();
    if (!err && strlen(host) >= PROBER_HOST_MAX)
        abort();
}

static void check_id(const char *word)
{
    char text[PROBER_ID_TEXT_MAX];
    struct prober_id id, again;

    if (prober_id_parse(word, &id))
        return;
    if (prober_id_parse(prober_id_format(&id, text), &again) || !prober_id_equal(&id, &again))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *word = strndup((const char *)data, size);
    int64_t number;
    uint64_t bytes;
    bool truth;

    if (!word)
        return 0;
    check_duration(word);
    check_addr(word);
    check_hostport(word);
    check_id(word);
    number_parse_i64(word, &number);
    number_parse_size(word, &bytes);
    number_parse_bool(word, &truth);
    free(word);
    return 0;
}

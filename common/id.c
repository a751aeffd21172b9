#include "common/id.h"

#include <string.h>

#include "common/random.h"

struct prober_id prober_id_random(void)
{
    struct prober_id id;

    random_bytes(id.bytes, sizeof(id.bytes));
    return id;
}

bool prober_id_equal(const struct prober_id *a, const struct prober_id *b)
{
    return memcmp(a->bytes, b->bytes, PROBER_ID_LEN) == 0;
}

bool prober_id_is_zero(const struct prober_id *id)
{
    static const struct prober_id zero;

    return prober_id_equal(id, &zero);
}

char *prober_id_format(const struct prober_id *id, char out[PROBER_ID_TEXT_MAX])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < PROBER_ID_LEN; i++) {
        out[2 * i] = digits[id->bytes[i] >> 4];
        out[2 * i + 1] = digits[id->bytes[i] & 15];
    }
    out[2 * PROBER_ID_LEN] = '\0';
    return out;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum prober_error prober_id_parse(const char *text, struct prober_id *out)
{
    struct prober_id id;

    if (strlen(text) != 2 * PROBER_ID_LEN)
        return PROBER_ERR_SYNTAX;
    for (int i = 0; i < PROBER_ID_LEN; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return PROBER_ERR_SYNTAX;
        id.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *out = id;
    return PROBER_OK;
}

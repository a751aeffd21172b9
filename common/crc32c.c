#include "common/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* Castagnoli's, bits reversed */
#define SLICES 8

static uint32_t tables[SLICES][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/* tables[s][b]: what byte b contributes when s more bytes follow it. */
static void make_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;

        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        tables[0][b] = crc;
    }
    for (unsigned s = 1; s < SLICES; s++)
        for (unsigned b = 0; b < 256; b++)
            tables[s][b] = tables[s - 1][b] >> 8 ^ tables[0][tables[s - 1][b] & 0xff];
}

static uint32_t crc_by_tables(uint32_t crc, const unsigned char *p, size_t len)
{
    pthread_once(&tables_once, make_tables);
    for (; len >= SLICES; len -= SLICES, p += SLICES) {
        crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = tables[7][crc & 0xff] ^ tables[6][crc >> 8 & 0xff] ^ tables[5][crc >> 16 & 0xff] ^
              tables[4][crc >> 24] ^ tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^
              tables[0][p[7]];
    }
    while (len--)
        crc = crc >> 8 ^ tables[0][(crc ^ *p++) & 0xff];
    return crc;
}

#ifdef __x86_64__
static bool has_crc_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(uint32_t crc, const unsigned char *p, size_t len)
{
    uint64_t wide = crc, word;

    for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    while (len--)
        crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}
#else
static bool has_crc_instruction(void)
{
    return false;
}

static uint32_t crc_by_instruction(uint32_t crc, const unsigned char *p, size_t len)
{
    return crc_by_tables(crc, p, len);
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
    crc = ~crc;
    crc = has_crc_instruction() ? crc_by_instruction(crc, bytes, len)
                                : crc_by_tables(crc, bytes, len);
    return ~crc;
}

uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len)
{
    return ~crc_by_tables(~crc, bytes, len);
}

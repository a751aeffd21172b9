/*
 * crc32c - CRC-32C (Castagnoli, RFC 3720 appendix B.4), in hardware where there is SSE 4.2.
 *
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_CRC32C_H
#define COMMON_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of bytes[len], continuing from `crc` (0 to begin). */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
/* The same without the instruction, as on other processors. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len);

#endif

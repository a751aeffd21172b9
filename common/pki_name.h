/*
 * pki_name - how an agent is named inside its certificate.
 *
 * Purpose    An agent's certificate has one URI among its alternative names (RFC 5280, 4.2.1.6):
 *
 *                probermesh:agent/ID/REGION
 *
 *            ID is 32 lower-case hex digits; REGION is the region's UTF-8, in which every byte but
 *            A-Z a-z 0-9 - . _ ~ is written %XX in upper case (RFC 3986, 2.1). There is one way to
 *            write a name, and no other is read: so equal names are equal bytes.
 * Threads    Pure functions; any thread.
 */
#ifndef COMMON_PKI_NAME_H
#define COMMON_PKI_NAME_H

#include <stddef.h>

#include "common/error.h"
#include "common/id.h"
#include "common/wire.h"

#define PKI_REGION_MAX WIRE_REGION_MAX
#define PKI_NAME_MAX (17 + 32 + 1 + 3 * PKI_REGION_MAX) /* bytes, without a NUL */

/* Writes the name, NUL-terminated. Errors: PROBER_ERR_SYNTAX: the region is not 1 to PKI_REGION_MAX
 * bytes of valid text (wire_name_is_valid). */
enum prober_error pki_name_format(const struct prober_id *id, const char *region,
                                  char out[PKI_NAME_MAX + 1]);
/* Reads text[len]. Errors: PROBER_ERR_SYNTAX, with the rest untouched. */
enum prober_error pki_name_parse(const char *text, size_t len, struct prober_id *id,
                                 char region[PKI_REGION_MAX + 1]);

#endif

/*
 * fuzz_pki - any bytes as a certificate, as a request for one, and as an agent's name: refused, or
 * what is read is within its bounds. A name is written again as it was.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *text, size_t len)
{
    char region[PKI_REGION_MAX + 1], again[PKI_NAME_MAX + 1];
    struct prober_id id;

    if (pki_name_parse(text, len, &id, region))
        return;
    if (pki_name_format(&id, region, again) || strlen(again) != len ||
        memcmp(again, text, len) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t fingerprint[DIGEST_SHA256_LEN];
    struct pki_identity identity;
    struct prober_failure why;

    if (pki_read_certificate(data, size, &identity, &why) == PROBER_OK &&
        (identity.serial_len < 1 || identity.serial_len > PKI_SERIAL_MAX ||
         (identity.role == PKI_ROLE_AGENT) != (identity.region[0] != '\0') ||
         (identity.region[0] && !wire_name_is_valid(identity.region, PKI_REGION_MAX))))
        abort();
    pki_check_request(data, size, fingerprint, &why);
    check_name((const char *)data, size);
    return 0;
}

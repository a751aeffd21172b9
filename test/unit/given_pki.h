/*
 * given_pki - an authority, a server's and an agent's certificate, for tests.
 *
 * Purpose    Made once for a test program, as each key costs milliseconds. GIVEN_NOW_S is when.
 */
#ifndef TEST_UNIT_GIVEN_PKI_H
#define TEST_UNIT_GIVEN_PKI_H

#include <string.h>

#include "common/pki.h"
#include "test/unit/unit.h"

#define GIVEN_NOW_S INT64_C(1800000000)
#define GIVEN_REGION "欧洲 1/a"

struct given_pki {
    struct strbuf ca_key, ca_certificate;
    struct strbuf server_key, server_certificate;
    struct strbuf agent_key, agent_certificate;
    struct prober_id agent_id;
    struct pki_ca *ca;
};

/* Has `ca` certify `key` as the agent `id` of a region. */
static inline void given_agent_certificate(struct pki_ca *ca, const struct strbuf *key,
                                           const struct prober_id *id, const char *region,
                                           int64_t now_s, int64_t life_s,
                                           struct strbuf *certificate)
{
    struct strbuf request = STRBUF_INIT;

    assert_int_equal(pki_make_request(key->bytes, &request, NULL), PROBER_OK);
    assert_int_equal(pki_ca_issue_agent(ca, request.bytes, request.len, id, region, now_s, life_s,
                                        certificate, NULL),
                     PROBER_OK);
    strbuf_free(&request);
}

static inline void given_pki_make(struct given_pki *p)
{
    memset(p, 0, sizeof(*p));
    p->agent_id = prober_id_random();
    assert_int_equal(pki_ca_make(GIVEN_NOW_S, PKI_CA_LIFE_S, &p->ca_key, &p->ca_certificate),
                     PROBER_OK);
    assert_int_equal(pki_ca_open(&p->ca, p->ca_certificate.bytes, p->ca_key.bytes, NULL),
                     PROBER_OK);
    assert_int_equal(pki_ca_issue_server(p->ca, GIVEN_NOW_S, PKI_SERVER_LIFE_S, &p->server_key,
                                         &p->server_certificate, NULL),
                     PROBER_OK);
    assert_int_equal(pki_make_key(&p->agent_key), PROBER_OK);
    given_agent_certificate(p->ca, &p->agent_key, &p->agent_id, GIVEN_REGION, GIVEN_NOW_S,
                            PKI_AGENT_LIFE_S, &p->agent_certificate);
}

static inline void given_pki_free(struct given_pki *p)
{
    pki_ca_close(p->ca);
    pki_forget(&p->ca_key);
    strbuf_free(&p->ca_certificate);
    pki_forget(&p->server_key);
    strbuf_free(&p->server_certificate);
    pki_forget(&p->agent_key);
    strbuf_free(&p->agent_certificate);
}

#endif

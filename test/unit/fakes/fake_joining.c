#include "fake_joining.h"

#include <stdio.h>

struct fake_joining_state fake_joining;

static enum prober_error certify(struct credentials *credentials, struct prober_failure *why)
{
    struct strbuf request = STRBUF_INIT, certificate = STRBUF_INIT;
    struct given_pki *pki = fake_joining.pki;
    enum prober_error err = credentials_request(credentials, &request, why);

    if (!err)
        err = pki_ca_issue_agent(pki->ca, request.bytes, request.len, &pki->agent_id, GIVEN_REGION,
                                 GIVEN_NOW_S, PKI_AGENT_LIFE_S, &certificate, why);
    if (!err)
        err = credentials_accept(credentials, certificate.bytes, pki->ca_certificate.bytes,
                                 GIVEN_NOW_S, why);
    strbuf_free(&request);
    strbuf_free(&certificate);
    return err;
}

enum prober_error joining_run(struct credentials *credentials, const struct joining *joining,
                              const sigset_t *signals, struct prober_failure *why)
{
    struct fake_joining_state *s = &fake_joining;

    (void)signals;
    s->calls++;
    snprintf(s->server, sizeof(s->server), "%s", joining->server);
    snprintf(s->token, sizeof(s->token), "%s", joining->token);
    snprintf(s->region, sizeof(s->region), "%s", joining->region);
    return s->err ? prober_fail(why, s->err, "as the test wants it") : certify(credentials, why);
}

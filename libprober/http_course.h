/*
 * http_course - where a probe stands: its URL, its rights, and what it has measured.
 *
 * Purpose    The part of a probe that needs no network: what each hop asks, and what a redirect makes
 *            of method, body, Host, name for TLS, and secrets.
 * Threads    None of its own; whoever owns the probe.
 * Ownership  A struct http_course is a value; it borrows the spec.
 */
#ifndef LIBPROBER_HTTP_COURSE_H
#define LIBPROBER_HTTP_COURSE_H

#include <stdbool.h>

#include "common/error.h"
#include "libprober/http_judge.h"
#include "libprober/http_spec.h"
#include "libprober/http_url.h"

struct http_course {
    const struct http_spec *spec;
    struct http_url url;               /* of this hop */
    char origin_host[PROBER_HOST_MAX]; /* of the target */
    uint16_t origin_port;
    const char *authorization; /* goes before all credentials of the spec; NULL: there is none */
    const char *method;        /* of this hop */
    bool has_body;
    bool keeps_host;                /* the spec's Host header still holds */
    bool has_left;                  /* it left the target's host: secrets are withheld */
    char host[HTTP_URL_MAX + 1];    /* the Host header of this hop */
    char tls_name[PROBER_HOST_MAX]; /* whom TLS must prove */
};

/* Begins at `target`. Errors: as http_url_parse. */
enum prober_error http_course_begin(struct http_course *c, const struct http_spec *spec,
                                    const char *target);
/* Goes where an answer of `status`, a redirect, points. Errors: as http_url_resolve; the course is
 * then as it was. */
enum prober_error http_course_redirect(struct http_course *c, int status, const char *location);
/* Appends the header lines of this hop, without Host. Memory failure shows in out->text. */
void http_course_put_fields(const struct http_course *c, struct http_fields *out);

#endif

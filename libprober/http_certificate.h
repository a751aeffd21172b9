/*
 * http_certificate - a certificate as people want to see it (with http_tls, the adapter of OpenSSL).
 *
 * Threads    Pure functions; any thread.
 */
#ifndef LIBPROBER_HTTP_CERTIFICATE_H
#define LIBPROBER_HTTP_CERTIFICATE_H

#include <stdint.h>

#include "libprober/http_trace.h"

/* Adds `x509`, an X509, to the chain of the trace's hop. */
void http_certificate_trace(struct http_trace *t, void *x509);
/* When it expires, in Unix seconds; 0: it does not say. */
int64_t http_certificate_expiry(const void *x509);

#endif

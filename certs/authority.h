#ifndef CERTS_AUTHORITY_H
#define CERTS_AUTHORITY_H

/*
 * An authority of one's own, in memory: enough to begin with TLS, and for tests. Keys are P-256,
 * signatures SHA-256. Its own key is never written anywhere, so nobody can issue more in its name
 * once it is destroyed. Owner: whoever created it; one thread.
 */

#include "broker/base/buf.h"

struct authority;

/* Seconds since the Unix epoch. */
struct authority_period {
    int64_t from;
    int64_t to;
};

struct authority_subject {
    const char *name;         /* The common name; UTF-8. */
    const char *const *hosts; /* DNS names and addresses, for the alternative names. */
    size_t host_count;
    bool is_client; /* It proves who a client is; else who a server is. */
    struct authority_period period;
};

/* NULL if the library refuses, for instance because the name is too long. */
struct authority *authority_create(const char *name, const struct authority_period *period);
void authority_destroy(struct authority *a);

/* Appends its certificate as PEM. */
void authority_certificate(const struct authority *a, struct buf *out);

/* Makes a key and a certificate for it, appended as PEM. False if the library refuses. */
bool authority_issue(const struct authority *a, const struct authority_subject *subject,
                     struct buf *certificate, struct buf *key);

#endif

#ifndef CERTS_TLS_CHECK_H
#define CERTS_TLS_CHECK_H

/*
 * Looks at the files of a profile before anybody listens with them, and tells of everything that is
 * wrong instead of the first thing, with the setting that is to blame. One thread.
 */

#include "certs/tls_profile.h"

/* A certificate that ends within so many days is warned of. */
#define TLS_EXPIRES_SOON_DAYS 30

/* What the settings call it. */
enum tls_part {
    TLS_PART_CERTIFICATE,
    TLS_PART_PRIVATE_KEY,
    TLS_PART_CLIENT_CA,
    TLS_PART_PROFILE, /* None of these, or more than one. */
};

struct tls_finding {
    enum tls_part part;
    size_t certificate; /* Which one, of a certificate or private key. */
    bool is_warning;    /* It does, and should be looked after. */
    const char *text;   /* A line for people; valid during the call. */
};

typedef void tls_found(void *context, const struct tls_finding *finding);

/* Reads all files as tls_profile_create does, and tells of what that, or a client, would refuse:
 * files that are missing, keys that do not fit, certificates that are not valid now. */
void tls_settings_check(const struct tls_settings *settings, tls_found *found, void *context);

#endif

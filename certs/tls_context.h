#ifndef CERTS_TLS_CONTEXT_H
#define CERTS_TLS_CONTEXT_H

/*
 * One reading of a profile's files as the library's context, with what belongs to it: the
 * certificates to choose from by name, and how peers are named. It lives as long as any connection
 * made from it. Private to this folder. Does not change once it is built; any thread may read it.
 */

#include "certs/tls_profile.h"

#include <openssl/ssl.h>

/* A certificate with its key, read from files. */
struct tls_bundle {
    X509 *leaf;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    char *path; /* Of the certificate, for messages. */
};

struct tls_material {
    struct tls_bundle bundles[TLS_CERTIFICATES_MAX];
    size_t bundle_count;
    STACK_OF(X509) * authorities; /* NULL if none were configured. */
    char *authorities_path;
    enum tls_identity identity;
};

/* Where to write what went wrong. */
struct tls_problem {
    char *text;
    size_t size;
};

/* Writes it; always false. */
bool tls_fail(const struct tls_problem *problem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The library's reason for the last failure on this thread, in words. */
const char *tls_reason(void);

/* Reads a certificate and its key, which must fit each other. */
bool tls_bundle_load(struct tls_bundle *b, const struct tls_certificate *files,
                     const struct tls_problem *problem);

/* The steps of that, for one who asks which file is to blame; tls_bundle_fini releases what they
 * have made, whatever they returned. */
bool tls_bundle_load_chain(struct tls_bundle *b, const char *path,
                           const struct tls_problem *problem);
bool tls_bundle_load_key(struct tls_bundle *b, const char *source,
                         const struct tls_problem *problem);
bool tls_bundle_check_key(const struct tls_bundle *b, const struct tls_certificate *files,
                          const struct tls_problem *problem);
void tls_bundle_fini(struct tls_bundle *b);

/* The mode of a key's file that everybody on this machine can read; else 0. */
unsigned tls_key_exposure(const char *source);

/* All certificates of a PEM file, or of the files in a directory. */
STACK_OF(X509) * tls_authorities_load(const char *path, const struct tls_problem *problem);

struct tls_material *tls_material_create(void);
void tls_material_destroy(struct tls_material *m);

/* A server's context; NULL with a problem. */
SSL_CTX *tls_context_create(const struct tls_settings *settings, const struct tls_problem *problem);

/* A client's. */
SSL_CTX *tls_context_create_client(const char *ca, bool insecure,
                                   const struct tls_certificate *certificate,
                                   const struct tls_problem *problem);

/* What the context was made of. */
const struct tls_material *tls_context_material(const SSL_CTX *context);

/* The profile's current context, with a reference for the caller. */
SSL_CTX *tls_profile_context(struct tls_profile *p);

/* False, with the reason, if it is not valid now. */
bool tls_certificate_check_dates(const X509 *certificate, const char *path,
                                 const struct tls_problem *problem);

/* Whole days until it expires; INT_MAX if its dates cannot be read. */
int tls_certificate_days(const X509 *certificate);

/* False, with the reason, if one of the certificates that are shown is not valid now. */
bool tls_material_check_dates(const struct tls_material *m, const struct tls_problem *problem);

/* When the first of those that are shown expires, in seconds since the Unix epoch. */
int64_t tls_material_expires(const struct tls_material *m);

/* Logs those that are not valid, or not for long. */
void tls_material_log_expiry(const struct tls_material *m, const char *profile);

#endif

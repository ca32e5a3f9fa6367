#ifndef CERTS_TLS_PROFILE_H
#define CERTS_TLS_PROFILE_H

/*
 * How one kind of TLS connection is made: certificates, whom to trust, versions and ciphers. A
 * profile is created from settings and can be reloaded from changed files, or changed settings: a
 * reload takes effect for connections made after it, and one that fails changes nothing.
 *
 * Owner: the server, or a load generator. Any thread may create transports from it at any time.
 * This folder is the only one that knows the TLS library; nothing of it shows in the headers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether clients show a certificate. */
enum tls_verify {
    TLS_VERIFY_NONE,     /* They are not asked for one. */
    TLS_VERIFY_OPTIONAL, /* Asked; one that is shown must be good. */
    TLS_VERIFY_REQUIRED,
};

enum tls_version {
    TLS_VERSION_1_2,
    TLS_VERSION_1_3,
};

/* What of a peer's certificate is its name. */
enum tls_identity {
    TLS_IDENTITY_COMMON_NAME,
    TLS_IDENTITY_DISTINGUISHED_NAME, /* As RFC 4514 writes it: "CN=orders,O=Example". */
    TLS_IDENTITY_SAN_DNS,            /* The first of its kind among the alternative names. */
    TLS_IDENTITY_SAN_EMAIL,
    TLS_IDENTITY_SAN_URI,
};

/* A certificate, followed by what leads from it to its authority, and its key. */
struct tls_certificate {
    const char *certificate; /* Path of a PEM file. */
    const char *private_key; /* The same, or PEM text itself. */
};

#define TLS_CERTIFICATES_MAX 16

/* Strings and lists are borrowed, and read again at a reload. NULL or empty: the default. */
struct tls_settings {
    const char *name; /* For messages. */
    /* The first is shown unless the client asks for a name (SNI) that another one has. */
    struct tls_certificate certificates[TLS_CERTIFICATES_MAX];
    size_t certificate_count;
    const char *client_ca; /* A PEM file, or a directory of them. */
    enum tls_verify verify;
    unsigned depth; /* Most authorities between the client's certificate and a trusted one. */
    enum tls_version min_version;
    enum tls_version max_version;
    const char *ciphers;      /* TLS 1.2. */
    const char *ciphersuites; /* TLS 1.3. */
    const char *curves;
    bool session_tickets; /* None are given where clients show certificates. */
    enum tls_identity identity;
};

struct tls_profile;

/* For a server. NULL with a line for people in `problem`. */
struct tls_profile *tls_profile_create(const struct tls_settings *settings, char *problem,
                                       size_t problem_size);

/* For a client that trusts `ca` (a file or a directory; NULL: what the system trusts), or anybody
 * with `insecure`. `certificate` may be NULL. */
struct tls_profile *tls_profile_create_client(const char *ca, bool insecure,
                                              const struct tls_certificate *certificate,
                                              char *problem, size_t problem_size);

/* Reads all files again. False with a line for people, and everything as before, if the new ones do
 * not do, or are not valid now. */
bool tls_profile_reload(struct tls_profile *p, const struct tls_settings *settings, char *problem,
                        size_t problem_size);

/* Its transports may live on. */
void tls_profile_destroy(struct tls_profile *p);

/* When the first of the certificates that are shown expires, in seconds since the Unix epoch. */
int64_t tls_profile_expires(struct tls_profile *p);

/* Logs certificates that are no longer valid, not yet valid, or not valid for long. */
void tls_profile_log_expiry(struct tls_profile *p);

#endif

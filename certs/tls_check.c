#include "certs/tls_check.h"

#include "certs/tls_context.h"

#include <stdio.h>

#define TEXT_SIZE 1024

struct checking {
    const struct tls_settings *settings;
    tls_found *found;
    void *context;
    size_t errors;
    char text[TEXT_SIZE];
};

static struct tls_problem
problem_of(struct checking *c)
{
    return (struct tls_problem){ c->text, sizeof(c->text) };
}

/* Tells what stands in `text`. */
static void
tell(struct checking *c, enum tls_part part, size_t certificate, bool is_warning)
{
    c->errors += !is_warning;
    c->found(c->context, &(const struct tls_finding){ part, certificate, is_warning, c->text });
}

/* False if it is not valid now, which has been told of. */
static bool
check_dates(struct checking *c, const X509 *x, const char *path, size_t certificate)
{
    const struct tls_problem problem = problem_of(c);
    const int days = tls_certificate_days(x);
    if (!tls_certificate_check_dates(x, path, &problem)) {
        tell(c, TLS_PART_CERTIFICATE, certificate, false);
        return false;
    }
    if (days < TLS_EXPIRES_SOON_DAYS) {
        snprintf(c->text, sizeof(c->text), "the certificate %s expires in %d day%s", path, days,
                 days == 1 ? "" : "s");
        tell(c, TLS_PART_CERTIFICATE, certificate, true);
    }
    return true;
}

static void
check_chain(struct checking *c, const struct tls_bundle *b, size_t i)
{
    bool fine = check_dates(c, b->leaf, b->path, i);
    for (int k = 0; fine && k < sk_X509_num(b->chain); k++)
        fine = check_dates(c, sk_X509_value(b->chain, k), b->path, i);
}

static void
check_certificate(struct checking *c, size_t i)
{
    const struct tls_problem problem = problem_of(c);
    const struct tls_certificate *files = &c->settings->certificates[i];
    struct tls_bundle b = { 0 };
    const bool has_chain = tls_bundle_load_chain(&b, files->certificate, &problem);
    if (has_chain)
        check_chain(c, &b, i);
    else
        tell(c, TLS_PART_CERTIFICATE, i, false);
    const bool has_key = tls_bundle_load_key(&b, files->private_key, &problem);
    if (!has_key || (has_chain && !tls_bundle_check_key(&b, files, &problem)))
        tell(c, TLS_PART_PRIVATE_KEY, i, false);
    else if (tls_key_exposure(files->private_key) != 0) {
        snprintf(c->text, sizeof(c->text),
                 "everybody on this machine can read the private key %s; chmod o-rwx it",
                 files->private_key);
        tell(c, TLS_PART_PRIVATE_KEY, i, true);
    }
    tls_bundle_fini(&b);
}

/* Of several authorities an old one does no harm to the others. */
static void
check_authorities(struct checking *c, const char *path)
{
    const struct tls_problem problem = problem_of(c);
    STACK_OF(X509) *authorities = tls_authorities_load(path, &problem);
    if (authorities == NULL)
        tell(c, TLS_PART_CLIENT_CA, 0, false);
    for (int k = 0; authorities != NULL && k < sk_X509_num(authorities); k++)
        if (!tls_certificate_check_dates(sk_X509_value(authorities, k), path, &problem))
            tell(c, TLS_PART_CLIENT_CA, 0, true);
    sk_X509_pop_free(authorities, X509_free);
}

/* What only the library as a whole finds: weak keys, algorithms that it does not know. */
static void
check_profile(struct checking *c)
{
    const struct tls_problem problem = problem_of(c);
    SSL_CTX *context = tls_context_create(c->settings, &problem);
    if (context == NULL)
        tell(c, TLS_PART_PROFILE, 0, false);
    SSL_CTX_free(context);
}

void
tls_settings_check(const struct tls_settings *settings, tls_found *found, void *context)
{
    struct checking c = { .settings = settings, .found = found, .context = context };
    const char *ca = settings->client_ca;
    for (size_t i = 0; i < settings->certificate_count; i++)
        check_certificate(&c, i);
    if (settings->verify != TLS_VERIFY_NONE && ca != NULL && ca[0] != 0)
        check_authorities(&c, ca);
    if (c.errors == 0)
        check_profile(&c);
}

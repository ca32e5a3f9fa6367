/* When certificates are valid. */

#include "broker/base/bytes.h"
#include "broker/base/log.h"
#include "certs/tls_check.h"
#include "certs/tls_context.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

static void
describe_time(const ASN1_TIME *at, char *out, size_t size)
{
    struct tm parts;
    if (ASN1_TIME_to_tm(at, &parts) != 1 || strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(out, size, "unknown");
}

static void
describe_subject(const X509 *certificate, char *out, size_t size)
{
    char raw[256] = "";
    X509_NAME_oneline(X509_get_subject_name(certificate), raw, sizeof(raw));
    log_quote(bytes_of_string(raw), out, size);
}

/* NULL if it is valid now. */
static const char *
what_is_wrong(const X509 *certificate)
{
    const int begun = X509_cmp_current_time(X509_get0_notBefore(certificate));
    const int over = X509_cmp_current_time(X509_get0_notAfter(certificate));
    if (begun == 0 || over == 0)
        return "has dates that cannot be read";
    if (begun > 0)
        return "is not valid yet";
    return over < 0 ? "has expired" : NULL;
}

bool
tls_certificate_check_dates(const X509 *certificate, const char *path,
                            const struct tls_problem *problem)
{
    char from[32];
    char to[32];
    const char *wrong = what_is_wrong(certificate);
    if (wrong == NULL)
        return true;
    describe_time(X509_get0_notBefore(certificate), from, sizeof(from));
    describe_time(X509_get0_notAfter(certificate), to, sizeof(to));
    return tls_fail(problem, "the certificate %s %s; it is valid from %s to %s", path, wrong, from,
                    to);
}

int
tls_certificate_days(const X509 *certificate)
{
    int days;
    int seconds;
    const ASN1_TIME *end = X509_get0_notAfter(certificate);
    return ASN1_TIME_diff(&days, &seconds, NULL, end) == 1 ? days : INT_MAX;
}

bool
tls_material_check_dates(const struct tls_material *m, const struct tls_problem *problem)
{
    for (size_t i = 0; i < m->bundle_count; i++)
        if (!tls_certificate_check_dates(m->bundles[i].leaf, m->bundles[i].path, problem))
            return false;
    return true;
}

int64_t
tls_material_expires(const struct tls_material *m)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < m->bundle_count; i++) {
        struct tm parts;
        if (ASN1_TIME_to_tm(X509_get0_notAfter(m->bundles[i].leaf), &parts) != 1)
            continue;
        const int64_t end = (int64_t)timegm(&parts);
        first = end < first ? end : first;
    }
    return first;
}

static void
log_one(const X509 *certificate, const char *path, const char *profile)
{
    char subject[160];
    char end[32];
    const int days = tls_certificate_days(certificate);
    const char *wrong = what_is_wrong(certificate);
    describe_subject(certificate, subject, sizeof(subject));
    describe_time(X509_get0_notAfter(certificate), end, sizeof(end));
    if (wrong != NULL) {
        log_error("tls.certificate_invalid",
                  "tls=%s file=\"%s\" subject=\"%s\" not_after=%s msg=\"the certificate %s: "
                  "connections fail; put a good one there and send SIGHUP\"",
                  profile, path, subject, end, wrong);
        return;
    }
    if (days < TLS_EXPIRES_SOON_DAYS)
        log_warning("tls.certificate_expires",
                    "tls=%s file=\"%s\" subject=\"%s\" not_after=%s days=%d msg=\"put a new one "
                    "there and send SIGHUP\"",
                    profile, path, subject, end, days);
}

static void
log_all(const STACK_OF(X509) * certificates, const char *path, const char *profile)
{
    for (int i = 0; i < sk_X509_num(certificates); i++)
        log_one(sk_X509_value(certificates, i), path, profile);
}

void
tls_material_log_expiry(const struct tls_material *m, const char *profile)
{
    for (size_t i = 0; i < m->bundle_count; i++) {
        log_one(m->bundles[i].leaf, m->bundles[i].path, profile);
        log_all(m->bundles[i].chain, m->bundles[i].path, profile);
    }
    if (m->authorities != NULL)
        log_all(m->authorities, m->authorities_path, profile);
}

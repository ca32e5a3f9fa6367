#ifndef TESTS_UNIT_TEST_CERTS_H
#define TESTS_UNIT_TEST_CERTS_H

/* Certificates in a directory of its own for the tests of certs/. One thread. */

#include "broker/base/buf.h"
#include "broker/base/clock.h"
#include "certs/authority.h"
#include "certs/tls_profile.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY (24 * 60 * 60)

struct shelf {
    char directory[64];
    struct authority *authority;
    char files[64][128]; /* For removal. */
    size_t file_count;
};

static inline struct authority_period
period_of(int64_t from_days, int64_t to_days)
{
    const int64_t now = (int64_t)(clock_wall_us() / 1000000);
    return (struct authority_period){ now + from_days * DAY, now + to_days * DAY };
}

/* The path stays valid while the shelf does. */
static inline const char *
shelf_write(struct shelf *s, const char *name, struct bytes text)
{
    char wanted[128];
    size_t place = 0;
    snprintf(wanted, sizeof(wanted), "%s/%s", s->directory, name);
    while (place < s->file_count && strcmp(s->files[place], wanted) != 0)
        place++;
    if (place == s->file_count)
        s->file_count++;
    assert_true(s->file_count < COUNT(s->files));
    char *path = s->files[place];
    memcpy(path, wanted, sizeof(wanted));
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    if (text.size > 0)
        assert_int_equal(fwrite(text.data, 1, text.size, file), text.size);
    fclose(file);
    chmod(path, 0600);
    return path;
}

static inline void
shelf_init(struct shelf *s)
{
    memset(s, 0, sizeof(*s));
    snprintf(s->directory, sizeof(s->directory), "/tmp/rail-certs-XXXXXX");
    assert_non_null(mkdtemp(s->directory));
    const struct authority_period period = period_of(-1, 100);
    s->authority = authority_create("test authority", &period);
    assert_non_null(s->authority);
    struct buf text = { 0 };
    authority_certificate(s->authority, &text);
    shelf_write(s, "ca.pem", buf_bytes(&text));
    buf_fini(&text);
}

static inline void
shelf_fini(struct shelf *s)
{
    for (size_t i = 0; i < s->file_count; i++)
        unlink(s->files[i]);
    rmdir(s->directory);
    authority_destroy(s->authority);
}

static inline const char *
shelf_ca(const struct shelf *s)
{
    return s->files[0];
}

/* Writes NAME.pem and NAME-key.pem. */
static inline struct tls_certificate
shelf_issue(struct shelf *s, const char *name, const struct authority_subject *subject)
{
    struct buf certificate = { 0 };
    struct buf key = { 0 };
    struct tls_certificate out;
    char file[64];
    assert_true(authority_issue(s->authority, subject, &certificate, &key));
    snprintf(file, sizeof(file), "%s.pem", name);
    out.certificate = shelf_write(s, file, buf_bytes(&certificate));
    snprintf(file, sizeof(file), "%s-key.pem", name);
    out.private_key = shelf_write(s, file, buf_bytes(&key));
    buf_fini(&certificate);
    buf_fini(&key);
    return out;
}

/* A server's that is valid now. */
static inline struct tls_certificate
shelf_issue_server(struct shelf *s, const char *name, const char *host)
{
    const char *const hosts[] = { host };
    const struct authority_subject subject = {
        .name = name, .hosts = hosts, .host_count = 1, .period = period_of(-1, 90)
    };
    return shelf_issue(s, name, &subject);
}

static inline struct tls_settings
settings_with(struct tls_certificate certificate)
{
    return (struct tls_settings){ .name = "test",
                                  .certificates = { certificate },
                                  .certificate_count = 1,
                                  .max_version = TLS_VERSION_1_3,
                                  .session_tickets = true };
}

/* Two certificates, and clients must have one of the shelf's own authority. */
static inline struct tls_settings
settings_with_two(struct shelf *s)
{
    struct tls_settings settings = settings_with(shelf_issue_server(s, "a", "localhost"));
    settings.certificates[settings.certificate_count++] = shelf_issue_server(s, "b", "b.example");
    settings.client_ca = shelf_ca(s);
    settings.verify = TLS_VERIFY_REQUIRED;
    return settings;
}

#endif

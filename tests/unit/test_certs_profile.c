#include "tests/unit/test_certs.h"

static void
expect_refused(const struct tls_settings *settings, const char *words)
{
    char problem[512] = "";
    struct tls_profile *p = tls_profile_create(settings, problem, sizeof(problem));
    if (p != NULL || strstr(problem, words) == NULL)
        fail_msg("expected \"%s\", got \"%s\"", words, problem);
}

static void
test_what_fits_is_taken(void **state)
{
    (void)state;
    struct shelf s;
    char problem[512] = "";
    shelf_init(&s);
    struct tls_settings settings = settings_with_two(&s);
    settings.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
    settings.ciphersuites = "TLS_AES_128_GCM_SHA256";
    settings.curves = "X25519:P-256";
    struct tls_profile *p = tls_profile_create(&settings, problem, sizeof(problem));
    if (p == NULL)
        fail_msg("%s", problem);
    assert_true(tls_profile_reload(p, &settings, problem, sizeof(problem)));
    const int64_t end = period_of(0, 90).to;
    assert_in_range(tls_profile_expires(p), end - 60, end);
    tls_profile_log_expiry(p);
    tls_profile_destroy(p);
    shelf_fini(&s);
}

static void
test_the_key_may_be_text(void **state)
{
    (void)state;
    struct shelf s;
    struct buf key = { 0 };
    char problem[512] = "";
    shelf_init(&s);
    struct tls_settings settings = settings_with(shelf_issue_server(&s, "a", "localhost"));
    FILE *file = fopen(settings.certificates[0].private_key, "re");
    assert_non_null(file);
    key.size = fread(buf_reserve(&key, 4096), 1, 4096, file);
    fclose(file);
    buf_append(&key, "", 1);
    settings.certificates[0].private_key = (const char *)key.data;
    struct tls_profile *p = tls_profile_create(&settings, problem, sizeof(problem));
    if (p == NULL)
        fail_msg("%s", problem);
    tls_profile_destroy(p);
    key.data[40] = '!';
    expect_refused(&settings, "given in the configuration");
    buf_fini(&key);
    shelf_fini(&s);
}

static void
test_refusals(void **state)
{
    (void)state;
    struct shelf s;
    shelf_init(&s);
    const struct tls_certificate a = shelf_issue_server(&s, "a", "localhost");
    const struct tls_certificate b = shelf_issue_server(&s, "b", "localhost");
    const char *empty = shelf_write(&s, "empty", BYTES_NONE);
    const char *rubbish =
        shelf_write(&s, "rubbish", BYTES_LITERAL("-----BEGIN CERTIFICATE-----\nAAAA\n"));
    const struct {
        struct tls_certificate pair;
        const char *words;
    } rows[] = {
        { { "/nonexistent", a.private_key }, "cannot read the certificate /nonexistent: No such" },
        { { a.certificate, "/nonexistent" }, "cannot read the private key /nonexistent: No such" },
        { { s.directory, a.private_key }, "Is a directory" },
        { { empty, a.private_key }, "no certificate is in" },
        { { rubbish, a.private_key }, "is damaged" },
        { { a.certificate, empty }, "no usable private key" },
        { { a.certificate, a.certificate }, "no usable private key" },
        { { a.certificate, b.private_key }, "does not belong to" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tls_settings settings = settings_with(rows[i].pair);
        expect_refused(&settings, rows[i].words);
        settings = settings_with(a);
        settings.certificates[settings.certificate_count++] = rows[i].pair;
        expect_refused(&settings, rows[i].words);
    }
    shelf_fini(&s);
}

static void
test_refused_settings(void **state)
{
    (void)state;
    struct shelf s;
    shelf_init(&s);
    const struct tls_settings good = settings_with(shelf_issue_server(&s, "a", "localhost"));
    struct tls_settings settings = good;
    settings.verify = TLS_VERIFY_OPTIONAL;
    expect_refused(&settings, "client_ca");
    settings.client_ca = "/nonexistent";
    expect_refused(&settings, "/nonexistent");
    settings.client_ca = settings.certificates[0].private_key;
    expect_refused(&settings, "no certificate is in");
    settings = good;
    settings.ciphers = "NOSUCH";
    expect_refused(&settings, "ciphers");
    settings = good;
    settings.ciphersuites = "NOSUCH";
    expect_refused(&settings, "ciphersuites");
    settings = good;
    settings.curves = "NOSUCH";
    expect_refused(&settings, "curves");
    settings = good;
    settings.min_version = TLS_VERSION_1_3;
    settings.max_version = TLS_VERSION_1_2;
    expect_refused(&settings, "min_version");
    settings = good;
    settings.certificate_count = 0;
    expect_refused(&settings, "missing");
    shelf_fini(&s);
}

/* An old certificate is better than one that nobody accepts; to start with, there is no better. */
static void
test_dates_count_at_a_reload(void **state)
{
    (void)state;
    struct shelf s;
    char problem[512] = "";
    shelf_init(&s);
    const struct authority_subject expired = { .name = "a", .period = period_of(-10, -1) };
    const struct authority_subject future = { .name = "a", .period = period_of(1, 10) };
    const struct tls_settings good = settings_with(shelf_issue_server(&s, "good", "localhost"));
    const struct tls_settings old = settings_with(shelf_issue(&s, "old", &expired));
    const struct tls_settings early = settings_with(shelf_issue(&s, "early", &future));
    struct tls_profile *p = tls_profile_create(&old, problem, sizeof(problem));
    assert_non_null(p);
    tls_profile_log_expiry(p);
    assert_true(tls_profile_reload(p, &good, problem, sizeof(problem)));
    assert_false(tls_profile_reload(p, &old, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "has expired"));
    assert_false(tls_profile_reload(p, &early, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "is not valid yet"));
    tls_profile_destroy(p);
    shelf_fini(&s);
}

static void
test_clients(void **state)
{
    (void)state;
    struct shelf s;
    char problem[512] = "";
    shelf_init(&s);
    const struct authority_subject subject = { .name = "orders",
                                               .is_client = true,
                                               .period = period_of(-1, 10) };
    const struct tls_certificate pair = shelf_issue(&s, "client", &subject);
    struct tls_profile *p =
        tls_profile_create_client(shelf_ca(&s), false, &pair, problem, sizeof(problem));
    assert_non_null(p);
    tls_profile_destroy(p);
    p = tls_profile_create_client(NULL, true, NULL, problem, sizeof(problem));
    assert_non_null(p);
    tls_profile_destroy(p);
    assert_null(tls_profile_create_client("/nonexistent", false, NULL, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "/nonexistent"));
    shelf_fini(&s);
}

static void
test_subjects_that_the_authority_refuses(void **state)
{
    (void)state;
    struct shelf s;
    struct buf certificate = { 0 };
    struct buf key = { 0 };
    char name[100];
    shelf_init(&s);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    struct authority_subject subject = { .name = name, .period = period_of(-1, 1) };
    assert_false(authority_issue(s.authority, &subject, &certificate, &key));
    subject.name = "\xff\xfe";
    assert_false(authority_issue(s.authority, &subject, &certificate, &key));
    assert_int_equal(certificate.size + key.size, 0);
    assert_null(authority_create(name, &subject.period));
    shelf_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_fits_is_taken),
        cmocka_unit_test(test_the_key_may_be_text),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refused_settings),
        cmocka_unit_test(test_dates_count_at_a_reload),
        cmocka_unit_test(test_clients),
        cmocka_unit_test(test_subjects_that_the_authority_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

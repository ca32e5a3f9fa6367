#include "tests/unit/test_certs.h"

#include "certs/tls_check.h"

static void
on_finding(void *context, const struct tls_finding *f)
{
    static const char *const parts[] = { "certificate", "private_key", "client_ca", "profile" };
    buf_printf(context, "%s %s %zu: %s\n", f->is_warning ? "warning" : "error", parts[f->part],
               f->certificate, f->text);
}

/* What is found, in one text; lines are the findings. */
static void
expect_findings(const struct tls_settings *settings, const char *const *lines, size_t count)
{
    struct buf text = { 0 };
    size_t found = 0;
    tls_settings_check(settings, on_finding, &text);
    for (size_t i = 0; i < text.size; i++)
        found += text.data[i] == '\n';
    buf_append(&text, "", 1);
    for (size_t i = 0; i < count; i++)
        if (strstr((const char *)text.data, lines[i]) == NULL)
            fail_msg("no \"%s\" in:\n%s", lines[i], (const char *)text.data);
    if (found != count)
        fail_msg("%zu findings, %zu are expected:\n%s", found, count, (const char *)text.data);
    buf_fini(&text);
}

#define EXPECT(settings, ...)                                                                      \
    do {                                                                                           \
        const char *const lines[] = { __VA_ARGS__ };                                               \
        expect_findings(settings, lines, COUNT(lines));                                            \
    } while (0)

static void
test_nothing_is_wrong(void **state)
{
    (void)state;
    struct shelf s;
    shelf_init(&s);
    const struct tls_settings settings = settings_with_two(&s);
    expect_findings(&settings, NULL, 0);
    shelf_fini(&s);
}

/* All of it in one go, each with its file. */
static void
test_everything_is_wrong(void **state)
{
    (void)state;
    struct shelf s;
    shelf_init(&s);
    const struct authority_subject expired = { .name = "old", .period = period_of(-10, -1) };
    const struct authority_subject early = { .name = "early", .period = period_of(1, 10) };
    const struct tls_certificate a = shelf_issue_server(&s, "a", "localhost");
    const struct tls_certificate b = shelf_issue_server(&s, "b", "localhost");
    struct tls_settings settings =
        settings_with((struct tls_certificate){ "/nonexistent", a.private_key });
    const struct tls_certificate more[] = {
        { a.certificate, "/nonexistent/key" }, { a.certificate, b.private_key },
        { "/nowhere", "/nowhere/key" },        shelf_issue(&s, "old", &expired),
        shelf_issue(&s, "early", &early),
    };
    for (size_t i = 0; i < COUNT(more); i++)
        settings.certificates[settings.certificate_count++] = more[i];
    settings.verify = TLS_VERIFY_OPTIONAL;
    settings.client_ca = a.private_key;
    EXPECT(&settings, "error certificate 0: cannot read the certificate /nonexistent: No such",
           "error private_key 1: cannot read the private key /nonexistent/key: No such",
           "error private_key 2: the private key ",
           "error certificate 3: cannot read the certificate /nowhere: No such",
           "error private_key 3: cannot read the private key /nowhere/key: No such",
           "error certificate 4: the certificate ", "error certificate 5: the certificate ",
           "error client_ca 0: no certificate is in ");
    shelf_fini(&s);
}

static void
test_what_needs_care(void **state)
{
    (void)state;
    struct shelf s;
    shelf_init(&s);
    struct authority_subject soon = { .name = "soon", .period = period_of(-10, 2) };
    soon.period.to += DAY / 2;
    struct tls_settings settings = settings_with(shelf_issue(&s, "soon", &soon));
    assert_int_equal(chmod(settings.certificates[0].private_key, 0644), 0);
    EXPECT(&settings, "soon.pem expires in 2 days\n",
           "warning private_key 0: everybody on this machine can read the private key ");
    shelf_fini(&s);
}

/* An authority that has ended is a warning: there may be others beside it. */
static void
test_an_old_authority(void **state)
{
    (void)state;
    struct shelf s;
    struct buf text = { 0 };
    shelf_init(&s);
    const struct authority_period past = period_of(-10, -1);
    struct authority *old = authority_create("old authority", &past);
    assert_non_null(old);
    authority_certificate(old, &text);
    struct tls_settings settings = settings_with(shelf_issue_server(&s, "a", "localhost"));
    settings.verify = TLS_VERIFY_REQUIRED;
    settings.client_ca = shelf_write(&s, "old.pem", buf_bytes(&text));
    EXPECT(&settings, "warning client_ca 0: the certificate ");
    buf_fini(&text);
    authority_destroy(old);
    shelf_fini(&s);
}

/* What belongs to no file. */
static void
test_algorithms(void **state)
{
    (void)state;
    struct shelf s;
    shelf_init(&s);
    struct tls_settings settings = settings_with(shelf_issue_server(&s, "a", "localhost"));
    settings.curves = "NOSUCH";
    EXPECT(&settings, "error profile 0: curves \"NOSUCH\": not known");
    shelf_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_wrong), cmocka_unit_test(test_everything_is_wrong),
        cmocka_unit_test(test_what_needs_care),  cmocka_unit_test(test_an_old_authority),
        cmocka_unit_test(test_algorithms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

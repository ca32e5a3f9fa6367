#include "amqp/sasl.h"

#include "tests/unit/test_amqp.h"

static const struct plain_row {
    struct bytes response;
    bool good;
    struct bytes user;
    struct bytes password;
} plain_rows[] = {
    { OCTETS("\0guest\0guest"), true, OCTETS("guest"), OCTETS("guest") },
    { OCTETS("\0u\0p w\xC3\xA4"), true, OCTETS("u"), OCTETS("p w\xC3\xA4") },
    { OCTETS("\0user\0"), true, OCTETS("user"), OCTETS("") },
    { OCTETS("\0\0password"), true, OCTETS(""), OCTETS("password") },
    { OCTETS("\0\0"), true, OCTETS(""), OCTETS("") },
    { OCTETS("\0\xFF\xFE\0\xFD"), true, OCTETS("\xFF\xFE"), OCTETS("\xFD") },
    { OCTETS(""), false, OCTETS(""), OCTETS("") },
    { OCTETS("\0"), false, OCTETS(""), OCTETS("") },
    { OCTETS("\0user"), false, OCTETS(""), OCTETS("") },
    { OCTETS("user"), false, OCTETS(""), OCTETS("") },
    { OCTETS("user\0password"), false, OCTETS(""), OCTETS("") },
    { OCTETS("other\0user\0password"), false, OCTETS(""), OCTETS("") },
    { OCTETS("\0user\0pass\0word"), false, OCTETS(""), OCTETS("") },
    { OCTETS("\0user\0password\0"), false, OCTETS(""), OCTETS("") },
    { OCTETS("\0\0\0"), false, OCTETS(""), OCTETS("") },
};

static void
test_plain(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(plain_rows); i++) {
        struct exact e = exact_copy(plain_rows[i].response);
        struct sasl_login login;
        assert_int_equal(sasl_plain_parse(e.bytes, &login), plain_rows[i].good);
        if (plain_rows[i].good) {
            assert_true(bytes_equal(login.user, plain_rows[i].user));
            assert_true(bytes_equal(login.password, plain_rows[i].password));
        }
        exact_free(&e);
    }
    struct sasl_login login;
    assert_false(sasl_plain_parse(BYTES_NONE, &login));
}

/* All short responses of zero and another octet: good are exactly those with a zero in front and
 * one more. */
static void
test_plain_of_every_form(void **state)
{
    (void)state;
    for (unsigned form = 0; form < 1u << 12; form++) {
        uint8_t response[11];
        const size_t size = form & 1u ? 11 : 10;
        unsigned zeroes = 0;
        for (size_t i = 0; i < size; i++) {
            response[i] = form >> (i + 1) & 1u ? 'x' : 0;
            zeroes += response[i] == 0;
        }
        struct exact e = exact_copy(bytes_of(response, size));
        struct sasl_login login;
        assert_int_equal(sasl_plain_parse(e.bytes, &login), response[0] == 0 && zeroes == 2);
        if (response[0] == 0 && zeroes == 2)
            assert_int_equal(login.user.size + login.password.size, size - 2);
        exact_free(&e);
    }
}

/* A login as a client sends it: the order of the fields is free, others may be between. */
static void
put_login(struct buf *out, char login_tag, char password_tag)
{
    put_named(out, "PASSWORD", password_tag, BYTES_LITERAL("secret"));
    put_named(out, "LOCALE", 'S', BYTES_LITERAL("en_US"));
    put_named(out, "LOGIN", login_tag, BYTES_LITERAL("guest"));
}

static void
test_amqplain(void **state)
{
    (void)state;
    struct buf response = { 0 };
    put_login(&response, 'S', 'S');
    struct exact e = exact_copy(buf_bytes(&response));
    struct sasl_login login;
    assert_true(sasl_amqplain_parse(e.bytes, &login));
    assert_true(bytes_equal(login.user, BYTES_LITERAL("guest")));
    assert_true(bytes_equal(login.password, BYTES_LITERAL("secret")));
    exact_free(&e);
    buf_fini(&response);
}

static void
test_amqplain_cut_at_each_octet(void **state)
{
    (void)state;
    struct buf response = { 0 };
    put_login(&response, 'S', 'S');
    for (size_t size = 0; size < response.size; size++) {
        struct exact e = exact_copy(bytes_of(response.data, size));
        struct sasl_login login;
        assert_false(sasl_amqplain_parse(e.bytes, &login));
        exact_free(&e);
    }
    buf_fini(&response);
}

static void
test_amqplain_of_other_forms(void **state)
{
    (void)state;
    static const struct {
        char login_tag;
        char password_tag;
    } rows[] = { { 'x', 'S' }, { 'S', 'x' }, { 'F', 'S' }, { 'S', 'A' }, { 'x', 'x' } };
    struct sasl_login login;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf response = { 0 };
        put_login(&response, rows[i].login_tag, rows[i].password_tag);
        assert_false(sasl_amqplain_parse(buf_bytes(&response), &login));
        buf_fini(&response);
    }
    static const struct bytes others[] = {
        OCTETS(""),
        OCTETS("\x05LOGINS\0\0\0\x01g"),
        OCTETS("\x08PASSWORDS\0\0\0\x01g"),
        OCTETS("\x05loginS\0\0\0\x01g\x08passwordS\0\0\0\x01g"),
        OCTETS("\x05LOGINV\x08PASSWORDV"),
        OCTETS("\x05LOGINS\0\0\0\x01g\x08PASSWORDS\0\0\0\x01g!"),
        /* With the table's length in front. */
        OCTETS("\0\0\0\x1A\x05LOGINS\0\0\0\x01g\x08PASSWORDS\0\0\0\x01g"),
    };
    for (size_t i = 0; i < COUNT(others); i++) {
        struct exact e = exact_copy(others[i]);
        assert_false(sasl_amqplain_parse(e.bytes, &login));
        exact_free(&e);
    }
}

static void
test_amqplain_takes_the_first_of_two(void **state)
{
    (void)state;
    struct buf response = { 0 };
    put_login(&response, 'S', 'S');
    put_named(&response, "LOGIN", 'S', BYTES_LITERAL("second"));
    put_named(&response, "PASSWORD", 'V', BYTES_NONE);
    struct sasl_login login;
    assert_true(sasl_amqplain_parse(buf_bytes(&response), &login));
    assert_true(bytes_equal(login.user, BYTES_LITERAL("guest")));
    assert_true(bytes_equal(login.password, BYTES_LITERAL("secret")));
    buf_fini(&response);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_plain_of_every_form),
        cmocka_unit_test(test_amqplain),
        cmocka_unit_test(test_amqplain_cut_at_each_octet),
        cmocka_unit_test(test_amqplain_of_other_forms),
        cmocka_unit_test(test_amqplain_takes_the_first_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

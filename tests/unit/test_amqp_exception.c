#include "amqp/exception.h"

#include "tests/unit/test_amqp.h"

/* The codes of the protocol and what they close. */
static const struct code_row {
    enum amqp_reply_code code;
    const char *name;
    bool hard;
} code_rows[] = {
    { 311, "CONTENT_TOO_LARGE", false },   { 312, "NO_ROUTE", false },
    { 313, "NO_CONSUMERS", false },        { 320, "CONNECTION_FORCED", true },
    { 402, "INVALID_PATH", true },         { 403, "ACCESS_REFUSED", false },
    { 404, "NOT_FOUND", false },           { 405, "RESOURCE_LOCKED", false },
    { 406, "PRECONDITION_FAILED", false }, { 501, "FRAME_ERROR", true },
    { 502, "SYNTAX_ERROR", true },         { 503, "COMMAND_INVALID", true },
    { 504, "CHANNEL_ERROR", true },        { 505, "UNEXPECTED_FRAME", true },
    { 506, "RESOURCE_ERROR", true },       { 530, "NOT_ALLOWED", true },
    { 540, "NOT_IMPLEMENTED", true },      { 541, "INTERNAL_ERROR", true },
};

static void
test_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(code_rows); i++) {
        assert_string_equal(amqp_reply_name(code_rows[i].code), code_rows[i].name);
        assert_int_equal(amqp_code_is_hard(code_rows[i].code), code_rows[i].hard);
    }
}

static void
test_unknown_codes_are_hard_errors(void **state)
{
    (void)state;
    for (int code = 0; code < 1000; code++) {
        bool known = false;
        for (size_t i = 0; i < COUNT(code_rows); i++)
            known = known || (int)code_rows[i].code == code;
        if (known)
            continue;
        assert_string_equal(amqp_reply_name((enum amqp_reply_code)code), "ERROR");
        assert_true(amqp_code_is_hard((enum amqp_reply_code)code));
    }
}

static void
test_raise_leaves_the_method_alone(void **state)
{
    (void)state;
    struct amqp_exception ex = { .method_id = 0x003C0028 };
    assert_false(amqp_raise(&ex, AMQP_NOT_FOUND, "no queue '%s' in vhost '%s'", "q", "/"));
    assert_int_equal(ex.code, 404);
    assert_int_equal(ex.method_id, 0x003C0028);
    assert_string_equal(ex.text, "NOT_FOUND - no queue 'q' in vhost '/'");
}

/* Text of 255 octets stays, one more is cut to 252 and three dots; the struct's own text. */
static void
test_long_texts_are_cut(void **state)
{
    (void)state;
    static const char prefix[] = "NOT_FOUND - ";
    const size_t prefix_size = sizeof(prefix) - 1;
    char explanation[3001];
    for (size_t i = 0; i < sizeof(explanation); i++)
        explanation[i] = (char)('a' + i % 26);
    char whole[4000];
    snprintf(whole, sizeof(whole), "%s%.*s", prefix, 3000, explanation);

    static const size_t sizes[] = { 12,  13,  251,  252,  253,  254,  255,
                                    256, 257, 1022, 1023, 1024, 1025, 3000 };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct amqp_exception ex;
        memset(&ex, '#', sizeof(ex));
        amqp_raise(&ex, AMQP_NOT_FOUND, "%.*s", (int)(sizes[i] - prefix_size), explanation);
        const bool cut = sizes[i] > 255;
        assert_int_equal(strlen(ex.text), cut ? 255 : sizes[i]);
        assert_memory_equal(ex.text, whole, cut ? 252 : sizes[i]);
        if (cut)
            assert_string_equal(ex.text + 252, "...");
    }
}

static void
test_names_of_peers_are_not_formats(void **state)
{
    (void)state;
    struct amqp_exception ex;
    amqp_raise(&ex, AMQP_NOT_FOUND, "no queue '%.*s'", BYTES_ARGS(BYTES_LITERAL("%s%n%d")));
    assert_string_equal(ex.text, "NOT_FOUND - no queue '%s%n%d'");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_unknown_codes_are_hard_errors),
        cmocka_unit_test(test_raise_leaves_the_method_alone),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_names_of_peers_are_not_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

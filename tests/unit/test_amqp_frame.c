#include "amqp/frame.h"

#include "tests/unit/test_amqp.h"

enum { FRAME_MAX = 4096 };

/* Checks a frame of which all of `payload` has arrived, and no more. */
static bool
check(uint8_t type, uint16_t channel, struct bytes payload, struct amqp_exception *ex)
{
    const struct amqp_frame_head head = { type, channel, (uint32_t)payload.size };
    struct exact e = exact_copy(payload);
    *ex = (struct amqp_exception){ .method_id = 99 };
    const bool ok = amqp_frame_head_check(&head, FRAME_MAX, e.bytes, ex);
    exact_free(&e);
    return ok;
}

static void
test_head_octets(void **state)
{
    (void)state;
    struct exact e = exact_copy(BYTES_LITERAL("\x03\xA1\xA2\xB1\xB2\xB3\xB4"));
    assert_int_equal(e.bytes.size, AMQP_FRAME_HEAD_SIZE);
    const struct amqp_frame_head head = amqp_frame_head_decode(e.bytes.data);
    assert_int_equal(head.type, 3);
    assert_int_equal(head.channel, 0xA1A2);
    assert_int_equal(head.size, 0xB1B2B3B4);

    struct exact out = exact_copy(BYTES_LITERAL("-------"));
    amqp_frame_head_encode(out.block + 1, head.type, head.channel, head.size);
    assert_true(bytes_equal(out.bytes, e.bytes));
    exact_free(&out);
    exact_free(&e);
}

/* Every type on channel 0 and another, empty and not: accepted, or refused with this code. */
static int
expected_code(unsigned type, bool on_channel, bool empty)
{
    switch (type) {
    case 1:
        return 0;
    case 2:
    case 3:
        return on_channel ? 0 : AMQP_UNEXPECTED_FRAME;
    case 8:
        if (on_channel)
            return AMQP_UNEXPECTED_FRAME;
        return empty ? 0 : AMQP_FRAME_ERROR;
    default:
        return AMQP_FRAME_ERROR;
    }
}

static void
test_every_type_and_channel(void **state)
{
    (void)state;
    static const uint16_t channels[] = { 0, 1, 0x00FF, 0xFF00, 0xFFFF };
    for (unsigned type = 0; type <= 0xFF; type++) {
        for (size_t i = 0; i < COUNT(channels) * 2; i++) {
            const uint16_t channel = channels[i / 2];
            const struct bytes payload = i % 2 == 0 ? BYTES_LITERAL("") : BYTES_LITERAL("abc");
            struct amqp_exception ex;
            const int code = expected_code(type, channel != 0, payload.size == 0);
            assert_int_equal(check((uint8_t)type, channel, payload, &ex), code == 0);
            assert_int_equal(ex.code, code);
            assert_int_equal(ex.method_id, code == 0 ? 99 : 0);
        }
    }
}

static const struct text_row {
    uint8_t type;
    uint16_t channel;
    struct bytes payload;
    const char *text;
} text_rows[] = {
    { 9, 1, OCTETS("abc"), "FRAME_ERROR - type 9, all octets = <<\"abc\">>: unknown_frame" },
    { 9, 1, OCTETS(""), "FRAME_ERROR - type 9, all octets = <<>>: unknown_frame" },
    { 0, 0, OCTETS("\0"), "FRAME_ERROR - type 0, all octets = <<0>>: unknown_frame" },
    { 255, 1, OCTETS(" ~"), "FRAME_ERROR - type 255, all octets = <<\" ~\">>: unknown_frame" },
    { 255, 1, OCTETS("\x1F"), "FRAME_ERROR - type 255, all octets = <<31>>: unknown_frame" },
    { 255, 1, OCTETS("a\x7F"), "FRAME_ERROR - type 255, all octets = <<97,127>>: unknown_frame" },
    { 4, 1, OCTETS("0123456789abcdef"),
      "FRAME_ERROR - type 4, all octets = <<\"0123456789abcdef\">>: unknown_frame" },
    { 4, 1, OCTETS("0123456789abcdefg"),
      "FRAME_ERROR - type 4, first 16 octets = <<\"0123456789abcdef\">>: unknown_frame" },
    { 4, 1, OCTETS("0123456789abcdef\xFF"),
      "FRAME_ERROR - type 4, first 16 octets = <<\"0123456789abcdef\">>: unknown_frame" },
    { 4, 1,
      OCTETS("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
      "FRAME_ERROR - type 4, first 16 octets = "
      "<<255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255>>: unknown_frame" },
    { 8, 0, OCTETS("x"), "FRAME_ERROR - type 8, all octets = <<\"x\">>: unknown_frame" },
    { 8, 7, OCTETS(""), "UNEXPECTED_FRAME - type 8, all octets = <<>>" },
    { 2, 0, OCTETS("\0<\0\0"), "UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0>>" },
    { 3, 0, OCTETS("body"), "UNEXPECTED_FRAME - type 3, all octets = <<\"body\">>" },
};

static void
test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(text_rows); i++) {
        struct amqp_exception ex;
        assert_false(check(text_rows[i].type, text_rows[i].channel, text_rows[i].payload, &ex));
        assert_string_equal(ex.text, text_rows[i].text);
    }
}

/* Frames of the largest type number with the longest description still have short texts. */
static void
test_longest_texts_fit(void **state)
{
    (void)state;
    const struct bytes payload = BYTES_LITERAL("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
                                               "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    const struct amqp_frame_head head = { 255, 65535, (uint32_t)payload.size };
    struct amqp_exception ex;
    assert_false(amqp_frame_raise_end(&head, payload, 255, &ex));
    assert_string_equal(ex.text,
                        "FRAME_ERROR - type 255, first 16 octets = "
                        "<<255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255>>: "
                        "{invalid_frame_end_marker,255}");
    assert_false(amqp_frame_raise_unexpected(&head, payload, &ex));
    assert_string_equal(ex.text,
                        "UNEXPECTED_FRAME - type 255, first 16 octets = "
                        "<<255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255>>");
}

static void
test_end_marker(void **state)
{
    (void)state;
    const struct amqp_frame_head head = { 1, 1, 5 };
    struct amqp_exception ex = { .method_id = 99 };
    assert_false(amqp_frame_raise_end(&head, BYTES_LITERAL("\0\x14\0\x0A\0"), 0, &ex));
    assert_int_equal(ex.code, AMQP_FRAME_ERROR);
    assert_int_equal(ex.method_id, 0);
    assert_string_equal(ex.text, "FRAME_ERROR - type 1, all octets = <<0,20,0,10,0>>: "
                                 "{invalid_frame_end_marker,0}");
}

/* Sizes are judged before any payload is there, with a tolerance of eight octets. */
static void
test_sizes(void **state)
{
    (void)state;
    static const struct {
        uint32_t frame_max;
        uint32_t size;
        const char *text;
    } rows[] = {
        { 4096, 0, NULL },
        { 4096, 4088, NULL },
        { 4096, 4089, NULL },
        { 4096, 4096, NULL },
        { 4096, 4097, "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}" },
        { 4096, UINT32_MAX,
          "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4294967295,4088}" },
        { 131072, 131072, NULL },
        { 131072, 131073,
          "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064}" },
        { UINT32_MAX, UINT32_MAX, NULL },
        { 0, UINT32_MAX, NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct amqp_frame_head head = { AMQP_FRAME_BODY, 1, rows[i].size };
        struct amqp_exception ex = { .method_id = 99 };
        assert_int_equal(amqp_frame_head_check(&head, rows[i].frame_max, BYTES_NONE, &ex),
                         rows[i].text == NULL);
        if (rows[i].text == NULL)
            continue;
        assert_int_equal(ex.code, AMQP_FRAME_ERROR);
        assert_int_equal(ex.method_id, 0);
        assert_string_equal(ex.text, rows[i].text);
    }
}

/* Of a payload only a part may have arrived, or frames that follow it already. */
static void
test_text_shows_what_has_arrived(void **state)
{
    (void)state;
    const struct amqp_frame_head head = { 9, 1, 4 };
    struct amqp_exception ex;
    assert_false(amqp_frame_head_check(&head, FRAME_MAX, BYTES_LITERAL("ab"), &ex));
    assert_string_equal(ex.text, "FRAME_ERROR - type 9, all octets = <<\"ab\">>: unknown_frame");
    assert_false(
        amqp_frame_head_check(&head, FRAME_MAX, BYTES_LITERAL("abcd\xCEnext frame.."), &ex));
    assert_string_equal(ex.text, "FRAME_ERROR - type 9, all octets = <<\"abcd\">>: unknown_frame");
    assert_false(amqp_frame_head_check(&head, FRAME_MAX, BYTES_NONE, &ex));
    assert_string_equal(ex.text, "FRAME_ERROR - type 9, all octets = <<>>: unknown_frame");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_octets),
        cmocka_unit_test(test_every_type_and_channel),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_longest_texts_fit),
        cmocka_unit_test(test_end_marker),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_text_shows_what_has_arrived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

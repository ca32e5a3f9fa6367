#include "broker/config/text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
expect(struct buf *out, const char *text)
{
    buf_append(out, "", 1);
    assert_string_equal((const char *)out->data, text);
    buf_fini(out);
}

static void
test_wrap(void **state)
{
    (void)state;
    struct buf out = { 0 };
    text_wrap(&out,
              "One two  three four five six seven eight nine ten eleven twelve thirteen fourteen "
              "fifteen.",
              4);
    expect(&out, "    One two three four five six seven eight nine ten eleven twelve thirteen\n"
                 "    fourteen fifteen.\n");
    buf_printf(&out, "  key");
    text_wrap(&out, "Doc.", 10);
    expect(&out, "  key     Doc.\n");
    buf_printf(&out, "  a-long-key");
    text_wrap(&out, "Doc.", 10);
    expect(&out, "  a-long-key\n          Doc.\n");
    text_wrap(&out, "", 4);
    expect(&out, "\n");
}

static void
test_wrap_leaves_long_words_whole(void **state)
{
    (void)state;
    struct buf out = { 0 };
    char word[TEXT_COLUMNS + 21] = { 0 };
    memset(word, 'w', sizeof(word) - 1);
    text_wrap(&out, word, 2);
    assert_int_equal(out.size, 2 + sizeof(word) - 1 + 1);
    buf_fini(&out);
}

static void
test_quote(void **state)
{
    (void)state;
    struct buf out = { 0 };
    text_quote(&out, BYTES_LITERAL("a\"b\\c\x1b[31m\n\xc3\xa9\xc2\x9b"));
    expect(&out, "\"a\\\"b\\\\c\\x1b[31m\\x0a\xc3\xa9\\xc2\x9b\"");
    text_quote(&out, BYTES_NONE);
    expect(&out, "\"\"");
    text_quote(&out, BYTES_LITERAL("0123456789012345678901234567890123456789012345678901234567"
                                   "8\xe2\x82\xac and more"));
    expect(&out, "\"0123456789012345678901234567890123456789012345678901234567"
                 "8\xe2\x82\xac...\"");
}

static void
test_suggestion(void **state)
{
    (void)state;
    static const char *const names[] = { "listen", "workers", "data-dir", "log-level", "config" };
    static const struct {
        const char *text;
        const char *best;
    } samples[] = {
        { "lisen", "listen" },
        { "listne", "listen" },
        { "listens", "listen" },
        { "worker", "workers" },
        { "datadir", "data-dir" },
        { "loglevel", "log-level" },
        { "confg", "config" },
        { "x", "" },
        { "", "" },
        { "verbose", "" },
        { "configuration-of", "" },
    };
    for (size_t i = 0; i < COUNT(samples); i++) {
        struct suggestion s = { .text = bytes_of_string(samples[i].text) };
        for (size_t k = 0; k < COUNT(names); k++)
            suggestion_offer(&s, bytes_of_string(names[k]));
        if (!bytes_equal(s.best, bytes_of_string(samples[i].best)))
            fail_msg("\"%s\" suggests \"%.*s\"", samples[i].text, BYTES_ARGS(s.best));
    }
}

static void
test_plain_and_json(void **state)
{
    (void)state;
    struct buf out = { 0 };
    text_plain(&out, BYTES_LITERAL("a\tb\\\"\xc3\xa9\xc2\x85"));
    expect(&out, "a\\x09b\\x5c\"\xc3\xa9\\xc2\x85");
    text_json(&out, BYTES_LITERAL("a\tb\\\"\xc3\xa9"));
    expect(&out, "\"a\\u0009b\\\\\\\"\xc3\xa9\"");
    text_json(&out, BYTES_LITERAL("a\xff"));
    expect(&out, "\"a\\ufffd\"");
    text_json(&out, BYTES_NONE);
    expect(&out, "\"\"");
}

static void
test_size(void **state)
{
    (void)state;
    static const struct {
        uint64_t octets;
        const char *text;
    } rows[] = {
        { 0, "0 B" },
        { 1023, "1023 B" },
        { 1024, "1.0 KiB" },
        { 1536 * 1024, "1.5 MiB" },
        { UINT64_MAX, "16777216.0 TiB" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf out = { 0 };
        text_size(&out, rows[i].octets);
        expect(&out, rows[i].text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrap),           cmocka_unit_test(test_wrap_leaves_long_words_whole),
        cmocka_unit_test(test_quote),          cmocka_unit_test(test_suggestion),
        cmocka_unit_test(test_plain_and_json), cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

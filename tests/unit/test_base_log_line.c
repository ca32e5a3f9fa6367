/* Lines of the log in each format. */

#include "broker/base/log_line.h"

#include "tests/exact.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *
render(struct bytes pairs, enum log_format format)
{
    static char out[LOG_LINE_MAX + 1];
    const struct log_line line = {
        .wall_us = UINT64_C(1700000000000007),
        .level = LOG_LEVEL_WARNING,
        .event = "test.event",
        .pairs = pairs,
    };
    const size_t size = log_line_render(&line, format, out);
    assert_true(size <= LOG_LINE_MAX);
    out[size] = 0;
    return out;
}

#define TIME "2023-11-14T22:13:20.000007Z"
#define LOGFMT "ts=" TIME " level=warning event=test.event"
#define JSON "{\"ts\":\"" TIME "\",\"level\":\"warning\",\"event\":\"test.event\""

static const struct row {
    struct bytes pairs;
    const char *logfmt;
    const char *json;
    const char *text;
} rows[] = {
    { OCTETS(""), "", "}", "test.event" },
    { OCTETS("conn=7 peer=[::1]:80 msg=\"went \x1b away\""),
      " conn=7 peer=[::1]:80 msg=\"went \\u001b away\"",
      ",\"conn\":7,\"peer\":\"[::1]:80\",\"msg\":\"went \\u001b away\"}",
      "went \\u001b away conn=7 peer=[::1]:80" },
    /* What log_quote has escaped is one again, and escaped once. */
    { OCTETS("queue=\"a\\x22 level=error msg=\\x22b\\x0a\\x5c\" msg=\"m\""),
      " queue=\"a\\\" level=error msg=\\\"b\\u000a\\\\\" msg=\"m\"",
      ",\"queue\":\"a\\\" level=error msg=\\\"b\\u000a\\\\\",\"msg\":\"m\"}",
      "m queue=\"a\\\" level=error msg=\\\"b\\u000a\\\\\"" },
    { OCTETS("user=\"gr\\xc3\\xbcn\" name=\"\\xff\\xc2\\x85\""),
      " user=\"gr\xC3\xBCn\" name=\"\xEF\xBF\xBD\\u0085\"",
      ",\"user\":\"gr\xC3\xBCn\",\"name\":\"\xEF\xBF\xBD\\u0085\"}",
      "test.event user=\"gr\xC3\xBCn\" name=\"\xEF\xBF\xBD\\u0085\"" },
    /* Quotes inside the text of a library. */
    { OCTETS("msg=\"cannot open \"x\": no\" errno=2"), " msg=\"cannot open \\\"x\\\": no\" errno=2",
      ",\"msg\":\"cannot open \\\"x\\\": no\",\"errno\":2}", "cannot open \\\"x\\\": no errno=2" },
    { OCTETS("a= b=\"\" c=-1 d=007 e=1234567890123456 f=- g=x=y"),
      " a= b=\"\" c=-1 d=007 e=1234567890123456 f=- g=\"x=y\"",
      ",\"a\":\"\",\"b\":\"\",\"c\":-1,\"d\":\"007\",\"e\":\"1234567890123456\",\"f\":\"-\",\"g\":"
      "\"x=y\"}",
      "test.event a= b=\"\" c=-1 d=007 e=1234567890123456 f=- g=\"x=y\"" },
    /* A line that was cut, and one that is no pairs at all. */
    { OCTETS("msg=\"has no end"), " msg=\"has no end\"", ",\"msg\":\"has no end\"}", "has no end" },
    { OCTETS("only"), " text=only", ",\"text\":\"only\"}", "test.event text=only" },
};

static void
test_formats(void **state)
{
    char wanted[1024];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(wanted, sizeof(wanted), LOGFMT "%s\n", rows[i].logfmt);
        assert_string_equal(render(rows[i].pairs, LOG_FORMAT_LOGFMT), wanted);
        snprintf(wanted, sizeof(wanted), JSON "%s\n", rows[i].json);
        assert_string_equal(render(rows[i].pairs, LOG_FORMAT_JSON), wanted);
        snprintf(wanted, sizeof(wanted), TIME " [warning] %s\n", rows[i].text);
        assert_string_equal(render(rows[i].pairs, LOG_FORMAT_TEXT), wanted);
    }
}

/* Strings that are closed, no control characters, and a closed object. */
static void
assert_json_is_closed(const char *line)
{
    bool in_string = false;
    for (const char *at = line; *at != 0; at++) {
        if (*at == '\n') {
            assert_int_equal(at[1], 0);
            assert_int_equal(at[-1], '}');
            break;
        }
        assert_true((uint8_t)*at >= 0x20 && *at != 0x7F);
        if (in_string && *at == '\\')
            at++;
        else if (*at == '"')
            in_string = !in_string;
    }
    assert_false(in_string);
}

/* Anything at all, of any length, is one whole line. */
static void
test_any_octets(void **state)
{
    static const char likely[] = "  \"\"==\\\\xab01msg\x01\xC3\xBC";
    struct random r = random_start(__func__);
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint8_t pairs[LOG_PAIRS_MAX];
        const size_t size = (size_t)random_below(&r, i % 16 == 0 ? LOG_PAIRS_MAX + 1 : 24);
        for (size_t j = 0; j < size; j++)
            pairs[j] = random_below(&r, 4) == 0
                           ? (uint8_t)random_next(&r)
                           : (uint8_t)likely[random_below(&r, sizeof(likely) - 1)];
        for (int format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_TEXT; format++) {
            const char *line = render(bytes_of(pairs, size), (enum log_format)format);
            assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
            assert_true(bytes_are_utf8(bytes_of_string(line)));
            if (format == LOG_FORMAT_JSON)
                assert_json_is_closed(line);
        }
    }
}

/* What becomes longest. */
static void
test_the_longest_line_fits(void **state)
{
    uint8_t pairs[LOG_PAIRS_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof(pairs); i++)
        pairs[i] = i % 2 == 0 ? ' ' : 1;
    assert_json_is_closed(render(bytes_of(pairs, sizeof(pairs)), LOG_FORMAT_JSON));
    memset(pairs, 1, sizeof(pairs));
    assert_json_is_closed(render(bytes_of(pairs, sizeof(pairs)), LOG_FORMAT_JSON));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_any_octets),
        cmocka_unit_test(test_the_longest_line_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

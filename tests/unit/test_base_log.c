#include "broker/base/log.h"

#include "broker/base/log_line.h"
#include "broker/base/mem.h"
#include "tests/exact.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const struct quote_row {
    struct bytes text;
    const char *quoted;
} quote_rows[] = {
    { OCTETS(""), "" },
    { OCTETS("plain text 123 ~!'=<>"), "plain text 123 ~!'=<>" },
    { OCTETS("say \"hello\""), "say \\x22hello\\x22" },
    { OCTETS("back\\slash"), "back\\x5cslash" },
    { OCTETS("a\nlevel=error\r"), "a\\x0alevel=error\\x0d" },
    { OCTETS("zero\0tail"), "zero\\x00tail" },
    { OCTETS("\x1B[31m"), "\\x1b[31m" },
    { OCTETS("\x7F\x80\xFF"), "\\x7f\\x80\\xff" },
    { OCTETS("gr\xC3\xBCn"), "gr\\xc3\\xbcn" },
};

static void
test_quote_escapes(void **state)
{
    (void)state;
    char out[128];
    for (size_t i = 0; i < COUNT(quote_rows); i++) {
        assert_ptr_equal(log_quote(quote_rows[i].text, out, sizeof(out)), out);
        assert_string_equal(out, quote_rows[i].quoted);
    }
    assert_string_equal(log_quote(BYTES_NONE, out, sizeof(out)), "");
}

static void
test_quote_of_every_octet_is_printable(void **state)
{
    (void)state;
    for (unsigned c = 0; c <= 0xFF; c++) {
        const uint8_t octet = (uint8_t)c;
        char out[32];
        log_quote(bytes_of(&octet, 1), out, sizeof(out));
        for (const char *p = out; *p != 0; p++)
            assert_true(*p >= 0x20 && *p < 0x7F && *p != '"');
        assert_true(strlen(out) == 1 || strlen(out) == 4);
    }
}

/* Into a block of exactly out_size octets: what is cut says so, and nothing is written beyond. */
static void
test_quote_of_any_length_fits(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (size_t out_size = 4; out_size < 64; out_size++) {
        char *out = mem_alloc(out_size);
        for (size_t size = 0; size < 80; size++) {
            uint8_t text[80];
            for (size_t i = 0; i < size; i++)
                text[i] = random_below(&r, 2) == 0 ? 'x' : (uint8_t)random_next(&r);
            char whole[400];
            log_quote(bytes_of(text, size), whole, sizeof(whole));
            log_quote(bytes_of(text, size), out, out_size);
            const size_t length = strlen(out);
            assert_true(length < out_size);
            if (strcmp(whole, out) == 0)
                continue;
            assert_true(length >= 3);
            assert_string_equal(out + length - 3, "...");
            assert_memory_equal(out, whole, length - 3);
        }
        mem_free(out);
    }
}

/* Runs with stderr in a pipe, so lines must fit its buffer. */
static size_t
capture(void (*writer)(void), char *out, size_t out_size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    writer();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    size_t size = 0;
    for (;;) {
        const ssize_t got = read(ends[0], out + size, out_size - size - 1);
        assert_true(got >= 0);
        if (got == 0)
            break;
        size += (size_t)got;
    }
    close(ends[0]);
    out[size] = 0;
    return size;
}

static void
write_one_line(void)
{
    log_warning("test.event", "id=%d text=\"%s\"", 7, "x");
}

/* ts=2025-01-31T12:34:56.123456Z, whatever the time. */
static void
assert_time(const char *line)
{
    static const char pattern[] = "ts=dddd-dd-ddTdd:dd:dd.ddddddZ ";
    for (size_t i = 0; pattern[i] != 0; i++) {
        if (pattern[i] == 'd')
            assert_true(line[i] >= '0' && line[i] <= '9');
        else
            assert_int_equal(line[i], pattern[i]);
    }
}

static void
test_a_line_has_time_level_and_event(void **state)
{
    (void)state;
    char line[4096];
    log_set_level(LOG_LEVEL_INFO);
    capture(write_one_line, line, sizeof(line));
    assert_time(line);
    assert_string_equal(strchr(line, ' '), " level=warning event=test.event id=7 text=\"x\"\n");
}

/* Within a day, so that neither a slow machine nor a clock that is set matters. */
static void
test_time_is_utc_of_today(void **state)
{
    (void)state;
    char line[4096];
    capture(write_one_line, line, sizeof(line));
    struct tm utc = { 0 };
    assert_non_null(strptime(line, "ts=%Y-%m-%dT%H:%M:%S", &utc));
    const double apart = difftime(timegm(&utc), time(NULL));
    assert_true(apart > -86400.0 && apart < 86400.0);
}

static void
write_a_line_of_every_level(void)
{
    log_debug("d", "%s", "");
    log_info("i", "%s", "");
    log_warning("w", "%s", "");
    log_error("e", "%s", "");
}

static void
test_lines_below_the_level_are_dropped(void **state)
{
    (void)state;
    static const char *const levels[] = { "level=debug", "level=info", "level=warning",
                                          "level=error" };
    for (int least = LOG_LEVEL_DEBUG; least <= LOG_LEVEL_ERROR; least++) {
        char lines[4096];
        log_set_level((enum log_level)least);
        capture(write_a_line_of_every_level, lines, sizeof(lines));
        for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
            assert_int_equal(log_enabled((enum log_level)level), level >= least);
            assert_int_equal(strstr(lines, levels[level]) != NULL, level >= least);
        }
    }
    log_set_level(LOG_LEVEL_INFO);
}

static int line_width;

static void
write_a_wide_line(void)
{
    log_error("wide", "msg=\"%*d\"", line_width, 1);
}

static void
test_long_lines_are_cut_and_end(void **state)
{
    (void)state;
    for (line_width = 900; line_width < 1100; line_width++) {
        char line[4096];
        const size_t size = capture(write_a_wide_line, line, sizeof(line));
        assert_true(size <= LOG_PAIRS_MAX + 128);
        assert_ptr_equal(strchr(line, '\n'), line + size - 1);
        assert_int_equal(strlen(line), size);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quote_escapes),
        cmocka_unit_test(test_quote_of_every_octet_is_printable),
        cmocka_unit_test(test_quote_of_any_length_fits),
        cmocka_unit_test(test_a_line_has_time_level_and_event),
        cmocka_unit_test(test_time_is_utc_of_today),
        cmocka_unit_test(test_lines_below_the_level_are_dropped),
        cmocka_unit_test(test_long_lines_are_cut_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

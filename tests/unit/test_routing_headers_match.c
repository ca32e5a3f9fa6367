#include "test_routing.h"

#include "routing/headers_match.h"

static bool
match(const struct header *arguments, size_t argument_count, const struct header *headers,
      size_t header_count)
{
    struct headers_match *m = headers_match_create(arguments, argument_count);
    assert_non_null(m);
    struct headers_index index;
    headers_index_init(&index, headers, header_count);
    const bool matched = headers_match_test(m, &index);
    headers_index_fini(&index);
    headers_match_destroy(m);
    return matched;
}

/* One argument list and message, and what each mode makes of them: "all" also when x-match is
 * absent. */
struct row {
    const char *what;
    struct header arguments[3];
    size_t argument_count;
    struct header headers[3];
    size_t header_count;
    bool all;
    bool any;
    bool all_with_x;
    bool any_with_x;
};

static bool
match_in_mode(const struct row *row, const char *mode)
{
    struct header arguments[4];
    size_t count = 0;
    for (; count < row->argument_count; count++)
        arguments[count] = row->arguments[count];
    if (mode != NULL)
        arguments[count++] = header_string("x-match", mode);
    return match(arguments, count, row->headers, row->header_count);
}

static void
check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        if (match_in_mode(row, NULL) != row->all || match_in_mode(row, "all") != row->all ||
            match_in_mode(row, "any") != row->any ||
            match_in_mode(row, "all-with-x") != row->all_with_x ||
            match_in_mode(row, "any-with-x") != row->any_with_x)
            fail_msg("wrong: %s", row->what);
    }
}

static void
test_modes(void **state)
{
    (void)state;
    const struct header a1 = header_integer("a", 1);
    const struct header a2 = header_integer("a", 2);
    const struct header b1 = header_integer("b", 1);
    const struct header c1 = header_integer("c", 1);
    const struct header x1 = header_integer("x-n", 1);
    const struct header x2 = header_integer("x-n", 2);
    const struct row rows[] = {
        { "nothing wanted, nothing there", { { .name = BYTES_NONE } }, 0, { a1 }, 0, 1, 0, 1, 0 },
        { "nothing wanted, something there", { a1 }, 0, { a1 }, 1, 1, 0, 1, 0 },
        { "one wanted, nothing there", { a1 }, 1, { a1 }, 0, 0, 0, 0, 0 },
        { "one wanted and there", { a1 }, 1, { a1 }, 1, 1, 1, 1, 1 },
        { "one wanted, other value", { a1 }, 1, { a2 }, 1, 0, 0, 0, 0 },
        { "one wanted, other name", { a1 }, 1, { b1 }, 1, 0, 0, 0, 0 },
        { "two wanted, one there", { a1, b1 }, 2, { b1, c1 }, 2, 0, 1, 0, 1 },
        { "two wanted, both and more there", { a1, b1 }, 2, { c1, b1, a1 }, 3, 1, 1, 1, 1 },
        { "x- wanted, not there", { x1 }, 1, { a1 }, 1, 1, 0, 0, 0 },
        { "x- wanted and there", { x1 }, 1, { x1 }, 1, 1, 0, 1, 1 },
        { "x- and other wanted, other there", { x1, a1 }, 2, { a1, x2 }, 2, 1, 1, 0, 1 },
        { "x- and other wanted, x- there", { x1, a1 }, 2, { x1 }, 1, 0, 0, 0, 1 },
        { "first of a name is taken", { a1 }, 1, { a1, a2 }, 2, 1, 1, 1, 1 },
        { "second of a name is not", { a1 }, 1, { a2, a1 }, 2, 0, 0, 0, 0 },
    };
    check_rows(rows, COUNT(rows));
}

static void
test_values(void **state)
{
    (void)state;
    const struct header anything = header_void("a");
    const struct header zero = header_integer("a", 0);
    const struct header one = header_integer("a", 1);
    const struct header seven = header_integer("a", 7);
    const struct header one_float = header_float("a", 1.0);
    const struct header one_string = header_string("a", "1");
    const struct header yes = header_bool("a", true);
    const struct header table = header_opaque("a", "F");
    const struct header small = header_string("a", "v");
    const struct header capital = header_string("a", "V");
    const struct row rows[] = {
        { "void accepts a number", { anything }, 1, { seven }, 1, 1, 1, 1, 1 },
        { "void accepts void", { anything }, 1, { anything }, 1, 1, 1, 1, 1 },
        { "void accepts a table", { anything }, 1, { table }, 1, 1, 1, 1, 1 },
        { "a number does not accept void", { zero }, 1, { anything }, 1, 0, 0, 0, 0 },
        { "number families", { one }, 1, { one_float }, 1, 1, 1, 1, 1 },
        { "string is no number", { one }, 1, { one_string }, 1, 0, 0, 0, 0 },
        { "bool is no number", { one }, 1, { yes }, 1, 0, 0, 0, 0 },
        { "values have case", { small }, 1, { capital }, 1, 0, 0, 0, 0 },
    };
    check_rows(rows, COUNT(rows));
}

static void
test_names(void **state)
{
    (void)state;
    const struct header small = header_void("a");
    const struct header capital = header_void("A");
    const struct header other = header_void("b");
    const struct header x = header_void("x");
    const struct header capital_x = header_void("X-a");
    const struct header empty = header_void("");
    const struct header mode = header_void("x-match");
    const struct row rows[] = {
        { "void wants the name", { small }, 1, { other }, 1, 0, 0, 0, 0 },
        { "names have case", { small }, 1, { capital }, 1, 0, 0, 0, 0 },
        { "x without a dash is a name", { x }, 1, { small }, 1, 0, 0, 0, 0 },
        { "X- is a name", { capital_x }, 1, { small }, 1, 0, 0, 0, 0 },
        { "an empty name is a name", { empty }, 1, { empty }, 1, 1, 1, 1, 1 },
        { "message x-match is a header", { mode }, 0, { mode }, 1, 1, 0, 1, 0 },
    };
    check_rows(rows, COUNT(rows));
}

static void
test_invalid_modes(void **state)
{
    (void)state;
    const struct header invalid[] = {
        header_string("x-match", ""),         header_string("x-match", "ALL"),
        header_string("x-match", "all "),     header_string("x-match", "some"),
        header_string("x-match", "all-with"), header_void("x-match"),
        header_bool("x-match", true),         header_integer("x-match", 1),
        header_opaque("x-match", "all"),
    };
    for (size_t i = 0; i < COUNT(invalid); i++)
        assert_null(headers_match_create(&invalid[i], 1));
    const struct header first_counts[] = {
        header_string("x-match", "any"),
        header_string("x-match", "nonsense"),
    };
    assert_false(match(first_counts, 2, NULL, 0));
}

static void
test_arguments_are_copied(void **state)
{
    (void)state;
    char name[] = "name";
    char value[] = "value";
    const struct header argument = header_string(name, value);
    struct headers_match *m = headers_match_create(&argument, 1);
    memset(name, 'x', sizeof(name) - 1);
    memset(value, 'x', sizeof(value) - 1);
    const struct header header = header_string("name", "value");
    struct headers_index index;
    headers_index_init(&index, &header, 1);
    assert_true(headers_match_test(m, &index));
    headers_match_destroy(m);
    headers_index_fini(&index);
}

/* Sizes on both sides of where the index begins to sort. */
static void
test_index_finds_the_first(void **state)
{
    (void)state;
    struct random r = random_start("test_index_finds_the_first");
    char names[40][4];
    for (size_t i = 0; i < COUNT(names); i++)
        snprintf(names[i], sizeof(names[i]), "%zu", i);
    for (int round = 0; round < 2000; round++) {
        struct header headers[60];
        const size_t count = random_below(&r, COUNT(headers) + 1);
        const size_t name_count = 1 + random_below(&r, COUNT(names));
        for (size_t i = 0; i < count; i++)
            headers[i] = header_integer(names[random_below(&r, name_count)], (int64_t)i);
        struct headers_index index;
        headers_index_init(&index, headers, count);
        for (size_t n = 0; n < COUNT(names); n++) {
            const struct header *first = NULL;
            for (size_t i = count; i-- > 0;)
                if (bytes_equal(headers[i].name, bytes_of_string(names[n])))
                    first = &headers[i];
            assert_ptr_equal(headers_index_find(&index, bytes_of_string(names[n])), first);
        }
        headers_index_fini(&index);
    }
}

/* Tens of thousands of headers against as many conditions: not one by one. */
static void
test_many_headers(void **state)
{
    (void)state;
    enum { MANY = 40000 };
    char(*names)[8] = mem_alloc(MANY * sizeof(*names));
    struct header *headers = mem_alloc(MANY * sizeof(*headers));
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "%zu", i);
        headers[i] = header_integer(names[i], (int64_t)i);
    }
    assert_true(match(headers, MANY, headers, MANY));
    assert_false(match(headers, MANY, headers, MANY - 1));
    mem_free(headers);
    mem_free(names);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_invalid_modes),
        cmocka_unit_test(test_arguments_are_copied),
        cmocka_unit_test(test_index_finds_the_first),
        cmocka_unit_test(test_many_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test_routing.h"

#include "routing/topic_trie.h"

struct value {
    struct list link;
    struct topic_node *node;
    char text[256];
    struct bytes pattern;
    size_t visits;
};

static void
value_insert(struct topic_trie *t, struct value *v, struct bytes pattern)
{
    memcpy(v->text, pattern.data, pattern.size);
    v->pattern = bytes_of(v->text, pattern.size);
    v->node = topic_trie_insert(t, v->pattern, &v->link);
    v->visits = 0;
}

static void
value_remove(struct topic_trie *t, struct value *v)
{
    topic_trie_remove(t, v->node, &v->link);
}

static void
count_visit(void *context, const struct list *values)
{
    (void)context;
    assert_false(list_is_empty(values));
    for (struct list *link = values->next; link != values; link = link->next)
        LIST_CONTAINER(link, struct value, link)->visits++;
}

/* Matches against a copy of the key without an octet to spare, so that sanitizers see overruns. */
static void
match_counting(const struct topic_trie *t, struct bytes key)
{
    uint8_t *copy = mem_alloc(key.size);
    if (key.size > 0)
        memcpy(copy, key.data, key.size);
    topic_trie_match(t, bytes_of(copy, key.size), count_visit, NULL);
    mem_free(copy);
}

static bool
matches_alone(const char *pattern, const char *key)
{
    struct topic_trie t;
    struct value v;
    topic_trie_init(&t);
    value_insert(&t, &v, bytes_of_string(pattern));
    match_counting(&t, bytes_of_string(key));
    assert_in_range(v.visits, 0, 1);
    value_remove(&t, &v);
    topic_trie_fini(&t);
    return v.visits == 1;
}

static const struct {
    const char *pattern;
    const char *yes[5];
    const char *no[5];
} rows[] = {
    { "#", { "", "a", ".", "a.b.c", "*.#" }, { NULL } },
    { "", { "" }, { ".", "a" } },
    { "*", { "a", "*", "#" }, { "", "a.b", "." } },
    { "*.*", { ".", "a.", ".b", "a.b" }, { "a", "", "a.b.c" } },
    { "a.*", { "a.", "a.b" }, { "a", "a.b.c", "b.a" } },
    { "a.#", { "a", "a.", "a.b.c" }, { "ab", "", "b.a" } },
    { "a.#.b", { "a.b", "a.x.y.b", "a..b", "a.b.b" }, { "a", "b", "a.b.c" } },
    { "*.#", { "a", ".", "a.b", "*" }, { "" } },
    { "#.*", { "a", ".", "a.b", "*" }, { "" } },
    { "a.*.b", { "a..b", "a.x.b", "a.*.b" }, { "a.b", "a.x.y.b" } },
    { "a..b", { "a..b" }, { "a.b", "a.x.b" } },
    { "#.", { ".", "a.", "a.b." }, { "", "a" } },
    { "#.#", { "", "a", ".", "a.b.c" }, { NULL } },
    { "a*", { "a*" }, { "a", "ab", "aa" } },
    { "a#", { "a#" }, { "a", "ab", "a.b" } },
    { "**", { "**" }, { "*", "a", "a.b" } },
    { "#a.b", { "#a.b" }, { "a.b", "x.a.b" } },
    { "A", { "A" }, { "a" } },
    { "#.a.#", { "a", "a.b", "b.a", "b.a.c" }, { "", "b", "ab" } },
    { "*.a.#.b", { "x.a.b", "x.a.y.b", ".a..b" }, { "a.b", "x.a", "x.y.a.b" } },
};

static void
test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t k = 0; k < COUNT(rows[i].yes) && rows[i].yes[k] != NULL; k++)
            if (!matches_alone(rows[i].pattern, rows[i].yes[k]))
                fail_msg("'%s' should match '%s'", rows[i].pattern, rows[i].yes[k]);
        for (size_t k = 0; k < COUNT(rows[i].no) && rows[i].no[k] != NULL; k++)
            if (matches_alone(rows[i].pattern, rows[i].no[k]))
                fail_msg("'%s' should not match '%s'", rows[i].pattern, rows[i].no[k]);
    }
}

/* The same patterns in one trie, where they share nodes. */
static void
test_table_in_one_trie(void **state)
{
    (void)state;
    struct value values[COUNT(rows)];
    struct topic_trie t;
    topic_trie_init(&t);
    for (size_t i = 0; i < COUNT(rows); i++)
        value_insert(&t, &values[i], bytes_of_string(rows[i].pattern));
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t k = 0; k < COUNT(rows[i].yes) && rows[i].yes[k] != NULL; k++) {
            const struct bytes key = bytes_of_string(rows[i].yes[k]);
            match_counting(&t, key);
            for (size_t v = 0; v < COUNT(values); v++) {
                assert_int_equal(values[v].visits, naive_topic_match(values[v].pattern, key));
                values[v].visits = 0;
            }
        }
    }
    for (size_t i = 0; i < COUNT(rows); i++)
        value_remove(&t, &values[i]);
    topic_trie_fini(&t);
}

static const char *const pattern_words[] = { "a", "b", "", "*", "#", "#", "a*", "*", "#" };
static const char *const key_words[] = { "a", "b", "", "a", "b", "*", "#", "a*" };

static void
check_against_naive(const struct topic_trie *t, struct value *values, size_t count,
                    struct bytes key)
{
    match_counting(t, key);
    for (size_t i = 0; i < count; i++) {
        const size_t expected = naive_topic_match(values[i].pattern, key) ? 1 : 0;
        if (values[i].visits != expected)
            fail_msg("pattern '%.*s' key '%.*s': %zu visits, expected %zu",
                     BYTES_ARGS(values[i].pattern), BYTES_ARGS(key), values[i].visits, expected);
        values[i].visits = 0;
    }
}

/* 1,000 tries of up to 60 patterns, half of which change, and 20 keys for each. */
static void
test_random_against_naive(void **state)
{
    (void)state;
    struct random r = random_start("test_random_against_naive");
    static struct value values[60];
    size_t cases = 0;
    for (int round = 0; round < 1000; round++) {
        struct topic_trie t;
        char text[256];
        topic_trie_init(&t);
        const size_t count = 1 + random_below(&r, COUNT(values));
        const size_t depth = 1 + random_below(&r, 7);
        for (size_t i = 0; i < count; i++)
            value_insert(&t, &values[i],
                         random_topic(&r, pattern_words, COUNT(pattern_words), depth, text));
        for (size_t i = 0; i < count / 2; i++) {
            struct value *v = &values[random_below(&r, count)];
            value_remove(&t, v);
            value_insert(&t, v, random_topic(&r, pattern_words, COUNT(pattern_words), depth, text));
        }
        for (int k = 0; k < 20; k++, cases += count)
            check_against_naive(&t, values, count,
                                random_topic(&r, key_words, COUNT(key_words), depth + 2, text));
        for (size_t i = 0; i < count; i++)
            value_remove(&t, &values[i]);
        topic_trie_fini(&t);
    }
    printf("%zu pairs of pattern and key\n", cases);
}

static void
test_nodes_are_freed(void **state)
{
    (void)state;
    static struct value values[3];
    struct topic_trie t;
    topic_trie_init(&t);
    value_insert(&t, &values[0], BYTES_LITERAL("a.b.c"));
    value_insert(&t, &values[1], BYTES_LITERAL("a.b"));
    value_insert(&t, &values[2], BYTES_LITERAL("a.b.*.#.d"));
    assert_int_equal(t.edges.count, 4);
    value_remove(&t, &values[0]);
    assert_int_equal(t.edges.count, 3);
    value_remove(&t, &values[2]);
    assert_int_equal(t.edges.count, 2);
    value_insert(&t, &values[0], BYTES_LITERAL("a.b"));
    value_remove(&t, &values[1]);
    assert_int_equal(t.edges.count, 2);
    value_remove(&t, &values[0]);
    assert_int_equal(t.edges.count, 0);
    topic_trie_fini(&t);
}

/* "unit" repeated with dots between, then `last`. */
static struct bytes
repeat(const char *unit, size_t times, const char *last, char out[256])
{
    size_t size = 0;
    for (size_t i = 0; i < times; i++)
        size += (size_t)snprintf(out + size, 256 - size, "%s.", unit);
    size += (size_t)snprintf(out + size, 256 - size, "%s", last);
    assert_in_range(size, 0, 255);
    return bytes_of(out, size);
}

/* Each "#" could take any number of words: trying them all would outlast the test's time limit by
 * ages. */
static void
test_many_hashes_do_not_explode(void **state)
{
    (void)state;
    static struct value values[2 * 62];
    struct topic_trie t;
    char text[256];
    topic_trie_init(&t);
    for (size_t i = 0; i < 62; i++) {
        value_insert(&t, &values[2 * i], repeat("#.a", i + 1, "#", text));
        value_insert(&t, &values[2 * i + 1], repeat("#.*", i + 1, "c", text));
    }
    match_counting(&t, repeat("a", 127, "b", text));
    for (size_t i = 0; i < 62; i++) {
        assert_int_equal(values[2 * i].visits, 1);
        assert_int_equal(values[2 * i + 1].visits, 0);
    }
    for (size_t i = 0; i < COUNT(values); i++)
        value_remove(&t, &values[i]);
    topic_trie_fini(&t);

    assert_false(matches_alone("#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.a",
                               "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.b"));
}

/* Every pattern of 8 words out of "a", "*" and "#": thousands of nodes in the set at once. */
static void
test_all_patterns_of_one_length(void **state)
{
    (void)state;
    enum { DEPTH = 8, PATTERNS = 6561 };
    static const char letters[] = { 'a', '*', '#' };
    struct value *values = mem_alloc_zeroed(PATTERNS * sizeof(*values));
    struct topic_trie t;
    topic_trie_init(&t);
    for (size_t i = 0; i < PATTERNS; i++) {
        char text[2 * DEPTH];
        for (size_t k = 0, rest = i; k < DEPTH; k++, rest /= 3) {
            text[2 * k] = letters[rest % 3];
            text[2 * k + 1] = '.';
        }
        value_insert(&t, &values[i], bytes_of(text, sizeof(text) - 1));
    }
    char key[256];
    check_against_naive(&t, values, PATTERNS, BYTES_LITERAL("a.a.a.a.a.a.a.a"));
    check_against_naive(&t, values, PATTERNS, BYTES_LITERAL("a.b.a.a..a.a.a.a.a"));
    check_against_naive(&t, values, PATTERNS, BYTES_LITERAL(""));
    match_counting(&t, repeat("a", 127, "a", key));
    assert_int_equal(values[PATTERNS - 1].visits, 1);
    for (size_t i = 0; i < PATTERNS; i++)
        value_remove(&t, &values[i]);
    topic_trie_fini(&t);
    mem_free(values);
}

/* Keys out of headers may be longer than those out of methods. */
static void
test_endless_key(void **state)
{
    (void)state;
    static struct value values[4];
    static const char *const patterns[] = { "#", "#.b.#", "*.#.*", "#.#.#" };
    struct topic_trie t;
    topic_trie_init(&t);
    for (size_t i = 0; i < COUNT(values); i++)
        value_insert(&t, &values[i], bytes_of_string(patterns[i]));
    const size_t size = 1000000;
    uint8_t *dots = mem_alloc(size);
    memset(dots, '.', size);
    match_counting(&t, bytes_of(dots, size));
    assert_int_equal(values[0].visits, 1);
    assert_int_equal(values[1].visits, 0);
    assert_int_equal(values[2].visits, 1);
    assert_int_equal(values[3].visits, 1);
    for (size_t i = 0; i < COUNT(values); i++)
        value_remove(&t, &values[i]);
    mem_free(dots);
    topic_trie_fini(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_in_one_trie),
        cmocka_unit_test(test_random_against_naive),
        cmocka_unit_test(test_nodes_are_freed),
        cmocka_unit_test(test_many_hashes_do_not_explode),
        cmocka_unit_test(test_all_patterns_of_one_length),
        cmocka_unit_test(test_endless_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amqp/content.h"

#include "tests/unit/test_amqp.h"

static const uint32_t publish = 60u << 16 | 40u;

static const char want_method[] =
    "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
static const char want_header[] = "UNEXPECTED_FRAME - expected content header for class 60, got "
                                  "non content header frame instead";
static const char want_own_header[] =
    "UNEXPECTED_FRAME - expected content header for class 60, got one for class 10 instead";
static const char want_body[] =
    "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
static const char body_too_long[] =
    "UNEXPECTED_FRAME - content body of more than the 3 octets its header declares";

/* What may come: a method, headers good and bad, bodies of some sizes. */
enum event {
    METHOD,
    HEADER_OF_EMPTY,
    HEADER_OF_THREE,
    HEADER_OF_OTHER_CLASS,
    HEADER_WITH_WEIGHT,
    HEADER_CUT,
    BODY_OF_NONE,
    BODY_OF_ONE,
    BODY_OF_THREE,
    BODY_OF_FOUR,
    BODY_OF_MOST,
    EVENTS,
};

static const struct bytes headers[EVENTS] = {
    [HEADER_OF_EMPTY] = OCTETS("\0\x3C\0\0\0\0\0\0\0\0\0\0\0\0"),
    [HEADER_OF_THREE] = OCTETS("\0\x3C\0\0\0\0\0\0\0\0\0\x03\0\0"),
    [HEADER_OF_OTHER_CLASS] = OCTETS("\0\x0A\0\0\0\0\0\0\0\0\0\x03\0\0"),
    [HEADER_WITH_WEIGHT] = OCTETS("\0\x3C\0\x01\0\0\0\0\0\0\0\x03\0\0"),
    [HEADER_CUT] = OCTETS("\0\x3C\0\0\0\0\0\0\0\0\0"),
};

static const uint64_t body_sizes[EVENTS] = {
    [BODY_OF_ONE] = 1,
    [BODY_OF_THREE] = 3,
    [BODY_OF_FOUR] = 4,
    [BODY_OF_MOST] = UINT64_MAX,
};

/* What should happen, told without the code under test: the text of the error, or NULL. */
struct model {
    enum content_state state;
    uint64_t left;
};

static const char *
model_header(struct model *m, enum event e)
{
    if (m->state != CONTENT_WANT_HEADER)
        return m->state == CONTENT_WANT_METHOD ? want_method : want_body;
    if (e == HEADER_WITH_WEIGHT || e == HEADER_CUT)
        return want_header;
    if (e == HEADER_OF_OTHER_CLASS)
        return want_own_header;
    m->state = e == HEADER_OF_EMPTY ? CONTENT_WANT_METHOD : CONTENT_WANT_BODY;
    m->left = 3;
    return NULL;
}

static const char *
model_body(struct model *m, uint64_t size)
{
    if (m->state != CONTENT_WANT_BODY)
        return m->state == CONTENT_WANT_METHOD ? want_method : want_header;
    if (size > m->left)
        return body_too_long;
    m->left -= size;
    if (m->left == 0)
        m->state = CONTENT_WANT_METHOD;
    return NULL;
}

static const char *
model_event(struct model *m, enum event e)
{
    if (e >= BODY_OF_NONE)
        return model_body(m, body_sizes[e]);
    if (e != METHOD)
        return model_header(m, e);
    if (m->state != CONTENT_WANT_METHOD)
        return m->state == CONTENT_WANT_HEADER ? want_header : want_body;
    m->state = CONTENT_WANT_HEADER;
    return NULL;
}

static bool
accept_header(struct content *c, enum event e, struct amqp_exception *ex)
{
    struct exact payload = exact_copy(headers[e]);
    struct content_header header;
    const bool ok = content_accept_header(c, payload.bytes, &header, ex);
    if (ok) {
        assert_int_equal(header.body_size, e == HEADER_OF_EMPTY ? 0 : 3);
        assert_ptr_equal(header.properties.data, payload.bytes.data + 12);
        assert_int_equal(header.properties.size, 2);
    }
    exact_free(&payload);
    return ok;
}

static bool
accept_event(struct content *c, enum event e, struct amqp_exception *ex)
{
    if (e >= BODY_OF_NONE)
        return content_accept_body(c, body_sizes[e], ex);
    if (e != METHOD)
        return accept_header(c, e, ex);
    if (c->state != CONTENT_WANT_METHOD)
        return content_raise_interrupted(c, ex);
    content_begin(c, publish);
    return true;
}

static void
assert_raised(const struct amqp_exception *ex, const char *text)
{
    assert_int_equal(ex->code, AMQP_UNEXPECTED_FRAME);
    assert_string_equal(ex->text, text);
    assert_int_equal(ex->method_id, text == want_method ? 0 : publish);
}

/* Tries all events after what has happened so far, and all that may follow those. */
static void
try_all(const struct content *c, const struct model *m, unsigned depth)
{
    for (enum event e = METHOD; e < EVENTS; e++) {
        struct content content = *c;
        struct model model = *m;
        struct amqp_exception ex = { .method_id = 99 };
        const char *text = model_event(&model, e);
        assert_int_equal(accept_event(&content, e, &ex), text == NULL);
        if (text != NULL)
            assert_raised(&ex, text);
        assert_int_equal(content.state, model.state);
        if (depth > 1)
            try_all(&content, &model, depth - 1);
    }
}

static void
test_all_orders_of_events(void **state)
{
    (void)state;
    const struct content content = { 0 };
    const struct model model = { CONTENT_WANT_METHOD, 0 };
    try_all(&content, &model, 5);
}

static void
test_header_cut_at_each_octet(void **state)
{
    (void)state;
    for (size_t size = 0; size < 12; size++) {
        struct content c = { 0 };
        content_begin(&c, publish);
        struct exact e = exact_copy(bytes_of(headers[HEADER_OF_THREE].data, size));
        struct content_header header;
        struct amqp_exception ex;
        assert_false(content_accept_header(&c, e.bytes, &header, &ex));
        assert_raised(&ex, want_header);
        exact_free(&e);
    }
}

/* The properties are whatever follows; the header itself ends after 12 octets. */
static void
test_header_without_properties(void **state)
{
    (void)state;
    struct content c = { 0 };
    content_begin(&c, publish);
    struct exact e = exact_copy(bytes_of(headers[HEADER_OF_THREE].data, 12));
    struct content_header header;
    struct amqp_exception ex;
    assert_true(content_accept_header(&c, e.bytes, &header, &ex));
    assert_int_equal(header.properties.size, 0);
    exact_free(&e);
}

static void
test_largest_body(void **state)
{
    (void)state;
    struct content c = { 0 };
    struct content_header header;
    struct amqp_exception ex;
    content_begin(&c, publish);
    assert_true(content_accept_header(
        &c, BYTES_LITERAL("\0\x3C\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0"), &header, &ex));
    assert_true(header.body_size == UINT64_MAX);
    assert_true(content_accept_body(&c, UINT64_MAX - 1, &ex));
    assert_false(content_accept_body(&c, 2, &ex));
    assert_int_equal(ex.code, AMQP_UNEXPECTED_FRAME);
    assert_true(content_accept_body(&c, 0, &ex));
    assert_int_equal(c.state, CONTENT_WANT_BODY);
    assert_true(content_accept_body(&c, 1, &ex));
    assert_int_equal(c.state, CONTENT_WANT_METHOD);
}

static void
test_one_content_after_another(void **state)
{
    (void)state;
    struct content c = { 0 };
    struct content_header header;
    struct amqp_exception ex;
    for (int i = 0; i < 100; i++) {
        content_begin(&c, publish);
        assert_int_equal(c.state, CONTENT_WANT_HEADER);
        assert_true(content_accept_header(&c, headers[HEADER_OF_THREE], &header, &ex));
        for (int k = 0; k < 3; k++) {
            assert_int_equal(c.state, CONTENT_WANT_BODY);
            assert_true(content_accept_body(&c, 1, &ex));
        }
        assert_int_equal(c.state, CONTENT_WANT_METHOD);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_orders_of_events),
        cmocka_unit_test(test_header_cut_at_each_octet),
        cmocka_unit_test(test_header_without_properties),
        cmocka_unit_test(test_largest_body),
        cmocka_unit_test(test_one_content_after_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amqp/method.h"

#include "tests/unit/test_amqp.h"

/*
 * Every method as the protocol has it, written down apart from methods.def. Senders: > client,
 * < server, = both. Fields: o octet, s short, l long, L longlong, S short string, R short string
 * of any octets, T long string, F table, b bit.
 */
static const struct spec_row {
    uint16_t class_id;
    uint16_t method_id;
    const char *name;
    char sender;
    const char *fields;
    bool content;
} spec_rows[] = {
    { 10, 10, "connection.start", '<', "ooFTT", false },
    { 10, 11, "connection.start-ok", '>', "FSTS", false },
    { 10, 20, "connection.secure", '<', "T", false },
    { 10, 21, "connection.secure-ok", '>', "T", false },
    { 10, 30, "connection.tune", '<', "sls", false },
    { 10, 31, "connection.tune-ok", '>', "sls", false },
    { 10, 40, "connection.open", '>', "SSb", false },
    { 10, 41, "connection.open-ok", '<', "S", false },
    { 10, 50, "connection.close", '=', "sSss", false },
    { 10, 51, "connection.close-ok", '=', "", false },
    { 10, 60, "connection.blocked", '<', "S", false },
    { 10, 61, "connection.unblocked", '<', "", false },
    { 10, 70, "connection.update-secret", '>', "TS", false },
    { 10, 71, "connection.update-secret-ok", '<', "", false },
    { 20, 10, "channel.open", '>', "S", false },
    { 20, 11, "channel.open-ok", '<', "T", false },
    { 20, 20, "channel.flow", '=', "b", false },
    { 20, 21, "channel.flow-ok", '=', "b", false },
    { 20, 40, "channel.close", '=', "sSss", false },
    { 20, 41, "channel.close-ok", '=', "", false },
    { 30, 10, "access.request", '>', "Sbbbbb", false },
    { 30, 11, "access.request-ok", '<', "s", false },
    { 40, 10, "exchange.declare", '>', "sSSbbbbbF", false },
    { 40, 11, "exchange.declare-ok", '<', "", false },
    { 40, 20, "exchange.delete", '>', "sSbb", false },
    { 40, 21, "exchange.delete-ok", '<', "", false },
    { 40, 30, "exchange.bind", '>', "sSSSbF", false },
    { 40, 31, "exchange.bind-ok", '<', "", false },
    { 40, 40, "exchange.unbind", '>', "sSSSbF", false },
    { 40, 51, "exchange.unbind-ok", '<', "", false },
    { 50, 10, "queue.declare", '>', "sSbbbbbF", false },
    { 50, 11, "queue.declare-ok", '<', "Sll", false },
    { 50, 20, "queue.bind", '>', "sSSSbF", false },
    { 50, 21, "queue.bind-ok", '<', "", false },
    { 50, 30, "queue.purge", '>', "sSb", false },
    { 50, 31, "queue.purge-ok", '<', "l", false },
    { 50, 40, "queue.delete", '>', "sSbbb", false },
    { 50, 41, "queue.delete-ok", '<', "l", false },
    { 50, 50, "queue.unbind", '>', "sSSSF", false },
    { 50, 51, "queue.unbind-ok", '<', "", false },
    { 60, 10, "basic.qos", '>', "lsb", false },
    { 60, 11, "basic.qos-ok", '<', "", false },
    { 60, 20, "basic.consume", '>', "sSSbbbbF", false },
    { 60, 21, "basic.consume-ok", '<', "S", false },
    { 60, 30, "basic.cancel", '=', "Sb", false },
    { 60, 31, "basic.cancel-ok", '=', "S", false },
    { 60, 40, "basic.publish", '>', "sRRbb", true },
    { 60, 50, "basic.return", '<', "sSRR", true },
    { 60, 60, "basic.deliver", '<', "SLbRR", true },
    { 60, 70, "basic.get", '>', "sSb", false },
    { 60, 71, "basic.get-ok", '<', "LbRRl", true },
    { 60, 72, "basic.get-empty", '<', "S", false },
    { 60, 80, "basic.ack", '=', "Lb", false },
    { 60, 90, "basic.reject", '>', "Lb", false },
    { 60, 100, "basic.recover-async", '>', "b", false },
    { 60, 110, "basic.recover", '>', "b", false },
    { 60, 111, "basic.recover-ok", '<', "", false },
    { 60, 120, "basic.nack", '=', "Lbb", false },
    { 85, 10, "confirm.select", '>', "b", false },
    { 85, 11, "confirm.select-ok", '<', "", false },
    { 90, 10, "tx.select", '>', "", false },
    { 90, 11, "tx.select-ok", '<', "", false },
    { 90, 20, "tx.commit", '>', "", false },
    { 90, 21, "tx.commit-ok", '<', "", false },
    { 90, 30, "tx.rollback", '>', "", false },
    { 90, 31, "tx.rollback-ok", '<', "", false },
};

#define LETTER_OCTET "o"
#define LETTER_SHORT "s"
#define LETTER_LONG "l"
#define LETTER_LONGLONG "L"
#define LETTER_SHORTSTR "S"
#define LETTER_SHORTSTR_RAW "R"
#define LETTER_LONGSTR "T"
#define LETTER_TABLE "F"
#define LETTER_BIT "b"

/* Of each method in the order of methods.def. */
static const char *const field_letters[] = {
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state) ""
#define FIELD(type, name) LETTER_##type
#define METHOD_END(symbol) ,
#include "amqp/methods.def"
};

static enum amqp_sender
sender_of(char letter)
{
    return letter == '>'   ? AMQP_SENDER_CLIENT
           : letter == '<' ? AMQP_SENDER_SERVER
                           : AMQP_SENDER_BOTH;
}

static void
test_methods_are_those_of_the_protocol(void **state)
{
    (void)state;
    assert_int_equal(amqp_method_count, COUNT(spec_rows));
    for (size_t i = 0; i < COUNT(spec_rows); i++) {
        const struct spec_row *row = &spec_rows[i];
        const struct amqp_method_info *info = &amqp_methods[i];
        assert_int_equal(info->id >> 16, row->class_id);
        assert_int_equal(info->id & 0xFFFFu, row->method_id);
        assert_string_equal(info->name, row->name);
        assert_string_equal(field_letters[i], row->fields);
        assert_int_equal(info->sender, sender_of(row->sender));
        assert_int_equal(info->has_content, row->content);
    }
}

/* What only a server sends is never accepted; of a class, only connection has states of its own. */
static void
test_states_fit_senders(void **state)
{
    (void)state;
    for (size_t i = 0; i < amqp_method_count; i++) {
        const struct amqp_method_info *info = &amqp_methods[i];
        assert_int_equal(info->state == AMQP_STATE_NEVER, info->sender == AMQP_SENDER_SERVER);
        if (info->state != AMQP_STATE_NEVER)
            assert_int_equal(info->state == AMQP_STATE_CHANNEL, info->id >> 16 != 10);
    }
}

static void
test_find_knows_these_ids_alone(void **state)
{
    (void)state;
    size_t next = 0;
    for (uint32_t class_id = 0; class_id < 128; class_id++) {
        for (uint32_t method_id = 0; method_id < 256; method_id++) {
            const uint32_t id = AMQP_METHOD_ID(class_id, method_id);
            if (next < amqp_method_count && amqp_methods[next].id == id)
                assert_ptr_equal(amqp_method_find(id), &amqp_methods[next++]);
            else
                assert_null(amqp_method_find(id));
        }
    }
    assert_int_equal(next, amqp_method_count);
    assert_null(amqp_method_find(0xFFFFFFFF));
    assert_null(amqp_method_find(AMQP_METHOD_ID(60, 40 + 256)));
    assert_null(amqp_method_find(AMQP_METHOD_ID(60 + 256, 40)));
}

/* What a filler breaks on purpose: the field of this type before which `spare` others come. */
enum spoil {
    SPOIL_NOTHING,
    SPOIL_SHORTSTR,
    SPOIL_TABLE,
};

struct filler {
    struct random *random;
    size_t string_max; /* For short strings; others are as long. */
    enum spoil spoil;
    unsigned spare;
    bool spoiled;
    struct buf made[8]; /* What the filled fields point to. */
    size_t made_count;
};

static struct buf *
filler_buf(struct filler *f)
{
    assert_true(f->made_count < COUNT(f->made));
    return &f->made[f->made_count++];
}

static void
filler_fini(struct filler *f)
{
    for (size_t i = 0; i < f->made_count; i++)
        buf_fini(&f->made[i]);
    f->made_count = 0;
}

static bool
filler_spoils(struct filler *f, enum spoil type)
{
    if (f->spoil != type || f->spoiled)
        return false;
    f->spoiled = f->spare == 0;
    f->spare -= f->spare > 0;
    return f->spoiled;
}

static struct bytes
random_octets(struct filler *f)
{
    struct buf *out = filler_buf(f);
    put_random(out, f->random, random_below(f->random, f->string_max + 1));
    return buf_bytes(out);
}

static struct bytes
random_text(struct filler *f)
{
    struct buf *out = filler_buf(f);
    if (filler_spoils(f, SPOIL_SHORTSTR))
        buf_append_bytes(out, BYTES_LITERAL("\xC0\x80"));
    else
        put_random_text(out, f->random, f->string_max);
    return buf_bytes(out);
}

static struct bytes
random_table(struct filler *f)
{
    struct buf *out = filler_buf(f);
    put_random_fields(out, f->random, true, 2, 3);
    if (filler_spoils(f, SPOIL_TABLE))
        buf_append_bytes(out, BYTES_LITERAL("\x01nU"));
    return buf_bytes(out);
}

#define FILL_OCTET(f) (uint8_t) random_next((f)->random)
#define FILL_SHORT(f) (uint16_t) random_next((f)->random)
#define FILL_LONG(f) (uint32_t) random_next((f)->random)
#define FILL_LONGLONG(f) random_next((f)->random)
#define FILL_SHORTSTR(f) random_text(f)
#define FILL_SHORTSTR_RAW(f) random_octets(f)
#define FILL_LONGSTR(f) random_octets(f)
#define FILL_TABLE(f) random_table(f)
#define FILL_BIT(f) (random_next((f)->random) % 2 == 0)

#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    static void fill_##symbol(struct filler *f, struct amqp_##symbol *m)                           \
    {                                                                                              \
        (void)f;                                                                                   \
        m->id = AMQP_ID_##symbol;
#define FIELD(type, name) m->name = FILL_##type(f);
#define METHOD_END(symbol) }
#include "amqp/methods.def"

static void
method_fill(struct filler *f, uint32_t id, union amqp_method *out)
{
    memset(out, 0xA5, sizeof(*out));
    switch (id) {
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    case AMQP_METHOD_ID(class_id, method_id):                                                      \
        fill_##symbol(f, &out->symbol);                                                            \
        return;
#include "amqp/methods.def"
    default:
        fail();
    }
}

#define EQUAL_OCTET(a, b) ((a) == (b))
#define EQUAL_SHORT(a, b) ((a) == (b))
#define EQUAL_LONG(a, b) ((a) == (b))
#define EQUAL_LONGLONG(a, b) ((a) == (b))
#define EQUAL_SHORTSTR(a, b) bytes_equal(a, b)
#define EQUAL_SHORTSTR_RAW(a, b) bytes_equal(a, b)
#define EQUAL_LONGSTR(a, b) bytes_equal(a, b)
#define EQUAL_TABLE(a, b) bytes_equal(a, b)
#define EQUAL_BIT(a, b) ((a) == (b))

#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    static bool equal_##symbol(const struct amqp_##symbol *a, const struct amqp_##symbol *b)       \
    {                                                                                              \
        bool equal = a->id == b->id;
#define FIELD(type, name) equal = equal && EQUAL_##type(a->name, b->name);
#define METHOD_END(symbol)                                                                         \
    return equal;                                                                                  \
    }
#include "amqp/methods.def"

static bool
methods_are_equal(const union amqp_method *a, const union amqp_method *b)
{
    switch (a->id) {
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    case AMQP_METHOD_ID(class_id, method_id):                                                      \
        return equal_##symbol(&a->symbol, &b->symbol);
#include "amqp/methods.def"
    default:
        fail();
        return false;
    }
}

/* The payload, in a block of the size that amqp_method_size promises. */
static struct exact
method_encode(const union amqp_method *m)
{
    struct exact e = { .block = mem_alloc(amqp_method_size(m) + 1) };
    e.bytes = bytes_of(e.block + 1, amqp_method_size(m));
    struct wire_writer w = wire_writer_of(e.block + 1, e.bytes.size);
    amqp_method_encode(&w, m);
    assert_ptr_equal(w.at, w.end);
    assert_int_equal(load_be32(e.bytes.data), m->id);
    return e;
}

static struct bytes
arguments_of(const struct exact *payload)
{
    return bytes_of(payload->bytes.data + 4, payload->bytes.size - 4);
}

static void
test_all_methods_go_round(void **state)
{
    (void)state;
    struct random random = random_start(__func__);
    for (size_t i = 0; i < amqp_method_count; i++) {
        for (int round = 0; round < 50; round++) {
            struct filler f = { .random = &random, .string_max = round % 2 == 0 ? 10 : 255 };
            union amqp_method sent;
            method_fill(&f, amqp_methods[i].id, &sent);
            struct exact payload = method_encode(&sent);
            union amqp_method got;
            memset(&got, 0x5A, sizeof(got));
            assert_int_equal(amqp_method_decode(sent.id, arguments_of(&payload), &got), WIRE_OK);
            assert_true(methods_are_equal(&sent, &got));
            struct exact again = method_encode(&got);
            assert_true(bytes_equal(payload.bytes, again.bytes));
            exact_free(&again);
            exact_free(&payload);
            filler_fini(&f);
        }
    }
}

static void
test_all_methods_cut_at_each_octet(void **state)
{
    (void)state;
    struct random random = random_start(__func__);
    for (size_t i = 0; i < amqp_method_count * 5; i++) {
        struct filler f = { .random = &random, .string_max = 6 };
        union amqp_method sent;
        method_fill(&f, amqp_methods[i / 5].id, &sent);
        struct exact payload = method_encode(&sent);
        const struct bytes arguments = arguments_of(&payload);
        for (size_t size = 0; size < arguments.size; size++) {
            struct exact cut = exact_copy(bytes_of(arguments.data, size));
            union amqp_method got;
            assert_int_equal(amqp_method_decode(sent.id, cut.bytes, &got), WIRE_TRUNCATED);
            exact_free(&cut);
        }
        exact_free(&payload);
        filler_fini(&f);
    }
}

static void
test_all_methods_with_trailing_octets(void **state)
{
    (void)state;
    struct random random = random_start(__func__);
    for (size_t i = 0; i < amqp_method_count; i++) {
        struct filler f = { .random = &random, .string_max = 6 };
        union amqp_method sent;
        method_fill(&f, amqp_methods[i].id, &sent);
        struct exact payload = method_encode(&sent);
        for (size_t more = 1; more <= 9; more++) {
            struct buf longer = { 0 };
            buf_append_bytes(&longer, arguments_of(&payload));
            put_random(&longer, &random, more);
            union amqp_method got;
            assert_int_equal(amqp_method_decode(sent.id, buf_bytes(&longer), &got), WIRE_TRAILING);
            buf_fini(&longer);
        }
        exact_free(&payload);
        filler_fini(&f);
    }
}

static size_t
count_letters(const char *letters, char letter)
{
    size_t count = 0;
    for (; *letters != 0; letters++)
        count += *letters == letter;
    return count;
}

/* Each field of a type broken in its turn, all others good. */
static void
spoil_each(struct random *random, enum spoil spoil, char letter, enum wire_error error)
{
    for (size_t i = 0; i < amqp_method_count; i++) {
        for (unsigned spare = 0; spare < count_letters(spec_rows[i].fields, letter); spare++) {
            struct filler f = { .random = random, .string_max = 6, .spoil = spoil, .spare = spare };
            union amqp_method sent;
            method_fill(&f, amqp_methods[i].id, &sent);
            assert_true(f.spoiled);
            struct exact payload = method_encode(&sent);
            union amqp_method got;
            assert_int_equal(amqp_method_decode(sent.id, arguments_of(&payload), &got), error);
            exact_free(&payload);
            filler_fini(&f);
        }
    }
}

static void
test_short_strings_must_be_utf8(void **state)
{
    (void)state;
    struct random random = random_start(__func__);
    spoil_each(&random, SPOIL_SHORTSTR, 'S', WIRE_NOT_UTF8);
}

static void
test_tables_must_be_valid(void **state)
{
    (void)state;
    struct random random = random_start(__func__);
    spoil_each(&random, SPOIL_TABLE, 'F', WIRE_BAD_TABLE);
}

static const struct octets_row {
    union amqp_method method;
    struct bytes octets;
} octets_rows[] = {
    { { .connection_tune = { AMQP_ID_connection_tune, 2047, 131072, 60 } },
      OCTETS("\0\x0A\0\x1E\x07\xFF\0\x02\0\0\0\x3C") },
    { { .channel_open_ok = { AMQP_ID_channel_open_ok, OCTETS("") } },
      OCTETS("\0\x14\0\x0B\0\0\0\0") },
    { { .access_request = { .id = AMQP_ID_access_request, .active = true, .read = true } },
      OCTETS("\0\x1E\0\x0A\0\x14") },
    { { .exchange_declare = { .id = AMQP_ID_exchange_declare,
                              .exchange = OCTETS("x"),
                              .type = OCTETS("topic"),
                              .durable = true,
                              .internal = true } },
      OCTETS("\0\x28\0\x0A\0\0\x01x\x05topic\x0A\0\0\0\0") },
    { { .exchange_unbind_ok = { AMQP_ID_exchange_unbind_ok } }, OCTETS("\0\x28\0\x33") },
    { { .queue_declare = { .id = AMQP_ID_queue_declare,
                           .ticket = 0x0102,
                           .queue = OCTETS("q"),
                           .durable = true,
                           .nowait = true,
                           .arguments = OCTETS("\x01nt\x01") } },
      OCTETS("\0\x32\0\x0A\x01\x02\x01q\x12\0\0\0\x04\x01nt\x01") },
    { { .basic_publish = { .id = AMQP_ID_basic_publish,
                           .routing_key = OCTETS("key"),
                           .mandatory = true } },
      OCTETS("\0\x3C\0\x28\0\0\0\x03key\x01") },
    { { .basic_deliver = { .id = AMQP_ID_basic_deliver,
                           .consumer_tag = OCTETS("tag"),
                           .delivery_tag = 0x0102030405060708,
                           .redelivered = true,
                           .exchange = OCTETS("x"),
                           .routing_key = OCTETS("k") } },
      OCTETS("\0\x3C\0\x3C\x03tag\x01\x02\x03\x04\x05\x06\x07\x08\x01\x01x\x01k") },
    { { .basic_get_ok = { .id = AMQP_ID_basic_get_ok,
                          .delivery_tag = 1,
                          .exchange = OCTETS("x"),
                          .routing_key = OCTETS("k"),
                          .message_count = 2 } },
      OCTETS("\0\x3C\0\x47\0\0\0\0\0\0\0\x01\0\x01x\x01k\0\0\0\x02") },
    { { .basic_nack = { .id = AMQP_ID_basic_nack, .delivery_tag = 258, .requeue = true } },
      OCTETS("\0\x3C\0\x78\0\0\0\0\0\0\x01\x02\x02") },
    { { .tx_commit_ok = { AMQP_ID_tx_commit_ok } }, OCTETS("\0\x5A\0\x15") },
};

static void
test_octets(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(octets_rows); i++) {
        struct exact payload = method_encode(&octets_rows[i].method);
        assert_true(bytes_equal(payload.bytes, octets_rows[i].octets));
        union amqp_method got;
        assert_int_equal(amqp_method_decode(octets_rows[i].method.id, arguments_of(&payload), &got),
                         WIRE_OK);
        assert_true(methods_are_equal(&got, &octets_rows[i].method));
        exact_free(&payload);
    }
}

static void
test_spare_bits_are_ignored(void **state)
{
    (void)state;
    union amqp_method m;
    assert_int_equal(
        amqp_method_decode(AMQP_ID_basic_ack, BYTES_LITERAL("\0\0\0\0\0\0\0\x07\xFE"), &m),
        WIRE_OK);
    assert_int_equal(m.basic_ack.delivery_tag, 7);
    assert_false(m.basic_ack.multiple);
    assert_int_equal(
        amqp_method_decode(AMQP_ID_basic_nack, BYTES_LITERAL("\0\0\0\0\0\0\0\x07\xFD"), &m),
        WIRE_OK);
    assert_true(m.basic_nack.multiple);
    assert_false(m.basic_nack.requeue);
}

static void
test_typed_encoders_need_no_id(void **state)
{
    (void)state;
    const struct amqp_basic_ack ack = { .delivery_tag = 1, .multiple = true };
    uint8_t out[13];
    assert_int_equal(amqp_basic_ack_size(&ack), sizeof(out));
    struct wire_writer w = wire_writer_of(out, sizeof(out));
    amqp_basic_ack_encode(&w, &ack);
    assert_ptr_equal(w.at, w.end);
    assert_memory_equal(out, "\0\x3C\0\x50\0\0\0\0\0\0\0\x01\x01", sizeof(out));
}

static void
test_whole_frames(void **state)
{
    (void)state;
    const union amqp_method m = { .basic_cancel = { AMQP_ID_basic_cancel, OCTETS("tag"),
                                                    .nowait = true } };
    static const struct bytes expected =
        OCTETS("\x01\xA1\xA2\0\0\0\x09\0\x3C\0\x1E\x03tag\x01\xCE");
    const size_t size = amqp_method_frame_size(&m);
    assert_int_equal(size, expected.size);
    uint8_t *out = mem_alloc(size);
    amqp_method_frame_encode(out, size, 0xA1A2, &m);
    assert_memory_equal(out, expected.data, size);
    mem_free(out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods_are_those_of_the_protocol),
        cmocka_unit_test(test_states_fit_senders),
        cmocka_unit_test(test_find_knows_these_ids_alone),
        cmocka_unit_test(test_all_methods_go_round),
        cmocka_unit_test(test_all_methods_cut_at_each_octet),
        cmocka_unit_test(test_all_methods_with_trailing_octets),
        cmocka_unit_test(test_short_strings_must_be_utf8),
        cmocka_unit_test(test_tables_must_be_valid),
        cmocka_unit_test(test_octets),
        cmocka_unit_test(test_spare_bits_are_ignored),
        cmocka_unit_test(test_typed_encoders_need_no_id),
        cmocka_unit_test(test_whole_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

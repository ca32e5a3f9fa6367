#include "broker/net/output.h"

#include "broker/base/mem.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STEPS = 6000, OWNERS_MAX = 4000, LARGE = 200000 };

/* A socket pair whose buffers hold little, so that writes stop in the middle of anything. */
static void
pair_open(int sockets[2])
{
    const int size = 4096;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(setsockopt(sockets[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
        assert_int_equal(setsockopt(sockets[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
    }
}

static void
pair_close(const int sockets[2])
{
    close(sockets[0]);
    close(sockets[1]);
}

/* Every octet of the stream follows from its place, so that any loss or repetition is seen. */
static uint8_t
octet_at(uint64_t place)
{
    return (uint8_t)((place * 167 + (place >> 8) * 13 + (place >> 16)) & 0xFF);
}

static void
fill(uint8_t *out, size_t size, uint64_t place)
{
    for (size_t i = 0; i < size; i++)
        out[i] = octet_at(place + i);
}

/* Somebody else's octets. */
struct owner {
    uint8_t *data;
    uint64_t end; /* Place in the stream behind them. */
    unsigned released;
};

struct stream {
    struct output output;
    int sockets[2];
    uint64_t appended;
    uint64_t received;
    struct owner owners[OWNERS_MAX];
    size_t owner_count;
};

static struct stream stream;

static void
owner_release(void *context)
{
    struct owner *o = context;
    o->released++;
    mem_free(o->data); /* Reading on would be a use after free. */
}

static void
append_copied(size_t size, size_t reserved)
{
    fill(output_reserve(&stream.output, reserved), size, stream.appended);
    output_commit(&stream.output, size);
    stream.appended += size;
}

static void
append_referred(size_t size)
{
    struct owner *o = &stream.owners[stream.owner_count++];
    *o = (struct owner){ .data = mem_alloc(size), .end = stream.appended + size };
    fill(o->data, size, stream.appended);
    output_refer(&stream.output, o->data, size, owner_release, o);
    stream.appended += size;
}

static void
receive(size_t most)
{
    static uint8_t octets[65536];
    const ssize_t got =
        recv(stream.sockets[1], octets, most < sizeof(octets) ? most : sizeof(octets), 0);
    for (ssize_t i = 0; i < got; i++)
        assert_int_equal(octets[i], octet_at(stream.received + (uint64_t)i));
    stream.received += got > 0 ? (uint64_t)got : 0;
}

/* References are held while octets wait, and let go of once when they are written. */
static void
check_owners(void)
{
    const uint64_t written = stream.appended - stream.output.size;
    for (size_t i = 0; i < stream.owner_count; i++)
        assert_int_equal(stream.owners[i].released, stream.owners[i].end <= written);
}

static void
random_step(struct random *r)
{
    static const size_t sizes[] = { 1, 8, 200, 4000, 20000, 70000 };
    const size_t size = 1 + random_below(r, sizes[random_below(r, COUNT(sizes))]);
    switch (random_below(r, 6)) {
    case 0:
        if (stream.owner_count < OWNERS_MAX)
            append_referred(size);
        break;
    case 1:
    case 2:
        append_copied(random_below(r, size + 1), size);
        break;
    default:
        receive(size);
        break;
    }
}

static void
drain(void)
{
    while (output_write(&stream.output, stream.sockets[0]) != OUTPUT_DONE)
        receive(SIZE_MAX);
    while (stream.received < stream.appended)
        receive(SIZE_MAX);
    assert_int_equal(stream.output.size, 0);
    assert_null(stream.output.head);
    assert_null(stream.output.tail);
    check_owners();
}

static void
test_all_octets_come_out_in_order(void **state)
{
    (void)state;
    struct random r = random_start("test_all_octets_come_out_in_order");
    stream = (struct stream){ 0 };
    pair_open(stream.sockets);
    for (int step = 0; step < STEPS; step++) {
        random_step(&r);
        if (random_below(&r, 4) == 0 || stream.output.size > LARGE) {
            const enum output_result result = output_write(&stream.output, stream.sockets[0]);
            assert_int_not_equal(result, OUTPUT_FAILED);
            assert_int_equal(result == OUTPUT_DONE, stream.output.size == 0);
            check_owners();
        }
        if (stream.output.size > LARGE)
            drain();
    }
    drain();
    output_fini(&stream.output);
    output_thread_fini();
    pair_close(stream.sockets);
}

static void
test_many_small_references_go_in_several_writes(void **state)
{
    (void)state;
    stream = (struct stream){ 0 };
    pair_open(stream.sockets);
    for (int i = 0; i < 1000; i++) {
        append_referred(3);
        append_copied(0, 100);
    }
    drain();
    pair_close(stream.sockets);
    output_thread_fini();
}

static void
test_fini_releases_what_was_not_written(void **state)
{
    (void)state;
    stream = (struct stream){ 0 };
    pair_open(stream.sockets);
    append_referred(LARGE);
    append_copied(10, 10);
    append_referred(5);
    assert_int_equal(output_write(&stream.output, stream.sockets[0]), OUTPUT_FULL);
    assert_int_equal(stream.owners[0].released, 0);
    output_fini(&stream.output);
    assert_int_equal(stream.owners[0].released, 1);
    assert_int_equal(stream.owners[1].released, 1);
    assert_int_equal(stream.output.size, 0);
    pair_close(stream.sockets);
    output_thread_fini();
}

/* What is larger than any chunk still lies in one piece. */
static void
test_large_reservation(void **state)
{
    (void)state;
    stream = (struct stream){ 0 };
    pair_open(stream.sockets);
    append_copied(LARGE, LARGE);
    append_copied(65536, 65536);
    append_copied(1, 1);
    drain();
    pair_close(stream.sockets);
    output_thread_fini();
}

static void
test_nothing_to_write_is_done(void **state)
{
    (void)state;
    struct owner owner = { 0 };
    struct output o = { 0 };
    assert_int_equal(output_write(&o, -1), OUTPUT_DONE);
    output_reserve(&o, 100); /* And then there was nothing to say. */
    output_commit(&o, 0);
    output_refer(&o, NULL, 0, owner_release, &owner);
    assert_int_equal(output_write(&o, -1), OUTPUT_DONE);
    assert_null(o.head);
    assert_int_equal(owner.released, 1);
    output_fini(&o);
}

static void
test_a_peer_that_is_gone_is_a_failure(void **state)
{
    (void)state;
    stream = (struct stream){ 0 };
    pair_open(stream.sockets);
    close(stream.sockets[1]);
    append_copied(10, 10);
    append_referred(10);
    assert_int_equal(output_write(&stream.output, stream.sockets[0]), OUTPUT_FAILED);
    assert_int_equal(errno, EPIPE); /* And no SIGPIPE. */
    assert_int_equal(stream.output.size, 20);
    assert_int_equal(stream.owners[0].released, 0);
    output_fini(&stream.output);
    assert_int_equal(stream.owners[0].released, 1);
    close(stream.sockets[0]);
    output_thread_fini();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_octets_come_out_in_order),
        cmocka_unit_test(test_many_small_references_go_in_several_writes),
        cmocka_unit_test(test_fini_releases_what_was_not_written),
        cmocka_unit_test(test_large_reservation),
        cmocka_unit_test(test_nothing_to_write_is_done),
        cmocka_unit_test(test_a_peer_that_is_gone_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

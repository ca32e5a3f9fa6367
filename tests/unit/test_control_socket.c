#include "broker/control/control.h"

#include "broker/base/buf.h"
#include "broker/control/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 60000u
#define IMPATIENCE_MS 50u
#define LINES 100000u

static char directory[256];
static struct control *control;
static atomic_uint released;
static atomic_uint flood_sent;

static void
on_echo(void *context, struct control_client *client, struct bytes arguments)
{
    assert_ptr_equal(context, directory);
    control_line(client, "first");
    control_line(client, "two\nlines");
    control_progress(client, 3, 7, "echoing");
    control_ok(client, "%.*s", BYTES_ARGS(arguments));
}

static void
on_fail(void *context, struct control_client *client, struct bytes arguments)
{
    (void)context;
    (void)arguments;
    control_error(client, "it went wrong");
}

static void
on_mirror(void *context, struct control_client *client, struct bytes arguments)
{
    (void)context;
    control_data(client, control_body(client));
    control_ok(client, "%.*s", BYTES_ARGS(arguments));
}

static void
on_release(void *held)
{
    assert_ptr_equal(held, &released);
    atomic_fetch_add(&released, 1);
}

static void
on_hold(void *context, struct control_client *client, struct bytes arguments)
{
    (void)context;
    (void)arguments;
    control_hold(client, on_release, &released);
    control_ok(client, "held");
}

static void
on_flood(void *context, struct control_client *client, struct bytes arguments)
{
    (void)context;
    (void)arguments;
    unsigned i = 0;
    for (; i < LINES && !control_client_is_gone(client); i++)
        control_line(client, "%u and some octets so that it takes room", i);
    atomic_store(&flood_sent, i);
    control_ok(client, "done");
}

static void
on_long(void *context, struct control_client *client, struct bytes arguments)
{
    (void)context;
    (void)arguments;
    control_line(client, "%08000d", 1);
    control_ok(client, "cut");
}

static const struct control_command commands[] = {
    { "echo", on_echo }, { "fail", on_fail },   { "hold", on_hold },
    { "long", on_long }, { "flood", on_flood }, { "mirror", on_mirror },
};

static void
start(uint32_t timeout_ms)
{
    char problem[512] = "";
    const struct control_spec spec = {
        .directory = directory,
        .commands = commands,
        .command_count = sizeof(commands) / sizeof(commands[0]),
        .context = directory,
        .timeout_ms = timeout_ms,
    };
    control = control_start(&spec, problem, sizeof(problem));
    if (control == NULL)
        fail_msg("%s", problem);
}

static void
stop(void)
{
    char path[512];
    control_stop(control);
    control = NULL;
    snprintf(path, sizeof(path), "%s/" CONTROL_SOCKET, directory);
    assert_int_not_equal(access(path, F_OK), 0);
}

static int
directory_make(void **state)
{
    (void)state;
    const char *root = getenv("TMPDIR");
    snprintf(directory, sizeof(directory), "%s/rail-test-control-XXXXXX",
             root == NULL ? "/tmp" : root);
    atomic_store(&released, 0);
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
directory_remove(void **state)
{
    (void)state;
    return rmdir(directory);
}

static void
open_client(struct control_connection *c)
{
    char problem[512];
    assert_int_equal(control_open(c, directory, problem, sizeof(problem)), CONTROL_THERE);
}

/* What came before the answer, a line each. */
static void
note_line(void *context, struct bytes text)
{
    buf_printf(context, "%.*s\n", BYTES_ARGS(text));
}

static void
note_progress(void *context, uint64_t done, uint64_t total, struct bytes what)
{
    buf_printf(context, "%llu/%llu %.*s\n", (unsigned long long)done, (unsigned long long)total,
               BYTES_ARGS(what));
}

static void
assert_answer(const char *request, bool is_ok, const char *answer)
{
    struct control_connection c;
    const struct control_watcher nobody = { 0 };
    char text[CONTROL_LINE_MAX];
    open_client(&c);
    assert_int_equal(control_ask(&c, request, &nobody, text, sizeof(text)), is_ok);
    assert_string_equal(text, answer);
    control_close(&c);
}

static void
wait_for_release(unsigned count)
{
    while (atomic_load(&released) != count)
        usleep(1000);
}

/* Reads until the broker closes. */
static size_t
read_to_end(int fd, struct buf *out)
{
    ssize_t got;
    while ((got = recv(fd, buf_reserve(out, 4096), 4096, 0)) > 0)
        out->size += (size_t)got;
    return out->size;
}

static void
test_answers(void **state)
{
    (void)state;
    struct control_connection c;
    struct buf seen = { 0 };
    char text[64];
    const struct control_watcher watcher = { .line = note_line,
                                             .progress = note_progress,
                                             .context = &seen };
    start(PATIENCE_MS);
    open_client(&c);
    assert_true(control_ask(&c, "echo a  b ", &watcher, text, sizeof(text)));
    assert_string_equal(text, "a  b ");
    buf_append(&seen, "", 1);
    assert_string_equal((const char *)seen.data, "first\ntwo lines\n3/7 echoing\n");
    control_close(&c);
    buf_fini(&seen);
    assert_answer("fail", false, "it went wrong");
    assert_answer("echo", true, "");
    assert_answer("ech", false,
                  "this broker knows no command \"ech\"; is it older than railmq is?");
    assert_answer("", false, "this broker knows no command \"\"; is it older than railmq is?");
    stop();
}

static void
note_data(void *context, struct bytes octets)
{
    buf_append_bytes(context, octets);
}

static void
assert_mirrored(size_t size)
{
    struct control_connection c;
    struct buf body = { 0 };
    struct buf mirrored = { 0 };
    char text[CONTROL_LINE_MAX];
    const struct control_watcher watcher = { .data = note_data, .context = &mirrored };
    for (size_t i = 0; i < size; i++)
        buf_append(&body, &(const uint8_t){ (uint8_t)(i * 7 + i / 251) }, 1);
    open_client(&c);
    assert_true(control_ask_about(&c, "mirror it", buf_bytes(&body), &watcher, text, sizeof(text)));
    assert_string_equal(text, "it");
    assert_int_equal(mirrored.size, size);
    assert_true(bytes_equal(buf_bytes(&mirrored), buf_bytes(&body)));
    control_close(&c);
    buf_fini(&body);
    buf_fini(&mirrored);
}

/* Octets of any kind, line ends among them, in both directions. */
static void
test_bodies(void **state)
{
    (void)state;
    start(PATIENCE_MS);
    assert_mirrored(0);
    assert_mirrored(1);
    assert_mirrored(CONTROL_REQUEST_MAX);
    assert_mirrored(3 * CONTROL_LINE_MAX + 5);
    assert_mirrored(1 << 20);
    assert_answer("body 5000000000 mirror it", false,
                  "what comes with the request is larger than 16 MiB, or of no size");
    assert_answer("body 16777217 mirror it", false,
                  "what comes with the request is larger than 16 MiB, or of no size");
    assert_answer("body x mirror it", false,
                  "what comes with the request is larger than 16 MiB, or of no size");
    assert_answer("body 5", false,
                  "what comes with the request is larger than 16 MiB, or of no size");
    stop();
}

static void
test_lines_are_bounded(void **state)
{
    (void)state;
    struct control_connection c;
    struct buf seen = { 0 };
    char text[64];
    static char request[CONTROL_REQUEST_MAX + 100];
    const struct control_watcher watcher = { .line = note_line,
                                             .progress = note_progress,
                                             .context = &seen };
    start(PATIENCE_MS);
    open_client(&c);
    assert_true(control_ask(&c, "long", &watcher, text, sizeof(text)));
    assert_true(seen.size > CONTROL_LINE_MAX / 2 && seen.size <= CONTROL_LINE_MAX);
    control_close(&c);
    buf_fini(&seen);
    memset(request, 'x', sizeof(request) - 1);
    assert_answer(request, false, "the request is longer than 4096 octets");
    stop();
}

static void
test_absent(void **state)
{
    (void)state;
    struct control_connection c;
    char problem[512];
    assert_int_equal(control_open(&c, directory, problem, sizeof(problem)), CONTROL_ABSENT);
    control_close(&c);
    assert_int_equal(control_open(&c, "/nowhere/at/all", problem, sizeof(problem)), CONTROL_ABSENT);
    control_close(&c);
}

/* A broker that was killed leaves its socket. */
static void
test_stale_socket(void **state)
{
    (void)state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct control_connection c;
    char problem[512];
    snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/" CONTROL_SOCKET, directory);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    assert_int_equal(control_open(&c, directory, problem, sizeof(problem)), CONTROL_ABSENT);
    start(PATIENCE_MS);
    assert_answer("echo x", true, "x");
    stop();
}

static void
test_long_path(void **state)
{
    (void)state;
    char outer[sizeof(directory)];
    memcpy(outer, directory, sizeof(outer));
    const size_t size = strlen(directory);
    memset(directory + size, 'd', 130);
    directory[size] = '/';
    directory[size + 130] = 0;
    assert_int_equal(mkdir(directory, 0700), 0);
    start(PATIENCE_MS);
    assert_answer("echo x", true, "x");
    stop();
    assert_int_equal(rmdir(directory), 0);
    memcpy(directory, outer, sizeof(outer));
}

static void
test_hold(void **state)
{
    (void)state;
    struct control_connection c[3];
    const struct control_watcher nobody = { 0 };
    char text[64];
    start(IMPATIENCE_MS);
    for (size_t i = 0; i < 3; i++) {
        open_client(&c[i]);
        assert_true(control_ask(&c[i], "hold", &nobody, text, sizeof(text)));
    }
    /* Others are served, and what is held has no end of its own. */
    for (int i = 0; i < 3; i++) {
        usleep(IMPATIENCE_MS * 1000);
        assert_answer("echo x", true, "x");
    }
    assert_int_equal(atomic_load(&released), 0);
    control_close(&c[0]);
    wait_for_release(1);
    assert_int_equal(send(c[1].fd, "!", 1, MSG_NOSIGNAL), 1);
    wait_for_release(2);
    stop();
    assert_int_equal(atomic_load(&released), 3);
    control_close(&c[1]);
    control_close(&c[2]);
}

/* One says nothing, one only a part, and all places are taken by their like. */
static void
test_slow_askers_are_dropped(void **state)
{
    (void)state;
    struct control_connection c[CONTROL_CLIENTS_MAX + 5];
    struct buf rest = { 0 };
    start(IMPATIENCE_MS);
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX + 5; i++) {
        open_client(&c[i]);
        if (i % 2 == 0)
            assert_int_equal(send(c[i].fd, "ech", 3, MSG_NOSIGNAL), 3);
    }
    assert_answer("echo x", true, "x");
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX + 5; i++) {
        assert_int_equal(read_to_end(c[i].fd, &rest), 0);
        control_close(&c[i]);
    }
    buf_fini(&rest);
    stop();
}

static void
test_slow_readers_are_dropped(void **state)
{
    (void)state;
    struct control_connection c;
    struct buf rest = { 0 };
    start(IMPATIENCE_MS);
    open_client(&c);
    assert_int_equal(send(c.fd, "flood\n", 6, MSG_NOSIGNAL), 6);
    assert_answer("echo x", true, "x");
    assert_true(atomic_load(&flood_sent) < LINES);
    read_to_end(c.fd, &rest);
    assert_true(rest.size < LINES * 40);
    buf_fini(&rest);
    control_close(&c);
    stop();
}

static void
test_patient_readers_get_all(void **state)
{
    (void)state;
    struct control_connection c;
    struct buf rest = { 0 };
    start(PATIENCE_MS);
    open_client(&c);
    assert_int_equal(send(c.fd, "flood\n", 6, MSG_NOSIGNAL), 6);
    read_to_end(c.fd, &rest);
    assert_memory_equal(rest.data + rest.size - 8, "ok done\n", 8);
    buf_fini(&rest);
    control_close(&c);
    stop();
}

/* It does not wait for anybody. */
static void
test_stop_with_clients(void **state)
{
    (void)state;
    struct control_connection idle;
    struct control_connection half;
    start(PATIENCE_MS);
    open_client(&idle);
    open_client(&half);
    assert_int_equal(send(half.fd, "ec", 2, MSG_NOSIGNAL), 2);
    stop();
    control_close(&idle);
    control_close(&half);
}

/* What the client makes of a broker that says something else. */
static void
client_meets(const char *says, bool is_ok, const char *text)
{
    struct control_connection c = { .fd = -1 };
    const struct control_watcher nobody = { 0 };
    char got[256];
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    c.fd = ends[0];
    assert_int_equal(send(ends[1], says, strlen(says), MSG_NOSIGNAL), (ssize_t)strlen(says));
    shutdown(ends[1], SHUT_WR);
    assert_int_equal(control_ask(&c, "ask", &nobody, got, sizeof(got)), is_ok);
    if (text != NULL)
        assert_string_equal(got, text);
    else
        assert_non_null(strstr(got, "before it had answered"));
    control_close(&c);
    close(ends[1]);
}

static void
test_client_meets_nonsense(void **state)
{
    (void)state;
    static char endless[20000];
    memset(endless, 'x', sizeof(endless) - 1);
    client_meets("", false, NULL);
    client_meets("ok almost", false, NULL);
    client_meets("ok\n", false, NULL);
    client_meets("\n\nwhat\nprogress\nprogress x y z\nprogress 1\n= \nok yes\n", true, "yes");
    client_meets("progress 99999999999999999999999999 1 z\nerror no\nok yes\n", false, "no");
    client_meets(endless, false, NULL);
    client_meets("data 3\nabcok yes\n", true, "yes");
    client_meets("data 3\nab", false, NULL);
    client_meets("data x\nok no\n", true, "no");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, directory_make, directory_remove),
        cmocka_unit_test_setup_teardown(test_bodies, directory_make, directory_remove),
        cmocka_unit_test_setup_teardown(test_lines_are_bounded, directory_make, directory_remove),
        cmocka_unit_test_setup_teardown(test_absent, directory_make, directory_remove),
        cmocka_unit_test_setup_teardown(test_stale_socket, directory_make, directory_remove),
        cmocka_unit_test_setup_teardown(test_long_path, directory_make, directory_remove),
        cmocka_unit_test_setup_teardown(test_hold, directory_make, directory_remove),
        cmocka_unit_test_setup_teardown(test_slow_askers_are_dropped, directory_make,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(test_slow_readers_are_dropped, directory_make,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(test_patient_readers_get_all, directory_make,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(test_stop_with_clients, directory_make, directory_remove),
        cmocka_unit_test(test_client_meets_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "certs/transport.h"

#include "tests/unit/test_certs.h"
#include "tests/unit/test_random.h"

#include <errno.h>
#include <sys/socket.h>

/* Two ends of a connection over a socket that takes little at a time. */
struct link {
    int sockets[2];
    struct transport_scratch scratches[2];
    struct transport *server;
    struct transport *client;
};

static void
link_open(struct link *l, struct tls_profile *server, struct tls_profile *client, const char *host)
{
    const int size = 4096;
    memset(l, 0, sizeof(*l));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, l->sockets), 0);
    for (int i = 0; i < 2; i++)
        setsockopt(l->sockets[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (server != NULL)
        l->server = transport_create(server, l->sockets[0], &l->scratches[0]);
    if (client != NULL)
        l->client = transport_create_client(client, l->sockets[1], host, &l->scratches[1]);
}

static void
link_close(struct link *l)
{
    transport_destroy(l->server);
    transport_destroy(l->client);
    for (int i = 0; i < 2; i++) {
        close(l->sockets[i]);
        transport_scratch_fini(&l->scratches[i]);
    }
}

/* Both shake hands until neither gets on. */
static void
link_shake(struct link *l, enum transport_result *server, enum transport_result *client)
{
    *server = TRANSPORT_WAITS;
    *client = TRANSPORT_WAITS;
    for (int i = 0; i < 20; i++) {
        if (*client == TRANSPORT_WAITS)
            *client = transport_handshake(l->client);
        if (*server == TRANSPORT_WAITS)
            *server = transport_handshake(l->server);
    }
}

static void
link_establish(struct link *l)
{
    enum transport_result server;
    enum transport_result client;
    link_shake(l, &server, &client);
    if (server != TRANSPORT_DONE || client != TRANSPORT_DONE)
        fail_msg("server: %s; client: %s", transport_problem(l->server),
                 transport_problem(l->client));
}

static struct tls_profile *
server_profile(const struct tls_settings *settings)
{
    char problem[512];
    struct tls_profile *p = tls_profile_create(settings, problem, sizeof(problem));
    if (p == NULL)
        fail_msg("%s", problem);
    return p;
}

static struct tls_profile *
client_profile(const struct shelf *s, const struct tls_certificate *certificate)
{
    char problem[512];
    struct tls_profile *p =
        tls_profile_create_client(shelf_ca(s), false, certificate, problem, sizeof(problem));
    if (p == NULL)
        fail_msg("%s", problem);
    return p;
}

/* Every octet of the stream follows from its place. */
static uint8_t
octet_at(uint64_t place)
{
    return (uint8_t)((place * 167 + (place >> 8) * 13 + (place >> 16)) & 0xFF);
}

struct stream {
    uint64_t sent;
    uint64_t received;
};

enum { SPACE = 300000, TOTAL = 4000000, VECTORS = 10 };

static void
stream_write(struct transport *t, struct stream *s, uint8_t *space, struct random *seed)
{
    struct iovec vectors[VECTORS];
    size_t used = 0;
    const int count = 1 + (int)(random_next(seed) % VECTORS);
    for (int i = 0; i < count; i++) {
        size_t size = random_next(seed) % (random_next(seed) % 4 == 0 ? 30000 : 400);
        vectors[i] = (struct iovec){ space + used, size };
        for (size_t j = 0; j < size; j++)
            space[used + j] = octet_at(s->sent + used + j);
        used += size;
    }
    const ssize_t sent = transport_write(t, vectors, count);
    if (sent < 0)
        assert_int_equal(errno, EAGAIN);
    else
        s->sent += (uint64_t)sent;
    memset(space, 0xAA, used); /* Nothing of it is kept. */
}

static void
stream_read(struct transport *t, struct stream *s, uint8_t *space, struct random *seed)
{
    const size_t first = random_next(seed) % 40000;
    const struct iovec vectors[2] = { { space, first }, { space + first, SPACE - first } };
    const ssize_t got = transport_read(t, vectors, 2);
    if (got < 0)
        assert_int_equal(errno, EAGAIN);
    for (ssize_t i = 0; i < got; i++) {
        if (space[i] != octet_at(s->received + (uint64_t)i))
            fail_msg("octet %llu", (unsigned long long)(s->received + (uint64_t)i));
    }
    if (got > 0)
        s->received += (uint64_t)got;
}

static void
test_octets_come_through(void **state)
{
    (void)state;
    static const enum tls_version versions[] = { TLS_VERSION_1_2, TLS_VERSION_1_3 };
    struct random seed = random_start(__func__);
    struct shelf s;
    uint8_t *space = malloc(SPACE);
    shelf_init(&s);
    struct tls_profile *client = client_profile(&s, NULL);
    for (size_t v = 0; v < COUNT(versions); v++) {
        struct tls_settings settings = settings_with(shelf_issue_server(&s, "a", "localhost"));
        settings.max_version = versions[v];
        struct tls_profile *server = server_profile(&settings);
        struct link l;
        struct stream up = { 0 };
        struct stream down = { 0 };
        link_open(&l, server, client, "localhost");
        link_establish(&l);
        assert_string_equal(transport_version(l.server), v == 0 ? "TLSv1.2" : "TLSv1.3");
        stream_read(l.server, &up, space, &seed);
        stream_read(l.client, &down, space, &seed);
        while (up.sent < TOTAL || up.received < up.sent || down.received < down.sent) {
            if (up.sent < TOTAL)
                stream_write(l.client, &up, space, &seed);
            if (up.sent < TOTAL)
                stream_write(l.server, &down, space, &seed);
            transport_flush(l.client);
            transport_flush(l.server);
            if (random_next(&seed) % 2 == 0)
                stream_read(l.server, &up, space, &seed);
            stream_read(l.client, &down, space, &seed);
        }
        link_close(&l);
        tls_profile_destroy(server);
    }
    tls_profile_destroy(client);
    free(space);
    shelf_fini(&s);
}

/* Octets that came with the last of the handshake are there at the first read. */
static void
test_nothing_is_hidden_after_the_handshake(void **state)
{
    (void)state;
    struct shelf s;
    struct link l;
    uint8_t *space = malloc(SPACE);
    shelf_init(&s);
    const struct tls_settings settings = settings_with(shelf_issue_server(&s, "a", "localhost"));
    struct tls_profile *server = server_profile(&settings);
    struct tls_profile *client = client_profile(&s, NULL);
    link_open(&l, server, client, "localhost");
    assert_int_equal(transport_handshake(l.client), TRANSPORT_WAITS);
    assert_int_equal(transport_handshake(l.server), TRANSPORT_WAITS);
    assert_int_equal(transport_handshake(l.client), TRANSPORT_DONE);
    struct iovec hello = { (char[]){ "hello" }, 5 };
    assert_int_equal(transport_write(l.client, &hello, 1), 5);
    assert_int_equal(transport_handshake(l.server), TRANSPORT_DONE);
    const struct iovec room = { space, SPACE };
    assert_int_equal(transport_read(l.server, &room, 1), 5);
    assert_memory_equal(space, "hello", 5);
    assert_int_equal(transport_read(l.server, &room, 1), -1);
    assert_int_equal(errno, EAGAIN);
    transport_shutdown(l.client);
    assert_int_equal(transport_read(l.server, &room, 1), 0);
    assert_int_equal(transport_read(l.server, &room, 1), 0);
    link_close(&l);
    tls_profile_destroy(server);
    tls_profile_destroy(client);
    free(space);
    shelf_fini(&s);
}

static void
test_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool is_right;
    } rows[] = { { "localhost", true },    { "127.0.0.1", true },      { "::1", true },
                 { "a.eu.example", true }, { "other.example", false }, { "127.0.0.2", false },
                 { "::2", false },         { "a.b.eu.example", false } };
    static const char *const hosts[] = { "localhost", "127.0.0.1", "::1", "*.eu.example" };
    struct shelf s;
    shelf_init(&s);
    const struct authority_subject subject = {
        .name = "server", .hosts = hosts, .host_count = COUNT(hosts), .period = period_of(-1, 1)
    };
    const struct tls_settings settings = settings_with(shelf_issue(&s, "server", &subject));
    struct tls_profile *server = server_profile(&settings);
    struct tls_profile *client = client_profile(&s, NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct link l;
        enum transport_result at_server;
        enum transport_result at_client;
        link_open(&l, server, client, rows[i].host);
        link_shake(&l, &at_server, &at_client);
        assert_int_equal(at_client == TRANSPORT_DONE, rows[i].is_right);
        if (at_client == TRANSPORT_FAILED) {
            assert_non_null(strstr(transport_problem(l.client), "is not accepted"));
            assert_int_equal(at_server, TRANSPORT_FAILED);
            assert_non_null(strstr(transport_problem(l.server), "our certificate"));
        }
        link_close(&l);
    }
    tls_profile_destroy(server);
    tls_profile_destroy(client);
    shelf_fini(&s);
}

static void
expect_identity(struct shelf *s, const struct authority_subject *subject, enum tls_identity kind,
                const char *expected)
{
    char name[64] = "";
    struct link l;
    const struct tls_certificate pair = shelf_issue(s, "client", subject);
    struct tls_settings settings = settings_with(shelf_issue_server(s, "server", "localhost"));
    settings.client_ca = shelf_ca(s);
    settings.verify = TLS_VERIFY_REQUIRED;
    settings.identity = kind;
    struct tls_profile *server = server_profile(&settings);
    struct tls_profile *client = client_profile(s, &pair);
    link_open(&l, server, client, "localhost");
    assert_false(transport_peer_identity(l.server, name, sizeof(name)));
    link_establish(&l);
    const bool is_known = transport_peer_identity(l.server, name, sizeof(name));
    assert_int_equal(is_known, expected != NULL);
    if (expected != NULL) {
        assert_string_equal(name, expected);
        assert_true(transport_peer_identity(l.server, name, strlen(expected) + 1));
        assert_false(transport_peer_identity(l.server, name, strlen(expected)));
    }
    link_close(&l);
    tls_profile_destroy(server);
    tls_profile_destroy(client);
}

static void
test_identities(void **state)
{
    (void)state;
    static const char *const hosts[] = { "10.0.0.1", "orders.example", "second.example" };
    struct shelf s;
    shelf_init(&s);
    struct authority_subject subject = { .name = "orders",
                                         .is_client = true,
                                         .period = period_of(-1, 1) };
    expect_identity(&s, &subject, TLS_IDENTITY_COMMON_NAME, "orders");
    expect_identity(&s, &subject, TLS_IDENTITY_DISTINGUISHED_NAME, "CN=orders");
    expect_identity(&s, &subject, TLS_IDENTITY_SAN_DNS, NULL);
    subject.hosts = hosts;
    subject.host_count = COUNT(hosts);
    expect_identity(&s, &subject, TLS_IDENTITY_SAN_DNS, "orders.example");
    expect_identity(&s, &subject, TLS_IDENTITY_SAN_EMAIL, NULL);
    expect_identity(&s, &subject, TLS_IDENTITY_SAN_URI, NULL);
    subject.name = "b\xc3\xbc"
                   "rger";
    expect_identity(&s, &subject, TLS_IDENTITY_COMMON_NAME,
                    "b\xc3\xbc"
                    "rger");
    expect_identity(&s, &subject, TLS_IDENTITY_DISTINGUISHED_NAME,
                    "CN=b\xc3\xbc"
                    "rger");
    subject.name = "a\nb";
    expect_identity(&s, &subject, TLS_IDENTITY_COMMON_NAME, NULL);
    shelf_fini(&s);
}

/* A server's certificate does not make a client, nor does one of a stranger, nor an old one. */
static void
test_clients_that_are_refused(void **state)
{
    (void)state;
    struct shelf s;
    struct shelf other;
    shelf_init(&s);
    shelf_init(&other);
    const struct authority_subject good = { .name = "a",
                                            .is_client = true,
                                            .period = period_of(-1, 1) };
    const struct authority_subject expired = { .name = "a",
                                               .is_client = true,
                                               .period = period_of(-2, -1) };
    const struct tls_certificate server_pair = shelf_issue_server(&s, "server", "localhost");
    const struct tls_certificate stranger = shelf_issue(&other, "stranger", &good);
    const struct tls_certificate old = shelf_issue(&s, "old", &expired);
    const struct {
        const struct tls_certificate *pair;
        const char *words;
    } rows[] = { { NULL, "shows no certificate" },
                 { &stranger, "/CN=a is not accepted" },
                 { &old, "has expired" },
                 { &server_pair, "not accepted" } };
    struct tls_settings settings = settings_with(server_pair);
    settings.client_ca = shelf_ca(&s);
    settings.verify = TLS_VERIFY_REQUIRED;
    struct tls_profile *server = server_profile(&settings);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tls_profile *client = client_profile(&s, rows[i].pair);
        struct link l;
        enum transport_result at_server;
        enum transport_result at_client;
        link_open(&l, server, client, "localhost");
        link_shake(&l, &at_server, &at_client);
        assert_int_equal(at_server, TRANSPORT_FAILED);
        if (strstr(transport_problem(l.server), rows[i].words) == NULL)
            fail_msg("%s", transport_problem(l.server));
        link_close(&l);
        tls_profile_destroy(client);
    }
    tls_profile_destroy(server);
    shelf_fini(&s);
    shelf_fini(&other);
}

/* Whatever comes instead of TLS ends it, with a reason, and never with more than that. */
static void
test_rubbish(void **state)
{
    (void)state;
    struct random seed = random_start(__func__);
    struct shelf s;
    shelf_init(&s);
    const struct tls_settings settings = settings_with(shelf_issue_server(&s, "a", "localhost"));
    struct tls_profile *server = server_profile(&settings);
    struct tls_profile *client = client_profile(&s, NULL);
    for (int round = 0; round < 400; round++) {
        uint8_t octets[2048];
        struct link l;
        link_open(&l, server, client, "localhost");
        transport_handshake(l.client);
        const ssize_t size = recv(l.sockets[0], octets, sizeof(octets), 0);
        assert_true(size > 0);
        for (uint64_t n = random_next(&seed) % 6; n > 0; n--)
            octets[random_next(&seed) % (uint64_t)size] = (uint8_t)random_next(&seed);
        const size_t cut = random_next(&seed) % ((size_t)size + 1);
        assert_int_equal(send(l.sockets[1], octets, cut, 0), cut);
        enum transport_result result = transport_handshake(l.server);
        assert_int_not_equal(result, TRANSPORT_DONE);
        shutdown(l.sockets[1], SHUT_WR);
        if (result == TRANSPORT_WAITS)
            result = transport_handshake(l.server);
        assert_int_equal(result, TRANSPORT_FAILED);
        assert_true(strlen(transport_problem(l.server)) > 10);
        assert_int_equal(transport_handshake(l.server), TRANSPORT_FAILED);
        link_close(&l);
    }
    tls_profile_destroy(server);
    tls_profile_destroy(client);
    shelf_fini(&s);
}

static void
test_wrong_protocols(void **state)
{
    (void)state;
    static const struct {
        const char *octets;
        const char *words;
    } rows[] = {
        { "AMQP", "plain AMQP on a port that speaks TLS" },
        { "GET / HTTP/1.1", "HTTP" },
        { "xyz", "does not speak TLS, its first octet is 0x78" },
    };
    struct shelf s;
    shelf_init(&s);
    const struct tls_settings settings = settings_with(shelf_issue_server(&s, "a", "localhost"));
    struct tls_profile *server = server_profile(&settings);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct link l;
        link_open(&l, server, NULL, NULL);
        assert_true(send(l.sockets[1], rows[i].octets, strlen(rows[i].octets), 0) > 0);
        assert_int_equal(transport_handshake(l.server), TRANSPORT_FAILED);
        if (strstr(transport_problem(l.server), rows[i].words) == NULL)
            fail_msg("%s", transport_problem(l.server));
        link_close(&l);
    }
    tls_profile_destroy(server);
    shelf_fini(&s);
}

/* A connection lives on with what it was made from. */
static void
test_a_reload_does_not_touch_who_is_there(void **state)
{
    (void)state;
    struct shelf s;
    char problem[512];
    struct link l;
    uint8_t *space = malloc(SPACE);
    shelf_init(&s);
    const struct tls_settings settings = settings_with(shelf_issue_server(&s, "a", "localhost"));
    const struct tls_settings changed = settings_with(shelf_issue_server(&s, "b", "localhost"));
    struct tls_profile *server = server_profile(&settings);
    struct tls_profile *client = client_profile(&s, NULL);
    link_open(&l, server, client, "localhost");
    assert_true(tls_profile_reload(server, &changed, problem, sizeof(problem)));
    link_establish(&l);
    tls_profile_destroy(server);
    tls_profile_destroy(client);
    struct iovec hello = { (char[]){ "hello" }, 5 };
    const struct iovec room = { space, SPACE };
    assert_int_equal(transport_write(l.server, &hello, 1), 5);
    ssize_t got = transport_read(l.client, &room, 1);
    if (got < 0)
        got = transport_read(l.client, &room, 1);
    assert_int_equal(got, 5);
    link_close(&l);
    free(space);
    shelf_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_octets_come_through),
        cmocka_unit_test(test_nothing_is_hidden_after_the_handshake),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_clients_that_are_refused),
        cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_wrong_protocols),
        cmocka_unit_test(test_a_reload_does_not_touch_who_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

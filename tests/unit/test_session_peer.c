#include "broker/session/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const struct {
    const char *address;
    const char *text;
    const char *network;
    bool is_loopback;
} rows[] = {
    { "127.0.0.1", "127.0.0.1:5000", "127.0.0.1", true },
    { "127.255.0.9", "127.255.0.9:5000", "127.255.0.9", true },
    { "128.0.0.1", "128.0.0.1:5000", "128.0.0.1", false },
    { "12.7.0.1", "12.7.0.1:5000", "12.7.0.1", false },
    { "0.0.0.0", "0.0.0.0:5000", "0.0.0.0", false },
    { "192.0.2.1", "192.0.2.1:5000", "192.0.2.1", false },
    { "::1", "[::1]:5000", "::", true },
    { "::", "[::]:5000", "::", false },
    { "::127.0.0.1", "[::127.0.0.1]:5000", "::", false },
    { "::1:1", "[::0.1.0.1]:5000", "::", false },
    { "::ffff:127.0.0.1", "127.0.0.1:5000", "127.0.0.1", true },
    { "::ffff:192.0.2.1", "192.0.2.1:5000", "192.0.2.1", false },
    { "64:ff9b::127.0.0.1", "[64:ff9b::7f00:1]:5000", "64:ff9b::", false },
    { "2001:db8:1:2:3:4:5:6", "[2001:db8:1:2:3:4:5:6]:5000", "2001:db8:1:2::", false },
    { "fe80::1", "[fe80::1]:5000", "fe80::", false },
};

static void
text_of(const char *address, char *out, size_t size)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(5000) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(5000) };
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        peer_address_text((const struct sockaddr *)&v4, out, size);
        return;
    }
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    peer_address_text((const struct sockaddr *)&v6, out, size);
}

static void
addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[80];
        char network[64];
        text_of(rows[i].address, text, sizeof(text));
        assert_string_equal(text, rows[i].text);
        peer_network(text, network, sizeof(network));
        assert_string_equal(network, rows[i].network);
        assert_int_equal(peer_is_loopback(text), rows[i].is_loopback);
    }
}

static void
sockets_in_files(void **state)
{
    (void)state;
    char network[64];
    assert_true(peer_is_loopback("unix:pid=17,uid=1000"));
    assert_true(peer_is_loopback("unix:"));
    peer_network("unix:pid=17,uid=1000", network, sizeof(network));
    assert_string_equal(network, "uid=1000");
    peer_network("unix:", network, sizeof(network));
    assert_string_equal(network, "unix");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(sockets_in_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

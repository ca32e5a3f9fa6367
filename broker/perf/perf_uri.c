#include "broker/perf/perf_uri.h"

#include "broker/base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

static int
hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20u;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes percent escapes into a terminated string. False if it does not fit or is malformed. */
static bool
uri_unescape(struct bytes part, char *out, size_t out_size)
{
    size_t used = 0;
    for (size_t i = 0; i < part.size; i++) {
        uint8_t c = part.data[i];
        if (c == '%') {
            const int high = i + 2 < part.size ? hex_value(part.data[i + 1]) : -1;
            const int low = i + 2 < part.size ? hex_value(part.data[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0)
                return false;
            c = (uint8_t)(high * 16 + low);
            i += 2;
        }
        if (used + 1 >= out_size)
            return false;
        out[used++] = (char)c;
    }
    out[used] = 0;
    return true;
}

/* Cuts `rest` at the first or last `mark`: what is before goes to `head`. False if there is none.
 */
static bool
uri_cut(struct bytes *rest, int mark, bool last, struct bytes *head)
{
    if (rest->size == 0)
        return false;
    const uint8_t *at =
        last ? memrchr(rest->data, mark, rest->size) : memchr(rest->data, mark, rest->size);
    if (at == NULL)
        return false;
    *head = bytes_of(rest->data, (size_t)(at - rest->data));
    *rest = bytes_of(at + 1, rest->size - head->size - 1);
    return true;
}

static bool
uri_parse_login(struct bytes login, struct perf_uri *out)
{
    struct bytes user = login;
    struct bytes password = login;
    if (!uri_cut(&password, ':', false, &user))
        return uri_unescape(login, out->user, sizeof(out->user));
    return uri_unescape(user, out->user, sizeof(out->user)) &&
           uri_unescape(password, out->password, sizeof(out->password));
}

static bool
uri_parse_address(struct bytes address, struct perf_uri *out)
{
    struct bytes host = address;
    struct bytes port = BYTES_NONE;
    if (address.size > 0 && address.data[0] == '[') {
        struct bytes rest = bytes_of(address.data + 1, address.size - 1);
        if (!uri_cut(&rest, ']', false, &host))
            return false;
        if (rest.size > 0 && rest.data[0] != ':')
            return false;
        if (rest.size > 0)
            port = bytes_of(rest.data + 1, rest.size - 1);
    } else {
        struct bytes rest = address;
        if (uri_cut(&rest, ':', true, &host))
            port = rest;
    }
    if (host.size > 0 && !uri_unescape(host, out->host, sizeof(out->host)))
        return false;
    if (port.size == 0)
        return true;
    if (!uri_unescape(port, out->port, sizeof(out->port)))
        return false;
    char *end = NULL;
    const unsigned long number = strtoul(out->port, &end, 10);
    return *end == 0 && number > 0 && number < 65536;
}

bool
perf_uri_parse(const char *text, struct perf_uri *out, struct perf_error *error)
{
    struct bytes rest = bytes_of_string(text);
    const bool tls = bytes_start_with(rest, BYTES_LITERAL("amqps://"));
    *out = (struct perf_uri){ tls, "guest", "guest", "localhost", "5672", "/" };
    if (tls)
        out->port[3] = '1';
    /* The text may hold a password, so it is not repeated. */
    if (!tls && !bytes_start_with(rest, BYTES_LITERAL("amqp://")))
        return perf_error_set(error, "URI: write it as amqp://user:password@host:port/vhost, or "
                                     "amqps:// for TLS");
    const size_t scheme_size = tls ? 8 : 7;
    rest = bytes_of(rest.data + scheme_size, rest.size - scheme_size);
    struct bytes address = rest;
    struct bytes vhost = rest;
    if (!uri_cut(&vhost, '/', false, &address))
        vhost = BYTES_NONE;
    struct bytes login;
    if (uri_cut(&address, '@', true, &login) && !uri_parse_login(login, out))
        return perf_error_set(error, "URI: user or password is malformed or too long");
    if (!uri_parse_address(address, out))
        return perf_error_set(error, "URI: host or port is malformed");
    if (vhost.size > 0 && !uri_unescape(vhost, out->vhost, sizeof(out->vhost)))
        return perf_error_set(error, "URI: vhost is malformed or too long");
    return true;
}

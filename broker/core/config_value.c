#include "broker/core/config_value.h"

#include "broker/base/fault.h"
#include "broker/base/panic.h"
#include "broker/core/memory_total.h"

#include <arpa/inet.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Reads leading digits and returns how many there were; a number too large becomes UINT64_MAX, so
 * that it fails the range and not the form. Leading zeros are refused: some would read octal. */
static size_t
digits_read(struct bytes text, uint64_t *value)
{
    size_t i = 0;
    *value = 0;
    for (; i < text.size && is_digit(text.data[i]); i++) {
        const uint64_t digit = (uint64_t)(text.data[i] - '0');
        *value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *value * 10 + digit;
    }
    return i > 1 && text.data[0] == '0' ? 0 : i;
}

/* Digits and, with or without a space between, one of the units. */
static bool
quantity_read(struct bytes text, const struct unit *units, size_t unit_count, uint64_t *value)
{
    const size_t digits = digits_read(text, value);
    if (digits == 0)
        return false;
    struct bytes rest = bytes_of(text.data + digits, text.size - digits);
    if (rest.size > 1 && rest.data[0] == ' ')
        rest = bytes_of(rest.data + 1, rest.size - 1);
    for (size_t i = 0; i < unit_count; i++) {
        if (!bytes_equal(rest, bytes_of_string(units[i].name)))
            continue;
        const uint64_t factor = units[i].factor;
        *value = *value > UINT64_MAX / factor ? UINT64_MAX : *value * factor;
        return true;
    }
    return false;
}

#define QUANTITY_READ(text, units, value)                                                          \
    quantity_read(text, units, sizeof(units) / sizeof((units)[0]), value)

static bool
count_read(struct bytes text, uint64_t *value)
{
    return text.size > 0 && digits_read(text, value) == text.size;
}

static bool
size_read(struct bytes text, uint64_t *value)
{
    static const struct unit units[] = {
        { "", 1 },
        { "B", 1 },
        { "KiB", 1ull << 10 },
        { "MiB", 1ull << 20 },
        { "GiB", 1ull << 30 },
        { "TiB", 1ull << 40 },
        { "KB", 1000ull },
        { "MB", 1000ull * 1000 },
        { "GB", 1000ull * 1000 * 1000 },
        { "TB", 1000ull * 1000 * 1000 * 1000 },
    };
    return QUANTITY_READ(text, units, value);
}

static bool
memory_read(struct bytes text, uint64_t *value)
{
    static const struct unit percent[] = { { "%", 1 } };
    if (!QUANTITY_READ(text, percent, value))
        return size_read(text, value);
    if (*value == 0 || *value > 100)
        return false;
    const uint64_t total = memory_total_bytes();
    *value = total / 100 * *value + total % 100 * *value / 100;
    return true;
}

static bool
milliseconds_read(struct bytes text, uint64_t *value)
{
    static const struct unit units[] = {
        { "ms", 1 },
        { "s", 1000 },
        { "m", 60ull * 1000 },
        { "min", 60ull * 1000 },
        { "h", 60ull * 60 * 1000 },
        { "d", 24ull * 60 * 60 * 1000 },
    };
    if (bytes_equal(text, BYTES_LITERAL("0"))) {
        *value = 0;
        return true;
    }
    return QUANTITY_READ(text, units, value);
}

static bool
seconds_read(struct bytes text, uint64_t *value)
{
    if (!milliseconds_read(text, value))
        return false;
    if (*value != UINT64_MAX && *value % 1000 != 0)
        return false;
    *value /= 1000;
    return true;
}

static bool
boolean_store(struct bytes text, void *member, size_t size)
{
    ASSERT(size == sizeof(bool));
    const bool value = bytes_equal(text, BYTES_LITERAL("true"));
    if (!value && !bytes_equal(text, BYTES_LITERAL("false")))
        return false;
    memcpy(member, &value, sizeof(value));
    return true;
}

static bool
text_store(struct bytes text, void *member, size_t size)
{
    if (text.size >= size || !bytes_are_utf8(text))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7F)
            return false;
    }
    memset(member, 0, size);
    if (text.size > 0)
        memcpy(member, text.data, text.size);
    return true;
}

static bool
fault_store(struct bytes text, void *member, size_t size)
{
    struct fault fault;
    return (text.size == 0 || fault_parse(text, &fault)) && text_store(text, member, size);
}

static bool
version_store(struct bytes text, void *member, size_t size)
{
    struct bytes rest = text;
    for (int part = 0; part < 3; part++) {
        uint64_t number;
        const size_t digits = digits_read(rest, &number);
        if (digits == 0 || (digits < rest.size) != (part < 2))
            return false;
        if (part < 2 && rest.data[digits] != '.')
            return false;
        const size_t used = digits + (part < 2);
        rest = bytes_of(rest.data + used, rest.size - used);
    }
    return text_store(text, member, size);
}

/* Stores the position of the name; the member is an enum whose values count from 0. */
static bool
choice_store(struct bytes text, const char *const *names, size_t count, void *member, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (!bytes_equal(text, bytes_of_string(names[i])))
            continue;
        const unsigned value = (unsigned)i;
        ASSERT(size == sizeof(value));
        memcpy(member, &value, sizeof(value));
        return true;
    }
    return false;
}

static bool
log_level_store(struct bytes text, void *member, size_t size)
{
    static const char *const names[] = {
        [LOG_LEVEL_DEBUG] = "debug",
        [LOG_LEVEL_INFO] = "info",
        [LOG_LEVEL_WARNING] = "warning",
        [LOG_LEVEL_ERROR] = "error",
    };
    return choice_store(text, names, sizeof(names) / sizeof(names[0]), member, size);
}

static bool
log_format_store(struct bytes text, void *member, size_t size)
{
    static const char *const names[] = {
        [LOG_FORMAT_LOGFMT] = "logfmt",
        [LOG_FORMAT_JSON] = "json",
        [LOG_FORMAT_TEXT] = "text",
    };
    return choice_store(text, names, sizeof(names) / sizeof(names[0]), member, size);
}

static bool
protocol_store(struct bytes text, void *member, size_t size)
{
    static const char *const names[] = {
        [CONFIG_PROTOCOL_AMQP] = "amqp",
        [CONFIG_PROTOCOL_AMQPS] = "amqps",
        [CONFIG_PROTOCOL_HTTP] = "http",
    };
    return choice_store(text, names, sizeof(names) / sizeof(names[0]), member, size);
}

static bool
verify_store(struct bytes text, void *member, size_t size)
{
    static const char *const names[] = {
        [CONFIG_VERIFY_NONE] = "none",
        [CONFIG_VERIFY_OPTIONAL] = "optional",
        [CONFIG_VERIFY_REQUIRED] = "required",
    };
    return choice_store(text, names, sizeof(names) / sizeof(names[0]), member, size);
}

static bool
tls_version_store(struct bytes text, void *member, size_t size)
{
    static const char *const names[] = {
        [CONFIG_TLS_1_2] = "1.2",
        [CONFIG_TLS_1_3] = "1.3",
    };
    return choice_store(text, names, sizeof(names) / sizeof(names[0]), member, size);
}

static bool
login_from_store(struct bytes text, void *member, size_t size)
{
    static const char *const names[] = {
        [CONFIG_LOGIN_COMMON_NAME] = "common_name",
        [CONFIG_LOGIN_DISTINGUISHED_NAME] = "distinguished_name",
        [CONFIG_LOGIN_SAN_DNS] = "san_dns",
        [CONFIG_LOGIN_SAN_EMAIL] = "san_email",
        [CONFIG_LOGIN_SAN_URI] = "san_uri",
    };
    return choice_store(text, names, sizeof(names) / sizeof(names[0]), member, size);
}

/* A path, or the lines of a PEM file. */
static bool
pem_store(struct bytes text, void *member, size_t size)
{
    if (!bytes_start_with(text, BYTES_LITERAL("-----BEGIN ")))
        return text_store(text, member, size);
    if (text.size >= size || memchr(text.data, 0, text.size) != NULL)
        return false;
    memset(member, 0, size);
    memcpy(member, text.data, text.size);
    return true;
}

static struct bytes
trim(struct bytes text)
{
    while (text.size > 0 && text.data[0] == ' ')
        text = bytes_of(text.data + 1, text.size - 1);
    while (text.size > 0 && text.data[text.size - 1] == ' ')
        text.size--;
    return text;
}

/* Words with commas between, as a set. */
static bool
serve_store(struct bytes text, void *member, size_t size)
{
    unsigned set = 0;
    while (text.size > 0) {
        const uint8_t *comma = memchr(text.data, ',', text.size);
        const size_t word_size = comma == NULL ? text.size : (size_t)(comma - text.data);
        const struct bytes word = trim(bytes_of(text.data, word_size));
        if (bytes_equal(word, BYTES_LITERAL("metrics")))
            set |= CONFIG_SERVE_METRICS;
        else if (bytes_equal(word, BYTES_LITERAL("health")))
            set |= CONFIG_SERVE_HEALTH;
        else
            return false;
        const size_t used = word_size + (comma != NULL);
        text = bytes_of(text.data + used, text.size - used);
    }
    ASSERT(size == sizeof(set));
    memcpy(member, &set, sizeof(set));
    return set != 0;
}

/* Octal, as everybody writes it. */
static bool
mode_store(struct bytes text, void *member, size_t size)
{
    uint32_t mode = 0;
    if (text.size < 3 || text.size > 4 || (text.size == 4 && text.data[0] != '0'))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '7')
            return false;
        mode = mode * 8 + (uint32_t)(text.data[i] - '0');
    }
    ASSERT(size == sizeof(mode));
    memcpy(member, &mode, sizeof(mode));
    return true;
}

/* Splits "HOST:PORT" at the last colon; the brackets of "[HOST]:PORT" stay on. */
static bool
address_split(struct bytes text, struct bytes *host, struct bytes *port)
{
    size_t colon = text.size;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;
    *host = bytes_of(text.data, colon - 1);
    *port = bytes_of(text.data + colon, text.size - colon);
    return true;
}

/* True for a numeric address. Brackets belong around IPv6 and nothing else. */
static bool
host_store(struct bytes host, char *out, size_t size)
{
    int family = AF_INET;
    uint8_t binary[sizeof(struct in6_addr)];
    if (host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
        family = AF_INET6;
        host = bytes_of(host.data + 1, host.size - 2);
    } else if (bytes_equal(host, BYTES_LITERAL("localhost"))) {
        host = BYTES_LITERAL("127.0.0.1");
    }
    return text_store(host, out, size) && inet_pton(family, out, binary) == 1;
}

/* What follows "unix:". Relative paths would depend on where the broker was started. */
static bool
path_store(struct bytes path, struct config_address *address)
{
    address->is_path = true;
    return path.size > 1 && path.data[0] == '/' &&
           text_store(path, address->host, sizeof(address->host));
}

static bool
address_store(struct bytes text, void *member, size_t size)
{
    ASSERT(size == sizeof(struct config_address));
    static const size_t scheme_size = sizeof("unix:") - 1;
    struct config_address address = { 0 };
    struct bytes host;
    struct bytes port;
    uint64_t number;
    if (bytes_start_with(text, BYTES_LITERAL("unix:"))) {
        const struct bytes path = bytes_of(text.data + scheme_size, text.size - scheme_size);
        if (!path_store(path, &address))
            return false;
        memcpy(member, &address, sizeof(address));
        return true;
    }
    if (!address_split(text, &host, &port) || !count_read(port, &number) || number > UINT16_MAX)
        return false;
    if (!host_store(host, address.host, sizeof(address.host)))
        return false;
    address.port = (uint16_t)number;
    memcpy(member, &address, sizeof(address));
    return true;
}

#define DURATION_HINT "write a number and a unit: 500ms, 30s, 10min, 2h or 7d"

const struct config_kind config_kind_text = {
    .what = "text without control characters",
    .store = text_store,
};
const struct config_kind config_kind_fault = {
    .what = "a point and a count, as in commit.written:3",
    .hint = fault_names,
    .store = fault_store,
};
const struct config_kind config_kind_version = {
    .what = "a version",
    .hint = "write three numbers: 3.12.0",
    .store = version_store,
};
const struct config_kind config_kind_count = {
    .what = "a whole number",
    .hint = "write decimal digits without sign, leading zeros or separators",
    .number = count_read,
};
const struct config_kind config_kind_size = {
    .what = "a size",
    .hint = "write 2GiB (1024-based) or 2GB (1000-based)",
    .number = size_read,
};
const struct config_kind config_kind_memory = {
    .what = "a size or a percentage of the memory",
    .hint = "write 4GiB or 60%",
    .number = memory_read,
};
const struct config_kind config_kind_milliseconds = {
    .what = "a duration",
    .hint = DURATION_HINT,
    .number = milliseconds_read,
};
const struct config_kind config_kind_seconds = {
    .what = "a duration in whole seconds",
    .hint = "write a number and a unit: 30s, 10min, 2h or 7d",
    .number = seconds_read,
};
const struct config_kind config_kind_boolean = {
    .what = "true or false",
    .hint = "yes, no, on and off are texts here",
    .store = boolean_store,
};
const struct config_kind config_kind_log_level = {
    .what = "a log level",
    .hint = "write one of debug, info, warning, error",
    .store = log_level_store,
};
const struct config_kind config_kind_log_format = {
    .what = "a format of the log",
    .hint = "write one of logfmt, json, text",
    .store = log_format_store,
};
const struct config_kind config_kind_protocol = {
    .what = "a protocol this version speaks",
    .hint = "write amqp, amqps or http",
    .store = protocol_store,
};
const struct config_kind config_kind_address = {
    .what = "a numeric address and a port, or unix: and a path",
    .hint = "write \"127.0.0.1:5672\", \"0.0.0.0:5672\", \"[::]:5672\" or "
            "unix:/run/railmq/amqp.sock",
    .store = address_store,
};
const struct config_kind config_kind_serve = {
    .what = "a list of what is served",
    .hint = "write [metrics, health], or one of them",
    .store = serve_store,
    .takes_list = true,
};
const struct config_kind config_kind_mode = {
    .what = "the mode of a file",
    .hint = "write three octal digits after a 0, as in \"0660\"",
    .store = mode_store,
};
const struct config_kind config_kind_pem = {
    .what = "a path, or the text of a PEM file",
    .store = pem_store,
};
const struct config_kind config_kind_verify = {
    .what = "none, optional or required",
    .store = verify_store,
};
const struct config_kind config_kind_tls_version = {
    .what = "a version of TLS",
    .hint = "write \"1.2\" or \"1.3\"; older ones are broken",
    .store = tls_version_store,
};
const struct config_kind config_kind_login_from = {
    .what = "a part of a certificate",
    .hint = "write common_name, distinguished_name, san_dns, san_email or san_uri",
    .store = login_from_store,
};

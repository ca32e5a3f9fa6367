#include "broker/cli/certs.h"

#include "broker/base/clock.h"
#include "broker/cli/manual.h"
#include "broker/cli/options.h"
#include "broker/config/text.h"
#include "broker/core/config_value.h"
#include "certs/authority.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAYS_DEFAULT 365
#define DAYS_MAX 3650
#define HOSTS_MAX 32
#define DAY_S (24 * 60 * 60)
#define HOUR_S (60 * 60)

static const struct option init_options[] = {
    { .name = "client-name",
      .argument = "NAME",
      .doc = "Common name of the client's certificate: the user it logs in as with the mechanism "
             "EXTERNAL. Default: client." },
    { .name = "host",
      .argument = "NAME",
      .repeats = true,
      .doc = "Another name or address under which clients reach the server, besides localhost, "
             "127.0.0.1, ::1 and this host's name." },
    { .name = "days",
      .argument = "N",
      .doc = "Days until all of them expire, at most 3650. Default: 365." },
    { .name = "force", .doc = "Replace files that are there." },
};

static const struct command init_command = {
    .name = "railmq certs init",
    .arguments = "DIR",
    .argument_min = 1,
    .argument_max = 1,
    .doc =
        "Make certificates to begin with, in DIR: ca.pem, server.pem, server-key.pem, client.pem "
        "and client-key.pem. Clients need ca.pem to know the server; the server needs it to "
        "know clients that show client.pem. The key of the authority itself is not kept, so "
        "nobody can make more certificates in its name: run the command again for new ones, "
        "with --force, and send the broker SIGHUP. For production take certificates of an "
        "authority that you trust.",
    .options = init_options,
    .option_count = sizeof(init_options) / sizeof(init_options[0]),
};

struct file {
    const char *name;
    mode_t mode;
    struct buf text;
};

/* In the order in which they are written. */
enum {
    FILE_SERVER_KEY,
    FILE_CLIENT_KEY,
    FILE_SERVER,
    FILE_CLIENT,
    FILE_CA,
    FILE_COUNT,
};

struct init {
    const char *directory;
    const char *client_name;
    const char *hosts[HOSTS_MAX + 4];
    size_t host_count;
    char own_name[256];
    uint64_t days;
    bool replaces;
    struct file files[FILE_COUNT];
    struct buf *report;
};

static int fail(struct init *i, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int
fail(struct init *i, const char *format, ...)
{
    char text[4600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buf_printf(i->report, "%s: ", init_command.name);
    buf_append(i->report, text, strlen(text));
    buf_append(i->report, "\n", 1);
    return EXIT_FAILED;
}

/* What a host name, or an address, may consist of. */
static bool
is_host(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  ".-:*_";
    const size_t size = strlen(name);
    return size > 0 && size < 254 && strspn(name, allowed) == size;
}

static void
add_host(struct init *i, const char *name)
{
    for (size_t j = 0; j < i->host_count; j++) {
        if (strcmp(i->hosts[j], name) == 0)
            return;
    }
    i->hosts[i->host_count++] = name;
}

static void
add_own_names(struct init *i)
{
    add_host(i, "localhost");
    add_host(i, "127.0.0.1");
    add_host(i, "::1");
    if (gethostname(i->own_name, sizeof(i->own_name) - 1) == 0 && is_host(i->own_name))
        add_host(i, i->own_name);
}

static int
wrong(struct init *i, const char *option, const char *what, const char *got)
{
    buf_printf(i->report, "%s: --%s must be %s, got ", init_command.name, option, what);
    text_quote(i->report, bytes_of_string(got));
    buf_append(i->report, "\n", 1);
    return EXIT_USAGE;
}

static int
read_options(struct init *i, const struct options *options)
{
    const char *days = options_get(options, "days");
    const char *client = options_get(options, "client-name");
    i->directory = options->arguments[0];
    i->client_name = client != NULL ? client : "client";
    i->days = DAYS_DEFAULT;
    i->replaces = options_has(options, "force");
    if (i->client_name[0] == 0 || strlen(i->client_name) > 64)
        return wrong(i, "client-name", "a name of 1 to 64 bytes", i->client_name);
    if (days != NULL && (!config_kind_count.number(bytes_of_string(days), &i->days) ||
                         i->days == 0 || i->days > DAYS_MAX))
        return wrong(i, "days", "a whole number from 1 to 3650", days);
    add_own_names(i);
    for (size_t j = 0; j < options->value_count; j++) {
        const struct option_value *value = &options->values[j];
        if (strcmp(value->option->name, "host") != 0)
            continue;
        if (!is_host(value->text) || i->host_count >= HOSTS_MAX)
            return wrong(i, "host", "one of at most 28 names or addresses", value->text);
        add_host(i, value->text);
    }
    return EXIT_FINE;
}

static bool
make_all(struct init *i)
{
    const int64_t now = (int64_t)(clock_wall_us() / 1000000);
    /* Clocks of other machines may be a little behind. */
    const struct authority_period period = { now - HOUR_S, now + (int64_t)i->days * DAY_S };
    const struct authority_subject server = {
        .name = "localhost", .hosts = i->hosts, .host_count = i->host_count, .period = period
    };
    const struct authority_subject client = { .name = i->client_name,
                                              .is_client = true,
                                              .period = period };
    struct file *f = i->files;
    struct authority *a = authority_create("Rail development authority", &period);
    if (a == NULL)
        return false;
    authority_certificate(a, &f[FILE_CA].text);
    const bool made = authority_issue(a, &server, &f[FILE_SERVER].text, &f[FILE_SERVER_KEY].text) &&
                      authority_issue(a, &client, &f[FILE_CLIENT].text, &f[FILE_CLIENT_KEY].text);
    authority_destroy(a);
    return made;
}

static bool
write_all(int fd, struct bytes text)
{
    while (text.size > 0) {
        const ssize_t n = write(fd, text.data, text.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        text = bytes_of(text.data + n, text.size - (size_t)n);
    }
    return fsync(fd) == 0;
}

/* The name comes last, so that a broker that reads meanwhile finds a whole file. */
static bool
write_file(const struct init *i, const struct file *f)
{
    char temporary[4200];
    char path[4200];
    snprintf(path, sizeof(path), "%s/%s", i->directory, f->name);
    snprintf(temporary, sizeof(temporary), "%s/.%s.new", i->directory, f->name);
    unlink(temporary);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, f->mode);
    if (fd < 0)
        return false;
    const bool written = fchmod(fd, f->mode) == 0 && write_all(fd, buf_bytes(&f->text));
    const int why = errno;
    close(fd);
    if (written && rename(temporary, path) == 0)
        return true;
    errno = written ? errno : why;
    unlink(temporary);
    return false;
}

static int
write_files(struct init *i)
{
    if (strlen(i->directory) > 4000)
        return fail(i, "the path of the directory is too long");
    if (mkdir(i->directory, 0755) != 0 && errno != EEXIST)
        return fail(i, "cannot create %s: %s", i->directory, strerror(errno));
    for (int j = 0; j < FILE_COUNT && !i->replaces; j++) {
        char path[4200];
        snprintf(path, sizeof(path), "%s/%s", i->directory, i->files[j].name);
        if (access(path, F_OK) == 0)
            return fail(i, "%s is there already; --force replaces all of them", path);
    }
    if (!make_all(i))
        return fail(i, "the certificates cannot be made; is --client-name UTF-8?");
    for (int j = 0; j < FILE_COUNT; j++) {
        if (!write_file(i, &i->files[j]))
            return fail(i, "cannot write %s/%s: %s", i->directory, i->files[j].name,
                        strerror(errno));
    }
    return EXIT_FINE;
}

static void
tell(const struct init *i)
{
    printf("Made certificates in %s, good for %llu days:\n"
           "  server.pem, server-key.pem  for the broker\n"
           "  client.pem, client-key.pem  for a client called \"%s\"\n"
           "  ca.pem                      for both, to know each other by\n"
           "Start a broker with them:\n"
           "  railmq serve --listen-tls 127.0.0.1:5671 --tls-dir %s\n",
           i->directory, (unsigned long long)i->days, i->client_name, i->directory);
}

static int
init_run(const struct options *options, struct buf *report)
{
    struct init i = {
        .report = report,
        .files = { [FILE_SERVER_KEY] = { .name = "server-key.pem", .mode = 0600 },
                   [FILE_CLIENT_KEY] = { .name = "client-key.pem", .mode = 0600 },
                   [FILE_SERVER] = { .name = "server.pem", .mode = 0644 },
                   [FILE_CLIENT] = { .name = "client.pem", .mode = 0644 },
                   [FILE_CA] = { .name = "ca.pem", .mode = 0644 } },
    };
    int status = read_options(&i, options);
    if (status == EXIT_FINE)
        status = write_files(&i);
    if (status == EXIT_FINE)
        tell(&i);
    for (int j = 0; j < FILE_COUNT; j++)
        buf_fini(&i.files[j].text);
    return status;
}

static int
explain(FILE *stream)
{
    struct buf out = { 0 };
    if (help_form() != HELP_TEXT) {
        manual_command(&init_command, &out);
        fwrite(out.data, 1, out.size, stream);
        buf_fini(&out);
        return EXIT_FINE;
    }
    fprintf(stream, "Usage: railmq certs init [OPTION]... DIR\n\n"
                    "Commands:\n"
                    "  init     Make certificates for TLS to begin with.\n\n"
                    "railmq certs init --help lists the options.\n");
    return stream == stdout ? EXIT_FINE : EXIT_USAGE;
}

int
certs_main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return explain(stdout);
    if (strcmp(argv[1], "init") != 0)
        return explain(stderr);
    struct options options;
    struct buf report = { 0 };
    struct buf help = { 0 };
    int status = EXIT_FINE;
    const enum options_result result =
        options_parse(&options, &init_command, argc - 1, argv + 1, &report);
    if (result == OPTIONS_HELP)
        options_help(&init_command, &help);
    else
        status = result == OPTIONS_WRONG ? EXIT_USAGE : init_run(&options, &report);
    if (help.size > 0)
        fwrite(help.data, 1, help.size, stdout);
    if (report.size > 0)
        fwrite(report.data, 1, report.size, stderr);
    buf_fini(&help);
    buf_fini(&report);
    options_fini(&options);
    return status;
}

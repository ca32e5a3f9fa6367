#include "broker/cli/hash_password.h"

#include "broker/auth/password.h"
#include "broker/cli/options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

static const struct option options_table[] = {
    { .letter = 'a',
      .name = "algorithm",
      .argument = "NAME",
      .doc = "scrypt, or sha256 or sha512 as RabbitMQ has them. Default: scrypt." },
};

static const struct command command = {
    .name = "railmq hash-password",
    .arguments = "",
    .doc = "Read a password from the terminal, without showing it, or the first line of standard "
           "input, and print its hash: the value of password_hash of a user in the configuration "
           "file.",
    .options = options_table,
    .option_count = sizeof(options_table) / sizeof(options_table[0]),
};

/* The first line, without its end. False if there is none. */
static bool
read_line(char *line, size_t size)
{
    if (fgets(line, (int)size, stdin) == NULL)
        return false;
    line[strcspn(line, "\r\n")] = 0;
    return true;
}

/* What ends or stops the command while the terminal does not echo, and the settings of the terminal
 * with and without. They are set before the handler is, and only it looks at them then. */
static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))
static struct termios echoing;
static struct termios hidden;

/* Whoever sits there gets the terminal back as it was, then the signal does what it always does.
 * Only SIGTSTP leaves something to do after that: somebody has continued the command. */
static void
on_signal(int number)
{
    const int kept_errno = errno;
    struct sigaction usual = { .sa_handler = SIG_DFL };
    struct sigaction ours;
    sigset_t set;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &echoing);
    sigaction(number, &usual, &ours);
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    sigaction(number, &ours, NULL);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    errno = kept_errno;
}

/* Those that are ignored stay ignored. */
static void
signals_catch(struct sigaction before[SIGNALS])
{
    const struct sigaction catching = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    for (size_t i = 0; i < SIGNALS; i++) {
        sigaction(signals[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN)
            sigaction(signals[i], &catching, NULL);
    }
}

/* None may come between: the handler would hide again what is typed after it. */
static void
signals_release(const struct sigaction before[SIGNALS])
{
    sigset_t set;
    sigset_t others;
    sigemptyset(&set);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, &others);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &echoing);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &before[i], NULL);
    sigprocmask(SIG_SETMASK, &others, NULL);
}

static bool
read_hidden(const char *prompt, char *line, size_t size)
{
    struct sigaction before[SIGNALS];
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &echoing) != 0)
        return read_line(line, size);
    hidden = echoing;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    fprintf(stderr, "%s", prompt);
    signals_catch(before);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    const bool is_read = read_line(line, size);
    signals_release(before);
    fprintf(stderr, "\n");
    return is_read;
}

static int
fail(const char *what)
{
    fprintf(stderr, "railmq: %s\n", what);
    return EXIT_FAILED;
}

static int
hash(enum password_kind kind)
{
    char password[PASSWORD_BYTES_MAX + 2];
    char again[PASSWORD_BYTES_MAX + 2];
    char text[PASSWORD_TEXT_SIZE];
    if (!read_hidden("Password: ", password, sizeof(password)) || password[0] == 0)
        return fail("no password was given; type one, or pipe it in");
    if (strlen(password) > PASSWORD_BYTES_MAX)
        return fail("the password is longer than 1024 octets");
    if (isatty(STDIN_FILENO) &&
        (!read_hidden("Again: ", again, sizeof(again)) || strcmp(password, again) != 0))
        return fail("the two passwords differ; nothing was hashed");
    if (!password_hash(kind, bytes_of_string(password), text))
        return fail("the password cannot be hashed; is there memory left?");
    printf("%s\n", text);
    return EXIT_FINE;
}

int
hash_password_main(int argc, char **argv)
{
    struct options o;
    struct buf text = { 0 };
    enum password_kind kind = PASSWORD_SCRYPT;
    int status = EXIT_USAGE;
    const enum options_result result = options_parse(&o, &command, argc, argv, &text);
    const char *algorithm = result == OPTIONS_FINE ? options_get(&o, "algorithm") : NULL;
    if (result == OPTIONS_HELP) {
        options_help(&command, &text);
        printf("%.*s", BYTES_ARGS(buf_bytes(&text)));
        status = EXIT_FINE;
    } else if (result == OPTIONS_WRONG) {
        fprintf(stderr, "%.*s\n", BYTES_ARGS(buf_bytes(&text)));
    } else if (algorithm != NULL && !password_kind_find(bytes_of_string(algorithm), &kind)) {
        fprintf(stderr, "railmq: there is no algorithm \"%s\"; use scrypt, sha256 or sha512\n",
                algorithm);
    } else {
        status = hash(kind);
    }
    options_fini(&o);
    buf_fini(&text);
    return status;
}

#include "broker/session/serve.h"

#include "broker/admin/notify.h"
#include "broker/base/fault.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/progress.h"
#include "broker/session/resources.h"
#include "broker/session/server.h"
#include "broker/session/server_tls.h"
#include "broker/session/server_topology.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the service manager gives us each time that something has moved on. */
#define EXTEND_US UINT64_C(60000000)

static int
refuse_to_start(const char *problem)
{
    log_stop();
    fprintf(stderr, "railmq: cannot start: %s\n", problem);
    return 1;
}

/* Makes the directory, and its parents, and tries whether it can be written to. */
static bool
prepare_data_dir(const char *path, char *problem, size_t problem_size)
{
    char part[4096];
    snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(part, 0750); /* What goes wrong here goes wrong below, too. */
        *slash = '/';
    }
    if (mkdir(path, 0750) != 0 && errno != EEXIST) {
        snprintf(problem, problem_size,
                 "cannot create the data directory %s: %s; choose another with --data-dir DIR",
                 path, strerror(errno));
        return false;
    }
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
        errno = ENOTDIR;
    else if (access(path, R_OK | W_OK | X_OK) == 0)
        return true;
    snprintf(problem, problem_size,
             "the data directory %s cannot be used: %s; choose another with --data-dir DIR", path,
             strerror(errno));
    return false;
}

/* As many connections as the hard limit lets us have. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* The thread takes over signals that are blocked now. */
static bool
open_log(const struct config_server *config, char *problem, size_t problem_size)
{
    log_set_level(config->log_level);
    log_set_format(config->log_format);
    if (strcmp(config->log_output, "stderr") != 0 && !log_open(config->log_output)) {
        snprintf(problem, problem_size,
                 "cannot open the log %s: %s; choose another with "
                 "--log-output FILE",
                 config->log_output, strerror(errno));
        return false;
    }
    if (!log_start())
        log_warning("log.slow",
                    "msg=\"there is no thread for the log: workers write it themselves\"");
    return true;
}

static void
log_listener(const struct listener *l)
{
    const char *protocol = l->tls != NULL ? "amqps" : "amqp";
    if (l->config->bind.is_path)
        log_info("server.listen", "protocol=%s path=%s", protocol, l->config->bind.host);
    else
        log_info("server.listen", "protocol=%s host=%s port=%u", protocol, l->config->bind.host,
                 listener_port(l));
}

static void
log_ready(struct server *s, const struct config *config)
{
    for (size_t i = 0; i < s->listener_count; i++)
        log_listener(&s->listeners[i]);
    log_info("server.start", "version=%s workers=%u data_dir=%s msg=\"Server startup complete\"",
             RAIL_VERSION, s->worker_count, config->server.data_dir);
    resources_forget_start();
}

/* Without exit(): a database that has failed is not closed, and its threads go on, on a full disk
 * to see whether there is room again. What exit() takes down must not go from under them. */
static noreturn void
end_at_once(void)
{
    log_error("server.stopped",
              "msg=\"stopped because the store has failed; see store.write above, "
              "mend the disk, start again: what was confirmed is there\"");
    log_stop();
    _exit(1);
}

static void
notify_ready(void)
{
    notify("READY=1\nSTATUS=Serving");
}

static void
reload(struct server *s)
{
    notify_reloading();
    server_reload(s);
    notify_ready();
}

/* The manager waits on as long as there is progress. */
static void
notify_progress(const char *what, uint64_t done, uint64_t total)
{
    notify("STATUS=Starting: %s, %llu of about %llu\nEXTEND_TIMEOUT_USEC=%llu", what,
           (unsigned long long)done, (unsigned long long)(total > done ? total : done),
           (unsigned long long)EXTEND_US);
}

/* Until a signal that ends the broker; its number. Once a day certificates are looked at. */
static int
await_stop(struct server *s, const sigset_t *signals)
{
    const struct timespec day = { .tv_sec = 24 * 60 * 60 };
    for (;;) {
        const int number = sigtimedwait(signals, NULL, &day);
        if (number == SIGHUP)
            reload(s);
        else if (number == SIGUSR1)
            log_reopen();
        else if (number > 0)
            return number;
        else if (errno == EAGAIN)
            server_tls_log_expiry(s);
    }
}

int
serve_run(const struct serve_setup *setup)
{
    const struct config *config = &setup->config;
    char problem[4400];
    struct fault fault;
    notify_init();
    progress_watch(notify_progress);
    if (fault_parse(bytes_of_string(config->testing.fault), &fault))
        fault_arm(&fault);
    if (!prepare_data_dir(config->server.data_dir, problem, sizeof(problem)))
        return refuse_to_start(problem);
    raise_descriptor_limit();

    /* Blocked in all threads; this one takes them out of the queue. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    sigdelset(&signals, SIGPIPE);

    if (!open_log(&config->server, problem, sizeof(problem)))
        return refuse_to_start(problem);
    struct server *server = mem_alloc_zeroed(sizeof(*server));
    if (!server_start(server, setup, problem, sizeof(problem))) { /* For end_at_once's reason. */
        refuse_to_start(problem);
        _exit(1);
    }
    log_ready(server, config);
    progress_watch(NULL);
    notify_ready();

    const int signal_number = await_stop(server, &signals);
    log_info("server.stop",
             "signal=%s msg=\"closing all connections; a second signal ends at once\"",
             signal_number == SIGTERM ? "SIGTERM" : "SIGINT");
    notify("STOPPING=1\nSTATUS=Closing connections");
    server_stop(server);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    server_join(server);
    const bool failed = atomic_load(&server->store_failed);
    const bool is_incomplete = server->store_is_incomplete;
    mem_free(server);
    if (failed)
        end_at_once();
    if (is_incomplete)
        log_error("server.stopped",
                  "msg=\"stopped while the disk was full; see store.unwritten above, make room, "
                  "start again: what was confirmed is there\"");
    else
        log_info("server.stopped", "msg=\"all connections are closed\"");
    log_stop();
    return is_incomplete ? 1 : 0;
}

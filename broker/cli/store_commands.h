#ifndef BROKER_CLI_STORE_COMMANDS_H
#define BROKER_CLI_STORE_COMMANDS_H

/*
 * The work behind each `railmq store` command (store.c reads their command lines). Results go to
 * stdout, and what went wrong to stderr. One thread.
 */

#include <stdbool.h>

/* They return the exit status. */
int store_info(const char *data_dir, bool as_json);
int store_verify(const char *data_dir);
int store_backup(const char *data_dir, const char *backup, bool verifies);
int store_restore(const char *data_dir, const char *backup);
int store_save(const char *data_dir, const char *to);

/* Prints one finding on stdout; `context` is the progress that is shown. */
void store_print_damage(void *context, const char *row, const char *what);

/* Whether a store that no broker writes is sound; prints what it finds. `name` is what people call
 * it, "the backup in DIR". */
bool store_is_sound(const char *directory, const char *name);

/* Says on stderr that the command failed, and why. Returns EXIT_FAILED. */
int store_fail(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

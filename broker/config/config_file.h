#ifndef BROKER_CONFIG_CONFIG_FILE_H
#define BROKER_CONFIG_CONFIG_FILE_H

/*
 * Reads the configuration file into struct config. The keys are those of config.def; a section that
 * is more than settings has its own row in the table of config_file.c. What exists (users, vhosts)
 * is for others (broker/topology). Reading is all or nothing:
 * with any error the config stays as it was, and the report shows every error of the file. Reads
 * the environment and other files where the file says so; call before threads start.
 */

#include "broker/config/document.h"
#include "broker/core/config.h"

/* The sections that are settings, of a document that has been read. False if the document has any
 * error, also from before; `config` is unchanged then. */
bool config_read(struct document *doc, struct config *config);

/* Writes over what `config` holds. On false `config` is unchanged and the errors, for a terminal,
 * are appended to `report`. */
bool config_file_read(const char *path, struct config *config, struct buf *report);

/* The same for content that is in memory; `name` stands for the file in the errors. */
bool config_text_read(const char *name, struct bytes text, struct config *config,
                      struct buf *report);

#endif

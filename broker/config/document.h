#ifndef BROKER_CONFIG_DOCUMENT_H
#define BROKER_CONFIG_DOCUMENT_H

/*
 * The configuration as one tree: the file, and what its `include:` names, merged by key. Sections
 * and virtual hosts may be spread over files; what is below them belongs to one file, and the same
 * object in two places is an error that names both. Places in the tree say which file they are in.
 * Owns files, tree and diagnostics. Reads files and, in `include:`, the environment. One thread.
 */

#include "broker/config/diagnostics.h"
#include "broker/config/yaml_tree.h"

#define DOCUMENT_BYTES_MAX (16u << 20) /* Of one file. */
#define DOCUMENT_FILES_MAX 256

struct document_file;

struct document {
    struct diagnostics diagnostics;
    struct document_file *files[DOCUMENT_FILES_MAX];
    size_t file_count;
    struct tree_node *root; /* NULL if there is nothing in it. */
};

/* Call document_fini in any case. False if the tree is not to be used; `diagnostics` says why.
 * After true there may be errors, too. */
bool document_read(struct document *doc, const char *path);

/* The same for content that is in memory: `name` stands for the file in messages, and nothing may
 * be included. The text is copied. */
bool document_read_text(struct document *doc, const char *name, struct bytes text);

void document_fini(struct document *doc);

#endif

#include "broker/config/document.h"

#include "broker/base/mem.h"
#include "broker/config/expand.h"
#include "broker/config/file.h"
#include "broker/config/text.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>

struct document_file {
    char path[PATH_MAX];
    struct buf text;
    struct yaml_tree tree;
};

/* Mappings that may be spread over files: the root, its sections, each of the vhosts, and the
 * groups of a vhost. */
#define DEPTH_SECTION 1
#define DEPTH_GROUP_OF_VHOST 3

static struct document_file *
file_add(struct document *doc, const char *path)
{
    struct document_file *file = mem_alloc_zeroed(sizeof(*file));
    snprintf(file->path, sizeof(file->path), "%s", path);
    doc->files[doc->file_count++] = file;
    return file;
}

static void
report_unreadable(struct document *doc, int why)
{
    const struct place whole = { .source = doc->diagnostics.current };
    if (why == EFBIG)
        diagnostics_error(&doc->diagnostics, DIAGNOSTIC_FILE, whole, NULL,
                          "larger than %u MiB, too large for a configuration file",
                          DOCUMENT_BYTES_MAX >> 20);
    else
        diagnostics_error(&doc->diagnostics, DIAGNOSTIC_FILE, whole, NULL, "cannot be read: %s",
                          strerror(why));
}

/* Before the file's text is known to the diagnostics, which borrow it. */
static bool
file_load(struct document *doc, struct document_file *file)
{
    errno = 0;
    const bool is_read = file_read(file->path, DOCUMENT_BYTES_MAX, &file->text);
    const int why = errno;
    const struct bytes text = is_read ? buf_bytes(&file->text) : BYTES_NONE;
    if (doc->diagnostics.source_count == 0)
        diagnostics_init(&doc->diagnostics, file->path, text);
    else
        diagnostics_enter(&doc->diagnostics, file->path, text);
    if (!is_read)
        report_unreadable(doc, why);
    return is_read && yaml_tree_read(&file->tree, &doc->diagnostics);
}

static void
report_twice(struct document *doc, const struct tree_node *again, const struct tree_node *first)
{
    struct buf name = { 0 };
    text_quote(&name, again->text);
    diagnostics_error(&doc->diagnostics, DIAGNOSTIC_DUPLICATE, again->place,
                      "keep one of them; files are merged, and none of them wins",
                      "%.*s is written in two files", BYTES_ARGS(buf_bytes(&name)));
    diagnostics_note(&doc->diagnostics, first->place, "first written here");
    buf_fini(&name);
}

static size_t
key_index(const struct tree_node *mapping, struct bytes key)
{
    size_t i = 0;
    while (i < mapping->item_count && !bytes_equal(mapping->items[i]->text, key))
        i += 2;
    return i;
}

/* Whether a mapping at this depth, below the section, may be merged. */
static bool
may_merge(struct bytes section, size_t depth)
{
    if (depth <= DEPTH_SECTION)
        return true;
    return depth <= DEPTH_GROUP_OF_VHOST && bytes_equal(section, BYTES_LITERAL("vhosts"));
}

static struct tree_node *merge(struct document *doc, struct tree_node *first,
                               const struct tree_node *second, struct bytes section, size_t depth);

/* What the key of the second mapping means for the first, which is a copy of our own. */
static void
merge_pair(struct document *doc, struct tree_node *into, struct tree_node *key,
           struct tree_node *value, struct bytes section, size_t depth)
{
    const size_t at = key_index(into, key->text);
    if (at == into->item_count) {
        tree_node_append(into, key);
        tree_node_append(into, value);
        return;
    }
    struct tree_node *old = into->items[at + 1];
    const struct bytes inner = depth == 0 ? key->text : section;
    if (depth == 0 && bytes_equal(key->text, BYTES_LITERAL("version")) &&
        bytes_equal(value->text, old->text))
        return;
    if (tree_node_is_empty(old))
        into->items[at + 1] = value;
    else if (!tree_node_is_empty(value) && old->kind == TREE_MAPPING &&
             value->kind == TREE_MAPPING && may_merge(inner, depth + 1))
        into->items[at + 1] = merge(doc, old, value, inner, depth + 1);
    else if (!tree_node_is_empty(value))
        report_twice(doc, key, into->items[at]);
}

/* A new mapping: the old ones may be anchored, and so be in other places, too. Recursion ends at
 * DEPTH_GROUP_OF_VHOST. */
static struct tree_node *
merge(struct document *doc, struct tree_node *first, const struct tree_node *second,
      struct bytes section, size_t depth)
{
    struct tree_node *merged = tree_node_make(&doc->files[0]->tree, TREE_MAPPING, first->place);
    for (size_t i = 0; i < first->item_count; i++)
        tree_node_append(merged, first->items[i]);
    for (size_t i = 0; i < second->item_count; i += 2)
        merge_pair(doc, merged, second->items[i], second->items[i + 1], section, depth);
    return merged;
}

static bool
refuse_nested(struct document *doc, const struct tree_node *root)
{
    const size_t at = key_index(root, BYTES_LITERAL("include"));
    const bool is_nested = at < root->item_count;
    if (is_nested)
        diagnostics_error(&doc->diagnostics, DIAGNOSTIC_INCLUDE, root->items[at]->place,
                          "name all files in the first one",
                          "an included file may not include others");
    return is_nested;
}

static void
include_file(struct document *doc, const char *path, struct place from)
{
    if (doc->file_count == DOCUMENT_FILES_MAX) {
        diagnostics_error(&doc->diagnostics, DIAGNOSTIC_INCLUDE, from, NULL, "more than %d files",
                          DOCUMENT_FILES_MAX);
        return;
    }
    for (size_t i = 0; i < doc->file_count; i++)
        if (strcmp(doc->files[i]->path, path) == 0)
            return; /* Two patterns may match it. */
    struct document_file *file = file_add(doc, path);
    if (!file_load(doc, file) || file->tree.root == NULL || tree_node_is_empty(file->tree.root))
        return;
    const struct tree_node *root = file->tree.root;
    if (root->kind != TREE_MAPPING) {
        diagnostics_error(&doc->diagnostics, DIAGNOSTIC_SHAPE, root->place, NULL,
                          "the file must be a mapping, got %s", tree_kind_name(root->kind));
        return;
    }
    if (!refuse_nested(doc, root))
        doc->root = merge(doc, doc->root, root, BYTES_NONE, 0);
}

/* Relative to the directory of the first file. */
static bool
include_path(const struct document *doc, struct bytes pattern, char *out, size_t size)
{
    const char *first = doc->files[0]->path;
    const char *slash = strrchr(first, '/');
    const bool is_absolute = pattern.size > 0 && pattern.data[0] == '/';
    const int directory = is_absolute || slash == NULL ? 0 : (int)(slash - first) + 1;
    const int written = snprintf(out, size, "%.*s%.*s", directory, first, BYTES_ARGS(pattern));
    return written > 0 && (size_t)written < size;
}

static void
include_matches(struct document *doc, const struct tree_node *item, struct bytes pattern)
{
    char path[PATH_MAX];
    glob_t found = { 0 };
    if (pattern.size == 0 || memchr(pattern.data, 0, pattern.size) != NULL ||
        !include_path(doc, pattern, path, sizeof(path))) {
        diagnostics_error(&doc->diagnostics, DIAGNOSTIC_INCLUDE, item->place, NULL,
                          "the path is empty or too long");
        return;
    }
    const int result = glob(path, GLOB_ERR, NULL, &found);
    if (result == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            include_file(doc, found.gl_pathv[i], item->place);
    } else if (result != GLOB_NOMATCH) {
        diagnostics_error(&doc->diagnostics, DIAGNOSTIC_INCLUDE, item->place, NULL,
                          "the directory of %s cannot be read", path);
    } else if (strpbrk(path, "*?[") == NULL) {
        diagnostics_error(&doc->diagnostics, DIAGNOSTIC_INCLUDE, item->place,
                          "only a pattern with * or ? may match nothing", "there is no file %s",
                          path);
    }
    globfree(&found);
}

static void
include_item(struct document *doc, const struct tree_node *item)
{
    struct buf pattern = { 0 };
    struct expand_problem problem;
    if (item->kind != TREE_SCALAR)
        diagnostics_error(&doc->diagnostics, DIAGNOSTIC_SHAPE, item->place,
                          "write include: [conf.d/*.yaml]", "a path in include must be %s, got %s",
                          tree_kind_name(TREE_SCALAR), tree_kind_name(item->kind));
    else if (!expand(item->text, &pattern, &problem))
        diagnostics_error(&doc->diagnostics, problem.code, item->place, problem.hint, "%s",
                          problem.text);
    else
        include_matches(doc, item, buf_bytes(&pattern));
    buf_fini(&pattern);
}

static void
follow_includes(struct document *doc)
{
    const struct tree_node *include = tree_find(doc->root, "include");
    if (include == NULL || tree_node_is_empty(include))
        return;
    if (include->kind == TREE_LIST) {
        for (size_t i = 0; i < include->item_count; i++)
            include_item(doc, include->items[i]);
    } else {
        include_item(doc, include);
    }
}

bool
document_read(struct document *doc, const char *path)
{
    *doc = (struct document){ 0 };
    struct document_file *file = file_add(doc, path);
    if (!file_load(doc, file))
        return false;
    doc->root = file->tree.root;
    if (doc->root != NULL && doc->root->kind == TREE_MAPPING)
        follow_includes(doc);
    return true;
}

bool
document_read_text(struct document *doc, const char *name, struct bytes text)
{
    *doc = (struct document){ 0 };
    struct document_file *file = file_add(doc, name);
    buf_append_bytes(&file->text, text);
    diagnostics_init(&doc->diagnostics, file->path, buf_bytes(&file->text));
    if (!yaml_tree_read(&file->tree, &doc->diagnostics))
        return false;
    doc->root = file->tree.root;
    const struct tree_node *include = doc->root != NULL && doc->root->kind == TREE_MAPPING
                                          ? tree_find(doc->root, "include")
                                          : NULL;
    if (include != NULL)
        diagnostics_error(&doc->diagnostics, DIAGNOSTIC_INCLUDE, include->place, NULL,
                          "this text may not include files");
    return true;
}

void
document_fini(struct document *doc)
{
    for (size_t i = 0; i < doc->file_count; i++) {
        yaml_tree_fini(&doc->files[i]->tree);
        buf_fini(&doc->files[i]->text);
        mem_free(doc->files[i]);
    }
    diagnostics_fini(&doc->diagnostics);
    *doc = (struct document){ 0 };
}

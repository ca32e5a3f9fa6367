#include "persistence/swap.h"

#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FILE_BYTES (64u * 1024u * 1024u)
/* What files may hold dead beyond as much as is alive. */
#define DEAD_BYTES_MAX (2u * FILE_BYTES)
#define PATH_SIZE 4400

struct swap_file {
    struct list in_swap; /* Oldest first; pages are appended to the last. */
    struct list pages;
    uint64_t number;
    uint64_t size;
    uint64_t alive;
    int fd;
};

struct swap {
    char *directory;
    struct list files;
    uint64_t next_number;
    uint64_t size;
    uint64_t alive;
};

static void
file_path(const struct swap *swap, uint64_t number, char *out)
{
    snprintf(out, PATH_SIZE, "%s/%llu.pages", swap->directory, (unsigned long long)number);
}

/* What an earlier run has left. */
static void
remove_leftovers(const char *directory)
{
    char path[PATH_SIZE];
    DIR *d = opendir(directory);
    if (d == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;) {
        const char *suffix = strrchr(entry->d_name, '.');
        if (suffix == NULL || strcmp(suffix, ".pages") != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        unlink(path);
    }
    closedir(d);
}

struct swap *
swap_create(const char *directory)
{
    struct swap *swap = mem_alloc_zeroed(sizeof(*swap));
    const size_t size = strlen(directory) + 1;
    swap->directory = mem_alloc(size);
    memcpy(swap->directory, directory, size);
    list_init(&swap->files);
    remove_leftovers(directory);
    return swap;
}

static struct swap_file *
newest_file(const struct swap *swap)
{
    return list_is_empty(&swap->files)
               ? NULL
               : LIST_CONTAINER(swap->files.prev, struct swap_file, in_swap);
}

static struct swap_file *
file_create(struct swap *swap)
{
    char path[PATH_SIZE];
    file_path(swap, swap->next_number, path);
    if (mkdir(swap->directory, 0750) != 0 && errno != EEXIST)
        return NULL;
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return NULL;
    struct swap_file *file = mem_alloc_zeroed(sizeof(*file));
    file->fd = fd;
    file->number = swap->next_number++;
    list_init(&file->pages);
    list_push(&swap->files, &file->in_swap);
    return file;
}

static void
file_destroy(struct swap *swap, struct swap_file *file)
{
    char path[PATH_SIZE];
    ASSERT(list_is_empty(&file->pages));
    file_path(swap, file->number, path);
    unlink(path);
    close(file->fd);
    swap->size -= file->size;
    list_unlink(&file->in_swap);
    mem_free(file);
}

void
swap_destroy(struct swap *swap)
{
    while (!list_is_empty(&swap->files)) {
        struct swap_file *file = LIST_CONTAINER(swap->files.next, struct swap_file, in_swap);
        while (!list_is_empty(&file->pages))
            list_unlink(file->pages.next);
        file_destroy(swap, file);
    }
    rmdir(swap->directory);
    mem_free(swap->directory);
    mem_free(swap);
}

static bool
write_all(int fd, struct bytes octets, uint64_t offset)
{
    while (octets.size > 0) {
        const ssize_t written = pwrite(fd, octets.data, octets.size, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        octets.data += written;
        octets.size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return true;
}

static bool
read_all(int fd, uint8_t *out, uint64_t size, uint64_t offset)
{
    while (size > 0) {
        const ssize_t taken = pread(fd, out, size, (off_t)offset);
        if (taken < 0 && errno == EINTR)
            continue;
        if (taken <= 0)
            return false;
        out += taken;
        size -= (uint64_t)taken;
        offset += (uint64_t)taken;
    }
    return true;
}

bool
swap_write(struct swap *swap, struct swap_page *page, struct bytes octets)
{
    struct swap_file *file = newest_file(swap);
    if (file == NULL || file->size >= FILE_BYTES)
        file = file_create(swap);
    if (file == NULL || !write_all(file->fd, octets, file->size))
        return false; /* A part of it is written over next time. */
    *page = (struct swap_page){
        .file = file,
        .offset = file->size,
        .size = octets.size,
        .checksum = XXH3_64bits(octets.data, octets.size),
    };
    list_push(&file->pages, &page->in_file);
    file->size += octets.size;
    file->alive += octets.size;
    swap->size += octets.size;
    swap->alive += octets.size;
    return true;
}

bool
swap_read(struct swap *swap, const struct swap_page *page, struct buf *out)
{
    uint8_t *at = buf_reserve(out, page->size);
    if (read_all(page->file->fd, at, page->size, page->offset) &&
        XXH3_64bits(at, page->size) == page->checksum) {
        out->size += page->size;
        return true;
    }
    log_error("swap.read",
              "file=\"%s/%llu.pages\" offset=%llu msg=\"transient messages that had left memory "
              "cannot be read back: the disk is failing or somebody has changed the file\"",
              swap->directory, (unsigned long long)page->file->number,
              (unsigned long long)page->offset);
    return false;
}

static void
page_forget(struct swap *swap, struct swap_page *page)
{
    struct swap_file *file = page->file;
    list_unlink(&page->in_file);
    file->alive -= page->size;
    swap->alive -= page->size;
    if (file->alive == 0 && list_is_empty(&file->pages))
        file_destroy(swap, file);
    page->file = NULL;
}

/* Moves one page of the oldest file that is mostly dead. A failure leaves it where it is. */
static void
move_one_page(struct swap *swap)
{
    LIST_FOREACH (link, &swap->files) {
        const struct swap_file *file = LIST_CONTAINER(link, struct swap_file, in_swap);
        if (file == newest_file(swap) || file->alive > file->size / 2)
            continue;
        struct swap_page *page = LIST_CONTAINER(file->pages.next, struct swap_page, in_file);
        struct swap_page moved;
        struct buf octets = { 0 };
        if (swap_read(swap, page, &octets) && swap_write(swap, &moved, buf_bytes(&octets))) {
            list_unlink(&moved.in_file);
            page_forget(swap, page);
            page->file = moved.file;
            page->offset = moved.offset;
            list_push(&moved.file->pages, &page->in_file);
        }
        buf_fini(&octets);
        return;
    }
}

void
swap_free(struct swap *swap, struct swap_page *page)
{
    if (page->file == NULL)
        return;
    page_forget(swap, page);
    if (swap->size > 2 * swap->alive + DEAD_BYTES_MAX)
        move_one_page(swap);
}

uint64_t
swap_bytes(const struct swap *swap)
{
    return swap->size;
}

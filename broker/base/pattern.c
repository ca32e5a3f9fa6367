#include "broker/base/pattern.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>

#define TEXT_BYTES_MAX 4096u
#define STEPS_MAX 100000u
#define DEPTH_MAX 1000u
#define HEAP_KIB_MAX 1024u

struct pattern {
    pcre2_code *code;
    pcre2_match_context *bounds;
};

struct pattern *
pattern_create(struct bytes text, char *problem, size_t problem_size)
{
    int error;
    PCRE2_SIZE offset;
    static const uint8_t empty[1];
    if (text.size > TEXT_BYTES_MAX) {
        snprintf(problem, problem_size, "longer than %u octets", TEXT_BYTES_MAX);
        return NULL;
    }
    pcre2_code *code = pcre2_compile(text.size == 0 ? empty : text.data, text.size, PCRE2_UTF,
                                     &error, &offset, NULL);
    if (code == NULL) {
        PCRE2_UCHAR message[200];
        pcre2_get_error_message(error, message, sizeof(message));
        snprintf(problem, problem_size, "%s at character %zu", (const char *)message, offset + 1);
        return NULL;
    }
    struct pattern *p = mem_alloc(sizeof(*p));
    p->code = code;
    p->bounds = pcre2_match_context_create(NULL);
    ASSERT(p->bounds != NULL);
    pcre2_set_match_limit(p->bounds, STEPS_MAX);
    pcre2_set_depth_limit(p->bounds, DEPTH_MAX);
    pcre2_set_heap_limit(p->bounds, HEAP_KIB_MAX);
    return p;
}

void
pattern_destroy(struct pattern *p)
{
    if (p == NULL)
        return;
    pcre2_match_context_free(p->bounds);
    pcre2_code_free(p->code);
    mem_free(p);
}

/* Text that is not UTF-8 is an error of pcre2_match, and so no match. */
bool
pattern_matches(const struct pattern *p, struct bytes text)
{
    static const uint8_t empty[1];
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    ASSERT(data != NULL);
    const int result =
        pcre2_match(p->code, text.size == 0 ? empty : text.data, text.size, 0, 0, data, p->bounds);
    pcre2_match_data_free(data);
    return result >= 0;
}

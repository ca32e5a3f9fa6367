#ifndef AMQP_METHOD_H
#define AMQP_METHOD_H

/*
 * Typed methods, made from methods.def: for queue.declare there are
 *     AMQP_ID_queue_declare, struct amqp_queue_declare,
 *     amqp_queue_declare_encode().
 * Strings and tables of a decoded method point into the payload it was decoded from. Tables are
 * octets without their length; table.h reads them. Pure; any thread.
 */

#include "amqp/wire.h"

#define AMQP_METHOD_ID(class_id, method_id) ((uint32_t)(class_id) << 16 | (uint32_t)(method_id))

#define AMQP_C_TYPE_OCTET uint8_t
#define AMQP_C_TYPE_SHORT uint16_t
#define AMQP_C_TYPE_LONG uint32_t
#define AMQP_C_TYPE_LONGLONG uint64_t
#define AMQP_C_TYPE_SHORTSTR struct bytes
#define AMQP_C_TYPE_SHORTSTR_RAW struct bytes
#define AMQP_C_TYPE_LONGSTR struct bytes
#define AMQP_C_TYPE_TABLE struct bytes
#define AMQP_C_TYPE_BIT bool

enum amqp_method_id {
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    AMQP_ID_##symbol = AMQP_METHOD_ID(class_id, method_id),
#include "amqp/methods.def"
};

/* One struct a method. A method without fields still has the id, so no struct is empty. */
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    struct amqp_##symbol {                                                                         \
        uint32_t id;
#define FIELD(type, name) AMQP_C_TYPE_##type name;
#define METHOD_END(symbol)                                                                         \
    }                                                                                              \
    ;
#include "amqp/methods.def"

/* Any method; `id` is the first member of each alternative. */
union amqp_method {
    uint32_t id;
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    struct amqp_##symbol symbol;
#include "amqp/methods.def"
};

enum amqp_sender {
    AMQP_SENDER_CLIENT = 1,
    AMQP_SENDER_SERVER = 2,
    AMQP_SENDER_BOTH = 3,
};

enum amqp_method_state {
    AMQP_STATE_NEVER,
    AMQP_STATE_STARTING,
    AMQP_STATE_SECURING,
    AMQP_STATE_TUNING,
    AMQP_STATE_OPENING,
    AMQP_STATE_RUNNING,
    AMQP_STATE_ALWAYS,
    AMQP_STATE_CHANNEL,
};

struct amqp_method_info {
    uint32_t id;
    const char *name; /* "queue.declare" */
    enum amqp_sender sender;
    bool has_content;
    enum amqp_method_state state;
};

/* All methods in ascending order of id. */
extern const struct amqp_method_info amqp_methods[];
extern const size_t amqp_method_count;

/* NULL for an id that no class defines. */
const struct amqp_method_info *amqp_method_find(uint32_t id);

/* Decodes the arguments of the method `id` (the payload after class and method ids). The id must be
 * one amqp_method_find knows. On any error the struct's content is unspecified. */
enum wire_error amqp_method_decode(uint32_t id, struct bytes arguments, union amqp_method *out);

/* Octets of the whole payload: class id, method id, arguments. */
size_t amqp_method_size(const union amqp_method *m);

/* Writes the payload. The writer must have amqp_method_size() octets left. */
void amqp_method_encode(struct wire_writer *w, const union amqp_method *m);

/* A whole method frame: its size, and its octets into `size` octets at `at`. */
size_t amqp_method_frame_size(const union amqp_method *m);
void amqp_method_frame_encode(uint8_t *at, size_t size, uint16_t channel,
                              const union amqp_method *m);

/* Size and payload, typed, for those who know what they send; `id` need not be filled in. */
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    size_t amqp_##symbol##_size(const struct amqp_##symbol *m);                                    \
    void amqp_##symbol##_encode(struct wire_writer *w, const struct amqp_##symbol *m);
#include "amqp/methods.def"

#endif

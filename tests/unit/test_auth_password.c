#include "broker/auth/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* Of "pleaseletmein" at the least costs. */
#define SALT_AND_KEY "AAECAwQFBgcICQoLDA0OD6XD6uJw//ogj/JNqoFIfXa+dbb7kJsgNWhBR6VT926O"

/* In blocks of exactly their size. */
static bool
verify(const char *text, struct bytes password)
{
    const struct bytes exact = { malloc(strlen(text)), strlen(text) };
    struct bytes secret = { malloc(password.size), password.size };
    memcpy((void *)(uintptr_t)exact.data, text, exact.size);
    if (password.size > 0)
        memcpy((void *)(uintptr_t)secret.data, password.data, password.size);
    const bool is_right = password_verify(exact, secret);
    free((void *)(uintptr_t)exact.data);
    free((void *)(uintptr_t)secret.data);
    return is_right;
}

static const struct {
    const char *text;
    const char *password;
} vectors[] = {
    /* The example of RabbitMQ's documentation, and the same with SHA-512. */
    { "sha256:kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "test12" },
    { "sha512:kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/"
      "XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc=",
      "test12" },
    /* Made with Python's hashlib. */
    { "scrypt:15,8,1:AAECAwQFBgcICQoLDA0ODxhuFMuRDaxPKhvD0XgvtbT64JPqApN4YOCB9B+6wbgE",
      "pleaseletmein" },
    { "scrypt:4,1,1:" SALT_AND_KEY, "pleaseletmein" },
    { "scrypt:14,8,2:AAECAwQFBgcICQoLDA0OD5Yyb5k/dfipbQEZbUtcIr/pcmpFjr8hRUIgXKKHIZxN",
      "pleaseletmein" },
};

static void
known_hashes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct bytes password = bytes_of_string(vectors[i].password);
        assert_true(password_text_is_sound(bytes_of_string(vectors[i].text)));
        assert_true(verify(vectors[i].text, password));
        assert_false(verify(vectors[i].text, bytes_of(password.data, password.size - 1)));
        assert_false(verify(vectors[i].text, BYTES_LITERAL("Test12")));
        assert_false(verify(vectors[i].text, BYTES_NONE));
    }
}

/* Each octet of a hash counts. */
static void
changed_hashes(void **state)
{
    (void)state;
    char text[PASSWORD_TEXT_SIZE];
    const char *whole = vectors[3].text;
    for (size_t i = strlen("scrypt:4,1,1:"); i < strlen(whole); i++) {
        snprintf(text, sizeof(text), "%s", whole);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        assert_false(verify(text, BYTES_LITERAL("pleaseletmein")));
    }
}

static void
new_hashes(void **state)
{
    (void)state;
    static const char *const names[] = { "sha256", "sha512", "scrypt" };
    char longest[PASSWORD_BYTES_MAX + 1];
    char first[PASSWORD_TEXT_SIZE];
    char second[PASSWORD_TEXT_SIZE];
    memset(longest, 'x', sizeof(longest));
    for (size_t i = 0; i < 3; i++) {
        enum password_kind kind;
        assert_true(password_kind_find(bytes_of_string(names[i]), &kind));
        assert_true(password_hash(kind, BYTES_LITERAL("s3cret\0more"), first));
        assert_true(password_hash(kind, BYTES_LITERAL("s3cret\0more"), second));
        assert_string_not_equal(first, second); /* Another salt. */
        assert_memory_equal(first, names[i], strlen(names[i]));
        assert_true(password_text_is_sound(bytes_of_string(first)));
        assert_int_equal(password_is_slow(bytes_of_string(first)), kind == PASSWORD_SCRYPT);
        assert_true(verify(first, BYTES_LITERAL("s3cret\0more")));
        assert_false(verify(first, BYTES_LITERAL("s3cret")));
        assert_true(password_hash(kind, bytes_of(longest, PASSWORD_BYTES_MAX), first));
        assert_true(verify(first, bytes_of(longest, PASSWORD_BYTES_MAX)));
        assert_false(verify(first, bytes_of(longest, PASSWORD_BYTES_MAX + 1)));
        assert_false(password_hash(kind, bytes_of(longest, PASSWORD_BYTES_MAX + 1), first));
        assert_false(password_hash(kind, BYTES_NONE, first));
    }
    enum password_kind kind;
    assert_false(password_kind_find(BYTES_LITERAL("md5"), &kind));
    assert_false(password_kind_find(BYTES_LITERAL("SHA256"), &kind));
    assert_false(password_kind_find(BYTES_NONE, &kind));
}

static void
rubbish(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        ":",
        "sha256",
        "sha256:",
        "md5:kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
        "sha256:kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2PO",
        "sha256:kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2PORA",
        "sha256:kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR====",
        "sha256:kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2PO!",
        "sha512:kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
        "scrypt:" SALT_AND_KEY,
        "scrypt:4,1:" SALT_AND_KEY,
        "scrypt:4,1,1,1:" SALT_AND_KEY,
        "scrypt:0,1,1:" SALT_AND_KEY,
        "scrypt:4,0,1:" SALT_AND_KEY,
        "scrypt:4,1,0:" SALT_AND_KEY,
        "scrypt:-4,1,1:" SALT_AND_KEY,
        "scrypt:99,8,1:" SALT_AND_KEY,
        "scrypt:4,1,1 :" SALT_AND_KEY,
        "scrypt:4,1,1:",
        /* More memory than is given to it: 1 GiB, and a little more than 256 MiB. */
        "scrypt:20,8,1:" SALT_AND_KEY,
        "scrypt:18,8,1:" SALT_AND_KEY,
        "scrypt:999999999999999999999999999999999999999,1,1:" SALT_AND_KEY,
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (password_text_is_sound(bytes_of_string(texts[i])))
            fail_msg("%s", texts[i]);
        assert_false(verify(texts[i], BYTES_LITERAL("test12")));
    }
    /* Each start of one that is sound. */
    for (size_t v = 0; v < sizeof(vectors) / sizeof(vectors[0]); v++)
        for (size_t size = 0; size < strlen(vectors[v].text); size++) {
            uint8_t *start = malloc(size);
            memcpy(start, vectors[v].text, size);
            assert_false(password_text_is_sound(bytes_of(start, size)));
            free(start);
        }
    assert_true(password_text_is_sound(BYTES_LITERAL("scrypt:17,8,1:" SALT_AND_KEY)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_hashes),
        cmocka_unit_test(changed_hashes),
        cmocka_unit_test(new_hashes),
        cmocka_unit_test(rubbish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Unit tests of digests, with the vectors of FIPS 180-4 ("abc" and the empty message). */
#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EMPTY_256 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_256   "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512                                                                                    \
    "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                      \
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

static void assert_digest(enum digest_algorithm algorithm, const char *text, const char *expected)
{
    struct digest digest, parsed;
    char out[DIGEST_TEXT_SIZE];

    digest_of(algorithm, text, strlen(text), &digest);
    assert_string_equal(digest_print(&digest, out), expected);
    assert_true(digest_parse(view_of(expected), &parsed));
    assert_true(digest_equal(&digest, &parsed));
    assert_memory_equal(&digest, &parsed, sizeof(digest)); /* unused bytes are zero */
}

static void digest_of__matches_known_vectors(void **state)
{
    (void)state;
    assert_digest(DIGEST_SHA256, "", EMPTY_256);
    assert_digest(DIGEST_SHA256, "abc", ABC_256);
    assert_digest(DIGEST_SHA512, "abc", ABC_512);
}

static void hasher_update__takes_pieces(void **state)
{
    (void)state;
    for (int algorithm = DIGEST_SHA256; algorithm <= DIGEST_SHA512; algorithm++) {
        struct hasher hasher = {0};
        struct digest pieces, whole;

        hasher_release(&hasher); /* harmless when idle */
        hasher_init(&hasher, (enum digest_algorithm)algorithm);
        hasher_update(&hasher, "a", 1);
        hasher_update(&hasher, "", 0);
        hasher_update(&hasher, "bc", 2);
        hasher_finish(&hasher, &pieces);
        hasher_release(&hasher);
        digest_of((enum digest_algorithm)algorithm, "abc", 3, &whole);
        assert_true(digest_equal(&pieces, &whole));
    }
}

static void digest_parse__refuses_what_is_no_digest(void **state)
{
    (void)state;
    static const char *bad[] = {
        "",
        ":",
        "sha256",
        "sha256:",
        "sha256:abc",
        "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        "SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        (" " ABC_256),
        (ABC_256 " "),
        (ABC_256 "0"),
        "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "md5:900150983cd24fb0d6963f7d28e17f72",
        "sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:../../../../../../../../../../../../../../../../../../etc/passwd",
    };
    struct digest digest, before;

    memset(&digest, 'x', sizeof(digest));
    before = digest;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(digest_parse(view_of(bad[i]), &digest));
    assert_memory_equal(&digest, &before, sizeof(digest));
}

static void digest_equal__tells_algorithms_and_bytes_apart(void **state)
{
    (void)state;
    struct digest a = {.algorithm = DIGEST_SHA256}, b = {.algorithm = DIGEST_SHA512};

    assert_true(digest_equal(&a, &a));
    assert_false(digest_equal(&a, &b));
    b = a;
    b.bytes[31] = 1;
    assert_false(digest_equal(&a, &b));
}

static void digest_length__is_in_bytes(void **state)
{
    (void)state;
    struct digest digest = {.algorithm = DIGEST_SHA256};

    assert_int_equal(digest_length(&digest), 32);
    assert_string_equal(digest_algorithm_name(DIGEST_SHA256), "sha256");
    digest.algorithm = DIGEST_SHA512;
    assert_int_equal(digest_length(&digest), 64);
    assert_string_equal(digest_algorithm_name(DIGEST_SHA512), "sha512");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_of__matches_known_vectors),
        cmocka_unit_test(hasher_update__takes_pieces),
        cmocka_unit_test(digest_parse__refuses_what_is_no_digest),
        cmocka_unit_test(digest_equal__tells_algorithms_and_bytes_apart),
        cmocka_unit_test(digest_length__is_in_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

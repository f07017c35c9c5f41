/* Unit tests of request heads and of the small grammars of fields. */
#include "wire/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define assert_view(view, text) assert_true(view_equal(view, view_of(text)))

/* Parses `head` whole. `parser` is for the problem, `request` for what came out. */
static struct http_parser parser;
static struct http_request request;

static enum http_progress parse_bytes(const char *head, size_t length)
{
    http_parser_init(&parser);
    return http_parser_feed(&parser, head, length, &request);
}

static enum http_progress parse(const char *head)
{
    return parse_bytes(head, strlen(head));
}

static void assert_bad(const char *head, const char *problem)
{
    assert_int_equal(parse(head), HTTP_BAD);
    if (problem != NULL)
        assert_string_equal(http_parser_problem(&parser), problem);
    assert_non_null(http_parser_problem(&parser));
}

#define GET "GET /v2/ HTTP/1.1\r\nHost: a\r\n"

static void http_parser_feed__reads_a_head_and_leaves_the_rest_alone(void **state)
{
    (void)state;
    const char *head =
        "GET /v2/?ns=docker.io HTTP/1.1\r\nHost: mirror:5000\r\nAccept:  a/b, */* \r\n"
        "Empty:\r\nBlank: \t \r\n\r\n";
    char *both = NULL;

    assert_true(asprintf(&both, "%sGET /other HTTP/1.1\r\n\r\n", head) > 0);
    assert_int_equal(parse(both), HTTP_DONE);
    assert_int_equal(request.method, HTTP_METHOD_GET);
    assert_view(request.target, "/v2/?ns=docker.io");
    assert_int_equal(request.field_count, 4);
    assert_view(request.fields[0].name, "Host");
    assert_view(request.fields[0].value, "mirror:5000");
    assert_view(http_field(&request, VIEW("ACCEPT")), "a/b, */*");
    assert_view(http_field(&request, VIEW("empty")), "");
    assert_view(http_field(&request, VIEW("blank")), "");
    assert_view(http_field(&request, VIEW("absent")), "");
    assert_int_equal(request.head_length, strlen(head));
    assert_true(request.keep_alive);
    assert_false(request.has_body);
    assert_null(http_parser_problem(&parser));
    free(both);
}

/* Every way to cut the head in two, with the buffer moved in between. */
static void http_parser_feed__takes_pieces_from_a_buffer_that_moves(void **state)
{
    (void)state;
    const char *head =
        "\r\nHEAD http://h/a?b HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\nX:\r\n\r\nmore";
    size_t length = strlen(head);

    for (size_t cut = 0; cut < length; cut++) {
        char *first = malloc(cut + 1), *second = malloc(length);
        memcpy(first, head, cut);
        memcpy(second, head, length);
        http_parser_init(&parser);
        enum http_progress progress = http_parser_feed(&parser, first, cut, &request);
        assert_int_equal(progress, cut < length - 4 ? HTTP_MORE : HTTP_DONE);
        memset(first, 'x', cut + 1);
        free(first);
        assert_int_equal(http_parser_feed(&parser, second, length, &request), HTTP_DONE);
        assert_int_equal(request.method, HTTP_METHOD_HEAD);
        assert_view(request.target, "/a?b");
        assert_int_equal(request.field_count, 3);
        assert_view(http_field(&request, VIEW("host")), "h");
        assert_view(http_field(&request, VIEW("range")), "bytes=0-1");
        assert_view(http_field(&request, VIEW("x")), "");
        assert_int_equal(request.head_length, length - 4);
        free(second);
    }
}

static void http_parser_feed__takes_one_byte_at_a_time(void **state)
{
    (void)state;
    const char *head = GET "Range: bytes=5-\r\n\r\n";

    http_parser_init(&parser);
    for (size_t length = 0; length < strlen(head); length++)
        assert_int_equal(http_parser_feed(&parser, head, length, &request), HTTP_MORE);
    assert_int_equal(http_parser_feed(&parser, head, strlen(head), &request), HTTP_DONE);
    assert_view(http_field(&request, VIEW("Range")), "bytes=5-");
}

static void http_parser_feed__stays_bad(void **state)
{
    (void)state;
    assert_bad("nonsense\r\n\r\n", NULL);
    assert_int_equal(http_parser_feed(&parser, "nonsense\r\n\r\nGET", 15, &request), HTTP_BAD);
}

/* P4: the answer to a TLS ClientHello must not wait for the end of a head. */
static void http_parser_feed__refuses_a_tls_hello_at_its_first_byte(void **state)
{
    (void)state;
    assert_int_equal(parse_bytes("\x16", 1), HTTP_BAD);
    assert_int_equal(parse_bytes("\x16\x03\x01\x02\x00", 5), HTTP_BAD);
}

static void http_parser_feed__refuses_what_could_be_smuggled(void **state)
{
    (void)state;
    assert_bad(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", NULL);
    assert_bad(GET "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", NULL);
    assert_bad(GET "Content-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n", NULL);
    assert_bad(GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", NULL);
    assert_bad(GET "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", NULL);
    assert_bad(GET "Content-Length: 5, 5\r\n\r\n", NULL);
    assert_bad(GET "Content-Length: +5\r\n\r\n", NULL);
    assert_bad(GET "Content-Length: -1\r\n\r\n", NULL);
    assert_bad(GET "Content-Length: 0x5\r\n\r\n", NULL);
    assert_bad(GET "Content-Length:\r\n\r\n", NULL);
    assert_bad(GET "Content-Length: 99999999999999999999999\r\n\r\n", NULL);
    assert_bad(GET "Content-Length : 5\r\n\r\n", NULL);
    assert_bad(GET "Transfer-Encoding: chunked, gzip\r\n\r\n", NULL);
    assert_bad(GET "Transfer-Encoding: xchunked\r\n\r\n",
               "a Transfer-Encoding that does not end in chunked");
    assert_bad("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
               "Transfer-Encoding in HTTP/1.0");
    assert_bad(GET "Host: a\r\n\r\n", "repeated Host");
    assert_bad("GET / HTTP/1.1\r\n\r\n", "no Host");
}

static void http_parser_feed__refuses_bare_line_ends(void **state)
{
    (void)state;
    assert_bad("GET / HTTP/1.1\nHost: a\r\n\r\n", "a line that does not end in CRLF");
    assert_bad("GET / HTTP/1.1\r\nHost: a\n\r\n", NULL);
    assert_bad("GET / HTTP/1.1\r\nHost: a\r\n\n", "a line that does not end in CRLF");
    assert_bad("GET / HTTP/1.1\nHost: a\n\n", NULL);
    assert_bad("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "a malformed request line");
    assert_bad("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "a malformed request line");
    assert_bad("GET / HTTP/1.1\rHost: a\r\n\r\n", NULL);
    assert_bad("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", NULL);
    assert_bad("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", NULL);
    assert_bad("GET / HTTP/1.1\r\nHost: a\r\n\rX", "a line that does not end in CRLF");
}

static void http_parser_feed__refuses_folded_lines(void **state)
{
    (void)state;
    assert_bad(GET "X: a\r\n b\r\n\r\n", "a folded header line");
    assert_bad(GET "X:\r\n b\r\n\r\n", "a malformed field value");
    assert_bad("GET / HTTP/1.1\r\n Host: a\r\n\r\n", NULL);
}

static void http_parser_feed__refuses_control_bytes(void **state)
{
    (void)state;
    static const char with_nul[] = GET "X: a\0b\r\n\r\n";

    assert_int_equal(parse_bytes(with_nul, sizeof(with_nul) - 1), HTTP_BAD);
    assert_bad(GET "X: a\x01"
                   "b\r\n\r\n",
               NULL);
    assert_bad(GET "X: a\x7f\r\n\r\n", NULL);
    assert_bad(GET "X\x01: a\r\n\r\n", NULL);
    assert_bad("GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
    assert_bad("GET /\ta HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
    assert_bad("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
}

static void http_parser_feed__refuses_malformed_lines(void **state)
{
    (void)state;
    assert_bad("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "a malformed request line");
    assert_bad("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
    assert_bad("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
    assert_bad("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", NULL);
    assert_bad("GET /\r\n\r\n", NULL);
    assert_bad("get / HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
    assert_bad("FROB / HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
    assert_bad(GET ": a\r\n\r\n", "a malformed field name");
    assert_bad(GET "A B: a\r\n\r\n", "a malformed field name");
    assert_bad(GET "A : a\r\n\r\n", "a malformed field name");
    assert_bad(GET "A\r\n\r\n", NULL);
    assert_bad(GET "(A): a\r\n\r\n", NULL);
}

static void http_parser_feed__refuses_other_versions(void **state)
{
    (void)state;
    assert_bad("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
    assert_bad("GET / HTTP/1.2\r\nHost: a\r\n\r\n", NULL);
    assert_bad("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
    assert_bad("GET / RTSP/1.0\r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
    assert_bad("SOURCE / ICE/1.0\r\nHost: a\r\n\r\n", "neither HTTP/1.1 nor HTTP/1.0");
    assert_bad("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2, which is not spoken here");
}

static void http_parser_feed__knows_the_forms_of_a_target(void **state)
{
    (void)state;
    assert_int_equal(parse("GET http://mirror:5000/v2/?a=b HTTP/1.1\r\nHost: a\r\n\r\n"),
                     HTTP_DONE);
    assert_view(request.target, "/v2/?a=b");
    assert_int_equal(parse("GET HTTPS://mirror/v2/ HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_DONE);
    assert_view(request.target, "/v2/");
    assert_int_equal(parse("GET http://mirror HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_DONE);
    assert_view(request.target, "/");
    assert_bad("GET http://mirror?a HTTP/1.1\r\nHost: a\r\n\r\n", "a target that is not a path");
    assert_bad("GET ftp://mirror/v2/ HTTP/1.1\r\nHost: a\r\n\r\n", "a target that is not a path");
    assert_bad("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "a target that is not a path");
    assert_bad("GET mirror:5000 HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
}

static void http_parser_feed__reports_methods_it_will_not_serve(void **state)
{
    (void)state;
    assert_int_equal(parse("CONNECT a.b:443 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03"), HTTP_DONE);
    assert_int_equal(request.method, HTTP_METHOD_OTHER);
    assert_view(request.target, "a.b:443");
    assert_int_equal(request.head_length, 37);
    assert_int_equal(parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), HTTP_DONE);
    assert_int_equal(request.method, HTTP_METHOD_OTHER);
    assert_view(request.target, "*");
    assert_int_equal(parse("PATCH /v2/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
                     HTTP_DONE);
    assert_int_equal(request.method, HTTP_METHOD_OTHER);
    assert_true(request.has_body);
    assert_int_equal(
        parse("POST /v2/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
              "0\r\n\r\n"),
        HTTP_DONE);
    assert_int_equal(request.method, HTTP_METHOD_POST);
    assert_true(request.has_body);
}

static void http_parser_feed__does_not_switch_protocols(void **state)
{
    (void)state;
    assert_int_equal(parse(GET "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI"), HTTP_DONE);
    assert_int_equal(request.method, HTTP_METHOD_GET);
    assert_true(request.keep_alive);
}

static void http_parser_feed__says_whether_the_connection_stays(void **state)
{
    (void)state;
    assert_int_equal(parse(GET "\r\n"), HTTP_DONE);
    assert_true(request.keep_alive);
    assert_int_equal(parse(GET "Connection: close\r\n\r\n"), HTTP_DONE);
    assert_false(request.keep_alive);
    assert_int_equal(parse(GET "Connection: foo, Close\r\n\r\n"), HTTP_DONE);
    assert_false(request.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n"), HTTP_DONE);
    assert_false(request.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), HTTP_DONE);
    assert_true(request.keep_alive);
}

/* P7: 64 KiB of head, a Range line of 1024 ranges, and 128 fields are all right; 129 are not. */
static void http_parser_feed__takes_large_heads(void **state)
{
    (void)state;
    for (int fields = HTTP_FIELDS_MAX; fields <= HTTP_FIELDS_MAX + 1; fields++) {
        struct buf head = {0};
        buf_append_text(&head, GET);
        for (int i = 1; i < fields; i++)
            buf_printf(&head, "X-%d: %0700d\r\n", i, i);
        buf_append_text(&head, "\r\n");
        if (fields == HTTP_FIELDS_MAX) {
            assert_int_equal(parse(head.data), HTTP_DONE);
            assert_int_equal(request.field_count, HTTP_FIELDS_MAX);
            assert_int_equal(http_field(&request, VIEW("x-127")).length, 700);
        } else {
            assert_bad(head.data, "too many header fields");
        }
        buf_release(&head);
    }
}

/* P5: docker's four Accept lines. */
static void http_field_count__counts_repeated_fields(void **state)
{
    (void)state;
    assert_int_equal(parse(GET "Accept: a/b\r\naccept: c/d\r\nACCEPT: e/f\r\n\r\n"), HTTP_DONE);
    assert_int_equal(http_field_count(&request, VIEW("Accept")), 3);
    assert_int_equal(http_field_count(&request, VIEW("Range")), 0);
    assert_view(http_field(&request, VIEW("Accept")), "a/b");
}

static void http_retry_after__reads_seconds_and_dates(void **state)
{
    (void)state;
    const int64_t now = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */

    assert_int_equal(http_retry_after(VIEW("120"), now, 7), 120);
    assert_int_equal(http_retry_after(VIEW(" 0 "), now, 7), 0);
    assert_int_equal(http_retry_after(VIEW("99999999"), now, 7), 86400);
    assert_int_equal(http_retry_after(VIEW("Sun, 06 Nov 1994 08:49:37 GMT"), now, 7), 0);
    assert_int_equal(http_retry_after(VIEW("Sun, 06 Nov 1994 08:50:37 GMT"), now, 7), 60);
    assert_int_equal(http_retry_after(VIEW("Sun, 06 Nov 1994 08:40:00 GMT"), now, 7), 0);
    assert_int_equal(http_retry_after(VIEW("Fri, 31 Dec 9999 23:59:59 GMT"), now, 7), 86400);
}

static void http_retry_after__falls_back_on_nonsense(void **state)
{
    (void)state;
    static const char *nonsense[] = {
        "",
        "soon",
        "-1",
        "1.5",
        "99999999999999999999999",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT+1",
        "Sunday, 06-Nov-94 08:49:37 GMT",
    };

    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
        assert_int_equal(http_retry_after(view_of(nonsense[i]), 0, 7), 7);
}

static void http_media_type__drops_parameters_and_case(void **state)
{
    (void)state;
    char out[32];

    assert_true(http_media_type(VIEW(" Application/JSON ; charset=utf-8"), out, sizeof(out)));
    assert_string_equal(out, "application/json");
    assert_true(http_media_type(VIEW("a/b+c.d-e"), out, sizeof(out)));
    assert_string_equal(out, "a/b+c.d-e");
}

static void http_media_type__refuses_what_is_none(void **state)
{
    (void)state;
    char out[16];
    static const char *none[] = {"",      "/",        "a/",        "/b",
                                 "a",     "a/b/c",    "a /b",      "a/b c",
                                 "a/b\n", "a/\x80xx", "a/b,c;d=e", "application/json"};

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        memset(out, 'x', sizeof(out));
        assert_false(http_media_type(view_of(none[i]), out, sizeof(out)));
        assert_string_equal(out, "");
    }
}

static void http_percent_decode__undoes_escapes(void **state)
{
    (void)state;
    char out[16];

    assert_true(http_percent_decode(VIEW("reg.io%3a5000"), out, sizeof(out)));
    assert_string_equal(out, "reg.io:5000");
    assert_true(http_percent_decode(VIEW("a+b%2B%20"), out, sizeof(out)));
    assert_string_equal(out, "a+b+ ");
    assert_true(http_percent_decode(VIEW("123456789012345"), out, sizeof(out)));
    assert_false(http_percent_decode(VIEW("1234567890123456"), out, sizeof(out)));
    assert_string_equal(out, "");
}

static void http_percent_decode__refuses_bad_escapes_and_nul(void **state)
{
    (void)state;
    char out[16];
    static const char *bad[] = {"%", "%4", "a%", "%zz", "%4g", "%00", "%%41"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(http_percent_decode(view_of(bad[i]), out, sizeof(out)));
        assert_string_equal(out, "");
    }
    assert_false(http_percent_decode(VIEW("a\0b"), out, sizeof(out)));
}

static void http_percent_encode__comes_back_for_every_byte(void **state)
{
    (void)state;
    struct buf text = {0}, encoded = {0};
    char out[256];

    for (int c = 1; c < 256; c++)
        buf_append(&text, &(char){(char)c}, 1);
    http_percent_encode(&encoded, view_of_buf(&text));
    assert_true(http_percent_decode(view_of_buf(&encoded), out, sizeof(out)));
    assert_true(view_equal(view_of(out), view_of_buf(&text)));
    buf_clear(&encoded);
    http_percent_encode(&encoded, VIEW("a/b c&d=\xff~"));
    assert_string_equal(encoded.data, "a%2Fb%20c%26d%3D%FF~");
    buf_release(&text);
    buf_release(&encoded);
}

static void http_query_value__finds_the_first(void **state)
{
    (void)state;
    struct view value;
    struct view query = VIEW("nsx=1&ns=a%3Ab&ns=2&n=&flag");

    assert_true(http_query_value(query, VIEW("ns"), &value));
    assert_view(value, "a%3Ab");
    assert_true(http_query_value(query, VIEW("n"), &value));
    assert_view(value, "");
    assert_true(http_query_value(query, VIEW("flag"), &value));
    assert_view(value, "");
    assert_false(http_query_value(query, VIEW("s"), &value));
    assert_false(http_query_value(VIEW(""), VIEW("ns"), &value));
}

static void http_take_value__takes_tokens_and_quoted_strings(void **state)
{
    (void)state;
    struct view value, rest = VIEW("abc, x");

    assert_true(http_take_value(&rest, &value));
    assert_view(value, "abc");
    assert_view(rest, ", x");
    rest = VIEW("\"a, \\\"b\\\\\"; x");
    assert_true(http_take_value(&rest, &value));
    assert_view(value, "a, \\\"b\\\\");
    assert_view(rest, "; x");
    rest = VIEW("\"open\\\"");
    assert_false(http_take_value(&rest, &value));
    assert_view(rest, "\"open\\\"");
}

static void http_link_next__finds_the_next_page(void **state)
{
    (void)state;
    struct view target;

    assert_true(http_link_next(VIEW("</v2/a/tags/list?last=b&n=2>; rel=\"next\""), &target));
    assert_view(target, "/v2/a/tags/list?last=b&n=2");
    assert_true(http_link_next(VIEW("<a>;rel=prev , <b,c>; title=\"x, <y>; rel=next\"; REL=Next"),
                               &target));
    assert_view(target, "b,c");
    assert_true(http_link_next(VIEW(", <a>; rel=\"prev  next\""), &target));
    assert_view(target, "a");
    assert_false(http_link_next(VIEW("<a>; rel=prev; rel=next"), &target));
    assert_false(http_link_next(VIEW("<a>; rel=nextish"), &target));
    assert_false(http_link_next(VIEW("<a; rel=next"), &target));
    assert_false(http_link_next(VIEW("<a>; rel=\"next"), &target));
    assert_false(http_link_next(VIEW("a; rel=next"), &target));
    assert_false(http_link_next(VIEW(""), &target));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_parser_feed__reads_a_head_and_leaves_the_rest_alone),
        cmocka_unit_test(http_parser_feed__takes_pieces_from_a_buffer_that_moves),
        cmocka_unit_test(http_parser_feed__takes_one_byte_at_a_time),
        cmocka_unit_test(http_parser_feed__stays_bad),
        cmocka_unit_test(http_parser_feed__refuses_a_tls_hello_at_its_first_byte),
        cmocka_unit_test(http_parser_feed__refuses_what_could_be_smuggled),
        cmocka_unit_test(http_parser_feed__refuses_bare_line_ends),
        cmocka_unit_test(http_parser_feed__refuses_folded_lines),
        cmocka_unit_test(http_parser_feed__refuses_control_bytes),
        cmocka_unit_test(http_parser_feed__refuses_malformed_lines),
        cmocka_unit_test(http_parser_feed__refuses_other_versions),
        cmocka_unit_test(http_parser_feed__knows_the_forms_of_a_target),
        cmocka_unit_test(http_parser_feed__reports_methods_it_will_not_serve),
        cmocka_unit_test(http_parser_feed__does_not_switch_protocols),
        cmocka_unit_test(http_parser_feed__says_whether_the_connection_stays),
        cmocka_unit_test(http_parser_feed__takes_large_heads),
        cmocka_unit_test(http_field_count__counts_repeated_fields),
        cmocka_unit_test(http_retry_after__reads_seconds_and_dates),
        cmocka_unit_test(http_retry_after__falls_back_on_nonsense),
        cmocka_unit_test(http_media_type__drops_parameters_and_case),
        cmocka_unit_test(http_media_type__refuses_what_is_none),
        cmocka_unit_test(http_percent_decode__undoes_escapes),
        cmocka_unit_test(http_percent_decode__refuses_bad_escapes_and_nul),
        cmocka_unit_test(http_percent_encode__comes_back_for_every_byte),
        cmocka_unit_test(http_query_value__finds_the_first),
        cmocka_unit_test(http_take_value__takes_tokens_and_quoted_strings),
        cmocka_unit_test(http_link_next__finds_the_next_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

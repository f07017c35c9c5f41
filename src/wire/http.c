#include "wire/http.h"

#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/list.h"

enum { RETRY_AFTER_MAX = 86400 };

/* RFC 9110 5.6.2 */
static bool is_token_char(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-')
        return true;
    return c != '\0' && strchr("!#$%&'*+.^_`|~", c) != NULL;
}

static struct view view_from(struct view view, size_t start)
{
    return (struct view){view.data + start, view.length - start};
}

struct view http_take_token(struct view *rest)
{
    struct view token = {rest->data, 0};

    while (token.length < rest->length && is_token_char(rest->data[token.length]))
        token.length++;
    *rest = (struct view){token.length == 0 ? rest->data : rest->data + token.length,
                          rest->length - token.length};
    return token;
}

static bool is_token(struct view view)
{
    return view.length > 0 && http_take_token(&view).length > 0 && view.length == 0;
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* ---- the parser's callbacks ---- */

static struct http_parser *parser_of(llhttp_t *llhttp)
{
    return container_of(llhttp, struct http_parser, llhttp);
}

static int refuse(llhttp_t *llhttp, const char *problem)
{
    llhttp_set_error_reason(llhttp, problem);
    return HPE_USER;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t length)
{
    struct http_parser *parser = parser_of(llhttp);

    if (parser->target_length == 0)
        parser->target = (uint32_t)(at - parser->base);
    parser->target_length += (uint32_t)length;
    return 0;
}

/* A name comes in one call for each feed that it reaches into; a new one begins after a value. */
static int on_header_field(llhttp_t *llhttp, const char *at, size_t length)
{
    struct http_parser *parser = parser_of(llhttp);

    if (parser->span_count == 0 || parser->spans[parser->span_count - 1].value != 0) {
        if (parser->span_count == HTTP_FIELDS_MAX)
            return refuse(llhttp, "too many header fields");
        parser->spans[parser->span_count].name = (uint32_t)(at - parser->base);
        parser->spans[parser->span_count].name_length = 0;
        parser->spans[parser->span_count].value = 0;
        parser->spans[parser->span_count].value_length = 0;
        parser->span_count++;
    }
    parser->spans[parser->span_count - 1].name_length += (uint32_t)length;
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t length)
{
    struct http_parser *parser = parser_of(llhttp);
    uint32_t offset = (uint32_t)(at - parser->base);
    size_t last = parser->span_count - 1;

    CHECK(parser->span_count > 0);
    if (parser->spans[last].value_length == 0)
        parser->spans[last].value = offset;
    else if (parser->spans[last].value + parser->spans[last].value_length != offset)
        return refuse(llhttp, "a folded header line"); /* RFC 9112 5.2 */
    parser->spans[last].value_length += (uint32_t)length;
    return 0;
}

/* Stops in front of the body: what follows belongs to the caller. */
static int on_headers_complete(llhttp_t *llhttp)
{
    (void)llhttp;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
};

/* ---- the checks of a whole head ---- */

/*
 * llhttp lets pass what RFC 9112 2.2 and 5.1 do not: bare LF behind the request line and at the end
 * of the head, several spaces, blanks in names, empty names, folded lines. So each line is walked
 * once more along the spans, and must be made of nothing but what they say.
 */
static bool take(struct view *rest, struct view expected)
{
    if (!view_starts_with(*rest, expected))
        return false;
    *rest = view_from(*rest, expected.length);
    return true;
}

static const char *request_line_problem(const struct http_parser *parser, struct view *rest)
{
    struct view target = {parser->base + parser->target, parser->target_length};

    /* RFC 9112 2.2: empty lines in front of the request line are passed over. */
    while (take(rest, VIEW("\r\n")))
        ;
    if (!take(rest, view_of(llhttp_method_name((llhttp_method_t)parser->llhttp.method))) ||
        !take(rest, VIEW(" ")) || rest->data != target.data || !take(rest, target))
        return "a malformed request line";
    for (size_t i = 0; i < target.length; i++)
        if (target.data[i] <= ' ' || target.data[i] > '~' || target.data[i] == '#')
            return "a target with bytes that must be percent-encoded";
    if (!take(rest, VIEW(" HTTP/1.1")) && !take(rest, VIEW(" HTTP/1.0")))
        return "neither HTTP/1.1 nor HTTP/1.0";
    return take(rest, VIEW("\r\n")) ? NULL : "a line that does not end in CRLF";
}

static const char *field_lines_problem(const struct http_parser *parser, struct view *rest)
{
    for (size_t i = 0; i < parser->span_count; i++) {
        struct view name = {parser->base + parser->spans[i].name, parser->spans[i].name_length};
        if (rest->data != name.data || !take(rest, name) || !is_token(name) ||
            !take(rest, VIEW(":")))
            return "a malformed field name";
        while (take(rest, VIEW(" ")) || take(rest, VIEW("\t")))
            ;
        struct view value = {parser->base + parser->spans[i].value, parser->spans[i].value_length};
        if (value.length > 0 && (rest->data != value.data || !take(rest, value)))
            return "a malformed field value";
        if (!take(rest, VIEW("\r\n")))
            return "a line that does not end in CRLF";
    }
    return take(rest, VIEW("\r\n")) && rest->length == 0 ? NULL
                                                         : "a line that does not end in CRLF";
}

static size_t count_fields(const struct http_parser *parser, struct view name)
{
    size_t count = 0;

    for (size_t i = 0; i < parser->span_count; i++) {
        struct view have = {parser->base + parser->spans[i].name, parser->spans[i].name_length};
        count += view_equal_nocase(have, name);
    }
    return count;
}

/* RFC 9112 6.1 and 6.3: where two recipients could disagree about where the body ends, refuse. */
static const char *framing_problem(const struct http_parser *parser)
{
    size_t hosts = count_fields(parser, VIEW("host"));
    size_t codings = count_fields(parser, VIEW("transfer-encoding"));
    size_t lengths = count_fields(parser, VIEW("content-length"));

    if (codings > 0 && lengths > 0)
        return "both Content-Length and Transfer-Encoding";
    if (lengths > 1)
        return "repeated Content-Length";
    if (codings > 0 && parser->llhttp.http_minor == 0)
        return "Transfer-Encoding in HTTP/1.0";
    if (codings > 0 && (parser->llhttp.flags & F_CHUNKED) == 0)
        return "a Transfer-Encoding that does not end in chunked";
    /* RFC 9112 3.2 */
    if (hosts > 1)
        return "repeated Host";
    if (hosts == 0 && parser->llhttp.http_minor == 1)
        return "no Host";
    return NULL;
}

static enum http_method method_of(const struct http_parser *parser)
{
    if (parser->llhttp.method == HTTP_GET)
        return HTTP_METHOD_GET;
    if (parser->llhttp.method == HTTP_HEAD)
        return HTTP_METHOD_HEAD;
    return parser->llhttp.method == HTTP_POST ? HTTP_METHOD_POST : HTTP_METHOD_OTHER;
}

/* The target from its path on: drops scheme and host of an absolute-form (RFC 9112 3.2.2). */
static struct view target_of(const struct http_parser *parser)
{
    struct view target = {parser->base + parser->target, parser->target_length};
    size_t scheme = 0;

    if (target.length >= 7 && view_equal_nocase((struct view){target.data, 7}, VIEW("http://")))
        scheme = 7;
    else if (target.length >= 8 &&
             view_equal_nocase((struct view){target.data, 8}, VIEW("https://")))
        scheme = 8;
    if (scheme == 0)
        return target;
    target = view_from(target, scheme);
    while (target.length > 0 && target.data[0] != '/' && target.data[0] != '?')
        target = view_from(target, 1);
    return target.length == 0 ? VIEW("/") : target;
}

static const char *head_problem(const struct http_parser *parser)
{
    struct view rest = {parser->base, parser->fed};
    const char *problem = request_line_problem(parser, &rest);

    if (problem == NULL)
        problem = field_lines_problem(parser, &rest);
    if (problem == NULL)
        problem = framing_problem(parser);
    if (problem == NULL && method_of(parser) != HTTP_METHOD_OTHER &&
        !view_starts_with(target_of(parser), VIEW("/")))
        problem = "a target that is not a path";
    return problem;
}

/* ---- the parser ---- */

void http_parser_init(struct http_parser *parser)
{
    /* Not the spans: they are written before they are read. */
    llhttp_init(&parser->llhttp, HTTP_REQUEST, &settings);
    parser->base = NULL;
    parser->fed = 0;
    parser->span_count = 0;
    parser->target = 0;
    parser->target_length = 0;
    parser->progress = HTTP_MORE;
    parser->problem = NULL;
}

static void advance(struct http_parser *parser, size_t length)
{
    llhttp_errno_t number =
        llhttp_execute(&parser->llhttp, parser->base + parser->fed, length - parser->fed);

    if (number == HPE_OK) {
        parser->fed = length;
        return;
    }
    if (number == HPE_PAUSED) {
        parser->fed = (size_t)(llhttp_get_error_pos(&parser->llhttp) - parser->base);
        parser->problem = head_problem(parser);
    } else if (number == HPE_PAUSED_H2_UPGRADE) {
        parser->problem = "HTTP/2, which is not spoken here";
    } else {
        parser->problem = llhttp_get_error_reason(&parser->llhttp);
    }
    parser->progress = parser->problem == NULL ? HTTP_DONE : HTTP_BAD;
}

static void fill_in(const struct http_parser *parser, struct http_request *ret_request)
{
    ret_request->method = method_of(parser);
    ret_request->target = target_of(parser);
    ret_request->field_count = parser->span_count;
    for (size_t i = 0; i < parser->span_count; i++) {
        struct view value = {parser->base + parser->spans[i].value, parser->spans[i].value_length};
        ret_request->fields[i].name =
            (struct view){parser->base + parser->spans[i].name, parser->spans[i].name_length};
        ret_request->fields[i].value = view_trim(value);
    }
    ret_request->head_length = parser->fed;
    ret_request->keep_alive = llhttp_should_keep_alive(&parser->llhttp) != 0;
    ret_request->has_body =
        parser->llhttp.content_length > 0 || (parser->llhttp.flags & F_TRANSFER_ENCODING) != 0;
}

enum http_progress http_parser_feed(struct http_parser *parser, const char *data, size_t length,
                                    struct http_request *ret_request)
{
    CHECK(length >= parser->fed && length <= UINT32_MAX);
    parser->base = data;
    if (parser->progress == HTTP_MORE && length > parser->fed)
        advance(parser, length);
    if (parser->progress == HTTP_DONE)
        fill_in(parser, ret_request);
    parser->base = NULL;
    return parser->progress;
}

const char *http_parser_problem(const struct http_parser *parser)
{
    return parser->problem;
}

/* ---- fields ---- */

struct view http_field(const struct http_request *request, struct view name)
{
    for (size_t i = 0; i < request->field_count; i++)
        if (view_equal_nocase(request->fields[i].name, name))
            return request->fields[i].value;
    return (struct view){NULL, 0};
}

size_t http_field_count(const struct http_request *request, struct view name)
{
    size_t count = 0;

    for (size_t i = 0; i < request->field_count; i++)
        count += view_equal_nocase(request->fields[i].name, name);
    return count;
}

/* ---- values ---- */

/* Takes exactly `digits` digits off the front; false when they are not there or out of bounds. */
static bool take_number(struct view *rest, size_t digits, unsigned low, unsigned high, int *ret)
{
    uint64_t number;

    if (rest->length < digits || !view_to_uint64((struct view){rest->data, digits}, &number) ||
        number < low || number > high)
        return false;
    *rest = view_from(*rest, digits);
    *ret = (int)number;
    return true;
}

static bool take_month(struct view *rest, int *ret_month)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (size_t i = 0; i < 12; i++) {
        if (take(rest, (struct view){months + 3 * i, 3})) {
            *ret_month = (int)i;
            return true;
        }
    }
    return false;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7, IMF-fixdate; nobody may send the other forms).
 */
static bool parse_date(struct view text, int64_t *ret_seconds)
{
    struct tm date = {0};
    struct view day = view_cut(&text, ',');
    int year;

    if (day.length != 3 || !take(&text, VIEW(" ")) ||
        !take_number(&text, 2, 1, 31, &date.tm_mday) || !take(&text, VIEW(" ")) ||
        !take_month(&text, &date.tm_mon) || !take(&text, VIEW(" ")) ||
        !take_number(&text, 4, 1970, 9999, &year) || !take(&text, VIEW(" ")) ||
        !take_number(&text, 2, 0, 23, &date.tm_hour) || !take(&text, VIEW(":")) ||
        !take_number(&text, 2, 0, 59, &date.tm_min) || !take(&text, VIEW(":")) ||
        !take_number(&text, 2, 0, 60, &date.tm_sec) || !view_equal(text, VIEW(" GMT")))
        return false;
    date.tm_year = year - 1900;
    *ret_seconds = (int64_t)timegm(&date);
    return true;
}

uint64_t http_retry_after(struct view value, int64_t now, uint64_t otherwise)
{
    uint64_t seconds;
    int64_t date;

    value = view_trim(value);
    if (view_to_uint64(value, &seconds))
        return seconds < RETRY_AFTER_MAX ? seconds : RETRY_AFTER_MAX;
    if (!parse_date(value, &date))
        return otherwise;
    if (date <= now)
        return 0;
    seconds = (uint64_t)date - (uint64_t)now;
    return seconds < RETRY_AFTER_MAX ? seconds : RETRY_AFTER_MAX;
}

bool http_media_type(struct view value, char *out, size_t out_size)
{
    struct view whole = view_trim(view_cut(&value, ';'));
    struct view subtype = whole;
    struct view type = view_cut(&subtype, '/');

    CHECK(out_size > 0);
    out[0] = '\0';
    if (!is_token(type) || !is_token(subtype) || !view_copy(whole, out, out_size))
        return false;
    for (char *at = out; *at != '\0'; at++)
        *at = lower(*at);
    return true;
}

static int hex_value(char c)
{
    c = lower(c);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_percent_decode(struct view encoded, char *out, size_t out_size)
{
    size_t length = 0;

    CHECK(out_size > 0);
    for (size_t i = 0; i < encoded.length; i++) {
        int c = (unsigned char)encoded.data[i];
        if (c == '%') {
            int high = encoded.length - i < 3 ? -1 : hex_value(encoded.data[i + 1]);
            int low = encoded.length - i < 3 ? -1 : hex_value(encoded.data[i + 2]);
            c = high < 0 || low < 0 ? 0 : high << 4 | low;
            i += 2;
        }
        if (c == 0 || length + 1 >= out_size) {
            out[0] = '\0';
            return false;
        }
        out[length++] = (char)c;
    }
    out[length] = '\0';
    return true;
}

/* RFC 3986 2.3 */
static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void http_percent_encode(struct buf *buf, struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (is_unreserved(text.data[i]))
            buf_append(buf, text.data + i, 1);
        else
            buf_printf(buf, "%%%02X", (unsigned)(unsigned char)text.data[i]);
    }
}

bool http_query_value(struct view query, struct view name, struct view *ret_value)
{
    while (query.length > 0) {
        struct view value = view_cut(&query, '&');
        if (view_equal(view_cut(&value, '='), name)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* ---- parameters and Link ---- */

bool http_take_value(struct view *rest, struct view *ret_value)
{
    struct view whole = *rest;
    size_t length = 0;

    if (!take(&whole, VIEW("\""))) {
        *ret_value = http_take_token(rest);
        return true;
    }
    while (length < whole.length && whole.data[length] != '"')
        length += whole.data[length] == '\\' && length + 1 < whole.length ? 2 : 1;
    if (length >= whole.length)
        return false;
    *rest = view_from(whole, length + 1);
    *ret_value = (struct view){whole.data, length};
    return true;
}

static void skip_blanks(struct view *rest)
{
    while (take(rest, VIEW(" ")) || take(rest, VIEW("\t")))
        ;
}

/* RFC 8288 3.3: rel holds one relation type or several, with spaces between; any case. */
static bool has_next(struct view relations)
{
    while (relations.length > 0)
        if (view_equal_nocase(view_cut(&relations, ' '), VIEW("next")))
            return true;
    return false;
}

/* Takes the parameters of one link, up to the comma behind it; true when one is a rel of next. */
static bool take_link_parameters(struct view *rest)
{
    bool rel_seen = false, is_next = false;

    skip_blanks(rest);
    while (take(rest, VIEW(";"))) {
        skip_blanks(rest);
        struct view name = http_take_token(rest), value = {NULL, 0};
        skip_blanks(rest);
        if (take(rest, VIEW("="))) {
            skip_blanks(rest);
            if (!http_take_value(rest, &value))
                return false;
            skip_blanks(rest);
        }
        /* RFC 8288 3.3: a second rel is ignored. */
        if (!rel_seen && view_equal_nocase(name, VIEW("rel"))) {
            rel_seen = true;
            is_next = has_next(value);
        }
    }
    return is_next;
}

bool http_link_next(struct view link, struct view *ret_target)
{
    for (;;) {
        skip_blanks(&link);
        if (take(&link, VIEW(",")))
            continue;
        if (!take(&link, VIEW("<")) || memchr(link.data, '>', link.length) == NULL)
            return false;
        struct view target = view_cut(&link, '>');
        if (take_link_parameters(&link)) {
            *ret_target = target;
            return true;
        }
    }
}

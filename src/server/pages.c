/* pages.c - see pages.h for the contract. */
#include "server/pages.h"

#include <stdio.h>

#include "base/assert.h"
#include "server/reply.h"

enum { MAX_OWN_HEADERS = 6 };

static const char html_page[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%u %s</title>\n"
    "<style>body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:32em;padding:0 1em;"
    "color:#223}h1{font-size:1.5em}p{color:#667}</style></head>\n"
    "<body><h1>%u %s</h1><p>%s</p></body></html>\n";

static const struct {
    uint16_t status;
    const char *text;
} explanations[] = {
    {400, "The server could not understand the request."},
    {403, "The request was refused."},
    {404, "Nothing is here."},
    {408, "The request took too long to arrive."},
    {413, "The request is larger than the server accepts."},
    {426, "The server speaks version 13 of the WebSocket protocol."},
    {500, "The application failed to answer."},
    {502, "The process that worked on the request died."},
    {503, "The server is busy. Please try again in a moment."},
    {504, "The application took too long to answer."},
};

static const char *explain(uint16_t status)
{
    for (size_t i = 0; i < sizeof explanations / sizeof *explanations; i++)
        if (explanations[i].status == status)
            return explanations[i].text;
    return "The request was not served.";
}

static bool wants_html(const struct hr_http *http)
{
    if (!http->ex.has_head)
        return false;
    struct hr_str accept = hr_http1_header(hr_http_request(http), "accept");
    static const char html[] = "text/html";
    return accept.len > 0 && memmem(accept.ptr, accept.len, html, sizeof html - 1) != NULL;
}

static void page_send(struct hr_http *http, uint16_t status, const struct hr_header *headers,
                      size_t n_headers, struct hr_str body)
{
    int r = hr_reply_own(http, status, body.len, headers, n_headers);
    if (r < 0)
        return;
    if (r != HR_REPLY_NO_BODY) {
        struct hr_buf *buf = hr_conn_begin(http->conn);
        if (!buf || hr_buf_append(buf, body.ptr, body.len) < 0) {
            hr_conn_close(http->conn);
            return;
        }
        hr_conn_commit(http->conn);
        http->ex.answer.n_body = body.len;
    }
    hr_http_finish(http);
}

void hr_page_text(struct hr_http *http, uint16_t status, struct hr_str content_type,
                  struct hr_str body)
{
    struct hr_header headers[] = {
        {HR_LIT("content-type"), content_type},
        {HR_LIT("cache-control"), HR_LIT("no-store")},
    };
    page_send(http, status, headers, 2, body);
}

size_t hr_page_reason(const struct hr_http *http, struct hr_header *out)
{
    enum hr_reason reason = http->ex.reason;
    if (reason == HR_REASON_NONE || !http->server->config.expose_reason)
        return 0;
    *out = (struct hr_header){HR_LIT("x-headrace-reason"), hr_str_of(hr_reason_name(reason))};
    return 1;
}

static size_t page_headers(const struct hr_http *http, uint16_t status, bool is_html,
                           struct hr_header out[MAX_OWN_HEADERS])
{
    size_t n = 0;
    out[n++] =
        (struct hr_header){HR_LIT("content-type"), is_html ? HR_LIT("text/html; charset=utf-8")
                                                           : HR_LIT("text/plain; charset=utf-8")};
    if (status == 503)
        out[n++] = (struct hr_header){HR_LIT("retry-after"), HR_LIT("1")};
    if (status == 426) /* RFC 6455 4.4 */
        out[n++] = (struct hr_header){HR_LIT("sec-websocket-version"), HR_LIT("13")};
    n += hr_page_reason(http, &out[n]);
    hr_assert(n <= MAX_OWN_HEADERS);
    return n;
}

void hr_page_answer(struct hr_http *http, uint16_t status, enum hr_reason reason)
{
    struct hr_header headers[MAX_OWN_HEADERS];
    const char *title = hr_http1_status_text(status);
    bool is_html = wants_html(http);
    char page[1024];
    http->ex.reason = reason;
    int n = is_html ? snprintf(page, sizeof page, html_page, status, title, status, title,
                               explain(status))
                    : snprintf(page, sizeof page, "%u %s\n%s\n", status, title, explain(status));
    hr_assert(n > 0 && (size_t)n < sizeof page);
    size_t n_headers = page_headers(http, status, is_html, headers);
    page_send(http, status, headers, n_headers, (struct hr_str){page, (size_t)n});
}

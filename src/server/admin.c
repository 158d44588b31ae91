/* admin.c - see admin.h for the contract. */
#include "server/admin.h"

#include "base/str.h"
#include "server/http.h"
#include "server/metrics.h"
#include "server/pages.h"

static const struct hr_str plain = {"text/plain; charset=utf-8", 25};

static void answer_metrics(struct hr_http *http)
{
    struct hr_buf text = {0};
    if (hr_metrics_write(http->server->layer, &text) == 0)
        hr_page_text(http, 200, HR_LIT("text/plain; version=0.0.4; charset=utf-8"),
                     (struct hr_str){(char *)hr_buf_ptr(&text), hr_buf_len(&text)});
    else
        hr_page_answer(http, 503, HR_REASON_LIMIT);
    hr_buf_fini(&text);
}

static void answer_health(struct hr_http *http)
{
    hr_page_text(http, 200, plain, HR_LIT("ok\n"));
}

static bool is_anybody_ready(struct hr_layer *layer)
{
    struct hr_member member;
    for (uint32_t slot = 0; hr_layer_member(layer, slot, &member); slot++)
        if (member.role == HR_ROLE_WORKER && member.is_live && member.flags & HR_MEMBER_READY &&
            !(member.flags & HR_MEMBER_RETIRE))
            return true;
    return false;
}

static void answer_ready(struct hr_http *http)
{
    if (hr_server_is_draining(http->server))
        hr_page_text(http, 503, plain, HR_LIT("draining\n"));
    else if (!is_anybody_ready(http->server->layer))
        hr_page_text(http, 503, plain, HR_LIT("no worker is ready\n"));
    else
        hr_page_text(http, 200, plain, HR_LIT("ready\n"));
}

void hr_admin_answer(struct hr_http *http)
{
    static const struct {
        struct hr_str path;
        void (*answer)(struct hr_http *http);
    } pages[] = {
        {{"/metrics", 8}, answer_metrics},
        {{"/healthz", 8}, answer_health},
        {{"/readyz", 7}, answer_ready},
    };
    const struct hr_http1_request *request = hr_http_request(http);
    if (!http->ex.is_safe) {
        hr_page_answer(http, 405, HR_REASON_NONE);
        return;
    }
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (hr_str_eq(request->raw_path, pages[i].path)) {
            pages[i].answer(http);
            return;
        }
    }
    hr_page_answer(http, 404, HR_REASON_NONE);
}

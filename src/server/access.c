/* access.c - see access.h for the contract. */
#include "server/access.h"

#include "base/log.h"
#include "server/about.h"
#include "server/http.h"
#include "server/request.h"
#include "server/websocket.h"

static void put_text(struct hr_logline *line, const char *key, struct hr_str value)
{
    if (value.len > 0)
        hr_logline_str(line, key, value);
}

/* W3C Trace Context: version-traceid-parent-flags. */
static struct hr_str trace_id(const struct hr_http1_request *request)
{
    struct hr_str rest = hr_http1_header(request, "traceparent"), version, id;
    if (!hr_str_next(&rest, '-', &version) || !hr_str_next(&rest, '-', &id) || id.len != 32)
        return (struct hr_str){0};
    return id;
}

static void put_head(struct hr_logline *line, struct hr_http *http)
{
    const struct hr_http1_request *request = hr_http_request(http);
    put_text(line, "trace_id", trace_id(request));
    put_text(line, "client", hr_request_client(http));
    put_text(line, "method", request->method);
    put_text(line, "host", hr_request_host(http));
    put_text(line, "path", request->raw_path);
}

/* Of the event: where it waited, who worked on it, how long each took. */
static void put_event(struct hr_logline *line, const struct hr_source *source, hr_time now)
{
    struct hr_member member;
    if (!source->pool)
        return;
    hr_logline_str(line, "pool", source->pool->name);
    if (source->holder && hr_layer_member(source->server->layer, source->holder - 1, &member))
        hr_logline_str(line, "worker", hr_str_of(member.label));
    if (source->taken_at > 0) {
        hr_time queued = source->taken_at - source->sent_at;
        hr_logline_ms(line, "queue_ms", queued > 0 ? queued : 0);
        hr_logline_ms(line, "app_ms", now > source->taken_at ? now - source->taken_at : 0);
    }
    if (source->attempts > 0)
        hr_logline_int(line, "retries", source->attempts);
}

void hr_access_log_request(struct hr_http *http)
{
    const struct hr_exchange *ex = &http->ex;
    if (!http->server->config.access_log || hr_listener_is_admin(http->conn->listener))
        return;
    struct hr_logline line;
    hr_time now = hr_time_now();
    bool is_handshake = ex->has_head && ex->kind == HR_KIND_CONNECT;
    hr_logline_begin(&line, is_handshake ? HR_EV_WEBSOCKET : HR_EV_REQUEST);
    put_text(&line, "request_id", hr_request_id(http));
    if (ex->has_head)
        put_head(&line, http);
    hr_logline_int(&line, "status", ex->answer.status);
    hr_logline_int(&line, "bytes_in", (int64_t)ex->upload.n_received);
    bool has_body = ex->answer.framing != HR_FRAMING_NONE;
    hr_logline_int(&line, "bytes_out", has_body ? (int64_t)ex->answer.n_body : 0);
    hr_logline_ms(&line, "total_ms", now - ex->began_at);
    put_event(&line, &http->source, now);
    hr_logline_str(&line, "protocol", is_handshake ? HR_LIT("websocket") : HR_LIT("http/1.1"));
    if (ex->reason != HR_REASON_NONE)
        hr_logline_str(&line, "reason", hr_str_of(hr_reason_name(ex->reason)));
    hr_logline_end(&line);
}

void hr_access_log_closed(const struct hr_websocket *ws)
{
    char client[HR_PEER_TEXT_MAX];
    if (!ws->source.server->config.access_log)
        return;
    struct hr_logline line;
    hr_logline_begin(&line, HR_EV_WEBSOCKET);
    put_text(&line, "request_id", hr_ws_about_id(ws->about));
    if (hr_peer_format(&ws->conn->peer, client) > 0)
        hr_logline_str(&line, "client", hr_str_of(client));
    hr_logline_str(&line, "path", hr_ws_about_path(ws->about));
    hr_logline_int(&line, "status", ws->code);
    hr_logline_int(&line, "bytes_in", (int64_t)ws->n_in);
    hr_logline_int(&line, "bytes_out", (int64_t)ws->n_out);
    hr_logline_ms(&line, "total_ms", hr_time_now() - ws->about->opened_at);
    hr_logline_str(&line, "pool", ws->source.pool->name);
    hr_logline_str(&line, "protocol", HR_LIT("websocket"));
    if (ws->is_missing)
        hr_logline_str(&line, "reason", hr_str_of(hr_reason_name(HR_REASON_LIMIT)));
    hr_logline_end(&line);
}

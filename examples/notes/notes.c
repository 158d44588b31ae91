/* notes.c - REST on an SQLite database; whoever has the page open sees a note at once when it is
 * saved.
 *
 *   GET    /            the page
 *   GET    /notes       {"version": 42, "notes": [...]}           200, 304
 *   POST   /notes       {"title", "text"}                         201, 200 when its Idempotency-Key
 * was there GET    /notes/N     {"id", "version", "title", "text", ...}   200, 304, 404 PUT
 * /notes/N     {"title", "text"}                         200, 404, 409, 428 DELETE /notes/N 204,
 * 404, 409, 428 WebSocket /live     {"version": 42}                           first, and from a
 * worker that starts
 *                       {"version": 43, "saved": {...}}
 *                       {"version": 44, "deleted": N}
 *
 * The version is the ETag. PUT and DELETE say with If-Match which one they mean
 * to change; when it is another meanwhile, 409 and the note as it is. Wrong
 * input is 400, 413 or 415, a full table 507, a busy one 503. Errors are JSON
 * too: {"error": "..."}.
 *
 * Nothing here tells the sockets that a note has changed: model.c does, when
 * the change is committed, through the observer that hr_app() gives it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <headrace/worker.h>
#include <sqlite3.h>

#include "index.html.h" /* index_html[], made from index.html */
#include "model.h"

enum {
    JSON_BYTES = 32 << 10, /* of a request: the longest note, escaped by a careful client */
};

static const struct hr_str group = {"notes", 5};

/* ---- notification */

/* Of the layer's calls, sending is for any thread. */
static void tell(struct hr_layer *layer, const char *text)
{
    uint8_t room[NOTE_JSON_BYTES + 128];
    struct hr_pack msg;
    hr_pack_init(&msg, room, sizeof(room));
    hr_pack_map(&msg, 1);
    hr_pack_cstr(&msg, "text");
    hr_pack_cstr(&msg, text);
    int r = hr_pack_done(&msg);
    if (r == 0)
        r = hr_layer_group_send(layer, group, room, hr_pack_len(&msg), NULL);
    if (r != 0) /* the next change shows the pages that they missed this one */
        fprintf(stderr, "notes: nobody was told: %s\n", hr_error_text(r));
}

/* The observer: a change has been committed. */
static void on_change(enum note_event event, const struct note *note, void *layer)
{
    char text[NOTE_JSON_BYTES + 64];
    if (event == NOTE_SAVED)
        snprintf(text, sizeof(text), "{\"version\":%jd,\"saved\":%s}", (intmax_t)note->version,
                 note->json);
    else
        snprintf(text, sizeof(text), "{\"version\":%jd,\"deleted\":%jd}", (intmax_t)note->version,
                 (intmax_t)note->id);
    tell(layer, text);
}

/* ---- answers */

static int refuse(struct hr_ctx *ctx, int status, const char *why)
{
    return hr_http_reply(ctx, status, "application/json", "{\"error\":\"%s\"}\n", why);
}

static int refuse_method(struct hr_ctx *ctx, const char *allowed)
{
    hr_http_set_header(ctx, "Allow", "%s", allowed);
    return refuse(ctx, 405, "not with this method");
}

static void set_etag(struct hr_ctx *ctx, int64_t version)
{
    hr_http_set_header(ctx, "ETag", "\"%jd\"", (intmax_t)version);
    hr_http_set_header(ctx, "Cache-Control", "no-cache"); /* keep it, but ask */
}

static int answer_note(struct hr_ctx *ctx, int status, const struct note *note)
{
    set_etag(ctx, note->version);
    return hr_http_reply(ctx, status, "application/json", "%s\n", note->json);
}

static int answer_failure(struct hr_ctx *ctx, int outcome)
{
    switch (outcome) {
    case NOTE_MISSING:
        return refuse(ctx, 404, "there is no such note");
    case NOTE_FULL:
        return refuse(ctx, 507, "there is no room for another note: delete one");
    case NOTE_BUSY:
        hr_http_set_header(ctx, "Retry-After", "1");
        return refuse(ctx, 503, "the database is busy");
    default:
        return refuse(ctx, 500, "the database failed");
    }
}

/* ---- what a request says */

static bool is(struct hr_str text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

/* Digits and nothing else, at most 18 of them; else -1. */
static int64_t number(struct hr_str text)
{
    int64_t n = text.len > 0 && text.len <= 18 ? 0 : -1;
    for (size_t i = 0; n >= 0 && i < text.len; i++)
        n = text.ptr[i] >= '0' && text.ptr[i] <= '9' ? n * 10 + (text.ptr[i] - '0') : -1;
    return n;
}

/* The 42 of "42", which is how we write an ETag; else -1. */
static int64_t tag_number(struct hr_str tag)
{
    if (tag.len < 2 || tag.ptr[0] != '"' || tag.ptr[tag.len - 1] != '"')
        return -1;
    return number((struct hr_str){tag.ptr + 1, tag.len - 2});
}

/* RFC 9110 13.1.2: compared weakly, for a proxy that compresses may have made it W/"42". */
static bool has_seen(const struct hr_msg *request, int64_t version)
{
    struct hr_str tag = hr_http_header(request, "if-none-match");
    if (tag.len > 2 && memcmp(tag.ptr, "W/", 2) == 0)
        tag = (struct hr_str){tag.ptr + 2, tag.len - 2};
    return tag_number(tag) == version;
}

/* Which version is to be changed. False when the request has been refused. */
static bool wants_version(struct hr_ctx *ctx, const struct hr_msg *request, int64_t *version)
{
    struct hr_str tag = hr_http_header(request, "if-match");
    *version = is(tag, "*") ? NOTE_ANY : tag_number(tag);
    if (tag.len == 0) /* RFC 6585 3: else two who edit the same note overwrite each other */
        refuse(ctx, 428, "say with If-Match which version is to be changed, or *");
    else if (*version < 0 && !is(tag, "*"))
        refuse(ctx, 400, "If-Match is to be one version in quotes, or *");
    else
        return true;
    return false;
}

/* Title and text. False when the request has been refused. */
static bool wants_note(struct hr_ctx *ctx, const struct hr_msg *request, struct note *note)
{
    static const char json[] = "application/json";
    struct hr_str type = hr_http_header(request, "content-type"), body = hr_http_body(request);
    /* A form of a foreign page can send any type but this one. */
    if (type.len < sizeof(json) - 1 || strncasecmp(type.ptr, json, sizeof(json) - 1) != 0) {
        refuse(ctx, 415, "the content type is to be application/json");
        return false;
    }
    const char *problem = note_parse(note, body.ptr, body.len);
    if (problem)
        refuse(ctx, 400, problem);
    return !problem;
}

/* ---- changes: on the thread pool, for they wait for other writers and for the disk */

struct change {
    struct note note;
    int (*apply)(struct note *note);
    int outcome;
};

static struct change *change_new(struct hr_ctx *ctx, int (*apply)(struct note *note))
{
    struct change *change = hr_ctx_alloc(ctx, sizeof(*change));
    if (change)
        *change = (struct change){.apply = apply};
    return change;
}

static void change_apply(void *arg) /* in a thread */
{
    struct change *change = arg;
    change->outcome = change->apply(&change->note);
}

static void answer_conflict(struct hr_ctx *ctx, const struct note *note)
{
    /* RFC 9110 15.5.10: enough for the user to see what the conflict is about. */
    set_etag(ctx, note->version);
    hr_http_reply(ctx, 409, "application/json",
                  "{\"error\":\"it was changed meanwhile\",\"note\":%s}\n", note->json);
}

static void change_done(struct hr_ctx *ctx, void *arg)
{
    const struct change *change = arg;
    const struct note *note = &change->note;
    bool is_deleted = change->outcome == NOTE_DONE && change->apply == note_delete;
    if (change->outcome == NOTE_CONFLICT)
        answer_conflict(ctx, note);
    else if (is_deleted)
        hr_http_reply_bytes(ctx, 204, NULL, NULL, 0);
    else if (change->outcome == NOTE_DONE || change->outcome == NOTE_SAME)
        answer_note(ctx, 200, note);
    else
        answer_failure(ctx, change->outcome);
}

static void creation_done(struct hr_ctx *ctx, void *arg)
{
    const struct change *change = arg;
    if (change->outcome != NOTE_DONE) {
        change_done(ctx, arg);
        return;
    }
    hr_http_set_header(ctx, "Location", "/notes/%jd", (intmax_t)change->note.id);
    answer_note(ctx, 201, &change->note);
}

/* ---- consumers */

static int page(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_http_set_header(ctx, "Cache-Control", "no-cache");
    hr_http_set_header(
        ctx, "Content-Security-Policy",
        "default-src 'none'; connect-src 'self'; img-src data:; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    return hr_http_reply_bytes(ctx, 200, "text/html; charset=utf-8", index_html,
                               sizeof(index_html));
}

static int list(struct hr_ctx *ctx, const struct hr_msg *request)
{
    int64_t version = 0;
    char *json = NULL;
    int r = notes_version(&version);
    if (r == NOTE_DONE && has_seen(request, version)) {
        set_etag(ctx, version);
        return hr_http_reply_bytes(ctx, 304, NULL, NULL, 0);
    }
    if (r == NOTE_DONE)
        r = notes_list(&json, &version);
    if (r != NOTE_DONE)
        return answer_failure(ctx, r);
    set_etag(ctx, version);
    hr_http_reply_bytes(ctx, 200, "application/json", json, strlen(json));
    sqlite3_free(json);
    return hr_ctx_error(ctx);
}

static int create(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct hr_str key = hr_http_header(request, "idempotency-key");
    struct change *change = change_new(ctx, note_save);
    if (!change)
        return hr_ctx_error(ctx);
    if (key.len > NOTE_KEY_BYTES)
        return refuse(ctx, 400, "the Idempotency-Key is longer than 40 bytes");
    snprintf(change->note.key, sizeof(change->note.key), "%.*s", HR_STR(key));
    if (!wants_note(ctx, request, &change->note))
        return hr_ctx_error(ctx);
    return hr_worker_queue(hr_ctx_worker(ctx), ctx, change_apply, creation_done, change);
}

static int show(struct hr_ctx *ctx, const struct hr_msg *request, int64_t id)
{
    struct note *note = hr_ctx_alloc(ctx, sizeof(*note));
    if (!note)
        return hr_ctx_error(ctx);
    note->id = id;
    int r = note_load(note);
    if (r != NOTE_DONE)
        return answer_failure(ctx, r);
    if (!has_seen(request, note->version))
        return answer_note(ctx, 200, note);
    set_etag(ctx, note->version);
    return hr_http_reply_bytes(ctx, 304, NULL, NULL, 0);
}

static int replace(struct hr_ctx *ctx, const struct hr_msg *request, int64_t id)
{
    struct change *change = change_new(ctx, note_save);
    if (!change)
        return hr_ctx_error(ctx);
    change->note.id = id;
    if (!wants_version(ctx, request, &change->note.version) ||
        !wants_note(ctx, request, &change->note))
        return hr_ctx_error(ctx);
    return hr_worker_queue(hr_ctx_worker(ctx), ctx, change_apply, change_done, change);
}

static int discard(struct hr_ctx *ctx, const struct hr_msg *request, int64_t id)
{
    struct change *change = change_new(ctx, note_delete);
    if (!change)
        return hr_ctx_error(ctx);
    change->note.id = id;
    if (!wants_version(ctx, request, &change->note.version))
        return hr_ctx_error(ctx);
    return hr_worker_queue(hr_ctx_worker(ctx), ctx, change_apply, change_done, change);
}

static int collection(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct hr_str method = hr_http_method(request);
    if (is(method, "GET") || is(method, "HEAD"))
        return list(ctx, request);
    return is(method, "POST") ? create(ctx, request) : refuse_method(ctx, "GET, HEAD, POST");
}

static int one(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct hr_str method = hr_http_method(request), path = hr_http_path(request);
    size_t prefix = strlen("/notes/");
    int64_t id = number((struct hr_str){path.ptr + prefix, path.len - prefix});
    if (id <= 0)
        return answer_failure(ctx, NOTE_MISSING);
    if (is(method, "GET") || is(method, "HEAD"))
        return show(ctx, request, id);
    if (is(method, "PUT"))
        return replace(ctx, request, id);
    return is(method, "DELETE") ? discard(ctx, request, id)
                                : refuse_method(ctx, "GET, HEAD, PUT, DELETE");
}

/* Joins first and reads the version then: a change between the two is told, or counted in it. */
static int listen(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    int64_t version = 0;
    (void)connect;
    hr_ws_accept(ctx);
    hr_group_join(ctx, group);
    if (notes_version(&version) != NOTE_DONE)
        return hr_ws_close(ctx, 1013, "the database is busy");
    return hr_ws_send(ctx, "{\"version\":%jd}", (intmax_t)version);
}

static void stop(void *arg)
{
    (void)arg;
    notes_close();
}

/* A worker that starts may follow one that was killed between a commit and its notification. So it
 * says what the last change is: a page that has not heard of it reads anew. */
static int catch_up(struct hr_layer *layer)
{
    char text[64];
    int64_t version = 0;
    if (notes_version(&version) != NOTE_DONE)
        return HR_ERR_APP;
    snprintf(text, sizeof(text), "{\"version\":%jd}", (intmax_t)version);
    tell(layer, text);
    return 0;
}

int hr_app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .path = "/", .fn = page},
        {.channel = "http.request", .path = "/notes", .fn = collection, .max_body = JSON_BYTES},
        {.channel = "http.request", .path = "/notes/*", .fn = one, .max_body = JSON_BYTES},
        {.channel = "websocket.connect", .path = "/live", .fn = listen},
        {0},
    };
    const char *path = getenv("NOTES_DB") ? getenv("NOTES_DB") : "notes.db";
    const char *error = notes_open(path);
    if (error) {
        fprintf(stderr, "notes: no database in %s: %s; set NOTES_DB to a file on a local disk\n",
                path, error);
        return HR_ERR_APP;
    }
    note_observe(on_change, hr_worker_layer(worker));
    int r = hr_worker_on_stop(worker, stop, NULL);
    if (r == 0)
        r = catch_up(hr_worker_layer(worker));
    return r < 0 ? r : hr_worker_consume(worker, consumers);
}

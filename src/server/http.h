/* http.h - an HTTP connection: one request at a time, from its head to its answer.
 *
 * http.c has the states. The work of each stage stands in a file of its own:
 * request.c writes the message, body.c moves the request's body, reply.c takes
 * the answer's messages, pages.c answers what no worker does, websocket.c
 * takes the connection over when a handshake is accepted.
 *
 * Threads: the loop's.
 * Memory:  an hr_http belongs to its connection; hr_http_release() gives it
 *          back to the server, which keeps a few.
 */
#ifndef HR_SERVER_HTTP_H
#define HR_SERVER_HTTP_H

#include "http1/http1.h"
#include "server/body.h"
#include "server/connection.h"
#include "server/event.h"
#include "server/forwarded.h"
#include "server/private.h"

/* HR_HTTP_STATE(name, the states that may follow, meaning). */
#define HR_HTTP_STATES                                                                             \
    HR_HTTP_STATE(IDLE, HR_HTTP_IN(HEAD), "between requests")                                      \
    HR_HTTP_STATE(HEAD,                                                                            \
                  HR_HTTP_IN(HOLD) | HR_HTTP_IN(COLLECT) | HR_HTTP_IN(WAIT) | HR_HTTP_IN(ENDED),   \
                  "some of a head has come")                                                       \
    HR_HTTP_STATE(HOLD, HR_HTTP_IN(COLLECT) | HR_HTTP_IN(WAIT) | HR_HTTP_IN(ENDED),                \
                  "complete, but no pool has attached yet")                                        \
    HR_HTTP_STATE(COLLECT, HR_HTTP_IN(WAIT) | HR_HTTP_IN(ENDED),                                   \
                  "gathers as much of the body as goes with the message")                          \
    HR_HTTP_STATE(WAIT, HR_HTTP_IN(STREAM) | HR_HTTP_IN(ENDED), "its event is out")                \
    HR_HTTP_STATE(STREAM, HR_HTTP_IN(ENDED), "the answer has begun")                               \
    HR_HTTP_STATE(ENDED, HR_HTTP_IN(IDLE), "answered; the connection goes on or closes")

enum hr_http_state {
#define HR_HTTP_STATE(name, next, meaning) HR_HTTP_##name,
    HR_HTTP_STATES
#undef HR_HTTP_STATE
        HR_N_HTTP_STATES
};

enum {
    HR_REQUEST_ID_MAX = 64,
    HR_HTTP_UNSENT_MAX = 64 << 10, /* above it no further request of the client is begun */
};

/* The answer on its way to the client. */
struct hr_answer {
    uint16_t status;
    uint8_t framing; /* enum hr_http1_framing */
    bool keep_alive;
    bool has_length;
    bool is_full;          /* the layer refuses more for it */
    uint64_t length;       /* announced */
    uint64_t n_body;       /* bytes of the body so far */
    uint64_t n_credited;   /* of them said to be written */
    struct hr_addr holder; /* who wants to know */
};

/* What belongs to one request; zeroed before each. */
struct hr_exchange {
    enum hr_kind kind; /* REQUEST or CONNECT */
    hr_time began_at;
    char id[HR_REQUEST_ID_MAX];
    uint8_t id_len;
    bool has_head;   /* hr_http_request() may be asked */
    bool is_counted; /* in server->n_requests */
    bool is_safe;    /* GET, HEAD or OPTIONS */
    bool is_retried;
    enum hr_reason reason; /* why it was refused */
    struct hr_via via;     /* whom it comes from */
    struct hr_upload upload;
    struct hr_answer answer;
};

struct hr_http {
    struct hr_conn *conn;
    struct hr_server *server;
    struct hr_http *next_spare;
    struct hr_http1 engine;
    struct hr_source source;
    struct hr_list holding; /* server->holding */
    enum hr_http_state state;
    hr_time since; /* of the state, where its time is limited */
    struct hr_exchange ex;
    char client[HR_PEER_TEXT_MAX]; /* the text of `named`: made once a client */
    char local[HR_PEER_TEXT_MAX];  /* made once a connection */
    struct hr_peer named;
    uint16_t local_port;
    bool is_named; /* all of these are filled in */
};

/* Makes the connection speak HTTP. Returns 0 or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_http_open(struct hr_conn *conn);
/* Takes the part off its connection, which speaks something else from now on. */
void hr_http_release(struct hr_http *http);
/* Frees the parts at rest. */
void hr_http_free_spares(struct hr_server *server);

static inline const struct hr_http1_request *hr_http_request(const struct hr_http *http)
{
    return hr_http1_request(&http->engine);
}

void hr_http_move(struct hr_http *http, enum hr_http_state next);

/* The body, or as much of it as goes with the message, is there: sends the event. */
void hr_http_dispatch(struct hr_http *http);

/* The answer is complete: the line is logged, the connection goes on or ends. */
void hr_http_finish(struct hr_http *http);

/* A handshake was accepted and its source moved: logs, counts and releases. */
void hr_http_upgraded(struct hr_http *http);

/* The request cannot be served: an answer that says so or, when one has begun
 * already, the connection is cut. */
void hr_http_fail(struct hr_http *http, uint16_t status, enum hr_reason reason);

/* The records of pools have changed: requests held may go. */
void hr_http_release_held(struct hr_server *server);

/* Tells whoever holds the request that its client has left. */
void hr_http_tell_gone(struct hr_http *http);

#endif /* HR_SERVER_HTTP_H */

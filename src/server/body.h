/* body.h - a request's body, on its way from the client to its holder.
 *
 *     socket ──► engine ──► fifo (64 KiB) ──► http.request chunks ──► holder
 *                             │     ▲               │    ▲
 *                             ▼     │               │    └ body.credit {total}
 *                            spool file             └ at most `window` bytes un-credited
 *
 * What fits into 64 KiB goes inside the message. If there is more, the holder
 * sends body.open, and chunks follow as its window allows; when the fifo is
 * full, the socket is not read. For a pool that wants whole bodies the rest is
 * spooled to a file without a name first, so that no worker is held up by a
 * slow client.
 *
 * Threads: the loop's. Memory: hr_upload_fini() frees fifo and file.
 */
#ifndef HR_SERVER_BODY_H
#define HR_SERVER_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <headrace/layer.h>
#include <headrace/message.h>

#include "base/buf.h"
#include "base/time.h"

struct hr_http;

struct hr_upload {
    struct hr_buf fifo;
    int spool_fd;
    bool has_spool;
    bool is_spooling;    /* the whole body is to be here before the event is sent */
    bool waits_for_100;  /* the client does not send before we say so */
    bool is_open;        /* the holder wants the rest */
    bool is_ended;       /* the client has sent all */
    bool is_handed;      /* and the holder has all */
    bool is_stuck;       /* the layer had no room for a chunk */
    uint64_t spool_len;  /* bytes written to the file */
    uint64_t spool_at;   /* bytes read back from it */
    uint64_t n_received; /* from the client */
    uint64_t n_handed;   /* to the holder, those inside the message included */
    uint64_t n_credited; /* by the holder */
    uint64_t window;     /* the holder's */
    struct hr_addr holder;
    hr_time heard_at; /* the last byte from the client */
};

/* At the head: decides how much of the body goes with the message. True when
 * the event may be sent at once, with what is in the fifo. */
bool hr_upload_begin(struct hr_http *http);

/* Takes input, as hr_proto.on_data. May dispatch, or fail the request. */
size_t hr_upload_take(struct hr_http *http, const uint8_t *data, size_t len);

/* The messages of its holder. */
void hr_upload_on_open(struct hr_http *http, const struct hr_msg *msg);
void hr_upload_on_credit(struct hr_http *http, const struct hr_msg *msg);

/* Does what is due; gives the time of the next thing. */
hr_time hr_upload_on_time(struct hr_http *http, hr_time now);

/* Is the server waiting for the client to send more of it? */
bool hr_upload_awaits_client(const struct hr_http *http);

/* Are all bytes of the request off the socket? Else its connection cannot go on after the answer.
 */
bool hr_upload_is_read(const struct hr_http *http);

void hr_upload_fini(struct hr_upload *upload);

#endif /* HR_SERVER_BODY_H */

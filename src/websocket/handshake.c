/* handshake.c - the handshake's own headers; see websocket.h for the contract.
 *
 * The server's half is short, because reading a request and saying no to it
 * is plain HTTP and stands in http1. The client's half reads an answer's head
 * in one go, once it is whole: it serves load generators and tests, which
 * have no other use for an HTTP client.
 *
 * The digest is no security measure: it shows that the answer was made for
 * this request by something that speaks WebSocket (RFC 6455 1.3).
 */
#include "websocket/websocket.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/assert.h"

enum { WS_KEY_LEN = 24, WS_SHA1_LEN = 20 };

int hr_ws_accept_key(struct hr_str key, char out[29])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[WS_KEY_LEN + sizeof(guid) - 1];
    uint8_t digest[WS_SHA1_LEN];

    /* RFC 6455 4.2.1: 16 bytes in base64. */
    if (key.len != WS_KEY_LEN)
        return hr_raise(HR_ERR_INVALID);
    memcpy(text, key.ptr, WS_KEY_LEN);
    memcpy(text + WS_KEY_LEN, guid, sizeof(guid) - 1);
    if (!EVP_Digest(text, sizeof(text), digest, NULL, EVP_sha1(), NULL))
        return hr_raise(HR_ERR_NOMEM);
    int n = EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest));
    hr_assert(n == 28);
    return 0;
}

/* RFC 9110 5.6.2 */
static bool handshake_is_token(struct hr_str text)
{
    static const char letters[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    for (size_t i = 0; i < text.len; i++)
        if (!memchr(letters, text.ptr[i], sizeof(letters) - 1))
            return false;
    return text.len > 0;
}

bool hr_ws_next_protocol(struct hr_str *rest, struct hr_str *out)
{
    struct hr_str part;

    while (hr_str_next(rest, ',', &part)) {
        *out = hr_str_trim(part);
        if (handshake_is_token(*out))
            return true;
    }
    return false;
}

int hr_ws_put_answer(struct hr_buf *out, struct hr_str key, struct hr_str subprotocol)
{
    char accept[29];

    /* What stands in a header line must not be able to end it. */
    if (subprotocol.len > 0 && !handshake_is_token(subprotocol))
        return hr_raise(HR_ERR_INVALID);
    int r = hr_ws_accept_key(key, accept);
    if (r == 0)
        r = hr_buf_printf(out,
                          "HTTP/1.1 101 Switching Protocols\r\n"
                          "Upgrade: websocket\r\n"
                          "Connection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n",
                          accept);
    if (r == 0 && subprotocol.len > 0)
        r = hr_buf_printf(out, "Sec-WebSocket-Protocol: %.*s\r\n", HR_STR(subprotocol));
    return hr_trace(r);
}

void hr_ws_make_key(const uint8_t nonce[16], char out[25])
{
    int n = EVP_EncodeBlock((unsigned char *)out, nonce, 16);
    hr_assert(n == WS_KEY_LEN);
}

int hr_ws_put_request(struct hr_buf *out, const struct hr_ws_request *request, const char key[25])
{
    int r = hr_buf_printf(out,
                          "GET %.*s HTTP/1.1\r\n"
                          "Host: %.*s\r\n"
                          "Upgrade: websocket\r\n"
                          "Connection: Upgrade\r\n"
                          "Sec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: %s\r\n",
                          HR_STR(request->target), HR_STR(request->host), key);

    if (r == 0 && request->subprotocols.len > 0)
        r = hr_buf_printf(out, "Sec-WebSocket-Protocol: %.*s\r\n", HR_STR(request->subprotocols));
    if (r == 0 && request->headers.len > 0)
        r = hr_buf_append(out, request->headers.ptr, request->headers.len);
    if (r == 0)
        r = hr_buf_append(out, "\r\n", 2);
    return hr_trace(r);
}

/* What the answer's header lines said so far. */
struct answer_facts {
    struct hr_str expected_accept, offered;
    bool has_upgrade, has_connection, has_accept;
};

static bool answer_list_has(struct hr_str list, struct hr_str word)
{
    struct hr_str part;

    while (hr_str_next(&list, ',', &part))
        if (hr_str_eq_nocase(hr_str_trim(part), word))
            return true;
    return false;
}

static bool answer_was_offered(struct hr_str offered, struct hr_str protocol)
{
    struct hr_str one;

    while (hr_ws_next_protocol(&offered, &one))
        if (hr_str_eq(one, protocol))
            return true;
    return false;
}

/* One header line (RFC 6455 4.1, the client's numbered list); NULL or what is wrong with it. */
static const char *answer_line(struct answer_facts *facts, struct hr_str line,
                               struct hr_ws_answer *out)
{
    struct hr_str value = line, name;

    if (!hr_str_next(&value, ':', &name) || !handshake_is_token(name))
        return "malformed header line";
    value = hr_str_trim(value);
    if (hr_str_eq_nocase(name, HR_LIT("upgrade"))) {
        facts->has_upgrade = hr_str_eq_nocase(value, HR_LIT("websocket"));
    } else if (hr_str_eq_nocase(name, HR_LIT("connection"))) {
        facts->has_connection |= answer_list_has(value, HR_LIT("upgrade"));
    } else if (hr_str_eq_nocase(name, HR_LIT("sec-websocket-accept"))) {
        if (facts->has_accept || !hr_str_eq(value, facts->expected_accept))
            return "wrong Sec-WebSocket-Accept";
        facts->has_accept = true;
    } else if (hr_str_eq_nocase(name, HR_LIT("sec-websocket-extensions"))) {
        return "an extension that was not asked for";
    } else if (hr_str_eq_nocase(name, HR_LIT("sec-websocket-protocol"))) {
        if (out->subprotocol.len > 0 || !answer_was_offered(facts->offered, value))
            return "a subprotocol that was not asked for";
        out->subprotocol = value;
    }
    return NULL;
}

/* "HTTP/1.1 101 ..." (RFC 9112 4); 0 when it is no status line. */
static uint16_t answer_status(struct hr_str line)
{
    struct hr_str version = HR_LIT("HTTP/1.1 ");
    uint64_t status = 0;

    if (!hr_str_starts(line, version) || line.len < version.len + 3)
        return 0;
    if (line.len > version.len + 3 && line.ptr[version.len + 3] != ' ')
        return 0;
    if (!hr_str_u64((struct hr_str){line.ptr + version.len, 3}, &status) || status < 100)
        return 0;
    return (uint16_t)status;
}

/* Cuts a line off *head, of which every line ends in CRLF. */
static bool answer_next_line(struct hr_str *head, struct hr_str *line)
{
    const char *end = memmem(head->ptr, head->len, "\r\n", 2);

    if (!end)
        return false;
    *line = (struct hr_str){head->ptr, (size_t)(end - head->ptr)};
    *head = (struct hr_str){end + 2, head->len - line->len - 2};
    return true;
}

/* The head's lines after the first; NULL or what is wrong with them. */
static const char *answer_lines(struct answer_facts *facts, struct hr_str head,
                                struct hr_ws_answer *out)
{
    struct hr_str line;
    const char *fault = NULL;

    while (!fault && answer_next_line(&head, &line))
        fault = answer_line(facts, line, out);
    if (fault)
        return fault;
    if (!facts->has_upgrade || !facts->has_connection)
        return "no Upgrade to websocket";
    return facts->has_accept ? NULL : "no Sec-WebSocket-Accept";
}

int hr_ws_check_answer(struct hr_str data, struct hr_str subprotocols, const char key[25],
                       struct hr_ws_answer *out)
{
    const char *end = data.len > 0 ? memmem(data.ptr, data.len, "\r\n\r\n", 4) : NULL;
    char accept[29];
    struct hr_str head, line;

    *out = (struct hr_ws_answer){0};
    out->reason = "endless head";
    if (!end)
        return data.len < HR_WS_MAX_ANSWER ? HR_WS_ANSWER_MORE : HR_WS_ANSWER_BAD;
    head = (struct hr_str){data.ptr, (size_t)(end - data.ptr) + 2};
    out->n_used = head.len + 2;

    out->reason = "no HTTP/1.1 status line";
    if (!answer_next_line(&head, &line) || (out->status = answer_status(line)) == 0)
        return HR_WS_ANSWER_BAD;
    if (out->status != 101)
        return HR_WS_REFUSED;

    int r = hr_ws_accept_key((struct hr_str){key, WS_KEY_LEN}, accept);
    if (r < 0)
        return hr_trace(r);
    struct answer_facts facts = {.expected_accept = {accept, 28}, .offered = subprotocols};
    out->reason = answer_lines(&facts, head, out);
    return out->reason ? HR_WS_ANSWER_BAD : 0;
}

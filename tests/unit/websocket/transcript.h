/* transcript.h - feeding bytes to the engine cut in every way, and writing down what it says.
 *
 * A transcript is text, one event a line, with the pieces of a message joined:
 *
 *   text "Hello"
 *   ping "x"
 *   close 1000 "bye"
 *   bad 1002 reserved bits are set
 *
 * Two runs that mean the same have the same transcript, so strings are compared.
 */
#ifndef HR_TESTS_WEBSOCKET_TRANSCRIPT_H
#define HR_TESTS_WEBSOCKET_TRANSCRIPT_H

#include "base/buf.h"
#include "websocket/websocket.h"

struct ws_script {
    enum hr_ws_side side;
    uint64_t max_message;
    struct hr_buf input;
};

/* How a script's input reaches the engine. */
enum ws_cut { WS_CUT_NONE, WS_CUT_BYTES, WS_CUT_RANDOM };

/* Feeds the whole input and appends a NUL-terminated transcript to *out.
 * Asserts, on the way, what websocket.h promises of every single result. */
void ws_transcribe(const struct ws_script *script, enum ws_cut cut, uint32_t seed,
                   struct hr_buf *out);

/* The transcripts of the input whole, byte by byte and cut at random are the
 * same, and `expected` unless that is NULL. Reports the first that is not. */
bool ws_transcripts_agree(const char *name, const struct ws_script *script, const char *expected);

/* A payload as it stands in a transcript: quoted, or length and hash when it is long. */
void ws_quote(struct hr_buf *out, const void *data, size_t len);

/* Appends a frame as the peer of `side` sends it: masked for a server. */
void ws_put_frame(struct hr_buf *out, enum hr_ws_side side, enum hr_ws_opcode opcode, bool is_fin,
                  const void *data, size_t len);

/* Repeatable "random" numbers (xorshift). */
uint32_t ws_next_random(uint32_t *state);

#endif /* HR_TESTS_WEBSOCKET_TRANSCRIPT_H */

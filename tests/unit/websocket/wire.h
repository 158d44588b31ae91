/* wire.h - reads tests/wire/NAME.ws.wire and holds the engine to it.
 *
 * A file is a list of cases, lines of text:
 *
 *   == what it shows          a new case
 *   side client               the engine is the client (else the server)
 *   limit 100                 max_message (else none)
 *   < text more "Hel"         the peer sends a frame
 *   < raw 81 83               the peer sends bytes, in hex
 *   > text "Hello"            what the engine says of it, as in a transcript
 *   # ...                     a remark
 *
 * A frame is its opcode (cont, text, binary, close, ping, pong, or op3 ...),
 * words that bend it (more: no FIN; rsv1 rsv2 rsv3; mask, nomask: wrong for
 * its sender; len16, len64: that form of the length; says N: announces N
 * bytes whatever follows), a number (a close code) and strings, which may
 * have \xNN and be repeated: "ab"*100.
 */
#ifndef HR_TESTS_WEBSOCKET_WIRE_H
#define HR_TESTS_WEBSOCKET_WIRE_H

/* Runs every case of the file, each whole, byte by byte and cut at random;
 * returns how many failed and counts all in *n_cases. */
int ws_wire_run(const char *path, int *n_cases);

#endif /* HR_TESTS_WEBSOCKET_WIRE_H */

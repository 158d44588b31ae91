// ws_client.mjs - node's `ws` against a site: `node ws_client.mjs URL`. Prints what it saw as one JSON object.
import { createHash, randomBytes } from 'node:crypto';
import { WebSocket } from 'ws';

const url = process.argv[2];

function open(path, protocols, options) {
    return new Promise((resolve, reject) => {
        const ws = new WebSocket(url + path, protocols, { perMessageDeflate: false, ...options });
        ws.queue = [];
        ws.on('message', (data, isBinary) => ws.queue.push({ data, isBinary }));
        ws.once('open', () => resolve(ws));
        ws.once('unexpected-response', (_, response) => reject(new Error(`status ${response.statusCode}`)));
        ws.once('error', reject);
    });
}

async function next(ws) {
    while (ws.queue.length === 0) await new Promise((resolve) => ws.once('message', () => setImmediate(resolve)));
    return ws.queue.shift();
}

function closed(ws) {
    return new Promise((resolve) => ws.once('close', (code, reason) => resolve([code, reason.toString()])));
}

const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');
const seen = {};

const ws = await open('/ws', ['v9', 'v2.probe']);
seen.protocol = ws.protocol;
ws.send('tëxt');
const text = await next(ws);
seen.text = [text.data.toString(), text.isBinary];
const mib = randomBytes(1 << 20);
ws.send(mib);
const binary = await next(ws);
seen.binary = sha(binary.data) === sha(mib) && binary.isBinary;
ws.send('frag', { fin: false });
ws.send('men', { fin: false });
ws.ping('between'); // a control frame may come in the middle of a fragmented message
ws.send('ted', { fin: true });
seen.fragmented = (await next(ws)).data.toString();
const pong = new Promise((resolve) => ws.once('pong', (data) => resolve(data.toString())));
ws.ping('hello');
seen.pong = await pong;
ws.close(4001, 'bye');
seen.closed = await closed(ws);

const other = await open('/ws');
seen.no_protocol = other.protocol;
other.send('close 4999');
seen.closed_by_server = await closed(other);
seen.denied = await open('/deny').catch((error) => error.message);
seen.not_found = await open('/nowhere').catch((error) => error.message);
seen.foreign = await open('/ws', [], { origin: 'https://evil.example' }).catch((error) => error.message);
console.log(JSON.stringify(seen));

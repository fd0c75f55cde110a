/**
 * A receiver of webhooks that trains when the gateway asks for it: checks who sent it, answers at once, and runs retrain.py.
 *
 *   RETRAIN_SECRET=whsec_… node examples/retrain/receive.mjs --models models [--port 9100] [--python /usr/bin/python3]
 *
 * It is what a receiver has to be, and no more: the signature is compared in constant time over the raw body, an old one is
 * refused, an event that comes twice is answered and not run twice, and the answer comes before the work, because the gateway
 * waits for ten seconds only.
 */
import { spawn } from 'node:child_process';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const bodyBytesMax = 512 * 1024;
const skewSMax = 300;
const seenMax = 1000;
const waitingMax = 16;
const script = fileURLToPath(new URL('./retrain.py', import.meta.url));

const { values } = parseArgs({
  options: {
    models: { type: 'string' },
    port: { type: 'string', default: '9100' },
    python: { type: 'string', default: '/usr/bin/python3' },
  },
});
const keys = (process.env.RETRAIN_SECRET ?? '')
  .split(/\s+/)
  .filter((secret) => secret.startsWith('whsec_'))
  .map((secret) => Buffer.from(secret.slice('whsec_'.length), 'base64'));
if (values.models === undefined || keys.length === 0) {
  console.error('receive.mjs: expected --models DIR, and a secret (whsec_…) in RETRAIN_SECRET');
  process.exit(2);
}

/** Ids of events that were taken; the oldest are forgotten. */
const seen = new Set();
const waiting = [];
let running;

const server = createServer((request, response) => {
  const chunks = [];
  let bytes = 0;
  request.on('data', (chunk) => {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) return answer(response, 413, 'too large', () => request.destroy());
    chunks.push(chunk);
  });
  request.on('end', () => {
    if (bytes <= bodyBytesMax) take(request, Buffer.concat(chunks), response);
  });
});

function take({ method, headers }, body, response) {
  if (method !== 'POST') return answer(response, 405, 'expected POST');
  if (!isSigned(headers, body)) return answer(response, 401, 'the signature is wrong, or too old');
  const id = headers['webhook-id'];
  if (seen.has(id)) return answer(response, 200, 'taken before');
  let event;
  try {
    event = JSON.parse(body);
  } catch {
    return answer(response, 400, 'expected JSON');
  }
  if (event.type !== 'io.sluice.retrain.requested') return answer(response, 200, 'nothing to do');
  if (waiting.length >= waitingMax) return answer(response, 503, 'busy');
  seen.add(id);
  if (seen.size > seenMax) seen.delete(seen.values().next().value);
  waiting.push({ id, body });
  answer(response, 202, 'taken');
  next();
}

function answer(response, status, text, then) {
  if (!response.headersSent) response.writeHead(status, { 'content-type': 'text/plain' }).end(`${text}\n`, then);
}

/** `v1,` and base64 of the HMAC of id, time and body; one of several is enough while a secret is being replaced. */
function isSigned(headers, body) {
  const { 'webhook-id': id = '', 'webhook-timestamp': time = '', 'webhook-signature': given = '' } = headers;
  if (!/^[0-9]{1,12}$/.test(time) || Math.abs(Date.now() / 1000 - Number(time)) > skewSMax) return false;
  return given.split(' ').some((signature) => {
    const got = Buffer.from(signature);
    return keys.some((key) => {
      const hmac = createHmac('sha256', key).update(`${id}.${time}.`).update(body).digest('base64');
      const expected = Buffer.from(`v1,${hmac}`);
      return got.length === expected.length && timingSafeEqual(got, expected);
    });
  });
}

/** One training at a time. */
function next() {
  if (running !== undefined || waiting.length === 0) return;
  const { id, body } = waiting.shift();
  console.log(`training for ${id}`);
  running = spawn(values.python, [script, '--models', values.models], { stdio: ['pipe', 'inherit', 'inherit'] });
  running.on('error', (error) => console.error(`receive.mjs: ${error.message}`));
  running.on('close', (code) => {
    console.log(code === 0 ? `trained for ${id}` : `training for ${id} failed with ${code}`);
    // The gateway asks again when an operator replays the event.
    if (code !== 0) seen.delete(id);
    running = undefined;
    next();
  });
  running.stdin.on('error', () => {});
  running.stdin.end(body);
}

server.listen(Number(values.port), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
for (const signal of ['SIGTERM', 'SIGINT'])
  process.on(signal, () => {
    running?.kill();
    process.exit(0);
  });

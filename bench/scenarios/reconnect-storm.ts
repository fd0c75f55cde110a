/** Every client loses its connection at the same moment and comes back at once, again and again. */
import { connect } from 'node:net';
import { quantile } from '../suite/statistics.js';
import { rowBody, type Scenario } from './frame.js';

const clientCount = 500;
const answerMsMax = 2000;

/** Connects, asks once, hangs up. @returns milliseconds to the answer, or why there was none */
function askOnce(origin: URL, head: Buffer): Promise<number | string> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const socket = connect({ host: origin.hostname, port: Number(origin.port), timeout: 10_000 });
    const give = (result: number | string) => {
      resolve(result);
      socket.destroy();
    };
    let text = '';
    socket.on('connect', () => socket.write(head));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('\r\n\r\n'))
        give(text.startsWith('HTTP/1.1 200') ? performance.now() - startedAt : text.slice(0, 60));
    });
    socket.on('timeout', () => give('no answer within 10 s'));
    socket.on('error', (error) => give(error.message));
    socket.on('close', () => give('closed without an answer'));
  });
}

export const reconnectStorm: Scenario = {
  name: 'reconnect-storm',
  promise: `${clientCount} clients that all reconnect at once: none fails, each is answered within ${answerMsMax} ms`,
  async run(stage) {
    const gateway = await stage.gateway();
    const origin = new URL(gateway.http);
    const { path, headers, bytes } = rowBody('small', 30);
    const lines = Object.entries({ host: origin.host, ...headers, 'content-length': String(bytes.length) });
    const head = `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
    const request = Buffer.concat([Buffer.from(head), bytes]);
    const waves = stage.isQuick ? 5 : 20;
    const results: (number | string)[] = [];
    for (let wave = 0; wave < waves; wave++) {
      stage.onProgress(`wave ${wave + 1}/${waves}`);
      results.push(...(await Promise.all(Array.from({ length: clientCount }, () => askOnce(origin, request)))));
    }
    const times = results.filter((result) => typeof result === 'number').sort((a, b) => a - b);
    const failures = results.filter((result) => typeof result === 'string');
    const slowest = times.at(-1) ?? Number.POSITIVE_INFINITY;
    const example = failures[0] === undefined ? '' : `, the first: ${failures[0]}`;
    return {
      isMet: failures.length === 0 && slowest <= answerMsMax,
      found: `${waves} waves, ${failures.length} failed${example}; p99 ${Math.round(quantile(times, 0.99))} ms, slowest ${Math.round(slowest)} ms`,
    };
  },
};

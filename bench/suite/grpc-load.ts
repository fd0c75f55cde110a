/**
 * Entry of the gRPC load generator, a process of its own.
 *
 *   node grpc-load.js <host:port> <file with the message> <connections> <in flight on each> <seconds> <call|stream>
 *
 * Prints one line: `RESULT <successes> <microseconds> <p50 µs> <p99 µs> <errors>`.
 *
 * Must not know models or servers.
 */
import { readFileSync } from 'node:fs';
import { Connection } from './grpc-connection.js';
import { quantile } from './statistics.js';

const [address = '', file = '', connections = '1', inFlight = '1', seconds = '1', kind = 'call'] =
  process.argv.slice(2);
const colon = address.lastIndexOf(':');
const message = readFileSync(file);
const times: number[] = [];
let errors = 0;
let open = Number(connections);
let finish: () => void = () => {};
const finished = new Promise<void>((resolve) => {
  finish = resolve;
});

const startedAt = performance.now();
const all = Array.from(
  { length: open },
  () =>
    new Connection({
      host: address.slice(0, colon),
      port: Number(address.slice(colon + 1)),
      message,
      inFlight: Number(inFlight),
      isStream: kind === 'stream',
      now: () => performance.now(),
      onAnswer: (ms, isSuccess) => {
        if (isSuccess) times.push(ms);
        else errors++;
      },
      onClose: (unanswered) => {
        errors += unanswered;
        open--;
        if (open === 0) finish();
      },
    }),
);
setTimeout(finish, Number(seconds) * 1000);
await finished;
const us = (performance.now() - startedAt) * 1000;
const sorted = Float64Array.from(times).sort();
const failures = errors;
for (const connection of all) connection.stop();
const figures = [sorted.length, us, quantile(sorted, 0.5) * 1000, quantile(sorted, 0.99) * 1000, failures];
console.log(`RESULT ${figures.map(Math.round).join(' ')}`);

/**
 * A process with an outbox of its own, to be killed: `<path> <url> <events> <subjects> <name>`. Every event that counts as raised is
 * told to the parent.
 */
import { Outbox } from '../src/triggers/outbox.js';
import { endpointOf, eventOf } from './triggers-fixture.js';

const [path = '', url = '', events = '0', subjects = '1', name = 'e'] = process.argv.slice(2);

const { outbox } = await Outbox.open({
  path,
  endpoints: [endpointOf()],
  eventsMax: 10_000,
  bytesMax: 10_000_000,
  post: async (_, headers, body, signal) => {
    const response = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error' });
    return response.status;
  },
  random: Math.random,
  now: () => performance.now(),
  epochNow: Date.now,
  after: (delayMs, work) => {
    const timer = setTimeout(work, delayMs);
    return () => clearTimeout(timer);
  },
  onResult: (result) => process.send?.({ result }),
});
process.send?.({ open: true });
for (let n = 0; n < Number(events); n++) {
  const id = `${name}${String(n).padStart(5, '0')}`;
  await outbox.raise(eventOf(id, `s${n % Number(subjects)}`));
  process.send?.({ raised: id });
}
// It lives until it is killed.
setInterval(() => {}, 1000);

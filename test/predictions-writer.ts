/**
 * A process that logs events until it is killed, and says how many it has offered.
 *
 *   node predictions-writer.js <directory> <incarnation> [bursts]
 *
 * In bursts there are more than its buffers hold, and segments are short: numbers are dropped, and files change all the time.
 *
 * Must not know what is tested.
 */
import { event, floats, openLog, terms } from './predictions-events.js';

const [directory, incarnation, bursts] = process.argv.slice(2);
const isBursting = bursts !== undefined;
const log = await openLog(directory!, {
  incarnation: Number(incarnation),
  ...(isBursting ? { segmentRowsMax: 700, chunksMax: 4, flushMs: 3 } : { segmentRowsMax: 3000 }),
});
const subject = log.subject({ ...terms, sample: 1 });
const width = isBursting ? 256 : 4;
const inputs = [
  floats(
    'x',
    [1, width],
    Array.from({ length: width }, (_, i) => i + 1),
  ),
];
let offered = 0;
let tick = 0;
setInterval(() => {
  const count = isBursting && ++tick % 4 === 0 ? 1500 : 40;
  for (let i = 0; i < count; i++) log.append(event(subject, { requestId: `k-${incarnation}-${++offered}`, inputs }));
  process.stdout.write(`${offered}\n`);
}, 5);

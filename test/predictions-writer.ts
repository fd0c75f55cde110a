/**
 * A process that logs events until it is killed, and says how many it has offered.
 *
 *   node predictions-writer.js <directory> <incarnation>
 *
 * Must not know what is tested.
 */
import { event, floats, openLog, terms } from './predictions-events.js';

const [directory, incarnation] = process.argv.slice(2);
const log = await openLog(directory!, { incarnation: Number(incarnation), segmentRowsMax: 3000 });
const subject = log.subject({ ...terms, sample: 1 });
const inputs = [floats('x', [1, 4], [1, 2, 3, 4])];
let offered = 0;
setInterval(() => {
  for (let i = 0; i < 40; i++) log.append(event(subject, { requestId: `k-${incarnation}-${++offered}`, inputs }));
  process.stdout.write(`${offered}\n`);
}, 5);

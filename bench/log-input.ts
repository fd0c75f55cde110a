/**
 * What is sent, from the prediction log of a gateway: the newest requests of a stretch of time, as many as are held.
 *
 * Must not know protocols.
 */
import type { Gateway } from '../src/cli/control-port.js';
import { Exit } from '../src/cli/exit.js';
import { loggedColumns, loggedRequests, type Stretch } from '../src/cli/logged-requests.js';
import { type ColumnsByVersion, loggedInputs } from '../src/control/logged-inputs.js';
import { type LoggedRequest, reasonAgainst } from '../src/control/logged-request.js';
import { type Inputs, isBatched } from './inputs.js';
import type { ModelFacts } from './target.js';

/** The inputs of a logged request; undefined when what is logged does not give them. */
export function inputsOf(request: LoggedRequest, facts: ModelFacts, columns: ColumnsByVersion): Inputs | undefined {
  return loggedInputs(request, { inputs: facts.inputs, isBatched: isBatched(facts) }, columns);
}

const requestsMax = 10_000;
const elementsMax = 64 * 2 ** 20;

/** The newest requests of a stretch of time. @throws Exit 2 when none of them can be sent again */
export async function readLog(gateway: Gateway, stretch: Stretch, facts: ModelFacts): Promise<Inputs[]> {
  const columns = await loggedColumns(gateway, stretch.model);
  const found: Inputs[] = [];
  let [elements, passedOver] = [0, 0];
  for await (const request of loggedRequests(gateway, stretch)) {
    const inputs = reasonAgainst(request) === undefined ? inputsOf(request, facts, columns) : undefined;
    if (inputs === undefined) passedOver++;
    else {
      found.push(inputs);
      for (const { data } of inputs) elements += data.length;
    }
    if (found.length >= requestsMax || elements >= elementsMax) break;
  }
  if (found.length > 0) return found;
  const why = passedOver === 0 ? 'there are none' : `none of ${passedOver} is logged with whole inputs`;
  throw new Exit(
    2,
    `--input log: no requests of model '${stretch.model}' to send again: ${why} (see prediction_log.sample)`,
  );
}

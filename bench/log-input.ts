/**
 * What is sent, from the prediction log of a gateway: logged requests as the tensors that they were.
 *
 *   rows of a request ─▶ cells of each input, by declared column or from its JSON ─▶ shape, by the metadata ─▶ Inputs
 *
 * The log keeps elements and not shapes: an input with more than one dimension that varies cannot be put together again.
 *
 * Must not know protocols.
 */
import type { Gateway } from '../src/cli/control-port.js';
import { Exit } from '../src/cli/exit.js';
import {
  type LoggedColumn,
  type LoggedColumns,
  type LoggedRequest,
  loggedColumns,
  loggedRequests,
  reasonAgainst,
  type Stretch,
} from '../src/cli/logged-requests.js';
import type { TensorSpec } from '../src/core/tensor.js';
import { fill } from './input-file.js';
import { type Inputs, isBatched } from './inputs.js';
import type { ModelFacts } from './target.js';

/** The inputs of a logged request; undefined when what is logged does not give them. */
export function inputsOf(request: LoggedRequest, facts: ModelFacts, columns: LoggedColumns): Inputs | undefined {
  const own = columns.get(request.version) ?? [...columns.values()].find(({ length }) => length > 0) ?? [];
  try {
    return facts.inputs.map((spec) => {
      const parts = partsOf(request, spec.name, own);
      const shape = shapeOf(spec, parts, isBatched(facts));
      return fill({ ...spec, shape }, parts.flat().map(finite), `request ${request.requestId}`);
    });
  } catch {
    // Whatever does not fit says the same: these are not the inputs of this model.
    return undefined;
  }
}

/** Elements of an input, for each item. @throws Exit when some are not logged */
function partsOf({ items }: LoggedRequest, input: string, columns: readonly LoggedColumn[]): unknown[][] {
  const own = columns.filter((column) => column.input === input).sort((a, b) => a.index - b.index);
  return items.map((row) => {
    const cells =
      typeof row.input_json === 'string'
        ? (JSON.parse(row.input_json) as Record<string, unknown[]>)[input]
        : own.map(({ column, index }, at) => (index === at ? row[column] : null));
    if (cells === undefined || cells.includes(null) || cells.includes(undefined) || (cells.length === 0 && !own.length))
      throw new Exit(2, `input '${input}' is not logged whole`);
    return cells;
  });
}

/** @throws Exit when the dimensions that vary cannot be told */
function shapeOf({ shape }: TensorSpec, parts: readonly unknown[][], batched: boolean): number[] {
  const elements = parts.reduce((sum, { length }) => sum + length, 0);
  const declared = batched ? [parts.length, ...shape.slice(1)] : [...shape];
  const known = declared.reduce((product, size) => (size === -1 ? product : product * size), 1);
  const varying = declared.filter((size) => size === -1).length;
  if (varying > 1 || (varying === 1 && (known === 0 || elements % known !== 0)))
    throw new Exit(2, 'its shape is not known');
  return declared.map((size) => (size === -1 ? elements / known : size));
}

/** Numbers that are not finite are logged by their names. */
function finite(cell: unknown): unknown {
  return cell === 'NaN' ? Number.NaN : cell;
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

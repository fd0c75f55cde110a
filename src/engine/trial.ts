/**
 * Trying a session out: made-up inputs, run times by batch size, and whether its rows are independent.
 *
 * Used while a version warms up and by the probe. The made-up inputs are the same every time, so a verdict can be repeated.
 *
 * Must not know threads, processes or what the times are used for.
 */
import { allocate, concat, countOf, rowsOf, type Tensor, type TypedArray } from '../core/tensor.js';
import type { Session, SessionTensor } from './session.js';

/** How long one run of so many rows takes; rows 0 = a model without a batch dimension. */
export interface RunTime {
  readonly rows: number;
  readonly runUs: number;
}

/** Dimensions that vary and are not the batch get the first of these with which the model runs. */
const guesses = [1, 8, 32, 224] as const;

/**
 * An input for every input of the session.
 * @param rows size of the first dimension where it varies; 0 = there is no batch dimension
 * @param seed different seeds give different values
 */
export function inventInputs(session: Session, rows: number, seed: number, guess: number): Tensor[] {
  return session.inputs.map((input) => {
    const shape = input.shape.map((dimension, axis) =>
      dimension >= 0 ? dimension : axis === 0 && rows > 0 ? rows : guess,
    );
    return { name: input.name, datatype: input.datatype, shape, data: inventData(input, countOf(shape), seed) };
  });
}

function inventData(input: SessionTensor, count: number, seed: number): Tensor['data'] {
  if (input.datatype === 'BYTES') return Array.from({ length: count }, (_, i) => String((i + seed) % 7));
  const data = allocate(input.datatype, count);
  const isBig = input.datatype === 'INT64' || input.datatype === 'UINT64';
  const isFloat = input.datatype === 'FP32' || input.datatype === 'FP64';
  for (let i = 0; i < count; i++) {
    const noise = ((i + 1) * 7919 * (seed + 1)) % 101;
    (data as unknown as (number | bigint)[])[i] = isBig ? BigInt(noise & 1) : isFloat ? noise / 101 : noise & 1;
  }
  return data;
}

/** The first guess for free dimensions with which the model runs, or undefined when none does. */
async function workingGuess(session: Session, rows: number): Promise<number | undefined> {
  for (const guess of guesses) {
    try {
      await session.run(inventInputs(session, rows, 1, guess));
      return guess;
    } catch {
      // The model refuses this size; another may do.
    }
  }
  return undefined;
}

/** No size is measured for longer than this, however slow it is. */
const measureMsMax = 50;

/**
 * Warms the session and measures it: the shortest of `runs` runs of every size, because what disturbs a run only lengthens it.
 * @param runs of one size at most; at least two happen, so that the first, which plans memory, does not count
 * @returns nothing for a model that refuses every made-up input: it is served without being warm
 */
export async function measureRuns(session: Session, sizes: readonly number[], runs: number): Promise<RunTime[]> {
  const guess = await workingGuess(session, Math.min(1, sizes[0] ?? 0));
  if (guess === undefined) return [];
  const times: RunTime[] = [];
  for (const rows of sizes) {
    const inputs = inventInputs(session, rows, 1, guess);
    let best = Number.POSITIVE_INFINITY;
    let spentMs = 0;
    for (let i = 0; i < runs && (i < 2 || spentMs < measureMsMax); i++) {
      const startedAt = performance.now();
      await session.run(inputs);
      const runMs = performance.now() - startedAt;
      spentMs += runMs;
      best = Math.min(best, runMs);
    }
    times.push({ rows, runUs: best * 1000 });
  }
  return times;
}

/**
 * Whether two different rows give the same results alone and together, so that requests may share a run.
 * @returns the reason why not, or undefined when they may
 */
export async function whyNotBatched(session: Session): Promise<string | undefined> {
  const guess = await workingGuess(session, 1);
  if (guess === undefined) return 'the model runs with none of the made-up inputs';
  const rows = [inventInputs(session, 1, 1, guess), inventInputs(session, 1, 2, guess)];
  const joined = rows[0]!.map((first, input) => concat([first, rows[1]![input]!]));
  let together: Tensor[];
  try {
    together = await session.run(joined);
  } catch {
    // A size written into the graph, as exporters leave it in a Reshape: a good model for one row at a time.
    return 'the model runs with one row and not with two';
  }
  for (let row = 0; row < rows.length; row++) {
    const alone = await session.run(rows[row]!);
    for (let output = 0; output < alone.length; output++) {
      const [one, both] = [alone[output]!, together[output]!];
      if (both.shape[0] !== 2 || one.shape[0] !== 1)
        return `output '${one.name}' does not have one row for each input row`;
      if (!isClose(one, rowsOf(both, row, 1)))
        return `output '${one.name}' of a row depends on the other rows of its batch`;
    }
  }
  return undefined;
}

/** Equal, or within what summing in another order explains. */
function isClose(a: Tensor, b: Tensor): boolean {
  if (a.data.length !== b.data.length) return false;
  if (a.datatype !== 'FP32' && a.datatype !== 'FP64') {
    return Array.prototype.every.call(a.data, (element, i) => element === b.data[i]);
  }
  const [x, y] = [a.data as TypedArray as Float64Array, b.data as TypedArray as Float64Array];
  for (let i = 0; i < x.length; i++) {
    if (Object.is(x[i], y[i])) continue;
    if (!(Math.abs(x[i]! - y[i]!) <= 1e-5 + 1e-3 * Math.abs(x[i]!))) return false;
  }
  return true;
}

/**
 * Microseconds that a run of `rows` rows takes, between the measured sizes by a straight line and beyond them by the last one.
 * @param times ascending by rows
 */
export function estimateUs(times: readonly RunTime[], rows: number): number {
  const first = times[0];
  if (first === undefined) return Number.POSITIVE_INFINITY;
  if (times.length === 1 || rows <= first.rows) return first.runUs;
  let at = times.findIndex((time) => time.rows >= rows);
  if (at === -1) at = times.length - 1;
  const [low, high] = [times[at - 1]!, times[at]!];
  const slope = Math.max(0, (high.runUs - low.runUs) / (high.rows - low.rows));
  return Math.max(low.runUs, low.runUs + slope * (rows - low.rows));
}

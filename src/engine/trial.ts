/**
 * Trying a session out: made-up inputs, run times by batch size, and whether its rows are independent.
 *
 * Used while a version warms up and by the probe. The made-up inputs are the same every time, so a verdict can be repeated.
 *
 * Must not know threads, processes or what the times are used for.
 */
import { disagreementOf } from '../core/agreement.js';
import type { RunTime } from '../core/model.js';
import { allocate, concat, countOf, type DataType, rowsOf, type Tensor } from '../core/tensor.js';
import { complaintOf } from './complaint.js';
import type { Session } from './session.js';

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
    return {
      name: input.name,
      datatype: input.datatype,
      shape,
      data: inventElements(input.datatype, countOf(shape), seed),
    };
  });
}

/** Made-up rows of the shape that the rows of `like` have. */
export function inventLike(like: Tensor, rows: number): Tensor {
  const shape = [rows, ...like.shape.slice(1)];
  return { ...like, shape, data: inventElements(like.datatype, countOf(shape), 1) };
}

function inventElements(datatype: DataType, count: number, seed: number): Tensor['data'] {
  if (datatype === 'BYTES') return Array.from({ length: count }, (_, i) => String((i + seed) % 7));
  const data = allocate(datatype, count);
  const isBig = datatype === 'INT64' || datatype === 'UINT64';
  const isFloat = datatype === 'FP32' || datatype === 'FP64';
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
    } catch (error) {
      // The model refuses this size; another may do. Memory that does not suffice for the least will not for more.
      if (guess === guesses[0] && complaintOf(error).code === 'memory') throw error;
    }
  }
  return undefined;
}

/** No size is measured for longer than this, however slow it is. */
const measureMsMax = 50;

/**
 * Warms the session and measures it: the shortest of `runs` runs of every size, because what disturbs a run only lengthens it.
 * @param runs of one size at most; at least two happen, so that the first, which plans memory, does not count
 * @param sample real inputs that the model takes, to be used instead of made-up ones
 * @returns nothing for a model that refuses every made-up input: it is served without being warm
 */
export async function measureRuns(
  session: Session,
  sizes: readonly number[],
  runs: number,
  sample?: readonly Tensor[],
): Promise<RunTime[]> {
  const inputsOf = sample === undefined ? await inventor(session, sizes[0] ?? 0) : repeater(sample);
  if (inputsOf === undefined) return [];
  const times: RunTime[] = [];
  for (const rows of sizes) {
    const inputs = inputsOf(rows);
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
 * Runs every size once, so that memory is planned before a caller's batch comes.
 * @param pause called before each size: others may use the thread
 */
export async function warm(session: Session, sizes: readonly number[], pause: () => Promise<void>): Promise<void> {
  await pause();
  const inputsOf = await inventor(session, sizes[0] ?? 0);
  if (inputsOf === undefined) return;
  for (const rows of sizes) {
    await pause();
    await session.run(inputsOf(rows));
  }
}

async function inventor(session: Session, rows: number): Promise<((rows: number) => Tensor[]) | undefined> {
  const guess = await workingGuess(session, Math.min(1, rows));
  return guess === undefined ? undefined : (size) => inventInputs(session, size, 1, guess);
}

/** The first row of a sample again and again; rows 0 = the sample as it is. */
function repeater(sample: readonly Tensor[]): (rows: number) => readonly Tensor[] {
  return (rows) => {
    if (rows === 0) return sample;
    return sample.map((input) => concat(new Array<Tensor>(rows).fill(rowsOf(input, 0, 1))));
  };
}

/** Or within what summing in another order explains. */
const closeEnough = { atol: 1e-5, rtol: 1e-3 };

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
      if (disagreementOf(one, rowsOf(both, row, 1), closeEnough) !== undefined)
        return `output '${one.name}' of a row depends on the other rows of its batch`;
    }
  }
  return undefined;
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

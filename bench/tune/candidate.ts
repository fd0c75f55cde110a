/**
 * One way to run a model: how many threads, how many rows in a batch, how long to wait for them; and which ways are tried.
 *
 * Threads of a process are tried in every division between instances and operators that makes its share of the cores, and
 * twice that, because processes are seldom all busy at once. Sizes and delays are far apart: what lies between two of them
 * differs by less than the noise of a p99.
 *
 * Must not know gateways or how a candidate is judged.
 */

export interface Candidate {
  /** Threads that run the model in each process. */
  readonly instances: number;
  readonly intraOpThreads: number;
  /** Rows merged into one run; 0 = the model is not batched. */
  readonly rowsMax: number;
  readonly delayUs: number;
}

/** Values that replace some of a candidate's. */
export type Change = Partial<Candidate>;

/** One direction of the search: its changes are tried one after another on the best so far. */
export interface Axis {
  readonly name: string;
  readonly changes: readonly Change[];
}

export interface Bounds {
  readonly cores: number;
  readonly processes: number;
  /** Rows that a request has. */
  readonly rows: number;
  /** Most rows of one run that the model allows; 0 = it is not batched. */
  readonly rowsMax: number;
  /** Of the promise: whoever waits for longer has broken it already. */
  readonly limitUs: number;
}

const batchSizes = [1, 8, 32, 128];
/** Where the model sets no limit. */
export const batchRowsMax = batchSizes.at(-1)!;
const delaysUs = [0, 500, 2000];

export function axesOf({ cores, processes, rows, rowsMax, limitUs }: Bounds): Axis[] {
  const share = Math.max(1, Math.floor(cores / processes));
  const totals = [share, 2 * share].filter((total) => total <= Math.max(1, cores));
  const threads = new Map<string, Change>();
  for (const total of totals) {
    for (let intraOpThreads = 1; intraOpThreads <= total; intraOpThreads *= 2) {
      const instances = Math.floor(total / intraOpThreads);
      threads.set(`${instances} ${intraOpThreads}`, { instances, intraOpThreads });
    }
  }
  const axes: Axis[] = [{ name: 'threads', changes: [...threads.values()] }];
  if (rowsMax === 0) return axes;
  const sizes = [...batchSizes.filter((size) => size < rowsMax), rowsMax].filter((size) => size >= rows);
  axes.push({ name: 'batch', changes: sizes.map((size) => ({ rowsMax: size })) });
  const delays = delaysUs.filter((delayUs) => delayUs < limitUs / 2);
  axes.push({ name: 'delay', changes: delays.map((delayUs) => ({ delayUs })) });
  return axes;
}

/** The candidate with a change; undefined when that is pointless, as waiting for company that may not come along is. */
export function changed(candidate: Candidate, change: Change, rows: number): Candidate | undefined {
  const next = { ...candidate, ...change };
  return next.delayUs > 0 && next.rowsMax <= rows ? undefined : next;
}

export function keyOf({ instances, intraOpThreads, rowsMax, delayUs }: Candidate): string {
  return `${instances} ${intraOpThreads} ${rowsMax} ${delayUs}`;
}

export function textOf({ instances, intraOpThreads, rowsMax, delayUs }: Candidate): string {
  const batch = rowsMax === 0 ? 'no batches' : `batch ${rowsMax}, delay ${delayUs} µs`;
  return `${instances} × ${intraOpThreads} threads, ${batch}`;
}

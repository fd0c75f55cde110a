/**
 * A whole run: the server is asked what it serves, one trial request is sent, then row after row is measured.
 *
 *   options ─▶ target ─▶ inputs ─▶ payloads ─▶ trial ─▶ rows (connections, rates, or a search) ─▶ Run
 *
 * Everything that can be wrong with what was asked is found before the first row, so that a run never ends in a table of
 * zeros. A server that goes away, and Ctrl-C, end the run with the rows there are.
 *
 * Must not know the command line or how a run is shown.
 */
import { gatewayOf } from '../src/cli/control-port.js';
import { Exit } from '../src/cli/exit.js';
import type { CallerEvents, CallerFactory } from './caller.js';
import { gapsOf, seededRandom } from './chance.js';
import { closedCallers, closedHttp } from './closed.js';
import { encodeAll } from './encode.js';
import { frameOf, GrpcCaller } from './grpc-caller.js';
import { HttpCaller, requestBytes } from './http-caller.js';
import { readInputs } from './input-file.js';
import { type Inputs, randomInputs } from './inputs.js';
import type { Load } from './load.js';
import { readLog } from './log-input.js';
import { measure, type Progress } from './measure.js';
import type { Meter } from './meter.js';
import { openLoad } from './open.js';
import { type BenchOptions, isGrpc } from './options.js';
import { type Figures, type Row, type RowHead, rowOf } from './row.js';
import { type ReadUsage, takeSnapshot, usageFromMetrics, usageFromProcess } from './server-side.js';
import { type SearchOptions, searchRate } from './slo.js';
import { type ModelFacts, modelPath, openHttpTarget, type Payload, type Target } from './target.js';
import { openGrpcTarget } from './target-grpc.js';

export interface Run {
  readonly options: BenchOptions;
  readonly server: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly rows: readonly Row[];
  /** Why the run ended before its last row; '' = it did not. */
  readonly cutShort: string;
  /** The highest rate that kept the promise, when one was searched. */
  readonly bestRate: number | undefined;
}

export interface RunContext {
  readonly now: () => number;
  readonly startedAt: number;
  readonly signal: AbortSignal;
  readonly progress: (head: RowHead, progress: Progress) => void;
  readonly rowDone: (row: Row) => void;
  /** What differs from the usual search for the rate that keeps the promise; without a start it is found out. */
  readonly search?: Partial<Omit<SearchOptions, 'isOver'>> & {
    /** A rate is given up when the promise was broken so many times in a row; 1 unless told. */
    readonly tries?: number;
  };
}

/** Of the rate at which the promise is kept; the noise of a p99 is not smaller. */
const usualSearch: Omit<SearchOptions, 'startRate'> = {
  precision: 0.05,
  probesMax: 16,
  rateMin: 1,
  rateMax: 1_000_000,
};
/** Of all answers, while a promise counts as kept. */
const errorShareMax = 0.001;
/** Of the rate asked for, that must have been answered for a promise to count as kept. */
const rateShareMin = 0.95;

/** @throws Exit when nothing could be measured because of the options, the file, the server or the model */
export async function runBench(options: BenchOptions, context: RunContext): Promise<Run> {
  const target = isGrpc(options.protocol) ? openGrpcTarget(options) : openHttpTarget(options);
  try {
    const { server, payloads } = await prepare(options, target, context.startedAt);
    const readUsage = usageOf(options);
    await readUsage();
    const bench = new Bench({ options, context, target, payloads, readUsage });
    const bestRate = await bench.runAll();
    const { rows, cutShort } = bench;
    return { options, server, startedAt: context.startedAt, rows, cutShort, bestRate };
  } finally {
    target.close();
  }
}

async function prepare(
  options: BenchOptions,
  target: Target,
  startedAt: number,
): Promise<{ server: string; payloads: Payload[] }> {
  const { model, version } = options;
  const facts = await target.describe();
  const requests = await requestsOf(options, facts, startedAt);
  const payloads = encodeAll(requests, options.protocol, { model, version });
  await target.tryOne(payloads[0]!);
  return { server: facts.server, payloads };
}

/** @param startedAt milliseconds since the epoch */
async function requestsOf(options: BenchOptions, facts: ModelFacts, startedAt: number): Promise<Inputs[]> {
  const { model, input: file, rows, shapes, seed, lastMs } = options;
  if (file === undefined) return randomInputs({ model, facts, rows: rows ?? 1, shapes, random: seededRandom(seed) });
  if (file !== 'log') return readInputs({ file, model, facts, rows });
  if (rows !== undefined) throw new Exit(2, '--rows: requests of the log have the rows they have');
  const admin = controlOf(options);
  if (admin === undefined) throw new Exit(2, '--input log: name the control port of the gateway with --admin');
  return readLog(gatewayOf(admin, process.env), { model, fromMs: startedAt - lastMs }, facts);
}

/** The control port of the same machine is guessed only for a gateway on its usual ports. */
function controlOf({ url, admin }: BenchOptions): string | undefined {
  if (admin !== undefined) return admin;
  const { hostname, port } = new URL(url);
  return port === '8000' || port === '8001' ? `http://${hostname}:8002` : undefined;
}

function usageOf(options: BenchOptions): ReadUsage {
  if (options.pid !== undefined) return usageFromProcess(options.pid);
  const control = controlOf(options);
  return control === undefined ? async () => undefined : usageFromMetrics(control, options.admin !== undefined);
}

interface BenchParts {
  readonly options: BenchOptions;
  readonly context: RunContext;
  readonly target: Target;
  readonly payloads: readonly Payload[];
  readonly readUsage: ReadUsage;
}

/** Arrivals by chance may fall short by three standard deviations without any fault of the server. */
function isOnRate({ rps, requests }: Figures, rate: number): boolean {
  const expected = (rate * requests) / rps;
  return requests >= expected * rateShareMin - 3 * Math.sqrt(expected);
}

class Bench {
  readonly rows: Row[] = [];
  cutShort = '';
  readonly #parts: BenchParts;
  readonly #openCaller: CallerFactory;

  constructor(parts: BenchParts) {
    this.#parts = parts;
    this.#openCaller = callersOf(parts.options, parts.payloads);
  }

  /** @returns the best rate, when one was searched */
  async runAll(): Promise<number | undefined> {
    const { options } = this.#parts;
    if (options.slo !== undefined) return this.#search();
    for (const load of options.mode === 'closed' ? options.connections : options.rates) {
      if (this.cutShort !== '') break;
      await this.#row(load);
    }
    return undefined;
  }

  async #search(): Promise<number | undefined> {
    const { slo, durationMs } = this.#parts.options;
    const { search = {} } = this.#parts.context;
    const startRate =
      search.startRate ?? Math.max(1, Math.round((await this.#capacity(Math.min(durationMs, 2000))) / 2));
    const once = async (rate: number) => {
      const row = await this.#row(rate);
      const { figures, sloLatencyUs, errorCount } = row;
      const meetsSlo =
        figures !== undefined &&
        sloLatencyUs !== undefined &&
        sloLatencyUs <= slo!.limitUs &&
        isOnRate(figures, rate) &&
        errorCount <= figures.requests * errorShareMax;
      this.rows[this.rows.length - 1] = { ...row, meetsSlo };
      return meetsSlo;
    };
    const { tries = 1 } = search;
    const probe = async (rate: number) => {
      for (let time = 1; time < tries && this.cutShort === ''; time++) if (await once(rate)) return true;
      return this.cutShort === '' && once(rate);
    };
    return searchRate(probe, { ...usualSearch, ...search, startRate, isOver: () => this.cutShort !== '' });
  }

  /** Roughly what the server can answer in a second, so that the search begins near its end. */
  async #capacity(durationMs: number): Promise<number> {
    const { options, context } = this.#parts;
    const connections = Math.min(32, options.connections[0]!);
    const head = { protocol: options.protocol, mode: 'closed', arrivals: undefined, load: connections } as const;
    const measured = await measure({
      start: (meter) => this.#closed(connections, meter),
      snapshot: async () => ({ counts: undefined, usage: undefined }),
      warmupMs: Math.min(500, durationMs / 4),
      durationMs,
      timeoutMs: options.timeoutMs,
      percent: 50,
      limitUs: undefined,
      isPoisson: false,
      now: context.now,
      signal: context.signal,
      progress: (progress) => context.progress(head, { ...progress, stage: 'how much can it do?' }),
    });
    const { windows, verdict, reason } = measured;
    if (verdict === 'partial') this.cutShort = reason;
    const answers = windows.reduce((sum, window) => sum + window.answers, 0);
    const elapsedMs = windows.reduce((sum, window) => sum + window.durationMs, 0);
    return elapsedMs === 0 ? 1 : (answers * 1000) / elapsedMs;
  }

  async #row(load: number): Promise<Row> {
    const { options, context, target, readUsage } = this.#parts;
    const { protocol, mode, slo } = options;
    const head: RowHead = { protocol, mode, arrivals: mode === 'open' ? options.arrivals : undefined, load };
    const measured = await measure({
      start: (meter) => (mode === 'closed' ? this.#closed(load, meter) : this.#open(load, meter)),
      snapshot: () => takeSnapshot(target, readUsage),
      warmupMs: options.warmupMs,
      durationMs: options.durationMs,
      timeoutMs: options.timeoutMs,
      percent: slo?.percent ?? 50,
      limitUs: slo?.limitUs,
      isPoisson: mode === 'open' && options.arrivals === 'poisson',
      now: context.now,
      signal: context.signal,
      progress: (progress) => context.progress(head, progress),
    });
    const row = rowOf(head, measured);
    if (measured.verdict === 'partial') this.cutShort = measured.reason;
    this.rows.push(row);
    context.rowDone(row);
    return row;
  }

  #closed(connections: number, meter: Meter): Load {
    const { options, payloads, context } = this.#parts;
    const closed = { connections, timeoutMs: options.timeoutMs, meter, now: context.now };
    if (isGrpc(options.protocol)) return closedCallers(this.#openCaller, payloads.length, closed);
    return closedHttp(payloads, httpCall(options), closed);
  }

  #open(rate: number, meter: Meter): Load {
    const { options, payloads, context } = this.#parts;
    return openLoad(this.#openCaller, payloads.length, {
      connections: options.connections[0]!,
      gapMs: gapsOf(options.arrivals, rate, seededRandom(options.seed)),
      timeoutMs: options.timeoutMs,
      meter,
      now: context.now,
    });
  }
}

function httpCall({ url, model, version, headers }: BenchOptions) {
  return { url, path: `${modelPath(model, version)}/infer`, headers };
}

function callersOf(options: BenchOptions, payloads: readonly Payload[]): CallerFactory {
  const { url, protocol, headers } = options;
  if (isGrpc(protocol)) {
    const frames = payloads.map(({ body }) => frameOf(body));
    const call = { url, isStream: protocol === 'grpc-stream', headers };
    return (events: CallerEvents) => new GrpcCaller(call, frames, events);
  }
  const requests = requestBytes(payloads, httpCall(options));
  return (events: CallerEvents) => new HttpCaller(url, requests, events);
}

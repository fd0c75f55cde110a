/**
 * Runs cells: starts a model's servers, makes sure that all give the same answer, lets them take turns, stops them.
 *
 * Must not know what the numbers promise or how they are printed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { binaryBody, grpcMessage, type HttpBody, jsonBody } from './bodies.js';
import type { Cell } from './cells.js';
import { floorLoad } from './floor.js';
import { grpcLoad } from './grpc.js';
import { httpLoad } from './http-load.js';
import type { Load } from './load.js';
import { measure, type Runner } from './measure.js';
import { type Line, meanBetween, quantileBetween, readMetrics } from './metrics-text.js';
import { type Model, type ModelName, prepareModel } from './models.js';
import { type CellResult, type Results, rowsOf } from './results.js';
import { baselines, type Gateway, type Server, startBaseline, startGateway } from './servers.js';
import { spreadOf } from './statistics.js';

export interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  /** For models and files of the load generators. */
  readonly directory: string;
  readonly against: string | undefined;
  readonly againstGrpc: string | undefined;
  readonly say: (line: string) => void;
  readonly onProgress: (text: string) => void;
}

export interface Found extends Pick<Results, 'cells' | 'floors'> {
  /** Cells that could not be measured, with the reason. */
  readonly failures: readonly string[];
}

/** Which ratios are taken, where both were measured. */
const bases = ['plain', 'floor-echo', 'floor-ort', 'floor-raw'] as const;

/** Cells model by model, so that every server holds one model and its memory says what that costs. */
export async function runCells(cells: readonly Cell[], plan: Plan): Promise<Found> {
  const found: { cells: CellResult[]; floors: Results['floors']; failures: string[] } = {
    cells: [],
    floors: [],
    failures: [],
  };
  for (const name of new Set(cells.map((cell) => cell.model))) {
    const own = cells.filter((cell) => cell.model === name);
    const { cells: measured, floors, failures } = await runModel(name, own, plan);
    found.cells.push(...measured);
    found.floors.push(...floors);
    found.failures.push(...failures);
  }
  return found;
}

async function runModel(name: ModelName, cells: readonly Cell[], plan: Plan): Promise<Found> {
  const model = prepareModel(name, plan.directory);
  if (typeof model === 'string') {
    plan.say(`${cells.map((cell) => cell.name).join(', ')} left out: ${model}`);
    return { cells: [], floors: [], failures: [] };
  }
  const gateway = await startGateway({ models: model.repository });
  const servers: Server[] = [gateway];
  try {
    servers.push(...(await startOthers(model, cells, gateway.processes.size, plan)));
    await checkAnswers(model, servers);
    const results: CellResult[] = [];
    const failures: string[] = [];
    for (const cell of cells) {
      plan.say(`${cell.name}: ${model.what}, ${cell.protocol}, ${cell.connections} in flight`);
      try {
        results.push(await runCell(cell, model, gateway, servers, plan));
      } catch (error) {
        failures.push(`${cell.name}: ${error instanceof Error ? error.message : error}`);
      }
    }
    return { cells: results, floors: await runFloors(model, results, plan), failures };
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

async function startOthers(model: Model, cells: readonly Cell[], processes: number, plan: Plan): Promise<Server[]> {
  const wanted = new Set(cells.flatMap((cell) => cell.servers));
  const servers: Server[] = [];
  for (const name of baselines) {
    if (!wanted.has(name)) continue;
    try {
      servers.push(await startBaseline(name, model, processes));
    } catch (error) {
      if (name === 'plain') throw error;
      plan.say(`${name} left out: ${error instanceof Error ? error.message.split('\n')[0] : error}`);
    }
  }
  if (plan.against !== undefined && wanted.has('against')) {
    const { against: http, againstGrpc: grpc } = plan;
    servers.push({ name: 'against', http, grpc, admin: undefined, pid: undefined, stop: async () => {} });
  }
  return servers;
}

/** A fast wrong answer is no answer: all servers must agree with the gateway, apart from the floor, which runs no model. */
async function checkAnswers(model: Model, servers: readonly Server[]): Promise<void> {
  const expected = await answerOf(servers[0]!, jsonBody(model));
  for (const { name, http } of servers) {
    const got = await answerOf({ name, http }, jsonBody(model));
    const isEqual = got.length === expected.length && got.every((value, i) => Math.abs(value - expected[i]!) < 1e-3);
    if (name !== 'floor-echo' && !isEqual)
      throw new Error(`${name} does not give the answer of sluice for model '${model.name}'`);
  }
}

async function answerOf({ name, http }: Pick<Server, 'name' | 'http'>, body: HttpBody): Promise<number[]> {
  const options = { method: 'POST', headers: body.headers, body: new Uint8Array(body.bytes) };
  const response = await fetch(http + body.path, options).catch((error: Error) => {
    throw new Error(
      `${name} at ${http} does not answer: ${(error.cause as Error | undefined)?.message ?? error.message}`,
    );
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${name} answered ${response.status}: ${text.slice(0, 200)}`);
  return JSON.parse(text).outputs[0].data;
}

async function runCell(
  cell: Cell,
  model: Model,
  gateway: Gateway,
  servers: readonly Server[],
  plan: Plan,
): Promise<CellResult> {
  const present = cell.servers.flatMap((name) => servers.filter((server) => server.name === name));
  const seen: { batches: number[]; lags: number[] } = { batches: [], lags: [] };
  const runners = present.flatMap((server): Runner[] => {
    const load = loadOf(cell, model, server, plan);
    if (load === undefined) return [];
    const runner = { name: server.name, pid: server.pid, load };
    return [server === gateway ? { ...runner, ...watch(gateway.admin, seen) } : runner];
  });
  if (cell.model === 'large') runners.push(...(await floorsBeside(model, gateway, runners, plan)));
  const samples = await measure(runners, plan);
  return {
    name: cell.name,
    what: `${model.what}, ${cell.protocol}, ${cell.connections} in flight`,
    rows: rowsOf(samples, bases),
    batchRows: seen.batches.length === 0 ? Number.NaN : spreadOf(seen.batches).median,
    lagP99Ms: seen.lags.length === 0 ? Number.NaN : spreadOf(seen.lags).median,
  };
}

/** `plain` and its kind speak JSON only: in other cells they are the base that the ratios refer to. */
export function loadOf(
  cell: Pick<Cell, 'protocol' | 'connections' | 'streams'>,
  model: Model,
  server: Server,
  plan: Pick<Plan, 'directory'>,
): Load | undefined {
  const { connections } = cell;
  const speaksV2 = server.name === 'sluice' || server.name === 'against';
  const protocol = speaksV2 ? cell.protocol : 'json';
  if (protocol === 'json' || protocol === 'binary') {
    const body = protocol === 'json' ? jsonBody(model) : binaryBody(model);
    return httpLoad({ url: server.http, body, connections, directory: plan.directory });
  }
  if (server.grpc === undefined) return undefined;
  const streams = protocol === 'grpc' ? connections : (cell.streams ?? 1);
  return grpcLoad({
    address: server.grpc,
    message: grpcMessage(model),
    connections: streams,
    inFlightPerConnection: connections / streams,
    kind: protocol === 'grpc' ? 'call' : 'stream',
    directory: plan.directory,
  });
}

/** Reads batch sizes and the event loop's lag around each of the gateway's turns. */
function watch(admin: string, seen: { batches: number[]; lags: number[] }): Pick<Runner, 'before' | 'after'> {
  let before: readonly Line[] = [];
  return {
    before: async () => {
      before = await readMetrics(admin);
    },
    after: async () => {
      const after = await readMetrics(admin);
      const batch = meanBetween(before, after, 'sluice_batch_size');
      if (!Number.isNaN(batch)) seen.batches.push(batch);
      const lag = quantileBetween(before, after, 'sluice_event_loop_lag_seconds', 0.99);
      if (!Number.isNaN(lag)) seen.lags.push(lag * 1000);
    },
  };
}

/** The bare runtime at the batch size that the gateway reaches: with as many loops as it has threads, and in one loop with its own settings. */
async function floorsBeside(model: Model, gateway: Gateway, runners: readonly Runner[], plan: Plan): Promise<Runner[]> {
  const before = await readMetrics(gateway.admin);
  await runners.find(({ name }) => name === 'sluice')!.load(2);
  const rows = Math.max(1, Math.round(meanBetween(before, await readMetrics(gateway.admin), 'sluice_batch_size')));
  const response = await fetch(`${gateway.http}/v2/models/${model.name}/config`);
  const config = (await response.json()) as { readonly instance_group: readonly { readonly count: number }[] };
  const threads = gateway.processes.size * (config.instance_group[0]?.count ?? 1);
  plan.say(`  floor-ort: ${threads} loops at ${rows} rows; floor-raw: one`);
  await sleep(200);
  return [
    { name: 'floor-ort', pid: undefined, load: floorLoad('floor-ort', model, rows, threads) },
    { name: 'floor-raw', pid: undefined, load: floorLoad('floor-raw', model, rows, 1) },
  ];
}

/** One thread of the bare runtime, at one row and at the batch sizes of this model's cells; of few rounds, at the largest. */
async function runFloors(model: Model, cells: readonly CellResult[], plan: Plan): Promise<Results['floors']> {
  const sizes = cells.flatMap(({ batchRows }) => (Number.isNaN(batchRows) ? [] : [Math.max(1, Math.round(batchRows))]));
  const floors: Results['floors'] = [];
  const chosen = plan.rounds > 3 ? [1, ...sizes] : [1, Math.max(1, ...sizes)];
  for (const rows of [...new Set(chosen)].sort((a, b) => a - b)) {
    plan.onProgress(`floor-ort ${model.name}, ${rows} rows`);
    const load = floorLoad('floor-ort', model, rows, 1);
    const rates: number[] = [];
    for (let round = 0; round < Math.min(3, plan.rounds); round++) {
      const { requests, seconds } = await load(1);
      rates.push(requests / seconds);
    }
    floors.push({ model: model.name, rows, rowsPerSecond: spreadOf(rates) });
  }
  return floors;
}

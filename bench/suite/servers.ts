/**
 * The servers that are compared: how each is started for one model, and where it then answers.
 *
 * Must not know load or cells.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { removeStoreTree } from '../../test/store-tree.js';
import { end, start } from './children.js';
import { readMetrics } from './metrics-text.js';
import type { Model } from './models.js';

export const baselines = ['plain', 'fastify', 'cluster', 'floor-echo', 'floor-minimal'] as const;
export type Baseline = (typeof baselines)[number];
export type ServerName = Baseline | 'sluice' | 'against';

export interface Server {
  readonly name: ServerName;
  /** As `http://host:port`. */
  readonly http: string;
  /** As `host:port`. */
  readonly grpc: string | undefined;
  /** Address of the control port. */
  readonly admin: string | undefined;
  /** Undefined when it is not ours to look at. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

const startMs = 60_000;

/** Resolves with what the first line that `match` accepts gives. @throws when the process ends first, or takes too long */
export function lineOf<T>(child: ChildProcess, what: string, match: (line: string) => T | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    let said = '';
    const late = setTimeout(() => reject(new Error(`${what} did not start within ${startMs} ms: ${said}`)), startMs);
    const hear = (line: string) => {
      if (said.length < 2000) said += `${line}\n`;
      const found = match(line);
      if (found === undefined) return;
      clearTimeout(late);
      resolve(found);
    };
    createInterface({ input: child.stdout! }).on('line', hear);
    createInterface({ input: child.stderr! }).on('line', hear);
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      clearTimeout(late);
      reject(new Error(`${what} ended with ${code ?? signal}: ${said.trim()}`));
    });
  });
}

/** Why it did not start: of all that it said before it ended, its complaint. */
export function reasonIn(said: string): string {
  const complaint = /^.*?sluice: (.*)$/m.exec(said)?.[1];
  return (complaint ?? said.split('\n')[0]!).slice(0, 300);
}

/**
 * One of the programs in `bench/baselines`, which say `listening <port>`.
 * @param processes how many the gateway has; only the floors take as many, the baselines are what their names say
 */
export async function startBaseline(name: Baseline, model: Model, processes: number): Promise<Server> {
  const program = fileURLToPath(new URL(`../baselines/${name}.js`, import.meta.url));
  const child = start(process.execPath, [program, model.name, model.file, String(processes)]);
  const port = await lineOf(child, name, (line) => /^listening (\d+)$/.exec(line)?.[1]);
  return {
    name,
    http: `http://127.0.0.1:${port}`,
    grpc: undefined,
    admin: undefined,
    pid: child.pid,
    stop: () => end(child),
  };
}

export interface GatewayOptions {
  readonly models: string;
  /** 0 = the gateway's own choice. */
  readonly processes?: number;
  readonly flags?: readonly string[];
  /** Further options, as SLUICE_… variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Text of its sluice.yaml. */
  readonly config?: string;
}

export interface Gateway extends Server {
  readonly grpc: string;
  readonly admin: string;
  readonly pid: number;
  readonly child: ChildProcess;
  /** Process ids of the gateway processes that have said they are ready, by number; the latest of each. */
  readonly processes: ReadonlyMap<number, number>;
  /** Lines of the log so far, as objects. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
}

const cli = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

/** The gateway as it is shipped: `serve` with its defaults, on free ports. */
export async function startGateway({
  models,
  processes = 0,
  flags = [],
  env = {},
  config,
}: GatewayOptions): Promise<Gateway> {
  const ports = ['http', 'grpc', 'admin'].flatMap((name) =>
    flags.includes(`--${name}-port`) ? [] : [`--${name}-port`, '0'],
  );
  const args = [cli, 'serve', '--models', models, '--host', '127.0.0.1', ...ports, '--log-format', 'json', ...flags];
  if (processes > 0) args.push('--gateway-processes', String(processes));
  if (!flags.includes('--drain-delay-ms')) args.push('--drain-delay-ms', '0');
  const state = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  const paths = {
    SLUICE_REGISTRY_STORE_PATH: join(state, 'store'),
    SLUICE_AUDIT_PATH: join(state, 'audit'),
    SLUICE_PREDICTION_LOG_PATH: join(state, 'log'),
  };
  if (config !== undefined) {
    const file = join(state, 'sluice.yaml');
    writeFileSync(file, config);
    args.push('--config', file);
  }
  const child = start(process.execPath, args, { env: { ...process.env, ...paths, ...env } });
  child.on('exit', () => removeStoreTree(state));
  const log: Readonly<Record<string, unknown>>[] = [];
  const ready = new Map<number, number>();
  let addresses: { readonly http: string; readonly grpc: string } | undefined;
  let admin: string | undefined;
  const found = await lineOf(child, 'sluice', (line) => {
    const entry = parsed(line);
    if (entry === undefined) return undefined;
    if (log.length < logMax) log.push(entry);
    if (entry.msg === 'gateway.ready') {
      ready.set(Number(entry.process), Number(entry.gatewayPid));
      addresses ??= { http: String(entry.http), grpc: String(entry.grpc) };
    }
    if (entry.msg === 'listening' && entry.admin !== undefined) admin = String(entry.admin);
    return addresses !== undefined && admin !== undefined ? { ...addresses, admin } : undefined;
  });
  await allReady(found.admin);
  return { name: 'sluice', ...found, pid: child.pid!, child, processes: ready, log, stop: () => end(child, 10_000) };
}

const logMax = 10_000;

/** How many processes there will be is the gateway's own choice; its metrics say how many are ready. */
async function allReady(admin: string): Promise<void> {
  for (const giveUpAt = Date.now() + startMs; Date.now() < giveUpAt; ) {
    const states = (await readMetrics(admin)).filter(({ name }) => name === 'sluice_processes');
    if (states.length > 0 && states.every(({ labels, value }) => value === 0 || labels.state === 'ready')) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('sluice did not get all its processes ready');
}

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

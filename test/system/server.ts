/** Starts the real server as a process of its own on free ports, and ends it. Shared by the system tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { removeStoreTree } from '../store-tree.js';

const built = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

export interface LogLine {
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Server {
  readonly http: string;
  readonly grpc: string;
  readonly admin: string;
  readonly pid: number;
  readonly log: readonly LogLine[];
  readonly stderr: () => string;
  /** Resolves with the first line, past or to come, that `test` accepts. */
  line(test: (line: LogLine) => boolean): Promise<LogLine>;
  kill(signal: NodeJS.Signals): void;
  /** Exit code and signal, once it has ended. */
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  stop(): Promise<{ code: number | null; signal: string | null }>;
}

export interface ServerOptions {
  readonly models: string;
  readonly flags?: readonly string[];
  readonly processes?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Another build than the one under test. */
  readonly cli?: string;
  /** Runs as this user. */
  readonly uid?: number;
}

/** Output of a server that is expected not to start. */
export async function failStart(
  options: ServerOptions,
): Promise<{ code: number | null; stderr: string; stdout: string }> {
  const child = launch(options);
  let stderr = '';
  let stdout = '';
  child.stderr!.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdout!.on('data', (chunk) => {
    stdout += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on('exit', resolve));
  return { code, stderr, stdout };
}

function launch({ models, flags = [], processes = 2, env = {}, cli = built, uid }: ServerOptions): ChildProcess {
  const ports = ['http', 'grpc', 'admin'].flatMap((name) =>
    flags.includes(`--${name}-port`) ? [] : [`--${name}-port`, '0'],
  );
  const args = [
    'serve',
    '--models',
    models,
    '--host',
    '127.0.0.1',
    '--gateway-processes',
    String(processes),
    '--log-format',
    'json',
  ];
  if (!flags.includes('--drain-delay-ms')) args.push('--drain-delay-ms', '0');
  // Every server has a store of its own, unless the test gives it one that outlives it.
  const own = mkdtempSync(join(tmpdir(), 'sluice-state-'));
  if (uid !== undefined) chownSync(own, uid, uid);
  const state = { SLUICE_REGISTRY_STORE_PATH: join(own, 'store'), SLUICE_AUDIT_PATH: join(own, 'audit') };
  const child = spawn(process.execPath, [cli, ...args, ...ports, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...state, ...env },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  child.on('exit', () => removeStoreTree(own));
  return child;
}

/** Resolves when every gateway process listens. */
export async function startServer(options: ServerOptions): Promise<Server> {
  const child = launch(options);
  const log: LogLine[] = [];
  const watchers = new Set<() => void>();
  let stderr = '';
  child.stderr!.on('data', (chunk) => {
    stderr += chunk;
  });
  createInterface({ input: child.stdout! }).on('line', (text) => {
    try {
      log.push(JSON.parse(text));
    } catch {
      log.push({ msg: text });
    }
    for (const watcher of watchers) watcher();
  });
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.on('exit', (code, signal) => resolve({ code, signal }));
  });
  const line = (test: (line: LogLine) => boolean) =>
    new Promise<LogLine>((resolve, reject) => {
      const look = () => {
        const found = log.find(test);
        if (found === undefined) return;
        watchers.delete(look);
        resolve(found);
      };
      watchers.add(look);
      void exited.then(({ code, signal }) =>
        reject(new Error(`the server ended (${code ?? signal}) before that line: ${stderr}`)),
      );
      look();
    });
  const processes = options.processes ?? 2;
  for (let number = 1; number <= processes; number++) {
    await line(({ msg, process }) => msg === 'gateway.ready' && process === number);
  }
  const ready = log.find(({ msg }) => msg === 'gateway.ready')!;
  const listening = await line(({ msg, admin }) => msg === 'listening' && admin !== undefined);
  return {
    http: String(ready.http),
    grpc: String(ready.grpc),
    admin: String(listening.admin),
    pid: child.pid!,
    log,
    stderr: () => stderr,
    line,
    kill: (signal) => void child.kill(signal),
    exited,
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
  };
}

/** Process ids of the gateway processes that live now, by number. */
export function gatewayPids(server: Server): Map<number, number> {
  const pids = new Map<number, number>();
  for (const { msg, process, gatewayPid } of server.log) {
    if (msg === 'gateway.ready') pids.set(Number(process), Number(gatewayPid));
  }
  return pids;
}

/** A directory that is gone after the test. */
export function freshDirectory(context: { after(work: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-'));
  // A server that a failed test left behind may still write into it; a hook that fails would keep it alive for good.
  context.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  return directory;
}

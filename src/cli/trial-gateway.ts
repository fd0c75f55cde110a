/**
 * A gateway of one version that is served nowhere yet, for as long as somebody tries it: what a folder or a model.onnx
 * answers, after the same admission and through the same engine as if it were served.
 *
 *   copy into a fresh folder ─▶ sluice serve on free ports of loopback ─▶ ready, or why not ─▶ … ─▶ stop, remove
 *
 * It takes nothing of the configuration around it.
 *
 * Must not know what it is tried with.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Exit } from './exit.js';

export interface TrialGateway {
  readonly http: string;
  readonly version: string;
  close(): Promise<void>;
}

const readyMs = 120_000;
const stopMs = 10_000;
const linesKept = 20;

type Line = Readonly<Record<string, unknown>>;

/** @param path of a version's folder, or of its model.onnx @throws Exit when it cannot be served */
export async function openTrialGateway(path: string, model: string): Promise<TrialGateway> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-trial-'));
  let child: ChildProcess | undefined;
  const close = async () => {
    if (child !== undefined) await stopped(child);
    const { removeTree } = await import('../registry/store/disk.js');
    await removeTree(directory);
  };
  try {
    const version = copied(path, join(directory, 'models', model));
    child = started(directory);
    return { http: await ready(child, `${model} version ${version}`), version, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** @returns its number: that of its folder, or 1 */
function copied(path: string, into: string): string {
  const source = resolve(path);
  const found = statSync(source, { throwIfNoEntry: false });
  if (found === undefined)
    throw new Exit(2, `--candidate: expected a version number, the folder of a version or a model.onnx, got ${path}`);
  const version = found.isDirectory() && /^[1-9][0-9]{0,17}$/.test(basename(source)) ? basename(source) : '1';
  const place = join(into, version);
  mkdirSync(place, { recursive: true });
  cpSync(source, found.isDirectory() ? place : join(place, 'model.onnx'), { recursive: true, dereference: true });
  return version;
}

function started(directory: string): ChildProcess {
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) if (!name.startsWith('SLUICE_')) env[name] = value;
  const flags = {
    models: join(directory, 'models'),
    host: '127.0.0.1',
    'http-port': 0,
    'grpc-enabled': false,
    'admin-port': 0,
    'gateway-processes': 1,
    'drain-delay-ms': 0,
    'log-format': 'json',
    'registry-store-path': join(directory, 'store'),
    'audit-path': join(directory, 'audit'),
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const stdio = ['ignore', 'pipe', 'pipe'] as const;
  return spawn(process.execPath, [process.argv[1]!, 'serve', ...args], { cwd: directory, env, stdio: [...stdio] });
}

/** @returns where it listens, once the version is served */
function ready(child: ChildProcess, what: string): Promise<string> {
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    let http: string | undefined;
    let isServed = false;
    const refuse = (reason: string) => {
      clearTimeout(timer);
      reject(new Exit(1, `--candidate: ${what} cannot be served: ${reason}`));
    };
    const timer = setTimeout(() => refuse(`it was not ready after ${readyMs / 1000} s`), readyMs);
    const look = (text: string) => {
      said.push(text);
      if (said.length > linesKept) said.shift();
      const { msg, http: url, reason } = lineOf(text);
      if (msg === 'model.refused' || msg === 'model.failed') return refuse(String(reason));
      if (msg === 'gateway.ready') http = String(url);
      isServed ||= msg === 'model.ready';
      if (http === undefined || !isServed) return;
      clearTimeout(timer);
      resolve(http);
    };
    createInterface({ input: child.stdout! }).on('line', look);
    createInterface({ input: child.stderr! }).on('line', look);
    child.once('error', (error) => refuse(error.message));
    child.once('exit', () => refuse(said.at(-1) ?? 'the gateway that tries it ended'));
  });
}

function lineOf(text: string): Line {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return {};
  }
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), stopMs);
  await gone;
  clearTimeout(timer);
}

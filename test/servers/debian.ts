/**
 * Servers that come as Debian packages, run for a test: one process each, in a folder of its own, ended by its id.
 *
 * A test that needs one is skipped with the reason where it is missing, but never in CI, where a missing server is a fault.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

/** @returns the reason to skip a test for, or false */
export function skipWithout(binaries: readonly string[], packages: string): string | false {
  if (process.env.CI !== undefined) return false;
  const missing = binaries.filter((path) => !existsSync(path));
  return missing.length === 0 ? false : `${missing.join(', ')} is missing: apt-get install ${packages}`;
}

/** A port that was free a moment ago, for servers that cannot be told to take any. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

export interface Started {
  stop(): Promise<void>;
}

export interface ProcessOptions {
  readonly command: string;
  readonly parameters: readonly string[];
  readonly port: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Resolves when the port answers. @throws what the process said when it ended before that */
export async function startProcess({ command, parameters, port, environment }: ProcessOptions): Promise<Started> {
  const child = spawn(command, parameters, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let said = '';
  const listen = (text: Buffer) => {
    said = `${said}${text}`.slice(-4000);
  };
  child.stdout.on('data', listen);
  child.stderr.on('data', listen);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let failure: Error | undefined;
  child.once('error', (error) => {
    failure = error;
  });
  // Six Python processes at once take their time on a machine with other things to do.
  for (let tries = 0; tries < 900; tries++) {
    if (failure !== undefined || child.exitCode !== null) break;
    if (await answers(port)) return { stop: () => stop(child, ended) };
    await wait(50);
  }
  child.kill('SIGKILL');
  throw new Error(`${command} did not come up: ${failure?.message ?? said}`);
}

async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await ended;
  clearTimeout(timer);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

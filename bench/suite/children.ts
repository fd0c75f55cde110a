/**
 * The processes that the suite starts, and their end: none outlives it, whether it finishes, fails or is interrupted.
 *
 * Must not know what they are.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

const living = new Set<ChildProcess>();

/** Starts a process that dies with the suite. It leads a group of its own, so that its children die as well. */
export function start(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...options });
  living.add(child);
  child.on('exit', () => living.delete(child));
  child.on('error', () => living.delete(child));
  return child;
}

/** Ends it: SIGTERM first, SIGKILL to its whole group when that takes too long. Resolves when it is gone. */
export function end(child: ChildProcess, withinMs = 3000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    const forced = setTimeout(() => killGroup(child), withinMs);
    child.on('exit', () => {
      clearTimeout(forced);
      killGroup(child);
      resolve();
    });
    child.kill('SIGTERM');
  });
}

/** SIGKILL to everything that was started and still lives. */
export function killAll(): void {
  for (const child of living) killGroup(child);
  living.clear();
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

/** Makes sure of `killAll` however this process ends. */
export function dieTogether(): void {
  process.on('exit', killAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      killAll();
      process.exit(130);
    });
  }
}

/** Runs a command to its end. @throws when it fails or takes longer than `withinMs` */
export async function run(command: string, args: readonly string[], withinMs: number): Promise<string> {
  const child = start(command, args);
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout!.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr!.on('data', (chunk: Buffer) => err.push(chunk));
  const late = setTimeout(() => killGroup(child), withinMs);
  const ended = await new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code === 0 ? '' : `ended with ${code ?? signal}`));
  });
  clearTimeout(late);
  if (ended !== '') throw new Error(`${command} ${ended}: ${Buffer.concat(err).toString().trim().slice(0, 500)}`);
  return Buffer.concat(out).toString();
}

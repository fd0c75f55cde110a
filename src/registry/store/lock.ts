/**
 * One process at a time owns a store: `store.lock` names it by process id, start time and boot, which no later process has.
 *
 * The file appears with its content, by link(2): created empty and filled afterwards, it would for a moment belong to nobody.
 * A dead owner's file is replaced under a lock on the lock, taken by the same rule; else two that see the same dead owner
 * could each remove what the other has just put there.
 *
 * Must not know what is locked.
 */
import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { GatewayError } from '../../core/errors.js';
import { absent } from './disk.js';

/** `started` and `boot` are empty where the system does not tell them; then a recycled process id passes for its owner. */
const ownerSchema = z.object({ pid: z.int().min(1), started: z.string(), boot: z.string() });

type Owner = z.infer<typeof ownerSchema>;

const triesMax = 20;
/** A lock on the lock on the lock: each level is left behind only by a process that died while it replaced a dead one. */
const levelsMax = 4;

/** @throws FAILED_PRECONDITION naming the process that has it */
export async function takeLock(path: string): Promise<Lock> {
  const owner = await ownerOf(process.pid);
  if (owner === undefined) throw new GatewayError('INTERNAL', 'this process cannot find its own start time');
  const own = `${path}.own.${owner.pid}.${owner.started}.${randomUUID()}`;
  await writeFile(own, JSON.stringify(owner), { flag: 'wx', mode: 0o600 });
  try {
    await take(path, own, 0);
  } finally {
    await rm(own, { force: true });
  }
  await clear(path);
  return new Lock(path);
}

/**
 * Removes what processes left that died while they took the lock. Whose a file is stands in its name, because one that is
 * being written has no content yet, and whoever writes it needs it.
 */
async function clear(path: string): Promise<void> {
  const start = `${basename(path)}.own.`;
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(start)) continue;
    const [pid, started] = name.slice(start.length).split('.');
    if ((await ownerOf(Number(pid)))?.started !== started) await rm(join(dirname(path), name), { force: true });
  }
}

export class Lock {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  release(): Promise<void> {
    return unlink(this.#path);
  }
}

async function take(path: string, own: string, level: number): Promise<void> {
  for (let attempt = 0; attempt < triesMax; attempt++) {
    if (await isLinked(own, path)) return;
    const text = await readFile(path, 'utf8').catch(absent);
    if (text === undefined) continue;
    const owner = parsed(text);
    if (owner !== undefined && (await isAlive(owner))) throw inUse(path, `by process ${owner.pid}`);
    if (level === levelsMax) throw inUse(path, 'by a process that is taking it over');
    const gate = `${path}.takeover`;
    await take(gate, own, level + 1);
    try {
      // Whoever held the gate before may have replaced the dead owner already.
      if ((await readFile(path, 'utf8').catch(absent)) === text) {
        const next = `${own}.next`;
        await link(own, next);
        await rename(next, path);
        return;
      }
    } finally {
      await unlink(gate);
    }
  }
  throw inUse(path, 'by processes that come and go');
}

async function isLinked(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function inUse(path: string, by: string): GatewayError {
  return new GatewayError(
    'FAILED_PRECONDITION',
    `the store is in use ${by} (${path}): stop that, or give this one a store of its own with --registry-store-path`,
  );
}

function parsed(text: string): Owner | undefined {
  try {
    return ownerSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

async function isAlive(owner: Owner): Promise<boolean> {
  const now = await ownerOf(owner.pid);
  return now !== undefined && now.started === owner.started && now.boot === owner.boot;
}

/** The process that has this id now; undefined = none. */
async function ownerOf(pid: number): Promise<Owner | undefined> {
  const boot = await bootId();
  if (boot === '') return isKnown(pid) ? { pid, started: '', boot } : undefined;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(gone);
  if (stat === undefined) return undefined;
  // The name of the program stands in parentheses and may hold anything; the start time is field 22, the 20th after it.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? undefined : { pid, started: fields[18]!, boot };
}

function gone(error: NodeJS.ErrnoException): undefined {
  // ESRCH: it ended between the opening and the reading.
  if (error.code === 'ESRCH') return undefined;
  return absent(error);
}

function isKnown(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

let boot: Promise<string> | undefined;

/** Of this run of the machine; empty where there is no /proc. */
export function bootId(): Promise<string> {
  boot ??= readFile('/proc/sys/kernel/random/boot_id', 'utf8')
    .catch(absent)
    .then((text = '') => text.trim());
  return boot;
}

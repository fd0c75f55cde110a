/**
 * The server's side of a row: queue and compute from its V2 statistics, processor and memory from its metrics or the kernel.
 *
 *   before ─▶ load ─▶ after          figure = (after − before) ÷ requests in between
 *
 * Nothing here is required of a server: what cannot be read is undefined, and a table shows it as "–".
 *
 * Must not know load or tables.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { Exit } from '../src/cli/exit.js';
import type { ServerFigures } from './row.js';
import type { ServerCounts, Target } from './target.js';

/** What the server's processes have used. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}

export type ReadUsage = () => Promise<Usage | undefined>;

export interface Snapshot {
  readonly counts: ServerCounts | undefined;
  readonly usage: Usage | undefined;
}

export async function takeSnapshot(target: Target, readUsage: ReadUsage): Promise<Snapshot> {
  const [counts, usage] = await Promise.all([target.statistics(), readUsage()]);
  return { counts, usage };
}

/** @param answers that the client got between the two */
export function serverFigures(before: Snapshot, after: Snapshot, answers: number): ServerFigures {
  const counts = before.counts && after.counts ? difference(before.counts, after.counts) : undefined;
  const cpuS = before.usage && after.usage ? after.usage.cpuSeconds - before.usage.cpuSeconds : undefined;
  const { requests = 0, runs = 0 } = counts ?? {};
  return {
    queueUs: requests > 0 ? counts!.queueNs / requests / 1000 : undefined,
    computeUs: requests > 0 ? counts!.computeNs / requests / 1000 : undefined,
    batchRows: runs > 0 ? counts!.rows / runs : undefined,
    // A process that has ended took its counter with it, and a negative cost is none.
    cpuUs: cpuS !== undefined && cpuS >= 0 && answers > 0 ? (cpuS * 1e6) / answers : undefined,
    rssBytes: after.usage?.rssBytes,
  };
}

function difference(before: ServerCounts, after: ServerCounts): ServerCounts {
  return {
    requests: after.requests - before.requests,
    queueNs: after.queueNs - before.queueNs,
    computeNs: after.computeNs - before.computeNs,
    rows: after.rows - before.rows,
    runs: after.runs - before.runs,
  };
}

const metricsTimeoutMs = 5000;
const metricsBytesMax = 64 * 2 ** 20;

/** @throws Exit 1 from the first call when `isRequired` and nobody answers */
export function usageFromMetrics(admin: string, isRequired: boolean): ReadUsage {
  let isAway = false;
  return async () => {
    if (isAway) return undefined;
    try {
      const signal = AbortSignal.timeout(metricsTimeoutMs);
      const response = await fetch(`${admin}/metrics`, { signal, redirect: 'error' });
      const text = await response.text();
      const usage = response.ok && text.length <= metricsBytesMax ? parseUsage(text) : undefined;
      if (usage === undefined && isRequired)
        throw new Exit(1, `--admin: ${admin}/metrics answered ${response.status} without the metrics of a gateway`);
      return usage;
    } catch (error) {
      // Asked once: a port that is not there is not asked again before and after every row.
      isAway = !isRequired;
      if (!isRequired) return undefined;
      if (error instanceof Exit) throw error;
      const { cause, message } = error as Error & { cause?: Error };
      throw new Exit(1, `--admin: no answer from ${admin}/metrics: ${cause?.message ?? message}`);
    }
  };
}

/** Sums over processes; undefined when the text has no such metrics. */
export function parseUsage(text: string): Usage | undefined {
  const cpuSeconds = sumOf(text, 'sluice_process_cpu_seconds_total');
  const rssBytes = sumOf(text, 'sluice_process_resident_memory_bytes');
  return cpuSeconds === undefined || rssBytes === undefined ? undefined : { cpuSeconds, rssBytes };
}

function sumOf(text: string, name: string): number | undefined {
  const samples = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}\\n]*\\})? +([0-9.eE+-]+)`, 'gm'))];
  return samples.length === 0 ? undefined : samples.reduce((sum, match) => sum + Number(match[1]), 0);
}

/** Of Linux on every platform that runs Node. */
const ticksPerSecond = 100;

/**
 * A process on this machine and all that it started.
 * @throws Exit 2 from the first call when there is no such process
 */
export function usageFromProcess(pid: number): ReadUsage {
  let wasSeen = false;
  return async () => {
    const all = readProcesses();
    if (!all.has(pid)) {
      if (wasSeen) return undefined;
      throw new Exit(2, `--pid: there is no process ${pid} on this machine`);
    }
    wasSeen = true;
    const family = new Set([pid]);
    for (let size = 0; size !== family.size; ) {
      size = family.size;
      for (const [child, { parent }] of all) if (family.has(parent)) family.add(child);
    }
    const used = { cpuSeconds: 0, rssBytes: 0 };
    for (const member of family) {
      used.cpuSeconds += all.get(member)!.cpuSeconds;
      used.rssBytes += all.get(member)!.rssBytes;
    }
    return used;
  };
}

function readProcesses(): Map<number, Usage & { readonly parent: number }> {
  const found = new Map<number, Usage & { readonly parent: number }>();
  let names: string[] = [];
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    throw new Exit(2, '--pid: needs the /proc of Linux; use --admin instead');
  }
  for (const name of names) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // The second field is a name in brackets that may hold spaces and brackets itself.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const rssKb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))?.[1];
      found.set(Number(name), {
        parent: Number(fields[1]),
        cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
        rssBytes: Number(rssKb ?? 0) * 1024,
      });
    } catch {
      // It has ended in the meantime.
    }
  }
  return found;
}

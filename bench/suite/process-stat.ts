/**
 * What a server costs: CPU time and resident memory of a process and all its descendants, as the kernel counts them.
 *
 * Must not know what they serve.
 */
import { readdirSync, readFileSync } from 'node:fs';

export interface Usage {
  /** User and system time so far, in microseconds. */
  readonly cpuUs: number;
  readonly rssBytes: number;
}

/** Linux counts process times in hundredths of a second for every program (USER_HZ). */
const tickUs = 10_000;
const pageBytes = 4096;

/** The process and its descendants; those that are gone meanwhile are left out. */
export function familyOf(pid: number): number[] {
  const family = [pid];
  for (let i = 0; i < family.length; i++) family.push(...childrenOf(family[i]!));
  return family;
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

export function usageOf(pid: number): Usage {
  return sumOf(familyOf(pid));
}

/** Of the process alone. */
export function ownUsageOf(pid: number): Usage {
  return sumOf([pid]);
}

function sumOf(pids: readonly number[]): Usage {
  let cpuUs = 0;
  let rssBytes = 0;
  for (const member of pids) {
    const fields = statOf(member);
    if (fields === undefined) continue;
    // Counted from the state, which is field 3 of proc(5).
    cpuUs += (Number(fields[11]) + Number(fields[12])) * tickUs;
    rssBytes += Number(fields[21]) * pageBytes;
  }
  return { cpuUs, rssBytes };
}

function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name stands in brackets and may hold anything.
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

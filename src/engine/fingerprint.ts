/**
 * What decides the last bits of an answer beside the model: runtime, processor and options, as one line of text.
 *
 * Two runs under the same line must give the same bits; under different lines they need only be near each other.
 *
 * Must not know models.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import type { SessionPolicy } from '../core/model.js';
import { loadRuntime } from './session.js';

const features = createHash('sha256').update(processorFeatures()).digest('hex').slice(0, 16);

/** `onnxruntime 1.30.0, cpu, x64 4f0c…, intra-op 1, optimization all, sequential` */
export function fingerprintOf(policy: SessionPolicy): string {
  const { version } = loadRuntime();
  const options = `intra-op ${policy.intraOpThreads}, optimization ${policy.optimization}, ${policy.executionMode}`;
  return `onnxruntime ${version}, cpu, ${process.arch} ${features}, ${options}`;
}

/** The kernels that the runtime picks follow from the instruction set, which /proc/cpuinfo lists; elsewhere from the name. */
function processorFeatures(): string {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
    if (line !== undefined) return line.trim().split(/\s+/).sort().join(' ');
  } catch {
    // No such file on this system.
  }
  return cpus()[0]?.model ?? '';
}

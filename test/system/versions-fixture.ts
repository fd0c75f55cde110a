/** What the tests of versions share: a server whose store and audit log outlive it, versions with manifests, the command line. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { removeTree } from '../../src/registry/store/disk.js';
import { dense } from '../fixtures.js';
import { type Answer, post } from './load.js';
import type { Server } from './server.js';

const cli = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

export interface State {
  readonly directory: string;
  readonly store: string;
  readonly audit: string;
  /** For servers that are to share it, one after another. */
  readonly env: Readonly<Record<string, string>>;
  /** Writes a configuration file. @returns the flags that name it */
  config(text: string): string[];
}

/** A store and an audit log that outlive a server. */
export function stateFor(context: { after(work: () => Promise<void>): void }): State {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-versions-'));
  // A server that a failed test left behind may still write into it for a moment.
  context.after(() => eventually(() => removeTree(directory)));
  const store = join(directory, 'store');
  const audit = join(directory, 'audit');
  const file = join(directory, 'sluice.yaml');
  return {
    directory,
    store,
    audit,
    env: { SLUICE_REGISTRY_STORE_PATH: store, SLUICE_AUDIT_PATH: audit },
    config: (text) => {
      writeFileSync(file, text);
      return ['--config', file];
    },
  };
}

/** Resolves with the first value that `look` gives without throwing. */
export async function eventually<Value>(look: () => Value | Promise<Value>, withinMs = 20_000): Promise<Value> {
  const until = performance.now() + withinMs;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > until) throw error;
    }
    await wait(50);
  }
}

/** Networks of the small model whose versions are told apart by what they answer. */
export const sizes = [4, 8, 2];

/** The model of a version; another number gives other weights. */
export const modelOf = (seed: number): Buffer => dense(sizes, seed);

export const rowBody = JSON.stringify({
  inputs: [{ name: 'INPUT0', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }],
});

export const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A manifest of these files, with the signature of the small model. */
export function manifestOf(files: Readonly<Record<string, Uint8Array | string>>, change: object = {}): string {
  const listed = Object.entries(files).map(([path, content]) => {
    const bytes = Buffer.from(content);
    return { path, size: bytes.length, sha256: sha256(bytes) };
  });
  const tensor = (name: string, columns: number) => ({ name, datatype: 'FP32', shape: [-1, columns] });
  const signature = { inputs: [tensor('INPUT0', sizes[0]!)], outputs: [tensor('OUTPUT0', sizes.at(-1)!)] };
  return JSON.stringify({ schema: 1, files: listed, signature, ...change });
}

/** A version with a manifest, by path. */
export function wholeVersion(seed: number): Readonly<Record<string, Buffer | string>> {
  const files = { 'model.onnx': modelOf(seed) };
  return { ...files, 'manifest.json': manifestOf(files) };
}

/** The version that answers, by default or at `place` (`labels/champion`, `versions/2`). */
export async function answeredBy(server: Server, model: string, place = ''): Promise<string> {
  const answer = await post(`${server.http}/v2/models/${model}${place === '' ? '' : `/${place}`}/infer`, rowBody);
  assert.notEqual(answer, 'refused');
  const { status, text, headers } = answer as Answer;
  assert.equal(status, 200, text);
  const { model_version: version } = JSON.parse(text);
  assert.equal(headers['x-sluice-version'], version);
  return version;
}

/** Until this version answers by default. */
export function isAnsweredBy(server: Server, model: string, version: string): Promise<void> {
  return eventually(async () => assert.equal(await answeredBy(server, model), version));
}

export async function admin<Json = { readonly error: string }>(
  server: Server,
  path: string,
  body?: object,
): Promise<{ readonly status: number; readonly json: Json }> {
  const response = await fetch(
    `${server.admin}/admin/${path}`,
    body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) },
  );
  return { status: response.status, json: (await response.json()) as Json };
}

export interface ShownVersion {
  readonly version: string;
  readonly state: string;
  readonly reason: string;
  readonly sha256: string;
  readonly isListed: boolean;
}

export interface ShownModel {
  readonly champion: string | null;
  readonly previous: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly choice: { readonly hold?: { readonly version: string }; readonly pins: readonly string[] };
  readonly versions: readonly ShownVersion[];
}

/** What control says of one version. */
export async function shown(server: Server, model: string, version: string): Promise<ShownVersion> {
  const { json } = await admin<ShownModel>(server, `models/${model}`);
  const found = json.versions.find((one) => one.version === version);
  assert.ok(found, `version ${version} of ${model} is not known`);
  return found;
}

/** Until a version is in this state. */
export function isInState(server: Server, id: string, state: string): Promise<ShownVersion> {
  const [model, version] = id.split('@') as [string, string];
  return eventually(async () => {
    const found = await shown(server, model, version);
    assert.equal(found.state, state, found.reason);
    return found;
  });
}

export async function metric(server: Server, name: string): Promise<number> {
  const text = await (await fetch(`${server.admin}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.split(' ').at(-1));
}

export interface Entry {
  readonly action: string;
  readonly subject: string;
  readonly actor: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** What the audit log says was done, oldest first. */
export async function auditEntries(server: Server, action: string): Promise<Entry[]> {
  const { json } = await admin<{ entries: { entry: Entry }[] }>(server, 'audit?last=1000');
  return json.entries.map(({ entry }) => entry).filter((entry) => entry.action === action);
}

/** Runs the command line to its end. */
export function sluice(...parameters: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, ...parameters], (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

/**
 * The keys below a prefix as a Triton tree: `<model>/[config.*, labels]`, `<model>/<N>/<path>`.
 *
 * A version with a list of its files (manifest.json, SHA256SUMS) says itself when it is whole. Objects appear whole, but one
 * after the other, so a version without a list waits until two listings, far enough apart, show the same.
 *
 * Must not know requests.
 */
import { createHash } from 'node:crypto';
import { isModelName, isVersionText } from '../../core/model.js';
import { listNameOf } from '../listed-files.js';
import { noFacts, type SourceModel, type SourceVersion } from '../source.js';
import { shown } from './index-document.js';
import type { S3Object } from './s3-bucket.js';

export interface TreeFile extends S3Object {
  /** Inside the version, or beside the versions. */
  readonly path: string;
}

export interface TreeVersion {
  readonly files: readonly TreeFile[];
  readonly revision: string;
}

export interface TreeModel {
  readonly versions: ReadonlyMap<string, TreeVersion>;
  readonly beside: readonly TreeFile[];
}

export interface Tree {
  readonly models: ReadonlyMap<string, TreeModel>;
  readonly ignored: readonly string[];
}

interface Growing {
  readonly versions: Map<string, TreeFile[]>;
  readonly beside: TreeFile[];
}

const configNames = ['config.yaml', 'config.yml', 'config.json', 'config.pbtxt'];

/** The configuration that counts among the files beside the versions. */
export function configOf({ beside }: TreeModel): TreeFile | undefined {
  return configNames.map((name) => beside.find(({ path }) => path === name)).find((file) => file !== undefined);
}

export function treeOf(objects: readonly S3Object[], prefix: string): Tree {
  const growing = new Map<string, Growing>();
  const ignored = new Set<string>();
  for (const object of objects) {
    // A key that ends in `/` stands for a directory in consoles and holds nothing.
    if (!object.key.startsWith(prefix) || object.key.endsWith('/')) continue;
    const [model = '', ...rest] = object.key.slice(prefix.length).split('/');
    if (rest.length === 0) continue;
    if (!isModelName(model)) {
      ignored.add(`'${shown(model)}' is not a model name`);
      continue;
    }
    const entry = growing.get(model) ?? { versions: new Map<string, TreeFile[]>(), beside: [] };
    growing.set(model, entry);
    const [version = '', ...path] = rest;
    if (path.length === 0) entry.beside.push({ ...object, path: version });
    else if (!isVersionText(version)) ignored.add(`${model}: '${shown(version)}' is not a version number`);
    else {
      const files = entry.versions.get(version) ?? [];
      files.push({ ...object, path: path.join('/') });
      entry.versions.set(version, files);
    }
  }
  const models = new Map<string, TreeModel>();
  for (const [name, entry] of [...growing].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const versions = new Map<string, TreeVersion>();
    for (const [number, files] of [...entry.versions].sort(([a], [b]) => Number(a) - Number(b))) {
      if (modelFileOf(files) === undefined) ignored.add(`${name}/${number}: there is no model.onnx`);
      else versions.set(number, { files, revision: revisionOf([...files, ...entry.beside]) });
    }
    if (versions.size > 0) models.set(name, { versions, beside: entry.beside });
  }
  return { models, ignored: [...ignored].sort() };
}

/** model.onnx, or the only other one. */
function modelFileOf(files: readonly TreeFile[]): TreeFile | undefined {
  const found = files.filter(({ path }) => path.endsWith('.onnx') && !path.includes('/'));
  return found.find(({ path }) => path === 'model.onnx') ?? (found.length === 1 ? found[0] : undefined);
}

function revisionOf(files: readonly TreeFile[]): string {
  const lines = files.map(({ key, bytes, etag }) => `${etag} ${bytes} ${key}\n`).sort();
  return createHash('sha256').update(lines.join('')).digest('hex').slice(0, 32);
}

/** Remembers since when each version has looked as it does. */
export class Settling {
  readonly #settleMs: number;
  #since: ReadonlyMap<string, { readonly revision: string; readonly atMs: number }> = new Map();

  constructor(settleMs: number) {
    this.#settleMs = settleMs;
  }

  /** @param nowMs of a clock that does not jump */
  listed({ models }: Tree, nowMs: number): readonly SourceModel[] {
    const since = new Map<string, { readonly revision: string; readonly atMs: number }>();
    const listed = [...models].map(([name, model]): SourceModel => {
      const versions = [...model.versions].map(([version, { files, revision }]): SourceVersion => {
        const key = `${name}/${version}`;
        const before = this.#since.get(key);
        const first = before?.revision === revision ? before : { revision, atMs: nowMs };
        since.set(key, first);
        const found = { version, revision, bytes: modelFileOf(files)?.bytes, facts: noFacts };
        const isListed = listNameOf(files.map(({ path }) => path)) !== undefined;
        if (isListed || (first === before && nowMs - first.atMs >= this.#settleMs)) return found;
        return { ...found, waiting: 'waits until its files have settled, because nothing lists them' };
      });
      return { name, versions, aliases: {} };
    });
    this.#since = since;
    return listed;
  }
}

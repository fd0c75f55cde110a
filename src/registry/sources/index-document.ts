/**
 * The index of registry.md §4.2: one JSON document that names models, versions, aliases, files and digests.
 *
 *   { schema, serial, expires?, models: { <name>: { aliases?, versions: { <N>: { files: [{ path, size?, sha256, url? }], signature? } } } } }
 *
 * Names that break the rules make their entry invisible and are reported; a bad place of a file refuses its version when it
 * is asked for, so that one bad version does not hide the others.
 *
 * Must not know where the index came from, nor the network.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { GatewayError } from '../../core/errors.js';
import { isLabel, isModelName, isVersionText } from '../../core/model.js';
import { filesMax, isFilePath } from '../file-path.js';
import { parseJson } from '../net/text.js';
import { Refusal } from '../refusal.js';
import { type Artifact, type ArtifactFile, noFacts, type SourceModel, type SourceVersion } from '../source.js';
import { encoded } from './url-encoding.js';

const file = z.object({
  path: z.string(),
  size: z.int().min(0).optional(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hex digits'),
  url: z.string().max(8192).optional(),
});
const signature = z.string().min(1).max(8192);
const version = z.object({
  files: z.array(file).min(1).max(filesMax),
  signature: z.union([signature, z.array(signature).max(64)]).optional(),
});
const model = z.object({
  aliases: z.record(z.string(), z.string()).default({}),
  versions: z.record(z.string(), version),
});
const schema = z.object({
  schema: z.literal(1),
  serial: z.int().min(0),
  expires: z.iso.datetime({ offset: true }).optional(),
  models: z.record(z.string(), model),
});

export type IndexDocument = z.infer<typeof schema>;
type IndexVersion = z.infer<typeof version>;

/** @throws FAILED_PRECONDITION naming the key and what was expected */
export function parseIndex(bytes: Uint8Array, where: string): IndexDocument {
  const result = schema.safeParse(parseJson(bytes, where));
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new GatewayError('FAILED_PRECONDITION', `${where}: '${issue.path.join('.')}': ${issue.message}`);
}

export interface IndexListing {
  readonly models: readonly SourceModel[];
  readonly ignored: readonly string[];
}

/** @param waiting why no version of it may be pulled now, if so */
export function listIndex(index: IndexDocument, waiting: string | undefined): IndexListing {
  const ignored: string[] = [];
  const models: SourceModel[] = [];
  for (const [name, entry] of Object.entries(index.models)) {
    if (!isModelName(name)) ignored.push(`'${shown(name)}' is not a model name`);
    else models.push({ name, versions: versionsOf(name), aliases: aliasesOf(name, entry.aliases) });
  }
  models.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { models, ignored: ignored.sort() };

  function versionsOf(name: string): SourceVersion[] {
    const versions: SourceVersion[] = [];
    for (const [number, entry] of Object.entries(index.models[name]!.versions)) {
      if (!isVersionText(number)) ignored.push(`${name}: '${shown(number)}' is not a version number`);
      else versions.push({ ...listed(entry), version: number, ...(waiting === undefined ? {} : { waiting }) });
    }
    return versions.sort((a, b) => Number(a.version) - Number(b.version));
  }

  function aliasesOf(name: string, aliases: Readonly<Record<string, string>>): Record<string, string> {
    const good = Object.entries(aliases).filter(([alias, target]) => {
      if (isLabel(alias) && alias !== 'latest' && isVersionText(target)) return true;
      ignored.push(`${name}: '${shown(alias)}' is not an alias of a version number`);
      return false;
    });
    return Object.fromEntries(good);
  }
}

function listed(entry: IndexVersion): Omit<SourceVersion, 'version'> {
  return { revision: revisionOf(entry), bytes: modelFileOf(entry)?.size, facts: noFacts };
}

/** Changes with the content, and with every place: a version that was refused for a bad place may come back with a good one. */
function revisionOf({ files, signature: signatures = [] }: IndexVersion): string {
  const lines = files.map(({ path, sha256, url = '' }) => `${sha256}  ${path}  ${url}\n`).sort();
  return createHash('sha256').update(lines.join('')).update([signatures].flat().join('\n')).digest('hex');
}

function modelFileOf({ files }: IndexVersion): { readonly size?: number | undefined } | undefined {
  return files.find(({ path }) => path === 'model.onnx') ?? files.find(({ path }) => path.endsWith('.onnx'));
}

/**
 * @param place turns what the index says of a place into a URL, or refuses it
 * @throws NOT_FOUND; Refusal `traversal` for a path that could not lie in a version, and what `place` throws
 */
export function artifactOf(
  index: IndexDocument,
  id: { readonly model: string; readonly version: string },
  place: (relative: string) => URL,
): Artifact {
  const entry = isModelName(id.model) ? own(own(index.models, id.model)?.versions, id.version) : undefined;
  if (entry === undefined) {
    throw new GatewayError('NOT_FOUND', `model '${id.model}' version ${id.version} is not in the index`);
  }
  return {
    ...id,
    revision: revisionOf(entry),
    files: entry.files.map((stated): ArtifactFile => {
      const path = checkedPath(stated.path, id);
      const locator = place(stated.url ?? [id.model, id.version, ...path.split('/')].map(encoded).join('/'));
      return { path, bytes: stated.size, sha256: stated.sha256, locator };
    }),
    signatures: [entry.signature ?? []].flat().map((relative) => {
      const locator = place(relative);
      const path = checkedPath(decodedName(locator), id);
      return { path, bytes: undefined, sha256: undefined, locator };
    }),
    config: undefined,
    facts: noFacts,
  };
}

function own<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}

function checkedPath(path: string, { model: name, version: number }: { model: string; version: string }): string {
  if (isFilePath(path)) return path;
  throw new Refusal('traversal', `model '${name}' version ${number}: '${shown(path)}' is not a path inside a version`);
}

function decodedName(url: URL): string {
  try {
    return decodeURIComponent(url.pathname.slice(url.pathname.lastIndexOf('/') + 1));
  } catch {
    return '';
  }
}

/** A name from outside, fit for a line of text. */
export function shown(name: string): string {
  return JSON.stringify(name.slice(0, 80)).slice(1, -1);
}

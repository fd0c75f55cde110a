/**
 * From what a source promises to a directory that may become a version:
 *
 *   names ─▶ list of files, if there is one ─▶ download, hashing ─▶ unpack ─▶ same files as listed ─▶ signatures ─▶ digest
 *
 * Nothing here can be seen by anybody: the store moves the directory to its place when all of it is on the disk.
 *
 * Must not know the network, or what is in the store already.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import { checkFile, checkFileSet, type FileList, listBytesMax, listNameOf, parseList } from '../listed-files.js';
import type { Artifact } from '../source.js';
import { versionDigest } from './digest.js';
import { onDisk } from './disk.js';
import type { Incoming } from './incoming.js';
import { checkFilePaths } from './paths.js';
import type { SignatureFile } from './pull-hooks.js';
import type { SignatureVerdict, StoredFile } from './record.js';
import { type PullJob, Shipment } from './shipment.js';

export type { PullHooks } from './pull-hooks.js';

/** A version that is whole and only not in its place. */
export interface Pulled {
  readonly files: readonly StoredFile[];
  readonly artifactSha256: string;
  /** Somebody but us knows what the digest of each file must be. */
  readonly isStated: boolean;
  readonly verdict: SignatureVerdict;
  readonly signatures: readonly SignatureFile[];
}

const unchecked: SignatureVerdict = { status: 'unchecked', by: '', keyId: '', reason: '' };

export function subjectOf({ model, version }: Pick<Artifact, 'model' | 'version'>): string {
  return `model '${model}' version ${version}`;
}

/** The digest it will have, when the source has stated that of every file and nothing must be unpacked first. */
export function statedDigest({ files }: Artifact): string | undefined {
  const stated = files.flatMap(({ path, sha256, archive }) =>
    sha256 === undefined || archive !== undefined ? [] : [{ path, sha256 }],
  );
  return stated.length === files.length ? versionDigest(stated) : undefined;
}

export async function pull(job: PullJob): Promise<Pulled> {
  const { artifact, hooks, incoming } = job;
  const subject = subjectOf(artifact);
  checkFilePaths(
    [...artifact.files, ...artifact.signatures].map(({ path }) => path),
    subject,
  );
  await hooks.onStep?.('begun');
  const shipment = new Shipment(job, subject);
  const list = await shipment.list();
  const plain = await shipment.files(list);
  await hooks.onStep?.('downloaded');
  await incoming.begin();
  const unpacked = await shipment.unpack();
  for (const { path } of plain) await onDisk(subject, () => incoming.place(path));
  await hooks.onStep?.('unpacked');
  const { files, signatures } = await shipment.apart([...plain, ...unpacked]);
  const isListed = await checkList(list, files, incoming, subject);
  const verdict = await judged(files, signatures, job);
  const kept = files.filter(({ path }) => !verdict.exempt.includes(path));
  if (kept.length === 0) throw new GatewayError('FAILED_PRECONDITION', `${subject} has no files`);
  for (const path of verdict.exempt) await rm(join(incoming.tree, path), { force: true });
  await hooks.onStep?.('verified');
  const { exempt: _exempt, ...shown } = verdict;
  return {
    files: kept,
    artifactSha256: versionDigest(kept),
    isStated: isListed || artifact.files.every(({ sha256 }) => sha256 !== undefined),
    verdict: shown,
    signatures,
  };
}

/** @returns whether there is a list that all files were compared with */
async function checkList(
  early: FileList | undefined,
  files: readonly StoredFile[],
  incoming: Incoming,
  subject: string,
): Promise<boolean> {
  const paths = files.map(({ path }) => path);
  const name = listNameOf(paths);
  if (name === undefined) return false;
  const list = name === early?.name ? early : parseList(name, await listText(name, files, incoming, subject));
  checkFileSet(list, paths, subject);
  for (const file of files) checkFile(file, list.files.get(file.path), subject);
  return true;
}

function listText(name: string, files: readonly StoredFile[], incoming: Incoming, subject: string): Promise<string> {
  const { bytes } = files.find(({ path }) => path === name)!;
  if (bytes <= listBytesMax) return readFile(join(incoming.tree, name), 'utf8');
  throw new GatewayError(
    'FAILED_PRECONDITION',
    `${subject}: '${name}' has ${bytes} bytes, at most ${listBytesMax} are read`,
  );
}

async function judged(
  files: readonly StoredFile[],
  signatures: readonly SignatureFile[],
  { artifact, hooks, incoming }: PullJob,
) {
  if (hooks.verify === undefined) return { ...unchecked, exempt: [] };
  return hooks.verify(incoming.tree, files, signatures, artifact.manifests ?? []);
}

/**
 * Where everything lies in the store, and which names may become names of files.
 *
 *   incoming/<uuid>/                                   a pull under way     incoming/trash/   on its way out
 *   versions/<source>/<model>/<version>@<sha12>/       complete, read-only
 *   state/<name>.json                                  small documents      store.lock        whose the store is
 *
 * Must not know what is in the files.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { GatewayError } from '../../core/errors.js';
import { isModelName, isVersionText } from '../../core/model.js';
import { filesMax, isFilePath } from '../file-path.js';
import { Refusal } from '../refusal.js';
import { recordFileName } from './digest.js';

/** One version as one source offers it. */
export interface Offer {
  readonly source: string;
  readonly model: string;
  readonly version: string;
}

/** One text for it; none of the names may hold a slash. */
export function keyOf({ source, model, version }: Offer): string {
  return `${source}/${model}/${version}`;
}

export function isSourceName(text: string): boolean {
  return /^[a-z][a-z0-9-]{0,31}$/.test(text);
}

/** @throws FAILED_PRECONDITION: a name that breaks its rule never becomes part of a path */
export function checkOffer({ source, model, version }: Offer): void {
  const wrong = !isSourceName(source)
    ? `source name '${shown(source)}'`
    : !isModelName(model)
      ? `model name '${shown(model)}'`
      : !isVersionText(version)
        ? `version '${shown(version)}' of model '${model}'`
        : undefined;
  if (wrong !== undefined) throw new GatewayError('FAILED_PRECONDITION', `${wrong} cannot be stored`);
}

/**
 * The paths of a version, all together: each obeys its rule, none is another one in other letters or its directory.
 * @throws Refusal `traversal`; FAILED_PRECONDITION for too many, or the store's own name
 */
export function checkFilePaths(paths: readonly string[], subject: string): void {
  if (paths.length > filesMax) {
    throw new GatewayError(
      'FAILED_PRECONDITION',
      `${subject} has ${paths.length} files, at most ${filesMax} are taken`,
    );
  }
  const files = new Set<string>();
  const directories = new Set<string>();
  for (const path of paths) {
    if (!isFilePath(path)) {
      throw new Refusal('traversal', `${subject}: '${shown(path)}' is not a relative path inside the version`);
    }
    const folded = path.toLowerCase();
    if (folded === recordFileName) {
      throw new GatewayError('FAILED_PRECONDITION', `${subject}: '${path}' is the name of the store's own record`);
    }
    if (files.has(folded))
      throw new Refusal('traversal', `${subject}: '${path}' is there twice, or differs only in case`);
    files.add(folded);
    for (let at = folded.indexOf('/'); at !== -1; at = folded.indexOf('/', at + 1))
      directories.add(folded.slice(0, at));
  }
  for (const directory of directories) {
    if (files.has(directory)) throw new Refusal('traversal', `${subject}: '${directory}' is a file and a directory`);
  }
}

/** A name from outside as a message may carry it. */
function shown(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not get into a message.
  return text.slice(0, 100).replace(/[\u0000-\u001f\u007f]/g, '?');
}

export class StorePaths {
  readonly root: string;
  readonly incoming: string;
  readonly trash: string;
  readonly versions: string;
  readonly state: string;
  readonly lock: string;

  constructor(root: string) {
    this.root = root;
    this.incoming = join(root, 'incoming');
    this.trash = join(root, 'incoming', 'trash');
    this.versions = join(root, 'versions');
    this.state = join(root, 'state');
    this.lock = join(root, 'store.lock');
  }

  version({ source, model, version }: Offer, digest: string): string {
    return join(this.versions, source, model, `${version}@${digest.slice(0, 12)}`);
  }
}

/** The name of a pull's directory is made from what is pulled, so that a later try finds what an earlier one left. */
export function incomingName(offer: Offer, revision: string): string {
  const hex = createHash('sha256')
    .update(`${keyOf(offer)}\n${revision}`)
    .digest('hex');
  // A uuid of RFC 9562 version 8: its bits are ours to choose.
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/**
 * The model configuration among the files of an artifact, read before anything is pulled because it decides how a version
 * is served. It stays among the files too: whoever signed or listed them did so with it.
 *
 * Must not know where the bytes are.
 */
import { GatewayError } from '../../core/errors.js';
import type { Artifact, ArtifactFile } from '../source.js';
import { parseTritonConfig } from '../triton-config.js';
import { labelFilesOf } from '../version-spec.js';

/** In order of precedence. `config.json` is not among them: it is what tokenizers and transformers call theirs. */
const configNames = ['config.yaml', 'config.yml', 'config.pbtxt'];
const textBytesMax = 1024 * 1024;
const labelFilesMax = 16;

/**
 * @param textOf the whole text of a file
 * @throws FAILED_PRECONDITION when it cannot be read or is too large
 */
export async function configOf(
  files: readonly ArtifactFile[],
  textOf: (file: ArtifactFile) => Promise<string>,
): Promise<Artifact['config']> {
  const plain = new Map(files.filter(({ archive }) => archive === undefined).map((file) => [file.path, file]));
  const name = configNames.find((candidate) => plain.has(candidate));
  if (name === undefined) return undefined;
  const read = (path: string): Promise<string> => textOf(checkedSize(plain.get(path)!));
  const text = await read(name);
  const labels: Record<string, string> = {};
  const named = labelFilesOf(parseTritonConfig(name, text).config).filter((path) => plain.has(path));
  if (named.length > labelFilesMax) throw refused(`${name} names more than ${labelFilesMax} label files`);
  for (const path of named) labels[path] = await read(path);
  return { name, text, labels };
}

function checkedSize(file: ArtifactFile): ArtifactFile {
  if ((file.bytes ?? 0) <= textBytesMax) return file;
  throw refused(`'${file.path}' has ${file.bytes} bytes, at most ${textBytesMax} are read`);
}

function refused(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', reason);
}

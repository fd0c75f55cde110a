/**
 * manifest.json: what came with a version, and whether the files beside it are the ones it lists.
 *
 * One flipped byte in the weights loads without a word, so every file is hashed; the size is compared first because it is
 * free. What is not listed is refused like what is missing: nothing may lie in a version that nobody vouched for.
 *
 * Must not know ONNX or the store.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { defaultTolerance } from '../core/agreement.js';
import { GatewayError } from '../core/errors.js';
import { hintOf } from '../core/nearest.js';
import { type DataType, isDataType } from '../core/tensor.js';
import { filesMax, isFilePath, isSignaturePath } from './file-path.js';
import { recordFileName } from './store/digest.js';

export const manifestFileName = 'manifest.json';

export const manifestBytesMax = 4 * 1024 * 1024;
const depthMax = 32;

const path = z.string().refine(isFilePath, 'expected a relative path inside the version');
const name = z.string().min(1).max(1024);
const datatype = z.custom<DataType>(
  (value) => typeof value === 'string' && isDataType(value),
  'expected a V2 datatype',
);
const tensor = z.object({ name, datatype, shape: z.array(z.int().min(-1)).max(64) });
const label = z.union([z.string(), z.number()]).transform(String);
const anything = z.looseObject({});

const schema = z.strictObject({
  schema: z.literal(1),
  model: z.string().optional(),
  version: z.string().optional(),
  created: z.string().optional(),
  files: z
    .array(
      z.object({ path, size: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hex digits') }),
    )
    .max(filesMax),
  signature: z.object({ inputs: z.array(tensor), outputs: z.array(tensor) }),
  features: z
    .array(
      z.object({
        name,
        input: name,
        column: z.int().min(0).optional(),
        kind: z.enum(['numeric', 'categorical', 'id', 'ignore']).default('numeric'),
        weight: z.number().optional(),
        critical: z.boolean().optional(),
      }),
    )
    .max(100_000)
    .optional(),
  semantics: z
    .looseObject({
      task: z.enum(['binary', 'multiclass', 'regression', 'other']).optional(),
      score: z.looseObject({ output: name, column: z.int().min(0).optional() }).optional(),
      threshold: z.number().optional(),
      labels: z.array(label).max(1_000_000).optional(),
      probabilities: z.array(name).optional(),
    })
    .optional(),
  metrics: z
    .array(z.looseObject({ name, value: z.number(), n: z.int().min(0).optional(), dataset: z.string().optional() }))
    .optional(),
  training: anything.optional(),
  dataset: anything.optional(),
  golden: z
    .array(
      z.object({
        request: path,
        response: path,
        atol: z.number().min(0).default(defaultTolerance.atol),
        rtol: z.number().min(0).default(defaultTolerance.rtol),
      }),
    )
    .min(1)
    .max(64)
    .optional(),
  produced_with: anything.optional(),
  profile: path.optional(),
  lineage: anything.optional(),
  breaking: z.boolean().optional(),
  extra: anything.optional(),
});

export type Manifest = z.infer<typeof schema>;

/** @throws FAILED_PRECONDITION naming the key, what was expected and, for an unknown one, what was probably meant */
export function parseManifest(text: string): Manifest {
  if (text.length > manifestBytesMax) throw refused(`it is longer than ${manifestBytesMax} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refused((error as Error).message);
  }
  if (isDeeper(value, depthMax)) throw refused(`it is nested more than ${depthMax} deep`);
  const result = schema.safeParse(value);
  if (!result.success) throw refused(reasonOf(result.error.issues[0]!));
  checkFiles(result.data);
  return result.data;
}

function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth === 0 || Object.values(value).some((member) => isDeeper(member, depth - 1));
}

function reasonOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    return `unknown key '${key}'${hintOf(key, Object.keys(schema.shape))}; extensions go under 'extra'`;
  }
  const place = issue.path.map((part, index) =>
    typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`,
  );
  return `'${place.join('')}': ${issue.message}`;
}

function checkFiles(manifest: Manifest): void {
  const listed = new Set<string>();
  const folded = new Set<string>();
  for (const file of manifest.files) {
    if (folded.has(file.path.toLowerCase())) throw refused(`'${file.path}' is listed twice, or differs only in case`);
    listed.add(file.path);
    folded.add(file.path.toLowerCase());
  }
  const named = [manifest.profile, ...(manifest.golden ?? []).flatMap((sample) => [sample.request, sample.response])];
  for (const file of named) {
    if (file !== undefined && !listed.has(file)) throw refused(`'${file}' is named but not among 'files'`);
  }
}

/**
 * Compares the files of a version with its manifest: the set, then sizes, then sha256, reading each file once.
 * @param besides names at the top of `directory` that are no part of the version (a configuration beside a bare model)
 * @throws FAILED_PRECONDITION naming the file, what was expected and what is there
 */
export async function verifyFiles(
  directory: string,
  manifest: Manifest,
  besides: readonly string[] = [],
): Promise<void> {
  const present = new Set(await filesIn(directory, ''));
  for (const { path: file, size } of manifest.files) {
    if (!present.delete(file)) throw refused(`'${file}' is listed but is not a file of this version`);
    const { size: got } = await lstat(join(directory, file));
    if (got !== size) throw refused(`'${file}' has ${got} bytes, expected ${size}`);
  }
  for (const file of present) {
    if (!isOutside(file) && !besides.includes(file)) throw refused(`'${file}' is present but not listed`);
  }
  for (const { path: file, sha256 } of manifest.files) {
    const got = await sha256Of(join(directory, file));
    if (got !== sha256) throw refused(`'${file}' has sha256 ${got}, expected ${sha256}`);
  }
}

/** The manifest itself and signatures, which cannot list themselves, and what the store adds. */
function isOutside(file: string): boolean {
  return file === manifestFileName || file === recordFileName || isSignaturePath(file);
}

/** Paths of all plain files; a link is none, whatever it leads to. */
async function filesIn(directory: string, prefix: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(join(directory, prefix), { withFileTypes: true })) {
    const file = `${prefix}${entry.name}`;
    if (entry.isDirectory()) {
      if (file.split('/').length > depthMax) throw refused(`directories are nested more than ${depthMax} deep`);
      files.push(...(await filesIn(directory, `${file}/`)));
    } else if (entry.isFile()) files.push(file);
    else throw refused(`'${file}' is a link or a device, expected a plain file`);
    if (files.length > filesMax) throw refused(`there are more than ${filesMax} files`);
  }
  return files;
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) hash.update(chunk);
  return hash.digest('hex');
}

function refused(reason: string): GatewayError {
  return new GatewayError('FAILED_PRECONDITION', `${manifestFileName}: ${reason}`);
}

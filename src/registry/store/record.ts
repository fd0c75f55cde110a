/**
 * store-record.json: what the store knows about one version, written when its files are whole and before it can be seen.
 *
 * A directory without a record that can be read is not a version.
 *
 * Must not know how a version came here.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { GatewayError } from '../../core/errors.js';
import { isVersionText } from '../../core/model.js';
import { isFilePath } from '../file-path.js';
import type { VersionFacts } from '../source.js';
import { isSha256, recordFileName } from './digest.js';

const sha256 = z.string().refine(isSha256, 'expected 64 hex digits');

const verdictSchema = z.object({ status: z.string(), by: z.string(), keyId: z.string(), reason: z.string() });

const schema = z.object({
  schema: z.literal(1),
  source: z.string(),
  sourceType: z.enum(['directory', 'http', 'mlflow', 'oci', 's3']),
  model: z.string(),
  version: z.string().refine(isVersionText),
  revision: z.string(),
  artifactSha256: sha256,
  files: z.array(z.object({ path: z.string().refine(isFilePath), bytes: z.int().min(0), sha256 })),
  config: z.object({ name: z.string(), text: z.string(), labels: z.record(z.string(), z.string()) }).optional(),
  facts: z.custom<VersionFacts>((value) => typeof value === 'object' && value !== null),
  verdict: verdictSchema,
  /** The signatures themselves, in base64: they are checked again when the policy changes. */
  signatures: z.array(z.object({ path: z.string(), base64: z.string() })),
  /** Milliseconds since the epoch. */
  pulledAt: z.number(),
});

/** What whoever checks signatures concluded: `unchecked` when nobody was asked. */
export type SignatureVerdict = Readonly<z.infer<typeof verdictSchema>>;

export type StoreRecord = Readonly<z.infer<typeof schema>>;

export type StoredFile = Readonly<StoreRecord['files'][number]>;

const bytesMax = 32 * 1024 * 1024;

/** @throws FAILED_PRECONDITION when a configuration or signatures make it too large */
export function recordText(record: StoreRecord): string {
  const text = `${JSON.stringify(record, undefined, 1)}\n`;
  if (text.length <= bytesMax) return text;
  throw new GatewayError(
    'FAILED_PRECONDITION',
    `model '${record.model}' version ${record.version}: configuration, labels and signatures have ${text.length} bytes, at most ${bytesMax} are kept`,
  );
}

/** @returns a sentence when there is no record that can be read */
export async function readRecord(directory: string): Promise<StoreRecord | string> {
  try {
    const result = schema.safeParse(JSON.parse(await readFile(join(directory, recordFileName), 'utf8')));
    if (result.success) return result.data;
    return `'${result.error.issues[0]!.path.join('.')}': ${result.error.issues[0]!.message}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
  }
}

export function bytesIn(files: readonly { readonly bytes: number }[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * What a signed payload of OpenSSF model signing v1 claims, compared with the files that are there.
 *
 *   in-toto statement ─▶ resources in the listed order ─▶ root digest = subject; name ↔ file, both ways
 *
 * Files that the signature leaves out on purpose are handed back by name: whoever stores the version leaves them out, too, so
 * that nothing unsigned can be loaded.
 *
 * Must not know who signed.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { jsonOf, signatureBytesMax, wrong } from './finding.js';

export interface VersionFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export const modelPredicate = 'https://model_signing/signature/v1.0';
const resourcesMax = 20_000;
const digest = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hex digits');

const schema = z.object({
  _type: z.literal('https://in-toto.io/Statement/v1'),
  predicateType: z.literal(modelPredicate),
  subject: z
    .array(z.object({ digest: z.object({ sha256: digest }) }))
    .min(1)
    .max(1),
  predicate: z.object({
    serialization: z.object({
      method: z.literal('files'),
      hash_type: z.literal('sha256'),
      allow_symlinks: z.boolean().optional(),
      ignore_paths: z.array(z.string().max(4096)).max(10_000).default([]),
    }),
    resources: z
      .array(z.object({ name: z.string().max(4096), algorithm: z.literal('sha256'), digest }))
      .max(resourcesMax),
  }),
});

const alwaysExempt = ['.git', '.github', '.gitignore', '.gitattributes'];

/**
 * @param signatures the signature files that came with the version: they may be listed, and need not be
 * @returns paths that the signature leaves out on purpose
 * @throws FAILED_PRECONDITION naming the file, what was expected and what is there
 */
export function checkStatement(
  payload: Uint8Array,
  files: readonly VersionFile[],
  signatures: readonly VersionFile[],
): string[] {
  const parsed = schema.safeParse(jsonOf('the payload', payload, signatureBytesMax));
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw wrong(`its statement is not supported: '${path.join('.')}': ${message}`);
  }
  const { subject, predicate } = parsed.data;
  const { resources, serialization } = predicate;
  checkRoot(
    resources.map((resource) => resource.digest),
    subject[0]!.digest.sha256,
  );
  const there = new Map([...files, ...signatures].map((file) => [file.path, file]));
  const listed = new Set<string>();
  for (const { name, digest: expected } of resources) {
    if (listed.has(name)) throw wrong(`'${name}' is listed twice`);
    listed.add(name);
    const file = there.get(name);
    if (file === undefined) throw wrong(`'${name}' is signed but is not a file of this version`);
    if (file.sha256 !== expected) throw wrong(`'${name}' has sha256 ${file.sha256}, signed was ${expected}`);
  }
  const left = [...alwaysExempt, ...serialization.ignore_paths];
  const unlisted = files.map(({ path }) => path).filter((path) => !listed.has(path));
  const unsigned = unlisted.find((path) => !left.some((prefix) => isWithin(path, prefix)));
  if (unsigned !== undefined) throw wrong(`'${unsigned}' is present but not signed`);
  return unlisted;
}

/** The subject is the hash over the raw digests in the order in which they are listed. */
function checkRoot(digests: readonly string[], expected: string): void {
  const hash = createHash('sha256');
  for (const one of digests) hash.update(Buffer.from(one, 'hex'));
  const got = hash.digest('hex');
  if (got !== expected) throw wrong(`its digests give the root ${got}, its subject says ${expected}`);
}

function isWithin(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}

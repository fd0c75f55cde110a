/**
 * Which form a signature file has, by its name, and what it covers:
 *
 *   manifest.json.sig, manifest.json.<n>.sig   ed25519 over the manifest, which lists every file
 *   model.sig                                  OpenSSF model signing v1, which lists every file itself
 *   attached.<n>.cosign.sig                    cosign over the manifest in a registry that every file follows from
 *   attached.<n>.sigstore.json                 a bundle attached to such a manifest: one of the two before
 *
 * What is attached to a manifest may be of anybody and about anything; only what a trusted signer said of other files is held
 * against the version.
 *
 * Must not know policies.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { manifestFileName, parseManifest } from '../manifest.js';
import { type Opened, openBundle } from './bundle.js';
import { checkSimpleSigning, manifestFault } from './cosign.js';
import { checkDetached } from './detached.js';
import { type Finding, jsonOf, type SignatureFile, signatureBytesMax, wrong } from './finding.js';
import { checkStatement, modelPredicate, type VersionFile } from './statement.js';
import type { Trust } from './trust.js';

export interface SignedFiles {
  /** Where the files lie. */
  readonly directory: string;
  /** All of them but signatures, with the sha256 that was computed from their bytes. */
  readonly files: readonly VersionFile[];
  readonly signatures: readonly SignatureFile[];
  /** Digests of the manifests in a registry that the files follow from, checked by whoever read them. */
  readonly manifests?: readonly string[] | undefined;
}

const manifestSignature = /^manifest\.json(\.[1-9][0-9]{0,3})?\.sig$/;
const attachedCosign = /^attached\.[0-9]{1,4}\.cosign\.sig$/;
const attachedBundle = /^attached\.[0-9]{1,4}\.sigstore\.json$/;
const cosignPredicate = 'https://sigstore.dev/cosign/sign/v1';
const predicated = z.object({ predicateType: z.string().max(256) });

/**
 * @returns undefined for a file of another kind, which vouches for nothing here
 * @throws FAILED_PRECONDITION when it cannot be read or does not fit what is there
 */
export async function findingOf(
  { path, content }: SignatureFile,
  version: SignedFiles,
  trust: Trust,
): Promise<Finding | undefined> {
  if (manifestSignature.test(path)) {
    const manifest = await manifestOf(version);
    const finding = checkDetached(content, manifest, trust.keys);
    if (finding.status === 'signed') checkListed(manifest.toString('utf8'), version.files);
    return finding;
  }
  if (path === 'model.sig') return overFiles(await openBundle(content, trust), version);
  const { manifests = [] } = version;
  if (manifests.length === 0) return undefined;
  if (attachedCosign.test(path))
    return ofAnybody(await checkSimpleSigning(content, manifests, trust).catch(passedOver));
  if (!attachedBundle.test(path)) return undefined;
  const opened = await openBundle(content, trust).catch(passedOver);
  if (opened.status !== 'signed') return ofAnybody(opened);
  const type = predicateIn(opened.payload);
  if (type === modelPredicate) return overFiles(opened, version);
  if (type !== cosignPredicate) return passedOver({ message: `its statement is '${type}', which is no signature` });
  return manifestFault(opened.payload, manifests) ?? { ...opened, exempt: [] };
}

function overFiles(opened: Opened, { files, signatures }: SignedFiles): Finding {
  if (opened.status !== 'signed') return opened;
  return { ...opened, exempt: checkStatement(opened.payload, files, signatures.map(hashed)) };
}

function predicateIn(payload: Buffer): string | undefined {
  return predicated.safeParse(jsonOf('the payload', payload, signatureBytesMax)).data?.predicateType;
}

/** What does not verify is of nobody, and anybody may attach it. */
function ofAnybody(finding: Finding): Finding {
  return finding.status === 'wrong' ? { ...finding, status: 'unknown_key' } : finding;
}

function passedOver({ message }: { readonly message: string }) {
  return { status: 'unknown_key', reason: message } as const;
}

/** The manifest's bytes, which must be those that were hashed. */
async function manifestOf({ directory, files }: SignedFiles): Promise<Buffer> {
  const listed = files.find(({ path }) => path === manifestFileName);
  if (listed === undefined) throw wrong(`there is no ${manifestFileName}`);
  const bytes = await readFile(join(directory, manifestFileName));
  if (sha256(bytes) !== listed.sha256) throw wrong(`${manifestFileName} is not the file that was hashed`);
  return bytes;
}

/** A signature over the manifest covers a file because the manifest lists it. */
function checkListed(manifest: string, files: readonly VersionFile[]): void {
  const listed = new Map(parseManifest(manifest).files.map((file) => [file.path, file]));
  for (const { path, sha256: got } of files) {
    if (path === manifestFileName) continue;
    const file = listed.get(path);
    if (file === undefined) throw wrong(`'${path}' is present but not listed in ${manifestFileName}`);
    if (file.sha256 !== got) throw wrong(`'${path}' has sha256 ${got}, signed was ${file.sha256}`);
    listed.delete(path);
  }
  for (const path of listed.keys()) throw wrong(`'${path}' is signed but is not a file of this version`);
}

function hashed({ path, content }: SignatureFile): VersionFile {
  return { path, bytes: content.length, sha256: sha256(content) };
}

function sha256(of: Uint8Array): string {
  return createHash('sha256').update(of).digest('hex');
}

/**
 * The authorities that keyless signatures are believed by: a TrustedRoot document as Sigstore publishes it, pinned in a file.
 *
 * Nothing is fetched or brought up to date here: who changes the file changes whom is trusted. It is read when a signature
 * needs it, and every certificate and key in it must be readable, so that a broken file is told by its member.
 *
 * Must not know signatures, or @sigstore/verify.
 */
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { GatewayError } from '../../core/errors.js';
import { jsonOf, wrong } from './finding.js';

const rootBytesMax = 1024 * 1024;
const authoritiesMax = 64;

const bytes = z
  .string()
  .refine((text) => text !== '' && Buffer.from(text, 'base64').toString('base64') === text, 'expected base64')
  .transform((text) => Buffer.from(text, 'base64'));
const certificate = bytes.refine(isCertificate, 'expected a certificate');
/** In one form, whichever of two it was written in. */
const publicKey = bytes.transform((der, context) => {
  const key = publicKeyIn(der, 'spki') ?? publicKeyIn(der, 'pkcs1');
  if (key !== undefined) return key.export({ type: 'spki', format: 'der' });
  context.addIssue({ code: 'custom', message: 'expected a public key in DER' });
  return z.NEVER;
});
const date = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const validFor = z.object({ start: date, end: date.nullish() });

const certChain = z.object({
  certificates: z
    .array(z.object({ rawBytes: certificate }))
    .min(1)
    .max(16),
});
const authorities = z.array(z.object({ certChain, validFor })).max(authoritiesMax);
const logs = z
  .array(
    z.object({
      baseUrl: z.string().max(2048),
      logId: z.object({ keyId: bytes }),
      checkpointKeyId: z.object({ keyId: bytes }).nullish(),
      publicKey: z.object({ rawBytes: publicKey, validFor }),
    }),
  )
  .max(authoritiesMax);

/** Other members are allowed, as the format says. */
const schema = z.object({
  mediaType: z.string().regex(/^application\/vnd\.dev\.sigstore\.trustedroot[.+]/, 'expected that of a trusted root'),
  certificateAuthorities: authorities.min(1),
  tlogs: logs.min(1),
  ctlogs: logs.min(1),
  timestampAuthorities: authorities.default([]),
});

export type TrustedRoot = z.infer<typeof schema>;

/** @throws FAILED_PRECONDITION in one line that names the file and what is wrong with it */
export async function readTrustedRoot(path: string): Promise<TrustedRoot> {
  try {
    return parsed(await boundedBytes(path));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const fault = error instanceof GatewayError ? message : `it cannot be read (${code ?? message})`;
    throw wrong(`the trusted root '${path}' is not used: ${fault}`);
  }
}

async function boundedBytes(path: string): Promise<Buffer> {
  const { size } = await stat(path);
  if (size > rootBytesMax) throw wrong(`it has ${size} bytes, expected at most ${rootBytesMax}`);
  return readFile(path);
}

function parsed(content: Buffer): TrustedRoot {
  const result = schema.safeParse(jsonOf('it', content, rootBytesMax));
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw wrong(`'${path.join('.')}': ${message}`);
}

function isCertificate(der: Buffer): boolean {
  try {
    return new X509Certificate(der).raw.length > 0;
  } catch {
    return false;
  }
}

function publicKeyIn(der: Buffer, type: 'spki' | 'pkcs1'): KeyObject | undefined {
  try {
    return createPublicKey({ key: der, format: 'der', type });
  } catch {
    return undefined;
  }
}

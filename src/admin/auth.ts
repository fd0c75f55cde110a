/**
 * Who may use the control port: whoever presents its token, or anybody where none is set, which only a loopback address may
 * do.
 *
 * Must not know routes.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

/** @param authorization the header as it came */
export function mayPass(token: string, authorization: string | undefined): boolean {
  if (token === '') return true;
  const presented = /^Bearer ([!-~]+)$/.exec(authorization ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(presented), digest(token));
}

/** Digests are of one length, so the comparison tells nothing about the token's. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

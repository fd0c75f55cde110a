/**
 * The number in (0, 1) by which a request is sampled, whatever samples it (monitoring §15.4): what takes a share s takes those
 * below s. So the access line, the row and the trace of one request are kept together, in every process and after a restart.
 *
 * Must not know what is sampled.
 */
import { hashAfter, prefixOf, shareOf } from './murmur3.js';

const prefix = prefixOf('log:');

export function requestShare(requestId: string): number {
  return shareOf(hashAfter(prefix, requestId));
}

/**
 * Closed-loop HTTP load by the strongest generator that is installed.
 *
 * Must not know servers or cells.
 */
import { autocannonLoad } from './autocannon.js';
import type { Load } from './load.js';
import { type HttpLoadOptions, hasWrk, wrkLoad } from './wrk.js';

export function httpLoad(options: HttpLoadOptions): Load {
  return hasWrk() ? wrkLoad(options) : autocannonLoad(options);
}

/** The gateway's default settings of a session, for the floors. Must not know the runtime. */
import type { SessionPolicy } from '../../src/core/model.js';

export const sessionPolicy: SessionPolicy = {
  intraOpThreads: 1,
  interOpThreads: 1,
  executionMode: 'sequential',
  optimization: 'all',
  cpuMemArena: true,
  memPattern: true,
};

/** All scenarios. */
import { drain } from './drain.js';
import type { Scenario } from './frame.js';
import { kill9 } from './kill9.js';
import { leakSoak } from './leak-soak.js';
import { overload } from './overload.js';
import { reconnectStorm } from './reconnect-storm.js';
import { shadowHung, shadowTwo } from './shadows.js';
import { steady } from './steady.js';
import { swap } from './swap.js';

export const scenarios: readonly Scenario[] = [
  steady,
  kill9,
  reconnectStorm,
  drain,
  overload,
  swap,
  shadowHung,
  shadowTwo,
  leakSoak,
];

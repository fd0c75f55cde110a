/** All scenarios. */
import { drain } from './drain.js';
import type { Scenario } from './frame.js';
import { histogram } from './histogram.js';
import { kill9 } from './kill9.js';
import { leakSoak } from './leak-soak.js';
import { logCost } from './log-cost.js';
import { loopLag } from './loop-lag.js';
import { metricsCost, watched } from './metrics-cost.js';
import { overload } from './overload.js';
import { reconnectStorm } from './reconnect-storm.js';
import { routeCost } from './route-cost.js';
import { scrape } from './scrape.js';
import { shadowHung, shadowTwo } from './shadows.js';
import { steady } from './steady.js';
import { swap } from './swap.js';
import { thousand } from './thousand.js';

export const scenarios: readonly Scenario[] = [
  steady,
  kill9,
  reconnectStorm,
  drain,
  overload,
  swap,
  thousand,
  loopLag,
  shadowHung,
  shadowTwo,
  histogram,
  scrape,
  routeCost,
  metricsCost,
  logCost,
  watched,
  leakSoak,
];

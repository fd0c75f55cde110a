/**
 * Two looks at what the server has counted → what happened between them: rates, quantiles, shares.
 *
 * Counters start again when the control process does; such a step is nothing, not a negative rate.
 *
 * Must not know the page, the clock or how often somebody looks.
 */

/**
 * @param before and after: answers of /admin/activity
 * @param {string} model empty = all of them
 */
export function between(before, after, model) {
  const seconds = (after.at_ms - before.at_ms) / 1000;
  if (!(seconds > 0)) return undefined;
  const earlier = new Map(before.versions.map((one) => [keyOf(one), one]));
  const latency = after.bounds_s.concat(0).map(() => 0);
  const sum = { requests: 0, faults: 0, batches: 0, fill: 0, queue: 0, inFlight: 0 };
  for (const one of after.versions) {
    if (model !== '' && one.model !== model) continue;
    const from = earlier.get(keyOf(one));
    sum.requests += step(from?.requests, one.requests);
    sum.faults += step(from?.faults, one.faults);
    sum.batches += step(from?.batches, one.batches);
    sum.fill += step(from?.fill_sum, one.fill_sum);
    sum.queue += one.queue_depth;
    sum.inFlight += one.inflight;
    addSteps(latency, from?.latency.counts, one.latency.counts);
  }
  const lag = after.bounds_s.concat(0).map(() => 0);
  addSteps(lag, before.event_loop_lag.counts, after.event_loop_lag.counts);
  return {
    requestsPerSecond: sum.requests / seconds,
    faultsPerSecond: sum.faults / seconds,
    faultShare: sum.requests > 0 ? sum.faults / sum.requests : undefined,
    p50: quantile(after.bounds_s, latency, 0.5),
    p95: quantile(after.bounds_s, latency, 0.95),
    p99: quantile(after.bounds_s, latency, 0.99),
    batchFill: sum.batches > 0 ? sum.fill / sum.batches : undefined,
    queue: sum.queue,
    inFlight: sum.inFlight,
    lagP99: quantile(after.bounds_s, lag, 0.99),
    threadsBusy: after.workers.busy ?? 0,
  };
}

/** Requests a second, and p99, of each version by `model@version`. */
export function byVersion(before, after) {
  const seconds = (after.at_ms - before.at_ms) / 1000;
  const earlier = new Map(before.versions.map((one) => [keyOf(one), one]));
  const found = new Map();
  for (const one of after.versions) {
    const from = earlier.get(keyOf(one));
    const counts = one.latency.counts.map(() => 0);
    addSteps(counts, from?.latency.counts, one.latency.counts);
    found.set(keyOf(one), {
      requestsPerSecond: seconds > 0 ? step(from?.requests, one.requests) / seconds : undefined,
      p99: quantile(after.bounds_s, counts, 0.99),
      queue: one.queue_depth,
    });
  }
  return found;
}

/** Share of the requests of each route that each variant answered, by `route/variant`. */
export function splitBetween(before, after) {
  const earlier = new Map(before.assignments.map((one) => [`${one.route}/${one.variant}`, one.requests]));
  const sums = new Map();
  const steps = after.assignments.map(({ route, variant, requests }) => {
    const count = step(earlier.get(`${route}/${variant}`), requests);
    sums.set(route, (sums.get(route) ?? 0) + count);
    return { route, variant, count };
  });
  return new Map(
    steps
      .filter(({ route }) => sums.get(route) > 0)
      .map(({ route, variant, count }) => [`${route}/${variant}`, count / sums.get(route)]),
  );
}

/** Interpolated within its bucket, as Prometheus does; of an empty histogram undefined. */
export function quantile(bounds, counts, q) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let left = q * total;
  for (let bucket = 0; bucket < bounds.length; bucket++) {
    if (counts[bucket] >= left && counts[bucket] > 0) {
      const low = bucket === 0 ? 0 : bounds[bucket - 1];
      return low + ((bounds[bucket] - low) * left) / counts[bucket];
    }
    left -= counts[bucket];
  }
  return bounds.at(-1);
}

export function keyOf({ model, version }) {
  return `${model}@${version}`;
}

function addSteps(sums, before, after) {
  for (let bucket = 0; bucket < sums.length; bucket++) sums[bucket] += step(before?.[bucket], after[bucket] ?? 0);
}

function step(before = 0, after = 0) {
  return after >= before ? after - before : 0;
}

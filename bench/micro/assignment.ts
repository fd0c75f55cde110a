/**
 * What a route costs for each request, in µs of CPU: the decision alone, and with the version and the assignment that is
 * logged.
 *
 *   node dist/bench/micro/assignment.js
 *
 * Must not know protocols.
 */
import type { CallTerms } from '../../src/core/inference.js';
import { uniform, wordsOf } from '../../src/core/murmur3.js';
import { candidatesOf, choose } from '../../src/core/rendezvous.js';
import type { Experiment } from '../../src/core/route.js';
import { decide, splitOf } from '../../src/routing/assignment.js';
import { type Arm, RoutedModel } from '../../src/routing/routed-model.js';

/** As a header comes from the wire: in one piece, which a text that was put together is not. */
const wired = (text: string) => Buffer.from(text).toString('latin1');
const keys = Array.from({ length: 4096 }, (_, i) => wired(`user-${(i * 2654435761) % 1_000_000_007}`));
const uuids = keys.map((key) => wired(`0190b5a4-7c3e-7${key.slice(-3)}-9f00-${key.padStart(12, '0').slice(-12)}`));

function experimentOf(variants: number, more: Partial<Experiment> = {}): Experiment {
  return {
    name: 'bench',
    phase: 1,
    salt: 'digits-2026',
    key: [{ source: 'header', name: 'x-user-id' }],
    noKey: 'champion',
    champion: 'v0',
    variants: Array.from({ length: variants }, (_, i) => ({
      name: `v${i}`,
      model: 'm',
      version: `${i + 1}`,
      weight: 1,
    })),
    coverage: 1,
    layer: undefined,
    holdout: undefined,
    targeting: [],
    overrides: { header: '', allowed: [], keys: {} },
    ...more,
  };
}

/** A call that carries nothing but its key. */
class Terms implements CallTerms {
  readonly requestId = 'r';
  readonly variant = '';
  key = '';

  header(): string {
    return this.key;
  }

  parameter(): undefined {}
}

/** Holds each result, so that no run is left out as unused. */
export let kept: unknown;

const times = 1_000_000;

function measure(label: string, given: readonly string[], run: (key: string) => unknown): void {
  for (let i = 0; i < times; i++) kept = run(given[i & 4095]!);
  const before = process.cpuUsage();
  for (let i = 0; i < times; i++) kept = run(given[i & 4095]!);
  const { user, system } = process.cpuUsage(before);
  console.log(`${label.padEnd(52)} ${((user + system) / times).toFixed(3)} µs`);
}

const terms = new Terms();
const full = {
  coverage: 0.9,
  layer: { salt: 'checkout', from: 0, to: 0.9 },
  holdout: { salt: 'global', share: 0.05 },
};

for (const variants of [2, 8, 32]) {
  const candidates = candidatesOf('digits-2026', experimentOf(variants).variants);
  measure(`rendezvous, ${variants} variants`, keys, (key) => choose(candidates, wordsOf(key)));
}
const names = experimentOf(2).variants.map(({ name }) => name);
measure('  2 variants, the whole text hashed each time', keys, (key) =>
  names.map((name) => -1 / Math.log(uniform(`digits-2026:${name}:${key}`))),
);
for (const [label, more] of [
  ['decision, 2 variants', {}],
  ['decision, 2 variants, layer, holdout, coverage', full],
] as const) {
  const split = splitOf('m', experimentOf(2, more));
  for (const [kind, given] of [
    ['', keys],
    [', key of 36 bytes', uuids],
  ] as const) {
    measure(label + kind, given, (key) => {
      terms.key = key;
      return decide(split, terms);
    });
  }
}
const arm: Arm<never> = { open: {} as never, want: undefined };
const routed = new RoutedModel<never>('m', experimentOf(2), { arm: () => arm, fallback: () => arm.open! });
measure('assignment with version, 2 variants', keys, (key) => {
  terms.key = key;
  return routed.assign(terms);
});

/** `routes:` as people write it: what is taken, what is refused and in which words, and what gateway processes are given. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig, resolveConfig } from '../src/config/load.js';
import { readRoutes, routeProblems } from '../src/config/route-problems.js';
import { phaseText, tableRoutes } from '../src/config/route-table.js';
import type { Route } from '../src/core/route.js';

const full = `routes:
  digits:
    key: [header:X-User-Id, param:user_id]
    salt: digits-2026
    default: control
    layer: checkout
    holdout: 5
    coverage: 0.5
    variants:
      control:   { version: 1, weight: 90 }
      treatment: { alias: candidate, weight: 10 }
      other:     { model: letters, weight: 0 }
    overrides: { header: X-Lab, allow: [treatment], keys: { treatment: [alice, bob] } }
    targeting: [ { when: "header:x-country == SE", variants: [control, treatment] } ]
    shadows:
      - { name: candidate, version: "3", percent: 100, max_concurrency: 4, compare: { output: probabilities, rule: argmax } }
    canary: { variant: treatment, steps: [1, 5, 25, 50, 100], min_duration: 10m, min_samples: 500,
              guardrails: [ { metric: error_rate, margin: 0.005 }, { metric: p95_latency, margin: 0.2 } ] }
`;

const routeOf = (model: string, versions: string[], labels: Record<string, string> = {}): Route => ({
  model,
  versions: versions.map((version) => ({ version, state: 'ready', reason: '' })),
  champion: versions.at(-1),
  labels,
});

const known = {
  digits: routeOf('digits', ['1', '2', '3'], { candidate: '2' }),
  letters: routeOf('letters', ['7']),
};

const fromYaml = (text: string) => {
  const { loaded, problems } = resolveConfig({ file: { name: 'sluice.yaml', text } });
  assert.deepEqual(problems, []);
  return loaded.config.routes;
};

const complaints = (route: object, more: object = {}) =>
  readRoutes({ digits: route, ...more }).problems.map(({ path, message }) => `${path}: ${message}`);

const minimal = (variants: object, more: object = {}) => ({
  key: ['header:x-user-id'],
  default: 'a',
  variants,
  ...more,
});
const ab = { a: { version: '1', weight: 90 }, b: { version: '2', weight: 10 } };

test('no routes is the default, and changes no table', () => {
  const config = loadConfig({}).config;
  assert.deepEqual(config.routes, {});
  assert.equal(
    tableRoutes(config.routes, known, () => 1),
    known,
  );
});

test('a route is read with its shadows and canary, durations in milliseconds', () => {
  const { digits } = fromYaml(full);
  assert.equal(digits!.variants.control!.version, '1');
  assert.equal(digits!.canary!.min_duration, 600_000);
  assert.equal(digits!.shadows[0]!.max_concurrency, 4);
  assert.deepEqual(routeProblems(fromYaml(full), known), []);
});

test('what has been read may be read again and is the same', () => {
  const once = fromYaml(full);
  assert.deepEqual(readRoutes(structuredClone(once)), { routes: once, problems: [] });
});

test('the table gets experiments with aliases and models as versions, in plain values', () => {
  const experiment = tableRoutes(fromYaml(full), known, () => 4).digits!.experiment!;
  assert.deepEqual(experiment, {
    name: 'digits',
    phase: 4,
    salt: 'digits-2026',
    key: [
      { source: 'header', name: 'x-user-id' },
      { source: 'param', name: 'user_id' },
    ],
    noKey: 'champion',
    champion: 'control',
    variants: [
      { name: 'control', model: 'digits', version: '1', weight: 90 },
      { name: 'treatment', model: 'digits', version: '2', weight: 10 },
      { name: 'other', model: 'letters', version: '7', weight: 0 },
    ],
    coverage: 0.5,
    layer: { salt: 'checkout', from: 0, to: 1 },
    holdout: { salt: 'digits', share: 0.05 },
    targeting: [
      {
        conditions: [{ place: { source: 'header', name: 'x-country' }, is: 'in', values: ['SE'], bound: 0 }],
        variants: ['control', 'treatment'],
      },
    ],
    overrides: { header: 'x-lab', allowed: ['treatment'], keys: { alice: 'treatment', bob: 'treatment' } },
  });
  assert.deepEqual(structuredClone(experiment), experiment);
});

test('an alias that moves changes the variant, and with it the phase', () => {
  const routes = fromYaml(full);
  const before = tableRoutes(routes, known, () => 1).digits!.experiment!;
  const moved = { ...known, digits: { ...known.digits, labels: { candidate: '3' } } };
  const after = tableRoutes(routes, moved, () => 1).digits!.experiment!;
  assert.equal(after.variants[1]!.version, '3');
  assert.notEqual(phaseText(before), phaseText(after));
  assert.equal(phaseText(before), phaseText(tableRoutes(routes, known, () => 2).digits!.experiment!));
});

test('shadows come with their versions and limits; one whose alias leads nowhere stays away until it does', () => {
  const text = `routes:
  digits:
    shadows:
      - { name: next, version: "3", percent: 25, max_concurrency: 4, timeout: 2s, compare: { output: p, rule: argmax } }
      - { name: named, alias: candidate, sample_salt: next, when: parallel }
      - { name: nowhere, alias: nothing }
`;
  const table = tableRoutes(fromYaml(text), known, () => 1);
  const [next, named, ...rest] = table.digits!.shadows!;
  assert.deepEqual(rest, []);
  assert.deepEqual(
    { ...next, compare: undefined },
    {
      ...{ route: 'digits', name: 'next', version: { model: 'digits', version: '3' }, share: 0.25, sampleSalt: 'next' },
      ...{ when: 'after', inFlightMax: 4, queueMax: 64, timeoutMs: 2000, requestBytesMax: 4 << 20, loopLagMsMax: 20 },
      compare: undefined,
    },
  );
  assert.deepEqual([next!.compare.outputs, next!.compare.rule], [['p'], 'argmax']);
  assert.deepEqual([named!.version.version, named!.sampleSalt, named!.when], ['2', 'next', 'parallel']);
  assert.equal(table.digits!.experiment, undefined);
  assert.deepEqual(structuredClone(table), table);
});

test('a route of a model that is not in the table puts nothing into it', () => {
  const { digits, ...others } = known;
  assert.deepEqual(Object.keys(tableRoutes(fromYaml(full), others, () => 1)), ['letters']);
  assert.notEqual(digits, undefined);
});

test('a weight below 0 or that is no number is refused under its key', () => {
  const path = 'routes.digits.variants.b.weight';
  const given = (weight: unknown) => complaints(minimal({ ...ab, b: { version: '2', weight } }));
  assert.deepEqual(given(-1), [`${path}: expected a weight from 0 to 1000000, got -1`]);
  assert.deepEqual(given('ten'), [`${path}: expected a weight from 0 to 1000000, got "ten"`]);
  assert.deepEqual(given(undefined), [`${path}: expected a weight from 0 to 1000000, got nothing`]);
  assert.deepEqual(given(Number.NaN), [`${path}: expected a weight from 0 to 1000000, got null`]);
  assert.deepEqual(given(1_000_000), []);
  assert.equal(given(1_000_001).length, 1);
});

test('weights that are all 0 are refused, also among those of one target', () => {
  const zero = { a: { version: '1', weight: 0 }, b: { version: '2', weight: 0 } };
  assert.match(complaints(minimal(zero))[0]!, /^routes\.digits\.variants: expected at least one weight above 0/);
  const b = { ...ab, b: { version: '2', weight: 0 } };
  const targeting = [{ when: 'header:x-beta exists', variants: ['b'] }];
  assert.match(
    complaints(minimal(b, { targeting }))[0]!,
    /^routes\.digits\.targeting\.0\.variants: expected at least one variant with a weight above 0/,
  );
});

test('a variant that does not exist is refused wherever it is named', () => {
  const given = (more: object) => complaints(minimal(ab, more)).map((line) => line.split(',')[0]);
  assert.deepEqual(given({ default: 'c' }), ['routes.digits.default: expected one of the variants: a']);
  assert.deepEqual(given({ overrides: { allow: ['c'] } }), [
    'routes.digits.overrides.allow.0: expected one of the variants: a',
  ]);
  assert.deepEqual(given({ overrides: { keys: { c: ['x'] } } }), [
    'routes.digits.overrides.keys.c: expected one of the variants: a',
  ]);
  assert.deepEqual(given({ canary: { variant: 'c' } }), [
    'routes.digits.canary.variant: expected one of the variants: a',
  ]);
  assert.deepEqual(given({ targeting: [{ when: 'param:x exists', variants: ['a', 'c'] }] }), [
    'routes.digits.targeting.0.variants.1: expected one of the variants: a',
  ]);
});

test('a canary has its route to itself: other variants weigh nothing, and whoever is targeted may get both', () => {
  const more = (weight: number) => ({ ...ab, c: { version: '3', weight } });
  assert.deepEqual(complaints(minimal(more(0), { canary: { variant: 'b' } })), []);
  assert.deepEqual(complaints(minimal(more(5), { canary: { variant: 'b' } })), [
    'routes.digits.variants.c.weight: expected weight 0, because a canary compares two variants alone, got 5',
  ]);
  const targeting = [{ when: 'param:x exists', variants: ['a'] }];
  assert.match(
    complaints(minimal(ab, { canary: { variant: 'b' }, targeting }))[0]!,
    /^routes\.digits\.targeting\.0\.variants: expected both variants of the canary: a, b, got/,
  );
});

test('how an experiment is read is written beside its variants; a canary says it itself', () => {
  const readout = { planned_n: 3000, guardrails: [{ metric: 'accuracy', margin: 0.01 }] };
  const { digits } = readRoutes({ digits: minimal(ab, { readout }) }).routes!;
  assert.deepEqual(digits!.readout, { alpha: 0.05, method: 'always_valid', ...readout });
  const refused: [object, RegExp][] = [
    [{ method: 'msprt' }, /readout\.tau2: expected a variance with method msprt, and none without, got nothing/],
    [{ tau2: 1 }, /readout\.tau2: expected a variance with method msprt, and none without, got 1/],
    [{ alpha: 0 }, /readout\.alpha: expected a share of wrong conclusions from 0\.000001 to 0\.5, got 0/],
    [{ planned_n: 1 }, /readout\.planned_n: expected a count from 2 to 1000000000, got 1/],
    [{ alpa: 0.1 }, /readout\.alpa: unknown option.*alpha/],
  ];
  for (const [given, expected] of refused) assert.match(complaints(minimal(ab, { readout: given }))[0]!, expected);
  assert.match(
    complaints(minimal(ab, { readout, canary: { variant: 'b' } }))[0]!,
    /^routes\.digits\.readout: expected none, because the canary says what is measured/,
  );
});

test('a route without a default or without a key is refused', () => {
  assert.match(
    complaints({ key: 'header:x', variants: ab })[0]!,
    /^routes\.digits\.default: expected one of the variants: a, b/,
  );
  assert.match(complaints(minimal(ab, { key: [] }))[0]!, /^routes\.digits\.key: expected at least one place/);
  assert.deepEqual(complaints(minimal(ab, { key: [], no_key: 'request' })), []);
  assert.match(complaints({})[0]!, /^routes\.digits\.variants: expected at least one variant, or shadows alone/);
});

test('a variant names a version or an alias, or a model, and not two of the same', () => {
  const text = 'routes.digits.variants.b: expected version, alias or model, and not both version and alias';
  assert.ok(complaints(minimal({ ...ab, b: { weight: 1 } }))[0]!.startsWith(text));
  assert.ok(complaints(minimal({ ...ab, b: { version: '1', alias: 'x', weight: 1 } }))[0]!.startsWith(text));
  assert.deepEqual(complaints(minimal({ ...ab, b: { model: 'letters', version: '1', weight: 1 } })), []);
});

test('names that would end up in headers or change what is hashed are refused', () => {
  for (const name of ['a\r\nx-evil: 1', 'a:b', '', 'x'.repeat(65), 'enroll', 'layer', 'holdout', 'analysis', 'ä']) {
    const lines = complaints(minimal({ ...ab, [name]: { version: '1', weight: 1 } }));
    assert.equal(lines.length, 1, name);
    assert.match(lines[0]!, /expected 1 to 64 letters, digits/, name);
  }
  for (const [key, value] of [
    ['salt', 'a:b'],
    ['experiment', 'a\r\nb'],
    ['layer', 'a b'],
  ] as const) {
    assert.match(
      complaints(minimal(ab, { [key]: value }))[0]!,
      new RegExp(`^routes\\.digits\\.${key}.*: expected 1 to 64`),
    );
  }
});

test('a variant named twice is refused when the text is read', () => {
  const text =
    'routes:\n  digits:\n    variants:\n      a: {version: 1, weight: 1}\n      a: {version: 2, weight: 1}\n';
  const { problems } = resolveConfig({ file: { name: 'sluice.yaml', text } });
  assert.deepEqual(
    problems.map(({ where, message }) => `${where}: ${message}`),
    ['sluice.yaml:5: expected YAML, got Map keys must be unique'],
  );
});

test('more than 32 variants are refused', () => {
  const many = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`v${i}`, { version: '1', weight: 1 }]));
  assert.deepEqual(complaints({ ...minimal(many(32)), default: 'v0' }), []);
  assert.match(
    complaints({ ...minimal(many(33)), default: 'v0' })[0]!,
    /^routes\.digits\.variants: expected at most 32 names/,
  );
});

test('a layer over 100 % is refused, parts of it that lie side by side are not', () => {
  const of = (from: number, to: number) => minimal(ab, { layer: { name: 'checkout', range: [from, to] } });
  const whole = minimal(ab, { layer: 'checkout' });
  assert.deepEqual(complaints(of(0, 0.5), { letters: of(0.5, 1) }), []);
  assert.match(
    complaints(of(0, 0.6), { letters: of(0.5, 1) })[0]!,
    /^routes\.letters\.layer\.range: expected a part of layer 'checkout' outside \[0, 0\.6\), which 'digits' has: a layer has 100 % in all, got \[0\.5,1\]/,
  );
  assert.match(complaints(whole, { letters: whole })[0]!, /outside \[0, 1\), which 'digits' has/);
  assert.match(complaints(of(0, 1.5))[0]!, /^routes\.digits\.layer\.range\.1: expected a number from 0 to 1, got 1\.5/);
  assert.match(
    complaints(of(0.5, 0.5))[0]!,
    /^routes\.digits\.layer\.range: expected a range whose end is above its start/,
  );
});

test('what routes share by name must be the same, and experiments have names of their own', () => {
  const layer = (salt: string, range: number[]) => minimal(ab, { layer: { name: 'l', salt, range } });
  assert.match(
    complaints(layer('x', [0, 0.5]), { letters: layer('y', [0.5, 1]) })[0]!,
    /^routes\.letters\.layer\.salt: expected the salt that layer 'l' has in 'digits'/,
  );
  const holdout = (percent: number) => minimal(ab, { holdout: { name: 'global', percent } });
  assert.deepEqual(complaints(holdout(5), { letters: holdout(5) }), []);
  assert.match(
    complaints(holdout(5), { letters: holdout(6) })[0]!,
    /^routes\.letters\.holdout: expected the salt and percentage/,
  );
  const same = minimal(ab, { experiment: 'spring' });
  assert.match(
    complaints(same, { letters: same })[0]!,
    /^routes\.letters\.experiment: expected another name than 'spring'/,
  );
});

test('a key is a place that every protocol has, and not one with a meaning of its own', () => {
  const given = (key: unknown) => complaints(minimal(ab, { key }));
  assert.deepEqual(given('cookie:session'), []);
  assert.deepEqual(given(['header:x-a', 'param:user.id']), []);
  assert.deepEqual(given(['jwt:sub', 'jwt:user.id', 'jwt:https://example.com/user']), []);
  for (const bad of [
    'x-user-id',
    'header:',
    'header:a b',
    'header:a\r\nb',
    'jwt:',
    'jwt:a b',
    'jwt:é',
    'param:priority',
    'param:sluice_variant',
  ]) {
    assert.match(
      given([bad])[0]!,
      /^routes\.digits\.key\.0: expected header:<name>, cookie:<name>, jwt:<claim>, or param:<name>/,
      bad,
    );
  }
  assert.match(given(7)[0]!, /^routes\.digits\.key\.0: expected a place such as header:x-user-id, got 7/);
});

test('a condition that cannot be read is refused with an example', () => {
  const given = (when: unknown) => complaints(minimal(ab, { targeting: [{ when }] }));
  const good = ['header:a == b', 'param:age >= 18', 'header:c in [SE, "NO"]', 'cookie:x exists', "header:a == 'x y'"];
  assert.deepEqual(given(good), []);
  for (const bad of [
    'header:a = b',
    'a == b',
    'header:a ==',
    'param:age > old',
    'header:c in SE',
    'header:c exists 1',
  ]) {
    assert.match(given(bad)[0]!, /^routes\.digits\.targeting\.0\.when\.0: expected <place> == value, in \[a, b\]/, bad);
  }
});

test('an unknown key is named together with the nearest known one', () => {
  assert.deepEqual(complaints(minimal(ab, { wieght: 1 })), [
    'routes.digits.wieght: unknown option, did you mean weight?',
  ]);
  assert.equal(readRoutes([]).problems[0]!.path, 'routes');
  assert.equal(readRoutes('digits').problems[0]!.path, 'routes');
});

test('in a file the complaint names the line of the routes and the path within', () => {
  const text =
    'log: {level: info}\nroutes:\n  digits: {default: a, key: header:x, variants: {a: {version: 1, weight: -1}}}\n';
  const { problems } = resolveConfig({ file: { name: 'sluice.yaml', text } });
  assert.deepEqual(
    problems.map(({ where, message }) => `${where}: ${message}`),
    ['sluice.yaml:2: routes: digits.variants.a.weight: expected a weight from 0 to 1000000, got -1'],
  );
});

test('models, versions and aliases that are not there are named with those that are', () => {
  const given = (routes: unknown) => {
    const read = readRoutes(routes);
    assert.deepEqual(read.problems, []);
    return routeProblems(read.routes, known).map(({ path, message }) => `${path}: ${message}`);
  };
  assert.deepEqual(given({ digit: minimal(ab) }), [
    "routes.digit: expected a model that is served (digits, letters), got 'digit' (did you mean 'digits'?)",
  ]);
  assert.deepEqual(given({ digits: minimal({ ...ab, b: { version: '9', weight: 1 } }) }), [
    "routes.digits.variants.b.version: expected a version of 'digits' that is served (1, 2, 3), got '9'",
  ]);
  assert.deepEqual(given({ digits: minimal({ ...ab, b: { alias: 'stable', weight: 1 } }) }), [
    "routes.digits.variants.b.alias: expected an alias of 'digits' (champion, candidate), got 'stable'",
  ]);
  assert.deepEqual(given({ digits: minimal({ ...ab, b: { model: 'words', weight: 1 } }) }), [
    "routes.digits.variants.b.model: expected a model that is served (digits, letters), got 'words'",
  ]);
  assert.deepEqual(given({ digits: minimal({ ...ab, b: { alias: 'champion', weight: 1 } }) }), []);
});

test('a shadow of the version that answers is refused, by number, alias or champion', () => {
  const given = (route: object) => routeProblems(readRoutes({ digits: route }).routes, known);
  const text = "expected another version than 2 of 'digits', which answers as 'b': a shadow of itself shows nothing";
  const shadow = (target: object) => minimal(ab, { shadows: [{ name: 's', ...target }] });
  assert.deepEqual(given(shadow({ version: '2' })), [{ path: 'routes.digits.shadows.0', message: text }]);
  assert.deepEqual(given(shadow({ alias: 'candidate' })), [{ path: 'routes.digits.shadows.0', message: text }]);
  assert.deepEqual(given(shadow({ version: '3' })), []);
  assert.match(given({ shadows: [{ name: 's', model: 'digits' }] })[0]!.message, /answers as 'champion'/);
  assert.deepEqual(given({ shadows: [{ name: 's', version: '2' }] }), []);
});

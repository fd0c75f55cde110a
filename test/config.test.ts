import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadConfig, resolveConfig, type Sources } from '../src/config/load.js';
import { bytesText } from '../src/config/option.js';
import { options } from '../src/config/options.js';
import { readConfigFile } from '../src/config/read.js';
import type { Config } from '../src/config/schema.js';
import { GatewayError } from '../src/core/errors.js';
import { ownOf } from '../src/core/own.js';

function problemsOf(sources: Sources): string[] {
  return resolveConfig(sources).problems.map(({ where, message }) => `${where}: ${message}`);
}

function fromYaml(text: string): Sources {
  return { file: { name: 'sluice.yaml', text } };
}

test('an empty configuration has the defaults of the specification', () => {
  const { config, origins } = loadConfig({});
  assert.equal(config.http.port, 8000);
  assert.equal(config.grpc.port, 8001);
  assert.equal(config.admin.port, 8002);
  assert.equal(config.admin.host, '127.0.0.1');
  assert.equal(config.http.max_input_size, 64 * 2 ** 20);
  assert.equal(config.batching.default_max_batch_size, 32);
  assert.equal(config.batching.max_queue_delay_us, 0);
  assert.equal(config.engine.inline_run_us, 500);
  assert.equal(config.request_timeout_ms, 30_000);
  assert.equal(config.overload_status, 429);
  assert.equal(config.readiness.models, 'all');
  assert.equal(config.relay.change, 'loopback');
  assert.equal(config.metrics.series_max, 5000);
  assert.deepEqual(config.models.version_policy, { latest: { n: 1 } });
  assert.equal(origins.get('http.port'), 'default');
});

test('a flag wins over the environment, the environment over the file, the file over the default', () => {
  const file = { name: 'sluice.yaml', text: 'http:\n  port: 1001\ngrpc:\n  port: 1002\nadmin:\n  port: 1003\n' };
  const env = { SLUICE_HTTP_PORT: '2001', SLUICE_GRPC_PORT: '2002' };
  const { config, origins } = loadConfig({ file, env, flags: { 'http-port': '3001' } });
  assert.deepEqual([config.http.port, config.grpc.port, config.admin.port], [3001, 2002, 1003]);
  assert.equal(config.http.host, '0.0.0.0');
  assert.equal(origins.get('http.port'), 'flag --http-port');
  assert.equal(origins.get('grpc.port'), 'env SLUICE_GRPC_PORT');
  assert.equal(origins.get('admin.port'), 'file sluice.yaml:6');
  assert.equal(origins.get('http.host'), 'default');
});

test('people who sign keyless are named together with the file that proves who they are', () => {
  const names = (rest: string) => problemsOf(fromYaml(`registry: {${rest}}`));
  const issuer = 'issuer: "https://token.example"';
  const root = 'trusted_root: root.json';
  assert.deepEqual(names(`${root}, identities: [{identity: a@b.c, ${issuer}}]`), []);
  assert.deepEqual(names(`${root}, identities: [{identity_regexp: ".*@b[.]c", ${issuer}}]`), []);
  assert.match(names(root).join(), /sluice\.yaml:1: registry\.trusted_root: expected registry\.identities beside it/);
  assert.match(names(`identities: [{identity: a, ${issuer}}]`).join(), /identities: expected registry\.trusted_root/);
  for (const wrong of [
    'identity: a',
    `identity: a, identity_regexp: b, ${issuer}`,
    issuer,
    `identity: a, ${issuer}, x: 1`,
  ])
    assert.equal(names(`${root}, identities: [{${wrong}}]`).length, 1, wrong);
  const [problem] = names(`${root}, identities: [{identity_regexp: "(", ${issuer}}]`);
  assert.match(problem!, /^sluice\.yaml:1: registry\.identities: expected .* a pattern for all of the name, got /);
});

test('a short flag sets what it stands for, and the full flag wins over it', () => {
  const { config } = loadConfig({ flags: { host: '127.0.0.1', 'grpc-host': '::1', models: 'm', load: 'lazy' } });
  assert.equal(config.http.host, '127.0.0.1');
  assert.equal(config.grpc.host, '::1');
  assert.equal(config.models.path, 'm');
  assert.equal(config.models.load, 'lazy');
});

test('the configuration is frozen all the way down', () => {
  const config = loadConfig(fromYaml('model_overrides: {digits: {instances: 2}}')).config as {
    -readonly [K in keyof Config]: Config[K];
  };
  assert.throws(() => {
    config.drain_delay_ms = 1;
  }, TypeError);
  assert.throws(() => {
    (config.http as { port: number }).port = 1;
  }, TypeError);
  assert.throws(() => {
    (config.model_overrides.digits as { instances: number }).instances = 1;
  }, TypeError);
});

test('every option accepts its own default and says what it is, what it takes and how it is set', () => {
  const variables = new Set<string>();
  for (const option of options) {
    assert.deepEqual(option.schema.parse(option.fallback), option.fallback, option.path);
    assert.match(option.facts.description, /^[A-Z].*\.$/s, option.path);
    assert.ok(option.facts.expected.length > 3, option.path);
    assert.match(option.path, /^[a-z0-9_.]+$/);
    variables.add(option.variable);
  }
  assert.equal(variables.size, options.length, 'two options share a variable');
});

test('every range is enforced at both of its ends and one beyond', () => {
  let checked = 0;
  for (const { path, schema, facts } of options) {
    const range = /^an integer from (\d+) to (\d+)$/.exec(facts.expected);
    if (range === null) continue;
    checked++;
    const [min, max] = [Number(range[1]), Number(range[2])];
    for (const right of [min, max, `${min}`]) assert.ok(schema.safeParse(right).success, `${path} ${right}`);
    for (const wrong of [min - 1, max + 1, min + 0.5, `${max + 1}`, 'x', true]) {
      assert.ok(!schema.safeParse(wrong).success, `${path} ${wrong}`);
    }
  }
  assert.ok(checked > 20);
});

test('a size may be written with a unit and is checked in bytes', () => {
  const sizes = { '64MiB': 2 ** 26, '1.5KiB': 1536, '2 MB': 2_000_000, '4096': 4096, '100KB': 100_000 };
  for (const [text, bytes] of Object.entries(sizes)) {
    assert.equal(loadConfig({ flags: { 'http-max-input-size': text } }).config.http.max_input_size, bytes, text);
    assert.equal(loadConfig(fromYaml(`http: {max_input_size: ${text}}`)).config.http.max_input_size, bytes, text);
  }
  for (const text of ['64 mib', '-1', '1e9', '3GiB', '1.0001KiB', 'MiB', '1023']) {
    assert.match(
      problemsOf({ flags: { 'http-max-input-size': text } })[0] ?? '',
      /expected a size from 1KiB to \d+/,
      text,
    );
  }
  assert.equal(bytesText(2 ** 26), '64MiB');
  assert.equal(bytesText(1000), '1000');
});

test('what single tensors keep in the log may have units, names whole tensors and has the limit of all', () => {
  const truncate = (rule: string) => fromYaml(`prediction_log: {truncate: {m: [${rule}]}}`);
  const { config } = loadConfig(truncate('{target: /inputs/x, bytes: 4KiB}, {target: /outputs/a~1b, bytes: 0}'));
  assert.deepEqual(config.prediction_log.truncate, {
    m: [
      { target: '/inputs/x', bytes: 4096 },
      { target: '/outputs/a~1b', bytes: 0 },
    ],
  });
  for (const wrong of [
    '{target: /inputs/x, bytes: 81KiB}',
    '{target: /inputs/x, bytes: -1}',
    '{target: /inputs/x}',
    '{target: /inputs/x, bytes: 1, how: drop}',
    '{target: /inputs/x/0, bytes: 1}',
    '{target: x, bytes: 1}',
  ]) {
    const [problem, ...more] = problemsOf(truncate(wrong));
    assert.match(
      String(problem),
      /^sluice\.yaml:1: prediction_log\.truncate: expected rules by model of at most 80KiB/,
    );
    assert.deepEqual(more, [], wrong);
  }
});

test('a wrong value is one line that names its origin, what is expected and what came', () => {
  assert.deepEqual(problemsOf(fromYaml('\nhttp:\n  port: abc\n')), [
    'sluice.yaml:3: http.port: expected an integer from 0 to 65535, got "abc"',
  ]);
  assert.deepEqual(problemsOf({ env: { SLUICE_HTTP_PORT: '65536' } }), [
    'SLUICE_HTTP_PORT: expected an integer from 0 to 65535, got "65536"',
  ]);
  assert.deepEqual(problemsOf({ flags: { 'models-load': 'later' } }), [
    '--models-load: expected one of eager, lazy, explicit, got "later"',
  ]);
  assert.deepEqual(problemsOf({ flags: { 'overload-status': '500' } }), [
    '--overload-status: expected 429 or 503, got "500"',
  ]);
  assert.deepEqual(problemsOf(fromYaml('http:\n  port:\n')), [
    'sluice.yaml:2: http.port: expected an integer from 0 to 65535, got nothing',
  ]);
});

test('an unknown key is refused with the nearest match, wherever it stands', () => {
  assert.deepEqual(problemsOf(fromYaml('http:\n  prt: 1\n')), [
    'sluice.yaml:2: http.prt: unknown option, did you mean http.port?',
  ]);
  assert.deepEqual(problemsOf(fromYaml('htp:\n  port: 1\n')), [
    'sluice.yaml:1: htp: unknown option, did you mean http?',
  ]);
  assert.deepEqual(problemsOf(fromYaml('max_queue_delay_us: 1\n')), [
    'sluice.yaml:1: max_queue_delay_us: unknown option, did you mean batching.max_queue_delay_us?',
  ]);
  assert.deepEqual(problemsOf({ env: { SLUICE_HTPP_PORT: '1' } }), [
    'SLUICE_HTPP_PORT: unknown variable, did you mean SLUICE_HTTP_PORT?',
  ]);
  assert.deepEqual(problemsOf({ flags: { 'htp-port': '1' } }), ['--htp-port: unknown flag, did you mean --http-port?']);
  assert.deepEqual(problemsOf(fromYaml('model_overrides:\n  digits:\n    instnces: 1\n')), [
    'sluice.yaml:1: model_overrides: digits.instnces: unknown option, did you mean instances?',
  ]);
  assert.match(problemsOf({ env: { SLUICE_QQQQQQQQQQQQQ: '1' } })[0]!, /unknown variable$/);
});

test('all problems are told at once', () => {
  const problems = problemsOf({
    ...fromYaml('http: {port: x}\nnonsense: 1\n'),
    env: { SLUICE_LOG_LEVEL: 'loud' },
    flags: { 'drain-delay-ms': '-1' },
  });
  assert.equal(problems.length, 4);
});

test('problems become one error whose lines each name one thing', () => {
  assert.throws(
    () => loadConfig(fromYaml('http: {port: x}\nnonsense: 1\n')),
    (error) =>
      error instanceof GatewayError && error.code === 'INVALID_ARGUMENT' && error.message.split('\n').length === 2,
  );
});

test('bad YAML is refused with its line', () => {
  assert.match(problemsOf(fromYaml('http:\n  port: [1\n'))[0]!, /^sluice\.yaml:\d+: expected YAML, got /);
  assert.match(
    problemsOf(fromYaml('http: {port: 1}\nhttp: {port: 2}\n'))[0]!,
    /^sluice\.yaml:2: expected YAML, got .*unique/,
  );
  assert.match(problemsOf(fromYaml('- 1\n'))[0]!, /expected keys and values/);
  assert.match(problemsOf(fromYaml('http: !!binary 3\n'))[0]!, /^sluice\.yaml:1/);
  assert.match(problemsOf(fromYaml('a: 1\n---\nb: 2\n'))[0]!, /expected YAML/);
  assert.match(problemsOf(fromYaml('http: 3\n'))[0]!, /http: expected a group of options/);
});

test('a file beyond the size limit or full of aliases is refused', () => {
  assert.match(problemsOf(fromYaml(`#${'x'.repeat(1 << 20)}`))[0]!, /expected at most 1048576 bytes, got 1048577/);
  assert.deepEqual(problemsOf(fromYaml(`#${'x'.repeat((1 << 20) - 1)}`)), []);
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nreadiness: {models: [*c,*c,*c,*c,*c]}`;
  assert.ok(problemsOf(fromYaml(bomb)).some((line) => /at most 100 aliases/.test(line)));
});

test('a key named __proto__ is an unknown option and changes no prototype', () => {
  assert.match(problemsOf(fromYaml('__proto__: {polluted: 1}\n'))[0]!, /__proto__: unknown option/);
  assert.match(problemsOf(fromYaml('model_overrides: {__proto__: {polluted: 1}}\n')).join(), /polluted|__proto__|^$/);
  assert.equal(({} as { polluted?: number }).polluted, undefined);
});

test('empty files, empty groups and empty variables are nothing said', () => {
  for (const text of ['', '# only a comment\n', 'http:\n', 'models:\n  lazy:\n', '---\n']) {
    assert.deepEqual(problemsOf(fromYaml(text)), [], text);
  }
  assert.deepEqual(problemsOf({ env: { SLUICE_HTTP_PORT: '' } }), []);
});

test('variables that a cluster sets for a service of our name are not ours', () => {
  const env = {
    SLUICE_PORT: 'tcp://10.0.0.1:8000',
    SLUICE_HTTP_PORT: 'tcp://10.0.0.1:8000',
    SLUICE_SERVICE_HOST: '10.0.0.1',
    SLUICE_SERVICE_PORT: '8000',
    SLUICE_SERVICE_PORT_HTTP: '8000',
    SLUICE_PORT_8000_TCP_ADDR: '10.0.0.1',
    SLUICE_PORT_8000_TCP: 'tcp://10.0.0.1:8000',
    SLUICE_CONFIG: 'elsewhere.yaml',
  };
  assert.deepEqual(problemsOf({ env }), []);
  assert.equal(loadConfig({ env }).config.http.port, 8000);
});

test('the version policy may be written as the registry does or as words', () => {
  const policy = (text: string) =>
    loadConfig({ flags: { 'models-version-policy': text } }).config.models.version_policy;
  assert.equal(policy('all'), 'all');
  assert.deepEqual(policy('latest 2'), { latest: { n: 2 } });
  assert.deepEqual(policy('latest'), { latest: { n: 1 } });
  assert.deepEqual(policy('specific 1,10'), { specific: ['1', '10'] });
  assert.deepEqual(policy('{latest: {n: 3}}'), { latest: { n: 3 } });
  assert.deepEqual(policy('{specific: [1, 3]}'), { specific: ['1', '3'] });
  for (const wrong of [
    'latest 0',
    'latest x',
    'specific 0',
    'newest',
    '{latest: {m: 1}}',
    '{specific: []}',
    '[',
    'latest 1 all',
  ]) {
    assert.equal(problemsOf({ flags: { 'models-version-policy': wrong } }).length, 1, wrong);
  }
});

test('overrides of a model keep only what was said, each in its range', () => {
  const { config } = loadConfig(fromYaml('model_overrides:\n  digits: {max_batch_size: 0, rank: background}\n'));
  assert.deepEqual(config.model_overrides, { digits: { max_batch_size: 0, rank: 'background' } });
  assert.deepEqual(problemsOf(fromYaml('model_overrides:\n  digits: {max_batch_size: -1}\n')), [
    'sluice.yaml:1: model_overrides: digits.max_batch_size: expected an integer from 0 to 65536, got -1',
  ]);
  assert.deepEqual(problemsOf(fromYaml('model_overrides: {digits: {priority: 3, priority_levels: 2}}')), [
    'sluice.yaml:1: model_overrides: digits.priority: expected at most priority_levels (2), got 3',
  ]);
});

test('readiness takes all or names', () => {
  assert.deepEqual(loadConfig({ env: { SLUICE_READINESS_MODELS: 'digits, cancer' } }).config.readiness.models, [
    'digits',
    'cancer',
  ]);
  assert.equal(loadConfig({ env: { SLUICE_READINESS_MODELS: 'all' } }).config.readiness.models, 'all');
});

test('on and off are booleans, as the specification writes them', () => {
  assert.equal(loadConfig(fromYaml('relay: {read: off, change: on}')).config.relay.read, false);
  assert.equal(loadConfig(fromYaml('relay: {change: on}')).config.relay.change, 'on');
  assert.equal(loadConfig(fromYaml('relay: {change: true}')).config.relay.change, 'on');
  assert.equal(loadConfig({ flags: { 'grpc-reflection': true } }).config.grpc.reflection, true);
});

test('the control port opens to others only with a token', () => {
  assert.match(
    problemsOf(fromYaml('admin:\n  host: 0.0.0.0\n'))[0]!,
    /^sluice\.yaml:2: admin\.host: expected a loopback address, or admin\.token/,
  );
  const token = '0123456789abcdef';
  assert.deepEqual(problemsOf({ env: { SLUICE_ADMIN_HOST: '0.0.0.0', SLUICE_ADMIN_TOKEN: token } }), []);
  for (const host of ['localhost', '127.0.0.2', '::1'])
    assert.deepEqual(problemsOf({ flags: { 'admin-host': host } }), []);
});

test('a secret is never repeated in a message', () => {
  const problems = problemsOf({ env: { SLUICE_ADMIN_TOKEN: 'too short' } });
  assert.equal(problems.length, 1);
  assert.doesNotMatch(problems[0]!, /too short/);
});

test('two listeners on one port are refused, port 0 twice is not', () => {
  assert.deepEqual(problemsOf({ flags: { 'http-port': '8001' } }), [
    'grpc.port: expected another port than http.port, got 8001 for both',
  ]);
  assert.deepEqual(problemsOf({ flags: { 'http-port': '0', 'grpc-port': '0', 'admin-port': '0' } }), []);
  assert.deepEqual(problemsOf({ flags: { 'http-port': '8001', 'grpc-enabled': 'false' } }), []);
});

test('what this build does not have cannot be switched on', () => {
  assert.deepEqual(problemsOf({ flags: { 'compat-v1': 'true' } }), [
    '--compat-v1: expected false, because this build does not have it, got "true"',
  ]);
  assert.deepEqual(problemsOf({ flags: { 'compat-v1': 'false', 'prediction-log-sample': '0' } }), []);
});

test('a named file that does not exist is an error, the usual one may be missing', () => {
  assert.throws(() => readConfigFile('no/such.yaml', {}), /no\/such\.yaml: expected a configuration file/);
  assert.throws(() => readConfigFile(undefined, { SLUICE_CONFIG: 'no/such.yaml' }), /no\/such\.yaml/);
  assert.throws(() => readConfigFile('.', {}), /got a folder/);
});

test('the shipped configuration is right and says no more than the defaults', () => {
  const places = ['../config/sluice.yaml', '../../config/sluice.yaml'].map((place) => new URL(place, import.meta.url));
  const name = places.find((place) => existsSync(place))!;
  const text = readFileSync(name, 'utf8');
  const shipped = loadConfig({ file: { name: 'config/sluice.yaml', text } });
  assert.deepEqual(shipped.config, loadConfig({}).config);
  const open = text.replace(/^(\s*)# ([a-z_]+:)/gm, '$1$2');
  assert.deepEqual(problemsOf({ file: { name: 'config/sluice.yaml', text: open } }), []);
});

test('a model may have the name of what every object has', () => {
  assert.equal(ownOf<object>({}, 'constructor'), undefined);
  assert.deepEqual(ownOf(JSON.parse('{"__proto__":1,"constructor":2}'), '__proto__'), 1);
});

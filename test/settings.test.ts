import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogRoom, type LogSettings, TraceRoom, type TraceSettings } from '../src/admin/settings.js';
import { GatewayError } from '../src/core/errors.js';

function refuses(code: string, message: string | RegExp) {
  return (error: unknown): true => {
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, code);
    if (typeof message === 'string') assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  };
}

const traceAtStart = {
  trace_level: ['OFF'],
  trace_rate: '1000',
  trace_count: '-1',
  log_frequency: '0',
  trace_file: '',
  trace_mode: 'opentelemetry',
};

function openTrace(): { room: TraceRoom; told: [string, TraceSettings][] } {
  const told: [string, TraceSettings][] = [];
  return { room: new TraceRoom((model, settings) => told.push([model, settings])), told };
}

test('trace settings start off and a change answers all of them', () => {
  const { room, told } = openTrace();
  assert.deepEqual(room.settings(''), traceAtStart);
  const changed = { ...traceAtStart, trace_level: ['TIMESTAMPS', 'TENSORS'], trace_rate: '5' };
  assert.deepEqual(room.update('', { trace_level: ['TIMESTAMPS', 'TENSORS'], trace_rate: '5' }), changed);
  assert.deepEqual(room.settings('any'), changed);
  assert.deepEqual(told, [['', changed]]);
});

test('a number for rate and count may come as text, as a number or as a list of one', () => {
  const { room } = openTrace();
  assert.equal(room.update('', { trace_rate: 7 }).trace_rate, '7');
  assert.equal(room.update('', { trace_rate: ['8'] }).trace_rate, '8');
  assert.equal(room.update('', { trace_count: '-1' }).trace_count, '-1');
  assert.equal(room.update('', { trace_count: 0 }).trace_count, '0');
});

test('the first change of a model copies the global values, so that later global changes pass it by', () => {
  const { room } = openTrace();
  room.update('', { trace_rate: '10' });
  room.update('m', { trace_level: ['TIMESTAMPS'] });
  room.update('', { trace_rate: '20', trace_level: ['TENSORS'] });
  assert.equal(room.settings('m').trace_rate, '10');
  assert.deepEqual(room.settings('m').trace_level, ['TIMESTAMPS']);
  assert.equal(room.settings('n').trace_rate, '20');
});

test('null or an empty list removes a value of a model, so that the global one applies', () => {
  const { room } = openTrace();
  room.update('m', { trace_rate: '10', trace_level: ['TIMESTAMPS'] });
  room.update('', { trace_rate: '20', trace_level: ['TENSORS'] });
  assert.equal(room.update('m', { trace_rate: null }).trace_rate, '20');
  assert.deepEqual(room.update('m', { trace_level: [] }).trace_level, ['TENSORS']);
  room.update('', { trace_rate: '30' });
  assert.equal(room.settings('m').trace_rate, '30');
});

test('null on the global path restores the value at start', () => {
  const { room } = openTrace();
  room.update('', { trace_rate: '10', trace_count: '5' });
  assert.deepEqual(room.update('', { trace_rate: null, trace_count: [] }), traceAtStart);
});

test('a model that is gone starts again with the global values', () => {
  const { room } = openTrace();
  room.update('m', { trace_rate: '10' });
  room.forget('m');
  assert.deepEqual(room.settings('m'), traceAtStart);
});

test('wrong trace settings are refused with the texts of the protocol', () => {
  const { room } = openTrace();
  const offAlone = refuses('INVALID_ARGUMENT', "Expect only one trace level 'OFF' is specified");
  assert.throws(() => room.update('', { trace_level: ['OFF', 'TIMESTAMPS'] }), offAlone);
  assert.throws(
    () => room.update('', { trace_rate: 'x' }),
    refuses('INVALID_ARGUMENT', "Unable to parse 'trace_rate', got: x"),
  );
  assert.throws(
    () => room.update('', { trace_rate: '0' }),
    refuses('INVALID_ARGUMENT', "Unable to parse 'trace_rate', got: 0"),
  );
  assert.throws(
    () => room.update('', { trace_count: '-2' }),
    refuses('INVALID_ARGUMENT', "Unable to parse 'trace_count', got: -2"),
  );
  assert.throws(
    () => room.update('', { trace_rate: 1.5 }),
    refuses('INVALID_ARGUMENT', "Unable to parse 'trace_rate', got: 1.5"),
  );
  assert.throws(
    () => room.update('', { trace_rate: 2n ** 64n }),
    refuses('INVALID_ARGUMENT', /got: 18446744073709551616/),
  );
  assert.throws(
    () => room.update('', { trace_level: ['MAX'] }),
    refuses('INVALID_ARGUMENT', /^Unable to parse 'trace_level'/),
  );
  assert.throws(
    () => room.update('', { trace_file: '/tmp/x' }),
    refuses('UNIMPLEMENTED', 'trace file location can not be updated through network protocol'),
  );
  assert.throws(() => room.update('', { trace_mode: 'triton' }), refuses('INVALID_ARGUMENT', /reported only/));
  assert.throws(
    () => room.update('', { trace_ratio: '1' }),
    refuses('INVALID_ARGUMENT', "unknown trace setting 'trace_ratio', did you mean 'trace_rate'?"),
  );
  assert.throws(
    () => room.update('', { constructor: 1 }),
    refuses('INVALID_ARGUMENT', /^unknown trace setting 'constructor'/),
  );
});

test('a trace change that is wrong in one value changes nothing', () => {
  const { room, told } = openTrace();
  assert.throws(() => room.update('', { trace_rate: '5', trace_count: 'x' }));
  assert.throws(() => room.update('m', { trace_rate: '5', trace_count: 'x' }));
  assert.deepEqual(room.settings(''), traceAtStart);
  assert.deepEqual(room.settings('m'), traceAtStart);
  assert.equal(told.length, 0);
});

const logAtStart = {
  log_file: '',
  log_info: true,
  log_warning: true,
  log_error: true,
  log_verbose_level: 0,
  log_format: 'default',
};

function openLog(verboseLevel = 0): { room: LogRoom; told: LogSettings[] } {
  const told: LogSettings[] = [];
  return { room: new LogRoom(verboseLevel, (settings) => told.push(settings)), told };
}

test('log settings answer all members, changed ones included, and null leaves a setting as it is', () => {
  const { room, told } = openLog();
  assert.deepEqual(room.settings(), logAtStart);
  const changed = { ...logAtStart, log_info: false, log_verbose_level: 2, log_format: 'ISO8601' };
  assert.deepEqual(
    room.update({ log_info: false, log_verbose_level: 2, log_format: 'ISO8601', log_error: null }),
    changed,
  );
  assert.deepEqual(room.settings(), changed);
  assert.deepEqual(told, [changed]);
  assert.deepEqual(room.update({}), changed);
});

test('a configured level of debug shows as verbose', () => {
  assert.equal(openLog(1).room.settings().log_verbose_level, 1);
});

test('wrong log settings are refused with the texts of the protocol and change nothing', () => {
  const { room, told } = openLog();
  assert.throws(
    () => room.update({ log_info: false, log_file: 'x' }),
    refuses('UNIMPLEMENTED', 'log file location can not be updated through network protocol'),
  );
  assert.throws(
    () => room.update({ log_format: 'xml' }),
    refuses('INVALID_ARGUMENT', 'invalid argument for log_format, got: xml'),
  );
  assert.throws(() => room.update({ log_verbose_level: -1 }), refuses('INVALID_ARGUMENT', /log_verbose_level/));
  assert.throws(() => room.update({ log_verbose_level: 1.5 }), refuses('INVALID_ARGUMENT', /log_verbose_level/));
  assert.throws(() => room.update({ log_verbose_level: '1' }), refuses('INVALID_ARGUMENT', /log_verbose_level/));
  assert.throws(
    () => room.update({ log_info: 'yes' }),
    refuses('INVALID_ARGUMENT', "Unable to parse 'log_info': expected a boolean, got: yes"),
  );
  assert.throws(
    () => room.update({ log_inf: true }),
    refuses('INVALID_ARGUMENT', "unknown log setting 'log_inf', did you mean 'log_info'?"),
  );
  assert.throws(() => room.update({ toString: true }), refuses('INVALID_ARGUMENT', /^unknown log setting/));
  assert.deepEqual(room.settings(), logAtStart);
  assert.equal(told.length, 0);
});

test('the configuration is what trace settings start from, and what null brings back', () => {
  const room = new TraceRoom(() => {}, { isOn: true, share: 0.3, processes: 1 });
  const { trace_level, trace_rate } = room.settings('');
  assert.deepEqual([trace_level, trace_rate], [['TIMESTAMPS'], '3']);
  const all = { isOn: true, share: 0.3, hasTensors: false, caps: undefined };
  assert.deepEqual(room.plan(), { all, ofModels: new Map() });
  room.update('', { trace_rate: '4' });
  room.update('quiet', { trace_level: ['OFF'] });
  assert.deepEqual(room.plan(), {
    all: { isOn: true, share: 0.25, hasTensors: false, caps: undefined },
    ofModels: new Map([['quiet', { isOn: false, share: 0.25, hasTensors: false, caps: undefined }]]),
  });
  room.update('', { trace_rate: null });
  assert.equal(room.plan().all.share, 0.3);
  assert.equal(new TraceRoom(() => {}, { isOn: false, share: 0.3, processes: 1 }).plan().all.isOn, false);
  const callersOnly = new TraceRoom(() => {}, { isOn: true, share: 0, processes: 1 });
  assert.deepEqual([callersOnly.settings('').trace_rate, callersOnly.plan().all.share], ['0', 0]);
});

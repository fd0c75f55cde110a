/**
 * Model configurations: what is read from config.pbtxt, that JSON and YAML mean the same, and how slips are named.
 *
 * Must not know what a configuration leads to.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { parseTritonConfig } from '../src/registry/triton-config.js';
import { pseudoRandom } from './fixtures.js';

const pbtxt = (text: string) => parseTritonConfig('config.pbtxt', text);

function refuses(fileName: string, text: string, reason: RegExp): void {
  assert.throws(
    () => parseTritonConfig(fileName, text),
    (error) => error instanceof GatewayError && error.code === 'FAILED_PRECONDITION' && reason.test(error.message),
    text,
  );
}

const whole = `
# The example of Triton's documentation, and then some.
name: "simple"
platform: 'onnxruntime_onnx'
max_batch_size: 8
input [
  { name: "INPUT0" data_type: TYPE_INT32 dims: [ 16 ] },
  { name: "INPUT1", data_type: TYPE_STRING, dims: [ -1, 3 ], reshape { shape: [ 3 ] } }
]
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: 16 dims: 2 label_filename: "labels" ".txt" }
output { name: "OUTPUT1" }
instance_group [ { count: 2 kind: KIND_CPU } ]
version_policy: { specific { versions: [ 1, 3 ] } }
dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 100
  priority_levels: 2; default_priority_level: 1
  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5000 allow_timeout_override: true max_queue_size: 7 }
  priority_queue_policy { key: 2 value: { max_queue_size: 3 } }
}
optimization { graph : { level : -1 } }
parameters { key: "intra_op_thread_count" value: { string_value: "4" } }
parameters: < key: "execution_mode" value: < string_value: "1" > >
response_cache { enable: true }
model_warmup { name: "w" batch_size: 1 inputs { key: "INPUT0" value: { data_type: TYPE_INT32 dims: 16 zero_data: true } } }
`;

const expected = {
  name: 'simple',
  platform: 'onnxruntime_onnx',
  max_batch_size: 8,
  input: [
    { name: 'INPUT0', data_type: 'TYPE_INT32', dims: [16] },
    { name: 'INPUT1', data_type: 'TYPE_STRING', dims: [-1, 3], reshape: { shape: [3] } },
  ],
  output: [
    { name: 'OUTPUT0', data_type: 'TYPE_FP32', dims: [16, 2], label_filename: 'labels.txt' },
    { name: 'OUTPUT1' },
  ],
  instance_group: [{ count: 2, kind: 'KIND_CPU' }],
  version_policy: { specific: { versions: [1, 3] } },
  dynamic_batching: {
    preferred_batch_size: [4, 8],
    max_queue_delay_microseconds: 100,
    priority_levels: 2,
    default_priority_level: 1,
    default_queue_policy: {
      timeout_action: 'DELAY',
      default_timeout_microseconds: 5000,
      allow_timeout_override: true,
      max_queue_size: 7,
    },
    priority_queue_policy: { 2: { max_queue_size: 3 } },
  },
  optimization: { graph: { level: -1 } },
  parameters: { intra_op_thread_count: { string_value: '4' }, execution_mode: { string_value: '1' } },
  response_cache: { enable: true },
  model_warmup: [
    { name: 'w', batch_size: 1, inputs: { INPUT0: { data_type: 'TYPE_INT32', dims: [16], zero_data: true } } },
  ],
};

/** Maps have no prototype, on purpose; comparisons want plain objects. */
const plain = (value: unknown) => JSON.parse(JSON.stringify(value));

describe('config.pbtxt', () => {
  it('is read whole: messages, lists, repeated fields, maps, comments, strings in pieces', () => {
    const { config, warnings } = pbtxt(whole);
    assert.deepEqual(plain(config), expected);
    assert.deepEqual(warnings, []);
  });

  it('may be empty', () => assert.deepEqual(pbtxt(' # nothing\n').config, {}));

  it('reads escapes, hexadecimal numbers, numbers of names and short booleans', () => {
    const { config } = pbtxt(
      String.raw`name: "a\"b\x41\101\n☃" max_batch_size: 0x10 input { data_type: 8 optional: t }`,
    );
    assert.deepEqual(plain(config), {
      name: 'a"bAA\n☃',
      max_batch_size: 16,
      input: [{ data_type: 'TYPE_INT32', optional: true }],
    });
  });

  it('warns of fields that Triton knows and we do not, naming them', () => {
    const { config, warnings } = pbtxt(
      'metric_tags { key: "a" value: "b" }\nmax_batch_size: 1\noptimization { cuda { graphs: true } }',
    );
    assert.deepEqual(plain(config), { max_batch_size: 1, optimization: {} });
    assert.deepEqual(warnings, [
      "config.pbtxt: unknown field 'metric_tags' (line 1, column 1) is not used",
      "config.pbtxt: unknown field 'optimization.cuda' (line 3, column 16) is not used",
    ]);
  });

  it('names line and column of a syntax error', () => {
    refuses(
      'config.pbtxt',
      'name: "a"\ninput [ { dims: [ 1 }',
      /^config.pbtxt: line 2, column 21: expected ',' or ']', got '}'$/,
    );
    refuses('config.pbtxt', 'input {', /line 1, column 8: expected a field name or '}', got the end/);
    refuses('config.pbtxt', 'name "a"', /line 1, column 6: expected ':' or '{' after 'name'/);
    refuses('config.pbtxt', 'name: "a', /line 1, column 9: expected the end of the string/);
    refuses('config.pbtxt', '}', /line 1, column 1: expected a field name/);
    refuses('config.pbtxt', 'name: ', /expected a value, got the end/);
    refuses('config.pbtxt', String.raw`name: "\q"`, /a known escape/);
    refuses('config.pbtxt', '[ext.field]: 1', /expected a field name, got '\['/);
  });

  it('names field and place of a value of the wrong type', () => {
    refuses(
      'config.pbtxt',
      '\nmax_batch_size: "8"',
      /'max_batch_size' \(line 2, column 1\): expected an integer, got '8'/,
    );
    refuses('config.pbtxt', 'max_batch_size: 1.5', /expected an integer, got '1.5'/);
    refuses('config.pbtxt', 'max_batch_size: 9007199254740993', /expected an integer/);
    refuses('config.pbtxt', 'name: simple', /expected text in quotes, got 'simple'/);
    refuses('config.pbtxt', 'input { data_type: TYPE_FLOAT }', /'input\[0\].data_type'.*expected one of TYPE_INVALID/);
    refuses('config.pbtxt', 'input { data_type: TYPE_FP31 }', /did you mean 'TYPE_FP32'\?/);
    refuses('config.pbtxt', 'response_cache: true', /expected a message/);
    refuses('config.pbtxt', 'name { }', /expected text, got a message/);
    refuses('config.pbtxt', 'parameters { value { string_value: "1" } }', /expected key and value/);
  });

  it('refuses schedulers that would give other answers', () => {
    refuses('config.pbtxt', 'sequence_batching { }', /'sequence_batching' is not supported/);
    refuses('config.pbtxt', 'ensemble_scheduling { step [ ] }', /'ensemble_scheduling' is not supported/);
  });

  it('refuses two version policies and a latest of none', () => {
    refuses(
      'config.pbtxt',
      'version_policy { all { } latest { num_versions: 1 } }',
      /expected one choice, got all and latest/,
    );
    refuses('config.pbtxt', 'version_policy { latest { num_versions: 0 } }', /at least 1, got 0/);
  });

  it('has limits on depth and length', () => {
    refuses('config.pbtxt', 'input {'.repeat(40), /at most 32 levels/);
    refuses('config.pbtxt', ' '.repeat(1024 * 1024 + 1), /longer than/);
  });

  it('stops warning at 100, so that a megabyte of unknown fields stays cheap', () => {
    assert.equal(pbtxt('dims: 1 # c\n'.repeat(80_000)).warnings.length, 100);
  });
});

describe('any text', () => {
  it('is read or refused, wherever a configuration is cut or changed', () => {
    const random = pseudoRandom(5);
    const marks = '{}[]<>:;,"\'\\#-0aT \n\u2603';
    const texts = {
      'config.pbtxt': whole,
      'config.json': JSON.stringify(expected, null, 1),
      'config.yaml': JSON.stringify(expected),
    };
    for (const [fileName, text] of Object.entries(texts)) {
      for (let round = 0; round < 300; round++) {
        const at = Math.floor(random() * text.length);
        const mark = marks[Math.floor(random() * marks.length)]!;
        const changed = round % 3 === 0 ? text.slice(0, at) : text.slice(0, at) + mark + text.slice(at + (round % 2));
        try {
          parseTritonConfig(fileName, changed);
        } catch (error) {
          assert.ok(error instanceof GatewayError, `${String(error)}: ${changed}`);
        }
      }
    }
  });
});

describe('config.json and config.yaml', () => {
  it('mean what config.pbtxt means', () => {
    assert.deepEqual(plain(parseTritonConfig('config.json', JSON.stringify(expected)).config), expected);
    const yaml = `
max_batch_size: 8
input: [{name: INPUT0, data_type: TYPE_INT32, dims: [16]}]
dynamic_batching:
  priority_queue_policy: {2: {max_queue_size: 3}}
parameters: {intra_op_thread_count: 4}
`;
    assert.deepEqual(plain(parseTritonConfig('config.yaml', yaml).config), {
      max_batch_size: 8,
      input: [{ name: 'INPUT0', data_type: 'TYPE_INT32', dims: [16] }],
      dynamic_batching: { priority_queue_policy: { 2: { max_queue_size: 3 } } },
      parameters: { intra_op_thread_count: { string_value: '4' } },
    });
  });

  it('know short forms of the version policy', () => {
    const policy = (text: string) =>
      plain(parseTritonConfig('config.yaml', `version_policy: ${text}`).config.version_policy);
    assert.deepEqual(policy('all'), { all: {} });
    assert.deepEqual(policy('{all: }'), { all: {} });
    assert.deepEqual(policy('{latest: {n: 2}}'), { latest: { num_versions: 2 } });
    assert.deepEqual(policy('{latest: 3}'), { latest: { num_versions: 3 } });
    assert.deepEqual(policy('{specific: [1, 3]}'), { specific: { versions: [1, 3] } });
  });

  it('may be empty', () => assert.deepEqual(parseTritonConfig('config.yaml', '').config, {}));

  it('refuse an unknown key and say what was probably meant', () => {
    refuses(
      'config.yaml',
      'max_batchsize: 8',
      /^config.yaml: unknown field 'max_batchsize' \(did you mean 'max_batch_size'\?\)$/,
    );
    refuses(
      'config.json',
      '{"dynamic_batching":{"max_queue_delay_us":1}}',
      /unknown field 'dynamic_batching.max_queue_delay_us'/,
    );
    refuses('config.json', '{"__proto__":{"x":1}}', /unknown field '__proto__'/);
  });

  it('refuse what is not their format, naming the place', () => {
    refuses('config.yaml', 'a: [1\nb: 2', /^config.yaml: line 2, column/);
    refuses('config.json', '{"name":}', /^config.json: .*JSON/);
    refuses('config.json', '[1]', /expected an object at the top/);
    refuses('config.json', '{"name":["a","b"]}', /'name': expected one value, got a list/);
    refuses('config.json', '{"max_batch_size":1.5}', /expected an integer, got '1.5'/);
    refuses('config.json', '{"response_cache":{"enable":"yes"}}', /expected true or false/);
    refuses('config.json', `{"input":${'['.repeat(50)}${']'.repeat(50)}}`, /a list in a list/);
    refuses('config.json', `${'{"a":'.repeat(50)}1${'}'.repeat(50)}`, /nested more than 32 deep/);
  });

  it('refuse YAML that would grow without end', () => {
    const lines = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
    for (let i = 1; i < 9; i++)
      lines.push(
        `a${i}: &a${i} [${Array(10)
          .fill(`*a${i === 1 ? '' : i - 1}`)
          .join(',')}]`,
      );
    refuses('config.yaml', lines.join('\n'), /alias/i);
  });
});

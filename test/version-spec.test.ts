/**
 * What a version will be: signature, batching, queue, session, labels and the configuration shown, from a model, its
 * configuration, its manifest and the defaults; and every reason to refuse it.
 *
 * Must not know the disk or the runtime.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sessionPolicy } from '../bench/suite/session-policy.js';
import { GatewayError } from '../src/core/errors.js';
import { parseManifest } from '../src/registry/manifest.js';
import { readOnnx } from '../src/registry/onnx.js';
import { parseTritonConfig } from '../src/registry/triton-config.js';
import {
  labelFilesOf,
  modelFileOf,
  type SpecDefaults,
  unbatched,
  type VersionSources,
  versionSpecOf,
} from '../src/registry/version-spec.js';
import * as fixtures from './fixtures.js';
import { type Dimension, graph, model, node, value } from './onnx-writer.js';

const defaults: SpecDefaults = {
  rowsMax: 32,
  delayUs: 0,
  queue: { sizeMax: 0, timeoutMs: 1000, timeoutAction: 'REJECT', allowTimeoutOverride: true },
  instances: 2,
  session: sessionPolicy,
};

interface Given {
  readonly config?: string;
  readonly manifest?: object;
  readonly labels?: Readonly<Record<string, string>>;
  readonly id?: VersionSources['id'];
}

function candidate(bytes: Buffer, given: Given = {}) {
  const { config, manifest } = given;
  return versionSpecOf(
    {
      id: given.id ?? { model: 'simple', version: '1' },
      directory: '/models/simple/1',
      file: 'model.onnx',
      facts: readOnnx(bytes),
      config: config === undefined ? undefined : parseTritonConfig('config.pbtxt', config).config,
      manifest:
        manifest === undefined ? undefined : parseManifest(JSON.stringify({ schema: 1, files: [], ...manifest })),
      labelTexts: new Map(Object.entries(given.labels ?? {})),
    },
    defaults,
  );
}

function isRefusal(reason: RegExp) {
  return (error: unknown) =>
    error instanceof GatewayError && error.code === 'FAILED_PRECONDITION' && reason.test(error.message);
}

const refuses = (bytes: Buffer, given: Given, reason: RegExp) =>
  assert.throws(() => candidate(bytes, given), isRefusal(reason));

/** One input and one output of these shapes. */
function shaped(input: readonly Dimension[] | undefined, output: readonly Dimension[] | undefined): Buffer {
  const nodes = [node('Identity', ['INPUT0'], ['OUTPUT0'])];
  return model(graph({ inputs: [value('INPUT0', 'FP32', input)], outputs: [value('OUTPUT0', 'FP32', output)], nodes }));
}

const signature = (inputShape: readonly number[], outputShape: readonly number[], datatype = 'FP32') => ({
  signature: {
    inputs: [{ name: 'INPUT0', datatype, shape: inputShape }],
    outputs: [{ name: 'OUTPUT0', datatype, shape: outputShape }],
  },
});

describe('without a configuration', () => {
  it('everything comes from the model and the defaults', () => {
    const { spec, needsBatchTrial, warnings } = candidate(fixtures.addSub());
    assert.deepEqual(spec.signature, {
      inputs: [
        { name: 'INPUT0', datatype: 'INT32', shape: [-1, 16] },
        { name: 'INPUT1', datatype: 'INT32', shape: [-1, 16] },
      ],
      outputs: [
        { name: 'OUTPUT0', datatype: 'INT32', shape: [-1, 16] },
        { name: 'OUTPUT1', datatype: 'INT32', shape: [-1, 16] },
      ],
    });
    assert.deepEqual(spec.batch, {
      rowsMax: 32,
      isContract: false,
      preferredRows: [],
      delayUs: 0,
      queue: { ...defaults.queue, sizeMax: 1024 },
      priorityLevels: 0,
      defaultPriority: 0,
      levels: {},
    });
    assert.deepEqual([spec.session, spec.instances, spec.rank], [defaults.session, 2, 'primary']);
    assert.deepEqual([needsBatchTrial, spec.isBounded, spec.labels, warnings], [true, true, {}, []]);
  });

  it('the configuration shown is the one of the protocol, in its order', () => {
    assert.equal(
      JSON.stringify(candidate(fixtures.addSub()).spec.config),
      '{"name":"simple","platform":"onnxruntime_onnx","backend":"onnxruntime","version_policy":{"latest":{"num_versions":1}},' +
        '"max_batch_size":32,"input":[' +
        '{"name":"INPUT0","data_type":"TYPE_INT32","format":"FORMAT_NONE","dims":[16],"is_shape_tensor":false,"allow_ragged_batch":false,"optional":false},' +
        '{"name":"INPUT1","data_type":"TYPE_INT32","format":"FORMAT_NONE","dims":[16],"is_shape_tensor":false,"allow_ragged_batch":false,"optional":false}],' +
        '"output":[{"name":"OUTPUT0","data_type":"TYPE_INT32","dims":[16],"label_filename":"","is_shape_tensor":false},' +
        '{"name":"OUTPUT1","data_type":"TYPE_INT32","dims":[16],"label_filename":"","is_shape_tensor":false}],' +
        '"instance_group":[{"name":"simple_0","kind":"KIND_CPU","count":2,"gpus":[]}],"default_model_filename":"model.onnx",' +
        '"parameters":{},"model_warmup":[],"dynamic_batching":{"preferred_batch_size":[],"max_queue_delay_microseconds":0,' +
        '"preserve_ordering":false,"priority_levels":0,"default_priority_level":0,"default_queue_policy":' +
        '{"timeout_action":"REJECT","default_timeout_microseconds":1000000,"allow_timeout_override":true,"max_queue_size":1024},' +
        '"priority_queue_policy":{}},"model_transaction_policy":{"decoupled":false},"response_cache":{"enable":false}}',
    );
  });

  const likely: readonly (readonly [string, Buffer, boolean])[] = [
    ['an open first dimension of the same name everywhere', fixtures.identity(), true],
    ['open first dimensions without names', shaped([undefined, 3], [undefined, 2]), true],
    ['one name and one without', shaped(['batch'], [undefined]), true],
    ['two names', shaped(['batch', 3], ['other', 3]), false],
    ['a fixed first dimension', fixtures.noBatch(), false],
    ['a fixed first dimension of one output', shaped(['batch', 3], [1, 3]), false],
    ['scalars', fixtures.scalar(), false],
    ['an output without a shape', shaped(['batch', 3], undefined), false],
    ['no inputs', fixtures.constantOnly(), false],
    ['further open dimensions', fixtures.twoDynamicDims(), true],
  ];
  for (const [what, bytes, isBatched] of likely) {
    it(`${what} ${isBatched ? 'makes a candidate for batches' : 'is never batched'}`, () => {
      const { spec, needsBatchTrial } = candidate(bytes);
      assert.deepEqual([spec.batch.rowsMax, needsBatchTrial], isBatched ? [32, true] : [0, false]);
      assert.equal(spec.config.max_batch_size, spec.batch.rowsMax);
      assert.equal('dynamic_batching' in spec.config, isBatched);
    });
  }

  it('a candidate whose rows depend on each other becomes a model without batches', () => {
    const spec = unbatched(candidate(fixtures.mixesRows()).spec);
    assert.equal(spec.batch.rowsMax, 0);
    assert.equal(spec.config.max_batch_size, 0);
    assert.equal('dynamic_batching' in spec.config, false);
    assert.deepEqual(spec.config.input[0]!.dims, [-1, -1]);
    assert.deepEqual(spec.config.output[0]!.dims, [-1, -1]);
    assert.deepEqual(spec.signature.inputs[0]!.shape, [-1, -1]);
    assert.deepEqual(unbatched(spec), spec);
  });

  it('loops and sizes that a caller decides are not bounded', () => {
    assert.equal(candidate(fixtures.slow()).spec.isBounded, false);
    assert.equal(candidate(fixtures.rangeByInput()).spec.isBounded, false);
  });

  it('what cannot be carried is refused by the name of its tensor', () => {
    refuses(fixtures.sequenceOut(), {}, /^output 'OUTPUT0' is seq\(tensor\(float\)\), expected a tensor$/);
    refuses(fixtures.zipMapOut(), {}, /output 'OUTPUT0' is seq\(map.*zipmap=False/);
    refuses(fixtures.bf16(), {}, /input 'INPUT0' is tensor\(bfloat16\).*BF16/);
    refuses(fixtures.identity('COMPLEX64'), {}, /input 'INPUT0' is tensor\(complex64\), which has no V2 datatype/);
    refuses(shaped(undefined, [1]), {}, /input 'INPUT0' has no shape in the file: give its dims/);
    refuses(model(graph({ outputs: [], nodes: [] })), {}, /no outputs/);
  });
});

describe('with a configuration', () => {
  it('max_batch_size is a contract and needs no trial', () => {
    const { spec, needsBatchTrial } = candidate(fixtures.addSub(), { config: 'max_batch_size: 8' });
    assert.deepEqual([spec.batch.rowsMax, spec.batch.isContract, needsBatchTrial], [8, true, false]);
    assert.equal(spec.config.max_batch_size, 8);
  });

  it('a queue holds at least four full batches of every instance', () => {
    const config = 'max_batch_size: 512 instance_group { count: 3 } instance_group { count: 1 }';
    const { spec } = candidate(fixtures.addSub(), { config });
    assert.deepEqual([spec.instances, spec.batch.queue.sizeMax], [4, 8192]);
  });

  it('max_batch_size 0 switches batches off', () => {
    const { spec, needsBatchTrial } = candidate(fixtures.addSub(), { config: 'max_batch_size: 0' });
    assert.deepEqual([spec.batch.rowsMax, needsBatchTrial], [0, false]);
    assert.deepEqual(spec.config.input[0]!.dims, [-1, 16]);
  });

  it('without max_batch_size, dims of full rank mean no batches, and dims of one row leave it open', () => {
    const dims = (text: string) =>
      candidate(fixtures.identity(), { config: `input { name: "INPUT0" dims: [ ${text} ] }` }).spec;
    assert.deepEqual([dims('-1, 3').batch.rowsMax, dims('-1, 3').signature.inputs[0]!.shape], [0, [-1, 3]]);
    assert.deepEqual([dims('3').batch.rowsMax, dims('3').signature.inputs[0]!.shape], [32, [-1, 3]]);
  });

  it('max_batch_size needs a first dimension that varies', () => {
    refuses(
      fixtures.noBatch(),
      { config: 'max_batch_size: 8' },
      /max_batch_size is 8, but input 'INPUT0' has shape \[4,3\]/,
    );
    refuses(fixtures.scalar(), { config: 'max_batch_size: 8' }, /input 'INPUT0' has shape \[\]: its first dimension/);
  });

  it('dims may fix what the model leaves open, and nothing else', () => {
    const config = (dims: string) => ({ config: `max_batch_size: 8 input { name: "INPUT0" dims: [ ${dims} ] }` });
    const { spec } = candidate(fixtures.identity(), config('5'));
    assert.deepEqual(spec.signature.inputs[0]!.shape, [-1, 5]);
    assert.deepEqual(spec.config.input[0]!.dims, [5]);
    refuses(
      fixtures.addSub(),
      config('15'),
      /input 'INPUT0' has dims \[15\], but the model has \[16\] after the batch dimension/,
    );
    refuses(fixtures.addSub(), config('-1'), /has dims \[-1\]/);
    refuses(fixtures.addSub(), config('-1, 16'), /has dims \[-1,16\]/);
    refuses(fixtures.identity(), config('-2'), /has dims \[-2\]/);
  });

  it('names, types, platform and reshape must be those of the model', () => {
    refuses(fixtures.addSub(), { config: 'name: "other"' }, /its name is 'other', but the model is 'simple'/);
    refuses(
      fixtures.addSub(),
      { config: 'input { name: "x" }' },
      /input 'x' is not in the model, which has \['INPUT0','INPUT1'\]/,
    );
    refuses(fixtures.addSub(), { config: 'output { }' }, /an output without a name/);
    refuses(
      fixtures.addSub(),
      { config: 'input { name: "INPUT0" data_type: TYPE_FP32 }' },
      /'INPUT0' is TYPE_FP32, but the model has INT32/,
    );
    refuses(fixtures.addSub(), { config: 'platform: "tensorflow_savedmodel"' }, /platform 'tensorflow_savedmodel'/);
    refuses(fixtures.addSub(), { config: 'backend: "python"' }, /backend 'python'/);
    refuses(fixtures.addSub(), { config: 'max_batch_size: -1' }, /max_batch_size -1/);
    refuses(fixtures.addSub(), { config: 'model_transaction_policy { decoupled: true }' }, /decoupled/);
    const reshaped = 'max_batch_size: 4 input { name: "INPUT0" dims: [ 4, 4 ] reshape { shape: [ 16 ] } }';
    refuses(fixtures.addSub(), { config: reshaped }, /input 'INPUT0' has a reshape/);
  });

  it('shapes that the file leaves out come from it', () => {
    const config = 'max_batch_size: 4 input { name: "INPUT0" dims: [ 3 ] } output { name: "OUTPUT0" dims: [ 2 ] }';
    const { spec, warnings } = candidate(shaped(undefined, undefined), { config });
    assert.deepEqual(spec.signature.inputs[0]!.shape, [-1, 3]);
    assert.deepEqual(spec.signature.outputs[0]!.shape, [-1, 2]);
    assert.deepEqual(warnings, []);
  });

  it('dynamic_batching decides about waiting, priorities and queues', () => {
    const { spec } = candidate(fixtures.addSub(), {
      config: `max_batch_size: 8 dynamic_batching {
        preferred_batch_size: [ 8, 4 ] max_queue_delay_microseconds: 150 priority_levels: 3 default_priority_level: 2
        default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 2500 allow_timeout_override: false max_queue_size: 0 }
        priority_queue_policy { key: 1 value { max_queue_size: 5 } } }`,
    });
    const queue = { sizeMax: 1024, timeoutMs: 2.5, timeoutAction: 'DELAY', allowTimeoutOverride: false };
    assert.deepEqual(spec.batch, {
      rowsMax: 8,
      isContract: true,
      preferredRows: [4, 8],
      delayUs: 150,
      queue,
      priorityLevels: 3,
      defaultPriority: 2,
      levels: { 1: { ...queue, sizeMax: 5 } },
    });
    assert.deepEqual(spec.config.dynamic_batching?.priority_queue_policy, {
      1: {
        timeout_action: 'DELAY',
        default_timeout_microseconds: 2500,
        allow_timeout_override: false,
        max_queue_size: 5,
      },
    });
  });

  it('dynamic_batching that contradicts itself is refused', () => {
    const batching = (text: string) => ({ config: `max_batch_size: 8 dynamic_batching { ${text} }` });
    refuses(fixtures.addSub(), batching('preferred_batch_size: 9'), /preferred_batch_size 9, but max_batch_size is 8/);
    refuses(fixtures.addSub(), batching('priority_levels: 2'), /default_priority_level 0, but priority_levels is 2/);
    refuses(
      fixtures.addSub(),
      batching('default_priority_level: 1'),
      /default_priority_level 1, but priority_levels is 0/,
    );
    refuses(
      fixtures.addSub(),
      batching('priority_queue_policy { key: 1 value { } }'),
      /for level 1, but priority_levels is 0/,
    );
    refuses(fixtures.addSub(), batching('max_queue_delay_microseconds: -1'), /max_queue_delay_microseconds -1/);
  });

  it('the parameters of the ONNX Runtime backend reach the session', () => {
    const parameter = (name: string, text: string) =>
      `parameters { key: "${name}" value { string_value: "${text}" } } `;
    const { spec, warnings } = candidate(fixtures.addSub(), {
      config:
        parameter('intra_op_thread_count', '4') +
        parameter('inter_op_thread_count', '0') +
        parameter('execution_mode', '1') +
        parameter('enable_mem_arena', '0') +
        parameter('mine', 'x') +
        'optimization { graph { level: 1 } }',
    });
    assert.deepEqual(spec.session, {
      intraOpThreads: 4,
      interOpThreads: 1,
      executionMode: 'parallel',
      optimization: 'extended',
      cpuMemArena: false,
      memPattern: true,
    });
    assert.deepEqual(spec.config.parameters.mine, { string_value: 'x' });
    assert.deepEqual(warnings, ["configuration: parameter 'mine' is not used: it is only shown"]);
    refuses(
      fixtures.addSub(),
      { config: parameter('intra_op_thread_count', 'many') },
      /'intra_op_thread_count' is 'many'/,
    );
  });

  it('instance counts have a limit', () => {
    for (const config of ['instance_group { count: 257 }', 'instance_group { count: 0 }']) {
      refuses(fixtures.addSub(), { config }, /expected 1 to 256/);
    }
  });

  it('what is written and not used is a warning', () => {
    const config = `model_warmup { name: "w" } response_cache { enable: true } instance_group { kind: KIND_GPU }
      dynamic_batching { preserve_ordering: true } input { name: "INPUT0" optional: true allow_ragged_batch: true }`;
    const { spec, warnings } = candidate(fixtures.addSub(), { config });
    const fields = ['model_warmup', 'preserve_ordering', 'KIND_GPU', 'optional', 'allow_ragged_batch'];
    assert.equal(warnings.length, fields.length);
    for (const [index, field] of fields.entries()) assert.ok(warnings[index]!.includes(field), warnings[index]);
    assert.deepEqual(spec.config.response_cache, { enable: true });
  });

  it('the model file is model.onnx unless another is named', () => {
    const { config } = parseTritonConfig('config.pbtxt', 'default_model_filename: "net.onnx"');
    assert.equal(modelFileOf(config, 'model.onnx'), 'net.onnx');
    assert.equal(modelFileOf(undefined, 'model.onnx'), 'model.onnx');
    assert.throws(() => modelFileOf(undefined, 'net.onnx'), isRefusal(/has 'net.onnx' but no 'model.onnx'/));
    assert.throws(
      () => modelFileOf({ default_model_filename: '../m.onnx' }, 'model.onnx'),
      isRefusal(/not a file name/),
    );
  });

  it('labels are the lines of the file it names', () => {
    const config = 'output { name: "OUTPUT0" label_filename: "labels.txt" }';
    const { spec } = candidate(fixtures.dense(), { config, labels: { 'labels.txt': 'no\r\n\nyes\n' } });
    assert.deepEqual(spec.labels, { OUTPUT0: ['no', '', 'yes'] });
    assert.equal(spec.config.output[0]!.label_filename, 'labels.txt');
    refuses(fixtures.dense(), { config }, /label file 'labels.txt' of output 'OUTPUT0' is missing/);
    assert.deepEqual(labelFilesOf({ output: [{ label_filename: 'a' }, { label_filename: 'a' }, {}] }), ['a']);
    assert.throws(() => labelFilesOf({ output: [{ label_filename: '../a' }] }), isRefusal(/'..\/a' is not a path/));
  });
});

describe('with a manifest', () => {
  it('its signature must be that of the file', () => {
    const bytes = shaped(['batch', 3], ['batch', 2]);
    assert.ok(candidate(bytes, { manifest: signature([-1, 3], [-1, 2]) }));
    refuses(
      bytes,
      { manifest: signature([-1, 4], [-1, 2]) },
      /input 'INPUT0' has shape \[-1,4\], but the model has \[-1,3\]/,
    );
    refuses(bytes, { manifest: signature([8, 3], [-1, 2]) }, /input 'INPUT0' has shape \[8,3\]/);
    refuses(bytes, { manifest: signature([-1, 3], [-1]) }, /output 'OUTPUT0' has shape \[-1\]/);
    refuses(bytes, { manifest: signature([-1, 3], [-1, 2], 'FP64') }, /input 'INPUT0' is FP64, but the model has FP32/);
    const both = { inputs: signature([-1, 3], [-1]).signature.inputs, outputs: [] };
    refuses(bytes, { manifest: { signature: both } }, /output 'OUTPUT0' of the model is not in the signature/);
    const more = { ...both, outputs: [{ name: 'z', datatype: 'FP32', shape: [] }] };
    refuses(bytes, { manifest: { signature: more } }, /output 'z' is not in the model/);
  });

  it('shapes that the file leaves out come from it', () => {
    const { spec } = candidate(shaped(undefined, undefined), { manifest: signature([-1, 3], [-1, 2]) });
    assert.deepEqual(spec.signature.outputs[0]!.shape, [-1, 2]);
  });

  it('gives labels to the outputs that it calls probabilities, and a label file is stronger', () => {
    const dense = {
      inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [-1, 30] }],
      outputs: [{ name: 'OUTPUT0', datatype: 'FP32', shape: [-1, 2] }],
    };
    const manifest = { signature: dense, semantics: { labels: ['no', 'yes'], probabilities: ['OUTPUT0'] } };
    assert.deepEqual(candidate(fixtures.dense(), { manifest }).spec.labels, { OUTPUT0: ['no', 'yes'] });
    const config = 'output { name: "OUTPUT0" label_filename: "l" }';
    assert.deepEqual(candidate(fixtures.dense(), { manifest, config, labels: { l: 'a\nb' } }).spec.labels, {
      OUTPUT0: ['a', 'b'],
    });
  });

  it('gives properties', () => {
    const manifest = { ...signature([-1, -1], [-1, -1]), extra: { properties: { owner: 'us', size: 3 } } };
    assert.deepEqual(candidate(fixtures.identity(), { manifest }).spec.properties, { owner: 'us' });
  });

  it('of another model or version is a warning: a model may be served under another name', () => {
    const manifest = { ...signature([-1, -1], [-1, -1]), model: 'theirs', version: '7' };
    assert.deepEqual(candidate(fixtures.identity(), { manifest }).warnings, [
      "manifest.json is of model 'theirs', served as 'simple'",
      "manifest.json is of version '7', served as '1'",
    ]);
  });
});

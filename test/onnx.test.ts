/**
 * The ONNX reader: what it says about good files, and that no bytes make it do anything but answer or refuse.
 *
 * Must not know the runtime.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../src/core/errors.js';
import { readOnnx } from '../src/registry/onnx.js';
import * as fixtures from './fixtures.js';
import {
  bytesField,
  externalTensor,
  functionBody,
  graph,
  integerField,
  mapType,
  model,
  node,
  sequenceType,
  sparseTensor,
  tensor,
  tensorType,
  typed,
  value,
  varint,
} from './onnx-writer.js';

const output = value('y', 'FP32', ['n']);
const shape = (...dims: number[]) => new Uint8Array(BigInt64Array.from(dims, BigInt).buffer);

/** A model of these nodes over the input `x`. */
function of(nodes: readonly Buffer[], initializers: readonly Buffer[] = []): Buffer {
  return model(graph({ inputs: [value('x', 'FP32', ['n'])], outputs: [output], nodes, initializers }));
}

function inside(operator: string, inner: Buffer): Buffer {
  const branch = graph({ outputs: [output], nodes: [inner] });
  return node(operator, ['x'], ['y'], { then_branch: { graph: branch }, else_branch: { graph: branch } });
}

describe('readOnnx', () => {
  it('tells versions, producer, properties and the number of nodes', () => {
    const bytes = model(graph({ outputs: [output], nodes: [node('Identity', ['x'], ['y'])] }), {
      irVersion: 7,
      opset: 13,
      domains: { 'ai.onnx.ml': 3 },
      producer: 'mine',
      properties: { owner: 'us', __proto__note: 'kept' },
    });
    const facts = readOnnx(bytes);
    assert.equal(facts.irVersion, 7);
    assert.deepEqual(facts.opsets, [
      { domain: '', version: 13 },
      { domain: 'ai.onnx.ml', version: 3 },
    ]);
    assert.equal(facts.producer, 'mine');
    assert.deepEqual(facts.properties, { owner: 'us', __proto__note: 'kept' });
    assert.equal(facts.nodeCount, 1);
  });

  it('tells names, datatypes and dimensions: fixed, symbolic, open', () => {
    const dims = [2, 'batch', undefined, '', -1, 0];
    const { inputs } = readOnnx(model(graph({ inputs: [value('x', 'INT64', dims)], outputs: [output], nodes: [] })));
    assert.deepEqual(inputs, [
      {
        name: 'x',
        isTensor: true,
        datatype: 'INT64',
        onnxType: 'tensor(int64)',
        dims: [2, 'batch', undefined, undefined, undefined, 0],
      },
    ]);
  });

  it('tells a scalar from a tensor whose shape is unknown', () => {
    const parts = { inputs: [value('a', 'FP32', []), value('b', 'FP32')], outputs: [output], nodes: [] };
    const { inputs } = readOnnx(model(graph(parts)));
    assert.deepEqual(inputs[0]!.dims, []);
    assert.equal(inputs[1]!.dims, undefined);
  });

  for (const datatype of fixtures.carriedTypes) {
    it(`knows ${datatype}`, () => {
      assert.equal(readOnnx(fixtures.identity(datatype)).inputs[0]!.datatype, datatype);
    });
  }

  it('names types that have no V2 name', () => {
    const types = [tensorType('COMPLEX64', []), tensorType('BF16', []), tensorType(99, [])];
    const inputs = types.map((type, index) => typed(`x${index}`, type));
    const facts = readOnnx(model(graph({ inputs, outputs: [output], nodes: [] })));
    assert.deepEqual(
      facts.inputs.map(({ onnxType, datatype }) => [onnxType, datatype]),
      [
        ['tensor(complex64)', undefined],
        ['tensor(bfloat16)', 'BF16'],
        ['tensor(type 99)', undefined],
      ],
    );
  });

  it('writes the types of sequences and maps as the runtime does', () => {
    const [zip] = readOnnx(fixtures.zipMapOut()).outputs;
    assert.deepEqual([zip!.isTensor, zip!.onnxType, zip!.dims], [false, 'seq(map(int64,tensor(float)))', undefined]);
    const type = mapType('BYTES', sequenceType(tensorType('FP64', [])));
    const [map] = readOnnx(model(graph({ outputs: [typed('y', type)], nodes: [] }))).outputs;
    assert.equal(map!.onnxType, 'map(string,seq(tensor(double)))');
  });

  it('does not count an initializer among the inputs', () => {
    const weights = tensor('w', 'FP32', [1], new Uint8Array(4));
    const values = sparseTensor(
      tensor('s', 'FP32', [1], new Uint8Array(4)),
      tensor('', 'INT64', [1], new Uint8Array(8)),
      [9],
    );
    const inputs = [value('x', 'FP32', [1]), value('w', 'FP32', [1]), value('s', 'FP32', [9])];
    const facts = readOnnx(
      model(graph({ inputs, outputs: [output], nodes: [], initializers: [weights], sparseInitializers: [values] })),
    );
    assert.deepEqual(
      facts.inputs.map((input) => input.name),
      ['x'],
    );
  });

  it('merges a graph that is written in pieces, as the runtime does', () => {
    const pieces = [
      graph({ inputs: [value('x', 'FP32', [1]), value('w', 'FP32', [1])], outputs: [], nodes: [] }),
      graph({
        outputs: [output],
        nodes: [node('Loop', ['x'], ['y'])],
        initializers: [externalTensor('w', 'FP32', [1], 'w.bin')],
      }),
    ];
    const facts = readOnnx(Buffer.concat([integerField(1, 8), ...pieces.map((piece) => bytesField(7, piece))]));
    assert.deepEqual([facts.inputs.length, facts.outputs.length, facts.hasLoop], [1, 1, true]);
    assert.deepEqual(facts.externalFiles, ['w.bin']);
  });
});

describe('hasLoop', () => {
  it('is false for a plain graph and for a branch', () => {
    assert.equal(readOnnx(fixtures.dense([4, 3])).hasLoop, false);
    assert.equal(readOnnx(of([inside('If', node('Relu', ['x'], ['y']))])).hasLoop, false);
  });

  it('is true for Loop and Scan in the graph, in branches of branches and in functions', () => {
    for (const operator of ['Loop', 'Scan']) {
      const loop = node(operator, ['x'], ['y']);
      assert.equal(readOnnx(of([loop])).hasLoop, true);
      assert.equal(readOnnx(of([inside('If', inside('If', loop))])).hasLoop, true);
      const functions = [functionBody('mine', 'F', { inputs: ['x'], outputs: ['y'], nodes: [loop] })];
      const parts = {
        inputs: [value('x', 'FP32', [1])],
        outputs: [output],
        nodes: [node('F', ['x'], ['y'], {}, 'mine')],
      };
      assert.equal(readOnnx(model(graph(parts), { functions, domains: { mine: 1 } })).hasLoop, true);
    }
    assert.equal(readOnnx(fixtures.loopForever()).hasLoop, true);
  });

  it('counts the nodes of inner graphs', () => {
    assert.equal(readOnnx(of([inside('If', node('Relu', ['x'], ['y']))])).nodeCount, 3);
  });
});

describe('hasContentSizedOp', () => {
  it('is true when a size comes from the elements of an input', () => {
    assert.equal(readOnnx(fixtures.rangeByInput()).hasContentSizedOp, true);
    assert.equal(readOnnx(of([node('ConstantOfShape', ['x'], ['y'])])).hasContentSizedOp, true);
    assert.equal(readOnnx(of([node('Cast', ['x'], ['s']), node('Expand', ['w', 's'], ['y'])])).hasContentSizedOp, true);
  });

  it('is false when it comes from constants or from the shape of an input', () => {
    const nodes = [
      node('Shape', ['x'], ['s']),
      node('Concat', ['s', 'w'], ['t']),
      node('Expand', ['x', 't'], ['e']),
      node('Constant', [], ['r'], { value_ints: { ints: [2] } }),
      node('Tile', ['e', 'r'], ['y']),
    ];
    assert.equal(readOnnx(of(nodes, [tensor('w', 'INT64', [1], shape(3))])).hasContentSizedOp, false);
    assert.equal(readOnnx(fixtures.dense()).hasContentSizedOp, false);
  });

  it('is true inside a branch and in a function, and for values of unknown origin', () => {
    assert.equal(readOnnx(of([inside('If', node('Range', ['x'], ['y']))])).hasContentSizedOp, true);
    assert.equal(readOnnx(of([node('Range', ['nowhere'], ['y'])])).hasContentSizedOp, true);
    const functions = [
      functionBody('mine', 'F', { inputs: ['a'], outputs: ['b'], nodes: [node('Range', ['a'], ['b'])] }),
    ];
    assert.equal(readOnnx(model(graph({ outputs: [output], nodes: [] }), { functions })).hasContentSizedOp, true);
  });
});

describe('externalFiles', () => {
  const elsewhere = externalTensor('w', 'FP32', [1], '../secret');
  const plain = tensor('i', 'INT64', [1], new Uint8Array(8));
  const places: Readonly<Record<string, Buffer>> = {
    'an initializer': of([], [elsewhere]),
    'the values of a sparse initializer': model(
      graph({ outputs: [output], nodes: [], sparseInitializers: [sparseTensor(elsewhere, plain, [9])] }),
    ),
    'the indices of a sparse initializer': model(
      graph({ outputs: [output], nodes: [], sparseInitializers: [sparseTensor(plain, elsewhere, [9])] }),
    ),
    'an attribute': of([node('Constant', [], ['y'], { value: { tensor: elsewhere } })]),
    'a sparse attribute': of([
      node('Constant', [], ['y'], { sparse_value: { sparse: sparseTensor(elsewhere, plain, [9]) } }),
    ]),
    'a branch': of([inside('If', node('ConstantOfShape', ['x'], ['y'], { value: { tensor: elsewhere } }))]),
    'a function': model(graph({ outputs: [output], nodes: [] }), {
      functions: [
        functionBody('mine', 'F', {
          inputs: [],
          outputs: ['y'],
          nodes: [node('Constant', [], ['y'], { value: { tensor: elsewhere } })],
        }),
      ],
    }),
  };
  for (const [place, bytes] of Object.entries(places)) {
    it(`are found in ${place}`, () => assert.deepEqual(readOnnx(bytes).externalFiles, ['../secret']));
  }

  it('are none for a model that holds its own weights', () =>
    assert.deepEqual(readOnnx(fixtures.dense()).externalFiles, []));
});

describe('bytes that are no model', () => {
  const refuses = (bytes: Uint8Array, reason: RegExp) =>
    assert.throws(
      () => readOnnx(bytes),
      (error) => error instanceof GatewayError && error.code === 'FAILED_PRECONDITION' && reason.test(error.message),
    );

  it('are refused with the reason', () => {
    refuses(new Uint8Array(0), /empty/);
    refuses(fixtures.truncated(), /bytes are left at byte/);
    refuses(integerField(1, 8), /no graph/);
    refuses(bytesField(7, ''), /no IR version/);
    refuses(Buffer.from('<html>not found</html>'), /not a readable ONNX file/);
    refuses(Buffer.concat([integerField(1, 8), Buffer.from([0x3b])]), /wire type 3/);
    refuses(Buffer.from([0x08, ...Array(11).fill(0xff)]), /more than 10 bytes/);
    refuses(Buffer.from([0x00]), /field number 0/);
    const unnamed = bytesField(1, Buffer.from([0xff, 0xfe]));
    refuses(model(graph({ outputs: [unnamed], nodes: [] })), /text that is not UTF-8/);
    refuses(model(graph({ outputs: [value('y'.repeat(70_000), 'FP32')], nodes: [] })), /a name of 70000 bytes/);
  });

  it('are refused when a length is enormous or negative', () => {
    for (const length of [2n ** 31n, 2n ** 53n, 2n ** 63n, -1n]) {
      refuses(Buffer.concat([integerField(1, 8), varint(7 * 8 + 2), varint(length)]), /a length of/);
    }
  });

  it('are refused when graphs are nested without end', () => {
    let inner = node('Relu', ['x'], ['y']);
    for (let depth = 0; depth < 41; depth++) inner = nested(inner);
    refuses(of([inner]), /nested more than 40 deep/);
  });

  it('are refused when types are nested without end', () => {
    let type = tensorType('FP32', []);
    for (let depth = 0; depth < 40; depth++) type = sequenceType(type);
    refuses(model(graph({ outputs: [typed('y', type)], nodes: [] })), /types are nested/);
  });

  it('never do anything but answer or refuse, wherever a file is cut or changed', () => {
    const whole = fixtures.loopForever([1]);
    const random = fixtures.pseudoRandom(3);
    for (let round = 0; round < 2000; round++) {
      const bytes = Buffer.from(
        whole.subarray(0, round % 2 === 0 ? whole.length : Math.floor(random() * whole.length)),
      );
      for (let change = 0; change < 3; change++)
        bytes[Math.floor(random() * Math.min(bytes.length, 400))] = Math.floor(random() * 256);
      try {
        readOnnx(bytes);
      } catch (error) {
        assert.ok(error instanceof GatewayError, String(error));
      }
    }
  });

  it('cost no copy: a model of 64 MB is read in place', () => {
    const weights = Buffer.alloc(64 * 1024 * 1024);
    const head = [integerField(1, 8), varint(7 * 8 + 2)];
    const values = Buffer.concat([bytesField(12, output), varint(5 * 8 + 2)]);
    const raw = Buffer.concat([varint(9 * 8 + 2), varint(weights.length)]);
    const inner = Buffer.concat([values, varint(raw.length + weights.length), raw]);
    const bytes = Buffer.concat([...head, varint(inner.length + weights.length), inner, weights]);
    const before = process.memoryUsage().arrayBuffers;
    assert.equal(readOnnx(bytes).outputs.length, 1);
    assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024);
  });
});

function nested(inner: Buffer): Buffer {
  return node('If', ['x'], ['y'], { then_branch: { graph: graph({ outputs: [output], nodes: [inner] }) } });
}

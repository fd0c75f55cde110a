/** Weights outside the model: five places that may name a file × the ways to name one that did not come with the version. */
import assert from 'node:assert/strict';
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext, test } from 'node:test';
import { sessionPolicy } from '../bench/suite/session-policy.js';
import { openSession } from '../src/engine/session.js';
import { checkExternalData } from '../src/registry/external-data.js';
import { readOnnx } from '../src/registry/onnx.js';
import { externalWeight } from './fixtures.js';
import {
  bytesField,
  externalTensor,
  graph,
  integerField,
  model,
  node,
  sparseTensor,
  tensor,
  value,
} from './onnx-writer.js';
import { freshDirectory } from './system/server.js';

const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const integers = (...values: bigint[]) => new Uint8Array(BigInt64Array.from(values).buffer);

const indices = tensor('indices', 'INT64', [1], integers(0n));
const outputs = [value('OUTPUT0', 'FP32', [1])];
const external = (location: string) => externalTensor('weight', 'FP32', [1], location);
const same = [node('Identity', ['weight'], ['OUTPUT0'])];

/** A model whose one weight lies at `location`, by where it says so. */
const holders: Readonly<Record<string, (location: string) => Buffer>> = {
  'an initializer': (location) => model(graph({ outputs, nodes: same, initializers: [external(location)] })),
  'the value of a Constant': (location) =>
    model(graph({ outputs, nodes: [node('Constant', [], ['OUTPUT0'], { value: { tensor: external(location) } })] })),
  'the sparse value of a Constant': (location) => {
    const sparse = sparseTensor(external(location), indices, [1]);
    return model(graph({ outputs, nodes: [node('Constant', [], ['OUTPUT0'], { sparse_value: { sparse } })] }));
  },
  'a sparse initializer': (location) =>
    model(graph({ outputs, nodes: same, sparseInitializers: [sparseTensor(external(location), indices, [1])] })),
  'the value of a ConstantOfShape': (location) =>
    model(
      graph({
        outputs,
        nodes: [node('ConstantOfShape', ['shape'], ['OUTPUT0'], { value: { tensor: external(location) } })],
        initializers: [tensor('shape', 'INT64', [1], integers(1n))],
      }),
    ),
};

interface Place {
  readonly version: string;
  /** A file that is not the version's to read. */
  readonly secret: string;
}

/** Makes the way to the secret. @returns the location that leads there */
const ways: Readonly<Record<string, { go: (place: Place) => string; reason: RegExp; doesRuntimeRefuse: boolean }>> = {
  'a path that climbs': {
    go: () => '../secrets/weights.bin',
    reason: /expected a path inside the version/,
    doesRuntimeRefuse: true,
  },
  'an absolute path': {
    go: ({ secret }) => secret,
    reason: /expected a path inside the version/,
    doesRuntimeRefuse: true,
  },
  'a hard link': {
    go: ({ version, secret }) => {
      linkSync(secret, join(version, 'weights.bin'));
      return 'weights.bin';
    },
    reason: /the file has 2 names \(hard links\), expected one/,
    doesRuntimeRefuse: false,
  },
  'a linked directory': {
    go: ({ version, secret }) => {
      symlinkSync(join(secret, '..'), join(version, 'sub'));
      return 'sub/weights.bin';
    },
    reason: /'sub' is a symbolic link, expected a directory/,
    doesRuntimeRefuse: true,
  },
};

function placeOf(context: TestContext): Place {
  const root = freshDirectory(context);
  mkdirSync(join(root, 'secrets'));
  const [version, secret] = [join(root, 'version'), join(root, 'secrets', 'weights.bin')];
  mkdirSync(version);
  writeFileSync(secret, floats(42));
  return { version, secret };
}

const check = (version: string, bytes: Buffer, files?: string[]) =>
  checkExternalData(version, readOnnx(bytes), files && { files: files.map((path) => ({ path, size: 0, sha256: '' })) });

for (const [holder, modelAt] of Object.entries(holders)) {
  describe(`external data of ${holder}`, () => {
    it('is taken when it came with the version', async (context) => {
      const { version } = placeOf(context);
      writeFileSync(join(version, 'weights.bin'), floats(7));
      await check(version, modelAt('weights.bin'), ['weights.bin']);
    });
    for (const [way, { go, reason, doesRuntimeRefuse }] of Object.entries(ways)) {
      it(`is refused by ${way}`, async (context) => {
        const place = placeOf(context);
        const bytes = modelAt(go(place));
        await assert.rejects(check(place.version, bytes), { kind: 'external_data', message: reason });
        const file = join(place.version, 'model.onnx');
        writeFileSync(file, bytes);
        const opened = openSession(file, sessionPolicy);
        if (doesRuntimeRefuse) return assert.rejects(opened, { code: 'FAILED_PRECONDITION' });
        // That is why our check has to come first: most of these open.
        const what = await opened.then(
          (session) => {
            session.release();
            return 'opens it';
          },
          () => 'refuses it',
        );
        context.diagnostic(`the runtime ${what}`);
      });
    }
  });
}

test('the runtime reads through a hard link, so it must not be the only one to look', async (context) => {
  const place = placeOf(context);
  writeFileSync(join(place.version, 'model.onnx'), holders['an initializer']!(ways['a hard link']!.go(place)));
  const session = await openSession(join(place.version, 'model.onnx'), sessionPolicy);
  const [output] = await session.run([]);
  session.release();
  assert.deepEqual([...(output!.data as Float32Array)], [42]);
});

/** An initializer whose external data has these entries, besides its location. */
function withEntries(entries: Readonly<Record<string, string>>): Buffer {
  const pairs = Object.entries(entries).map(([key, text]) =>
    bytesField(13, Buffer.concat([bytesField(1, key), bytesField(2, text)])),
  );
  const weight = Buffer.concat([
    integerField(1, 1),
    integerField(2, 1),
    bytesField(8, 'weight'),
    ...pairs,
    integerField(14, 1),
  ]);
  return model(graph({ outputs, nodes: same, initializers: [weight] }));
}

test('an extent ends with the file, and one byte further is refused', async (context) => {
  const { version } = placeOf(context);
  writeFileSync(join(version, 'weights.bin'), floats(1, 2));
  const at = (offset: number, length: number) =>
    check(version, withEntries({ location: 'weights.bin', offset: String(offset), length: String(length) }));
  await at(4, 4);
  await assert.rejects(at(5, 4), {
    kind: 'external_data',
    message: "external data at 'weights.bin': the model reads up to byte 9, but the file has 8",
  });
});

test('extents that are no bytes, or go with no location, are refused as unreadable', () => {
  for (const offset of ['-1', '1.5', '', '9'.repeat(16), '0x4']) {
    assert.throws(() => readOnnx(withEntries({ location: 'weights.bin', offset })), {
      kind: 'parse',
      message: /offset/,
    });
  }
  assert.throws(() => readOnnx(withEntries({ offset: '4' })), { kind: 'parse', message: /without a location/ });
});

test('a location that the runtime takes for its own memory is refused, even when there is such a file', async (context) => {
  const { version } = placeOf(context);
  mkdirSync(join(version, '*', '_ORT_MEM_ADDR_'), { recursive: true });
  writeFileSync(join(version, '*', '_ORT_MEM_ADDR_', '*'), floats(1));
  await assert.rejects(check(version, externalWeight('*/_ORT_MEM_ADDR_/*')), { kind: 'external_data' });
});

test('what is no plain file of the manifest is refused', async (context) => {
  const { version, secret } = placeOf(context);
  const refuses = (location: string, message: RegExp, files?: string[]) =>
    assert.rejects(check(version, externalWeight(location), files), { kind: 'external_data', message });
  writeFileSync(join(version, 'weights.bin'), floats(1));
  symlinkSync(secret, join(version, 'link.bin'));
  mkdirSync(join(version, 'folder'));
  await refuses('weights.bin', /not among the files of manifest.json/, ['model.onnx']);
  await refuses('link.bin', /it is a symbolic link, expected a plain file/);
  await refuses('folder', /it is a directory, expected a plain file/);
  await refuses('weights.bin/deeper', /'weights.bin' is a file, expected a directory/);
  await refuses('absent.bin', /there is no such file/);
});

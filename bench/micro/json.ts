/**
 * What the JSON path of an inference costs: decode and encode beside what they replace, in µs of CPU.
 *
 *   node dist/bench/micro/json.js
 *
 * Must not know sockets or models.
 */
import type { Expectation } from '../../src/core/model.js';
import { type CodecOptions, decodeRequest, readRequest } from '../../src/http/codec.js';
import { floatsText } from '../../src/http/json-writer.js';

const options: CodecOptions = { jsonDepthMax: 100, nonFinite: 'bare', fp16Json: 'refuse', stringsMax: 1_048_576 };

function expectationOf(count: number): Expectation {
  const queue = { sizeMax: 1, timeoutMs: 0, timeoutAction: 'REJECT', allowTimeoutOverride: true } as const;
  return {
    id: { model: 'bench', version: '1' },
    signature: { inputs: [{ name: 'X', datatype: 'FP32', shape: [-1, count] }], outputs: [] },
    batch: {
      rowsMax: 8,
      isContract: false,
      preferredRows: [],
      delayUs: 0,
      queue,
      priorityLevels: 0,
      defaultPriority: 0,
      levels: {},
    },
  };
}

/** Holds each result, so that no run is left out as unused. */
export let kept: unknown;

function measure(label: string, times: number, run: () => unknown): void {
  for (let i = 0; i < times / 5; i++) kept = run();
  const before = process.cpuUsage();
  for (let i = 0; i < times; i++) kept = run();
  const { user, system } = process.cpuUsage(before);
  console.log(`${label.padEnd(44)} ${((user + system) / times).toFixed(3)} µs`);
}

for (const [count, times] of [
  [30, 100_000],
  [784, 5_000],
] as const) {
  const expectation = expectationOf(count);
  const kinds = {
    'short decimals': (i: number) => (i % 16) / 16,
    '17 digits': (i: number) => Math.fround(Math.sin(i)),
  };
  for (const [kind, element] of Object.entries(kinds)) {
    const data = Array.from({ length: count }, (_, i) => element(i));
    const body = Buffer.from(JSON.stringify({ inputs: [{ name: 'X', shape: [1, count], datatype: 'FP32', data }] }));
    const floats = Float32Array.from(data);
    measure(`decode ${count} ${kind}`, times, () =>
      decodeRequest(expectation, readRequest(body, undefined, options), options),
    );
    measure('  JSON.parse and a copy, unchecked', times, () =>
      Float32Array.from(JSON.parse(body.toString()).inputs[0].data),
    );
    // Other numbers each time: the engine remembers the texts of those that it wrote lately.
    let step = 0;
    const next = () => {
      step += kind === '17 digits' ? 1e-5 : 1;
      for (let i = 0; i < count; i++) floats[i] = data[i]! + step;
      return floats;
    };
    measure(`encode ${count} ${kind}`, times, () => floatsText(next(), 'bare'));
    measure('  join', times, () => next().join());
  }
}
const block = new ArrayBuffer(120);
measure('storage of 30 floats: an ArrayBuffer', 100_000, () => new Float32Array(30));
measure('storage of 30 floats: a view', 100_000, () => new Float32Array(block, 0, 30));

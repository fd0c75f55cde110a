/**
 * What the prediction log costs the serving thread for a request, in µs: from `begin` before the run to the bytes in a chunk,
 * clocks included. The chunks are taken back at once, as by an observer that keeps up, whose own work (sketches, joins, files)
 * is another thread's.
 *
 *   node dist/bench/micro/prediction-row.js
 *
 * The least and the median of several rounds: the promise (monitoring §19) is of the work, not of who else had the core.
 *
 * Must not know files.
 */
import { Cancellation, type InferenceReply, type InferenceRequest } from '../../src/core/inference.js';
import type { Version } from '../../src/core/model.js';
import type { Assignment } from '../../src/core/route.js';
import type { Tensor } from '../../src/core/tensor.js';
import { Trace } from '../../src/core/trace.js';
import { type Ledger, Recording } from '../../src/gateway/recording.js';
import type { Chunk } from '../../src/predictions/chunk.js';
import { Frames } from '../../src/predictions/frames.js';
import { Sampling } from '../../src/predictions/sampling.js';
import { type Subject, type SubjectTerms, subjectOf } from '../../src/predictions/subject.js';

const featureCount = 23;

/** As texts come from the wire: in one piece. */
const wired = (text: string) => Buffer.from(text).toString('latin1');
const ids = Array.from({ length: 4096 }, (_, i) => wired(`0190b5a4-7c3e-7000-9f00-${String(i).padStart(12, '0')}`));
const trace = new Trace({
  traceId: wired('0af7651916cd43dd8448eb211c80319c'),
  parentId: '',
  state: '',
  isSampled: true,
  receivedAt: 0,
});
const assignment: Assignment = {
  experiment: 'spring',
  phase: 3,
  variant: 'candidate',
  assigned: 'candidate',
  reason: 'weight',
  isSticky: true,
  keyHash: 0xdeadbeef,
  key: wired('customer-00004711'),
};

/** A block that many requests' tensors are cut from, as decoders do. */
const block = new ArrayBuffer(65_536);
const inputs: readonly Tensor[] = [
  {
    name: 'features',
    datatype: 'FP32',
    shape: [1, featureCount],
    data: new Float32Array(block, 0, featureCount).fill(0.5),
  },
];
const classes: readonly Tensor[] = [
  { name: 'label', datatype: 'INT64', shape: [1], data: BigInt64Array.of(7n) },
  { name: 'probabilities', datatype: 'FP32', shape: [1, 10], data: new Float32Array(block, 256, 10).fill(0.1) },
];
const number: readonly Tensor[] = [
  { name: 'value', datatype: 'FP32', shape: [1, 1], data: Float32Array.of(152.13348) },
];

const version = { id: { model: 'digits', version: '3' }, labels: {}, semantics: undefined } as unknown as Version;
const timing = { queueMs: 0.21, inputMs: 0, inferMs: 0.4, outputMs: 0, batchRows: 4 };

/** A fresh object each time, as a request makes one. */
function requestWith(id: string, isRouted: boolean): InferenceRequest {
  return {
    id,
    model: 'digits',
    version,
    inputs,
    rows: 1,
    outputs: undefined,
    parameters: new Map(),
    priority: 0,
    timeoutMs: 0,
    receivedAt: 0,
    deadlineAt: Infinity,
    cancellation: new Cancellation(),
    protocol: 'http',
    assignment: isRouted ? assignment : undefined,
    tenant: undefined,
    trace: isRouted ? trace : undefined,
  };
}

interface Case extends Pick<SubjectTerms, 'rows' | 'sample' | 'isTapped'> {
  readonly outputs?: readonly Tensor[];
  readonly isRouted?: boolean;
}

function subjectFor(id: number, { rows, sample, isTapped = false }: Case): Subject {
  const model = { model: 'digits', version: '3', artifactSha256: 'a'.repeat(64), configHash: 'c'.repeat(64) };
  return subjectOf(id, 'g1', {
    ...model,
    backend: 'onnxruntime',
    features: [],
    redact: [],
    truncate: [],
    rows,
    sample,
    isTapped,
  });
}

/** Chunks come back at once. */
class Sink {
  readonly #back: Chunk[] = [];
  readonly #sampling = new Sampling();
  readonly #frames: Frames;
  readonly ledger: Ledger;
  bytes = 0;

  constructor() {
    this.#frames = new Frames({
      chunksMax: 64,
      shadowChunksMax: 48,
      tensorBytesMax: 65_536,
      send: (chunk, length) => {
        this.bytes += length;
        this.#back.push(chunk);
      },
    });
    this.ledger = {
      now: () => performance.now(),
      epochMs: Date.now,
      append: (row) => {
        const terms = this.#sampling.termsOf(row);
        if (terms !== undefined) this.#frames.append(row, terms);
        while (this.#back.length > 0) this.#frames.recycle(this.#back.pop()!);
      },
    };
  }

  flush(): void {
    this.#frames.flush();
  }
}

const times = 20_000;
const warmUp = 5;
const rounds = 25;

let subjects = 0;

function measure(label: string, one: Case): void {
  const { outputs = classes, isRouted = false, sample, isTapped = false } = one;
  const subject = subjectFor(++subjects, one);
  const reply: InferenceReply = { version: version.id, outputs, timing };
  const sink = new Sink();
  const requests = ids.map((id) => requestWith(id, isRouted));
  const round = () => {
    const startedAt = performance.now();
    for (let i = 0; i < times; i++)
      new Recording(sink.ledger, requests[i & 4095]!, subject, sample > 0 || isTapped).end(reply);
    return ((performance.now() - startedAt) / times) * 1000;
  };
  for (let i = 0; i < warmUp; i++) round();
  sink.flush();
  sink.bytes = 0;
  const costs = Array.from({ length: rounds }, round).sort((a, b) => a - b);
  sink.flush();
  const [least, median] = [costs[0]!, costs[rounds >> 1]!].map((cost) => cost.toFixed(2));
  const bytes = (sink.bytes / (rounds * times)).toFixed(0);
  console.log(`${label.padEnd(56)} ${least} µs, median ${median}  ${bytes} B a row`);
}

measure('row only', { rows: 1, sample: 0 });
measure('row, 23 inputs for sketches', { rows: 1, sample: 0, isTapped: true });
measure('row, 23 inputs kept and for sketches', { rows: 1, sample: 1, isTapped: true });
measure('the same of a number', { rows: 1, sample: 1, isTapped: true, outputs: number });
measure('the same with route, unit key and trace', { rows: 1, sample: 1, isTapped: true, isRouted: true });
measure('the same, half of the rows', { rows: 0.5, sample: 0.5, isTapped: true, isRouted: true });

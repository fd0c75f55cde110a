/**
 * What a row of the prediction log costs the serving thread, in µs of CPU; the chunks are taken back at once, as by an
 * observer that keeps up.
 *
 *   node dist/bench/micro/prediction-row.js
 *
 * Must not know files.
 */
import type { Chunk } from '../../src/predictions/chunk.js';
import type { PredictionEvent } from '../../src/predictions/event.js';
import { Frames } from '../../src/predictions/frames.js';
import { Sampling } from '../../src/predictions/sampling.js';
import { type Subject, subjectOf } from '../../src/predictions/subject.js';

function subjectWith(id: number, rows: number, sample: number): Subject {
  const shares = { features: [], redact: [], rows, sample };
  const model = { model: 'digits', version: '3', artifactSha256: 'a'.repeat(64), configHash: 'c'.repeat(64) };
  return subjectOf(id, 'g1', { ...model, backend: 'onnxruntime', ...shares });
}

/** As they come from the wire: in one piece. */
const wired = (text: string) => Buffer.from(text).toString('latin1');
const ids = Array.from({ length: 4096 }, (_, i) => wired(`0190b5a4-7c3e-7000-9f00-${String(i).padStart(12, '0')}`));
const traceId = wired('0af7651916cd43dd8448eb211c80319c');
const clientId = wired('checkout-2026-11-21-000000000042');

const assignment = {
  experiment: 'spring',
  phase: 3,
  variant: 'candidate',
  assigned: 'candidate',
  reason: 'weight',
  isSticky: true,
  keyHash: 0xdeadbeef,
} as const;
const features = { name: 'x', datatype: 'FP32', shape: [1, 23], data: new Float32Array(23).fill(0.5) } as const;
const scores = { name: 'y', datatype: 'FP32', shape: [1, 10], data: new Float32Array(10).fill(0.1) } as const;

/** A fresh object each time, as a request makes one. */
function eventWith(subject: Subject, requestId: string, isLong: boolean): PredictionEvent {
  return {
    subject,
    role: 'primary',
    requestId,
    clientRequestId: isLong ? clientId : undefined,
    traceId: isLong ? traceId : undefined,
    parentRequestId: undefined,
    tsUs: 1_772_359_200_000_000,
    latencyUs: 1500,
    queueUs: 200,
    upstreamUs: 900,
    batchSize: 4,
    items: 1,
    assignment: isLong ? assignment : undefined,
    status: 200,
    errorCode: undefined,
    attempt: 0,
    isCacheHit: false,
    prediction: '7',
    score: 0.75,
    inputBytes: 92,
    outputBytes: 40,
    contentType: 'application/json',
    inputs: [features],
    outputs: [scores],
  };
}

const times = 1_000_000;

function measure(label: string, subject: Subject, isLong: boolean): void {
  let bytes = 0;
  const back: Chunk[] = [];
  const frames = new Frames({
    chunksMax: 64,
    shadowChunksMax: 48,
    tensorBytesMax: 65_536,
    send: (chunk, length) => {
      bytes += length;
      back.push(chunk);
    },
  });
  const sampling = new Sampling();
  const run = () => {
    for (let i = 0; i < times; i++) {
      const event = eventWith(subject, ids[i & 4095]!, isLong);
      const decided = sampling.termsOf(event);
      if (decided !== undefined) frames.append(event, decided);
      while (back.length > 0) frames.recycle(back.pop()!);
    }
  };
  run();
  frames.flush();
  bytes = 0;
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  frames.flush();
  const cost = ((user + system) / times).toFixed(3);
  console.log(`${label.padEnd(52)} ${cost} µs  ${(bytes / times).toFixed(0)} B a row`);
}

measure('row, short', subjectWith(1, 1, 0), false);
measure('row, route, trace and client id', subjectWith(2, 1, 0), true);
measure('row, the same, 23 inputs and 10 outputs kept', subjectWith(3, 1, 1), true);
measure('row, sampled at 0.5', subjectWith(4, 0.5, 0), true);

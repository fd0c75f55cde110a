/**
 * Events, logs and archives as the tests of the prediction log need them.
 *
 * Must not know what is tested.
 */
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Tensor } from '../src/core/tensor.js';
import { Archive, type ArchiveOptions } from '../src/predictions/archive.js';
import type { PredictionEvent } from '../src/predictions/event.js';
import { PredictionLog, type PredictionLogOptions } from '../src/predictions/prediction-log.js';
import { type Subject, type SubjectTerms, subjectOf } from '../src/predictions/subject.js';

/** 2026-03-01 10:00 UTC. */
export const startUs = Date.UTC(2026, 2, 1, 10) * 1000;

export const terms: SubjectTerms = {
  model: 'digits',
  version: '3',
  artifactSha256: 'a'.repeat(64),
  configHash: 'c'.repeat(64),
  backend: 'onnxruntime',
  features: [],
  redact: [],
  truncate: [],
  rows: 1,
  sample: 0,
};

export function subject(more: Partial<SubjectTerms> = {}, id = 1): Subject {
  return subjectOf(id, 'g1', { ...terms, ...more });
}

export function event(of: Subject, more: Partial<PredictionEvent> = {}): PredictionEvent {
  return {
    subject: of,
    role: 'primary',
    requestId: 'r-1',
    clientRequestId: undefined,
    traceId: undefined,
    parentRequestId: undefined,
    tsUs: startUs,
    latencyUs: 1500,
    queueUs: 200,
    upstreamUs: 900,
    batchSize: 4,
    items: 1,
    assignment: undefined,
    status: 200,
    errorCode: undefined,
    attempt: 0,
    isCacheHit: false,
    prediction: '7',
    score: 0.75,
    inputBytes: 64,
    outputBytes: 40,
    contentType: 'application/json',
    inputs: undefined,
    outputs: undefined,
    ...more,
  };
}

export function floats(name: string, shape: readonly number[], values: readonly number[]): Tensor {
  return { name, datatype: 'FP32', shape, data: new Float32Array(values) };
}

export function texts(name: string, shape: readonly number[], values: readonly string[]): Tensor {
  return { name, datatype: 'BYTES', shape, data: values };
}

/** A folder that is gone after the test. */
export function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-predictions-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const hashKey = { generation: 1, key: new Uint8Array(32).fill(7) };

/** The key of a unit as rows tell it. */
export function hashed(key: string): string {
  return `k1:${createHmac('sha256', hashKey.key).update(key).digest('hex').slice(0, 32)}`;
}

export const roomy = { metadataFreeShareMin: 0, freeShareMin: 0, segmentsBytesMax: 2 ** 40 };

export function logOptions(directory: string, more: Partial<PredictionLogOptions> = {}): PredictionLogOptions {
  return {
    directory,
    gatewayId: 'g1',
    incarnation: 1,
    flushMs: 20,
    chunksMax: 64,
    shadowChunksMax: 48,
    tensorBytesMax: 65_536,
    segmentBytesMax: 64 * 2 ** 20,
    segmentRowsMax: 250_000,
    segmentAgeMsMax: 300_000,
    room: roomy,
    hashKey,
    onLost: (error) => {
      throw error;
    },
    ...more,
  };
}

export function openLog(directory: string, more: Partial<PredictionLogOptions> = {}): Promise<PredictionLog> {
  return PredictionLog.open(logOptions(directory, more));
}

export function archiveOf(context: TestContext, directory: string, more: Partial<ArchiveOptions> = {}): Archive {
  const archive = new Archive({
    root: join(directory, 'archive'),
    segments: join(directory, 'segments'),
    analytics: { rssBytesMax: 600 * 2 ** 20, queueMax: 16, idleMs: 5000, jobMs: 60_000 },
    retention: { payloadDays: 30, metadataDays: 400, bytesMax: 2 ** 40 },
    queryRowsMax: 10_000,
    queryBytesMax: 2 ** 20,
    queryTimeoutMs: 20_000,
    isLive: () => false,
    epochMs: () => startUs / 1000,
    ...more,
  });
  context.after(() => archive.close());
  return archive;
}

export function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

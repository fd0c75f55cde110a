/**
 * What a row of the prediction log costs the observer thread, in µs of CPU: read from its chunk, counted in sketches, written
 * down for labels, put into a segment. Chunks are as the serving thread fills them, for a model of this repository with 30
 * features, a profile, calibrated scores and principal components; the files are real.
 *
 *   node dist/bench/micro/prediction-observer.js [part of a case's name]
 *
 * CPU of the whole process, which here does nothing else; least and median of several rounds.
 *
 * Must not know the serving thread.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Assignment } from '../../src/core/route.js';
import { profileFileOf, type Watched, watchFileOf, watchNameOf } from '../../src/core/watched.js';
import type { JoinTerms } from '../../src/gateway/join-tap.js';
import { parseProfile, type ReferenceProfile } from '../../src/monitor/profile-document.js';
import type { PredictionEvent } from '../../src/predictions/event.js';
import { realFiles } from '../../src/predictions/files.js';
import { Frames } from '../../src/predictions/frames.js';
import { ensureHashKey, hashKeyOf } from '../../src/predictions/hash-key.js';
import { Intake } from '../../src/predictions/intake.js';
import type { TapModule } from '../../src/predictions/observer.js';
import { Sampling } from '../../src/predictions/sampling.js';
import { SegmentWriter } from '../../src/predictions/segment-writer.js';
import { type Subject, type SubjectTerms, subjectOf } from '../../src/predictions/subject.js';

const folder = fileURLToPath(new URL('../../../models/cancer/1/', import.meta.url));
const profile = parseProfile(readFileSync(join(folder, 'profile.json'), 'utf8'));
const { features } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as Pick<Watched, 'features'>;

const id = { model: 'cancer', version: '1' };
const labels = { label: [], probabilities: ['malignant', 'benign'] };
const semantics = { task: 'binary', score: { output: 'probabilities', column: 1 }, threshold: 0.5 } as const;
const sha256 = 'a'.repeat(64);
const assignment: Assignment = {
  experiment: 'spring',
  phase: 3,
  variant: 'candidate',
  assigned: 'candidate',
  reason: 'weight',
  isSticky: true,
  keyHash: 0xdeadbeef,
  key: 'customer-00004711',
};

/** The same numbers in every run. */
let seed = 7;
function random(): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
}

/** A value as the reference has them. */
function likelyValue(name: string): number {
  const reference = profile.features[name];
  if (reference?.kind !== 'numeric') return random();
  const bounds = [reference.lo!, ...reference.edges, reference.hi!];
  const bin = Math.floor(random() * (bounds.length - 1));
  return bounds[bin]! + random() * (bounds[bin + 1]! - bounds[bin]!);
}

function eventOf(subject: Subject, n: number, { items = 1, isRouted = false }: Case): PredictionEvent {
  const width = features.length;
  const values = new Float32Array(items * width);
  for (let i = 0; i < values.length; i++) values[i] = likelyValue(features[i % width]!.name);
  const score = Math.fround(random());
  const scores = Float32Array.from({ length: 2 * items }, random);
  return {
    subject,
    role: 'primary',
    requestId: `0190b5a4-7c3e-7000-9f00-${String(n).padStart(12, '0')}`,
    clientRequestId: undefined,
    traceId: isRouted ? '0af7651916cd43dd8448eb211c80319c' : undefined,
    parentRequestId: undefined,
    tsUs: Date.now() * 1000,
    latencyUs: 700,
    queueUs: 100,
    upstreamUs: 200,
    batchSize: 8,
    items,
    assignment: isRouted ? { ...assignment, key: `customer-${n % 1000}` } : undefined,
    status: 200,
    errorCode: undefined,
    attempt: 1,
    isCacheHit: false,
    prediction: items > 1 ? undefined : String(Number(score >= 0.5)),
    score: items > 1 ? undefined : score,
    inputBytes: values.byteLength,
    outputBytes: 16 * items,
    contentType: undefined,
    inputs: [{ name: 'features', datatype: 'FP32', shape: [items, width], data: values }],
    outputs: [
      { name: 'label', datatype: 'INT64', shape: [items], data: new BigInt64Array(items) },
      { name: 'probabilities', datatype: 'FP32', shape: [items, 2], data: scores },
    ],
  };
}

interface Case {
  readonly items?: number;
  readonly isRouted?: boolean;
  readonly sample?: number;
  readonly taps?: 'none' | 'sketches' | 'sketches and labels';
  /** Of the whole profile by default. */
  readonly profile?: ReferenceProfile;
}

const chunksMax = 24;

/** Full chunks, as bytes and how many of them count. */
function chunksOf(subject: Subject, one: Case): { readonly chunks: (readonly [Buffer, number])[]; rows: number } {
  const chunks: (readonly [Buffer, number])[] = [];
  const frames = new Frames({
    chunksMax: chunksMax + 1,
    shadowChunksMax: chunksMax,
    tensorBytesMax: 65_536,
    send: ({ bytes }, length) => chunks.push([Buffer.from(bytes), length]),
  });
  const sampling = new Sampling();
  let requests = 0;
  for (; chunks.length < chunksMax; requests++) {
    const event = eventOf(subject, requests, one);
    frames.append(event, sampling.termsOf(event)!);
  }
  return { chunks, rows: (requests - 1) * (one.items ?? 1) };
}

let opened = 0;

async function tapFor(root: string, subject: Subject, one: Case) {
  const { taps = 'sketches and labels', profile: kept = profile } = one;
  if (taps === 'none') return undefined;
  const name = watchNameOf(id, sha256);
  const profiles = join(root, 'profiles');
  mkdirSync(profiles);
  const watched: Watched = {
    features: features.map((feature) => ({ ...feature, datatype: 'FP32', weight: 1, isCritical: false })),
    isOutputShown: true,
    labels,
    semantics,
    warmUpRows: 0,
  };
  writeFileSync(join(profiles, profileFileOf(name)), JSON.stringify(kept));
  writeFileSync(join(profiles, watchFileOf(name)), JSON.stringify(watched));
  const url = new URL('../../src/gateway/tap.js', import.meta.url);
  const terms = { profiles, minute_ms: '60000', once: String(opened++) };
  const joined = {
    join: join(root, 'join'),
    join_name: 'g1-1',
    join_free_share: '0',
    join_file_bytes: String(2 ** 30),
  };
  for (const [key, value] of Object.entries(taps === 'sketches' ? terms : { ...terms, ...joined }))
    url.searchParams.set(key, value);
  const tap = ((await import(url.href)) as TapModule).openTap(() => {});
  const meaning = { task: 'binary', names: labels.probabilities, positive: 1, threshold: 0.5 } as const;
  if (taps !== 'sketches') tap.hear!({ join: 1, subject: subject.record.id, meaning, labels, semantics } as JoinTerms);
  return tap;
}

const warmUp = 4;
const rounds = 15;

async function measure(label: string, one: Case): Promise<void> {
  if (!label.includes(process.argv[2] ?? '')) return;
  const root = mkdtempSync(join(tmpdir(), 'sluice-observer-'));
  ensureHashKey(root);
  const segments = join(root, 'segments');
  mkdirSync(segments);
  const { sample = 1, taps } = one;
  const columns = features.map(({ name, column: index }) => ({
    name,
    input: 'features',
    index,
    type: 'DOUBLE' as const,
  }));
  const terms: SubjectTerms = {
    ...{ ...id, artifactSha256: sha256, configHash: '', backend: 'onnxruntime', features: columns },
    ...{ redact: [], truncate: [], rows: 1, sample, isTapped: taps !== 'none' },
  };
  const subject = subjectOf(1, 'g1', terms);
  const { chunks, rows } = chunksOf(subject, one);
  const writer = new SegmentWriter({
    ...{ directory: segments, gatewayId: 'g1', incarnation: 1 },
    ...{ segmentBytesMax: 64 * 2 ** 20, segmentRowsMax: 250_000, segmentAgeMsMax: 300_000, files: realFiles },
    now: () => performance.now(),
    nowUs: () => Date.now() * 1000,
  });
  const tap = await tapFor(root, subject, one);
  const intake = new Intake({ writer, hashKey: hashKeyOf(root), tap });
  intake.learn(subject);
  const into = Buffer.from(new SharedArrayBuffer(256 * 1024));
  const round = () => {
    for (const name of readdirSync(segments)) if (name.endsWith('.seg')) rmSync(join(segments, name));
    const before = process.cpuUsage();
    for (const [bytes, length] of chunks) {
      // A key is hashed in its place.
      into.set(bytes);
      intake.take(into, length);
    }
    const { user, system } = process.cpuUsage(before);
    return (user + system) / rows;
  };
  for (let i = 0; i < warmUp; i++) round();
  const costs = Array.from({ length: rounds }, round).sort((a, b) => a - b);
  tap?.close?.();
  writer.close({ seq: 0, offered: 0, sampledOut: 0, gaps: [] });
  rmSync(root, { recursive: true });
  const [least, median] = [costs[0]!, costs[rounds >> 1]!].map((cost) => cost.toFixed(2));
  console.log(`${label.padEnd(52)} ${least} µs, median ${median}`);
}

const { pca: _, ...withoutPca } = profile;

await measure('row', { taps: 'none' });
await measure('row, sketches without components', { taps: 'sketches', profile: withoutPca });
await measure('row, sketches', { taps: 'sketches' });
await measure('row, sketches, labels', {});
await measure('row, sketches, labels, nothing kept', { sample: 0 });
await measure('row, sketches, labels, route and key', { isRouted: true });
await measure('row of eight, sketches, labels', { items: 8 });
process.exit();
